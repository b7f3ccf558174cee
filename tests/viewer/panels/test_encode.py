from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import QApplication

from napari_latent_faces.aligning import align_faces
from napari_latent_faces.fitting import fit
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.fitting import ResultLayers, ShowOptions
from napari_latent_faces.viewer.jobs import _running
from napari_latent_faces.viewer.layers import MODEL_KEY, faces_layer
from napari_latent_faces.viewer.layout import model_layers
from napari_latent_faces.viewer.panels.encode import EncodeWidget
from napari_latent_faces.viewer.session import session_of
from tests.jobs import wait_for_model


@pytest.fixture
def widget(viewer, qtbot):
    widget = EncodeWidget(viewer)
    qtbot.addWidget(widget)
    return widget


@pytest.fixture
def faces(viewer, stack):
    return viewer.add_layer(Layer.create(*faces_layer(stack, "new")))


def add_model(viewer, model):
    return [viewer.add_layer(Layer.create(*data)) for data in model_layers(model, "m")]


def run(widget, qtbot):
    widget.start_button.native.click()
    assert widget.is_working
    qtbot.waitUntil(lambda: not widget.is_working)


def test_it_says_what_is_missing(widget, viewer, stack, model):
    assert not widget.start_button.enabled
    assert widget.status.value.startswith("No faces yet. Open some")
    viewer.add_layer(Layer.create(*faces_layer(stack, "new")))
    assert widget.status.value.startswith("No model yet: fit one")
    assert widget.start() is None
    add_model(viewer, model)
    assert not widget.status.value
    assert widget.start_button.enabled


def test_stacks_and_pictures_are_offered_but_no_results(widget, viewer, faces, model):
    add_model(viewer, model)
    one = viewer.add_image(np.zeros((8, 8)))
    colour = viewer.add_image(np.zeros((8, 8, 3)), rgb=True)
    viewer.add_image(np.zeros((2, 3, 8, 8)))
    viewer.add_labels(np.zeros((8, 8), int))
    assert widget.faces.choices == (faces, one, colour)


def test_models_are_offered_once_and_fits_before_what_was_encoded(
    widget, viewer, faces, stack, model
):
    add_model(viewer, model)
    viewer.add_image(np.zeros((12, 10)), metadata={MODEL_KEY: model.encoded(stack)})
    assert widget.model_choice.combo.choices == (model,)


def test_a_model_that_was_fitted_anew_stays_chosen(widget, viewer, faces, stack, model):
    other = viewer.add_layer(Layer.create(*faces_layer(stack, "other")))
    ResultLayers(viewer, faces, ShowOptions()).show_model(model)
    above, again = (fit(stack, n_components=k, max_iter=5, tol=0) for k in (4, 5))
    ResultLayers(viewer, other, ShowOptions()).show_model(above)
    viewer.layers.selection.active = other
    widget.model_choice.combo.value = model
    ResultLayers(viewer, faces, ShowOptions()).show_model(again)
    assert set(widget.model_choice.combo.choices) == {above, again}
    assert widget.model_choice.model is again
    viewer.layers.remove("latent faces [new]")
    viewer.layers.remove("reconstruction [new]")
    assert widget.model_choice.model is above


def test_a_model_file_can_be_opened(widget, faces, model, tmp_path, monkeypatch, qtbot):
    from qtpy.QtWidgets import QFileDialog

    model.save(tmp_path / "parts.npz")
    monkeypatch.setattr(
        QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "parts.npz"), "")
    )
    widget.model_choice.open_button.native.click()
    wait_for_model(widget, qtbot)
    np.testing.assert_array_equal(widget.model_choice.model.components, model.components)
    assert widget.model_choice.combo.native.currentText().endswith(", parts.npz")
    assert widget.start_button.enabled


def test_a_file_that_is_no_model_is_told(widget, viewer, model, tmp_path, qtbot, notes):
    (tmp_path / "x.npz").write_text("no model")
    add_model(viewer, model)
    widget.model_choice.open_file(str(tmp_path / "x.npz"))
    wait_for_model(widget, qtbot)
    assert len(notes) == 1
    assert "x.npz is not a model file" in notes[0]
    assert widget.model_choice.model is model
    assert not widget.cancel_button.visible


@pytest.fixture
def slow_file(monkeypatch, model):
    """Return two events: that a file is being read in a thread, and that it may go on."""
    reading, go = threading.Event(), threading.Event()

    def load(_path):
        assert threading.current_thread() is not threading.main_thread()
        reading.set()
        assert go.wait(30)
        return model

    monkeypatch.setattr("napari_latent_faces.model.LatentFaces.load", load)
    yield reading, go
    go.set()


def test_a_file_is_read_while_the_window_lives(widget, faces, model, slow_file, qtbot):
    reading, go = slow_file
    widget.show()
    widget.model_choice.open_file("folder/big.npz")
    qtbot.waitUntil(reading.is_set, timeout=10_000)
    assert widget.status.value == "Opening big.npz ..."
    assert not widget.model_choice.enabled
    assert widget.start() is None
    assert widget.cancel_button.visible
    assert widget.cancel_button.visible
    go.set()
    wait_for_model(widget, qtbot)
    assert widget.model_choice.model is model
    assert not widget.status.value
    assert not widget.progress.visible
    assert widget.start_button.enabled


def test_a_cancelled_file_is_not_chosen(widget, faces, slow_file, qtbot):
    reading, go = slow_file
    job = widget.model_choice.open_file("big.npz")
    qtbot.waitUntil(reading.is_set, timeout=10_000)
    widget.cancel_button.native.click()
    assert job.is_over
    assert widget.status.value.startswith("No model yet")
    go.set()
    qtbot.waitUntil(lambda: job not in _running, timeout=10_000)
    assert widget.model_choice.model is None


