"""What is held out: parts of the faces, and halves of the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["face_folds", "pixel_halves", "sample_faces"]

_TILES = 8  # along the shorter side of a face


def sample_faces(n: int, most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Choose the faces that are measured.

    Parameters
    ----------
    n : int
        How many there are.
    most : int
        How many are looked at.
    rng : numpy Generator
        Chooses where there are more.

    Returns
    -------
    array of int
        The indices of all faces, or of a random sample of them, in order.
    """
    if n <= most:
        return np.arange(n)
    chosen: NDArray[np.intp] = np.sort(rng.choice(n, most, replace=False))
    return chosen


def face_folds(
    n: int, subjects: Sequence[str] | None, n_folds: int, rng: np.random.Generator
) -> list[NDArray[np.intp]]:
    """Cut faces into parts of nearly one size, no subject in two of them.

    Pictures of one person resemble each other: with some of them in the fit, the others
    would not be new to it. Where there are fewer than two subjects a part, or none are
    known, single faces are dealt out.

    Parameters
    ----------
    n : int
        Number of faces.
    subjects : sequence of str, length n, or None
        Whose faces they are.
    n_folds : int
        Number of parts.
    rng : numpy Generator
        Shuffles faces or subjects.

    Returns
    -------
    list of `n_folds` arrays of int
        The faces of each part, in order; together all, each once.
    """
    names, owners = np.unique(np.asarray(subjects or ()), return_inverse=True)
    if len(names) < 2 * n_folds:
        owners = np.arange(n)
    sizes = np.bincount(owners)
    shuffled = rng.permutation(len(sizes))
    largest_first = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    fold_of, filled = np.empty(len(sizes), int), np.zeros(n_folds)
    for owner in largest_first:
        fold_of[owner] = filled.argmin()
        filled[fold_of[owner]] += sizes[owner]
    return [np.flatnonzero(fold_of[owners] == fold) for fold in range(n_folds)]


def pixel_halves(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Cut a face into tiles and draw half of them.

    Single pixels would be told by their neighbours: whatever is smooth in a picture, noise
    included, would count as understood. Half faces would hide whole components, about
    whose weights nothing could be known. Tiles of an eighth of the shorter side are larger
    than what neighbours share and smaller than most components.

    Parameters
    ----------
    size : tuple of int
        Height and width.
    rng : numpy Generator
        Draws where the tiles begin, and which are seen.

    Returns
    -------
    array of shape (h * w,), bool
        True in one half; both halves have pixels.
    """
    side = max(1, round(min(size) / _TILES))
    lines = []
    for length in size:
        offset = rng.integers(side) if length > side else 0
        lines.append((np.arange(length) + offset) // side)
    rows, columns = lines
    tiles = (rows[:, None] * (columns[-1] + 1) + columns).reshape(-1)
    used = np.unique(tiles)
    drawn = rng.permutation(used)[: len(used) // 2]
    half: NDArray[np.bool_] = np.isin(tiles, drawn)
    return half
