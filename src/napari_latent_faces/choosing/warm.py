"""Where a fit begins that has a fit of the same faces, with other k, to begin from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.nmf.start import initial_factors
from napari_latent_faces.pixels import as_matrix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.nmf import NMFParams
    from napari_latent_faces.stack import FaceStack

    Start = tuple[NDArray[Any], NDArray[Any]]

__all__ = ["nearest_fit", "warm_start"]


def nearest_fit(fits: Mapping[int, LatentFaces], k: int) -> LatentFaces | None:
    """Return the fit whose number of components is next to `k`, the smaller of two."""
    return fits[min(fits, key=lambda other: (abs(other - k), other))] if fits else None


def warm_start(model: LatentFaces, stack: FaceStack, params: NMFParams) -> Start:
    """Return factors that a fit with more, or fewer, components can begin with.

    Of too many, those go that add least to the faces. Missing ones are found in what the
    model leaves over: they are the singular vectors of the positive part of the residual,
    made non-negative (NNDSVD, C. Boutsidis, E. Gallopoulos 2008,
    doi:10.1016/j.patcog.2007.09.010).

    Parameters
    ----------
    model : LatentFaces
        A fit of the same faces.
    stack : FaceStack
        The faces, n of h x w pixels. To find more components, their residual is held in
        memory as floats.
    params : NMFParams
        The parameters of the fit to come; `n_components` is that of the factors.

    Returns
    -------
    W, H : arrays of shape (n, k) and (k, h * w)
        Non-negative, as `fit` takes them as its `start`.
    """
    W, H = model.weights, model.components.reshape(model.n_components, -1)
    more = params.n_components - model.n_components
    if more <= 0:
        norms = np.linalg.norm(W, axis=0) * np.linalg.norm(H, axis=1)
        kept = np.sort(np.argsort(-norms, kind="stable")[: params.n_components])
        return W[:, kept], H[kept]
    rest, _ = as_matrix(stack, model.scale)
    rest -= W @ H
    np.maximum(rest, 0, out=rest)
    few = replace(params, n_components=more, init=_init(rest, params))
    new_W, new_H = initial_factors(rest, few, params.random_state)
    return np.hstack([W, new_W]), np.vstack([H, new_H])


def _init(rest: NDArray[Any], params: NMFParams) -> Any:
    """Return how new components start: zeros would stay zeros with solver 'mu'."""
    if params.solver == "mu":
        return None
    return "nndsvd" if params.n_components <= min(rest.shape) else "random"
