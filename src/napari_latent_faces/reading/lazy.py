"""Stacks of pictures that are decoded when they are looked at."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.pictures import (
    BrokenPictureError,
    NotAPictureError,
    open_picture,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.reading.frames import Frame
    from napari_latent_faces.reading.sources import Entry

__all__ = ["BrokenFaceWarning", "lazy_images"]


class BrokenFaceWarning(UserWarning):
    """A picture of a lazy stack cannot be decoded and is shown black."""


def lazy_images(sources: Sequence[tuple[Entry, int]], frame: Frame) -> Any:
    """Return a dask array of pictures that are decoded when they are looked at.

    Each picture is a block of its own: napari computes whole blocks, on the GUI thread. One
    that cannot be decoded after all is black, with a warning that names the first such one:
    the stack's shape and names stand already.

    Parameters
    ----------
    sources : sequence of (Entry, int)
        The file of each picture, and which of its pages it is.
    frame : Frame
        What they are brought to.

    Returns
    -------
    dask array of shape (n, height, width) or (n, height, width, 3)
    """
    import dask.array

    faces = _Faces(sources, frame)
    meta = np.empty((0,) * faces.ndim, frame.depth)
    from_array: Any = dask.array.from_array
    return from_array(faces, (1, *frame.picture_shape), name=False, meta=meta)


class _Faces:
    """What dask slices as if it were an array."""

    def __init__(self, sources: Sequence[tuple[Entry, int]], frame: Frame) -> None:
        self._sources = sources
        self._frame = frame
        self._broken: set[int] = set()
        self.shape = (len(sources), *frame.picture_shape)
        self.ndim = len(self.shape)
        self.dtype = frame.depth

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        faces, *inside = key
        wanted = np.arange(len(self._sources))[faces]
        if wanted.ndim == 0:
            picture: NDArray[Any] = self._decoded(int(wanted))[tuple(inside)]
            return picture
        pixels = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        for row, face in zip(pixels, wanted, strict=True):
            row[:] = self._decoded(int(face))
        return pixels[(slice(None), *inside)]

    def _decoded(self, face: int) -> NDArray[Any]:
        entry, page = self._sources[face]
        try:
            return open_picture(entry).pixels(self._frame, page)
        except BrokenPictureError as error:
            reason = str(error)
        except NotAPictureError:
            reason = "no picture any more"
        except IndexError:
            reason = "it has fewer pages now"
        if face not in self._broken:
            self._broken.add(face)
            self._warn(entry.name, reason)
        return np.zeros(self.shape[1:], self.dtype)

    def _warn(self, name: str, reason: str) -> None:
        """Name the first broken picture, and tell once that there are more."""
        advice = "open the folder with lazy=False to leave out all that are broken."
        if len(self._broken) == 1:
            text = f"{name} cannot be decoded ({reason}) and is shown black. Remove it, or "
        elif len(self._broken) == 2:
            text = f"More pictures cannot be decoded, such as {name} ({reason}); "
        else:
            return
        warnings.warn(text + advice, BrokenFaceWarning, stacklevel=2)
