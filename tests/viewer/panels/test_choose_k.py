from __future__ import annotations

import numpy as np
import pytest
from superqt.utils import WorkerBase

from napari_latent_faces.stack import FaceStack
from napari_latent_faces.viewer.layers import MODEL_KEY, ROLE_KEY
from napari_latent_faces.viewer.panels.choose_k import ChooseKWidget
from tests.conftest import blobs
from tests.jobs import layers_in


@pytest.fixture
def faces(add_faces):
    images = np.round(blobs(n=40)[0] * 255).astype(np.uint8)
    return add_faces(FaceStack(images, tuple(map(str, range(40)))), "orl")


@pytest.fixture
def widget(make):
    widget = make(ChooseKWidget)
    widget.ks.value = "2:5"
    widget.effort["n_starts"].value = widget.effort["n_folds"].value = 2
    return widget


@pytest.fixture
def measured(faces, widget, run):
    """Return the panel with what was measured."""
    run(widget)
    return widget


def begin(widget, qtbot, done=2):
    """Start a search that takes long, and wait until some k are measured."""
    widget.ks.value = "1:19"
    widget.effort["n_starts"].value = 30
    widget.start_button.native.click()
    qtbot.waitUntil(lambda: widget.choice is not None and len(widget.choice) >= done)


def roles(viewer):
    return sorted(str(layer.metadata.get(ROLE_KEY)) for layer in viewer.layers)


def test_it_draws_the_curves_and_says_which_k_and_why(widget, add_faces, stack, run):
    assert not widget.start_button.enabled
    assert not widget.save_button.enabled
    assert "Open folder of faces" in widget.status.value
    images = np.round(blobs(n=40)[0] * 255).astype(np.uint8)
    add_faces(FaceStack(images, tuple(map(str, range(40)))))
    run(widget)
    assert widget.choice.ks.tolist() == [2, 3, 4, 5]
    assert widget.choice.suggested == 4
    assert widget.words.value == widget.choice.reason
    assert widget.plot.point(4).y() > widget.plot.point(2).y()  # lower error, lower point
    assert "Click a point" in widget.status.value
    assert widget.start_button.text == "Start"
    widget.plot.hovered.emit(3)
    row = widget.choice.rows()[1]
    assert f"k = 3: error {row['relative_error']:.4f}" in widget.readout.value
    assert f"stability {row['stability']:.2f}" in widget.readout.value
    widget.plot.hovered.emit(None)
    assert not widget.readout.value


def test_a_clicked_point_shows_its_model_and_the_next_updates_it(
    measured, faces, viewer, show_model, told
):
    models, name = measured.choice.models, "reconstruction [orl]"
    for k in (3, 4):
        measured.plot.clicked.emit(k)
        assert roles(viewer) == ["None", "gallery", "reconstruction"]
        assert viewer.layers[name].metadata[MODEL_KEY] is models[k]
        assert f"k = {k}" in measured.status.value
        assert measured.plot.chosen == k
    measured.update_earlier.value = False
    measured.plot.clicked.emit(2)
    assert len(layers_in(viewer)) == 5
    viewer.layers.selection.active = faces
    viewer.layers.remove_selected()
    measured.plot.clicked.emit(2)  # its faces are gone
    assert not told


def test_the_kinds_of_layers_of_an_earlier_fit_are_kept_and_changed_faces_told(
    measured, faces, viewer, show_model, told
):
    show_model(faces, measured.choice.models[2], slider=True, residual=True)
    measured.show_model(5)
    assert roles(viewer) == ["None", "components", "reconstruction", "residual"]
    faces.data = np.ones((5, 4, 4), np.uint8)
    measured.show_model(4)
    assert "shape" in told[0]


def test_a_sample_is_extended_to_all_faces_when_it_is_shown(faces, widget, viewer, run, qtbot):
    widget.effort["max_faces"].value = 20
    run(widget)
    assert "sample of 20 of 40" in widget.words.value
    widget.show_model(4)
    qtbot.waitUntil(lambda: not widget.is_working)
    model = viewer.layers["reconstruction [orl]"].metadata[MODEL_KEY]
    assert model.shape == (40, 12, 10)
    assert model.n_components == 4
    # two errors, and what each is the error of
    assert f"relative error {model.error:.4f} over all 40 faces" in widget.status.value
    widget.plot.hovered.emit(4)
    measured = widget.choice.models[4].error
    assert f"error {measured:.4f} of the sample of 20 faces" in widget.readout.value


def test_stop_keeps_what_is_measured(faces, widget, qtbot):
    begin(widget, qtbot)
    assert widget.start_button.text == "Stop and keep"
    assert not widget.ks.enabled
    assert widget.progress.value > 0
    widget.start_button.native.click()
    qtbot.waitUntil(lambda: not widget.is_working)
    assert 2 <= len(widget.choice) < 19
    assert widget.save_button.enabled
    assert widget.ks.enabled


@pytest.mark.parametrize("how", ["cancelled", "removed"])
def test_what_was_measured_stays_when_the_search_ends(how, faces, widget, viewer, qtbot):
    begin(widget, qtbot, done=1)
    if how == "cancelled":
        widget.cancel_button.native.click()
        assert not widget.is_working
        assert widget.status.value == "Cancelled; nothing was changed. What was measured stays."
        assert len(layers_in(viewer)) == 1
    else:
        viewer.layers.remove(faces)
        qtbot.waitUntil(lambda: not widget.is_working)
        assert "The faces were removed" in widget.status.value
        widget.show_model(int(widget.choice.ks[0]))
        assert not viewer.layers
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)


def test_a_closed_widget_ends_its_search(viewer, faces, qtbot):
    widget = ChooseKWidget(viewer)
    begin(widget, qtbot, done=1)
    widget.deleteLater()
    qtbot.waitUntil(lambda: not widget.is_working)
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)
    viewer.layers.clear()


@pytest.mark.parametrize(
    ("text", "words"), [("5:", "k must be 'auto'"), ("90", "k must be from 1 to 20")]
)
def test_wrong_numbers_are_told(text, words, faces, widget, told, qtbot):
    widget.ks.value = text
    widget.start()
    qtbot.waitUntil(lambda: not widget.is_working)
    assert len(told) == 1
    assert words in told[0]
    assert widget.choice is None


def test_the_table_is_saved_where_one_says(measured, tmp_path, told, monkeypatch):
    path = tmp_path / "k.csv"
    asked = "qtpy.QtWidgets.QFileDialog.getSaveFileName"
    monkeypatch.setattr(asked, lambda *_: (str(path), ""))
    measured.save_button.native.click()
    assert path.read_text().startswith('"k","relative_error","held_out_error",')
    monkeypatch.setattr(asked, lambda *_: (str(tmp_path / "none" / "k.csv"), ""))
    measured.save_button.native.click()
    assert "cannot be written" in told[0]
