"""How well components explain pixels that neither they nor the weights have seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["held_out_error"]


def held_out_error(
    model: LatentFaces, images: Any, halves: Sequence[NDArray[np.bool_]]
) -> float:
    """Predict each half of the pixels of new faces from the other half.

    The weights are the non-negative least-squares solution on the pixels of one half;
    with them the components predict the other half.

    Parameters
    ----------
    model : LatentFaces
        Components, fitted to other faces.
    images : array of shape (m, h, w)
        The held-out faces, in the units of the model's.
    halves : sequence of arrays of shape (h * w,), bool
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
    lost = sum(_lost(X, H, seen) for half in halves for seen in (half, ~half))
    norm = float(np.vdot(X, X)) * len(halves)
    return float(np.sqrt(lost / norm)) if norm > 0 else 0.0


def _lost(X: NDArray[Any], H: NDArray[Any], seen: NDArray[np.bool_]) -> float:
    """Sum the squared differences on the pixels that are not seen."""
    from napari_latent_faces.nmf.blocks import one_blas_thread
    from napari_latent_faces.nmf.nnls import solve_nnls

    with one_blas_thread():
        Q, R = np.linalg.qr(H[:, seen].T)
        weights = solve_nnls(R, X[:, seen] @ Q)
        missed = X[:, ~seen] - weights @ H[:, ~seen]
    return float(np.vdot(missed, missed))
