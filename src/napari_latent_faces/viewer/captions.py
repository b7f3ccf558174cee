"""Words below the pictures on the canvas, as a layer that the user may hide or remove."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from qtpy.QtCore import QPointF, QRectF
from qtpy.QtGui import QColor, QFont, QFontMetricsF, QImage, QPainter
from superqt.utils import qimage_to_array

from napari_latent_faces.viewer.layers import FACES_KEY, ROLE_KEY
from napari_latent_faces.viewer.layout import captions

if TYPE_CHECKING:
    import napari

    from napari_latent_faces.viewer.layout import Caption

__all__ = ["CAPTIONS", "Captions"]

CAPTIONS = "captions"
"""Role and name of their layer."""

_LINE = 0.07  # height of a line of words, in heights of the pictures
_SHARPNESS = 24  # pixels of that height ...
_LARGEST = 8192  # ... if the whole picture of words is then no larger than textures may be


class Captions:
    """Keeps one layer of a viewer that says below each picture what it is.

    It is a picture of words: a layer of points with text would import pandas, half a second
    in the middle of the first fit.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    """

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
        self._viewer = ref(viewer)
        self._layer: Any = None
        self._written: Any = None

    def refresh(self) -> None:
        """Write what is to be said now; not from a layers event."""
        viewer = self._viewer()
        if viewer is None:
            return
        wanted = captions(viewer)
        if not wanted:
            if self._layer is not None and self._layer in viewer.layers:
                viewer.layers.remove(self._layer)
            self._layer = None
            return
        written = wanted, viewer.theme, _units(viewer)
        if self._layer is None:
            self._layer = _add(viewer, *written)
        elif self._layer in viewer.layers and self._written != written:
            for name, value in _painted(*written).items():
                setattr(self._layer, name, value)
        self._written = written


def _units(viewer: napari.components.ViewerModel) -> tuple[Any, ...]:
    """Return the units of the pictures: napari draws without any if layers differ in them."""
    results = [layer for layer in viewer.layers if FACES_KEY in layer.metadata]
    return tuple(results[0].units[-2:]) if results else ("pixel", "pixel")


def _add(
    viewer: napari.components.ViewerModel,
    wanted: list[Caption],
    theme: str,
    units: tuple[Any, ...],
) -> Any:
    """Add the layer, and leave what was selected."""
    from napari.layers import Image

    active = viewer.layers.selection.active
    painted = _painted(wanted, theme, units)
    layer = Image(**painted, name=CAPTIONS, rgb=True, interpolation2d="linear")
    viewer.add_layer(layer)
    viewer.layers.selection.active = active
    return layer


def _painted(wanted: list[Caption], theme: str, units: tuple[Any, ...]) -> dict[str, Any]:
    """Return the picture of all captions, and where it lies in the viewer."""
    line = _LINE * float(np.median([each.height for each in wanted]))
    low = np.min([(each.y, each.x) for each in wanted], axis=0)
    high = np.max([(each.y + 1.5 * line, each.x + each.width) for each in wanted], axis=0)
    pixel = max(line / _SHARPNESS, float((high - low).max()) / _LARGEST)
    height, width = np.ceil((high - low) / pixel).astype(int).tolist()
    image = QImage(max(width, 1), max(height, 1), QImage.Format.Format_RGBA8888)
    image.fill(QColor(0, 0, 0, 0))
    font = QFont()
    painter = QPainter(image)
    painter.setPen(_ink(theme))
    for each in wanted:
        top, left = (np.array([each.y, each.x]) - low) / pixel
        room = QRectF(left, top, each.width / pixel, 1.5 * line / pixel)
        font.setPixelSize(max(1, round(line / pixel)))
        too_wide = QFontMetricsF(font).horizontalAdvance(each.words) / room.width()
        font.setPixelSize(max(1, int(font.pixelSize() / max(1.0, too_wide))))
        painter.setFont(font)
        baseline = QPointF(left, top + line / pixel)
        painter.drawText(baseline, each.words)
    painter.end()
    return {
        "data": qimage_to_array(image),
        "scale": (pixel, pixel),
        "translate": low + pixel / 2,
        "units": units,
        "metadata": {ROLE_KEY: CAPTIONS, CAPTIONS: wanted},
    }


def _ink(theme: str) -> QColor:
    from napari.utils.theme import get_theme

    is_dark = sum(get_theme(theme).canvas.as_rgb_tuple()[:3]) < 3 * 128
    return QColor("white" if is_dark else "black")
