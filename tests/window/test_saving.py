"""Models and faces through napari's own dialogs, menus and command palette."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import QFileDialog

from napari_latent_faces.model import LatentFaces
from napari_latent_faces.viewer.layout import model_layers
from tests.shown import layers_in

PLUGIN = "napari-latent-faces"


@pytest.fixture
def builtins(npe2pm):
    """Let npe2 see napari's own readers and writers, too."""
    with npe2pm.tmp_plugin(package="napari"):
        yield


@pytest.fixture
def notes(monkeypatch):
    """Return what napari tells while the test runs."""
    from napari.utils.notifications import notification_manager

    told = []
    monkeypatch.setattr(
        notification_manager, "dispatch", lambda note: told.append(note.message)
    )
    return told


def save_selected(viewer, monkeypatch, path, kind):
    """Use File > Save Selected Layers with the first type of file whose words hold `kind`."""

    def choose(*_args, filter, **_kwargs):  # noqa: A002 - Qt's name
        return str(path), next(each for each in filter.split(";;") if kind in each)

    with monkeypatch.context() as patched:
        patched.setattr(QFileDialog, "getSaveFileName", choose)
        viewer.window._qt_viewer._save_layers_dialog(selected=True)


@pytest.mark.usefixtures("builtins")
def test_the_save_dialog_of_napari(viewer, model, tmp_path, monkeypatch, notes):
    """A model comes back whole, or what was saved is told not to be one."""
    gallery, rebuilt = (
        viewer.add_layer(Layer.create(*data)) for data in model_layers(model, "m")
    )
    viewer.layers.selection = {gallery, rebuilt}
    save_selected(viewer, monkeypatch, tmp_path / "both", "")  # what the dialog begins with
    viewer.layers.selection = {gallery}
    save_selected(viewer, monkeypatch, tmp_path / "one", "Model of latent faces")
    save_selected(viewer, monkeypatch, tmp_path / "old.npz", "Model of latent faces")
    for name in ("both.latent", "one.latent", "old.npz"):
        np.testing.assert_array_equal(LatentFaces.load(tmp_path / name).weights, model.weights)
    viewer.layers.clear()
    viewer.window._qt_viewer._qt_open([str(tmp_path / "one.latent")], stack=False)  # dropped
    assert [layer.name for layer in layers_in(viewer)] == [
        "latent faces [one]",
        "reconstruction [one]",
    ]

    viewer.layers.selection = {viewer.layers["latent faces [one]"]}
    with pytest.raises(
        (OSError, UserWarning), match=r"written|failed"
    ):  # rather than pictures named like a model
        save_selected(viewer, monkeypatch, tmp_path / "lost.latent", "lossless")
    save_selected(viewer, monkeypatch, tmp_path / "plain.npz", "lossless")
    save_selected(viewer, monkeypatch, tmp_path / "plain", "lossless")
    for name in ("plain.npz", "plain.tif"):
        monkeypatch.setattr(
            QFileDialog, "getOpenFileName", lambda *_, n=name: (str(tmp_path / n), "")
        )
        run_command("napari-latent-faces.read_model")
        assert "as napari saves them, without the weights" in notes.pop()
    assert len(layers_in(viewer)) == 2


def run_command(name):
    from napari._app_model import get_app_model

    return get_app_model().commands.execute_command(name).result()


def test_every_command_of_the_palette_works(
    viewer, faces_folder, stack, model, tmp_path, monkeypatch, notes, qtbot
):
    saved, to_save = tmp_path / "m.latent", tmp_path / "new"
    model.save(saved)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(faces_folder))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(saved), ""))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(to_save), ""))
    monkeypatch.setattr("napari_latent_faces.viewer.samples.read_olivetti", lambda **_: stack)
    palette = viewer.window._qt_window._command_palette
    commands = [c for c in palette._list.all_commands if c.id.startswith(PLUGIN)]
    assert {f"{PLUGIN}.{name}" for name in ("read_faces", "read_model", "write_model")} < {
        command.id for command in commands
    }
    assert len(commands) == 3 + 3 + 7  # files, samples, panels
    for command in sorted(commands, key=lambda each: "write" in each.id):
        run_command(command.id)
    assert len(viewer.window.dock_widgets) == 7
    assert {faces_folder.name, "drawn faces", "latent faces [m]"} < {
        layer.name for layer in viewer.layers
    }
    np.testing.assert_array_equal(
        LatentFaces.load(tmp_path / "new.latent").weights, model.weights
    )
    assert not [note for note in notes if "Error" in note]
