"""The fit of every method but our own NMF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_latent_faces.methods.found import weights_and_error
from napari_latent_faces.methods.minibatch import (
    iter_dictionary,
    iter_kmeans,
    iter_minibatch_nmf,
)
from napari_latent_faces.methods.pca import iter_ica, iter_pca
from napari_latent_faces.methods.rows import Rows
from napari_latent_faces.model import LatentFaces, Provenance
from napari_latent_faces.nmf.factors import Factors
from napari_latent_faces.nmf.fitting import FitStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_latent_faces.nmf.fitting import Fitting
    from napari_latent_faces.parameters import Parameters
    from napari_latent_faces.stack import FaceStack

__all__ = ["iter_method"]

_FINDERS: dict[str, Callable[..., Any]] = {
    "pca": iter_pca,
    "ica": iter_ica,
    "dictionary": iter_dictionary,
    "minibatch-nmf": iter_minibatch_nmf,
    "kmeans": iter_kmeans,
}


def iter_method(stack: FaceStack, params: Parameters) -> Fitting:
    """Fit a method to a stack, step by step.

    Methods differ in how they find components. Weights then follow from the components
    in one more look at the faces, so that `LatentFaces.encode` finds the same.

    Parameters
    ----------
    stack : FaceStack
        The faces, numpy or lazy.
    params : Parameters
        The parameters of the method.

    Yields
    ------
    FitStep
        Where the method works in steps, and one at the end.

    Returns
    -------
    LatentFaces
        The model.
    """
    rows = Rows(stack)
    found = yield from _FINDERS[params.method](rows, params)
    W, H, error = weights_and_error(rows, found.H, found.mean, params)
    factors = Factors(W, H, rows.size, found.n_iter, True, error, rows.scale)
    yield FitStep(found.n_iter, found.n_iter, error, factors)
    mean = found.mean
    return LatentFaces.from_factors(
        W,
        H,
        rows.size,
        error=error,
        scale=rows.scale,
        params=params,
        provenance=Provenance.of(stack, found.n_iter, found.reason),
        mean=None if mean is None else mean.reshape(rows.size).astype(rows.dtype),
    )
