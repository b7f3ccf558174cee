"""The colours of components: grey, or two of them where pixels can be negative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DIVERGING", "component_colours", "component_rgb"]

# dark where nothing is left, and told apart by colour-blind people
DIVERGING: dict[str, Any] = {
    "name": "blue-black-orange",
    "colors": [[0.35, 0.7, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.6, 0.1, 1.0]],
}
"""Colormap of what has 0 in the middle, as napari takes one."""


def component_colours(*, is_signed: bool) -> dict[str, Any]:
    """Return how a layer of components is coloured: 0 is black, whether or not there is less.

    Parameters
    ----------
    is_signed : bool
        Whether there can be pixels below 0.

    Returns
    -------
    dict
        Colormap and contrast limits, as arguments of an image layer.
    """
    if is_signed:
        return {"colormap": DIVERGING, "contrast_limits": (-1.0, 1.0)}
    return {"colormap": "gray", "contrast_limits": (0.0, 1.0)}


def component_rgb(component: NDArray[Any], *, is_signed: bool) -> NDArray[np.uint8]:
    """Return a component in the colours of the gallery.

    Parameters
    ----------
    component : array of shape (..., h, w)
        Pixels up to 1, from 0, or from -1 if signed.
    is_signed : bool
        Whether there can be pixels below 0.

    Returns
    -------
    array of uint8, shape (..., h, w, 3)
    """
    ends = np.array(DIVERGING["colors"])[:, :3] if is_signed else np.ones((3, 3))
    up = np.clip(component, 0, 1)[..., None] * ends[2]
    down = np.clip(-component, 0, 1)[..., None] * ends[0]
    rgb: NDArray[np.uint8] = np.rint((up + down) * 255).astype(np.uint8)
    return rgb
