"""Pictures from elsewhere, brought to the size of a model's faces."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.lazy import LazyStack, crop
from napari_latent_faces.pixels import as_stack, named
from napari_latent_faces.reading.frames import DEPTHS, FLOAT, Frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_latent_faces.reading.options import Resize
    from napari_latent_faces.stack import FaceStack

__all__ = ["MatchedPictures", "match_stack"]

_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as the reader takes it
_HOW = {
    "crop": "cut at the middle to fit",
    "pad": "with black borders to fit",
    "stretch": "out of shape",
}


def match_stack(
    data: Any,
    size: tuple[int, int],
    metadata: Mapping[str, Any] | None = None,
    *,
    rgb: bool = False,
    resize: Resize = "crop",
    name: str = "face 0",
) -> FaceStack:
    """Return pictures as a stack of grey faces of a given size.

    They are resized by the rules of `read_faces`, when they are looked at. What was done
    to them is in the notes of the stack's report.

    Parameters
    ----------
    data : array of shape (n, h, w) or (h, w), with a last axis of 3 or 4 if `rgb`
        The pictures, or a single one; numpy or lazy.
    size : tuple of int
        Height and width that are needed.
    metadata : mapping, optional
        May hold `names`, `subjects` and `source` of the pictures, which are taken when
        they fit.
    rgb : bool, default=False
        Whether the last axis is colour; its luminance is taken.
    resize : {"crop", "pad", "stretch"}, default="crop"
        How pictures of another shape are made to fit.
    name : str
        Name of a single picture.

    Returns
    -------
    FaceStack
        The pictures, lazy where something is done to them.

    Raises
    ------
    ValueError, TypeError
        If these are no such pictures.
    """
    n_axes = data.ndim - rgb
    if n_axes not in {2, 3}:
        raise ValueError(
            f"A picture (y, x) or a stack of them (face, y, x) is needed, got the shape "
            f"{tuple(data.shape)}{' in colour' * rgb}."
        )
    images = data[None] if n_axes == 2 else data
    own = tuple(images.shape[1:3])
    if rgb or own != tuple(size):
        images = MatchedPictures(images, size, rgb=rgb, resize=resize)
    known = dict(metadata or {})
    if n_axes == 2:
        known.setdefault("names", (name,))
    stack = named(as_stack(images), known)
    report = replace(stack.report, notes=_notes(own, size, rgb, resize))
    return replace(stack, report=report, source=str(known.get("source", "")))


def _notes(
    own: tuple[int, ...], size: tuple[int, int], rgb: bool, resize: Resize
) -> tuple[str, ...]:
    notes = []
    if rgb:
        notes.append("In colour: the luminance is taken.")
    if own != tuple(size):
        how = f", {_HOW[resize]}" if own[0] * size[1] != own[1] * size[0] else ""
        notes.append(
            f"Scaled from {own[1]} x {own[0]} to the model's {size[1]} x {size[0]} pixels{how}."
        )
    return tuple(notes)


class MatchedPictures(LazyStack):
    """Pictures in grey and of another size, computed when they are looked at.

    Parameters
    ----------
    images : array of shape (n, h, w), or (n, h, w, 3 or 4) if `rgb`
        The pictures; numpy or lazy. They are read one by one.
    size : tuple of int
        Height and width.
    rgb : bool, default=False
        Whether they are in colour.
    resize : {"crop", "pad", "stretch"}, default="crop"
        How pictures of another shape are made to fit.
    """

    def __init__(
        self,
        images: Any,
        size: tuple[int, int],
        *,
        rgb: bool = False,
        resize: Resize = "crop",
    ) -> None:
        super().__init__((len(images), *size), images.dtype)
        self.images = images
        self.rgb = rgb
        self._is_plain = self.dtype in DEPTHS
        self._frame = Frame(size, self.dtype if self._is_plain else FLOAT, resize=resize)

    def _pick(self, faces: Any, rows: Any, columns: Any) -> NDArray[Any]:
        wanted = np.arange(len(self))[faces]
        if wanted.ndim == 0:
            one: NDArray[Any] = crop(self._matched(int(wanted)), rows, columns)
            return one
        pictures = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        for row, face in zip(pictures, wanted, strict=True):
            row[:] = self._matched(int(face))
        part: NDArray[Any] = crop(pictures, rows, columns)
        return part

    def _matched(self, face: int) -> NDArray[Any]:
        pixels = np.asarray(self.images[face])
        if self.rgb:
            pixels = _luminance(pixels)
        if self._is_plain:
            return self._frame.take(pixels)
        taken = self._frame.take(pixels.astype(FLOAT))  # the types that pictures seldom have
        return _cast(taken, self.dtype)


def _luminance(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the luminance of colour pixels (..., 3 or 4); transparency does not count."""
    return _cast(pixels[..., :3] @ np.array(_LUMINANCE), pixels.dtype)


def _cast(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    pixels: NDArray[Any] = np.rint(values) if dtype.kind in "bui" else values
    return pixels.astype(dtype)
