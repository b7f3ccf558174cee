"""Where a factorization starts: where scikit-learn starts, without importing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_latent_faces.nmf.params import NMFParams

__all__ = ["initial_factors"]

_OVERSAMPLES = 10
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

    N. Halko, P. G. Martinsson, J. A. Tropp: Finding structure with randomness:
    probabilistic algorithms for constructing approximate matrix decompositions. SIAM
    Review 53 (2011), doi:10.1137/090771806.
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
    U, S, Vt = _randomized_svd(X, k, np.random.RandomState(random_state))
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


def _randomized_svd(
    X: NDArray[Any], k: int, rng: np.random.RandomState
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return about the first `k` singular triplets (Halko et al. 2011, algorithms 4.4, 5.1).

    Oversampling, power iterations and random numbers are those of scikit-learn, so that
    the result is, too, up to rounding.
    """
    if X.shape[0] < X.shape[1]:
        V, S, Ut = _randomized_svd(X.T, k, rng)
        return Ut.T, S, V.T
    Q = rng.normal(size=(X.shape[1], k + _OVERSAMPLES)).astype(X.dtype)
    for _ in range(7 if k < 0.1 * min(X.shape) else 4):
        Q = np.linalg.qr(X.T @ (X @ Q)).Q
    Q = np.linalg.qr(X @ Q).Q
    U, S, Vt = np.linalg.svd(Q.T @ X, full_matrices=False)
    return (Q @ U)[:, :k], S[:k], Vt[:k]
