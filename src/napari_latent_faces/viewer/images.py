"""Numbers as pictures of Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap

from napari_latent_faces.tiles import component_rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["component_pixmap", "to_fit", "to_icon", "to_image", "to_pixmap"]


def to_pixmap(
    pixels: NDArray[Any],
    limits: tuple[float, float] = (0.0, 1.0),
    colormap: Any = None,
) -> QPixmap:
    """Return a picture of numbers, to be drawn on the screen: see `to_image`."""
    return QPixmap.fromImage(to_image(pixels, limits, colormap))


def component_pixmap(component: NDArray[Any], *, is_signed: bool) -> QPixmap:
    """Return a component (h, w) in the colours of the gallery: see `component_rgb`."""
    return to_pixmap(component_rgb(component, is_signed=is_signed), (0, 255))


def to_fit(picture: QPixmap, box: QSize, ratio: float) -> QPixmap:
    """Return a picture as large as fits into a box, with all the pixels of the screen.

    Parameters
    ----------
    picture : QPixmap
        The picture.
    box : QSize
        How large it may be, in the screen's own units.
    ratio : float
        Pixels a unit: `devicePixelRatioF` of the widget that shows it.
    """
    aspect = Qt.AspectRatioMode.KeepAspectRatio
    smooth = Qt.TransformationMode.SmoothTransformation
    fitting = picture.scaled(box * ratio, aspect, smooth)
    fitting.setDevicePixelRatio(ratio)
    return fitting


def to_icon(picture: QPixmap) -> QIcon:
    """Return an icon of a picture, which keeps its colours in a chosen row."""
    icon = QIcon(picture)
    icon.addPixmap(picture, QIcon.Mode.Selected)  # else the style tints it
    return icon


def to_image(
    pixels: NDArray[Any],
    limits: tuple[float, float] = (0.0, 1.0),
    colormap: Any = None,
) -> QImage:
    """Return a picture of numbers.

    Parameters
    ----------
    pixels : array of shape (h, w) or (h, w, 3)
        The numbers.
    limits : tuple of float
        What is shown black and white (the ends of the colormap); values beyond are cut.
    colormap : napari colormap, optional
        Colours of grey pictures; grey by default.

    Returns
    -------
    QImage
        w x h pixels, with a memory of its own.
    """
    low, high = limits
    span = high - low or 1.0
    levels = np.clip((pixels - low) * (255.0 / span), 0, 255)
    grey = np.nan_to_num(levels).astype(np.uint8)
    h, w = grey.shape[:2]
    if grey.ndim == 3:
        shown, step, form = grey, 3 * w, QImage.Format.Format_RGB888
    elif colormap is None:
        shown, step, form = grey, w, QImage.Format.Format_Grayscale8
    else:
        table = np.round(colormap.map(np.linspace(0, 1, 256)) * 255).astype(np.uint8)
        shown, step, form = table[grey], 4 * w, QImage.Format.Format_RGBA8888
    # the format wants rows of whole words, unless it is told their length
    return QImage(shown.tobytes(), w, h, step, form).copy()
