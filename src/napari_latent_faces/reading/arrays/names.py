"""Which variable holds the faces, which ones their subjects and sizes, told by names."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.options import ReadOptions
from napari_latent_faces.reading.arrays.files import open_container
from napari_latent_faces.reading.arrays.layouts import (
    LEAST_PIXELS,
    SMALLEST_SIDE,
    could_be_picture,
    flat_layouts,
    grids_of,
    is_noise,
)
from napari_latent_faces.reading.arrays.variables import (
    ArraysError,
    Container,
    Variable,
    leaves,
    times,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


_MOST_LABELS = 10_000_000

_COUNTS = ("nfaces", "n_faces", "faces_per_person", "nimages", "counts")

LABEL_NAMES = (
    *("gnd", "label", "labels", "lab", "l", "y", "target", "targets", "subject", "subjects"),
    *("person", "persons", "people", "identity", "identities", "id", "ids", "emotion"),
    *("class", "classes", "gt", "groundtruth", "person_id", "subject_id", "ls"),
    *("name", "names"),
)

# What tells the training part of a set from the rest, in a name of words and underscores.
_PART = re.compile(
    r"training|train|trn|(?<![a-z])(?:testing|test|tst)|(?<![a-z])(?:tr|tt|te|ts)(?![a-z])"
)
_AFFIX = re.compile(r"^(?:all|raw|new)[_ ]?(?=[a-z])|(?<=[a-z])[_ ]?(?:all|raw|set|mat)$")


_WITH_LABELS = (".npy", ".csv", ".tsv", ".txt", ".dat", ".mat")  # ... in files of the same kind


def labels_beside(name: str, others: Iterable[str]) -> str | None:
    """Find the file of labels beside one of faces, such as ``a_target.npy`` for ``a.npy``."""
    lower = name.lower()
    by_lower = {other.lower(): other for other in others}
    if "idx3" in lower:
        wanted = [
            lower.replace("idx3", "idx1").replace(word, "labels")
            for word in ("images", "image", "faces", "data")
        ]
        wanted.append(re.sub(r"[^-.]*[-.]idx3", "labels-idx1", lower))
    else:
        stem, dot, end = next(
            (parts for ending in _WITH_LABELS if (parts := lower.partition(ending))[1]),
            (lower, "", ""),
        )
        words = ("target", "targets", "labels", "label", "y", "gnd", "subjects", "ids")
        wanted = [f"{stem}_{word}{dot}{end}" for word in words] if dot else []
        plain = re.sub(r"(^|[_-])(x|images|faces|data|pixels)($|[_-])", r"\1*\3", stem)
        if dot and "*" in plain:
            wanted += [plain.replace("*", word) + dot + end for word in words]
    return next((by_lower[w] for w in wanted if w in by_lower and w != lower), None)


def path_beside(path: Path) -> Path | None:
    """Return the file of labels beside a file of faces."""
    try:
        others = [entry.name for entry in os.scandir(path.parent)]
    except OSError:
        return None
    found = labels_beside(path.name, others)
    return None if found is None else path.parent / found


@dataclass(frozen=True, eq=False)
class Labels:
    """What may be the labels, and where they come from."""

    name: str
    values: NDArray[Any]
    are_names: bool = False


def label_rank(name: str) -> int:
    """Return how well a name is known to be that of labels."""
    key = key_of(name)
    if key in LABEL_NAMES:
        return LABEL_NAMES.index(key)
    parts = re.split(r"[_.\- ]", name.lower())
    known = [LABEL_NAMES.index(p) for p in parts if p in LABEL_NAMES and len(p) > 1]
    known += [LABEL_NAMES.index(w) for w in ("label", "labels", "target", "gnd") if w in key]
    return min(known, default=len(LABEL_NAMES))


def label_vectors(
    container: Container,
    faces: Variable,
    beside: str | os.PathLike[str] | bytes | None,
) -> list[Labels]:
    """Return what may be labels, the best first."""
    if beside is not None:
        try:
            other = open_container(beside, "labels" if isinstance(beside, bytes) else "")
            vectors = [v for v in other.variables if is_vector(v)]
            if len(vectors) == 1:
                return [Labels("the file of labels beside it", ravelled(vectors[0]))]
        except ArraysError:
            pass  # not labels after all: the faces can be read without
    prefix = faces.name.rpartition(".")[0]
    found = []
    for v in container.variables:
        rank = label_rank(v.name)
        if v is faces or not is_vector(v) or rank == len(LABEL_NAMES):
            continue
        same = (v.name.rpartition(".")[0] == prefix) + _same_part(v.name, faces.name)
        found.append((-same, rank, v))
    found.sort(key=lambda entry: entry[:2])
    names = {"name", "names", "id", "ids"}
    return [Labels(f"'{v.name}'", ravelled(v), key_of(v.name) in names) for _, _, v in found]


def _same_part(one: str, other: str) -> int:
    """Compare whether two names speak of the same part of a set: x_train and y_train."""
    return int(part_and_key(one)[0] == part_and_key(other)[0])


def is_vector(variable: Variable) -> bool:
    """Tell whether a variable is a list of numbers or words."""
    return (
        variable.dtype is not None
        and variable.dtype.kind in "buifUS"
        and variable.size == max(variable.shape, default=1)
        and 0 < variable.size <= _MOST_LABELS
    )


def ravelled(variable: Variable) -> NDArray[Any]:
    """Return the values of a list."""
    return np.asarray(variable.load()).ravel()


def matching_labels(container: Container, variable: Variable) -> bool:
    """Tell whether some labels are as many as one side of a variable."""
    return any(
        v.size in variable.shape and v.size > 1
        for v in container.variables
        if is_vector(v) and label_rank(v.name) < len(LABEL_NAMES)
    )


def _as_labels(values: NDArray[Any]) -> tuple[str, ...] | None:
    """Return labels as they are written, or None for numbers that are none."""
    if values.dtype.kind in "US":
        text = [
            v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values
        ]
        return tuple(t.strip() for t in text) if any(t.strip() for t in text) else None
    if values.dtype.kind == "f" and not (
        np.isfinite(values).all() and (values == np.floor(values)).all()
    ):
        return None
    return tuple(str(int(v)) for v in values)


def labels_for(
    n: int, vectors: list[Labels], container: Container, of_persons: Sequence[int] | None
) -> tuple[tuple[str, ...] | None, str]:
    """Return the labels of `n` faces, and where they come from."""
    for vector in vectors:
        if len(vector.values) == n and (labels := _as_labels(vector.values)) is not None:
            different = len(set(labels))
            if n > 1 and (different == 1 or (different == n and vector.are_names)):
                continue  # such as "is a face" of CBCL, or the names of the files
            return labels, f"Subjects from {vector.name}."
    if of_persons is not None:
        n_persons = len(set(of_persons))
        for vector in vectors:
            labels = _as_labels(vector.values)
            if labels is not None and len(labels) == n_persons > 1:
                return tuple(labels[i] for i in of_persons), f"Subjects from {vector.name}."
        return tuple(str(i + 1) for i in of_persons), "A subject for each cell."
    for v in container.variables:
        if v.name.rpartition(".")[2].lower() in _COUNTS and is_vector(v) and v.is_numeric:
            counts = ravelled(v)
            if len(counts) > 1 and (counts >= 0).all() and counts.sum() == n:
                persons = np.repeat(np.arange(1, len(counts) + 1), counts.astype(np.intp))
                return tuple(
                    str(i) for i in persons
                ), f"Subjects from the counts in '{v.name}'."
    return None, ""


def part_and_key(name: str) -> tuple[str, str]:
    """Split a variable's name into the part of a set ("train", "test", "") and what it is.

    ``fea_Train``, ``xTr`` and ``trainlabels`` are of the training part: a ``fea``, an ``x``
    and ``labels``.
    """
    last = name.rpartition(".")[2]
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", last).lower()
    spaced = re.sub(r"^([xya])(?=(?:train|trn|tr|test|tst|te)$)", r"\1_", spaced)
    found = _PART.search(spaced)
    if found is None:
        part, rest = "", spaced
    else:
        part = "train" if found[0].startswith("tr") else "test"
        rest = spaced[: found.start()] + "_" + spaced[found.end() :]
    key = re.sub(r"^[_.\- ]+|[_.\- \d]+$", "", re.sub(r"[_.\- ]+", "_", rest))
    return part, _AFFIX.sub("", key) or key or spaced


def key_of(name: str) -> str:
    """Return what a variable is by its name, without the part of a set."""
    return part_and_key(name)[1]


# -- Which variable holds the faces ----------------------------------------------------


# Names of variables that are known to hold faces, the best known first; see `part_and_key`.
_FACES = (
    *("fea", "faces", "face", "images", "imgs", "ims", "pictures", "image"),
    *("data", "x", "m", "pixels", "dat", "facedat", "facedata", "ff", "olivettifaces"),
    *("yalefaces", "allfaces", "im", "img", "a", "v", "orl", "yale"),
)


# What other names of faces end with, and what names hold that are not the faces themselves.
_ENDS = ("faces", "images", "pictures", "face")
_OF_A_MODEL = {"header", "components", "weights"}
_OTHERS = re.compile(r"non|mean|average|avg|eigen|recon|noise")


class AmbiguousArraysError(ArraysError):
    """Several variables may be the faces; `candidates` lists them.

    Parameters
    ----------
    message : str
        What to do, with all candidates and their shapes.
    candidates : tuple of Candidate
        The variables that ``variable=`` can name.
    """

    def __init__(self, message: str, candidates: tuple[Candidate, ...] = ()) -> None:
        super().__init__(message)
        self.candidates = candidates


@dataclass(frozen=True)
class Candidate:
    """A variable that may hold faces.

    Parameters
    ----------
    name : str
        What ``variable=`` takes.
    shape : tuple of int
        Of the array as it is in the file, or of the cell array.
    dtype : str
        Of its numbers, or ``"cells"``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} ({times(self.shape)} {self.dtype})"


