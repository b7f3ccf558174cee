"""The sliders of a mix: only those that are seen exist."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_latent_faces.viewer.panels.weights import HEIGHT, WeightList, WeightRow

K = 200


@pytest.fixture
def weights(qtbot):
    made = WeightList()
    qtbot.addWidget(made)
    made.resize(320, 6 * HEIGHT)
    made.show()
    pictures = np.random.default_rng(0).random((K, 8, 6))
    made.set_model(pictures, np.array([[0, 1 + i] for i in range(K)], float))
    return made


def shown(weights):
    return [row.component for row in weights.rows]


def row_of(weights, component):
    return next(row for row in weights.rows if row.component == component)


def heard(weights):
    """Return the list that what the user does is written into."""
    seen = []
    weights.began.connect(lambda: seen.append("began"))
    weights.moved.connect(lambda *both: seen.append(both))
    weights.ended.connect(lambda: seen.append("ended"))
    weights.chosen.connect(lambda component: seen.append(f"clicked {component}"))
    return seen


def test_rows_are_made_when_they_are_seen_and_the_last_can_be_reached(weights):
    assert shown(weights)[:6] == list(range(6))
    assert len(weights.findChildren(WeightRow)) <= 8
    for first in (50, 194, 3):
        weights.bar.setValue(first * HEIGHT)
        assert shown(weights)[:6] == list(range(first, first + 6))
    weights.bar.setValue(weights.bar.maximum())
    last = row_of(weights, K - 1)
    assert last.y() + HEIGHT <= weights.viewport().height()
    assert len(weights.findChildren(WeightRow)) <= 32
    weights.list_components([3, 77, 150])
    assert shown(weights) == [3, 77, 150]
    assert [row.y() for row in weights.rows] == [0, HEIGHT, 2 * HEIGHT]
    assert weights.bar.maximum() == 0
    assert not last.isVisible()


def test_rows_are_as_wide_as_the_list(weights, qtbot):
    for width in (320, 270, 400):
        weights.resize(width, weights.height())
        inside = weights.viewport().width()
        qtbot.waitUntil(lambda n=inside: {row.width() for row in weights.rows} == {n})


def test_weights_are_shown_without_telling_of_them(weights):
    seen = heard(weights)
    values = np.linspace(0, 1, K)
    weights.set_weights(values)
    weights.bar.setValue(120 * HEIGHT)
    for row in weights.rows:
        assert row.field.value() == pytest.approx(values[row.component], abs=5e-4)
        assert row.slider.value() == pytest.approx(values[row.component])
    assert not seen


def test_a_slider_tells_its_weight_and_a_drag_begins_and_ends(weights, qtbot):
    seen = heard(weights)
    row_of(weights, 4).slider.setValue(2.5)
    assert seen == [(4, 2.5)]
    seen.clear()
    slider = row_of(weights, 2).slider
    start = QPoint(slider.height() // 2 - 2, slider.height() // 2)
    qtbot.mousePress(slider, Qt.MouseButton.LeftButton, pos=start)
    for x in (40, 60, 80):
        qtbot.mouseMove(slider, QPoint(x, start.y()))
    qtbot.mouseRelease(slider, Qt.MouseButton.LeftButton, pos=QPoint(80, start.y()))
    assert seen[:2] == ["clicked 2", "began"]
    assert seen[-1] == "ended"
    assert {each[0] for each in seen if isinstance(each, tuple)} == {2}


def test_typing_goes_beyond_the_slider(weights, qtbot):
    seen = heard(weights)
    row = row_of(weights, 1)
    row.field.setFocus()
    row.field.selectAll()
    qtbot.keyClicks(row.field, "7.5")
    assert not seen  # not with every key
    qtbot.keyClick(row.field, Qt.Key.Key_Return)
    assert seen == [(1, 7.5)]
    weights.set_weights(np.where(np.arange(K) == 1, 7.5, 0))
    assert row.field.value() == 7.5
    assert row.slider.value() == row.slider.maximum()
    assert len(seen) == 1


def test_a_click_anywhere_in_a_row_tells_which(weights, qtbot):
    seen = heard(weights)
    row = row_of(weights, 3)
    qtbot.mouseClick(row, Qt.MouseButton.LeftButton, pos=QPoint(5, HEIGHT // 2))
    assert seen == ["clicked 3"]


def wheel(target):
    """Turn the wheel one notch over a widget; tell whether it took the event."""
    centre = QPointF(target.rect().center())
    event = QWheelEvent(
        centre,
        QPointF(target.mapToGlobal(target.rect().center())),
        QPoint(0, -120),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    event.ignore()
    QApplication.sendEvent(target, event)
    return event.isAccepted()


def test_the_wheel_over_a_slider_changes_no_weight_and_is_left_to_the_list(weights):
    seen = heard(weights)
    row = weights.rows[1]
    # Qt passes what is not taken on to the parent, but only of a real mouse
    assert not any(wheel(target) for target in (row.slider, row.field, row))
    assert not seen
    assert row.parent() is weights.viewport()
    wheel(weights.viewport())
    assert weights.bar.value() > 0
    assert row.component == 1  # one that is dragged keeps its component


def test_a_chosen_component_is_scrolled_to_and_marked(weights):
    plain = weights.grab().toImage()
    weights.mark(2)
    assert weights.grab().toImage() != plain
    weights.mark(None)
    assert weights.grab().toImage() == plain
    weights.mark(150)
    assert [row.component for row in weights.rows if row.is_marked] == [150]
    before = weights.bar.value()
    weights.mark(shown(weights)[-1])  # seen in part: what is clicked must not run away
    assert weights.bar.value() == before
    weights.mark(None)
    assert not any(row.is_marked for row in weights.rows)
    weights.list_components([1, 2])
    weights.mark(150)  # it can be chosen all the same
    assert shown(weights) == [1, 2]


def test_another_model_has_other_rows(weights):
    old = weights.rows[0]
    old.slider.setSliderDown(True)
    weights.set_model(np.ones((3, 8, 6)), np.array([[-2.0, 2.0]] * 3))
    assert shown(weights) == [0, 1, 2]
    assert old not in weights.rows
    row, seen = weights.rows[0], heard(weights)
    row.slider.setValue(-2.0)
    assert seen == [(0, -2.0)]
    assert row.field.minimum() < -1000
