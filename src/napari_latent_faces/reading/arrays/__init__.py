"""Files of numbers become faces: which variable, which axis, which order, whose."""

from __future__ import annotations

import itertools
import math
import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.files import most_unpacked, unpacked, unpacked_name
from napari_latent_faces.params import ReadOptions
from napari_latent_faces.reading.arrays import files, layouts, matlab
from napari_latent_faces.reading.arrays.files import ArraysError, Container, Variable, times

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Source = str | os.PathLike[str] | bytes  # a path, or the content of a file

_READERS = {  # of files that start so, whatever their names are
    b"\x93NUMPY": files.read_npy,
    b"MATLAB 5": matlab.read_mat,
    b"\x89HDF\r\n\x1a\n": matlab.read_hdf5,
}
_BINARY = (".mat", ".npy", ".npz", ".h5", ".hdf5", ".idx")
_TEXT = (".csv", ".tsv", ".txt", ".dat", ".data", ".normgrey")
_IDX = re.compile(r"[-.]idx\d[-.]u?(byte|int|short|float|double)$")
_REFUSED = {  # how they start and are named, and what to do
    (rb"\x80[\x02-\x05]", (".pkl", ".pickle", ".pkz", ".p", ".joblib")): (
        "it is a pickle, which can run any program when it is loaded, so it never is. Load it "
        "where you trust it, and save the arrays with numpy.savez"
    ),
    (rb"PAR1", (".parquet",)): (
        "it is a Parquet table, which is not read. Its pictures become files, mostly so: "
        "for i, row in pandas.read_parquet(path).iterrows(): open(f'faces/{row['label']}_{i}."
        "png', 'wb').write(row['image']['bytes']); then open that folder"
    ),
    (rb"RD[XAB]", (".rda", ".rdata", ".rds")): (
        "it is a file of R, which is not read. Convert it in R: load it, then "
        "write.csv(faces, 'faces.csv', row.names=FALSE), or R.matlab::writeMat"
    ),
}
_SIDES = (  # names of variables that hold height and width
    *(("height", "width"), ("h", "w"), ("imheight", "imwidth"), ("im_h", "im_w")),
    *(("n", "m"), ("rows", "cols"), ("nrows", "ncols"), ("row", "col"), ("irow", "icol")),
    *(("nrow", "ncol"), ("r", "c"), ("ny", "nx")),
)


class AmbiguousArraysError(ArraysError):
    """Several variables may be the faces; `candidates` lists them."""

    def __init__(self, message: str, candidates: Sequence[Variable] = ()) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)


@dataclass(frozen=True, eq=False)
class ArrayFaces:
    """Faces (n, h, w) or (n, h, w, 3) in their own type, often mapped into memory."""

    images: NDArray[Any]
    labels: tuple[str, ...] | None
    decided: str  # what was read as what, in one line
    notes: tuple[str, ...] = ()


def is_array_name(name: str, *, text: bool = True) -> bool:
    """Tell whether a file is named like one of numbers, or one that is refused with advice."""
    lower = unpacked_name(name.lower())
    refused = itertools.chain.from_iterable(endings for _, endings in _REFUSED)
    # beside pictures, text mostly holds something else
    endings = (*_BINARY, *refused, *(_TEXT if text else ()))
    return lower.endswith(endings) or _IDX.search(lower) is not None


def starts_like_array(head: bytes) -> bool:
    """Tell whether a file that starts with these bytes is a binary file of numbers."""
    return head.startswith((*_READERS, b"MATLAB 7", b"PK\3\4"))


def looks_like_arrays(path: str | os.PathLike[str]) -> bool:
    """Tell quickly whether a file of numbers may hold faces, and is not refused or damaged."""
    path = os.fspath(path)
    if unpacked_name(path) != path:
        return True  # a second look would unpack it all
    try:
        if not is_array_name(path, text=False):
            with Path(path).open("rb") as file:
                return files.starts_like_table(file.read(2**16))
        if path.lower().endswith(".npy"):  # any stack has such a shape
            return len(read_arrays(path).images) > 0
        return bool(candidates(path))
    except (ValueError, OSError):
        return False