def possible_faces(container: Container, options: ReadOptions) -> list[Variable]:
    """Return the variables that may hold faces by their shape."""
    if {v.name for v in container.variables} >= _OF_A_MODEL:
        raise ArraysError(
            "it is a model that was saved here, not faces: open it with LatentFaces.load"
        )
    return [v for v in container.variables if _may_be_faces(v, options)]


def _may_be_faces(  # noqa: PLR0911 - a list of kinds
    variable: Variable, options: ReadOptions
) -> bool:
    shape = tuple(side for side in variable.shape if side != 1)
    if variable.size == 0:
        return False
    if variable.dtype is None:
        return any(_is_picture_like(item) for item in leaves(variable.load()))
    if variable.dtype.kind in "US":
        return len(shape) == 2 and shape[1] > LEAST_PIXELS
    if not variable.is_numeric or variable.dtype.kind == "c":
        return False
    if len(shape) == 1:
        return options.shape is not None and math.prod(options.shape) == shape[0]
    if len(shape) == 2:
        if options.shape is not None and len(variable.shape) == 2:
            p = math.prod(options.shape)
            return p in shape or 3 * p in shape or set(shape) == set(options.shape)
        return could_be_picture(*shape) or any(grids_of(side) for side in shape)
    if options.shape is not None and len(variable.shape) >= 3:
        return all(side in variable.shape for side in options.shape)
    return 3 <= len(shape) <= 5 and sorted(shape)[-2] >= SMALLEST_SIDE


