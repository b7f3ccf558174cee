"""Methods that learn from a part of the faces at a time."""

from __future__ import annotations

import warnings
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.methods.found import Found, batch_error
from napari_latent_faces.methods.rows import spared_processor
from napari_latent_faces.nmf.factors import Factors
from napari_latent_faces.nmf.fitting import ConvergenceWarning, FitStep

if TYPE_CHECKING:
    from napari_latent_faces.methods.found import Finding
    from napari_latent_faces.methods.params import (
        DictionaryParams,
        KMeansParams,
        MiniBatchNMFParams,
    )
    from napari_latent_faces.methods.rows import Rows
    from napari_latent_faces.provenance import StopReason

    AnyParams = DictionaryParams | KMeansParams | MiniBatchNMFParams

__all__ = ["iter_dictionary", "iter_kmeans", "iter_minibatch_nmf"]


def iter_dictionary(rows: Rows, params: DictionaryParams) -> Finding:
    """Learn a dictionary of the differences from the mean face.

    Parameters
    ----------
    rows : Rows
        The faces.
    params : DictionaryParams
        The parameters.

    Yields
    ------
    FitStep
        After each batch; the error is that of the faces of the last pass, each measured
        when it was seen. Send ``"stop"`` to end.

    Returns
    -------
    Found
        Components.
    """
    from sklearn.decomposition import MiniBatchDictionaryLearning

    rows.check_differences()
    learner = MiniBatchDictionaryLearning(
        params.n_components,
        alpha=params.alpha,
        batch_size=params.batch_size,
        fit_algorithm="cd",
        random_state=params.random_state,
    )
    # in float32 coordinate descent cannot reach its tolerance
    return (yield from _learn(rows, params, learner, rows.mean(), np.float64))


def iter_minibatch_nmf(rows: Rows, params: MiniBatchNMFParams) -> Finding:
    """Learn non-negative components; parameters and steps as in `iter_dictionary`."""
    from sklearn.decomposition import MiniBatchNMF

    size = _batch_size(params, rows)
    learner = MiniBatchNMF(
        params.n_components,
        batch_size=2 * size,  # more than a batch holds: each is learned from as a whole
        forget_factor=params.forget_factor ** (size / rows.n),  # for a pass, as in fit()
        random_state=params.random_state,
    )
    return (yield from _learn(rows, params, learner, None))


def iter_kmeans(rows: Rows, params: KMeansParams) -> Finding:
    """Find the means of groups of faces; parameters and steps as in `iter_dictionary`."""
    from sklearn.cluster import MiniBatchKMeans

    learner = MiniBatchKMeans(
        params.n_components,
        batch_size=_batch_size(params, rows),
        n_init=1,  # partial_fit makes no others
        random_state=params.random_state,
    )
    return (yield from _learn(rows, params, learner, None))


def _batch_size(params: AnyParams, rows: Rows) -> int:
    """Return how many faces a batch has: enough to start all components from the first."""
    return min(max(params.batch_size, params.n_components), rows.n)


def _learn(
    rows: Rows, params: AnyParams, learner: Any, mean: Any, dtype: Any = None
) -> Finding:
    """Show the learner the faces, pass by pass, until the error hardly falls."""
    size = _batch_size(params, rows)
    n_batches = rows.n_batches(size)
    rng = np.random.RandomState(params.random_state)
    base = rows.dtype.type(0) if mean is None else mean.astype(rows.dtype)
    seen: deque[tuple[float, float]] = deque(maxlen=n_batches)  # the batches of one pass
    iteration, last = 0, np.inf
    reason: StopReason = "max_iter"
    for _ in range(params.max_iter):
        for batch in rows.batches(size, rng):
            iteration += 1
            whole = float(np.vdot(batch, batch))
            with spared_processor():
                learner.partial_fit((batch - base).astype(dtype or rows.dtype, copy=False))
            H = _components(learner).astype(rows.dtype)
            seen.append((batch_error(batch - base, H, params)[0], whole))
            error = float(np.sqrt(np.divide(*np.sum(seen, axis=0))))
            factors = Factors(
                np.empty((0, len(H))), H, rows.size, iteration, False, error, rows.scale
            )
            step = FitStep(iteration, params.max_iter * n_batches, error, factors)
            if (yield step) == "stop":
                return Found(H, mean, iteration, "stopped")
        if params.tol > 0 and last - error < params.tol * error:
            reason = "converged"
            break
        last = error
    if reason == "max_iter" and params.tol > 0:
        _warn(params, error)
    return Found(H, mean, iteration, reason)


def _components(learner: Any) -> Any:
    centers = getattr(learner, "cluster_centers_", None)
    return learner.components_ if centers is None else centers


def _warn(params: AnyParams, error: float) -> None:
    passes = f"{params.max_iter} pass{'es' * (params.max_iter != 1)}"
    warnings.warn(
        f"Not converged after {passes} over the faces (relative error {error:.4f}): the "
        "parts may still change. Raise max_iter, or tol if this is good enough.",
        ConvergenceWarning,
        stacklevel=3,
    )