def candidates(source: Source, *, name: str = "") -> tuple[Variable, ...]:
    """List the variables of a file that may hold faces, without reading large ones."""
    container = _opened(source, name)
    with files.damage_named(container.name):
        return tuple(_possible_faces(container, ReadOptions()))


def read_arrays(
    source: Source, options: ReadOptions | None = None, *, name: str = "", labels: Source = ""
) -> ArrayFaces:
    """Read a file of numbers, or its content under a `name`, as faces; `labels` lies beside."""
    options = options or ReadOptions()
    container = _opened(source, name)
    beside: list[Variable] = []
    if labels:  # if it holds none, the faces can be read without
        with suppress(ArraysError, OSError), files.damage_named("labels"):
            found = _opened(labels, "labels" if isinstance(labels, bytes) else "")
            beside = [files.held("", v.values()) for v in found.variables if v.is_list]
    with files.damage_named(container.name):
        variable = _choose(container, options)
        lists = _label_lists(container, variable)
        if len(beside) == 1:
            lists = {"the file of labels beside it": beside[0]} if beside[0].labels else {}
        return _faces_of(container, variable, options, lists)


def _opened(source: Source, name: str = "") -> Container:
    """Look into a file of numbers, or its content under a `name`, without reading it all."""
    if not isinstance(source, bytes):
        source = os.fspath(source)
        if not Path(source).is_file():  # neither a folder nor a pipe, which might never end
            Path(source).stat()  # says so if nothing is there
            raise ArraysError(f"{name or source}: it is no file.")
    name = name or (source if isinstance(source, str) else "the file")
    with files.damage_named(name):
        content = unpacked(source, most_unpacked(len(files.content_of(source))))
        if content is not None:
            source, name = content, unpacked_name(name)
        head = files.content_of(source)[:1024].tobytes()
        return _with_views(_reader(head, name.lower())(source, name))


def _reader(head: bytes, name: str) -> Callable[[str | bytes, str], Container]:
    """Find by content, else by name, what reads a file."""
    for start, reader in _READERS.items():
        if start in {head[: len(start)], head[512:520]}:  # HDF5 of MATLAB begins with a text
            return reader
    if head.startswith(b"PK") and name.endswith((".npz", ".npy")):
        return files.read_npz
    for (start, endings), advice in _REFUSED.items():
        if re.match(start, head) or name.endswith(endings):
            raise ArraysError(advice)
    if files.is_idx(head) and (_IDX.search(name) or not name.endswith(_TEXT)):
        return files.read_idx
    if name.endswith(".mat"):
        return matlab.read_mat
    if name.endswith(_BINARY) or _IDX.search(name):
        raise ArraysError("its content is not what its name says. Save it again, or rename it.")
    if b"\0" in head:
        raise ArraysError("it is binary, without a header. Use numpy.fromfile and numpy.save")
    return files.read_text


def _with_views(container: Container) -> Container:
    """List cells one by one that hold the same faces in several ways ("views")."""
    lengths = _label_lengths(container)

    def views(v: Variable) -> list[Variable]:
        cells = v.load() if v.dtype is None and 1 < v.size <= 20 else []
        shapes = [c.shape for c in cells if isinstance(c, np.ndarray) and c.ndim == 2]
        shared = [set(sides) for sides in zip(*shapes, strict=True) if len(set(sides)) == 1]
        if len(shapes) == len(cells) > 1 == len(shared) and shared[0] <= lengths:
            return [files.held(f"{v.name}{{{i}}}", c) for i, c in enumerate(cells, 1)]
        return [v]

    found = itertools.chain.from_iterable(map(views, container.variables))
    return replace(container, variables=tuple(found))


def _label_lengths(container: Container) -> set[int]:
    return {v.size for v in container.variables if v.rank_of_labels is not None}


