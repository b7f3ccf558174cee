"""Which variable holds the faces, and which one their labels, told by names and shapes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.params import ReadOptions
from napari_latent_faces.reading.arrays.files import (
    LEAST_PIXELS,
    NUMBERS,
    ArraysError,
    Candidate,
    Container,
    Variable,
    times,
)
from napari_latent_faces.reading.arrays.layouts import (
    SMALLEST_SIDE,
    Clues,
    could_be_picture,
    grids_of,
    is_noise,
    layouts_of,
    leaves,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

# Names of variables that are known to hold faces, the best known first; see `_part_and_key`.
_FACES = (
    *("fea", "faces", "face", "images", "imgs", "ims", "pictures", "image"),
    *("data", "x", "m", "pixels", "dat", "facedat", "facedata", "ff", "olivettifaces"),
    *("yalefaces", "allfaces", "im", "img", "a", "v", "orl", "yale"),
)
# What other names of faces end with, and what names hold that are not the faces themselves.
_ENDS = ("faces", "images", "pictures", "face")
_OTHERS = re.compile(r"non|mean|average|avg|eigen|recon|noise")
_OF_A_MODEL = {"header", "components", "weights"}

_LABELS = (
    *("gnd", "label", "labels", "lab", "l", "y", "target", "targets", "subject", "subjects"),
    *("person", "persons", "people", "identity", "identities", "id", "ids", "emotion"),
    *("class", "classes", "gt", "groundtruth", "person_id", "subject_id", "ls"),
    *("name", "names"),
)
_COUNTS = ("nfaces", "n_faces", "faces_per_person", "nimages", "counts")
_WITH_LABELS = (".npy", ".csv", ".tsv", ".txt", ".dat", ".mat")  # ... in files of the same kind

# What tells the training part of a set from the rest, in a name of words and underscores.
_PART = re.compile(
    r"training|train|trn|(?<![a-z])(?:testing|test|tst)|(?<![a-z])(?:tr|tt|te|ts)(?![a-z])"
)
_AFFIX = re.compile(r"^(?:all|raw|new)[_ ]?(?=[a-z])|(?<=[a-z])[_ ]?(?:all|raw|set|mat)$")


def _part_and_key(name: str) -> tuple[str, str]:
    """Split a variable's name into the part of a set ("train", "test", "") and what it is.

    ``fea_Train``, ``xTr`` and ``trainlabels`` are of the training part: a ``fea``, an ``x``
    and ``labels``.
    """
    last = name.rpartition(".")[2]
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", last).lower()
    spaced = re.sub(r"^([xya])(?=(?:train|trn|tr|test|tst|te)$)", r"\1_", spaced)
    part, rest = "", spaced
    if found := _PART.search(spaced):
        part = "train" if found[0].startswith("tr") else "test"
        rest = spaced[: found.start()] + "_" + spaced[found.end() :]
    key = re.sub(r"^[_.\- ]+|[_.\- \d]+$", "", re.sub(r"[_.\- ]+", "_", rest))
    return part, _AFFIX.sub("", key) or key or spaced


def _key(variable: Variable) -> str:
    return _part_and_key(variable.name)[1]


# -- Labels ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Labels:
    """What may be the labels, and where they come from."""

    name: str
    values: NDArray[Any]
    are_names: bool = False


def labels_beside(name: str, others: Iterable[str]) -> str | None:
    """Find the file of labels beside one of faces, such as ``a_target.npy`` for ``a.npy``."""
    lower = name.lower()
    by_lower = {other.lower(): other for other in others}
    if "idx3" in lower:
        in_name = lower.replace("idx3", "idx1")
        wanted = [re.sub(r"images?|faces|data", "labels", in_name, count=1)]
        wanted += [re.sub(r"[^-.]*[-.]idx3", f"labels{mark}idx1", lower) for mark in "-."]
    else:
        stem, dot, end = next(
            (parts for ending in _WITH_LABELS if (parts := lower.partition(ending))[1]),
            (lower, "", ""),
        )
        words = ("target", "targets", "labels", "label", "y", "gnd", "subjects", "ids")
        forms = [stem + "_*"] * bool(dot)
        plain = re.sub(r"(^|[_-])(x|images|faces|data|pixels)($|[_-])", r"\1*\3", stem)
        forms += [plain] * bool(dot and "*" in plain)
        wanted = [form.replace("*", word) + dot + end for form in forms for word in words]
    return next((by_lower[w] for w in wanted if w in by_lower and w != lower), None)


def _rank_of_labels(variable: Variable) -> int | None:
    """Return how well a list is known by its name to be labels, 0 is best."""
    if not variable.is_list:
        return None
    key = _key(variable)
    words = [key]
    if key not in _LABELS:
        words = [w for w in re.split(r"[_.\- ]", variable.name.lower()) if len(w) > 1]
        words += [w for w in ("label", "labels", "target", "gnd") if w in key]
    return min((_LABELS.index(word) for word in words if word in _LABELS), default=None)


def label_vectors(
    container: Container, faces: Variable, beside: NDArray[Any] | None
) -> list[Labels]:
    """Return what may be labels, the best first."""
    if beside is not None:
        return [Labels("the file of labels beside it", beside)]
    others = [v for v in container.variables if v is not faces]

    def distance(v: Variable) -> int:  # fields of one struct, x_train and y_train
        same_place = v.name.rpartition(".")[0] == faces.name.rpartition(".")[0]
        same_part = _part_and_key(v.name)[0] == _part_and_key(faces.name)[0]
        return -same_place - same_part

    ranked = [(distance(v), r, v) for v in others if (r := _rank_of_labels(v)) is not None]
    ranked.sort(key=lambda entry: entry[:2])
    names = {"name", "names", "id", "ids"}
    found = [Labels(f"'{v.name}'", v.values(), _key(v) in names) for _, _, v in ranked]
    # numpy.savez(path, faces, labels) gives them no names, nor do tables without titles
    unnamed = [v for v in others if re.fullmatch(r"arr_\d+|column \d+", v.name) and v.is_list]
    unnamed = [v for v in unnamed if v.size in faces.shape and _repeat(v.values())]
    return found + [Labels(f"'{v.name}'", v.values()) for v in unnamed if len(unnamed) == 1]


def _repeat(values: NDArray[Any]) -> bool:
    """Tell whether values are plainly labels: whole numbers or words that come repeatedly."""
    different = len(set(_as_labels(values) or ()))
    return 1 < different <= len(values) / 2


def _as_labels(values: NDArray[Any]) -> tuple[str, ...] | None:
    """Return labels as they are written, or None for numbers that are none."""
    if values.dtype.kind in "US":
        text = [
            v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values
        ]
        return tuple(t.strip() for t in text) if any(t.strip() for t in text) else None
    if not (np.isfinite(values) & (values == np.floor(values))).all():
        return None
    return tuple(str(int(v)) for v in values)


def labels_for(
    n: int, vectors: list[Labels], container: Container, of_persons: Sequence[int] | None
) -> tuple[tuple[str, ...] | None, str]:
    """Return the labels of `n` faces, and where they come from."""
    told = [(v, labels) for v in vectors if (labels := _as_labels(v.values)) is not None]
    for vector, labels in told:
        different = len(set(labels))
        # neither the names of the files, nor "is a face" of CBCL
        if len(labels) == n and (
            n == 1 or (different > 1 and not (vector.are_names and different == n))
        ):
            return labels, f"Subjects from {vector.name}."
    if of_persons is not None:
        n_persons = len(set(of_persons))
        for vector, labels in told:
            if len(labels) == n_persons > 1:
                return tuple(labels[i] for i in of_persons), f"Subjects from {vector.name}."
        return tuple(str(i + 1) for i in of_persons), "A subject for each cell."
    for v in container.variables:
        if v.name.rpartition(".")[2].lower() in _COUNTS and v.is_list and v.kind in NUMBERS:
            counts = v.values()
            if len(counts) > 1 and (counts >= 0).all() and counts.sum() == n:
                persons = np.repeat(np.arange(1, len(counts) + 1), counts.astype(np.intp))
                told_by = f"Subjects from the counts in '{v.name}'."
                return tuple(str(i) for i in persons), told_by
    return None, ""


# -- Which variable holds the faces ----------------------------------------------------


class AmbiguousArraysError(ArraysError):
    """Several variables may be the faces; `candidates` lists them."""

    def __init__(self, message: str, candidates: tuple[Candidate, ...] = ()) -> None:
        super().__init__(message)
        self.candidates = candidates


def possible_faces(container: Container, options: ReadOptions | None = None) -> list[Variable]:
    """Return the variables that may hold faces by their shape."""
    if {v.name for v in container.variables} >= _OF_A_MODEL:
        raise ArraysError(
            "it is a model that was saved here, not faces: open it with LatentFaces.load"
        )
    shape = None if options is None else options.shape
    return [v for v in container.variables if v.size and _may_be_faces(v, shape)]


def _may_be_faces(  # noqa: PLR0911 - a list of kinds
    variable: Variable, wanted: tuple[int, int] | None
) -> bool:
    shape = [side for side in variable.shape if side != 1]
    if variable.dtype is None:
        return any(
            isinstance(x, np.ndarray) and x.size >= LEAST_PIXELS and x.dtype.kind in NUMBERS
            for x in leaves(variable.load())
        )
    if variable.kind in "US":
        return len(shape) == 2 and shape[1] > LEAST_PIXELS
    if variable.kind not in NUMBERS:
        return False
    if wanted is not None:
        if len(variable.shape) > 2:
            return all(side in variable.shape for side in wanted)
        pixels = math.prod(wanted)
        return pixels in shape or 3 * pixels in shape or sorted(shape) == sorted(wanted)
    if len(shape) == 2:
        return could_be_picture(*shape) or any(grids_of(side) for side in shape)
    return 3 <= len(shape) <= 5 and sorted(shape)[-2] >= SMALLEST_SIDE


def as_candidates(variables: Iterable[Variable]) -> tuple[Candidate, ...]:
    """Return variables without what they hold."""
    return tuple(Candidate(v.name, v.shape, v.dtype) for v in variables)


def _listed(variables: Sequence[Variable]) -> str:
    shown = ", ".join(map(str, variables[:12]))
    return shown + (f" and {len(variables) - 12} more" if len(variables) > 12 else "")


def with_views(container: Container) -> Container:
    """List cells one by one that hold the same faces in several ways ("views")."""
    lengths = {v.size for v in container.variables if _rank_of_labels(v) is not None}
    variables: list[Variable] = []
    for v in container.variables:
        cells = v.load() if v.dtype is None and 1 < v.size <= 20 else []
        matrices = [c for c in cells if isinstance(c, np.ndarray) and c.ndim == 2]
        shared = [a for a in (0, 1) if len({c.shape[a] for c in matrices}) == 1]
        views = len(matrices) == len(cells) > 1 == len(shared)
        if views and matrices[0].shape[shared[0]] in lengths:
            variables += [
                Variable(f"{v.name}{{{i}}}", c.shape, c.dtype, partial(np.asarray, c))
                for i, c in enumerate(matrices, 1)
            ]
        else:
            variables.append(v)
    return replace(container, variables=tuple(variables))


def choose(container: Container, options: ReadOptions) -> Variable:
    """Return the variable that holds the faces, by its name, or as the only one that may."""
    if options.variable is not None:
        return _named(container, options.variable)
    variables = container.variables
    if unnamed := [v for v in variables if not v.name]:
        return unnamed[0]
    possible = possible_faces(container, options)
    advice = "Name one with variable=, and its height and width with shape=(h, w)."
    if not possible:
        there = _listed(variables) or "it holds no arrays of numbers"
        if not variables:
            advice = "Save plain arrays of numbers."
        elif options.shape is not None:
            pixels = math.prod(options.shape)
            advice = f"Check shape=: {times(options.shape)} is {pixels} pixels."
        told = (f"none of its variables looks like faces: {there}.", *container.notes, advice)
        raise ArraysError(" ".join(told))
    possible = _without_copies(_without_tests(possible))
    seen = [v for v in possible if len(possible) == 1 or _looks_like_pictures(v)]
    if not seen:
        there = _listed(possible)
        raise ArraysError(f"none of its variables looks like faces: {there}. {advice}")
    known = sorted((v for v in seen if _rank(v) < len(_FACES)), key=_rank)
    if len(seen) == 1:
        chosen = seen
    elif known:  # another known name is as good, but for one of a letter
        rivals = [v for v in known[1:] if len(_key(known[0])) == 1 or len(_key(v)) > 1]
        chosen = [] if rivals else known[:1]
    else:
        lengths = {v.size for v in variables if _rank_of_labels(v) is not None and v.size > 1}
        chosen = [v for v in seen if lengths & {*v.shape}]
    if len(chosen) == 1:
        return chosen[0]
    raise AmbiguousArraysError(
        f"several variables may be the faces: {_listed(possible)}. Name one with variable=.",
        as_candidates(possible),
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
            f"variable={wanted!r} may be any of {_listed(found)}.", as_candidates(found)
        )
    inner = [v for v in container.variables if v.name.startswith(f"{wanted}.")]
    if inner:
        return choose(replace(container, variables=tuple(inner)), ReadOptions())
    there = _listed([v for v in container.variables if v.name])
    raise ArraysError(
        f"it has no variable {wanted!r}"
        + (f", but {there}." if there else ": it holds one array without a name.")
    )


def _rank(variable: Variable) -> int:
    """Return how well a name is known to be that of faces; the smallest is the best."""
    part, key = _part_and_key(variable.name)
    if part == "test" or _OTHERS.search(variable.name.lower()):
        return len(_FACES)
    if key not in _FACES:  # olivetti_faces, lfw_images
        key = next((word for word in _ENDS if key.endswith(word)), key)
    return _FACES.index(key) if key in _FACES else len(_FACES)


def _without_tests(possible: list[Variable]) -> list[Variable]:
    """Leave out the test part of a set whose training part is there."""
    parts = [_part_and_key(v.name) for v in possible]
    trained = {key for part, key in parts if part == "train"}
    return [
        v
        for v, (part, key) in zip(possible, parts, strict=True)
        if part != "test" or key not in trained
    ]


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
    if array.dtype.kind not in NUMBERS:
        return False
    layouts = layouts_of(array, Clues())
    return not is_noise(layouts[0].images(array) if layouts else array[np.newaxis])
