"""Panels are about what is selected, say why they do not take a layer, and have help."""

from __future__ import annotations

import gc
from threading import Event

import numpy as np
import pytest
from napari.utils import progress
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QTextBrowser

from napari_latent_faces.fitting import fit
from napari_latent_faces.viewer.jobs import Job
from napari_latent_faces.viewer.layers import ROLE_KEY
from napari_latent_faces.viewer.panels.align import AlignWidget
from napari_latent_faces.viewer.panels.choose_k import ChooseKWidget
from napari_latent_faces.viewer.panels.encode import EncodeWidget, MendWidget
from napari_latent_faces.viewer.panels.explain import CompareWidget, ExplainWidget
from napari_latent_faces.viewer.panels.fit import FitWidget
from napari_latent_faces.viewer.panels.map import MapWidget
from napari_latent_faces.viewer.panels.mixer import MixerWidget

PANELS = [
    FitWidget,
    AlignWidget,
    ExplainWidget,
    MapWidget,
    MixerWidget,
    ChooseKWidget,
    CompareWidget,
    EncodeWidget,
    MendWidget,
]


@pytest.fixture
def made(viewer, qtbot):
    """Return a function that makes a panel, which gets what napari's menus give it."""

    def make(kind):
        panel = kind(PublicOnlyProxy(viewer))
        qtbot.addWidget(panel)
        return panel

    return make


@pytest.fixture
def one(add_faces, stack):
    return add_faces(stack, "one")


@pytest.fixture
def other(add_faces, stack, one):
    return add_faces(stack[:20], "other")


def fitted(stack, k):
    return fit(stack, n_components=k, max_iter=5, tol=0)


@pytest.mark.parametrize("kind", [FitWidget, AlignWidget, ChooseKWidget])
def test_a_panel_is_about_the_stack_that_is_selected_or_opened(
    kind, made, viewer, stack, one, other, add_faces, show_model
):
    viewer.layers.selection.active = one
    panel = made(kind)
    assert panel.faces.value is one
    viewer.layers.selection.active = other
    assert panel.faces.value is other
    third = add_faces(stack, "third")
    assert panel.faces.value is third
    show_model(one, fitted(stack, 3))
    result = next(each for each in viewer.layers if "reconstruction" in each.name)
    viewer.layers.selection.active = result
    assert panel.faces.value is one
    viewer.layers.selection.active = viewer.add_labels(np.zeros((12, 10), int))
    assert panel.faces.value is one
    one.name = "renamed"
    assert panel.faces.value is one
    assert panel.faces.current_choice == "renamed"


def test_new_faces_are_other_ones_and_the_model_is_the_last_that_was_shown(
    made, viewer, stack, one, other, show_model
):
    first = show_model(one, fitted(stack, 3))
    viewer.layers.selection.active = one
    new, mend = made(EncodeWidget), made(MendWidget)
    assert new.faces.value is other
    assert new.model_choice.model is first
    second = show_model(one, fitted(stack, 4), update=False)
    shown = next(each for each in reversed(viewer.layers) if "reconstruction" in each.name)
    viewer.layers.selection.active = shown
    assert mend.model_choice.model is second
    both = first, second
    names = {
        f"NMF {each.n_components}, error {each.error:.4f}, 30 faces of faces" for each in both
    }
    for box in (mend.model_choice.combo.native, made(CompareWidget).left.combo.native):
        assert {box.itemText(row) for row in range(2)} == names


def test_layers_that_cannot_be_taken_are_grey_and_say_why(made, viewer, stack, add_faces):
    viewer.add_image(np.zeros((2, 3, 8, 8)), name="four")
    panel = made(FitWidget)
    assert panel.faces.value is None
    assert "four has 4 axes" in panel.status.value
    faces = add_faces(stack, "faces")
    viewer.add_labels(np.zeros((8, 8), int), name="marks")
    box = panel.faces.native
    grey = {
        box.itemText(row): box.itemData(row, Qt.ItemDataRole.ToolTipRole)
        for row in range(box.count())
        if not box.model().item(row).isEnabled()
    }
    assert set(grey) == {"four", "marks"}
    assert "a layer of labels" in grey["marks"]
    assert panel.faces.choices == (faces,)


def test_a_mix_outlives_its_panel_and_a_click_in_the_groove_jumps_there(
    made, viewer, stack, one, show_model, qtbot
):
    show_model(one, fitted(stack, 4))
    panel = made(MixerWidget)
    panel.resize(340, 900)
    panel.show()
    slider = panel.weights.rows[0].slider
    at = QPoint(round(0.75 * slider.width()), slider.height() // 2)
    qtbot.mouseClick(slider, Qt.MouseButton.LeftButton, pos=at)
    assert slider.value() == pytest.approx(0.75 * slider.maximum(), rel=0.05)
    mixed = panel.mix.weights
    panel.setParent(None)
    panel.deleteLater()
    again = made(MixerWidget)
    np.testing.assert_array_equal(again.mix.weights, mixed)
    again.steps[0].native.click()
    assert not again.mix.can_undo  # the click was one step
    assert sum(each.metadata.get(ROLE_KEY) == "mixed" for each in viewer.layers) == 1


@pytest.mark.parametrize("kind", PANELS)
def test_every_panel_opens_its_page_and_shows_no_animation(kind, made):
    panel = made(kind)
    panel.help_button.native.click()
    words = panel.findChild(QTextBrowser).toPlainText()
    assert words.startswith(panel.page.replace("-", " ").capitalize())
    assert panel.progress.max > 0  # 0 would be drawn anew without end


def test_a_panel_that_nobody_closed_leaves_no_bar_in_the_activity_dock(viewer, qtbot):
    go_on = Event()
    EncodeWidget(viewer).run(Job(go_on.wait))
    qtbot.waitUntil(lambda: bool(progress._all_instances))
    gc.collect()
    go_on.set()
    qtbot.waitUntil(lambda: not progress._all_instances)
