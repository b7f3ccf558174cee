"""Which variable holds the faces, which ones their subjects and sizes, told by names."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.options import ReadOptions
from napari_latent_faces.reading.arrays.evidence import (
    LEAST_PIXELS,
    SMALLEST_SIDE,
    could_be_picture,
    grids_of,
    is_noise,
)
from napari_latent_faces.reading.arrays.labels import (
    LABEL_NAMES,
    is_vector,
    key_of,
    label_rank,
    matching_labels,
    part_and_key,
)
from napari_latent_faces.reading.arrays.layouts import flat_layouts
from napari_latent_faces.reading.arrays.variables import (
    ArraysError,
    Container,
    Variable,
    leaves,
    times,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        raise ArraysError(
            f"none of its variables looks like faces: {there}. "
            + " ".join(container.notes)
            + (
                " Name one with variable=, and its height and width with shape=(h, w)."
                if variables
                else " Save plain arrays of numbers."
            )
        )
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
