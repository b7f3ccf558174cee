"""scikit-learn's solvers, a few iterations at a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.solvers.blocks import (
    IMPORT_LOCK,
    norm,
    relative_error,
    root_divergence,
)
from napari_latent_faces.solvers.multilevel import Factors, initial_factors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_latent_faces.params import NMFParams

    Rule = Callable[[NDArray[Any], NDArray[Any]], bool]

__all__ = ["iter_sklearn"]

# Convergence is judged at these iterations only, so that the result does not depend on
# how fast the machine is.
_CHECK_EVERY = 10
_PACE = 0.15  # seconds that a chunk of iterations should take


def iter_sklearn(
    X: NDArray[Any],
    params: NMFParams,
    picture_shape: tuple[int, ...],
    start: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> Iterator[Factors]:
    """Factorize `X` with scikit-learn and yield the factors every few iterations.

    A warm start continues exactly where the last chunk of iterations ended, so the
    iterates are those of a single call of :class:`sklearn.decomposition.NMF`.

    Parameters
    ----------
    X : array of shape (n, p), float32 or float64
        Non-negative pixels, a face a row.
    params : NMFParams
        Taken as in scikit-learn.
    picture_shape : tuple of int
        Shape of a face, (h, w) or (h, w, 3).
    start : tuple of arrays, optional
        Weights (n, k) and components (k, p) to start from.

    Yields
    ------
    Factors
        At least once, the last one converged or at ``max_iter`` iterations.
    """
    with IMPORT_LOCK:
        from sklearn.decomposition import non_negative_factorization

    if start is None:
        W, H = initial_factors(X, params, params.random_state)
    else:  # copies, as scikit-learn works in place
        W, H = (np.array(factor, X.dtype, order="C") for factor in start)
    has_converged = _convergence_rule(X, params)
    has_converged(W, H)
    norm_X = norm(X)
    iteration, chunk = 0, 1
    while iteration < params.max_iter:
        chunk = min(chunk, _CHECK_EVERY - iteration % _CHECK_EVERY, params.max_iter - iteration)
        began = time.perf_counter()
        W, H, done = non_negative_factorization(
            X,
            W,
            H,
            params.n_components,
            init="custom",
            solver=params.solver,
            beta_loss=params.beta_loss,
            tol=0,  # never stops early (but where nothing can move any more)
            max_iter=chunk,
            alpha_W=params.alpha_W,
            alpha_H=params.alpha_H,
            l1_ratio=params.l1_ratio,
        )
        iteration += done
        converged = done < chunk or (iteration % _CHECK_EVERY == 0 and has_converged(W, H))
        error = relative_error(X, W, H, norm_X)
        # a copy: scikit-learn goes on in the same memory
        is_empty = not (W.any() and H.any())  # by a penalty; scikit-learn goes no further
        yield Factors(W, H.copy(), picture_shape, iteration, converged or is_empty, error)
        if converged or is_empty:
            return
        seconds = (time.perf_counter() - began) / chunk
        chunk = max(1, min(_CHECK_EVERY, int(_PACE / max(seconds, 1e-6))))


def _never(W: NDArray[Any], H: NDArray[Any]) -> bool:  # noqa: ARG001
    return False


def _convergence_rule(X: NDArray[Any], params: NMFParams) -> Rule:
    """Return the test of convergence; its first call sets what the later ones compare with."""
    if params.tol == 0:
        return _never
    return (_gradient_rule if params.solver == "cd" else _loss_rule)(X, params)


def _gradient_rule(X: NDArray[Any], params: NMFParams) -> Rule:
    """scikit-learn's rule for coordinate descent: a small projected gradient."""
    alpha_H = params.alpha_W if params.alpha_H == "same" else params.alpha_H
    penalty_W, penalty_H = params.alpha_W * X.shape[1], float(alpha_H) * X.shape[0]
    begin = 0.0

    def has_converged(W: NDArray[Any], H: NDArray[Any]) -> bool:
        nonlocal begin
        violation = _projected(W, H @ H.T, X @ H.T, penalty_W, params.l1_ratio)
        violation += _projected(H.T, W.T @ W, X.T @ W, penalty_H, params.l1_ratio)
        begin = begin or violation
        return violation <= params.tol * begin

    return has_converged


def _projected(
    F: NDArray[Any], G: NDArray[Any], C: NDArray[Any], alpha: float, l1_ratio: float
) -> float:
    """Sum the size of the gradient of one factor where it can still move."""
    gradient = F @ G - C + alpha * l1_ratio + alpha * (1 - l1_ratio) * F
    blocked = (F == 0) & (gradient > 0)
    return float(np.abs(gradient[~blocked]).sum(dtype=np.float64))


def _loss_rule(X: NDArray[Any], params: NMFParams) -> Rule:
    """scikit-learn's rule for multiplicative updates: a loss that hardly falls."""
    begin, last = 0.0, np.inf

    def has_converged(W: NDArray[Any], H: NDArray[Any]) -> bool:
        nonlocal begin, last
        loss = root_divergence(X, W, H, params.beta_loss)
        begin = begin or loss
        fall, last = last - loss, loss
        return fall < params.tol * begin

    return has_converged
