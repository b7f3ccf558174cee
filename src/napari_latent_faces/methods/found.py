"""What a method finds, and how weights and error follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.canonical import normalized, unit_maximum
from napari_latent_faces.coding import solver_of
from napari_latent_faces.nmf.losses import face_errors, squares

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_latent_faces.methods.rows import Rows
    from napari_latent_faces.nmf.fitting import FitStep
    from napari_latent_faces.parameters import Parameters
    from napari_latent_faces.provenance import StopReason

    # Send "stop" to end early and keep what was reached.
    Finding = Generator["FitStep", Literal["stop"] | None, "Found"]

__all__ = ["Found", "batch_error", "weights_and_error"]

_RCOND = 1e-12  # eigenvalues below this share of the largest count as zero


@dataclass(frozen=True, eq=False)
class Found:
    """Components, and how the search for them ended.

    Parameters
    ----------
    H : array of shape (k, p)
        Components as rows.
    mean : array of shape (p,), or None
        What they are added to.
    n_iter : int
        Iterations made.
    reason : {"converged", "max_iter", "stopped"}
        Why it ended.
    """

    H: NDArray[Any]
    mean: NDArray[Any] | None
    n_iter: int
    reason: StopReason


def weights_and_error(
    rows: Rows, H: NDArray[Any], mean: NDArray[Any] | None, params: Parameters
) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Return the weights of all faces for given components, and the relative error.

    Parameters
    ----------
    rows : Rows
        The faces.
    H : array of shape (k, p)
        Components as rows.
    mean : array of shape (p,), or None
        The mean face.
    params : Parameters
        They say which weights are looked for.

    Returns
    -------
    W, H : arrays of shape (n, k) and (k, p)
        Weights and components, as the model will hold them: each has maximum 1.
    error : float
        ``||X - mean - W H|| / ||X||``.
    """
    Q, R = np.linalg.qr(H.T.astype(np.float64))
    solve = solver_of(params.coding, getattr(params, "alpha", 0.0))
    origin = 0.0 if mean is None else mean @ Q
    base = None if mean is None else mean.astype(rows.dtype)
    W = np.empty((rows.n, len(H)), rows.dtype)
    scaled = unit_maximum(H)
    lost = whole = 0.0
    for faces, X in rows.blocks():
        W[faces], _ = normalized(solve(R, X @ Q - origin), H)
        some_lost, some = face_errors(X, W[faces], scaled, mean=base)
        lost, whole = lost + some_lost.sum(), whole + some.sum()
    return W, scaled, float(np.sqrt(lost / whole))


def batch_error(X: NDArray[Any], H: NDArray[Any], params: Parameters) -> tuple[float, float]:
    """Return the squared error of some rows for the components so far, and their squared norm.

    Parameters
    ----------
    X : array of shape (m, p)
        Rows, less the mean if the method has one.
    H : array of shape (k, p)
        Components as rows.
    params : Parameters
        They say which weights are looked for.
    """
    # the normal equations are enough for an estimate, and small
    G, C = (H @ H.T).astype(np.float64), (X @ H.T).astype(np.float64)
    values, vectors = np.linalg.eigh(G)
    kept = values > _RCOND * max(float(values[-1]), np.finfo(np.float64).tiny)
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    solve = solver_of(params.coding, getattr(params, "alpha", 0.0))
    W = solve((vectors * roots).T, C @ vectors / roots)
    norm = squares(X)
    return max(norm - 2 * float(np.vdot(W, C)) + float(np.vdot(W @ G, W)), 0.0), norm
