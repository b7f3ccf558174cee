"""The window: what napari does in other ways from version to version, docks, and the demo."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QDockWidget, QWidget

    from napari_latent_faces.stack import FaceStack

PLUGIN = "napari-latent-faces"
"""What npe2 calls this plugin."""

_DISPLAY_NAME = "Latent faces"  # of the plugin, in the menus
_PATIENCE = 600  # seconds until a demo that nobody watches gives up


def settings_of(group: str) -> Any:
    """Return a group of the plugin's settings; None before napari 0.9, which has them."""
    with suppress(ImportError, KeyError):
        from napari.settings import get_plugin_settings

        return getattr(get_plugin_settings(PLUGIN), group)
    return None


# napari 0.9 has moved what follows from the viewer to its canvas and its scene


def text_overlay(viewer: ViewerModel) -> Any:
    """Return the words in a corner of the canvas."""
    canvas = getattr(viewer, "canvas", None)
    return viewer.text_overlay if canvas is None else canvas.overlays.text


def camera_of(viewer: ViewerModel) -> Any:
    """Return the camera."""
    return getattr(viewer, "scene", viewer).camera


def grid_of(viewer: ViewerModel) -> Any:
    """Return the settings of the grid of layers."""
    return getattr(viewer, "canvas", viewer).grid


def _window_of(viewer: Any) -> Any:
    """Return napari's window of a viewer or of its proxy, which warns; None without one."""
    return getattr(getattr(viewer, "__wrapped__", viewer), "window", None)


def make_canvas_current(viewer: ViewerModel) -> None:
    """Have napari delete what drew a layer in the OpenGL context of its own canvas.

    It does so in the current one: another window's, which then loses its own drawings, or
    Qt's, which ends the process with Mesa's OpenGL.
    """
    with suppress(AttributeError, RuntimeError):  # none, or that of a window that was closed
        canvas_of(viewer).makeCurrent()  # type: ignore[union-attr]


def canvas_of(viewer: ViewerModel) -> QWidget | None:
    """Return what a viewer draws on; None without a window."""
    window = _window_of(viewer)
    canvas: QWidget | None = window and window._qt_viewer.canvas.native  # noqa: SLF001
    return canvas


def shown_window(viewer: ViewerModel | None) -> Any:
    """Return the Qt window of a viewer, None if there is none that a person sees."""
    with suppress(AttributeError, RuntimeError):  # none, or one that was closed
        window = _window_of(viewer)._qt_window  # noqa: SLF001
        return window if window.isVisible() else None
    return None


def still_activity(viewer: ViewerModel) -> None:
    """Stop the wheel beside napari's activity dock: drawing it takes a third of a processor."""
    with suppress(AttributeError, RuntimeError):  # another napari, or a window that was closed
        bar = _window_of(viewer)._status_bar  # noqa: SLF001
        bar._activity_item._inProgressIndicator.movie().stop()  # noqa: SLF001


def open_dock(viewer: napari.viewer.Viewer, name: str) -> Any:
    """Return a panel of the plugin, by its name in the manifest, shown in front of others."""
    from npe2 import PluginManager

    window = viewer.window
    # the menu and scripts name the plugin in two ways
    titles = [f"{name} ({plugin})" for plugin in (_DISPLAY_NAME, PLUGIN)]
    title = next((each for each in titles if each in window.dock_widgets), None)
    if title is None:
        title = titles[0]
        widgets = PluginManager.instance().get_manifest(PLUGIN).contributions.widgets or ()
        panel = next(each for each in widgets if each.display_name == name).get_callable()
        window.add_dock_widget(panel(viewer), name=title, tabify=True)
    panel = window.dock_widgets[title]
    dock: Any = dock_of(panel)
    dock.show()
    dock.raise_()
    return panel


def dock_of(panel: Any) -> QDockWidget | None:
    """Return the dock that holds a panel, of Qt or magicgui; None if there is none."""
    from qtpy.QtWidgets import QDockWidget

    part = getattr(panel, "native", panel)
    while part is not None and not isinstance(part, QDockWidget):
        part = part.parent()
    return part


def run_demo(
    faces: FaceStack | None = None,
    screenshot: str | os.PathLike[str] | None = None,
    *,
    n_components: int | None = None,
    max_iter: int | None = None,
) -> Path | None:
    """Fit in napari until its window is closed, or a `screenshot` of the result is written."""
    target = None if screenshot is None else Path(screenshot).resolve()
    if target is not None and target.is_dir():
        raise ValueError(f"{target} is a folder: name a file for the picture.")
    if target is not None and not os.access(target.parent, os.W_OK | os.X_OK):
        words = f"No picture can be written to {target.parent}"
        raise ValueError(f"{words}: choose another folder.")
    try:
        from qtpy import QtWidgets  # noqa: F401
    except ImportError as error:
        words = 'napari\'s window needs Qt: pip install "napari-latent-faces[all]"'
        raise ValueError(f"{words} ({error})") from error
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if sys.platform == "linux" and not any(map(os.environ.get, screens)):
        words = "There is no screen to open a window on. Try a virtual one: xvfb-run"
        # Qt would end the process
        raise ValueError(f"{words} latent-faces demo --screenshot demo.png")
    import napari
    from napari.layers import Layer
    from napari.utils.notifications import notification_manager

    from napari_latent_faces.viewer.layers import faces_layer

    viewer = napari.Viewer()
    viewer.window.resize(1400, 880)
    if faces is None:
        viewer.open_sample(PLUGIN, "synthetic")
    else:
        viewer.add_layer(Layer.create(*faces_layer(faces, Path(faces.source).name or "faces")))
    panel: Any = viewer.window.add_plugin_dock_widget(PLUGIN, "Latent faces")[1]
    count = min(panel.parameters["n_components"].value, len(viewer.layers[0].data))
    panel.parameters["n_components"].value = n_components or count
    if max_iter is not None:
        panel.parameters["max_iter"].value = max_iter
    job = panel.fit()
    if job is None:
        viewer.close()
        raise ValueError(str(notification_manager.records[-1].message))
    if target is None:
        napari.run()
    else:
        _photograph(viewer, job, target)
    return target


def _photograph(viewer: napari.Viewer, job: Any, target: Path) -> None:
    import napari
    from PIL import Image
    from qtpy.QtCore import QTimer

    from napari_latent_faces.files import replacing

    why, pictures = ["The window was closed before the picture."], list[Any]()

    def end(words: str) -> None:
        if job.model is None:
            why.append(words)
            viewer.close()
        else:
            viewer.dims.set_current_step(0, len(job.layer.data) // 2)
            close_notifications(viewer)  # the panel says the same, and hides nothing
            QTimer.singleShot(500, take)  # the window has to draw its last change

    def take() -> None:
        pictures.append(viewer.screenshot(canvas_only=False, flash=False))
        viewer.close()

    job.ended.connect(end)
    too_long = f"The fit was not done after {_PATIENCE} s: try fewer faces."
    QTimer.singleShot(_PATIENCE * 1000, lambda: job.cancel(too_long))
    napari.run()
    if not pictures:
        raise ValueError(why[-1])
    with replacing(target) as file:
        Image.fromarray(pictures[0]).save(file, "PNG")


def close_notifications(viewer: napari.Viewer) -> None:
    """Close what napari tells in a corner of its window."""
    from qtpy.QtWidgets import QDialog

    for dialog in shown_window(viewer).findChildren(QDialog):
        if dialog.isVisible():
            dialog.close()
