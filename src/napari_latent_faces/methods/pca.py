"""PCA and ICA: the plane in which faces differ most, and a rotation within it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.methods.found import Found, batch_error
from napari_latent_faces.methods.rows import spared_processor
from napari_latent_faces.nmf.factors import Factors
from napari_latent_faces.nmf.fitting import FitStep

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Literal

    from numpy.typing import NDArray

    from napari_latent_faces.methods.found import Finding
    from napari_latent_faces.methods.params import ICAParams, PCAParams
    from napari_latent_faces.methods.rows import Rows
    from napari_latent_faces.provenance import StopReason

    Axes = Generator[FitStep, Literal["stop"] | None, tuple[NDArray[Any], int, bool]]

__all__ = ["iter_ica", "iter_pca"]

_BATCH_COMPONENTS = 5  # rows of a batch of incremental PCA for each component
_RANK = 1e-7  # of the largest spread: less is none


def iter_pca(rows: Rows, params: PCAParams) -> Finding:
    """Find eigenfaces with scikit-learn; a stack read in blocks gives a step for each batch.

    Parameters
    ----------
    rows : Rows
        The faces.
    params : PCAParams
        The parameters.

    Returns
    -------
    Found
        Components of unit length, in the order of their variance.

    Raises
    ------
    ValueError
        If there are more components than directions in which the faces can differ.
    """
    H, n_iter, stopped = yield from _axes(rows, params, params.svd_solver)
    return Found(H, rows.mean(), n_iter, "stopped" if stopped else "converged")


def iter_ica(rows: Rows, params: ICAParams) -> Finding:
    """Find independent components: PCA, then scikit-learn's FastICA in its plane.

    All rotations of the plane leave the reconstructions, and so the error, as they are.

    Parameters
    ----------
    rows : Rows
        The faces.
    params : ICAParams
        The parameters.

    Returns
    -------
    Found
        Components.

    Raises
    ------
    ValueError
        If there are more components than directions in which the faces differ.
    """
    from sklearn.decomposition import fastica

    V, _, stopped = yield from _axes(rows, params, "auto")
    scores = np.concatenate([(block - rows.mean()) @ V.T for _, block in rows.blocks()])
    _check_rank(scores, params)
    by_pixel = params.independent == "pictures"
    with spared_processor():
        whitening, rotation, _, n_iter = fastica(
            V.T.astype(np.float64) if by_pixel else scores,
            whiten="unit-variance",
            fun=params.fun,
            max_iter=params.max_iter,
            tol=params.tol,
            random_state=params.random_state,
            compute_sources=False,
            return_n_iter=True,
        )
    unmixing = rotation @ whitening
    H = (unmixing if by_pixel else np.linalg.inv(unmixing).T) @ V
    is_done = n_iter < params.max_iter  # else scikit-learn has warned
    reason: StopReason = "stopped" if stopped else "converged" if is_done else "max_iter"
    return Found(H.astype(rows.dtype), rows.mean(), int(n_iter), reason)


def _axes(rows: Rows, params: PCAParams | ICAParams, solver: str) -> Axes:
    """Return the principal axes, the iterations made, and whether a stop was asked for."""
    from sklearn.decomposition import PCA

    most = min(rows.n - 1, rows.p)
    if params.n_components > most:
        raise ValueError(
            f"n_components must be from 1 to {most} (the number of faces less one, or of "
            f"pixels), got {params.n_components}."
        )
    rows.check_differences()
    if solver == "incremental" or (solver == "auto" and rows.X is None):
        return (yield from _incremental_axes(rows, params))
    X = rows.X if rows.X is not None else np.concatenate([b.copy() for _, b in rows.blocks()])
    with spared_processor():
        pca = PCA(params.n_components, svd_solver=solver, random_state=params.random_state)
        pca.fit(X)
    return pca.components_, 1, False


def _incremental_axes(rows: Rows, params: PCAParams | ICAParams) -> Axes:
    from sklearn.decomposition import IncrementalPCA

    pca = IncrementalPCA(params.n_components)
    size = min(_BATCH_COMPONENTS * params.n_components, rows.n)
    total, mean = rows.n_batches(size), rows.mean().astype(rows.dtype)
    rng = np.random.RandomState(params.random_state)
    iteration, stopped = 0, False
    for iteration, batch in enumerate(rows.batches(size, rng), 1):
        with spared_processor():
            pca.partial_fit(batch)
        H = pca.components_.astype(rows.dtype)
        lost, _ = batch_error(batch - mean, H, params)
        error = float(np.sqrt(lost) / np.linalg.norm(batch))
        factors = Factors(
            np.empty((0, len(H))), H, rows.size, iteration, False, error, rows.scale
        )
        stopped = (yield FitStep(iteration, total, error, factors)) == "stop"
        if stopped:
            break
    return pca.components_.astype(rows.dtype), iteration, stopped


def _check_rank(scores: NDArray[Any], params: ICAParams) -> None:
    spreads = scores.std(axis=0)
    rank = int((spreads > _RANK * spreads.max()).sum())
    if rank < params.n_components:
        raise ValueError(
            f"n_components must be from 1 to {rank}, got {params.n_components}: these faces "
            f"differ in {rank} directions only."
        )
