"""Where a factorization starts, the same as scikit-learn's starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_latent_faces.nmf.params import NMFParams

__all__ = ["initial_factors"]

_TINY = 1e-6  # smaller entries of the singular vectors count as zero


def initial_factors(
    X: NDArray[Any], params: NMFParams, random_state: int | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the factors that a fit of `X` starts from.

    Parameters
    ----------
    X : array of shape (n, p), float32 or float64
        Non-negative pixels, a face a row.
    params : NMFParams
        `n_components` and `init` are used.
    random_state : int or None
        Seed of the randomized singular value decomposition and of random entries.

    Returns
    -------
    W, H : arrays of shape (n, k) and (k, p), of the type of `X`
        Non-negative factors.

    Raises
    ------
    ValueError
        If an ``nndsvd`` start is asked for more components than there are pixels.

    References
    ----------
    C. Boutsidis, E. Gallopoulos: SVD based initialization: a head start for
    nonnegative matrix factorization. Pattern Recognition 41 (2008),
    doi:10.1016/j.patcog.2007.09.010.
    """
    k, init = params.n_components, params.init
    if init is None:
        init = "nndsvda" if k <= min(X.shape) else "random"
    if init == "random":
        return _random_factors(X, k, np.random.RandomState(random_state))
    if k > min(X.shape):
        raise ValueError(
            f"init={init!r} needs n_components <= {min(X.shape)} (the number of pixels), "
            f"got {k}. Choose init='random' or fewer components."
        )
    W, H = _nndsvd(X, k, random_state)
    if init == "nndsvda":
        mean = X.mean()
        W[W == 0] = mean
        H[H == 0] = mean
    elif init == "nndsvdar":
        rng = np.random.RandomState(random_state)
        for factor in (W, H):
            zeros = factor == 0
            factor[zeros] = np.abs(X.mean() * rng.standard_normal(zeros.sum()) / 100)
    return W, H


def _random_factors(
    X: NDArray[Any], k: int, rng: np.random.RandomState
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Draw factors of the size of `X`, from the generator that scikit-learn uses."""
    level = np.sqrt(X.mean() / k)
    H = np.abs(level * rng.standard_normal((k, X.shape[1])).astype(X.dtype))
    W = np.abs(level * rng.standard_normal((X.shape[0], k)).astype(X.dtype))
    return W, H


def _nndsvd(
    X: NDArray[Any], k: int, random_state: int | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Take the heavier of the positive and the negative part of each singular pair."""
    from sklearn.utils.extmath import randomized_svd

    U, S, Vt = randomized_svd(X, k, random_state=random_state)
    W, H = np.zeros_like(U), np.zeros_like(Vt)
    W[:, 0] = np.sqrt(S[0]) * np.abs(U[:, 0])
    H[0] = np.sqrt(S[0]) * np.abs(Vt[0])
    for j in range(1, k):
        halves = [(np.maximum(s * U[:, j], 0), np.maximum(s * Vt[j], 0)) for s in (1, -1)]
        norms = [(np.linalg.norm(u), np.linalg.norm(v)) for u, v in halves]
        positive = norms[0][0] * norms[0][1] > norms[1][0] * norms[1][1]
        (u, v), (u_norm, v_norm) = (halves[0], norms[0]) if positive else (halves[1], norms[1])
        if u_norm * v_norm > 0:  # else the stack has fewer than k directions
            size = np.sqrt(S[j] * u_norm * v_norm)
            W[:, j] = size * u / u_norm
            H[j] = size * v / v_norm
    W[_TINY > W] = 0
    H[_TINY > H] = 0
    return W, H
