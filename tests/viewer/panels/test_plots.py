"""Curves over k: what is drawn lies where its numbers say, and the mouse finds it."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pyqtgraph as pg
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPalette
from qtpy.QtWidgets import QApplication

from napari_latent_faces.viewer.panels.plots import CurvesPlot
from tests.viewer.panels.test_pictures import bits


def made_choice(ks=(2, 5, 9, 20), suggested=9):
    n = len(ks)
    return SimpleNamespace(
        ks=np.array(ks),
        held_out=np.array([0.5, 0.3, 0.2, 0.25][:n]),
        spread=np.full(n, 0.01),
        errors=np.array([0.4, 0.2, 0.1, 0.05][:n]),
        stabilities=np.array([1.0, 0.9, 0.8, 0.5][:n]),
        suggested=suggested,
    )


@pytest.fixture
def plot(qtbot):
    plot = CurvesPlot("curves")
    qtbot.addWidget(plot)
    plot.resize(400, 360)
    plot.show_choice(made_choice())
    with qtbot.waitExposed(plot):
        plot.show()
    pixels(plot)  # a first drawing settles the axes
    return plot


def pixels(plot):
    """Return what is drawn, as (y, x, 4)."""
    picture = plot.grab().toImage().convertToFormat(QImage.Format.Format_RGBA8888)
    return np.frombuffer(bits(picture), np.uint8).reshape(picture.height(), -1, 4).copy()


def test_lower_values_lie_lower_and_a_click_chooses_the_nearest(plot, qtbot):
    choice, chosen = made_choice(), []
    points = [plot.point(k) for k in choice.ks]
    assert np.all(np.diff([point.x() for point in points]) > 0)
    by_height = np.argsort([-point.y() for point in points])
    np.testing.assert_array_equal(by_height, np.argsort(choice.held_out))
    plot.clicked.connect(chosen.append)
    place = plot.point(5).toPoint() + QPoint(4, 10)
    qtbot.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert chosen == [5]


def test_the_mouse_is_followed_until_it_leaves(plot, qtbot):
    seen = []
    plot.hovered.connect(seen.append)

    def reached(k):  # moves that follow at once are left out
        place = QPointF(plot.point(k))
        move = QMouseEvent(
            QEvent.Type.MouseMove,
            place,
            plot.viewport().mapToGlobal(place),
            Qt.MouseButton.NoButton,
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(plot.viewport(), move)
        return plot.under_mouse == k

    for k in (2, 20):
        qtbot.waitUntil(lambda k=k: reached(k))
    plot.leaveEvent(QEvent(QEvent.Type.Leave))
    assert seen[-3:] == [2, 20, None]


def test_what_is_chosen_is_ringed(plot):
    before = pixels(plot)
    plot.show_choice(plot.choice, 5)
    changed = np.argwhere((pixels(plot) != before).any(axis=-1))
    assert len(changed)
    assert np.abs(changed[:, 1] - plot.point(5).x()).max() < 14
    plot.show_choice(plot.choice)
    np.testing.assert_array_equal(pixels(plot), before)


def test_a_long_range_is_drawn_in_ratios_and_there_may_be_one_point_or_none(plot):
    plot.show_choice(made_choice((2, 4, 8, 64), suggested=None))
    pixels(plot)
    x = [plot.point(k).x() for k in (2, 4, 8)]
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=1.5)  # whole pixels
    plot.show_choice(made_choice((7,), suggested=7))
    pixels(plot)
    assert 0 < plot.point(7).x() < 400
    full = len(np.unique(pixels(plot).reshape(-1, 4), axis=0))
    plot.show_choice(None)
    assert len(np.unique(pixels(plot).reshape(-1, 4), axis=0)) < full


def test_all_words_have_the_colour_of_the_theme_and_none_cover_others(plot):
    palette = plot.palette()
    palette.setColor(QPalette.ColorRole.WindowText, QColor("white"))
    palette.setColor(QPalette.ColorRole.Window, QColor("black"))
    plot.setPalette(palette)
    plot.show_choice(made_choice((2, 8, 32, 64), 32))
    plot.grab()
    labels = [each for each in plot.scene().items() if isinstance(each, pg.LabelItem)]
    shown = [each.item.toHtml() for each in labels if each.text and each.isVisible()]
    assert len(shown) == 2
    assert all("#ffffff" in html for html in shown)
    for curves in plot._plots:  # no curve runs through the words
        words = curves.titleLabel.sceneBoundingRect()
        assert words.bottom() <= curves.vb.sceneBoundingRect().top()
    for axis in (each for each in plot.scene().items() if isinstance(each, pg.AxisItem)):
        image = QImage(400, 360, QImage.Format.Format_RGBA8888)
        painter = QPainter(image)
        _, _, words = axis.generateDrawSpecs(painter)
        painter.end()
        places = [place for place, *_ in words]
        assert not any(a.intersects(b) for a, b in combinations(places, 2))
