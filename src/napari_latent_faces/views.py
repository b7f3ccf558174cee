"""How a stack of faces is shown, and layers beside it that are shown alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_latent_faces.report import harmless
from napari_latent_faces.tiles import GAP

if TYPE_CHECKING:
    LayerData = tuple[Any, dict[str, Any], str]

__all__ = ["AXES", "FacesView", "stack_layer"]

AXES = ("face", "y", "x")
"""What the axes of a stack of faces are called."""


@dataclass(frozen=True)
class FacesView:
    """How a stack of faces is shown, so that its results can be shown alike beside it.

    Parameters
    ----------
    name : str
        Name of the stack's layer.
    contrast_limits : tuple of float
        Pixel values shown black and white.
    colormap : str or napari colormap
        Colours of the faces.
    scale, translate : tuple of float, length 3
        Size of a step along, and origin of, the axes face, y and x.
    key : str
        Tells this layer from others, whatever it is called.
    """

    name: str = "faces"
    contrast_limits: tuple[float, float] = (0.0, 1.0)
    colormap: Any = "gray"
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    translate: tuple[float, ...] = (0.0, 0.0, 0.0)
    key: str = ""

    @classmethod
    def of(cls, layer: Any) -> FacesView:
        """Return the look of a napari image layer."""
        low, high = layer.contrast_limits
        return cls(
            harmless(layer.name),
            (float(low), float(high)),
            layer.colormap.name,
            tuple(map(float, layer.scale)),
            tuple(map(float, layer.translate)),
            str(layer.unique_id),
        )

    def beside(self, place: int, width: int) -> tuple[float, ...]:
        """Return the origin of pictures that lie `place` faces to the right of the faces."""
        step = width * (1 + GAP) * self.scale[-1]
        return (*self.translate[:-1], self.translate[-1] + place * step)


def stack_layer(
    data: Any,
    name: str,
    view: FacesView,
    place: int,
    metadata: dict[str, Any],
    **colours: Any,
) -> LayerData:
    """Return pictures that belong to faces as a layer beside them, in their look.

    Parameters
    ----------
    data : array of shape (n, h, w)
        The pictures, numpy or lazy.
    name : str
        Name of the layer.
    view : FacesView
        Look of the faces.
    place : int
        How many pictures to the right of the faces they lie.
    metadata : dict
        Metadata of the layer.
    **colours
        `colormap` and `contrast_limits` in place of those of the faces.
    """
    look = {
        "name": name,
        "axis_labels": AXES,
        "colormap": view.colormap,
        "contrast_limits": view.contrast_limits,
        "scale": view.scale,
        "translate": view.beside(place, data.shape[2]),
        "metadata": metadata,
    }
    return data, {**look, **colours}, "image"
