"""Files of numbers become a stack: one with all faces, or one for each person."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.arrays import ArrayFaces, is_array_name, read_arrays
from napari_latent_faces.reading.arrays.files import ArraysError
from napari_latent_faces.reading.formats import FLOAT
from napari_latent_faces.reading.naming import find_subjects
from napari_latent_faces.reading.pictures import Frame, MatchedPictures
from napari_latent_faces.stack import FaceStack, ReadReport, harmless

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.params import ReadOptions
    from napari_latent_faces.reading.naming import Entry
    from napari_latent_faces.steps import Work

# Words in names of files that lie beside one another, of faces and of their labels
_OF_FACES = {"x", "images", "image", "faces", "data", "pixels", "idx3"}
_OF_LABELS = {"target", "targets", "labels", "label", "y", "gnd", "subjects", "ids", "idx1"}


def labels_beside(name: str, others: Iterable[str]) -> str | None:
    """Find the file of labels beside one of faces, such as ``a_target.npy`` for ``a.npy``."""

    def split(name: str) -> tuple[bool, list[str]]:
        words = re.split(r"[-_. ]+", name.lower())
        rest = [word for word in words if word not in _OF_FACES | _OF_LABELS]
        return not _OF_LABELS.isdisjoint(words), rest

    is_labels, rest = split(name)
    found = (other for other in others if not is_labels and split(other) == (True, rest))
    return next(found, None)


def stack_of_file(source: str | bytes, name: str, options: ReadOptions) -> FaceStack:
    """Return the faces in a file of numbers, or in its content; its path is `name`."""
    labels: str | Path = ""
    if isinstance(source, str):
        path = Path(source)
        with suppress(OSError):
            near = labels_beside(path.name, (each.name for each in path.parent.iterdir()))
            labels = path.with_name(near) if near else ""
    found = read_arrays(source, options, name=name, labels=labels)
    return _stack(name, {name: found}, options, ReadReport())


def stack_of_files(
    entries: Sequence[Entry],
    path: str,
    options: ReadOptions,
    work: Work,
    passed_over: Sequence[tuple[str, str]] = (),
) -> FaceStack:
    """Return the faces in the files of numbers of a folder or archive, in natural order."""
    # text only if there is nothing else
    files = [e for e in entries if is_array_name(e.name, text=False)] or list(entries)
    by_name = {entry.name: entry for entry in files}
    labels = {name: labels_beside(name, by_name) for name in by_name}
    files = [entry for entry in files if entry.name not in labels.values()]
    work.total = len(files) + 1
    parts: dict[str, ArrayFaces] = {}
    failures: dict[str, ArraysError] = {}
    for entry in files:
        work.check()
        name, beside = entry.name, labels[entry.name]
        told = content_of(by_name[beside]) if beside else ""
        try:
            content = content_of(entry)
            parts[name] = read_arrays(content, options, name=f"{path}/{name}", labels=told)
        except ArraysError as error:
            failures[name] = error
        work.done += 1
    skipped = [(name, str(e).partition(": ")[2] or str(e)) for name, e in failures.items()]
    if not parts:
        if len(failures) == 1:
            raise next(iter(failures.values()))
        lines = [f"  {name}: {reason}" for name, reason in skipped[:12]]
        raise ArraysError("\n".join([f"There are no faces in {path}. Found:", *lines]))
    sizes = {found.images.shape[1:3]: name for name, found in parts.items()}
    if len(sizes) > 1 and options.size is None:
        listed = ", ".join(f"{h} x {w} in {name}" for (h, w), name in sizes.items())
        words = f"The files in {path} hold faces of several sizes ({listed})"
        raise ArraysError(f"{words}: open one, or bring all to one size with size=.")
    report = ReadReport(skipped=tuple(skipped), passed_over=tuple(passed_over))
    return _stack(path, parts, options, report)


def content_of(entry: Entry) -> bytes:
    """Return all of a file of numbers that is not on disk."""
    most = 2**30  # it is read into memory
    content = entry.read(most + 1)
    if len(content) > most:
        raise ArraysError(f"{entry.name}: it is too large: save it on disk, and open it there.")
    return content


def _names(found: ArrayFaces, file: str) -> list[str]:
    """Name faces by their number, within their file or subject if they have one."""
    folder, slash, base = file.rpartition("/")
    owners = [folder + slash + (base.partition(".")[0] or base)] * len(found.images)
    if file and len(owners) == 1:
        return owners
    if found.labels is not None and not file:
        owners = [harmless(label).replace("/", "_") or "_" for label in found.labels]
    numbers: dict[str, count[int]] = defaultdict(lambda: count(1))
    return [f"{owner}/{next(numbers[owner])}".removeprefix("/") for owner in owners]


def _stack(
    path: str, files: dict[str, ArrayFaces], options: ReadOptions, report: ReadReport
) -> FaceStack:
    parts = list(files.values())
    shapes = Counter(part.images.shape[1:3] for part in parts)
    shape = options.frame(shapes.most_common(1)[0][0])
    in_colour = _are_in_colour(parts, options)
    frame = Frame(shape, FLOAT, options.channel, options.resize, colour=in_colour)
    images = [_brought(part.images, frame, options) for part in parts]
    whole: Any = images[0]
    if len(images) > 1 and all(isinstance(each, np.ndarray) for each in images):
        whole = np.concatenate(images)
    elif len(images) > 1:
        import dask.array

        concatenate: Any = dask.array.concatenate
        whole = concatenate([_dask(each) for each in images])
    lazy = whole.nbytes > options.budget() if options.lazy is None else options.lazy
    whole = _dask(whole) if lazy else np.array(whole, order="C")
    notes = [note for part in parts for note in part.notes]
    n_grey = sum(len(part.images) for part in parts if part.images.ndim == 3)
    if n_grey < len(whole) and not frame.colour:
        notes.append(f"In colour: the {options.channel} is taken.")
    if frame.colour and n_grey:
        notes.append(f"{n_grey} of {len(whole)} are grey, among colour.")
    to = f"to {shape[1]} x {shape[0]} pixels"
    notes += [f"Scaled from {w} x {h} {to}." for h, w in shapes if (h, w) != shape]
    decided, told = parts[0].decided, tuple(dict.fromkeys(notes))
    if several := len(parts) > 1:
        faces = f"{len(whole)} {'colour ' if frame.colour else ''}faces"
        size = f"{shape[0]} x {shape[1]} (height x width)"
        decided = f"{faces} of {size} from {len(parts)} files"
    report = replace(
        report, n_read=len(whole), notes=told, lazy=bool(lazy), options=options, decided=decided
    )
    names = tuple(chain(*(_names(found, name * several) for name, found in files.items())))
    subjects: Any = tuple(label for found in parts for label in found.labels or ())
    if options.subjects is not None or len(subjects) != len(names):
        subjects = find_subjects(names, options.subjects)
    return FaceStack(whole, names, subjects, report, path)


def _dask(images: Any) -> Any:
    """Return pictures as a dask array in blocks of some pictures."""
    import dask.array

    if isinstance(images, dask.array.Array):
        return images
    picture = math.prod(images.shape[1:]) * images.dtype.itemsize
    from_array: Any = dask.array.from_array
    blocks = max(1, 4 * 2**20 // max(1, picture)), *images.shape[1:]
    return from_array(_lasting(images), blocks, name=False)


def _lasting(images: Any) -> Any:
    """Return pictures, those of a mapped file as something that can be pickled."""
    file: Any = images  # what it is a view of
    while isinstance(getattr(file, "base", None), np.ndarray):
        file = file.base
    return images if getattr(file, "filename", None) is None else _OnDisk(images, file)


class _OnDisk:
    """Numbers in a file, which other processes can map as well: it pickles as its place."""

    def __init__(self, images: NDArray[Any], file: np.memmap[Any, Any]) -> None:
        self.dtype, self.shape, self.ndim = images.dtype, images.shape, images.ndim
        self.path, self.strides = str(file.filename), images.strides
        self.offset = file.offset + images.ctypes.data - file.ctypes.data

    def __getitem__(self, key: Any) -> NDArray[Any]:
        content: Any = np.memmap(self.path, np.uint8, "r")
        images: Any = np.ndarray(self.shape, self.dtype, content, self.offset, self.strides)
        return np.array(images[key])


def _are_in_colour(parts: Sequence[ArrayFaces], options: ReadOptions) -> bool:
    if isinstance(options.colour, bool) or options.channel != "luminance":
        return options.colour is True
    coloured = 0
    for images in (part.images for part in parts if part.images.ndim == 4):
        some = images[:: max(1, len(images) // 15)]
        coloured += len(images) * bool(np.any(some[..., :1] != some))
    return 2 * coloured > sum(len(part.images) for part in parts)


def _brought(images: NDArray[Any], frame: Frame, options: ReadOptions) -> Any:
    """Return pictures of a frame's size and colours; large ones are computed when looked at."""
    if images.shape[1:] == frame.picture_shape:
        return images
    pictures = MatchedPictures(_lasting(images), frame)
    is_small = pictures.size * images.itemsize <= options.budget()
    return pictures[:] if is_small else _dask(pictures)
