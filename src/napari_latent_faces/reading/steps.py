"""The steps from a listing of files to a stack of faces."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.ahead import Ahead, Outcome, decode_into, keep_only
from napari_latent_faces.reading.changes import changes, in_pixels
from napari_latent_faces.reading.decode import (
    BrokenPictureError,
    Header,
    NotAPictureError,
    decode,
    open_picture,
)
from napari_latent_faces.reading.frames import DEPTHS, Frame
from napari_latent_faces.reading.naming import find_subjects
from napari_latent_faces.reading.ondemand import lazy_images
from napari_latent_faces.reading.parallel import run_each
from napari_latent_faces.reading.sources import in_natural_order
from napari_latent_faces.report import ReadReport
from napari_latent_faces.stack import FaceStack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_latent_faces.reading.options import ReadOptions
    from napari_latent_faces.reading.parallel import Meter
    from napari_latent_faces.reading.sources import Entry, Listing

__all__ = ["NoFacesError", "Reading"]

# Files of up to so many bytes in all are read once, for their headers and their pixels.
KEPT_BYTES = 256 * 2**20


class NoFacesError(ValueError):
    """There is no face picture where some were looked for."""


@dataclass(frozen=True)
class _Face:
    """A picture whose header could be read."""

    entry: Entry
    header: Header
    place: int  # in the stack


class Reading:
    """One read of a folder or archive.

    Parameters
    ----------
    path : str
        The folder or archive, for messages.
    found : Listing
        What it holds.
    options : ReadOptions
        How to read it.
    meter : Meter
        Told of the progress.
    """

    def __init__(self, path: str, found: Listing, options: ReadOptions, meter: Meter) -> None:
        self._path = path
        self._found = found
        self._options = options
        self._meter = meter
        self._skipped: list[tuple[str, str]] = []
        self._passed_over: list[tuple[str, str]] = []

    def stack(self) -> FaceStack:
        """Read headers, choose the frame, decode now (mostly with the headers) or later."""
        n = len(self._found.entries)
        self._meter.total = n + 1 if self._options.lazy else 2 * n
        ahead = Ahead(n, self._expected)
        faces = self._read_headers(ahead)
        if not faces:
            raise self._no_faces()
        commonest = Counter(face.header.shape for face in faces).most_common(1)[0][0]
        self._check_sizes(faces, commonest)
        frame = self._frame((face.header for face in faces), commonest)
        if frame != ahead.frame:
            ahead.give_up()
        lazy = ahead.images is None and self._is_lazy(len(faces), frame)
        if lazy:
            files = [face.entry for face in faces]
            # in a thread as well: dask takes a second to import
            (images,) = run_each(partial(lazy_images, frame=frame), [files], self._meter)
        else:
            images, faces = self._decode(faces, frame, ahead)
        if not faces:
            raise self._no_faces()
        names = tuple(face.entry.name for face in faces)
        subjects = find_subjects(names, self._options.subjects)
        report = self._report(faces, commonest, frame, lazy=lazy)
        self._meter.finish()
        return FaceStack(images, names, subjects, report, self._path)

    def _read_headers(self, ahead: Ahead) -> list[_Face]:
        """Read all headers, and decode the pictures that are as expected."""
        entries = self._found.entries
        keep = not self._options.lazy and sum(entry.size for entry in entries) <= KEPT_BYTES
        work = partial(_header, entries, ahead, keep=keep)
        results = run_each(work, range(len(entries)), self._meter, ahead.outcomes)
        faces = []
        for place, header in enumerate(results):
            entry = entries[place]
            if isinstance(header, Header):
                faces.append(_Face(entry, header, place))
            elif isinstance(header, NotAPictureError):
                self._passed_over.append((entry.name, "no picture, by its content"))
            else:
                self._skipped.append((entry.name, str(header)))
        return faces

    def _decode(
        self, faces: list[_Face], frame: Frame, ahead: Ahead
    ) -> tuple[NDArray[Any], list[_Face]]:
        """Decode what is not decoded yet, and leave out what cannot be."""
        images, outcomes = ahead.images, ahead.outcomes
        if images is None:
            self._meter.total += len(outcomes)  # these are decoded again
            images, outcomes = self._room(len(faces), frame), {}
            faces = [replace(face, place=i) for i, face in enumerate(faces)]
        left = [face for face in faces if face.place not in outcomes]
        work = partial(_decode, images, frame)
        done = zip(left, run_each(work, left, self._meter), strict=True)
        outcomes |= {face.place: outcome for face, outcome in done}
        good = []
        for face in faces:
            failure = outcomes[face.place]
            if failure is None:
                good.append(face)
            else:
                self._skipped.append((face.entry.name, str(failure)))
        keep_only(images, [face.place for face in good])
        return images, good

    def _room(self, n: int, frame: Frame) -> NDArray[Any]:
        shape = (n, *frame.shape)
        try:
            return np.empty(shape, frame.depth)
        except MemoryError as error:
            raise self._too_large(shape, frame) from error

    def _frame(self, headers: Iterable[Header], commonest: tuple[int, int]) -> Frame:
        depth = max((header.depth for header in headers), key=DEPTHS.index)
        return Frame(
            self._options.frame(commonest),
            depth,
            self._options.channel,
            self._options.resize,
            reduce=self._options.size is not None,
        )

    def _expected(self, header: Header) -> Frame | None:
        """Return what all pictures are brought to if they are like this one and fit."""
        if self._options.lazy:
            return None
        frame = self._frame([header], header.shape)
        return frame if self._fits(len(self._found.entries), frame) else None

    def _is_lazy(self, n: int, frame: Frame) -> bool:
        if self._options.lazy:
            return True
        fits = self._fits(n, frame)
        if self._options.lazy is False and not fits:
            raise self._too_large((n, *frame.shape), frame)
        return not fits

    def _fits(self, n: int, frame: Frame) -> bool:
        """Tell whether a stack may be in memory."""
        size = n * frame.shape[0] * frame.shape[1] * frame.depth.itemsize
        if self._options.lazy is None:
            return size <= self._options.budget()
        import psutil

        return bool(size <= psutil.virtual_memory().available)

    def _too_large(self, shape: tuple[int, ...], frame: Frame) -> MemoryError:
        size = np.prod(shape, dtype=float) * frame.depth.itemsize / 2**20
        return MemoryError(
            f"The {shape[0]} pictures of {self._path} take {size:.0f} MiB, more than is free: "
            "read them with lazy=True, or smaller with size=."
        )

    def _check_sizes(self, faces: list[_Face], commonest: tuple[int, int]) -> None:
        if self._options.resize != "error":
            return
        others = [face for face in faces if face.header.shape != commonest]
        if others:
            named = ", ".join(
                f"{face.entry.name} ({in_pixels(face.header.shape)})" for face in others[:3]
            )
            raise ValueError(
                f"{len(others)} of the {len(faces)} pictures in {self._path} have another size "
                f"than most ({in_pixels(commonest)}): {named}{', ...' if others[3:] else ''}. "
                "Choose resize='crop', 'pad' or 'stretch', or take them away."
            )

    def _no_faces(self) -> NoFacesError:
        report = self._report([], (0, 0), None, lazy=False)
        found = report.details().partition("\n")[2] or "  it is empty"
        lines = found.splitlines()
        if len(lines) > 12:
            lines = [*lines[:12], "  ..."]
        return NoFacesError(
            "\n".join([f"There is no picture that can be read in {self._path}. Found:", *lines])
        )

    def _report(
        self,
        faces: list[_Face],
        commonest: tuple[int, int],
        frame: Frame | None,
        *,
        lazy: bool,
    ) -> ReadReport:
        resized = (
            (face.entry.name, face.header.shape)
            for face in faces
            if face.header.shape != commonest
        )
        headers = [face.header for face in faces]
        notes = changes(headers, commonest, frame) if frame else ()
        return ReadReport(
            len(faces),
            _merged(self._found.skipped, self._skipped),
            tuple(resized),
            _merged(self._found.passed_over, self._passed_over),
            tuple(notes),
            lazy,
            self._options,
        )


def _merged(
    listed: list[tuple[str, str]], added: list[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """Sort what reading added into what listing found, if anything."""
    pairs = listed + added
    return tuple(in_natural_order(pairs, [name for name, _ in pairs]) if added else listed)


def _header(
    entries: list[Entry], ahead: Ahead, place: int, *, keep: bool
) -> Header | BrokenPictureError | NotAPictureError:
    """Read a header, on any thread; return it or its error.

    If the picture is as expected it is decoded as well, while it is open.
    """
    try:
        header, opened = open_picture(entries[place], keep=keep)
    except (BrokenPictureError, NotAPictureError) as error:
        return error
    ahead.offer(place, header, opened)
    return header


def _decode(images: NDArray[Any], frame: Frame, face: _Face) -> Outcome:
    """Decode a picture into its place, on any thread; return its error."""
    return decode_into(images[face.place], partial(decode, face.header.file, frame))
