"""The panel that fits: what it offers, the fit itself, other methods, and models as files."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox
from superqt.utils import WorkerBase

from napari_latent_faces.export import as_python, export_model
from napari_latent_faces.files import CONTENTS
from napari_latent_faces.fitting import fit
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.params import METHODS, NMFParams, PCAParams
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.layers import MODEL_KEY, ROLE_KEY
from napari_latent_faces.viewer.panels.fit import FitWidget
from napari_latent_faces.viewer.panels.form import read_fields
from napari_latent_faces.viewer.session import session_of
from tests.jobs import HeldWork, layers_in


@pytest.fixture
def widget(make):
    return make(FitWidget)


@pytest.fixture
def ready(widget, faces):
    """Return the panel with faces, and fields for a short fit of three components."""
    widget.parameters["n_components"].value = 3
    widget.parameters["tol"].value = "0"
    widget.parameters["max_iter"].value = 30
    return widget


@pytest.fixture
def fit_by(run):
    """Return a function that fits by another method."""

    def fit_by(widget, method, **typed):
        widget.method.value = method
        for name, value in typed.items():
            widget.parameters[name].value = value
        run(widget)

    return fit_by


def begin_a_long_fit(widget, qtbot):
    widget.parameters["max_iter"].value = 10**6
    widget.start_button.native.click()
    qtbot.waitUntil(lambda: widget.progress.value > 0)


def model_of(viewer, name="reconstruction [orl]"):
    return viewer.layers[name].metadata[MODEL_KEY]


# -- what it offers ------------------------------------------------------------------------


def test_a_new_user_is_shown_a_sample_and_others_their_stacks(
    widget, viewer, make, stack, qtbot
):
    assert not widget.start_button.enabled
    assert "Open folder of faces" in widget.status.value
    assert "Open Sample" in widget.status.value
    assert not widget.copy_button.enabled
    assert not widget.export_button.enabled
    widget.parameters["max_iter"].value = 5
    assert widget.sample_button.visible
    widget.sample_button.native.click()
    assert widget.progress.visible
    assert not widget.sample_button.visible
    qtbot.waitUntil(lambda: len(layers_in(viewer)) == 3 and not widget.is_working)
    faces = viewer.layers["drawn faces"]
    np.testing.assert_array_equal(faces.data, sample_faces().images)
    assert model_of(viewer, "reconstruction [drawn faces]").n_components == 20

    viewer.add_image(np.zeros((8, 8)), name="flat")
    colour = viewer.add_image(np.zeros((5, 8, 8, 3)), rgb=True, name="colour")
    viewer.add_image(np.zeros((2, 5, 8, 8)), name="four")
    viewer.add_labels(np.zeros((5, 8, 8), int), name="labels")
    other = viewer.add_image(np.zeros((5, 8, 8)), name="another plugin's")
    for panel in (widget, make(FitWidget)):
        assert panel.faces.choices == (faces, colour, other)
        assert panel.start_button.enabled
        assert not panel.sample_button.visible


@pytest.mark.parametrize("method", METHODS)
def test_fields_that_apply_are_seen_with_the_defaults_that_are_used(widget, method):
    widget.advanced.unfold()
    widget.method.value = method
    kind, own = METHODS[method], set(map(id, widget.parameters.values()))
    assert set(widget.parameters) == set(kind.names())
    own |= {id(widget.ignore)} if kind.takes_mask else set()
    for each in widget._of_methods:
        assert each.native.isVisible() == (id(each) in own)
    assert widget.summary.value == kind.summary
    assert read_fields(kind, widget.parameters) == kind()


def test_what_was_typed_is_there_again(widget):
    def typed(**values):
        for name, value in values.items():
            assert widget.parameters[name].value == value

    widget.parameters["n_components"].value = 3
    widget.parameters["max_iter"].value = 77
    widget.parameters["init"].value = "random"
    widget.method.value = "dictionary"
    typed(max_iter=METHODS["dictionary"]().max_iter, n_components=3)  # the same for all
    widget.parameters["alpha"].value = "0.25"
    widget.parameters["n_components"].value = 5
    widget.method.value = "nmf"
    typed(max_iter=77, init="random", n_components=5)
    widget.method.value = "dictionary"
    typed(alpha=0.25)


# -- the fit -------------------------------------------------------------------------------


def test_a_click_fits_and_options_become_layers(ready, viewer, run):
    run(ready)
    names = ["orl", "latent faces [orl]", "reconstruction [orl]"]
    assert [layer.name for layer in layers_in(viewer)] == names
    model = model_of(viewer)
    assert model.params == NMFParams(n_components=3, max_iter=30, tol=0)
    assert f"{model.error:.4f}" in ready.status.value
    assert ready.start_button.text.replace("&", "") == "Fit"
    ready.residual.value = ready.slider.value = True
    run(ready)
    roles = {layer.metadata.get(ROLE_KEY) for layer in layers_in(viewer)}
    assert roles >= {"components", "reconstruction", "residual"}
    assert viewer.dims.ndim == 4
    gallery = next(layer for layer in viewer.layers if layer.ndim == 4)
    assert gallery.axis_labels == ("component", "face", "y", "x")


def test_the_marked_pixels_are_left_out_of_a_fit(ready, viewer, stack, run):
    assert ready.ignore.value is None
    bar = np.array([[1.5, -0.5], [1.5, 9.5], [5.5, 9.5], [5.5, -0.5]])
    shapes = viewer.add_shapes([bar], shape_type="polygon")
    labels = viewer.add_labels(np.eye(3, dtype=int))
    viewer.add_points()
    assert ready.ignore.choices[0] is None
    assert set(ready.ignore.choices) == {None, labels, shapes}
    assert ready.ignore.value is None  # nobody has asked for it
    ready.ignore.value = shapes
    viewer.layers.remove(labels)
    assert ready.ignore.value is shapes
    run(ready)
    assert ready.ignore.enabled
    mask = np.zeros((12, 10), bool)
    mask[2:6] = True
    alone = fit(stack, n_components=3, max_iter=30, tol=0, mask=mask)
    np.testing.assert_array_equal(model_of(viewer).mask, mask)
    np.testing.assert_array_equal(model_of(viewer).weights, alone.weights)
    assert "40 pixels of each" in ready.status.value
    viewer.layers.remove(shapes)
    assert ready.ignore.value is None


def test_what_marks_too_much_is_told_and_marks_of_hidden_fields_do_not_count(
    ready, viewer, run, fit_by, told
):
    ready.ignore.value = viewer.add_labels(np.zeros((2, 5, 12, 10), int), name="four")
    assert ready.fit() is None
    assert told[0].startswith("Ignore: four has 4 axes")
    ready.ignore.value = viewer.add_labels(np.ones((12, 10), int), name="all")
    run(ready)
    assert told[1:] == ["Ignore: all marks every pixel: leave some of them to be fitted."]
    assert told[1] in ready.status.value
    fit_by(ready, "pca")
    assert ready.status.value.startswith("Done")
    ready.method.value = "nmf"
    assert ready.ignore.value is viewer.layers["all"]


def test_while_it_fits_one_can_cancel_or_stop_and_keep(ready, viewer, qtbot):
    begin_a_long_fit(ready, qtbot)
    assert ready.start_button.text.replace("&", "") == "Stop and keep"
    assert ready.cancel_button.visible
    assert ready.progress.visible
    assert not ready.parameters["n_components"].enabled
    assert not ready.ignore.enabled
    assert ready.fit() is None  # a second fit does not start
    assert "error" in ready.status.value
    ready.cancel_button.native.click()
    assert not ready.is_working
    assert not ready.cancel_button.visible
    assert ready.parameters["n_components"].enabled
    assert ready.status.value == "Cancelled; nothing was kept."
    begin_a_long_fit(ready, qtbot)
    ready.start_button.native.click()
    qtbot.waitUntil(lambda: not ready.is_working)
    assert ready.status.value.startswith("Stopped and kept")
    assert len(layers_in(viewer)) == 3


def test_removing_the_faces_ends_their_fit(ready, viewer, faces, qtbot):
    begin_a_long_fit(ready, qtbot)
    viewer.layers.remove(faces)
    qtbot.waitUntil(lambda: not ready.is_working)
    assert not ready.start_button.enabled
    assert not viewer.layers


def test_wrong_input_is_told(ready, told, run):
    ready.parameters["tol"].value = "tiny"
    ready.start_button.native.click()
    assert not ready.is_working
    assert told == ["tol must be a number (0.0 or more), got 'tiny'."]
    ready.parameters["tol"].value = "0"
    ready.parameters["n_components"].value = 31
    run(ready)
    assert told[1:] == ["n_components must be from 1 to 30 (the number of faces), got 31."]
    assert told[1] in ready.status.value


def test_a_closed_panel_ends_its_fit_and_follows_the_layers_no_more(viewer, faces, qtbot):
    widget = FitWidget(viewer)
    widget.parameters["n_components"].value = 3
    widget.parameters["tol"].value = "0"
    begin_a_long_fit(widget, qtbot)
    widget.deleteLater()
    qtbot.waitUntil(lambda: not widget.is_working)
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)
    viewer.add_image(np.zeros((5, 8, 8)))
    viewer.layers.clear()


# -- other methods -------------------------------------------------------------------------


def test_methods_have_layers_of_their_own_and_one_is_seen(
    ready, viewer, stack, run, fit_by, qtbot
):
    run(ready)
    ours = [viewer.layers["latent faces [orl]"], viewer.layers["reconstruction [orl]"]]
    fit_by(ready, "pca")
    theirs = [
        viewer.layers[f"{name} [orl, PCA]"] for name in ("latent faces", "reconstruction")
    ]
    model = theirs[0].metadata[MODEL_KEY]
    alone = fit(stack, PCAParams(n_components=3))
    assert model.params == alone.params
    np.testing.assert_array_equal(model.components, alone.components)
    assert tuple(theirs[0].contrast_limits) == (-1, 1)
    assert theirs[0].colormap.name == "blue-black-orange"
    assert ready.status.value.startswith("Done in ")
    assert [layer.visible for layer in (*ours, *theirs)] == [False, False, True, True]
    assert session_of(viewer).model is model

    picture = ours[0].data.copy()
    ready.method.value = "nmf"
    begin_a_long_fit(ready, qtbot)
    assert ours[0].visible
    ready.cancel_button.native.click()  # hides the earlier one again
    assert not ours[0].visible
    np.testing.assert_array_equal(ours[0].data, picture)

    fit_by(ready, "nmf", max_iter=9)
    assert [layer.visible for layer in (*ours, *theirs)] == [True, True, False, False]
    assert session_of(viewer).model is ours[0].metadata[MODEL_KEY]
    assert len(layers_in(viewer)) == 5


def test_what_the_user_hid_stays_hidden(ready, viewer, fit_by):
    fit_by(ready, "pca")
    viewer.layers["reconstruction [orl, PCA]"].visible = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        fit_by(ready, "kmeans")
        fit_by(ready, "pca")
    assert viewer.layers["latent faces [orl, PCA]"].visible
    assert not viewer.layers["reconstruction [orl, PCA]"].visible


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Return the folder that is chosen where one is asked for."""
    chosen = tmp_path / "out"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(chosen))
    return chosen


