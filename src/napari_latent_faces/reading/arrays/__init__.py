"""Files of numbers become faces: which variable, which axis, which order, whose."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.options import ReadOptions
from napari_latent_faces.reading.arrays.files import (
    is_array_name,
    open_container,
    starts_like_array,
    starts_like_table,
)
from napari_latent_faces.reading.arrays.layouts import (
    SAMPLE,
    could_be_picture,
    faces_of_array,
    faces_of_cells,
    flat_layouts,
    grids_of,
    is_noise,
    is_said,
)
from napari_latent_faces.reading.arrays.names import (
    AmbiguousArraysError,
    Candidate,
    Labels,
    as_candidate,
    choose,
    label_vectors,
    labels_beside,
    labels_for,
    path_beside,
    possible_faces,
    ravelled,
    with_views,
)
from napari_latent_faces.reading.arrays.variables import (
    ArraysError,
    Container,
    Variable,
    damage_named,
    times,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

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

# Names of variables that hold the height and width of all faces, in one or in two.
_SIZES = (
    *("imsize", "im_size", "imagesize", "image_size", "imgsize", "img_size", "image_shape"),
    *("imshape", "imageshape", "shape", "dims", "sz", "size", "siz", "dim"),
)
_IF_WRONG = (
    "If they look wrong, say how they lie in the file: variable='name', shape=(height, width), "
    "faces='rows' or 'columns', order='C' or 'F'."
)
_SIDES = (
    *(("height", "width"), ("h", "w"), ("imheight", "imwidth"), ("im_h", "im_w")),
    *(("n", "m"), ("rows", "cols"), ("nrows", "ncols"), ("row", "col"), ("irow", "icol")),
    *(("nrow", "ncol"), ("r", "c"), ("ny", "nx")),
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
        possible = possible_faces(with_views(container), ReadOptions())
        return tuple(as_candidate(v) for v in possible)


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
        labels = path_beside(Path(os.fspath(source)))
    with damage_named(container.name):
        container = with_views(container)
        variable = choose(container, options)
        vectors = label_vectors(container, variable, labels)
        return _faces_of(container, variable, options, vectors)


def _faces_of(
    container: Container, variable: Variable, options: ReadOptions, vectors: list[Labels]
) -> ArrayFaces:
    hint, hint_name = _size_hint(container, variable)
    what = f"'{variable.name}'" if variable.name else f"'{_base(container.name)}'"
    lengths = {len(v.values) for v in vectors}
    of_persons: Sequence[int] | None = None
    notes = list(container.notes)
    if variable.dtype is None:
        images, how, of_persons = faces_of_cells(
            variable.load(), variable.shape, options, hint, container.columns_first, what
        )
    else:
        array = np.asanyarray(variable.load())
        if array.dtype.kind in "US":
            array, vectors = _numbers_of_text(array, vectors)
            lengths = {len(v.values) for v in vectors}
        if array.dtype.kind not in "buif":
            raise ArraysError(f"{what} holds {array.dtype.name} numbers, which are no pixels.")
        if array.ndim == 2:
            array, vectors = _without_label_column(array, options, vectors)
        images, how = faces_of_array(array, options, hint, lengths, container, what, notes)
    images = _native(images)
    if is_noise(images):
        if not is_said(options):
            raise ArraysError(
                f"{what} ({times(variable.shape)}) does not look like pictures: neighbouring "
                "pixels differ as much as distant ones. If it holds faces nevertheless, say "
                "how with variable=, shape=(h, w) or faces=."
            )
        notes.append(
            "Neighbouring pixels differ as much as distant ones: the shape may be wrong, or "
            "these are no pictures."
        )
    labels, told = labels_for(len(images), vectors, container, of_persons)
    images, odd = _about_values(images)
    n, (h, w) = len(images), images.shape[1:3]
    colour = "colour " if images.ndim == 4 else ""
    decided = f"{n} {colour}{'face' if n == 1 else 'faces'} of {h} x {w} {how}"
    if h != w:
        decided = decided.replace(f"{h} x {w}", f"{h} x {w} (height x width)", 1)
    others = [
        v.name for v in possible_faces(container, options) if v is not variable and v.name
    ]
    if others and options.variable is None:
        notes.append(f"Also in the file, read with variable=: {', '.join(others[:9])}.")
    notes = [
        *([told] if told else []),
        *(
            [f"The size is that of {hint_name} in the file."]
            if hint_name and hint in {(h, w), (w, h)}
            else []
        ),
        _IF_WRONG,
        *notes,
        *odd,
    ]
    return ArrayFaces(images, labels, decided, tuple(notes))


def _base(name: str) -> str:
    return re.split(r"[/\\]", name)[-1]


def _native(images: NDArray[Any]) -> NDArray[Any]:
    dtype = images.dtype.newbyteorder("=")
    if dtype.kind == "b":
        dtype = np.dtype(np.uint8)
    elif dtype == np.float16:
        dtype = np.dtype(np.float32)
    return images if dtype == images.dtype else images.astype(dtype)


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
        if block.size:
            low, high = min(low, float(block.min())), max(high, float(block.max()))
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
    small: dict[str, list[int]] = {}
    for v in container.variables:
        if v.is_numeric and v.size <= 3 and v is not faces:
            values = ravelled(v)
            if all(float(x).is_integer() and 1 < x < 1e5 for x in values.astype(float)):
                small[v.name.rpartition(".")[2].lower()] = [int(x) for x in values]
    for name in _SIZES:
        if len(small.get(name, ())) >= 2 and (len(small[name]) == 2 or small[name][2] <= 4):
            return (small[name][0], small[name][1]), f"'{name}'"
    for high, wide in _SIDES:
        if len(small.get(high, ())) == 1 and len(small.get(wide, ())) == 1:
            return (small[high][0], small[wide][0]), f"'{high}' and '{wide}'"
    return None, ""


def _numbers_of_text(
    array: NDArray[Any], vectors: list[Labels]
) -> tuple[NDArray[Any], list[Labels]]:
    """Turn a matrix of text, in which names stand beside pixels, into numbers and names."""
    texts = [i for i in range(array.shape[1]) if not _is_number(array[0, i])]
    if len(texts) > 3:
        raise ArraysError("it holds text, not numbers.")
    try:
        numbers = np.delete(array, texts, axis=1).astype(np.float64)
    except ValueError as error:
        raise ArraysError(f"it holds text among its numbers ({error}).") from error
    if (
        bool((numbers == np.floor(numbers)).all())
        and numbers.min() >= 0
        and numbers.max() < 256
    ):
        numbers = numbers.astype(np.uint8)
    return numbers, [Labels(f"column {i + 1}", array[:, i]) for i in texts] + vectors


def _is_number(text: Any) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _without_label_column(
    array: NDArray[Any], options: ReadOptions, vectors: list[Labels]
) -> tuple[NDArray[Any], list[Labels]]:
    """Take a column of labels off a table without titles: its first or its last one."""
    n, p = array.shape
    if options.faces == "columns" or vectors or n < 2:
        return array, vectors
    if options.shape is not None:
        pixels = math.prod(options.shape)
        likely = pixels == p - 1 != n
    else:
        likely = bool(grids_of(p - 1)) and not could_be_picture(n, p)
    found = []
    for which, at, beside in (("last", p - 1, p - 2), ("first", 0, 1)) if likely else ():
        column = np.asarray(array[:, at])
        whole = bool((column == np.floor(column)).all())
        if whole and 1 < len(np.unique(column)) <= max(2, n // 2):
            unlike = np.abs(column.astype(float) - array[:, beside]).mean()
            rest = array[:, :-1] if at else array[:, 1:]
            found.append((unlike, rest, Labels(f"its {which} column", column)))
    if not found:
        return array, vectors
    _, rest, labels = max(found, key=lambda entry: entry[0])  # least like a pixel
    table = flat_layouts(array, options.shape, None)
    without = flat_layouts(rest, options.shape, "rows")
    if table and without[0].roughness >= 0.8 * table[0].roughness:
        return array, vectors
    return rest, [labels]
