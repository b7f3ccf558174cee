"""A path becomes a stack of faces: the whole read on one page."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.options import ReadOptions
from napari_latent_faces.reading.arrays import (
    AmbiguousArraysError,
    ArraysError,
    is_array_name,
    looks_like_arrays,
)
from napari_latent_faces.reading.lazy import (
    Ahead,
    BrokenFaceWarning,
    Outcome,
    decode_into,
    keep_only,
    lazy_images,
)
from napari_latent_faces.reading.matrices import (
    MAX_ARRAY_BYTES,
    stack_of_file,
    stack_of_files,
)
from napari_latent_faces.reading.naming import find_subjects, is_picture_name
from napari_latent_faces.reading.pictures import (
    DEPTHS,
    BrokenPictureError,
    Frame,
    Header,
    NotAPictureError,
    decode,
    open_picture,
)
from napari_latent_faces.reading.sources import (
    ARCHIVES,
    ArchiveError,
    Listing,
    Meter,
    archive_lister,
    in_natural_order,
    is_url,
    list_archive,
    list_folder,
    list_url_folder,
    looks_like_faces,
    read_part,
    remote_kind,
    run_each,
    shown,
    while_waiting,
)
from napari_latent_faces.stack import FaceStack, ReadReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from napari_latent_faces.options import Channel, Order, Resize, Rows
    from napari_latent_faces.reading.sources import Entry, Lister

__all__ = [
    "AmbiguousArraysError",
    "ArchiveError",
    "ArraysError",
    "BrokenFaceWarning",
    "NoFacesError",
    "Reading",
    "changes",
    "in_pixels",
    "looks_like_faces",
    "read_faces",
]

# -- What a read does to pictures that are not all alike, in words ---------------------

_DEPTH_WORDS = {"uint8": "8-bit", "uint16": "16-bit", "float32": "float"}


def changes(headers: Sequence[Header], commonest: tuple[int, int], frame: Frame) -> list[str]:
    """Say what was done to the pictures.

    Parameters
    ----------
    headers : sequence of Header
        Those of all pictures that were read.
    commonest : (height, width)
        The size that most of them have.
    frame : Frame
        What they were brought to.
    """
    notes = []
    depths = Counter(header.depth.name for header in headers)
    if len(depths) > 1:
        named = ", ".join(
            f"{depths[k]} {word}" for k, word in _DEPTH_WORDS.items() if depths[k]
        )
        white = "1 is white" if frame.depth.kind == "f" else "65535 is white"
        notes.append(
            f"Depths differ ({named}): all are {_DEPTH_WORDS[frame.depth.name]} now, {white}."
        )
    coloured = sum(header.in_colour for header in headers)
    if coloured:
        taken = "luminance" if frame.channel == "luminance" else f"{frame.channel} channel"
        notes.append(f"{coloured} of {len(headers)} in colour: the {taken} is taken.")
    if frame.shape != commonest:
        notes.append(f"Scaled from {in_pixels(commonest)} to {in_pixels(frame.shape)} pixels.")
    return notes


def in_pixels(shape: tuple[int, int]) -> str:
    """Spell a size out as width x height."""
    return f"{shape[1]} x {shape[0]}"


# -- The steps from a listing of files to a stack of faces -----------------------------

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


# -- A folder, zip or tar of face pictures becomes a stack -----------------------------


def read_faces(
    path: str | PathLike[str],
    *,
    channel: Channel = "luminance",
    size: int | tuple[int, int] | None = None,
    resize: Resize = "crop",
    subjects: str | Literal[False] | None = None,
    lazy: bool | None = None,
    memory_budget: int | None = None,
    variable: str | None = None,
    shape: tuple[int, int] | None = None,
    faces: Rows | None = None,
    order: Order | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> FaceStack:
    """Read the face pictures of a folder or archive, or a matrix, into one stack.

    All pictures in the folder, and in the folders in it, are read: PNG, JPEG, GIF, TIFF,
    BMP, WebP and PNM, told by their extension or, where that is unknown, by their
    content. Colour becomes grey (see `channel`) and transparency is ignored. 8-bit and
    16-bit pictures stay so, 32-bit integers become float; in a folder of several depths
    all pictures are brought to the deepest, white to white (for floats white is 1). Of
    animations and files of several pages the first picture is taken; EXIF rotation is
    applied.

    Faces may also be kept as numbers: ``.mat`` (all versions), ``.npy``, ``.npz``, ``.h5``,
    idx, ``.csv`` and other text. Which variable holds them, along which axis, and how their
    pixels are ordered is found out, unless `variable`, `shape`, `faces` and `order` say so;
    the report tells what was decided. Labels in the file become subjects.

    Parameters
    ----------
    path : path-like
        A folder, or a zip or tar archive (also .tar.gz, .tar.bz2, .tar.xz), of pictures or
        of files of numbers; or one file of numbers, also compressed. Nothing is unpacked to
        disk; the pictures in a compressed tar are kept in memory, as
        compressed as they are. Or the URL of either, of any protocol that fsspec knows
        (``s3://bucket/faces``, ``https://host/faces.zip``, ``memory://faces``); some
        need the extra ``remote``.
    channel : {"luminance", "red", "green", "blue"}, default="luminance"
        What is taken of a colour picture.
    size : int or (int, int), optional
        Height, or height and width, in pixels, that all pictures are scaled to.
    resize : {"crop", "pad", "stretch", "error"}, default="crop"
        What is done with pictures of another size than most.
    subjects : str or False, optional
        Regular expression that finds the subject in a relative name; False for none.
        By default the subjects are found out from the names: see `find_subjects`.
    lazy : bool, optional
        Whether pictures are decoded only when they are looked at; only their headers
        are read now. By default when the stack is larger than `memory_budget`. A
        picture that proves broken later is black, with a `BrokenFaceWarning`.
    memory_budget : int, optional
        Bytes; by default a quarter of the free memory, at most 512 MiB.
    variable : str, optional
        Which variable of a file of numbers holds the faces.
    shape : (int, int), optional
        Height and width of the faces in a file of numbers.
    faces : {"rows", "columns"}, optional
        Where the faces are in a matrix: along its first axis or its last.
    order : {"C", "F"}, optional
        Whether the pixels of a face in a matrix come row by row or column by column; of
        faces that have two axes in the file, "F" swaps height and width.
    progress : callable, optional
        Called on this thread, many times a second, with the steps done and their
        total, which is 0 while files are still being listed. What it raises ends the
        read and is passed on.

    Returns
    -------
    FaceStack
        Faces in natural order (``s2`` before ``s10``), with names, subjects and report.

    Raises
    ------
    FileNotFoundError, PermissionError
        If `path` is missing or may not be read.
    ConnectionError, ModuleNotFoundError
        If nobody answers at a URL, or its protocol needs a package that is not installed.
    ArchiveError
        If an archive is damaged or encrypted.
    NoFacesError
        If there is no picture that can be read.
    AmbiguousArraysError
        If several variables of a file may be the faces; it lists them.
    ArraysError
        If a file of numbers is damaged, refused (pickles), or holds no faces.
    ValueError
        If an option is not allowed, if pictures differ in size and
        ``resize="error"``, or if `subjects` is found in no name.
    MemoryError
        If ``lazy=False`` and the stack would not fit in the memory that is free.

    Notes
    -----
    All options are fields of `ReadOptions`, with their labels and limits.

    Examples
    --------
    >>> stack = read_faces("orl")  # doctest: +SKIP
    >>> stack.images.shape, stack.names[0], stack.subjects[0]  # doctest: +SKIP
    ((400, 112, 92), 's1/1.pgm', 's1')
    """
    options = ReadOptions(
        channel, size, resize, subjects, lazy, memory_budget, variable, shape, faces, order
    )
    meter = Meter(progress)
    meter.show()
    path = os.fsdecode(path)
    source = _file_of_numbers(path, meter.pulse)
    if source is not None:
        return stack_of_file(source, shown(path), options, meter)
    found = _listing(path, meter.pulse)
    try:
        return _stack(shown(path), found, options, meter)
    finally:
        found.close()


def _stack(path: str, found: Listing, options: ReadOptions, meter: Meter) -> FaceStack:
    """Read the pictures, or the files of numbers if there are no pictures."""
    try:
        return Reading(path, found, options, meter).stack()
    except NoFacesError:
        if not found.arrays:
            raise
        names = {entry.name for entry in found.arrays}
        others = [pair for pair in found.passed_over if pair[0] not in names]
        try:
            return stack_of_files(found.arrays, path, options, meter, others)
        except ArraysError:
            if any(is_array_name(name, text=False) for name in names):
                raise
        raise  # a README is no broken table


def _file_of_numbers(path: str, pulse: Callable[[], None]) -> str | bytes | None:
    """Return the path of a file of numbers, or its content if it is behind a URL."""
    name = path.partition("?")[0] if is_url(path) else path
    if not is_array_name(name):
        return None
    if not is_url(path):
        if not Path(path).is_file() or not os.access(path, os.R_OK):
            return None
        is_text = not is_array_name(name, text=False)
        return None if is_text and not looks_like_arrays(path) else path
    if while_waiting(lambda: remote_kind(path), pulse) == "directory":
        return None
    content = while_waiting(lambda: read_part(path, MAX_ARRAY_BYTES + 1), pulse)
    if len(content) > MAX_ARRAY_BYTES:
        raise ArraysError(f"{shown(path)}: it is too large: download it, and open the file.")
    return content


def _listing(path: str, pulse: Callable[[], None]) -> Listing:
    """List a folder or archive, whichever it is, or say why not."""
    if is_url(path):
        return _listing_of_url(path, pulse)
    lister = None
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - one look, whatever it is
        if stat.S_ISREG(mode):
            lister = archive_lister(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(
            f"There is no folder or archive {path}: check the name."
        ) from error
    except PermissionError as error:
        raise PermissionError(
            f"{path} may not be read ({error.strerror}): check its permissions."
        ) from error
    if stat.S_ISDIR(mode):
        return list_folder(path, pulse)
    return _listing_of_file(path, lister, pulse)


def _listing_of_url(url: str, pulse: Callable[[], None]) -> Listing:
    """List what a URL leads to; a server may take its time to answer."""
    if while_waiting(lambda: remote_kind(url), pulse) == "directory":
        return list_url_folder(url, pulse)
    lister = while_waiting(lambda: archive_lister(url), pulse)
    return _listing_of_file(url, lister, pulse)


def _listing_of_file(path: str, lister: Lister | None, pulse: Callable[[], None]) -> Listing:
    """List an archive, or say what else the file is."""
    if lister is not None:
        return list_archive(path, lister, pulse)
    if is_picture_name(path):
        raise NoFacesError(f"{shown(path)} is a single picture: open the folder that holds it.")
    if path.lower().endswith(ARCHIVES):
        raise ArchiveError(f"The archive {shown(path)} is damaged: get it again.")
    raise NoFacesError(
        f"{shown(path)} is neither a folder nor a zip or tar archive of pictures, nor a file "
        "of numbers that may be faces (.mat, .npy, .npz, .h5, idx, .csv ...)."
    )