def _possible_faces(container: Container, options: ReadOptions) -> list[Variable]:
    """Return the variables that may hold faces by their shape."""
    if {v.name for v in container.variables} >= {"header", "components", "weights"}:
        raise ArraysError("it is a saved model, not faces: open it with LatentFaces.load")
    return [v for v in container.variables if v.size and _may_be_faces(v, options.shape)]


def _may_be_faces(variable: Variable, wanted: tuple[int, int] | None) -> bool:
    shape = [side for side in variable.shape if side != 1]
    if variable.dtype is None:
        cells = layouts.leaves(variable.load())
        return any(c.size >= files.LEAST_PIXELS for c in cells if isinstance(c, np.ndarray))
    if variable.kind in "US":
        return len(shape) == 2 and shape[1] > files.LEAST_PIXELS
    if wanted is not None:
        if len(variable.shape) > 2:
            return {*wanted} <= {*variable.shape}
        pixels = math.prod(wanted)
        return pixels in shape or 3 * pixels in shape or sorted(shape) == sorted(wanted)
    if len(shape) == 2:
        return layouts.could_be_picture(*shape) or any(map(layouts.grids_of, shape))
    return 3 <= len(shape) <= 5 and sorted(shape)[-2] >= layouts.SMALLEST_SIDE


def _choose(container: Container, options: ReadOptions) -> Variable:
    variables = container.variables
    if options.variable is not None:
        return _named(container, options.variable)
    if unnamed := [v for v in variables if not v.name]:
        return unnamed[0]
    possible = _without_copies(_possible_faces(container, options))
    seen = [v for v in possible if len(possible) == 1 or _looks_like_pictures(v)]
    lengths = _label_lengths(container) - {1}

    def doubts(v: Variable) -> int:  # names of one letter say little, others less
        if v.is_named_faces:
            return len(v.part_and_key[1]) == 1
        return 3 - bool(lengths & {*v.shape})

    best = [v for v in seen if doubts(v) == min(map(doubts, seen))]
    if len(best) == 1:
        return best[0]
    if seen:
        words = f"several variables may be the faces: {_listed(possible)}"
        raise AmbiguousArraysError(f"{words}. Name one with variable=.", possible)
    advice = "Name one with variable=, and its height and width with shape=(h, w)"
    if not variables:
        advice = "Save plain arrays of numbers"
    elif not possible and options.shape is not None:
        advice = f"Check shape=: {times(options.shape)} is {math.prod(options.shape)} pixels"
    there = _listed(possible or variables) or "it holds no arrays of numbers"
    told = (f"none of its variables looks like faces: {there}.", *container.notes, advice)
    raise ArraysError(" ".join(told))


def _named(container: Container, wanted: str) -> Variable:
    variables, lower = container.variables, wanted.lower()
    alike = [v for v in variables if lower in {v.name.lower(), v.last.lower()}]
    found = [v for v in alike if v.name == wanted] or alike
    if len(found) == 1:
        return found[0]
    if found:
        words = f"variable={wanted!r} may be any of {_listed(found)}."
        raise AmbiguousArraysError(words, found)
    if inner := tuple(v for v in variables if v.name.startswith(f"{wanted}.")):
        return _choose(replace(container, variables=inner), ReadOptions())
    there = _listed([v for v in variables if v.name]) or "one array without a name"
    raise ArraysError(f"it has no variable {wanted!r}, but {there}")


def _listed(variables: Sequence[Variable]) -> str:
    shown = ", ".join(map(str, variables[:12]))
    return shown + (f" and {len(variables) - 12} more" if len(variables) > 12 else "")


def _without_copies(possible: list[Variable]) -> list[Variable]:
    """Leave out flattened copies, as `data` beside `images`, and tests beside training."""
    parts = {v.part_and_key for v in possible}
    trained = {("test", key) for part, key in parts if part == "train"}
    possible = [v for v in possible if v.part_and_key not in trained]

    def is_copy(flat: Variable) -> bool:
        whole = (v for v in possible if len(v.shape) > 2 == len(flat.shape))
        return any(v.size == flat.size and {*flat.shape} & {*v.shape} for v in whole)

    return [v for v in possible if not is_copy(v)]


