"""Stacks of pictures that are decoded when they are looked at."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.decode import BrokenPictureError, decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.reading.frames import Frame
    from napari_latent_faces.reading.sources import Entry

__all__ = ["BrokenFaceWarning", "lazy_images"]

BLOCK_BYTES = 4 * 2**20


class BrokenFaceWarning(UserWarning):
    """A picture of a lazy stack cannot be decoded and is shown black."""


def lazy_images(entries: Sequence[Entry], frame: Frame) -> Any:
    """Return a dask array of pictures that are decoded block by block.

    A part of a block is decoded without the rest of it, so that one face costs one
    picture. A picture that cannot be decoded after all is black, with a warning that
    names it: the stack's shape and names stand already.

    Parameters
    ----------
    entries : sequence of Entry
        The pictures' files.
    frame : Frame
        What they are brought to.

    Returns
    -------
    dask array of shape (n, height, width)
        In blocks of about 4 MiB.
    """
    import dask.array

    faces = _Faces(entries, frame)
    picture_bytes = max(1, frame.depth.itemsize * frame.shape[0] * frame.shape[1])
    chunks = (max(1, BLOCK_BYTES // picture_bytes), *frame.shape)
    meta = np.empty((0, 0, 0), frame.depth)
    from_array: Any = dask.array.from_array
    return from_array(faces, chunks, name=False, meta=meta)


class _Faces:
    """What dask slices as if it were an array."""

    ndim = 3

    def __init__(self, entries: Sequence[Entry], frame: Frame) -> None:
        self._entries = entries
        self._frame = frame
        self._broken: set[int] = set()
        self.shape = (len(entries), *frame.shape)
        self.dtype = frame.depth

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        faces, *inside = key
        wanted = np.arange(len(self._entries))[faces]
        if wanted.ndim == 0:
            picture: NDArray[Any] = self._decoded(int(wanted))[tuple(inside)]
            return picture
        pixels = np.empty((len(wanted), *self._frame.shape), self.dtype)
        for row, face in zip(pixels, wanted, strict=True):
            row[:] = self._decoded(int(face))
        return pixels[(slice(None), *inside)]

    def _decoded(self, face: int) -> NDArray[Any]:
        try:
            return decode(self._entries[face], self._frame)
        except BrokenPictureError as error:
            reason = str(error)
        if face not in self._broken:
            self._broken.add(face)
            warnings.warn(
                f"{self._entries[face].name} cannot be decoded ({reason}) and is shown black. "
                "Remove the file, or open the folder with lazy=False to leave it out.",
                BrokenFaceWarning,
                stacklevel=2,
            )
        return np.zeros(self._frame.shape, self.dtype)