@pytest.fixture
def shown(widget, model, add_model):
    """Return the panel with a model from a file."""
    add_model(model)
    return widget


def test_copy_puts_the_script_of_any_model_on_the_clipboard(
    shown, viewer, model, faces, fit_by
):
    shown.copy_button.native.click()
    assert QApplication.clipboard().text() == as_python(model)
    fit_by(shown, "pca", n_components=3)
    shown.copy_button.native.click()
    fitted = model_of(viewer, "reconstruction [orl, PCA]")
    assert QApplication.clipboard().text() == as_python(fitted)
    assert shown.status.value.startswith("Copied")


def test_export_writes_what_the_command_line_writes(ready, folder, qtbot, fit_by, monkeypatch):
    fit_by(ready, "pca")
    ready.export_button.native.click()
    assert ready.cancel_button.visible
    qtbot.waitUntil(lambda: not ready.is_working)
    assert {path.name for path in folder.iterdir()} == {
        "model.npz", "components", "components.png", "mean.png", "weights.csv", CONTENTS
    }  # fmt: skip
    assert LatentFaces.load(folder / "model.npz").params == PCAParams(n_components=3)
    assert ready.status.value == f"Written to {folder}."
    assert ready.export_button.enabled
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")
    ready.export_button.native.click()  # no folder is no export
    assert not ready.is_working


