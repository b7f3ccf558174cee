"""A path becomes a stack of faces: the whole read on one page."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.params import ReadOptions
from napari_latent_faces.reading import beside, naming, pictures, sources
from napari_latent_faces.reading.arrays import (
    AmbiguousArraysError,
    is_array_name,
    looks_like_arrays,
)
from napari_latent_faces.reading.arrays.files import ArraysError
from napari_latent_faces.reading.formats import FLOAT, WHITE, WORD, BrokenPictureError, Picture
from napari_latent_faces.reading.matrices import content_of, stack_of_file, stack_of_files
from napari_latent_faces.reading.naming import Entry
from napari_latent_faces.reading.pictures import BrokenFaceWarning, Frame, NotAPictureError
from napari_latent_faces.reading.sources import ArchiveError, NoFacesError, looks_like_faces
from napari_latent_faces.stack import FaceStack
from napari_latent_faces.steps import run_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from napari_latent_faces.params import Channel, Order, Resize, Rows
    from napari_latent_faces.reading.naming import Listing
    from napari_latent_faces.steps import Work

    Face = tuple[Picture, int]  # a file and a page of it
    Size = tuple[int, int]  # height and width

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

_LOG = logging.getLogger(__name__)

KEPT_BYTES = 256 * 2**20  # in all: so many are read once, for their headers and pixels
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
    BMP, WebP and PNM, told by their extension or their content; also compressed by gzip,
    bzip2 or xz (``1.pgm.gz``). Most pictures in colour make a stack in colour, else all become
    grey; transparency is ignored, and EXIF rotation applied. 8-bit and 16-bit pictures stay
    so, deeper ones become float32; of several depths all are brought to the deepest, white to
    white (for floats white is 1). Animations and files of several pages are a face a page,
    named ``faces.tif/1`` and so on; one such file may be opened by itself.

    Faces may also be kept as numbers: ``.mat`` (all versions), ``.npy``, ``.npz``, ``.h5``,
    idx, ``.csv`` and other text. Where and how they lie in it is found out, unless `variable`,
    `shape`, `faces` and `order` say so; the report tells what was decided. Labels in the file,
    and tables beside the pictures (``metadata.csv``, ``identity.txt`` ...), become subjects.

    Parameters
    ----------
    path : path-like
        A folder, or a zip or tar archive (also .tar.gz, .tar.bz2, .tar.xz), of pictures or
        of files of numbers; or one file of numbers, also compressed. Nothing is unpacked to
        disk; the pictures in a compressed tar are kept in memory, as compressed as they are.
        Or the URL of either, of any protocol that fsspec knows (``s3://bucket/faces``,
        ``https://host/faces.zip``); some need the extra ``remote``.
    channel, size, resize, subjects, lazy, memory_budget, variable, shape, faces, order, colour
        As of `ReadOptions`. Of a lazy stack only headers are read now; a picture that proves
        broken later is black, with a `BrokenFaceWarning`.
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
    return run_apart(partial(_read, os.fsdecode(path), options), progress)


def _read(path: str, options: ReadOptions, work: Work) -> FaceStack:
    """Read whatever lies at a path: pictures, or files of numbers if there are none."""
    numbers = _file_of_numbers(path)
    if numbers is not None:
        return stack_of_file(numbers, sources.masked(path), options)
    found = sources.list_sources(path, work.check)
    path = sources.masked(path)
    try:
        return _stack_of_pictures(path, found, options, work)
    except NoFacesError:
        names = {entry.name for entry in found.arrays}
        if not names:
            raise
        others = [pair for pair in found.passed_over if pair[0] not in names]
        try:
            return stack_of_files(found.arrays, path, options, work, others)
        except ArraysError:
            if any(is_array_name(name, text=False) for name in names):
                raise
        raise  # a README is no broken table


def _file_of_numbers(path: str) -> str | bytes | None:
    """Return the path of a file of numbers, or its content if it is behind a URL."""
    if not sources.is_url(path):
        if not (is_array_name(path) and Path(path).is_file() and os.access(path, os.R_OK)):
            return None
        return path if is_array_name(path, text=False) or looks_like_arrays(path) else None
    if not is_array_name(path.partition("?")[0]) or sources.url_is_folder(path):
        return None
    return content_of(Entry(sources.masked(path), 0, partial(sources.read_file, path)))


def _stack_of_pictures(
    path: str, found: Listing, options: ReadOptions, work: Work
) -> FaceStack:
    """Open all, choose a frame, decode, and report; or raise `NoFacesError`."""
    work.total = len(found.entries) * (1 if options.lazy else 2)
    files = _opened(found, options, work)
    _check_any(files, found, path)
    faces = [(file, page) for file in files for page in range(file.n_pages)]
    if found.is_one_file and len(faces) == 1:
        raise NoFacesError(f"{path} is a single picture: open the folder that holds it.")
    commonest = Counter(file.shape for file, _ in faces).most_common(1)[0][0]
    frame = _frame_of(files, commonest, options, path)
    shape = (len(faces), *frame.picture_shape)
    lazy = _is_lazy(shape, frame, options, path)
    if lazy:
        images = pictures.lazy_images([(file.entry, page) for file, page in faces], frame)
    else:
        work.total = work.done + len(files)
        images, good = _decoded(files, np.empty(shape, frame.depth), frame, found, work)
        faces = [faces[row] for row in good]
        files = list(dict.fromkeys(file for file, _ in faces))
        _check_any(files, found, path)
    names = [
        file.entry.name + (f"/{page + 1}" if file.n_pages > 1 else "") for file, page in faces
    ]
    subjects, told = _subjects(faces, names, found, options.subjects)
    resized = tuple((file.entry.name, file.shape) for file in files if file.shape != commonest)
    notes = (*_notes(files, faces, frame, commonest), *told)
    report = found.report(
        n_read=len(names), resized=resized, notes=notes, lazy=lazy, options=options
    )
    has_white = frame.depth == WORD and all(file.has_white for file in files)
    white = float(WHITE[WORD]) if has_white else None
    transforms = place = None
    if options.size is None and not resized and len(names) == len(files):
        transforms, place = beside.read_transforms(found.tables, names) or (None, None)
    return FaceStack(images, tuple(names), subjects, report, path, transforms, place, white)


def _opened(found: Listing, options: ReadOptions, work: Work) -> list[Picture]:
    """Read all headers, and all content as well where that is not too much."""
    keep = not options.lazy and sum(entry.size for entry in found.entries) <= KEPT_BYTES

    def opened(entry: Entry) -> Picture | None:
        try:
            return pictures.open_picture(entry, keep=keep)
        except BrokenPictureError as error:
            is_missed = not isinstance(error, NotAPictureError)
            found.leave_out(entry.name, str(error), is_missed=is_missed)
            return None

    return [file for file in work.each(opened, found.entries) if file]


def _check_any(files: Sequence[Picture], found: Listing, path: str) -> None:
    if not files:
        lines = found.report().details().splitlines()[1:] or ["  it is empty"]
        lines[12:] = ["  ..."] * (len(lines) > 12)
        message = f"There is no picture that can be read in {path}. Found:"
        raise NoFacesError("\n".join([message, *lines]))


def _frame_of(
    files: Sequence[Picture], commonest: Size, options: ReadOptions, path: str
) -> Frame:
    """Choose what all pictures are brought to."""
    others = [file for file in files if file.shape != commonest]
    if others and options.resize == "error":
        named = [f"{file.entry.name} ({_size(file.shape)})" for file in others[:3]]
        raise ValueError(
            f"{len(others)} of the {len(files)} pictures in {path} have another size than most "
            f"({_size(commonest)}): {', '.join(named + ['...'] * (len(others) > 3))}. Choose "
            "resize='crop', 'pad' or 'stretch', or take them away."
        )
    depths = {file.depth for file in files}
    frame = Frame(
        options.frame(commonest),
        max(depths, key=list(WHITE).index),
        options.channel,
        options.resize,
        reduce=options.size is not None,
        colour=True,
        among_integers=len(depths) > 1,
    )
    in_colour = options.colour
    if in_colour == "auto":
        in_colour = options.channel == "luminance" and _are_in_colour(files, frame)
    return replace(frame, colour=in_colour)


def _are_in_colour(files: Sequence[Picture], frame: Frame) -> bool:
    """Tell whether most pictures have colours, not only three equal channels."""
    coloured = [file for file in files if file.in_colour]
    if 2 * len(coloured) <= len(files):
        return False
    answers = []
    for picture in coloured[:: max(1, len(coloured) // N_LOOKED_AT)]:
        with suppress(BrokenPictureError):
            pixels = pictures.pixels_of(picture, frame)
            answers.append(bool((pixels[..., :1] != pixels).any()))
    share = sum(answers) / max(1, len(answers))
    return 2 * share * len(coloured) > len(files)


def _is_lazy(shape: tuple[int, ...], frame: Frame, options: ReadOptions, path: str) -> bool:
    size = math.prod(shape) * frame.depth.itemsize
    if options.lazy is None:
        if is_large := size > options.budget():
            _LOG.info("%s takes %d MiB: it is read lazily.", path, size >> 20)
        return is_large
    if not options.lazy:
        import psutil

        if size > psutil.virtual_memory().available:
            words = "more than is free: read them with lazy=True, or smaller with size="
            raise MemoryError(
                f"The {shape[0]} pictures of {path} take {size >> 20} MiB, {words}."
            )
    return options.lazy


def _decoded(
    files: Sequence[Picture], images: NDArray[Any], frame: Frame, found: Listing, work: Work
) -> tuple[NDArray[Any], list[int]]:
    """Decode all pictures into an array, leave out what cannot be, and tell which could."""
    starts = np.cumsum([0, *(file.n_pages for file in files)])

    def decode(place: int) -> list[int]:
        """Decode the pages of a file into their rows; return those that could be."""
        file, start, reason = files[place], int(starts[place]), ""
        good, n = [], file.n_pages
        for page in range(n):
            try:
                images[start + page] = pictures.pixels_of(file, frame, page)
                good.append(start + page)
            except BrokenPictureError as error:
                reason = reason or str(error)
        if reason:
            of_pages = f" ({n - len(good)} of its {n} pictures)" * bool(good)
            found.skipped.append((file.entry.name, reason + of_pages))
        return good

    good = list(chain(*work.each(decode, range(len(files)))))
    if len(good) < len(images):
        for row, place in enumerate(good):  # without a second stack
            images[row] = images[place]
        images.resize((len(good), *images.shape[1:]), refcheck=False)
    return images, good


def _subjects(
    faces: Sequence[Face],
    names: Sequence[str],
    found: Listing,
    rule: str | Literal[False] | None,
) -> tuple[tuple[str, ...] | None, list[str]]:
    """Return the subjects, by a table beside the pictures or their names, and a note."""
    subjects = naming.find_subjects(names, rule)
    if rule is not None:
        return subjects, []
    files = list(dict.fromkeys(file.entry.name for file, _ in faces))
    told, is_certain, note = beside.read_tables(found.tables, files)
    if told is None:
        return subjects, [note] * bool(note)
    if naming.are_in_folders_of_people(files) and not is_certain:
        return subjects, []
    who = dict(zip(files, told, strict=True))
    return tuple(who[file.entry.name] for file, _ in faces), [note]


def _notes(
    files: Sequence[Picture], faces: Sequence[Face], frame: Frame, commonest: Size
) -> list[str]:
    """Say what was done to the pictures, and what a person should look at."""
    notes, n = [], len(files)
    depths = Counter(file.depth.name for file in files)
    if len(depths) > 1:
        named = ", ".join(f"{depths[k]} {w}" for k, w in _DEPTH_WORDS.items() if depths[k])
        notes.append(
            f"Depths differ ({named}): all are {_DEPTH_WORDS[frame.depth.name]} now, "
            f"{WHITE[frame.depth]} is white."
        )
        if frame.depth == FLOAT:
            notes.append(
                "Pictures of floats with pixels above 1 are divided by 255, by 65535, or by "
                "their largest pixel: the first of these that makes them no larger than 1."
            )
    coloured = sum(file.in_colour for file in files)
    if frame.colour and coloured < n:
        notes.append(f"{n - coloured} of {n} are grey, among colour.")
    if coloured and not frame.colour:
        taken = "luminance" if frame.channel == "luminance" else f"{frame.channel} channel"
        notes.append(f"{coloured} of {n} in colour: the {taken} is taken.")
    if frame.shape != commonest:
        notes.append(f"Scaled from {_size(commonest)} to {_size(frame.shape)} pixels.")
    if several := [file for file in files if file.n_pages > 1]:
        notes.append(
            f"{len(several)} of {n} files hold several pictures, such as "
            f"{several[0].entry.name}: {sum(file.n_pages > 1 for file, _ in faces)} faces come "
            "from them."
        )
    sized = sum(file.shape == commonest for file in files)
    if 2 * sized < n:
        notes.append(
            f"Sizes differ: the commonest, {_size(commonest)} pixels, is that of only {sized} "
            f"of {n} pictures. Choose one with size=."
        )
    digests = {f.entry.name: hashlib.blake2b(f.content).digest() for f in files if f.content}
    first = {digest: name for name, digest in reversed(digests.items())}
    again = [(name, first[each]) for name, each in digests.items() if name != first[each]]
    if again:
        notes.append(
            f"{len(again)} of {n} files repeat another one byte for byte, such as "
            f"{again[0][0]}, which is {again[0][1]} again."
        )
    return notes


_DEPTH_WORDS = {"uint8": "8-bit", "uint16": "16-bit", "float32": "float"}


def _size(shape: Size) -> str:
    """Spell a size out as width x height."""
    return f"{shape[1]} x {shape[0]}"