def _is_picture_like(item: Any) -> bool:
    return (
        isinstance(item, np.ndarray) and item.size >= LEAST_PIXELS and item.dtype.kind in "buif"
    )


def as_candidate(variable: Variable) -> Candidate:
    """Describe a variable for a user."""
    dtype = "cells" if variable.dtype is None else variable.dtype.name
    if variable.dtype is not None and variable.dtype.kind in "US":
        dtype = "text"
    return Candidate(variable.name, variable.shape, dtype)


def _listed(variables: Sequence[Variable]) -> str:
    shown = ", ".join(str(as_candidate(v)) for v in variables[:12])
    return shown + (f" and {len(variables) - 12} more" if len(variables) > 12 else "")


def with_views(container: Container) -> Container:
    """List cells one by one that hold the same faces in several ways ("views")."""
    lengths = {
        v.size
        for v in container.variables
        if is_vector(v) and label_rank(v.name) < len(LABEL_NAMES)
    }
    variables: list[Variable] = []
    for v in container.variables:
        cells = v.load() if v.dtype is None and 1 < v.size <= 20 else []
        matrices = [c for c in cells if isinstance(c, np.ndarray) and c.ndim == 2]
        shared = {a for a in (0, 1) if len({c.shape[a] for c in matrices}) == 1}
        if len(matrices) == len(cells) > 1 == len(shared) and (
            matrices[0].shape[min(shared)] in lengths
        ):
            variables += [
                Variable(f"{v.name}{{{i}}}", c.shape, c.dtype, partial(np.asarray, c))
                for i, c in enumerate(matrices, 1)
            ]
        else:
            variables.append(v)
    return replace(container, variables=tuple(variables))