def test_an_export_tells_how_far_it_is_and_can_be_cancelled(shown, folder, qtbot, monkeypatch):
    held = HeldWork((1, 4), (2, 4))
    monkeypatch.setattr("napari_latent_faces.viewer.panels.fit.iter_export", held)
    shown.export_button.native.click()
    qtbot.waitUntil(lambda: shown.status.value == "Writing: 25% ...")
    assert shown.progress.value / shown.progress.max == 0.25
    assert not shown.start_button.enabled
    shown.cancel_button.native.click()
    assert shown.status.value == "The export was cancelled."
    assert shown.export_button.enabled
    held.go_on.set()
    qtbot.waitUntil(held.closed.is_set)


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_an_earlier_export_is_replaced_if_the_user_says_so(
    answer, shown, folder, qtbot, monkeypatch, stack
):
    asked = []

    def question(*args):
        asked.append(args[-1])
        return getattr(QMessageBox.StandardButton, answer)

    export_model(fit(stack, PCAParams(n_components=2)), folder)
    before = (folder / "model.npz").read_bytes()
    monkeypatch.setattr(QMessageBox, "question", question)
    shown.export_button.native.click()
    qtbot.waitUntil(lambda: not shown.is_working)
    assert "earlier export" in asked[0]
    assert ((folder / "model.npz").read_bytes() != before) == (answer == "Yes")


def test_files_in_the_way_and_a_full_disk_are_told(shown, folder, qtbot, monkeypatch, told):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    folder.mkdir()
    (folder / "weights.csv").write_text("mine")
    shown.export_button.native.click()
    qtbot.waitUntil(lambda: not shown.is_working)
    assert "holds other files" in told[0]
    assert (folder / "weights.csv").read_text() == "mine"
    monkeypatch.setattr("PIL.Image.Image.save", full)
    shown.export(folder.with_name("other"))
    qtbot.waitUntil(lambda: not shown.is_working)
    assert "No space left" in told[1]
    assert shown.status.value.startswith("The export failed")


def test_a_closed_panel_writes_all_or_nothing(viewer, qtbot, model, add_model, tmp_path):
    widget = FitWidget(viewer)
    add_model(model)
    widget.export(tmp_path / "out")
    widget.deleteLater()
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)
    viewer.layers.clear()
    found = [(tmp_path / "out" / name).exists() for name in ("model.npz", CONTENTS)]
    assert len(set(found)) == 1