def _looks_like_pictures(variable: Variable) -> bool:
    if variable.dtype is None or len(variable.shape) != 2:
        return True
    if variable.kind not in files.NUMBERS:
        return False
    array = np.asarray(variable.load())
    ways = layouts.layouts_of(array, layouts.Clues())
    return not layouts.is_noise(ways[0].images if ways else array[np.newaxis])


def _label_lists(container: Container, faces: Variable) -> dict[str, Variable]:
    others = [v for v in container.variables if v is not faces]

    def rank(v: Variable) -> tuple[int, int]:  # fields of one struct, x_train and y_train
        same_place = v.name.rpartition(".")[0] == faces.name.rpartition(".")[0]
        same_part = v.part_and_key[0] == faces.part_and_key[0]
        return -same_place - same_part, v.rank_of_labels or 0

    lists = sorted((v for v in others if v.rank_of_labels is not None), key=rank)
    # numpy.savez(path, faces, labels) gives them no names, nor do tables without titles
    unnamed = [v for v in others if re.fullmatch(r"arr_\d+|column \d+", v.name) and v.is_list]
    unnamed = [v for v in unnamed if v.size in faces.shape]
    # whole numbers or words that come repeatedly
    unnamed = [v for v in unnamed if 1 < len(set(v.labels)) <= v.size / 2]
    lists += unnamed if len(unnamed) == 1 else []
    return {f"'{v.name}'": v for v in lists if v.labels}


def _labels_for(
    n: int, lists: dict[str, Variable], container: Container, of_persons: list[int] | None
) -> tuple[tuple[str, ...] | None, str]:
    """Return the labels of `n` faces, and where they come from."""
    for name, v in lists.items():
        different = len(set(v.labels))
        is_name = v.part_and_key[1] in {"name", "names", "id", "ids"} and different == n
        # neither the names of the files, nor "is a face" of CBCL
        if len(v.labels) == n and (n == 1 or (different > 1 and not is_name)):
            return v.labels, f"Subjects from {name}."
    if of_persons is not None:
        for name, v in lists.items():
            if len(v.labels) == len(set(of_persons)) > 1:
                return tuple(v.labels[i] for i in of_persons), f"Subjects from {name}."
        return tuple(str(i + 1) for i in of_persons), "A subject for each cell."
    counting = {"nfaces", "n_faces", "faces_per_person", "nimages", "counts"}
    for v in container.variables:
        if v.last.lower() in counting and v.is_list and v.kind in files.NUMBERS:
            counts = v.values()
            if len(counts) > 1 and (counts >= 0).all() and counts.sum() == n:
                persons = np.repeat(np.arange(1, len(counts) + 1), counts.astype(np.intp))
                return tuple(map(str, persons)), f"Subjects from the counts in '{v.name}'."
    return None, ""


def _size_hint(container: Container, faces: Variable) -> tuple[tuple[int, int] | None, str]:
    told: dict[str, list[int]] = {}
    for v in container.variables:
        if v.kind in files.NUMBERS and v.size <= 3 and v is not faces:
            values = v.values().astype(float)
            if all(x.is_integer() and 1 < x < 1e5 for x in values):
                told[v.last.lower()] = [int(x) for x in values]
    size = re.compile(r"(im|img|image)?_?(size|shape)|dims?|sz|siz")
    for name, numbers in told.items():
        if size.fullmatch(name) and len(numbers) > 1 and max(numbers[2:], default=0) <= 4:
            return (numbers[0], numbers[1]), f"'{name}'"
    for high, wide in _SIDES:
        if len(told.get(high, ())) == len(told.get(wide, ())) == 1:
            return (told[high][0], told[wide][0]), f"'{high}' and '{wide}'"
    return None, ""


