from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QImage

from napari_latent_faces.viewer.panels.plots import Curve, CurvesPlot, Panel
from tests._widgets.test_pictures import bits

KS = [2, 5, 9, 20]
ERRORS = [0.5, 0.3, 0.2, 0.25]


@pytest.fixture
def plot(qtbot):
    plot = CurvesPlot()
    qtbot.addWidget(plot)
    plot.resize(400, 360)
    plot.set_curves(
        KS,
        [
            Panel(
                [Curve("held-out", ERRORS, [0.01] * 4), Curve("error", [0.4, 0.2, 0.1, 0.05])],
                2,
            ),
            Panel([Curve("stability", [1.0, 0.9, 0.8, 0.5], colour=2)]),
        ],
        suggested=9,
    )
    plot.show()
    return plot


def pixels(plot):
    """Return what is drawn, as (y, x, 4)."""
    picture = plot.grab().toImage().convertToFormat(QImage.Format.Format_RGBA8888)
    return np.frombuffer(bits(picture), np.uint8).reshape(picture.height(), -1, 4).copy()


def test_lower_values_lie_lower_and_larger_k_to_the_right(plot):
    points = [plot.point(k) for k in KS]
    assert sorted(KS, key=lambda k: plot.point(k).x()) == KS
    by_height = [ERRORS[i] for i in np.argsort([-point.y() for point in points])]
    assert by_height == sorted(ERRORS)
    assert plot.point(9, panel=1).y() > plot.point(9).y()  # the second panel is below


def test_a_click_chooses_the_nearest_point(plot, qtbot):
    chosen = []
    plot.clicked.connect(chosen.append)
    place = plot.point(5).toPoint() + QPoint(4, 30)
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseClick(plot, Qt.MouseButton.RightButton, pos=place)
    assert chosen == [5]


def test_the_mouse_is_followed_until_it_leaves(plot, qtbot):
    seen = []
    plot.hovered.connect(seen.append)
    for k in (2, 20):
        qtbot.mouseMove(plot, plot.point(k).toPoint())
        qtbot.waitUntil(lambda k=k: plot.hovered_k == k)
    plot.leaveEvent(None)
    assert seen[-3:] == [2, 20, None]


def test_what_is_chosen_and_suggested_is_seen(plot):
    before = pixels(plot)
    np.testing.assert_array_equal(pixels(plot), before)
    plot.choose(5)
    ringed = pixels(plot)
    changed = np.argwhere((ringed != before).any(axis=-1))
    x = plot.point(5).x()
    assert len(changed)
    assert np.abs(changed[:, 1] - x).max() < 12
    plot.choose(None)
    np.testing.assert_array_equal(pixels(plot), before)


def test_a_long_range_is_drawn_in_ratios(plot):
    ks = [2, 4, 8, 64]
    plot.set_curves(ks, [Panel([Curve("error", ERRORS)])], suggested=None)
    x = [plot.point(k).x() for k in ks]
    assert x[1] - x[0] == pytest.approx(x[2] - x[1])


def test_curves_may_be_empty_or_a_single_point(plot):
    plot.set_curves([7], [Panel([Curve("error", [0.2], [0.0])])], suggested=7)
    assert 0 < plot.point(7).x() < 400
    pixels(plot)
    plot.set_curves([], [], None)
    assert len(np.unique(pixels(plot).reshape(-1, 4), axis=0)) == 1
