"""Models and faces through napari's own dialogs, menus and command palette."""

from __future__ import annotations

import napari.settings
import numpy as np
import pytest
from napari._qt.dialogs.qt_reader_dialog import QtReaderDialog
from napari.layers import Layer
from napari.utils import progress
from npe2 import PluginManifest
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_latent_faces.model import LatentFaces
from napari_latent_faces.viewer.layout import model_layers
from napari_latent_faces.viewer.reader import MatrixDialog
from napari_latent_faces.viewer.session import session_of
from tests.jobs import layers_in
from tests.window.menus import click, open_widget

PLUGIN = "napari-latent-faces"

# what Qt 6.12 deprecates, PyQt6 still needs
pytestmark = pytest.mark.filterwarnings(
    "ignore:Function.*Q(DragEnter|Drop)Event:DeprecationWarning"
)


@pytest.fixture
def builtins(npe2pm):
    """Let npe2 see napari's own readers and writers, too."""
    with npe2pm.tmp_plugin(package="napari"):
        yield


def save_selected(viewer, monkeypatch, path, kind):
    """Use File > Save Selected Layers with the first type of file whose words hold `kind`."""

    def choose(*_args, filter, **_kwargs):  # noqa: A002 - Qt's name
        return str(path), next(each for each in filter.split(";;") if kind in each)

    with monkeypatch.context() as patched:
        patched.setattr(QFileDialog, "getSaveFileName", choose)
        viewer.window._qt_viewer._save_layers_dialog(selected=True)


@pytest.mark.usefixtures("builtins")
def test_the_dialogs_of_napari(viewer, model, faces_folder, tmp_path, monkeypatch, notes):
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

    def choose(dialog):  # as it is when it comes up
        return dialog._get_plugin_choice(), dialog._get_persist_choice()

    monkeypatch.setattr(QtReaderDialog, "get_user_choices", choose)
    drop(viewer.window._qt_viewer, faces_folder)
    assert viewer.layers[faces_folder.name].data.shape == (30, 12, 10)


def run_command(name):
    from napari._app_model import get_app_model

    return get_app_model().commands.execute_command(name).result()


def test_every_command_of_the_palette_works(
    viewer, faces_folder, stack, model, tmp_path, monkeypatch, notes, qtbot
):
    saved, to_save, matrix = tmp_path / "m.latent", tmp_path / "new", tmp_path / "faces.npy"
    model.save(saved)
    np.save(matrix, stack.images)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(faces_folder))
    to_open = {"Open a model of latent faces": saved, "Open file of faces": matrix}
    monkeypatch.setattr(
        QFileDialog, "getOpenFileName", lambda _, title, *__: (str(to_open[title]), "")
    )
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(to_save), ""))
    monkeypatch.setattr("napari_latent_faces.viewer.reader.read_olivetti", lambda **_: stack)
    monkeypatch.setattr(MatrixDialog, "exec", lambda _dialog: False)  # Cancel
    palette = viewer.window._qt_window._command_palette
    commands = [c for c in palette._list.all_commands if c.id.startswith(PLUGIN)]
    assert {f"{PLUGIN}.{name}" for name in ("read_faces", "read_model", "write_model")} < {
        command.id for command in commands
    }
    manifest = PluginManifest.from_distribution(PLUGIN).contributions
    assert len(commands) == len(manifest.commands)
    for command in sorted(commands, key=lambda each: "write" in each.id):
        run_command(command.id)
    assert len(viewer.window.dock_widgets) == len(manifest.widgets)
    assert {faces_folder.name, "faces.npy", "drawn faces", "latent faces [m]"} < {
        layer.name for layer in viewer.layers
    }
    qtbot.waitUntil((tmp_path / "new.latent").exists)
    np.testing.assert_array_equal(
        LatentFaces.load(tmp_path / "new.latent").weights, model.weights
    )
    assert not [note for note in notes if "Error" in note]


def drop(widget, *paths):
    """Drop files onto a widget, as a file manager does: it tells their paths as text, too."""
    data, window, where = QMimeData(), widget.window(), widget.rect().center()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    data.setText("\n".join(map(str, paths)))
    where = widget.mapTo(window, where)
    how = Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton
    none = Qt.KeyboardModifier.NoModifier
    entering = QDragEnterEvent(where, *how, none)
    QApplication.sendEvent(window.windowHandle(), entering)
    assert entering.isAccepted()
    QApplication.sendEvent(window.windowHandle(), QDropEvent(QPointF(where), *how, none))


def test_the_panel_opens_fits_undoes_and_saves(
    viewer, faces_folder, tmp_path, monkeypatch, qtbot, request
):
    keeps_settings = hasattr(napari.settings, "get_plugin_settings")  # from napari 0.9 on
    if keeps_settings:
        request.getfixturevalue("plugin_settings")
    panel = open_widget(qtbot, viewer.window, "Latent faces")
    drop(panel, faces_folder)
    faces = panel.faces.value
    assert faces.name == faces_folder.name
    began = []
    monkeypatch.setattr(
        QFileDialog, "getExistingDirectory", lambda *args: began.append(args[2]) or ""
    )
    panel.folder_button.native.click()
    assert began == [str(faces_folder.parent)]

    assert not panel.save_button.enabled
    seen = []
    for k in (3, 4):
        panel.parameters["n_components"].value = k
        panel.parameters["max_iter"].value = 1_000_000
        panel.parameters["tol"].value = 0
        canvas = viewer.window._qt_viewer.canvas.native
        viewer.window._qt_window.activateWindow()
        canvas.setFocus()
        qtbot.waitUntil(lambda canvas=canvas: QApplication.focusWidget() is canvas)
        qtbot.keyClick(canvas, Qt.Key.Key_I, Qt.KeyboardModifier.AltModifier)
        qtbot.waitUntil(lambda: panel.is_working)  # from the canvas, too
        qtbot.waitUntil(lambda: bool(progress._all_instances))
        [bar] = progress._all_instances
        assert bar.desc.startswith("Latent faces")
        qtbot.waitUntil(lambda bar=bar: bar.n > 0)
        panel.start_button.native.click()
        qtbot.waitUntil(lambda: not panel.is_working)
        qtbot.waitUntil(lambda: not progress._all_instances)
        seen.append(session_of(viewer).model)
        assert f" {k}, error {seen[-1].error:.4f}, 30 faces" in panel.about.value

    click(qtbot, panel.undo_button)
    assert session_of(viewer).model is seen[0]
    assert "NMF 3," in panel.about.value

    path = tmp_path / "kept"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    click(qtbot, panel.save_button)
    qtbot.waitUntil(lambda: panel.status.value == f"Saved {path}.latent.")
    viewer.layers.clear()
    panel.advanced.unfold()
    number = panel.parameters["tol"].native
    panel.ensureWidgetVisible(number)
    qtbot.waitUntil(lambda: not number.visibleRegion().isEmpty())
    drop(number, f"{path}.latent")
    assert "NMF 3," in panel.about.value
    np.testing.assert_array_equal(session_of(viewer).model.weights, seen[0].weights)

    if not keeps_settings:
        return
    panel.recent.aboutToShow.emit()
    [recent] = panel.recent.actions()
    assert recent.text() == str(faces_folder)
    recent.trigger()
    assert panel.faces.value.name == faces_folder.name