def _faces_of(
    container: Container, variable: Variable, options: ReadOptions, lists: dict[str, Variable]
) -> ArrayFaces:
    hint, hint_names = _size_hint(container, variable)
    what = variable.name or re.split(r"[/\\]", container.name)[-1]
    clues = layouts.Clues(f"'{what}'", options, hint, columns_first=container.columns_first)
    of_persons: list[int] | None = None
    if variable.dtype is None:
        images, how, of_persons = layouts.faces_of_cells(variable.load(), variable.shape, clues)
    else:
        array = np.asanyarray(variable.load())
        if array.dtype.kind in "US" and array.ndim == 2:  # names and pixels, all as text
            rows = ("\t".join(row) for row in array.astype(str))
            table = Container("", tuple(files.read_table(enumerate(rows, 1))))
            array = table.variables[0].load()
            lists = lists or _label_lists(table, table.variables[0])
        if array.dtype.kind not in files.NUMBERS:
            raise ArraysError(f"'{what}' holds {array.dtype.name} numbers, which are no pixels")
        if array.ndim == 2 and not lists and (at := layouts.column_of_labels(array, options)):
            last = at == "last"
            lists = {f"its {at} column": files.held("", array[:, -1 if last else 0])}
            array = array[:, :-1] if last else array[:, 1:]
        lengths = frozenset(len(v.labels) for v in lists.values())
        images, how = layouts.faces_of_array(array, replace(clues, lengths=lengths))
    native = images.dtype.newbyteorder("=")
    wider = {"bool": "uint8", "float16": "float32"}.get(native.name, native)
    images = images.astype(wider, copy=False)
    if_wrong = (
        "say how they lie in the file: variable='name', shape=(height, width), faces='rows' or "
        "'columns', order='C' or 'F'."
    )
    doubtful = "neighbouring pixels differ as much as distant ones" * layouts.is_noise(images)
    if doubtful and not clues.are_said:
        words = f"'{what}' ({times(variable.shape)}) does not look like pictures: {doubtful}"
        raise ArraysError(f"{words}. If it holds faces nevertheless, {if_wrong}")
    labels, told = _labels_for(len(images), lists, container, of_persons)
    images, about_values = _about_values(images)
    n, (h, w) = len(images), images.shape[1:3]
    others = [v.name for v in _possible_faces(container, options) if v is not variable]
    named = ", ".join([name for name in others if name and options.variable is None][:9])
    notes = (
        told,
        f"The size is that of {hint_names} in the file." * (hint in {(h, w), (w, h)}),
        f"If they look wrong, {if_wrong}",
        *container.notes,
        doubtful and f"These may be no pictures, or the shape is wrong: {doubtful}.",
        f"Also in the file, read with variable=: {named}." * bool(named),
        *about_values,
    )
    kind = ("colour " if images.ndim == 4 else "") + ("face" if n == 1 else "faces")
    size = f"{h} x {w}" + (" (height x width)" if h != w else "")
    return ArrayFaces(images, labels, f"{n} {kind} of {size} {how}", tuple(filter(None, notes)))


def _about_values(images: NDArray[Any]) -> tuple[NDArray[Any], list[str]]:
    """Return the pictures without the negative zeros of rounding, and what else is odd."""
    if images.dtype.kind not in "if":
        return images, []
    some = images[:: max(1, images.size // (4 * layouts.SAMPLE))]  # of a large file, a part
    usual = np.isfinite(some)
    low, high = (float(f(some, initial=0, where=usual)) for f in (np.min, np.max))
    notes = [] if usual.all() else ["Some pixels are NaN or infinite."]
    if 0 < -low < 1e-6 * high:
        return np.maximum(images, 0), [*notes, "Pixels just below 0 were rounded to 0."]
    if low < 0:
        notes.append(
            f"Pixels reach from {low:g} to {high:g}: they were probably centred or "
            "standardized, or are eigenfaces. A fit needs pixels that are not negative."
        )
    return images, notes
