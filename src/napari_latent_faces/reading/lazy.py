"""Pictures decoded in threads, ahead of their use or when they are looked at."""

from __future__ import annotations

import threading
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.pictures import (
    DEPTHS,
    BrokenPictureError,
    decode,
    decode_opened,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.reading.pictures import Frame, Header, Opened
    from napari_latent_faces.reading.sources import Entry

__all__ = ["Ahead", "BrokenFaceWarning", "Outcome", "decode_into", "keep_only", "lazy_images"]

# -- Pictures decoded as soon as their headers are read, before all headers are known --

Outcome = BrokenPictureError | None  # what failed


class Ahead:
    """A stack that pictures are decoded into on the guess that most are like the first.

    What all pictures are brought to is certain only when all headers are known. Until then
    those that are like the first whose header was read are decoded as it would be alone.
    If the guess proves wrong nothing is lost but that time. Any thread may use it.

    Parameters
    ----------
    n : int
        How many pictures there may be.
    expect : callable
        Takes the first header and returns what the pictures are brought to if all are
        like it, or None if nothing is to be decoded ahead.

    Attributes
    ----------
    images : array of shape (n, h, w) or None
        The stack, or None where there is no guess or it has proved wrong.
    frame : Frame or None
        What the pictures in it are brought to.
    outcomes : dict
        What became of each decoded picture, under its place.
    """

    def __init__(self, n: int, expect: Callable[[Header], Frame | None]) -> None:
        self._n = n
        self._expect = expect
        self._lock = threading.Lock()
        self._first: Header | None = None
        self.images: NDArray[Any] | None = None
        self.frame: Frame | None = None
        self.outcomes: dict[int, Outcome] = {}

    def offer(self, place: int, header: Header, opened: Opened | None) -> None:
        """Decode a picture into its place if it is like the first."""
        first = self._begun_by(header)
        images, frame = self.images, self.frame
        if images is None or frame is None:
            return
        if DEPTHS.index(header.depth) > DEPTHS.index(first.depth):
            self.give_up()
        elif opened and (header.shape, header.depth) == (first.shape, first.depth):
            work = partial(decode_opened, opened, frame)
            self.outcomes[place] = decode_into(images[place], work)

    def give_up(self) -> None:
        """Forget what was decoded."""
        self.images = None

    def _begun_by(self, header: Header) -> Header:
        with self._lock:
            if self._first is None:
                self.frame = self._expect(header)
                self.images = self._room()
                self._first = header
            return self._first

    def _room(self) -> NDArray[Any] | None:
        if self.frame is None:
            return None
        try:
            return np.empty((self._n, *self.frame.shape), self.frame.depth)
        except MemoryError:
            return None


def decode_into(pixels: NDArray[Any], work: Callable[[], NDArray[Any]]) -> Outcome:
    """Put what `work` decodes into its place; return its error."""
    try:
        pixels[:] = work()
    except BrokenPictureError as error:
        return error
    return None


def keep_only(images: NDArray[Any], places: list[int]) -> None:
    """Leave only the pictures at some ascending places in a stack, without a second one."""
    if len(places) == len(images):
        return
    for row, place in enumerate(places):
        if row != place:
            images[row] = images[place]
    images.resize((len(places), *images.shape[1:]), refcheck=False)


# -- Stacks of pictures that are decoded when they are looked at -----------------------

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
