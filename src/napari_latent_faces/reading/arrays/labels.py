"""Whose faces they are."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.arrays.files import open_container
from napari_latent_faces.reading.arrays.variables import ArraysError, Container, Variable

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


def labels_beside(name: str, others: Iterable[str]) -> str | None:
    """Find the file of labels that belongs to a file of faces.

    Parameters
    ----------
    name : str
        The file of faces: ``olivetti_faces.npy``, ``train-images-idx3-ubyte.gz``.
    others : iterable of str
        The files beside it.

    Returns
    -------
    str or None
        ``olivetti_faces_target.npy``, ``train-labels-idx1-ubyte.gz``.
    """
    lower = name.lower()
    by_lower = {other.lower(): other for other in others}
    if "idx3" in lower:
        wanted = [
            lower.replace("idx3", "idx1").replace(word, "labels")
            for word in ("images", "image", "faces", "data")
        ]
        wanted.append(re.sub(r"[^-.]*[-.]idx3", "labels-idx1", lower))
    else:
        stem, dot, end = lower.partition(".npy")
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
            other = open_container(beside, "labels.npy" if isinstance(beside, bytes) else "")
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
