"""A napari window for taking pictures of the plugin: faces, docks, waiting, saving."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari

__all__ = ["PLUGIN", "Studio", "save_animation", "save_picture"]

PLUGIN = "napari-latent-faces"
_SIZE = (1280, 800)  # of the window, in pixels
_DRAWING = 400  # milliseconds that the window has to draw its last change
_PATIENCE = 300  # seconds until something that does not come is an error
_COLOURS = (256, 192, 128, 64)  # of a picture: faces are grey, and the window has few others
_MOST_BYTES = 200_000  # of a picture
_FEW = 5000  # colours of a window; one with faces in colour has many more, and none is rare
_RARE = Image.Quantize.MAXCOVERAGE  # keeps colours that are rare, such as those of curves


class Studio:
    """A window with one stack of faces, and the panels that are opened beside it.

    Parameters
    ----------
    faces : FaceStack, optional
        The faces; by default the drawn ones, opened as the sample that they are.
    """

    def __init__(self, faces: Any = None) -> None:
        import napari

        self.viewer: napari.Viewer = napari.Viewer()
        self.viewer.window.resize(*_SIZE)
        if faces is None:
            self.viewer.open_sample(PLUGIN, "synthetic")
        else:
            from napari_latent_faces.viewer.layers import faces_layer

            self.viewer.add_layer(napari.layers.Layer.create(*faces_layer(faces, "drawn")))
        self.faces = self.viewer.layers[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        from superqt.utils import WorkerBase

        WorkerBase.await_workers(10_000)
        self.viewer.close()
        self.wait(1)

    def open(self, name: str) -> Any:
        """Dock a widget of the plugin, alone, and return it."""
        window = self.viewer.window
        window.remove_dock_widget("all")
        _, widget = window.add_plugin_dock_widget(PLUGIN, name)
        self.wait(_DRAWING)
        return widget

    def hide_layer_panels(self) -> None:
        """Leave more room for the canvas, as *Window > Layer list* and *controls* do."""
        window = self.viewer.window._qt_viewer
        window.dockLayerControls.hide()
        window.dockLayerList.hide()

    def fit(self, widget: Any = None, **parameters: Any) -> Any:
        """Fit with the widget, as a click on Fit does, and return the model."""
        widget = widget or self.open("Latent faces")
        for name, value in parameters.items():
            widget.parameters[name].value = value
        session = widget.fit()
        self.until(lambda: session.is_over)
        if session.model is None:
            raise RuntimeError(widget.status.value)
        return session.model

    def wait(self, milliseconds: int) -> None:
        """Let the window live for a while."""
        from qtpy.QtTest import QTest

        QTest.qWait(milliseconds)

    def until(self, condition: Callable[[], Any]) -> None:
        """Let the window live until something is so."""
        for _ in range(_PATIENCE * 100):
            if condition():
                return
            self.wait(10)
        raise TimeoutError(f"The picture was not ready after {_PATIENCE} s.")

    def look_at(self, face: int) -> None:
        """Move the slider to a face."""
        self.viewer.dims.set_current_step(0, face)

    def take(self) -> Image.Image:
        """Return the window as it is, without notifications."""
        from napari_latent_faces.viewer.window import close_notifications

        close_notifications(self.viewer)
        self.wait(_DRAWING)
        return self.snap()

    def snap(self) -> Image.Image:
        """Return the window as it is at once."""
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)
        return Image.fromarray(np.ascontiguousarray(pixels[..., :3]))


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a small PNG, with as many colours as that allows."""
    for colours in _COLOURS:
        file = io.BytesIO()
        method = _RARE if picture.getcolors(_FEW) else Image.Quantize.MEDIANCUT
        few = picture.quantize(colours, method, dither=Image.Dither.NONE)
        few.save(file, "PNG", optimize=True)
        if file.tell() <= _MOST_BYTES:
            path.write_bytes(file.getvalue())
            return
    raise ValueError(f"{path.name} has {file.tell()} bytes: show less of the window.")


def save_animation(
    frames: list[tuple[Image.Image, int]], path: Path, width: int, most_bytes: int
) -> None:
    """Write an animated WebP of pictures and how many milliseconds each is seen."""
    height = round(frames[0][0].height * width / frames[0][0].width)
    small = [
        each.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
        for each, _ in frames
    ]
    file = io.BytesIO()
    small[0].save(
        file,
        "WEBP",
        save_all=True,
        append_images=small[1:],
        duration=[milliseconds for _, milliseconds in frames],
        loop=0,
        quality=50,
        method=6,
        kmin=0,
        kmax=1,  # each frame is whole: else blocks of earlier ones remain where little changes
    )
    if file.tell() > most_bytes:
        raise ValueError(f"{path.name} has {file.tell()} bytes: show fewer or smaller frames.")
    path.write_bytes(file.getvalue())
