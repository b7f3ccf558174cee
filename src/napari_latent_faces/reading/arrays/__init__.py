"""Files of numbers become faces: which variable, which axis, which order, whose."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.params import ReadOptions
from napari_latent_faces.reading.arrays.files import (
    NUMBERS,
    ArraysError,
    Candidate,
    Container,
    Variable,
    damage_named,
    is_idx,
    opened,
    read_idx,
    read_npy,
    read_npz,
    read_table,
    read_text,
    starts_like_table,
    times,
    unpack,
)
from napari_latent_faces.reading.arrays.layouts import (
    SAMPLE,
    Clues,
    faces_of_array,
    faces_of_cells,
    is_noise,
    without_labels,
)
from napari_latent_faces.reading.arrays.matlab import read_hdf5, read_mat
from napari_latent_faces.reading.arrays.names import (
    AmbiguousArraysError,
    Labels,
    as_candidates,
    choose,
    label_vectors,
    labels_beside,
    labels_for,
    possible_faces,
    with_views,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = [
    "AmbiguousArraysError",
    "ArrayFaces",
    "ArraysError",
    "Candidate",
    "candidates",
    "is_array_name",
    "labels_beside",
    "looks_like_arrays",
    "read_arrays",
    "starts_like_array",
]

# -- What kind of file it is -----------------------------------------------------------

_PICKLE = (
    "it is a pickle, which can run any program when it is loaded, so it never is. Load it "
    "where you trust it, and save the arrays with numpy.savez"
)
_PARQUET = (
    "it is a Parquet table, which is not read. With pandas and pyarrow its pictures become "
    "files, mostly so: for i, row in pandas.read_parquet(path).iterrows(): "
    "open(f'faces/{row['label']}_{i}.png', 'wb').write(row['image']['bytes']); then open that "
    "folder"
)
_OF_R = (
    "it is a file of R, which is not read. Convert it in R: load it, then "
    "write.csv(faces, 'faces.csv', row.names=FALSE), or R.matlab::writeMat"
)

_BINARY = (".mat", ".npy", ".npz", ".h5", ".hdf5", ".idx")
_TEXT = (".csv", ".tsv", ".txt", ".dat", ".data", ".normgrey")
_IDX = re.compile(r"[-.]idx\d[-.]u?(byte|int|short|float|double)$")
_PACKED: dict[str, tuple[Any, bytes]] = {  # how they are opened, and start
    ".gz": (gzip.open, b"\x1f\x8b"),
    ".bz2": (bz2.open, b"BZh"),
    ".xz": (lzma.open, b"\xfd7zXZ\0"),
}
# How refused files are named and start, and what to do
_REFUSED = {
    (".pkl", ".pickle", ".pkz", ".p", ".joblib"): (rb"\x80[\x02-\x05]", _PICKLE),
    (".parquet",): (rb"PAR1", _PARQUET),
    (".rda", ".rdata", ".rds"): (rb"RD[XAB]", _OF_R),
}


def is_array_name(name: str, *, text: bool = True) -> bool:
    """Tell whether a file is named like one of numbers, or one that is refused with advice.

    Text (``.csv``, ``.txt`` ...) often lies beside pictures and holds something else: `text`
    says whether it counts.
    """
    lower = _unpacked_name(name.lower())
    endings = (*_BINARY, *itertools.chain(*_REFUSED), *(_TEXT if text else ()))
    return lower.endswith(endings) or _IDX.search(lower) is not None


def starts_like_array(head: bytes) -> bool:
    """Tell whether a file that starts with these bytes is a binary file of numbers."""
    return head.startswith((b"\x93NUMPY", b"MATLAB 5", b"MATLAB 7", b"\x89HDF", b"PK\3\4"))


def open_container(source: str | os.PathLike[str] | bytes, name: str = "") -> Container:
    """Look into a file of numbers, or its content under a `name`, without reading large arrays.

    Raises `ArraysError` if it is none that is read, damaged, a bomb, or refused (pickles).
    """
    if not isinstance(source, bytes):
        source = os.fspath(source)
        if not Path(source).is_file():  # neither a folder nor a pipe, which might never end
            Path(source).stat()  # says so if nothing is there
            raise ArraysError(f"{name or source}: it is no file.")
    name = name or (source if isinstance(source, str) else "the file")
    with damage_named(name):
        head = _head(source)
        for packing, start in _PACKED.values():
            if head.startswith(start):
                source, name = unpack(source, packing), _unpacked_name(name)
                head = _head(source)
                break
        return _reader(head, name)(source, name)


def _head(source: str | bytes) -> bytes:
    with opened(source) as file:
        return file.read(1024)


def _reader(  # noqa: C901, PLR0911 - a list of kinds
    head: bytes, name: str
) -> Callable[[str | bytes, str], Container]:
    """Find by content, else by name, what reads a file."""
    lower = name.lower()
    if head.startswith(b"\x93NUMPY"):
        return read_npy
    if b"\x89HDF\r\n\x1a\n" in {head[:8], head[512:520]}:  # MATLAB's begins with a text
        return read_hdf5
    if head.startswith(b"MATLAB 5"):
        return read_mat
    if head.startswith(b"PK") and lower.endswith((".npz", ".npy")):
        return read_npz
    for endings, (start, advice) in _REFUSED.items():
        if re.match(start, head) or lower.endswith(endings):
            raise ArraysError(advice)
    if is_idx(head) and (_IDX.search(lower) or not lower.endswith(_TEXT)):
        return read_idx
    if lower.endswith(".mat"):
        return read_mat
    if lower.endswith(_BINARY) or _IDX.search(lower):
        raise ArraysError("its content is not what its name says. Save it again, or rename it.")
    if b"\0" in head:
        raise ArraysError(
            "it is binary, without a header that tells sizes and types. Load it with "
            "numpy.fromfile, and save it with numpy.save."
        )
    return read_text


def _unpacked_name(name: str) -> str:
    return next((name[: -len(end)] for end in _PACKED if name.lower().endswith(end)), name)


# -- What is in it becomes faces -------------------------------------------------------

# Names of variables that hold the height and width of all faces, in one or in two.
_SIZES = re.compile(r"(im|img|image)?_?(size|shape)|dims?|sz|siz")
_SIDES = (
    *(("height", "width"), ("h", "w"), ("imheight", "imwidth"), ("im_h", "im_w")),
    *(("n", "m"), ("rows", "cols"), ("nrows", "ncols"), ("row", "col"), ("irow", "icol")),
    *(("nrow", "ncol"), ("r", "c"), ("ny", "nx")),
)
_WIDER = {"bool": "uint8", "float16": "float32"}
_IF_WRONG = (
    "If they look wrong, say how they lie in the file: variable='name', shape=(height, width), "
    "faces='rows' or 'columns', order='C' or 'F'."
)


@dataclass(frozen=True, eq=False)
class ArrayFaces:
    """Faces (n, h, w) or (n, h, w, 3) that were kept as numbers, in their own type.

    Often a view of a file that is mapped into memory. `labels` says whose they are, where the
    file tells; `decided` what was read as what, in one line; `notes` what else a user should
    know.
    """

    images: NDArray[Any]
    labels: tuple[str, ...] | None
    decided: str
    notes: tuple[str, ...] = ()


def candidates(
    source: str | os.PathLike[str] | bytes, *, name: str = ""
) -> tuple[Candidate, ...]:
    """List the variables of a file that may hold faces, without reading large ones."""
    container = open_container(source, name)
    with damage_named(container.name):
        return as_candidates(possible_faces(with_views(container)))


def looks_like_arrays(path: str | os.PathLike[str]) -> bool:
    """Tell quickly whether a file of numbers may hold faces, and is not refused or damaged."""
    path = os.fspath(path)
    lower = path.lower()
    if lower.endswith((".gz", ".bz2", ".xz")):
        return True  # a second look would unpack it all
    try:
        if not is_array_name(lower, text=False):
            with Path(path).open("rb") as file:
                return starts_like_table(file.read(2**16))
        if lower.endswith(".npy"):  # any stack has such a shape
            return len(read_arrays(path).images) > 0
        return bool(candidates(path))
    except (ArraysError, OSError):
        return False


def read_arrays(
    source: str | os.PathLike[str] | bytes,
    options: ReadOptions | None = None,
    *,
    name: str = "",
    labels: str | os.PathLike[str] | bytes | None = None,
) -> ArrayFaces:
    """Read a file of numbers, or its content under a `name`, as faces.

    What `options` do not say is found out. `labels` is a file of labels; by default the one
    beside a path. Raises `ArraysError`, or `AmbiguousArraysError` if several variables may be
    the faces.
    """
    options = options or ReadOptions()
    container = open_container(source, name)
    if labels is None and not isinstance(source, bytes):
        path = Path(os.fspath(source))
        with suppress(OSError):
            near = labels_beside(path.name, (each.name for each in path.parent.iterdir()))
            labels = path.parent / near if near else None
    beside = None
    if labels is not None:  # if it holds none, the faces can be read without
        with suppress(ArraysError), damage_named("labels"):
            found = open_container(labels, "labels" if isinstance(labels, bytes) else "")
            lists = [v.values() for v in found.variables if v.is_list]
            beside = lists[0] if len(lists) == 1 else None
    with damage_named(container.name):
        container = with_views(container)
        variable = choose(container, options)
        vectors = label_vectors(container, variable, beside)
        return _faces_of(container, variable, options, vectors)


def _faces_of(
    container: Container, variable: Variable, options: ReadOptions, vectors: list[Labels]
) -> ArrayFaces:
    hint, hint_names = _size_hint(container, variable)
    what = variable.name or re.split(r"[/\\]", container.name)[-1]
    clues = Clues(f"'{what}'", options, hint, columns_first=container.columns_first)
    of_persons: list[int] | None = None
    if variable.dtype is None:
        images, how, of_persons = faces_of_cells(variable.load(), variable.shape, clues)
    else:
        array = np.asanyarray(variable.load())
        if array.dtype.kind in "US" and array.ndim == 2:  # names and pixels, all as text
            rows = ("\t".join(row) for row in array.astype(str))
            table = Container("", tuple(read_table(enumerate(rows, 1))))
            array = table.variables[0].load()
            vectors = vectors or label_vectors(table, table.variables[0], None)
        if array.dtype.kind not in NUMBERS:
            raise ArraysError(f"'{what}' holds {array.dtype.name} numbers, which are no pixels")
        if array.ndim == 2 and not vectors:
            array, column, which = without_labels(array, options)
            vectors = [] if column is None else [Labels(f"its {which} column", column)]
        lengths = frozenset(len(v.values) for v in vectors)
        images, how = faces_of_array(array, replace(clues, lengths=lengths))
    native = images.dtype.newbyteorder("=")
    images = images.astype(_WIDER.get(native.name, native), copy=False)
    doubt = ""
    if is_noise(images):
        if not clues.are_said:
            raise ArraysError(
                f"'{what}' ({times(variable.shape)}) does not look like pictures: neighbouring "
                "pixels differ as much as distant ones. If it holds faces nevertheless, say "
                "how with variable=, shape=(h, w) or faces=."
            )
        doubt = (
            "Neighbouring pixels differ as much as distant ones: the shape may be wrong, or "
            "these are no pictures."
        )
    labels, told = labels_for(len(images), vectors, container, of_persons)
    images, about_values = _about_values(images)
    n, (h, w) = len(images), images.shape[1:3]
    kind = ("colour " if images.ndim == 4 else "") + ("face" if n == 1 else "faces")
    size = f"{h} x {w}" + (" (height x width)" if h != w else "")
    others = [v.name for v in possible_faces(container, options) if v.name]
    notes = [told, _IF_WRONG, *container.notes, doubt]
    if hint in {(h, w), (w, h)}:
        notes.insert(1, f"The size is that of {hint_names} in the file.")
    if options.variable is None and (others := [o for o in others if o != variable.name]):
        listed = ", ".join(others[:9])
        notes.append(f"Also in the file, read with variable=: {listed}.")
    notes += about_values
    return ArrayFaces(images, labels, f"{n} {kind} of {size} {how}", tuple(filter(None, notes)))


def _about_values(images: NDArray[Any]) -> tuple[NDArray[Any], list[str]]:
    """Return the pictures without the negative zeros of rounding, and what else is odd."""
    if images.dtype.kind not in "if":
        return images, []
    low = high = 0.0
    finite = True
    some = images[:: max(1, images.size // (16 * SAMPLE))]  # of a large file, a part
    step = max(1, SAMPLE // max(1, images[0].size))
    for start in range(0, len(some), step):
        block = some[start : start + step]
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            finite = False
            block = block[np.isfinite(block)]
        low = min(low, float(block.min(initial=0)))
        high = max(high, float(block.max(initial=0)))
    notes = [] if finite else ["Some pixels are NaN or infinite."]
    if 0 < -low < 1e-6 * high:
        return np.maximum(images, 0), [*notes, "Pixels just below 0 were rounded to 0."]
    if low < 0:
        notes.append(
            f"Pixels reach from {low:g} to {high:g}: negative ones mean that they were "
            "probably centred or standardized, or are no pictures but eigenfaces. A fit needs "
            "pixels that are not negative: read the originals."
        )
    return images, notes


def _size_hint(container: Container, faces: Variable) -> tuple[tuple[int, int] | None, str]:
    """Return height and width as the file tells them, and the names it does that by."""
    told: dict[str, list[int]] = {}
    for v in container.variables:
        if v.kind in NUMBERS and v.size <= 3 and v is not faces:
            values = v.values().astype(float)
            if all(x.is_integer() and 1 < x < 1e5 for x in values):
                told[v.name.rpartition(".")[2].lower()] = [int(x) for x in values]
    for name, numbers in told.items():
        if _SIZES.fullmatch(name) and len(numbers) > 1 and max(numbers[2:], default=0) <= 4:
            return (numbers[0], numbers[1]), f"'{name}'"
    for high, wide in _SIDES:
        if len(told.get(high, ())) == len(told.get(wide, ())) == 1:
            return (told[high][0], told[wide][0]), f"'{high}' and '{wide}'"
    return None, ""