def test_the_last_of_two_files_is_chosen(widget, faces, slow_file, qtbot):
    reading, go = slow_file
    first = widget.model_choice.open_file("big.npz")
    qtbot.waitUntil(reading.is_set, timeout=10_000)
    widget.model_choice.open_file("other.npz")
    assert widget.status.value == "Opening other.npz ..."
    go.set()
    wait_for_model(widget, qtbot)
    qtbot.waitUntil(lambda: first not in _running, timeout=10_000)
    assert widget.model_choice.combo.native.currentText().endswith(", other.npz")


def test_a_closed_widget_reads_its_file_no_more(viewer, slow_file, qtbot):
    widget = EncodeWidget(viewer)
    reading, go = slow_file
    job = widget.model_choice.open_file("big.npz")
    qtbot.waitUntil(reading.is_set, timeout=10_000)
    widget.deleteLater()
    qtbot.waitUntil(lambda: job.is_over, timeout=10_000)
    go.set()
    qtbot.waitUntil(lambda: job not in _running, timeout=10_000)


def test_a_click_encodes_and_lists_the_worst_first(widget, viewer, faces, stack, model, qtbot):
    add_model(viewer, model)
    run(widget, qtbot)
    errors = model.errors(stack)
    assert f"mean relative error {errors.mean():.4f}" in widget.status.value
    table = widget.table.faces
    assert table.rowCount() == 30
    worst = int(errors.argmax())
    cells = [table.data(table.index(0, column)) for column in range(3)]
    assert cells == [stack.names[worst], stack.subjects[worst], f"{errors[worst]:.4f}"]
    assert "encoded [new]" in viewer.layers


def test_a_click_on_a_row_goes_to_its_face_and_the_slider_marks_its_row(
    widget, viewer, faces, model, qtbot
):
    add_model(viewer, model)
    other = viewer.add_image(np.zeros((50, 12, 10)))
    widget.faces.value = faces
    run(widget, qtbot)
    viewer.layers.selection.active = other
    table = widget.table
    for row in (3, 11):
        table.clicked.emit(table.faces.index(row, 1))
        assert session_of(viewer).face == table.faces.row_at(row) == viewer.dims.point[0]
        assert table.currentIndex().row() == row
    viewer.dims.set_point(0, 4)
    assert table.faces.row_at(table.currentIndex().row()) == 4


def test_the_table_goes_with_its_faces(widget, viewer, faces, model, qtbot):
    add_model(viewer, model)
    run(widget, qtbot)
    assert not widget.table.isHidden()
    viewer.layers.remove(faces)
    assert widget.table.isHidden()
    widget._go_to(3)


def test_wrong_pictures_are_told(widget, viewer, model, qtbot, monkeypatch):
    told = []
    monkeypatch.setattr("napari.utils.notifications.show_error", told.append)
    add_model(viewer, model)
    viewer.add_image(np.full((3, 12, 10), -1.0), contrast_limits=(0, 1))
    run(widget, qtbot)
    assert "negative" in told[0]
    assert "failed" in widget.status.value
    assert widget.table.isHidden()


def test_cancel(widget, viewer, faces, model, qtbot):
    add_model(viewer, model)
    job = widget.start()
    assert not widget.start_button.enabled
    assert not widget.model_choice.enabled
    widget.cancel_button.native.click()
    assert job.is_over
    assert not widget.is_working
    assert widget.status.value.startswith("Cancelled")
    assert widget.start_button.enabled


def test_a_closed_widget_ends_its_work_and_follows_the_viewer_no_more(
    viewer, faces, model, qtbot
):
    widget = EncodeWidget(viewer)
    add_model(viewer, model)
    job = widget.start()
    widget.deleteLater()
    qtbot.waitUntil(lambda: job.is_over)
    viewer.dims.set_point(0, 3)
    viewer.layers.clear()


def test_strangers_are_aligned_to_a_model_of_aligned_faces(widget, viewer, qtbot):
    drawn = sample_faces(9, 4)
    model = fit(align_faces(drawn[:32], size=(92, 76)), n_components=12, tol=1e-3)
    add_model(viewer, model)
    assert widget.align.value
    shifted = replace(drawn[32:], images=np.roll(drawn.images[32:], (5, -4), (1, 2)))
    viewer.add_layer(Layer.create(*faces_layer(shifted, "strangers")))
    run(widget, qtbot)
    found = viewer.layers["encoded [strangers]"].metadata[MODEL_KEY]
    assert found.error == pytest.approx(model.encoded(shifted, align=True).error)
    assert found.transforms.shape == (4, 3, 3)
    assert "4 faces aligned" in widget.status.value
    widget.align.value = False
    run(widget, qtbot)
    assert viewer.layers["encoded [strangers]"].metadata[MODEL_KEY].error > 1.2 * found.error
    add_model(viewer, fit(drawn, n_components=3, tol=1e-2))
    widget.model_choice.combo.value = widget.model_choice.combo.choices[-1]
    assert not widget.align.value


def test_faces_of_a_shorter_stack_are_gone_to_and_stay_chosen(
    widget, viewer, faces, stack, model, qtbot
):
    """The slider is beyond the new faces: they would not be seen."""
    ResultLayers(viewer, faces, ShowOptions()).show_model(model)
    few = viewer.add_layer(Layer.create(*faces_layer(stack[:5], "few")))
    QApplication.processEvents()
    viewer.dims.set_point(0, 20)
    assert widget.faces.value is few
    run(widget, qtbot)
    assert viewer.dims.point[0] == widget.table.faces.row_at(0)
    assert widget.faces.value is few
