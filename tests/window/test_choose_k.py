"""From the menu to the curves, and from a point of a curve to the layers."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt

from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.layers import MODEL_KEY
from tests.jobs import layers_in
from tests.window.menus import click, open_widget, show_faces

PLUGIN = "napari-latent-faces"


def shown(viewer):
    return viewer.screenshot(canvas_only=True, flash=False)


def test_curves_are_measured_and_a_click_shows_a_model(viewer, faces_folder, qtbot):
    [faces] = viewer.open(faces_folder, plugin=PLUGIN)
    widget = open_widget(qtbot, viewer.window, "Choose k")
    assert widget.faces.value is faces
    widget.ks.value = "2,4,6"
    widget.effort["n_starts"].value = widget.effort["n_folds"].value = 2
    empty, before = widget.plot.grab().toImage(), shown(viewer)
    click(qtbot, widget.start_button)
    qtbot.waitUntil(lambda: widget.choice is not None and not widget.is_working)
    assert widget.choice.suggested == 4
    assert widget.plot.grab().toImage() != empty
    assert "k = 4" in widget.words.native.text()

    name = "reconstruction [" + faces.name + "]"
    pictures = {}
    for k in (2, 6, 2):
        point = widget.plot.point(k).toPoint()
        qtbot.mouseClick(widget.plot.viewport(), Qt.MouseButton.LeftButton, pos=point)
        assert viewer.layers[name].metadata[MODEL_KEY] is widget.choice.models[k]
        assert len(layers_in(viewer)) == 3
        picture = shown(viewer)
        assert not np.array_equal(picture, before)
        if k in pictures:
            np.testing.assert_array_equal(picture, pictures[k])
        pictures[k] = picture
    assert not np.array_equal(pictures[2], pictures[6])

    click(qtbot, widget.use_button)
    fit = viewer.window.dock_widgets["Latent faces (Latent faces)"]
    assert fit.parameters["n_components"].value == 4
    assert fit.faces.value is faces


def test_a_first_look_suggests_a_k_that_can_be_used_while_the_search_goes_on(viewer, qtbot):
    show_faces(viewer, sample_faces(5, 10))
    widget = open_widget(qtbot, viewer.window, "Choose k")
    widget.ks.value = "2:8:2"
    widget.effort["n_starts"].value = widget.effort["n_folds"].value = 3
    totals, told, could_save = set(), [], []

    def note(step):
        totals.add(step.total)
        if step.is_preview:
            could_save.append(widget.save_button.enabled)
        told.append(widget.status.value)

    widget.start()
    widget.job.stepped.connect(note)
    qtbot.waitUntil(lambda: widget.first_look is not None and len(widget.first_look) == 4)
    assert widget.is_working
    assert not any(could_save)  # these are not measured as what is saved is
    assert "first look" in widget.words.value
    suggested = widget.plot.choice.suggested
    assert widget.use_button.text == f"Use this k: {suggested}"
    click(qtbot, widget.use_button)
    fit = viewer.window.dock_widgets["Latent faces (Latent faces)"]
    assert fit.parameters["n_components"].value == suggested
    widget.plot.clicked.emit(suggested)  # there is no model of it yet
    assert len(layers_in(viewer)) == 1
    qtbot.waitUntil(lambda: not widget.is_working)
    assert len(totals) == 1
    assert " left at most" in told[-1]
    assert widget.plot.choice is widget.choice
    assert widget.words.value == widget.choice.reason
