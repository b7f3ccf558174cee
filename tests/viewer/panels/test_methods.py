"""The fit widget with other methods than NMF, and what it does with a result."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox
from superqt.utils import WorkerBase

from napari_latent_faces.export import as_python, export_model
from napari_latent_faces.files import CONTENTS
from napari_latent_faces.fitting import fit
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.params import METHODS, PCAParams
from napari_latent_faces.viewer.layers import MODEL_KEY, faces_layer
from napari_latent_faces.viewer.layout import model_layers
from napari_latent_faces.viewer.panels.fit import FitWidget
from napari_latent_faces.viewer.session import session_of
from tests.jobs import HeldWork, layers_in


@pytest.fixture
def widget(viewer, stack, qtbot):
    viewer.add_layer(Layer.create(*faces_layer(stack, "orl")))
    widget = FitWidget(viewer)
    qtbot.addWidget(widget)
    widget.parameters["n_components"].value = 3
    widget.show()
    widget.advanced.unfold()
    return widget


def fit_by(widget, qtbot, method, **typed):
    widget.method.value = method
    for name, value in typed.items():
        widget.parameters[name].value = value
    widget.start_button.native.click()
    qtbot.waitUntil(lambda: not widget.is_working)


@pytest.mark.parametrize("method", METHODS)
def test_only_fields_that_apply_are_seen(widget, method):
    widget.method.value = method
    assert set(widget.parameters) == set(METHODS[method].names())
    for each in widget.parameters.values():
        assert each.native.isVisible()
    own = {id(each) for each in widget.parameters.values()}
    for each in (*widget._basic, *widget._rest):
        if id(each) not in own:
            assert not each.native.isVisible()
    assert widget.ignore.native.isVisible() == METHODS[method].takes_mask
    assert widget.summary.value == METHODS[method].summary


def test_what_was_typed_is_there_again(widget):
    widget.parameters["max_iter"].value = 77
    widget.parameters["init"].value = "random"
    widget.method.value = "dictionary"
    assert widget.parameters["max_iter"].value == METHODS["dictionary"]().max_iter
    assert widget.parameters["n_components"].value == 3  # the same for all
    widget.parameters["alpha"].value = "0.25"
    widget.parameters["n_components"].value = 5
    widget.method.value = "nmf"
    assert widget.parameters["max_iter"].value == 77
    assert widget.parameters["init"].value == "random"
    assert widget.parameters["n_components"].value == 5
    widget.method.value = "dictionary"
    assert widget.parameters["alpha"].value == 0.25


@pytest.mark.parametrize("method", METHODS)
def test_every_default_shown_is_the_default_used(viewer, qtbot, method):
    from napari_latent_faces.viewer.panels.form import read_fields

    widget = FitWidget(viewer)
    qtbot.addWidget(widget)
    widget.method.value = method
    assert read_fields(METHODS[method], widget.parameters) == METHODS[method]()


def test_a_click_fits_eigenfaces(widget, viewer, stack, qtbot):
    fit_by(widget, qtbot, "pca")
    gallery = viewer.layers["latent faces [orl, PCA]"]
    model = gallery.metadata[MODEL_KEY]
    assert model.params == PCAParams(n_components=3)
    np.testing.assert_array_equal(
        model.components, fit(stack, PCAParams(n_components=3)).components
    )
    assert tuple(gallery.contrast_limits) == (-1, 1)
    assert gallery.colormap.name == "blue-black-orange"
    assert widget.status.value.startswith("Done in ")


def test_methods_have_layers_of_their_own_and_one_is_seen(widget, viewer, qtbot):
    fit_by(widget, qtbot, "nmf", tol="0", max_iter=9)
    ours = [viewer.layers["latent faces [orl]"], viewer.layers["reconstruction [orl]"]]
    fit_by(widget, qtbot, "pca")
    theirs = [
        viewer.layers[f"{name} [orl, PCA]"] for name in ("latent faces", "reconstruction")
    ]
    assert [layer.visible for layer in (*ours, *theirs)] == [False, False, True, True]
    assert session_of(viewer).model is theirs[0].metadata[MODEL_KEY]
    fit_by(widget, qtbot, "nmf")
    assert [layer.visible for layer in (*ours, *theirs)] == [True, True, False, False]
    assert session_of(viewer).model is ours[0].metadata[MODEL_KEY]
    assert len(layers_in(viewer)) == 5


def test_what_the_user_hid_stays_hidden(widget, viewer, qtbot):
    fit_by(widget, qtbot, "pca")
    viewer.layers["reconstruction [orl, PCA]"].visible = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        fit_by(widget, qtbot, "kmeans")
        fit_by(widget, qtbot, "pca")
    assert viewer.layers["latent faces [orl, PCA]"].visible
    assert not viewer.layers["reconstruction [orl, PCA]"].visible


def test_a_cancelled_fit_hides_the_earlier_one_again(widget, viewer, qtbot):
    fit_by(widget, qtbot, "nmf", tol="0", max_iter=9)
    fit_by(widget, qtbot, "pca")
    hidden = viewer.layers["latent faces [orl]"]
    picture = hidden.data.copy()
    widget.method.value = "nmf"
    widget.parameters["max_iter"].value = 10**6
    widget.start_button.native.click()
    qtbot.waitUntil(lambda: hidden.visible)
    widget.cancel_button.native.click()
    assert not hidden.visible
    np.testing.assert_array_equal(hidden.data, picture)


class TestActions:
    def test_there_is_nothing_to_do_without_a_result(self, widget):
        assert not widget.copy_button.enabled
        assert not widget.export_button.enabled

    def test_copy_puts_the_script_on_the_clipboard(self, widget, viewer, qtbot):
        fit_by(widget, qtbot, "pca")
        widget.copy_button.native.click()
        model = viewer.layers["reconstruction [orl, PCA]"].metadata[MODEL_KEY]
        assert QApplication.clipboard().text() == as_python(model)
        assert widget.status.value.startswith("Copied")

    def test_a_model_from_a_file_can_be_copied_too(self, widget, viewer, model):
        for data in model_layers(model, "m"):
            viewer.add_layer(Layer.create(*data))
        widget.copy_button.native.click()
        assert QApplication.clipboard().text() == as_python(model)

    def test_export_writes_what_the_command_line_writes(
        self, widget, qtbot, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
        fit_by(widget, qtbot, "pca")
        widget.export_button.native.click()
        assert widget.cancel_button.visible
        qtbot.waitUntil(lambda: not widget.is_working)
        assert {path.name for path in tmp_path.iterdir()} == {
            "model.npz", "components", "components.png", "mean.png", "weights.csv", CONTENTS
        }  # fmt: skip
        assert LatentFaces.load(tmp_path / "model.npz").params == PCAParams(n_components=3)
        assert widget.status.value == f"Written to {tmp_path}."
        assert widget.export_button.enabled

    def test_an_export_tells_how_far_it_is_and_can_be_cancelled(
        self, widget, qtbot, tmp_path, monkeypatch
    ):
        held = HeldWork((1, 4), (2, 4))
        monkeypatch.setattr("napari_latent_faces.viewer.panels.fit.iter_export", held)
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
        fit_by(widget, qtbot, "pca")
        widget.export_button.native.click()
        qtbot.waitUntil(lambda: widget.status.value == "Writing: 25% ...")
        assert widget.progress.value / widget.progress.max == 0.25
        assert not widget.start_button.enabled
        widget.cancel_button.native.click()
        assert widget.status.value == "The export was cancelled."
        assert widget.export_button.enabled
        held.go_on.set()
        qtbot.waitUntil(held.closed.is_set)

    @pytest.mark.parametrize("answer", ["Yes", "No"])
    def test_an_earlier_export_is_replaced_if_the_user_says_so(
        self, answer, widget, qtbot, tmp_path, monkeypatch, model
    ):
        asked = []

        def question(*args):
            asked.append(args[-1])
            return getattr(QMessageBox.StandardButton, answer)

        folder = tmp_path / "out"
        export_model(model, folder)
        before = (folder / "model.npz").read_bytes()
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
        monkeypatch.setattr(QMessageBox, "question", question)
        fit_by(widget, qtbot, "pca")
        widget.export_button.native.click()
        qtbot.waitUntil(lambda: not widget.is_working)
        assert "earlier export" in asked[0]
        changed = (folder / "model.npz").read_bytes() != before
        assert changed == (answer == "Yes")

    def test_no_folder_is_no_export(self, widget, qtbot, monkeypatch):
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")
        fit_by(widget, qtbot, "pca")
        widget.export_button.native.click()
        assert not widget.is_working

    def test_files_in_the_way_are_told_and_stay(self, widget, qtbot, tmp_path, monkeypatch):
        told = []
        monkeypatch.setattr("napari_latent_faces.viewer.panels.panel.show_error", told.append)
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
        (tmp_path / "weights.csv").write_text("mine")
        fit_by(widget, qtbot, "pca")
        widget.export_button.native.click()
        assert "holds other files" in told[0]
        assert (tmp_path / "weights.csv").read_text() == "mine"

    def test_a_full_disk_is_told(self, widget, qtbot, tmp_path, monkeypatch):
        def full(*_args, **_kwargs):
            raise OSError(28, "No space left on device")

        told = []
        monkeypatch.setattr("napari_latent_faces.export._written", full)
        monkeypatch.setattr("napari.utils.notifications.show_error", told.append)
        fit_by(widget, qtbot, "pca")
        widget.export(tmp_path)
        qtbot.waitUntil(lambda: not widget.is_working)
        assert "No space left" in told[0]
        assert widget.status.value.startswith("The export failed")

    def test_a_closed_widget_hears_no_more(self, viewer, qtbot, model, tmp_path):
        widget = FitWidget(viewer)
        for data in model_layers(model, "m"):
            viewer.add_layer(Layer.create(*data))
        widget.export(tmp_path / "out")
        widget.deleteLater()
        qtbot.waitUntil(lambda: not WorkerBase._worker_set)
        viewer.layers.clear()
        found = [(tmp_path / "out" / name).exists() for name in ("model.npz", CONTENTS)]
        assert len(set(found)) == 1  # all of it or nothing
