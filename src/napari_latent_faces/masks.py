"""Masks: which pixels of which faces are to be ignored."""

from __future__ import annotations

import base64
import zlib
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.stack import FaceStack, LazyStack, crop, over_channels, pixel_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray


class PixelMask:
    """Says which pixels of a stack of some shape are ignored: **nonzero means ignore**.

    That is the convention of `numpy.ma`, and of a painted layer of labels. The mask is (h, w)
    for all faces or (n, h, w), and anything that can be sliced; `also` (h, w) are ignored, too.
    """

    def __init__(
        self, mask: Any, shape: tuple[int, ...], also: NDArray[np.bool_] | None = None
    ) -> None:
        mask = mask if hasattr(mask, "ndim") else np.asarray(mask)
        self.mask, self._also, self._picture_shape = mask, also, shape[1:]
        dtype, own = np.dtype(mask.dtype), tuple(mask.shape)
        if dtype.kind not in "bui":
            words = "booleans or integers are needed; nonzero marks a pixel to ignore."
            raise TypeError(f"The mask is of {dtype}: {words}")
        self.is_common = own == shape[1:3]
        if not self.is_common and own != shape[:3]:
            words = f"shape {shape[1:3]} for all faces is needed, or {shape[:3]}, one for each."
            raise ValueError(
                f"The mask has the shape {own}, the faces {shape}: a mask of {words}"
            )

    def hidden(self, faces: slice | int) -> NDArray[np.bool_]:
        """Return what is ignored of some faces: shape (m, h, w), or (1, h, w) for all."""
        rows = slice(faces, faces + 1) if isinstance(faces, int) else faces
        marks = np.asarray(self.mask[None] if self.is_common else self.mask[rows])
        hidden: NDArray[np.bool_] = marks != 0
        return hidden if self._also is None else hidden | self._also

    def hidden_values(self, faces: slice | int) -> NDArray[np.bool_]:
        """Return what is ignored of some faces in every channel: (m or 1, *picture_shape)."""
        return over_channels(self.hidden(faces), self._picture_shape)


def split_mask(images: Any, mask: Any = None, missing: str | None = None) -> tuple[Any, Any]:
    """Return pictures, and what a `numpy.ma.MaskedArray`, `mask` or `missing` marks of them.

    That is an array (n, h, w), or (h, w) where it is the same for all faces, or None.
    """
    if missing not in (None, "nan"):
        raise ValueError(f"missing must be 'nan' or None, got {missing!r}.")
    if isinstance(images, FaceStack):
        pictures, mask = split_mask(images.images, mask, missing)
        return replace(images, images=pictures), mask
    marks = []
    if isinstance(images, np.ndarray) and hasattr(images, "mask"):  # numpy.ma is not light
        marks.append(np.ma.getmaskarray(images))
        images = images.data
    if missing == "nan":
        marks.append(np.isnan(images if hasattr(images, "ndim") else np.asarray(images)))
    marks = [each for each in marks if each.any()]
    if not marks:
        return images, mask
    own: NDArray[np.bool_] = np.asarray(np.logical_or.reduce(marks))
    if own.ndim == 4:  # a pixel that lacks one channel
        own = np.asarray(own.any(axis=-1))
    if own.ndim == 3 and (own == own[:1]).all():
        own = own[0]
    return images, own if mask is None else own | (np.asarray(mask) != 0)


class FaceMasks(LazyStack):
    """Masks (n, h, w) of which only those of `faces`, which rise, are kept."""

    def __init__(self, masks: NDArray[np.bool_], faces: NDArray[np.integer], n: int) -> None:
        super().__init__((n, *masks.shape[1:]), bool)
        self._masks, self._faces = masks, np.asarray(faces)

    def _pick(self, faces: Any, *inner: Any) -> NDArray[np.bool_]:
        wanted = np.arange(len(self))[faces]
        found = np.isin(wanted, self._faces)
        marks = np.zeros((*wanted.shape, *self.shape[1:]), bool)
        marks[found] = self._masks[np.searchsorted(self._faces, wanted[found])]
        return np.asarray(crop(marks, *inner))


def mask_to_text(mask: Any) -> str:
    """Return a mask as letters and digits, some faces at a time; see `mask_from_text`."""
    packer, packed = zlib.compressobj(9), []
    for _, block in pixel_blocks(np.asarray(mask)[None] if mask.ndim == 2 else mask):
        # each face begins with a byte of its own
        bits = np.packbits((block != 0).reshape(len(block), -1), axis=1)
        packed.append(packer.compress(bits.tobytes()))
    return base64.b64encode(b"".join([*packed, packer.flush()])).decode()


def mask_from_text(text: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the mask of a shape, (h, w) or (n, h, w), that `mask_to_text` has written."""
    n_pixels = shape[-2] * shape[-1]
    rows = int(np.prod(shape[:-2], dtype=int))
    wanted = rows * -(-n_pixels // 8)  # bytes: each face has its own
    unpacker = zlib.decompressobj()
    try:
        packed = unpacker.decompress(base64.b64decode(text, validate=True), wanted + 1)
    except (ValueError, zlib.error) as error:
        raise ValueError("The text of the mask is damaged: copy it whole.") from error
    if len(packed) != wanted:
        raise ValueError(f"The text is not that of a mask of shape {tuple(shape)}.")
    bits = np.frombuffer(packed, np.uint8).reshape(rows, -1)
    return np.unpackbits(bits, axis=1, count=n_pixels).astype(bool).reshape(shape)


def marked_faces(mask: Any) -> NDArray[np.intp]:
    """Return which masks of a stack (n, h, w) mark any pixel, some at a time in memory."""
    marked = [np.zeros(0, np.intp)]
    for faces, block in pixel_blocks(mask):
        marked.append(faces.start + np.flatnonzero((block != 0).any(axis=(1, 2))))
    return np.concatenate(marked)


def stroke_mask(
    vertices: NDArray[Any], width: float, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Mark the pixels of a picture (h, w) under a line through some points (m, 2), y and x."""
    grid = np.moveaxis(np.indices(shape, float), 0, -1)
    marked = np.zeros(shape, bool)
    for start, end in pairwise(vertices):
        along = end - start
        length = float(along @ along) or 1.0
        share = np.clip((grid - start) @ along / length, 0, 1)
        away = np.linalg.norm(grid - start - share[..., None] * along, axis=-1)
        marked |= away <= max(width, 1.0) / 2  # or a thin line would be lost
    return marked
