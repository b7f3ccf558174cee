"""What is measured for one number of components: held-out error and stability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.comparing import pair_most_alike
from napari_latent_faces.solvers.blocks import one_blas_thread
from napari_latent_faces.solvers.nnls import solve_nnls
from napari_latent_faces.stack import over_channels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["face_folds", "held_out_error", "pixel_half", "stability"]


def face_folds(
    n: int, subjects: Sequence[str] | None, n_folds: int, rng: np.random.Generator
) -> list[NDArray[np.intp]]:
    """Cut faces into folds of nearly one size, no subject in two of them.

    Pictures of one person resemble each other: with some of them in the fit, the others
    would not be new to it. Where there are fewer than two subjects a fold, or none are
    known, single faces are dealt out.

    Parameters
    ----------
    n : int
        Number of faces.
    subjects : sequence of str, length n, or None
        Whose faces they are.
    n_folds : int
        Number of folds.
    rng : numpy Generator
        Shuffles faces or subjects.

    Returns
    -------
    list of `n_folds` arrays of int
        The faces of each fold, in order; together all, each once.
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


def pixel_half(picture_shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Cut a face into tiles and draw half of them.

    Single pixels would be told by their neighbours: whatever is smooth in a picture, noise
    included, would count as understood. Half faces would hide whole components, about
    whose weights nothing could be known. Tiles of an eighth of the shorter side are larger
    than what neighbours share and smaller than most components.

    Parameters
    ----------
    picture_shape : tuple of int
        Shape of a face; all channels of a pixel are in the same half.
    rng : numpy Generator
        Draws where the tiles begin, and which are seen.

    Returns
    -------
    array of shape (p,), bool
        True in one half of the pixels; both halves have some.
    """
    size = picture_shape[:2]
    side = max(1, round(min(size) / 8))
    rows, columns = (
        (np.arange(length) + (rng.integers(side) if length > side else 0)) // side
        for length in size
    )
    tiles = rows[:, None] * (columns[-1] + 1) + columns
    used = np.unique(tiles)
    half = np.isin(tiles, rng.permutation(used)[: len(used) // 2])
    return over_channels(half, picture_shape).reshape(-1)


def held_out_error(
    model: LatentFaces, images: NDArray[Any], halves: Sequence[NDArray[np.bool_]]
) -> float:
    """Predict each half of the pixels of new faces from the other half.

    The weights are the non-negative least-squares solution on the pixels of one half;
    with them the components predict the other half.

    Parameters
    ----------
    model : LatentFaces
        Components, fitted to other faces.
    images : array of shape (m, h, w) or (m, h, w, 3)
        The held-out faces, in the units of the model's.
    halves : sequence of arrays of shape (p,), bool
        Ways to halve the pixels; each is used in both directions.

    Returns
    -------
    float
        Relative Frobenius error of the predictions, over all faces, pixels and halves.
        0 is perfect, 1 as bad as nothing.

    References
    ----------
    A. B. Owen, P. O. Perry: Bi-cross-validation of the SVD and the nonnegative matrix
    factorization. Annals of Applied Statistics 3 (2009), doi:10.1214/08-AOAS227.
    """
    X = images.reshape(len(images), -1) / np.float64(model.scale)
    H = model.components.reshape(model.n_components, -1).astype(np.float64)
    lost = 0.0
    with one_blas_thread():
        for seen in (each for half in halves for each in (half, ~half)):
            Q, R = np.linalg.qr(H[:, seen].T)
            weights = solve_nnls(R, X[:, seen] @ Q)
            missed = X[:, ~seen] - weights @ H[:, ~seen]
            lost += float(np.vdot(missed, missed))
    norm = float(np.vdot(X, X)) * len(halves)
    return float(np.sqrt(lost / norm)) if norm > 0 else 0.0


def stability(fits: Sequence[NDArray[Any]]) -> float:
    """Return the mean cosine of matched components over all pairs of fits of one k.

    Parameters
    ----------
    fits : sequence of arrays of shape (k, ...)
        The components of two fits or more.
    """
    exact = [fit.astype(np.float64) for fit in fits]
    cosines = [pair_most_alike(a, b)[2] for i, a in enumerate(exact) for b in exact[:i]]
    return float(np.mean(cosines))
