"""Pictures decoded as soon as their headers are read, before all headers are known."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.decode import BrokenPictureError, decode_opened
from napari_latent_faces.reading.frames import DEPTHS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_latent_faces.reading.decode import Header, Opened
    from napari_latent_faces.reading.frames import Frame

__all__ = ["Ahead", "Outcome", "decode_into", "keep_only"]

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
