"""The panels that encode new faces, and mend what is marked."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_latent_faces.aligning import align_faces
from napari_latent_faces.fitting import fit
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.jobs import _running
from napari_latent_faces.viewer.layers import MODEL_KEY, faces_layer
from napari_latent_faces.viewer.panels.encode import EncodeWidget, MendWidget
from napari_latent_faces.viewer.panels.pictures import Column, Rows, Table
from napari_latent_faces.viewer.session import session_of
from tests.jobs import wait_for_model

DOWN, UP = Qt.SortOrder.DescendingOrder, Qt.SortOrder.AscendingOrder


@pytest.fixture
def widget(make):
    return make(EncodeWidget)


@pytest.fixture
def faces(add_faces, stack):
    return add_faces(stack)


def order(table):
    return [table.rows.row_at(place) for place in range(table.rows.rowCount())]


def cells(table, row):
    return [table.rows.index(row, column).data() for column in range(table.rows.columnCount())]


# -- what it is about --------------------------------------------------------------------


def test_it_says_what_is_missing_and_what_it_takes(
    widget, viewer, stack, model, add_faces, add_model
):
    assert not widget.start_button.enabled
    assert widget.status.value.startswith("No faces yet. Open some")
    faces = add_faces(stack)
    assert widget.status.value.startswith("No model yet: fit one")
    assert widget.start() is None
    add_model(model)
    encoded = viewer.add_image(np.zeros((12, 10)), metadata={MODEL_KEY: model.encoded(stack)})
    assert not widget.status.value
    assert widget.start_button.enabled
    assert widget.model_choice.combo.choices == (model,)  # once, not what it has encoded
    one = viewer.add_image(np.zeros((8, 8)), name="one")
    colour = viewer.add_image(np.zeros((8, 8, 3)), rgb=True)
    viewer.add_image(np.zeros((2, 3, 8, 8)))
    viewer.add_labels(np.zeros((8, 8), int))
    assert set(widget.faces.choices) == {faces, encoded, one, colour}


def test_a_model_that_was_fitted_anew_stays_chosen(
    widget, viewer, faces, stack, model, add_faces, show_model
):
    other = add_faces(stack, "other")
    show_model(faces, model)
    above, again = (fit(stack, n_components=k, max_iter=5, tol=0) for k in (4, 5))
    show_model(other, above)
    viewer.layers.selection.active = other
    widget.model_choice.combo.value = model
    show_model(faces, again)
    assert set(widget.model_choice.combo.choices) == {above, again}
    assert widget.model_choice.model is again
    viewer.layers.remove("latent faces [new]")
    viewer.layers.remove("reconstruction [new]")
    assert widget.model_choice.model is above


# -- models from files ---------------------------------------------------------------------


def test_a_model_file_can_be_opened_and_what_is_none_is_told(
    widget, faces, model, tmp_path, monkeypatch, qtbot, notes
):
    model.save(tmp_path / "parts.npz")
    (tmp_path / "x.npz").write_text("no model")
    monkeypatch.setattr(
        QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "parts.npz"), "")
    )
    widget.model_choice.open_button.native.click()
    wait_for_model(widget, qtbot)
    opened = widget.model_choice.model
    np.testing.assert_array_equal(opened.components, model.components)
    assert widget.model_choice.combo.native.currentText().endswith(", parts.npz")
    assert widget.start_button.enabled
    widget.model_choice.open_file(str(tmp_path / "x.npz"))
    wait_for_model(widget, qtbot)
    assert len(notes) == 1
    assert "x.npz is not a model file" in notes[0]
    assert widget.model_choice.model is opened
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


def test_files_are_read_while_the_window_lives_and_the_last_is_chosen(
    widget, faces, model, slow_file, qtbot
):
    reading, go = slow_file
    first = widget.model_choice.open_file("folder/big.npz")
    qtbot.waitUntil(reading.is_set, timeout=10_000)
    assert widget.status.value == "Opening big.npz ..."
    assert not widget.model_choice.enabled
    assert widget.start() is None
    assert widget.cancel_button.visible
    widget.model_choice.open_file("other.npz")
    assert widget.status.value == "Opening other.npz ..."
    go.set()
    wait_for_model(widget, qtbot)
    qtbot.waitUntil(lambda: first not in _running, timeout=10_000)
    assert widget.model_choice.combo.native.currentText().endswith(", other.npz")
    assert widget.model_choice.model is model
    assert not widget.status.value
    assert not widget.progress.visible
    assert widget.start_button.enabled


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_a_file_that_nobody_waits_for_is_not_chosen(how, viewer, faces, slow_file, qtbot):
    widget = EncodeWidget(viewer)
    reading, go = slow_file
    job = widget.model_choice.open_file("big.npz")
    qtbot.waitUntil(reading.is_set, timeout=10_000)
    if how == "closed":
        widget.deleteLater()
        qtbot.waitUntil(lambda: job.is_over, timeout=10_000)
    else:
        qtbot.addWidget(widget)
        widget.cancel_button.native.click()
        assert job.is_over
        assert widget.status.value == "Cancelled."
    go.set()
    qtbot.waitUntil(lambda: job not in _running, timeout=10_000)
    assert how == "closed" or widget.model_choice.model is None


# -- encoding ------------------------------------------------------------------------------


def test_it_encodes_and_lists_the_worst_first_and_goes_to_what_is_clicked(
    widget, viewer, faces, stack, model, add_model, run, click
):
    add_model(model)
    viewer.add_image(np.zeros((50, 12, 10)))
    widget.faces.value = faces
    run(widget)
    table, errors = widget.table, model.errors(stack)
    assert f"mean relative error {errors.mean():.4f}" in widget.status.value
    assert table.rows.rowCount() == 30
    worst = int(errors.argmax())
    expected = [stack.names[worst], stack.subjects[worst], f"{errors[worst]:.4f}"]
    assert cells(table, 0) == expected
    assert "encoded [new]" in viewer.layers
    viewer.layers.selection.active = viewer.layers[-1]
    for row in (3, 11):
        click(table, row, 1)
        assert session_of(viewer).face == table.rows.row_at(row) == viewer.dims.point[0]
        assert table.currentIndex().row() == row
    viewer.dims.set_point(0, 4)
    assert table.rows.row_at(table.currentIndex().row()) == 4
    viewer.layers.remove(faces)
    assert table.isHidden()
    widget._go_to(3)


def test_cancelled_and_failed_work_changes_nothing_and_a_closed_panel_follows_no_more(
    widget, viewer, faces, stack, model, add_model, add_faces, run, told, qtbot
):
    add_model(model)
    before = list(viewer.layers)
    job = widget.start()
    assert not widget.start_button.enabled
    assert not widget.model_choice.enabled
    widget.cancel_button.native.click()
    assert job.is_over
    assert not widget.is_working
    assert widget.status.value.startswith("Cancelled")
    assert list(viewer.layers) == before
    widget.faces.value = viewer.add_image(np.full((3, 12, 10), -1.0), contrast_limits=(0, 1))
    run(widget)
    assert "negative" in told[0]
    assert "failed" in widget.status.value
    assert widget.table.isHidden()
    widget.faces.value = faces
    closed = EncodeWidget(viewer)
    job = closed.start()
    closed.deleteLater()
    qtbot.waitUntil(lambda: job.is_over)
    viewer.dims.set_point(0, 3)
    viewer.layers.clear()


def test_strangers_are_aligned_to_a_model_of_aligned_faces(
    widget, viewer, add_faces, add_model, run
):
    drawn = sample_faces(9, 4)
    model = fit(align_faces(drawn[:32], size=(92, 76)), n_components=12, tol=1e-3)
    add_model(model)
    assert widget.align.value
    shifted = replace(drawn[32:], images=np.roll(drawn.images[32:], (5, -4), (1, 2)))
    add_faces(shifted)
    run(widget)
    found = viewer.layers["encoded [new]"].metadata[MODEL_KEY]
    assert found.error == pytest.approx(model.encoded(shifted, align=True).error)
    assert found.transforms.shape == (4, 3, 3)
    assert "4 faces aligned" in widget.status.value
    widget.align.value = False
    run(widget)
    assert viewer.layers["encoded [new]"].metadata[MODEL_KEY].error > 1.2 * found.error
    add_model(fit(drawn, n_components=3, tol=1e-2))
    widget.model_choice.combo.value = widget.model_choice.combo.choices[-1]
    assert not widget.align.value


def test_faces_of_a_shorter_stack_are_gone_to_and_stay_chosen(
    widget, viewer, faces, stack, model, add_faces, show_model, run
):
    """The slider is beyond the new faces: they would not be seen."""
    show_model(faces, model)
    few = add_faces(stack[:5], "few")
    QApplication.processEvents()
    viewer.dims.set_point(0, 20)
    assert widget.faces.value is few
    run(widget)
    assert viewer.dims.point[0] == widget.table.rows.row_at(0)
    assert widget.faces.value is few


# -- tables of rows ----------------------------------------------------------------------


@pytest.fixture
def table(qtbot):
    table = Table("")
    qtbot.addWidget(table)
    table.resize(400, 300)
    table.show()
    letters, places, errors = "abcde", np.array([0, 0, 1, 1, 0]), np.array([3, 1, 4, 1, 5.0])
    table.put(
        5,
        Column(letters.__getitem__, "Name", np.arange(5)),
        Column(lambda row: str(places[row]), "Place", places),
        Column(lambda row: str(errors[row]), "Error", errors),
    )
    return table


@pytest.mark.parametrize(
    ("column", "direction", "expected"),
    [
        (0, UP, [0, 1, 2, 3, 4]),
        (0, DOWN, [4, 3, 2, 1, 0]),
        (1, UP, [0, 1, 4, 2, 3]),
        (1, DOWN, [2, 3, 0, 1, 4]),
        (2, UP, [1, 3, 0, 2, 4]),
        (2, DOWN, [4, 2, 0, 1, 3]),
    ],
)
def test_every_column_sorts_and_what_is_marked_moves_along(table, column, direction, expected):
    assert order(table) == [4, 2, 0, 1, 3]  # at first down the last column
    table.mark(2)
    table.sortByColumn(column, direction)
    assert order(table) == expected
    assert table.rows.row_at(table.currentIndex().row()) == 2


def test_a_click_and_enter_choose_a_row_and_marking_does_not(table, qtbot, click):
    chosen = []
    table.chosen.connect(lambda *both: chosen.append(both))
    table.mark(2)
    assert table.currentIndex().row() == 1
    for none in (None, 99):
        table.mark(none)
        assert not table.selectedIndexes()
    assert not chosen
    click(table, 2, 1)
    assert chosen == [(0, 1)]
    qtbot.keyClick(table, Qt.Key.Key_Down)
    qtbot.keyClick(table, Qt.Key.Key_Return)
    assert chosen[1:] == [(1, 1)]


def test_only_the_rows_that_are_seen_are_asked_for(table, monkeypatch):
    asked = set()
    original = Rows.data

    def data(self, index, role=Qt.ItemDataRole.DisplayRole):
        asked.add(index.row())
        return original(self, index, role)

    monkeypatch.setattr(Rows, "data", data)
    n = 200_000
    errors = np.random.default_rng(0).random(n)
    table.put(n, Column(str, "Face", np.arange(n)), Column(str, "Error", errors))
    for column in (1, 0, 1):
        table.sortByColumn(column, UP)
        table.grab()  # draws it
    table.mark(int(errors.argmax()))
    table.grab()
    assert table.rows.rowCount() == n
    assert table.rows.row_at(0) == errors.argmin()
    assert 0 < len(asked) < 300


# -- mending -------------------------------------------------------------------------------


@pytest.fixture
def mend(viewer, stack, model, make, add_model):
    viewer.add_layer(Layer.create(*faces_layer(stack, "new")))
    add_model(model)
    return make(MendWidget)


def test_masks_are_painted_and_all_faces_or_this_one_are_mended(
    mend, viewer, stack, model, run
):
    assert not mend.start_button.enabled
    assert mend.status.value.startswith("No marks yet: press New mask")
    mend.new_button.native.click()
    mask = mend.marks.value
    assert viewer.layers.selection.active is mask
    assert mask.data.shape == (12, 10)
    assert mask.mode == "paint"
    assert mend.start_button.enabled
    mask.paint((4, 5), 1)
    run(mend)
    assert mend.status.value.startswith("30 faces are mended")
    assert viewer.layers.selection.active is mask  # to go on painting
    assert mask.mode == "paint"
    mended = viewer.layers["mended [new]"]
    np.testing.assert_array_equal(np.asarray(mended.data), model.mend(stack, mask.data))

    viewer.layers.remove(mended)
    mend.which.value = "this face"
    viewer.dims.set_point(0, 13)
    run(mend)
    mended = np.asarray(viewer.layers["mended [new]"].data)
    assert np.flatnonzero((mended != stack.images).any(axis=(1, 2))).tolist() == [13]

    mend.which.value = "all faces"
    mend.each_button.native.click()
    mask = mend.marks.value
    assert mask.data.shape == stack.shape
    mask.paint((8, 4, 5), 1)
    run(mend)
    assert mend.status.value.startswith("1 face is mended")


def test_what_cannot_be_mended_is_told(mend, viewer, run, told):
    mend.new_button.native.click()
    run(mend)
    assert "marks nothing of these faces" in told[0]
    faces = mend.faces.value
    mend.faces.value = viewer.add_image(np.zeros((3, 9, 9)), name="small")
    assert mend.start() is None
    assert "9 x 9 pixels, the model's faces 10 x 12" in told[1]
    assert told[1] in mend.status.value
    viewer.add_image(np.zeros((60, 12, 10)))
    mend.faces.value, mend.which.value = faces, "this face"
    viewer.dims.set_point(0, 50)
    assert mend.start() is None
    assert told[2:] == ["new has no face at this place of the slider: move it back."]


def test_labels_and_shapes_are_offered_for_pictures_in_grey_and_in_colour(mend, viewer):
    shapes, labels = viewer.add_shapes(), viewer.add_labels(np.zeros((3, 3), int))
    viewer.add_points()
    colour = viewer.add_image(np.zeros((8, 8, 3)), rgb=True)
    assert set(mend.marks.choices) == {labels, shapes}
    assert mend.faces.choices == (viewer.layers["new"], colour)
    mend.faces.value = viewer.add_image(np.zeros((12, 10)), name="me")
    assert mend.new_button.enabled
    assert not mend.each_button.enabled  # of a single picture


def test_a_closed_panel_mends_no_more(viewer, mend, qtbot):
    widget = MendWidget(viewer)
    viewer.add_labels(np.eye(12, 10, dtype=int))
    job = widget.start()
    widget.deleteLater()
    qtbot.waitUntil(lambda: job.is_over)
    viewer.layers.clear()