def choose(container: Container, options: ReadOptions) -> Variable:
    """Return the variable that holds the faces, by its name, or as the only one that may."""
    variables = container.variables
    unnamed = [v for v in variables if not v.name]
    if unnamed and options.variable is None:
        return unnamed[0]
    if options.variable is not None:
        return _named(container, options.variable)
    possible = possible_faces(container, options)
    if not possible:
        there = _listed(variables) or "it holds no arrays of numbers"
        if not variables:
            advice = "Save plain arrays of numbers."
        elif options.shape is not None:
            advice = (
                f"Check shape: {times(options.shape)} is {math.prod(options.shape)} pixels."
            )
        else:
            advice = "Name one with variable=, and its height and width with shape=(h, w)."
        told = (f"none of its variables looks like faces: {there}.", *container.notes, advice)
        raise ArraysError(" ".join(told))
    possible = _without_copies(_without_tests(possible))
    seen = [v for v in possible if len(possible) == 1 or _looks_like_pictures(v)]
    if len(seen) == 1:
        return seen[0]
    if not seen:
        raise ArraysError(
            f"none of its variables looks like faces: {_listed(possible)}. Name one with "
            "variable=, and its height and width with shape=(h, w)."
        )
    ranks = [_rank(v.name) for v in seen]
    best = [v for v, rank in zip(seen, ranks, strict=True) if rank == min(ranks)]
    if min(ranks) < len(_FACES) and len(best) == 1 and not _rivals(best[0], seen, ranks):
        return best[0]
    labelled = [v for v in seen if matching_labels(container, v)]
    if min(ranks) == len(_FACES) and len(labelled) == 1:
        return labelled[0]
    raise AmbiguousArraysError(
        f"several variables may be the faces: {_listed(possible)}. Name one with variable=.",
        tuple(as_candidate(v) for v in possible),
    )


def _named(container: Container, wanted: str) -> Variable:
    def matches(key: str) -> list[Variable]:
        return [
            v
            for v in container.variables
            if key in {v.name, v.name.lower(), v.name.rpartition(".")[2]}
        ]

    exact = [v for v in container.variables if v.name == wanted]
    found = exact or matches(wanted) or matches(wanted.lower())
    if len(found) == 1:
        return found[0]
    if found:
        raise AmbiguousArraysError(
            f"variable={wanted!r} may be any of {_listed(found)}.",
            tuple(as_candidate(v) for v in found),
        )
    inner = [v for v in container.variables if v.name.startswith(f"{wanted}.")]
    if inner:
        return choose(replace(container, variables=tuple(inner)), ReadOptions())
    there = _listed([v for v in container.variables if v.name])
    raise ArraysError(
        f"it has no variable {wanted!r}"
        + (f", but {there}." if there else ": it holds one array without a name.")
    )


def _rank(name: str) -> int:
    """Return how well a name is known to be that of faces; the smallest is the best."""
    part, key = part_and_key(name)
    if part == "test" or _OTHERS.search(name.lower()):
        return len(_FACES)
    if key not in _FACES:  # olivetti_faces, lfw_images
        key = next((word for word in _ENDS if key.endswith(word)), key)
    return _FACES.index(key) if key in _FACES else len(_FACES)


def _without_tests(possible: list[Variable]) -> list[Variable]:
    """Leave out the test part of a set whose training part is there."""
    parts = {v.name: part_and_key(v.name) for v in possible}
    trained = {key for part, key in parts.values() if part == "train"}
    tests = {name for name, (part, key) in parts.items() if part == "test" and key in trained}
    return [v for v in possible if v.name not in tests]


def _rivals(best: Variable, possible: list[Variable], ranks: list[int]) -> bool:
    """Tell whether another known name is as good: not if it is a letter only."""
    others = [
        v
        for v, rank in zip(possible, ranks, strict=True)
        if rank < len(_FACES) and v is not best
    ]
    return (
        any(len(key_of(v.name)) > 1 for v in others)
        if len(key_of(best.name)) > 1
        else bool(others)
    )


def _without_copies(possible: list[Variable]) -> list[Variable]:
    """Leave out flattened copies: scikit-learn keeps `data` beside `images`."""

    def is_copy(flat: Variable) -> bool:
        return len(flat.shape) == 2 and any(
            len(v.shape) > 2 and v.size == flat.size and {*flat.shape} & {*v.shape}
            for v in possible
        )

    return [v for v in possible if not is_copy(v)]


def _looks_like_pictures(variable: Variable) -> bool:
    if variable.dtype is None or len(variable.shape) != 2:
        return True
    array = np.asarray(variable.load())
    if array.dtype.kind not in "buif":
        return False
    layouts = flat_layouts(array, None, None)
    return not is_noise(layouts[0].applied(array)[0] if layouts else array[np.newaxis])
