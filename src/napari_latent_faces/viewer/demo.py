"""The demo: faces, the widget and its fit in a real window."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.viewer.window import PLUGIN

if TYPE_CHECKING:
    import napari

    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.stack import FaceStack
    from napari_latent_faces.viewer.fitting import FitSession

_WIDGET, _SAMPLE = "Latent faces", "synthetic"  # as the manifest calls them
_SIZE = (1400, 880)  # of the window
_PATIENCE = 600  # seconds until a demo that nobody watches gives up
_DRAWING = 500  # milliseconds that the window has to draw its last change
_LOOKED_AT = 100  # faces among which one is chosen


class DemoError(RuntimeError):
    """The demo cannot be shown."""


def run_demo(
    faces: FaceStack | None = None,
    screenshot: str | os.PathLike[str] | None = None,
    *,
    n_components: int | None = None,
    max_iter: int | None = None,
) -> Path | None:
    """Open napari, fit latent faces with the widget, and stay until the window is closed.

    By default the faces are the drawn ones that come with the plugin, and the fit is what the
    widget shows (of as many components as there are faces, if they are fewer). For a
    `screenshot`, a PNG of the window is saved when the fit is done, and the window closed.

    Raises
    ------
    DemoError
        If there is no Qt or no screen; if a picture was asked for, also if the fit
        fails or takes more than ten minutes, or the window is closed before.
    OSError
        If the picture cannot be written.
    """
    target = None if screenshot is None else _checked_target(Path(screenshot))
    _check_window()
    import napari

    viewer = napari.Viewer()
    viewer.window.resize(*_SIZE)
    _add_faces(viewer, faces)
    session = _start_fit(viewer, {"n_components": n_components, "max_iter": max_iter})
    photographer = target and _Photographer(viewer, session, target)
    napari.run()
    if photographer and photographer.failure:
        raise photographer.failure
    return target


def _checked_target(path: Path) -> Path:
    """Return where the picture goes, or say at once that it cannot go there."""
    path = path.resolve()
    if path.is_dir():
        raise DemoError(f"{path} is a folder: name a file for the picture.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise DemoError(f"No picture can be written to {path.parent}: choose another folder.")
    return path


def _check_window() -> None:
    """Find out whether a window can be opened; Qt itself would end the process."""
    try:
        from qtpy import QtWidgets  # noqa: F401
    except ImportError as error:
        raise DemoError(
            f'napari\'s window needs Qt: pip install "napari-latent-faces[all]" ({error})'
        ) from error
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if sys.platform == "linux" and not any(map(os.environ.get, screens)):
        raise DemoError(
            "There is no screen to open a window on. Try a virtual one: "
            "xvfb-run latent-faces demo --screenshot demo.png"
        )


def _add_faces(viewer: napari.Viewer, faces: FaceStack | None) -> None:
    from napari.layers import Layer

    from napari_latent_faces.viewer.layers import faces_layer

    if faces is None:
        viewer.open_sample(PLUGIN, _SAMPLE)
    else:
        viewer.add_layer(Layer.create(*faces_layer(faces, Path(faces.source).name or "faces")))


def _start_fit(viewer: napari.Viewer, changes: dict[str, int | None]) -> FitSession:
    """Dock the widget and start its fit, as a click on Fit does."""
    from napari.utils.notifications import notification_manager

    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, _WIDGET)
    components = widget.parameters["n_components"]
    components.value = min(components.value, len(viewer.layers[0].data))
    for name, value in changes.items():
        if value is not None:
            widget.parameters[name].value = value
    session: FitSession | None = widget.fit()
    if session is None:
        viewer.close()
        raise DemoError(str(notification_manager.records[-1].message))
    return session


class _Photographer:
    """Waits for a fit, takes a picture of the window, and closes it."""

    def __init__(self, viewer: napari.Viewer, session: FitSession, target: Path) -> None:
        from qtpy.QtCore import QTimer

        self._viewer, self._session, self._target = viewer, session, target
        self.failure: Exception | None = DemoError("The window was closed before the picture.")
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._give_up)
        self._timer.start(_PATIENCE * 1000)
        session.ended.connect(self._on_ended)

    def _give_up(self) -> None:
        self._end(DemoError(f"The fit was not done after {_PATIENCE} s: try fewer faces."))

    def _on_ended(self, text: str) -> None:
        from qtpy.QtCore import QTimer

        if self._session.model is None:
            self._end(DemoError(text))
            return
        face = _well_built_face(self._session.layer.data, self._session.model)
        self._viewer.dims.set_current_step(0, face)
        _close_notifications(self._viewer)  # the widget says the same, and hides nothing
        QTimer.singleShot(_DRAWING, self._take)

    def _take(self) -> None:
        try:
            _save(self._viewer.screenshot(canvas_only=False, flash=False), self._target)
        except OSError as error:
            self._end(error)
        else:
            self._end(None)

    def _end(self, failure: Exception | None) -> None:
        self.failure = failure
        self._timer.stop()
        self._viewer.close()


def _close_notifications(viewer: napari.Viewer) -> None:
    from qtpy.QtWidgets import QDialog

    window = viewer.window._qt_window  # noqa: SLF001  # there is no public way to its children
    for dialog in window.findChildren(QDialog):
        if dialog.isVisible():
            dialog.close()


def _well_built_face(images: Any, model: LatentFaces) -> int:
    """Return a face that the model rebuilds better than most, but not best of all."""
    n = len(images)
    some = np.unique(np.linspace(0, n - 1, min(n, _LOOKED_AT)).astype(int))
    faces = np.asarray(images[some], np.float32).reshape(len(some), -1)
    missed = faces - model.reconstruct(some).reshape(faces.shape)
    lost, size = np.linalg.norm(missed, axis=1), np.linalg.norm(faces, axis=1)
    order = np.argsort(lost / np.maximum(size, 1e-12))
    return int(some[order[len(order) // 4]])


def _save(picture: Any, target: Path) -> None:
    from PIL import Image

    from napari_latent_faces.files import replacing

    with replacing(target) as file:
        Image.fromarray(picture).save(file, "PNG")
