"""Masks: which pixels of which faces are to be ignored."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.pixels import pixel_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PixelMask", "marked_faces", "stroke_mask"]


class PixelMask:
    """Says which pixels of a stack are ignored: **True or nonzero means ignore**.

    That is the convention of `numpy.ma`, and of a painted layer of labels: what is
    marked is what is left out.

    Parameters
    ----------
    mask : array of shape (h, w) or (n, h, w)
        Booleans or integers, one mask for all faces or one for each; numpy, dask, or
        anything that can be sliced.
    shape : tuple of int
        Number of faces, height and width.
    also : bool array of shape (h, w), optional
        Pixels that are ignored in all faces besides.

    Raises
    ------
    TypeError
        If the mask is neither of booleans nor of integers.
    ValueError
        If it has another shape.

    Attributes
    ----------
    mask : array of shape (h, w) or (n, h, w)
        The mask, an array of whatever kind was given.
    is_common : bool
        Whether one mask is for all faces.
    """

    def __init__(
        self, mask: Any, shape: tuple[int, int, int], also: NDArray[np.bool_] | None = None
    ) -> None:
        if not hasattr(mask, "ndim"):
            mask = np.asarray(mask)
        if np.dtype(mask.dtype).kind not in "bui":
            raise TypeError(
                f"The mask is of {mask.dtype}: booleans or integers are needed, where True or "
                "nonzero marks a pixel to ignore."
            )
        n, h, w = shape
        if tuple(mask.shape) not in {(h, w), (n, h, w)}:
            raise ValueError(
                f"The mask has the shape {tuple(mask.shape)}, the faces {shape}: a mask of "
                f"shape {(h, w)} for all faces is needed, or {shape}, one for each."
            )
        self.mask, self._also = mask, also
        self.is_common = mask.ndim == 2

    def hidden(self, faces: slice | int) -> NDArray[np.bool_]:
        """Return what is ignored of some faces: shape (m, h, w), or (1, h, w) for all."""
        rows = slice(faces, faces + 1) if isinstance(faces, int) else faces
        marks = self.mask[None] if self.is_common else self.mask[rows]
        hidden: NDArray[np.bool_] = np.asarray(marks) != 0
        return hidden if self._also is None else hidden | self._also

    def cover(self, block: NDArray[Any], faces: slice) -> NDArray[Any]:
        """Return pictures (m, h, w) with 0 in place of what is ignored."""
        covered: NDArray[Any] = np.where(self.hidden(faces), block.dtype.type(0), block)
        return covered


def marked_faces(mask: Any) -> NDArray[np.intp]:
    """Return which masks of a stack (n, h, w) mark any pixel, some at a time in memory."""
    marked = [
        faces.start + np.flatnonzero((block != 0).any(axis=(1, 2)))
        for faces, block in pixel_blocks(mask)
    ]
    return np.concatenate(marked) if marked else np.zeros(0, np.intp)


def stroke_mask(
    vertices: NDArray[Any], width: float, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Mark the pixels under a line that is drawn through some points.

    Parameters
    ----------
    vertices : array of shape (m, 2)
        Points (y, x) in pixels; whole numbers are the centres of pixels.
    width : float
        Width of the line in pixels; below 1 it counts as 1, so that no line is lost.
    shape : tuple of int
        Height and width of the picture.

    Returns
    -------
    bool array of shape (h, w)
        True where the centre of a pixel is no farther from the line than half its width.
    """
    grid = np.moveaxis(np.indices(shape, float), 0, -1)
    marked = np.zeros(shape, bool)
    for start, end in pairwise(vertices):
        along = end - start
        length = float(along @ along) or 1.0
        share = np.clip((grid - start) @ along / length, 0, 1)
        away = np.linalg.norm(grid - start - share[..., None] * along, axis=-1)
        marked |= away <= max(width, 1.0) / 2
    return marked
