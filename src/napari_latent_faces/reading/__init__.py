"""A path becomes a stack of faces: the whole read on one page."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.params import ReadOptions
from napari_latent_faces.reading.arrays import (
    AmbiguousArraysError,
    ArraysError,
    is_array_name,
    looks_like_arrays,
)
from napari_latent_faces.reading.background import run
from napari_latent_faces.reading.beside import read_tables, read_transforms
from napari_latent_faces.reading.frames import DEPTHS, FLOAT, WHITE, WORD, Frame
from napari_latent_faces.reading.matrices import (
    MAX_ARRAY_BYTES,
    stack_of_file,
    stack_of_files,
)
from napari_latent_faces.reading.naming import are_in_folders_of_people, find_subjects
from napari_latent_faces.reading.pictures import (
    BrokenFaceWarning,
    BrokenPictureError,
    NotAPictureError,
    Picture,
    lazy_images,
    open_picture,
)
from napari_latent_faces.reading.sources import (
    ArchiveError,
    NoFacesError,
    in_natural_order,
    is_url,
    list_sources,
    looks_like_faces,
    read_file,
    shown,
    url_is_folder,
)
from napari_latent_faces.stack import FaceStack, ReadReport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from napari_latent_faces.params import Channel, Order, Resize, Rows
    from napari_latent_faces.reading.background import Work
    from napari_latent_faces.reading.sources import Entry, Listing

__all__ = [
    "AmbiguousArraysError",
    "ArchiveError",
    "ArraysError",
    "BrokenFaceWarning",
    "NoFacesError",
    "ReadOptions",
    "looks_like_faces",
    "read_faces",
]

_logger = logging.getLogger(__name__)

# Files of up to so many bytes in all are read once, for their headers and their pixels.
KEPT_BYTES = 256 * 2**20

N_LOOKED_AT = 15  # pictures that are decoded to see whether there are colours in them


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
    colour: bool | Literal["auto"] = "auto",
    progress: Callable[[int, int], object] | None = None,
) -> FaceStack:
    """Read the face pictures of a folder or archive, or a matrix, into one stack.

    All pictures in the folder, and in the folders in it, are read: PNG, JPEG, GIF, TIFF,
    BMP, WebP and PNM, told by their extension or, where that is unknown, by their
    content; also compressed by gzip, bzip2 or xz (``1.pgm.gz``). Most pictures in colour
    make a stack in colour, else all become grey (see `colour` and `channel`); transparency
    is ignored, and EXIF rotation applied. 8-bit and 16-bit pictures stay so, 32-bit integers
    and doubles become float32; in a folder of several depths all pictures are brought to the
    deepest, white to white (for floats white is 1). Animations and files of several pages are
    a face a page, named ``faces.tif/1`` and so on; one such file may be opened by itself.

    Faces may also be kept as numbers: ``.mat`` (all versions), ``.npy``, ``.npz``, ``.h5``,
    idx, ``.csv`` and other text. Which variable holds them, along which axis, and how their
    pixels are ordered is found out, unless `variable`, `shape`, `faces` and `order` say so;
    the report tells what was decided. Labels in the file become subjects.

    Parameters
    ----------
    path : path-like
        A folder, or a zip or tar archive (also .tar.gz, .tar.bz2, .tar.xz), of pictures or
        of files of numbers; or one file of numbers, also compressed. Nothing is unpacked to
        disk; the pictures in a compressed tar are kept in memory, as compressed as they are.
        Or the URL of either, of any protocol that fsspec knows (``s3://bucket/faces``,
        ``https://host/faces.zip``); some need the extra ``remote``.
    channel : {"luminance", "red", "green", "blue"}, default="luminance"
        What is taken of a colour picture.
    size : int or (int, int), optional
        Height, or height and width, in pixels, that all pictures are scaled to.
    resize : {"crop", "pad", "stretch", "error"}, default="crop"
        What is done with pictures of another size than most.
    subjects : str or False, optional
        Regular expression that finds the subject in a relative name; False for none.
        By default a table beside the pictures that tells them counts (``metadata.csv``,
        ``identity.txt``, ``labels.csv`` ...), else the folders and names.
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
    colour : "auto" or bool, default="auto"
        Whether the stack is in colour, of shape (n, h, w, 3), with grey pictures carried
        along. "auto": if most of the pictures have colours, and `channel` is "luminance".
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
    FileNotFoundError, PermissionError, ConnectionError, ModuleNotFoundError
        If `path` is missing or may not be read, nobody answers at a URL, or its protocol
        needs a package that is not installed.
    NoFacesError, ArchiveError, ArraysError, AmbiguousArraysError
        If there is no picture that can be read, an archive is damaged or encrypted, a file of
        numbers is damaged, refused (pickles) or holds no faces, or several of its variables
        may be the faces.
    TypeError, ValueError
        If an option is not allowed, if pictures differ in size and
        ``resize="error"``, or if `subjects` is found in no name.
    MemoryError
        If ``lazy=False`` and the stack would not fit in the memory that is free.

    Examples
    --------
    >>> stack = read_faces("orl")  # doctest: +SKIP
    >>> stack.images.shape, stack.names[0], stack.subjects[0]  # doctest: +SKIP
    ((400, 112, 92), 's1/1.pgm', 's1')
    """
    options = ReadOptions(
        *(channel, size, resize, subjects, lazy, memory_budget),
        *(variable, shape, faces, order, colour),
    )
    return run(partial(_read, os.fsdecode(path), options), progress)


def _read(path: str, options: ReadOptions, work: Work) -> FaceStack:
    """Read whatever lies at a path: pictures, or files of numbers if there are none."""
    numbers = _file_of_numbers(path)
    if numbers is not None:
        return stack_of_file(numbers, shown(path), options)
    found = list_sources(path, work.check)
    try:
        return _stack_of_pictures(shown(path), found, options, work)
    except NoFacesError:
        if not found.arrays:
            raise
        names = {entry.name for entry in found.arrays}
        others = [pair for pair in found.passed_over if pair[0] not in names]
        try:
            return stack_of_files(found.arrays, shown(path), options, work, others)
        except ArraysError:
            if any(is_array_name(name, text=False) for name in names):
                raise
        raise  # a README is no broken table
    finally:
        found.close()


def _file_of_numbers(path: str) -> str | bytes | None:
    """Return the path of a file of numbers, or its content if it is behind a URL."""
    if not is_url(path):
        if not (is_array_name(path) and Path(path).is_file() and os.access(path, os.R_OK)):
            return None
        return path if is_array_name(path, text=False) or looks_like_arrays(path) else None
    if not is_array_name(path.partition("?")[0]) or url_is_folder(path):
        return None
    content = read_file(path, MAX_ARRAY_BYTES + 1)
    if len(content) > MAX_ARRAY_BYTES:
        raise ArraysError(f"{shown(path)}: it is too large: download it, and open the file.")
    return content


# -- From a listing of files to a stack: open all, choose a frame, decode --------------


@dataclass
class _File:
    """A file with one picture or more, and which of its pages could be read so far."""

    entry: Entry
    picture: Picture
    pages: list[int]

    def names(self) -> list[str]:
        """Return the names of its faces."""
        name = self.entry.name
        return [name if self.picture.n_pages == 1 else f"{name}/{i + 1}" for i in self.pages]


def _stack_of_pictures(
    path: str, found: Listing, options: ReadOptions, work: Work
) -> FaceStack:
    work.total = len(found.entries) * (1 if options.lazy else 2)
    files = _opened(found, options, work)
    if not files:
        raise _no_faces(path, found)
    if found.is_one_file and sum(len(file.pages) for file in files) == 1:
        raise NoFacesError(f"{path} is a single picture: open the folder that holds it.")
    commonest = _commonest_size(path, files, options)
    frame = _frame(files, commonest, options)
    lazy = _is_lazy(path, files, frame, options)
    if lazy:
        sources = [(file.entry, page) for file in files for page in file.pages]
        images = lazy_images(sources, frame)
    else:
        work.total = work.done + len(files)
        images = _decoded(path, found, files, frame, work)
    files = [file for file in files if file.pages]
    if not files:
        raise _no_faces(path, found)
    own = [file.entry.name for file in files]
    names = tuple(name for file in files for name in file.names())
    subjects, told = _subjects(files, own, names, found, options)
    sizes = ((file.entry.name, file.picture.shape) for file in files)
    report = ReadReport(
        len(names),
        tuple(in_natural_order(found.skipped)),
        tuple(pair for pair in sizes if pair[1] != commonest),
        tuple(in_natural_order(found.passed_over)),
        (*_notes(files, commonest, frame), *told),
        lazy,
        options,
    )
    has_white = frame.depth == WORD and all(file.picture.has_white for file in files)
    white = float(WHITE[WORD]) if has_white else None
    transforms = place = None
    if options.size is None and not report.resized and len(names) == len(files):
        transforms, place = read_transforms(found.tables, own) or (None, None)
    return FaceStack(images, names, subjects, report, path, transforms, place, white)


def _subjects(
    files: Sequence[_File],
    own: Sequence[str],
    names: Sequence[str],
    found: Listing,
    options: ReadOptions,
) -> tuple[tuple[str, ...] | None, list[str]]:
    """Return the subjects, by a table beside the pictures or their names, and a note."""
    if options.subjects is None and found.tables:
        told = read_tables(found.tables, own)
        if told.subjects is None:
            return find_subjects(names), [told.note] * bool(told.note)
        if told.is_certain or not are_in_folders_of_people(own):
            pairs = zip(files, told.subjects, strict=True)
            return tuple(who for file, who in pairs for _ in file.pages), [told.note]
    return find_subjects(names, options.subjects), []


def _opened(found: Listing, options: ReadOptions, work: Work) -> list[_File]:
    """Read all headers, and all content as well where that is not too much."""
    keep = not options.lazy and sum(entry.size for entry in found.entries) <= KEPT_BYTES

    def opened(entry: Entry) -> Picture | BrokenPictureError | NotAPictureError:
        try:
            return open_picture(entry, keep=keep)
        except (BrokenPictureError, NotAPictureError) as error:
            return error

    files = []
    for entry, outcome in zip(found.entries, work.each(opened, found.entries), strict=True):
        if isinstance(outcome, Picture):
            files.append(_File(entry, outcome, list(range(outcome.n_pages))))
        elif isinstance(outcome, NotAPictureError):
            found.passed_over.append((entry.name, "no picture, by its content"))
        else:
            found.skipped.append((entry.name, str(outcome)))
    return files


def _commonest_size(path: str, files: Sequence[_File], options: ReadOptions) -> tuple[int, int]:
    sizes: Counter[tuple[int, int]] = Counter()
    for file in files:
        sizes[file.picture.shape] += len(file.pages)
    commonest = sizes.most_common(1)[0][0]
    others = [file for file in files if file.picture.shape != commonest]
    if others and options.resize == "error":
        named = ", ".join(
            f"{file.entry.name} ({_in_pixels(file.picture.shape)})" for file in others[:3]
        )
        raise ValueError(
            f"{len(others)} of the {len(files)} pictures in {path} have another size "
            f"than most ({_in_pixels(commonest)}): {named}{', ...' if others[3:] else ''}. "
            "Choose resize='crop', 'pad' or 'stretch', or take them away."
        )
    return commonest


def _frame(files: Sequence[_File], commonest: tuple[int, int], options: ReadOptions) -> Frame:
    depths = {file.picture.depth for file in files}
    frame = Frame(
        options.frame(commonest),
        max(depths, key=DEPTHS.index),
        options.channel,
        options.resize,
        reduce=options.size is not None,
        among_integers=len(depths) > 1,
    )
    in_colour = replace(frame, colour=True)
    if options.colour == "auto":
        return in_colour if _are_in_colour(files, in_colour) else frame
    return in_colour if options.colour else frame


def _are_in_colour(files: Sequence[_File], frame: Frame) -> bool:
    """Tell whether most pictures have colours, not only three equal channels."""
    coloured = [file for file in files if file.picture.in_colour]
    if frame.channel != "luminance" or 2 * len(coloured) <= len(files):
        return False
    answers = []
    for file in coloured[:: max(1, len(coloured) // N_LOOKED_AT)]:
        try:
            pixels = file.picture.pixels(frame)
        except BrokenPictureError:
            continue
        answers.append(bool((pixels[..., :1] != pixels).any()))
    share = sum(answers) / max(1, len(answers))
    return 2 * share * len(coloured) > len(files)


def _is_lazy(path: str, files: Sequence[_File], frame: Frame, options: ReadOptions) -> bool:
    if options.lazy:
        return True
    shape = (sum(len(file.pages) for file in files), *frame.picture_shape)
    size = math.prod(shape) * frame.depth.itemsize
    if options.lazy is None:
        lazy = size > options.budget()
        if lazy:
            _logger.info("%s takes %d MiB: it is read lazily.", path, size >> 20)
        return lazy
    import psutil

    if size > psutil.virtual_memory().available:
        raise _too_large(path, shape, frame)
    return False


def _too_large(path: str, shape: tuple[int, ...], frame: Frame) -> MemoryError:
    size = math.prod(shape) * frame.depth.itemsize
    return MemoryError(
        f"The {shape[0]} pictures of {path} take {size / 2**20:.0f} MiB, more than is free: "
        "read them with lazy=True, or smaller with size=."
    )


def _decoded(
    path: str, found: Listing, files: Sequence[_File], frame: Frame, work: Work
) -> NDArray[Any]:
    """Decode all pictures, and leave out what cannot be."""
    ends = np.cumsum([0, *(len(file.pages) for file in files)])
    shape = (int(ends[-1]), *frame.picture_shape)
    try:
        images = np.empty(shape, frame.depth)
    except MemoryError as error:
        raise _too_large(path, shape, frame) from error

    def decode(place: int) -> str:
        """Decode the pages of a file into their places; return why one could not be."""
        file, reason = files[place], ""
        for page in range(file.picture.n_pages):
            try:
                images[ends[place] + page] = file.picture.pixels(frame, page)
            except BrokenPictureError as error:
                file.pages.remove(page)
                reason = reason or str(error)
        return reason

    good: list[int] = []
    for file, reason, end in zip(
        files, work.each(decode, range(len(files))), ends, strict=False
    ):
        good += [end + page for page in file.pages]
        if reason:
            n_bad = file.picture.n_pages - len(file.pages)
            of_pages = f" ({n_bad} of its {file.picture.n_pages} pictures)" * bool(file.pages)
            found.skipped.append((file.entry.name, reason + of_pages))
    if len(good) < len(images):
        for row, place in enumerate(good):  # without a second stack
            if row != place:
                images[row] = images[place]
        images.resize((len(good), *images.shape[1:]), refcheck=False)
    return images


# -- What the report says --------------------------------------------------------------

_DEPTH_WORDS = {"uint8": "8-bit", "uint16": "16-bit", "float32": "float"}


def _no_faces(path: str, found: Listing) -> NoFacesError:
    skipped, passed_over = map(in_natural_order, (found.skipped, found.passed_over))
    report = ReadReport(0, tuple(skipped), passed_over=tuple(passed_over))
    lines = (report.details().partition("\n")[2] or "  it is empty").splitlines()
    if len(lines) > 12:
        lines = [*lines[:12], "  ..."]
    return NoFacesError(
        "\n".join([f"There is no picture that can be read in {path}. Found:", *lines])
    )


def _notes(files: Sequence[_File], commonest: tuple[int, int], frame: Frame) -> list[str]:
    """Say what was done to the pictures where they are not all alike."""
    notes, n = [], len(files)
    pictures = [file.picture for file in files]
    depths = Counter(picture.depth.name for picture in pictures)
    if len(depths) > 1:
        named = ", ".join(
            f"{depths[k]} {word}" for k, word in _DEPTH_WORDS.items() if depths[k]
        )
        white = "1 is white" if frame.depth == FLOAT else "65535 is white"
        notes.append(
            f"Depths differ ({named}): all are {_DEPTH_WORDS[frame.depth.name]} now, {white}."
        )
        if frame.depth == FLOAT:
            notes.append(
                "Pictures of floats with pixels above 1 are divided by 255, by 65535, or by "
                "their largest pixel: the first of these that makes them no larger than 1."
            )
    coloured = sum(picture.in_colour for picture in pictures)
    if frame.colour and coloured < n:
        notes.append(f"{n - coloured} of {n} are grey, among colour.")
    if coloured and not frame.colour:
        taken = "luminance" if frame.channel == "luminance" else f"{frame.channel} channel"
        notes.append(f"{coloured} of {n} in colour: the {taken} is taken.")
    if frame.shape != commonest:
        notes.append(
            f"Scaled from {_in_pixels(commonest)} to {_in_pixels(frame.shape)} pixels."
        )
    if several := [file for file in files if file.picture.n_pages > 1]:
        n_pages = sum(len(file.pages) for file in several)
        notes.append(
            f"{len(several)} of {n} files hold several pictures, such as "
            f"{several[0].entry.name}: {n_pages} faces come from them."
        )
    return notes + _doubts(files, commonest)


def _doubts(files: Sequence[_File], commonest: tuple[int, int]) -> list[str]:
    """Say what a person should look at."""
    notes, n = [], len(files)
    sized = sum(file.picture.shape == commonest for file in files)
    if 2 * sized < n:
        notes.append(
            f"Sizes differ: the commonest, {_in_pixels(commonest)} pixels, is that of only "
            f"{sized} of {n} pictures. Choose one with size=."
        )
    first: dict[bytes, str] = {}
    doubles = []
    for file in files:
        if content := file.picture.content:
            # unlike hash(), it lets other threads work meanwhile
            name = first.setdefault(hashlib.blake2b(content).digest(), file.entry.name)
            if name != file.entry.name:
                doubles.append(f"{file.entry.name}, which is {name} again")
    if doubles:
        notes.append(
            f"{len(doubles)} of {n} files repeat another one byte for byte, such as "
            f"{doubles[0]}."
        )
    return notes


def _in_pixels(shape: tuple[int, int]) -> str:
    """Spell a size out as width x height."""
    return f"{shape[1]} x {shape[0]}"
