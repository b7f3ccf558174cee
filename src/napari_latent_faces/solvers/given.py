"""What a fit is given beside faces and parameters: where to start, and what to leave out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.masks import PixelMask
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.stack import over_channels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_latent_faces.params import NMFParams
    from napari_latent_faces.stack import FaceStack

__all__ = ["Given", "given"]


@dataclass(frozen=True, eq=False)
class Given:
    """A start, and a mask.

    Parameters
    ----------
    start : tuple of arrays, optional
        Weights (n, k) and components (k, p) to start from, non-negative.
    mask : bool array of shape (h, w), optional
        True where pixels are left out of all faces.
    missing : array of shape (n, h, w), optional
        Nonzero where pixels of single faces are missing; it may be lazy.
    picture_shape : tuple of int
        Shape of a picture, by default that of the mask.
    """

    start: tuple[NDArray[Any], NDArray[Any]] | None = None
    mask: NDArray[np.bool_] | None = None
    missing: Any = None
    picture_shape: tuple[int, ...] = ()

    @property
    def hidden_row(self) -> NDArray[np.bool_] | None:
        """Whether each value of a picture is left out, shape (1, p), or None."""
        if self.mask is None:
            return None
        return over_channels(self.mask, self.picture_shape or self.mask.shape).reshape(1, -1)

    @property
    def hidden(self) -> NDArray[np.intp] | None:
        """Which of the p values of a picture are left out, or None."""
        row = self.hidden_row
        return None if row is None else np.flatnonzero(row)


def given(
    stack: FaceStack, params: NMFParams, start: Any, mask: Any
) -> tuple[NMFParams, Given]:
    """Check a start and a mask against faces and parameters.

    Parameters
    ----------
    stack : FaceStack
        The faces, n of h x w pixels.
    params : NMFParams
        Their `init` is None or ``"custom"`` where there is a start.
    start : LatentFaces, (W, H) or None
        A model of these faces, or weights (n, k) and components (k, h, w) or (k, p).
    mask : array of shape (h, w) or (n, h, w), or None
        True or nonzero marks pixels to leave out, of all faces or of each.

    Returns
    -------
    params : NMFParams
        With ``init="custom"`` if there is a start.
    given : Given
        The checked arrays.

    Raises
    ------
    TypeError, ValueError
        If they do not fit; the message says how they should be.
    """
    checked = _masked(mask, stack, params)
    init: Any = params.init  # its type leaves out "custom", which is for scripts only
    if start is None:
        if init == "custom":
            raise ValueError("init='custom' needs a start: start=(W, H), or a model.")
        return params, checked
    if init not in (None, "custom"):
        raise ValueError(f"init={init!r} and a start exclude each other: give one.")
    factors = _factors(start, stack, params.n_components)
    init = "custom"
    return replace(params, init=init), replace(checked, start=factors)


def _masked(mask: Any, stack: FaceStack, params: NMFParams) -> Given:
    """Return what is left out of all faces, or of each."""
    if mask is None:
        return Given()
    marks = PixelMask(mask, stack.shape)
    if marks.is_common:
        hidden = marks.hidden(0)[0]
        if hidden.all():
            raise ValueError("The mask marks every pixel: leave some of them to be fitted.")
        return Given(mask=hidden if hidden.any() else None, picture_shape=stack.picture_shape)
    if params.solver != "multilevel":
        raise ValueError(
            f"solver={params.solver!r} takes one mask of shape {stack.shape[1:3]} for all "
            "faces; choose solver='multilevel' for masks of single faces."
        )
    return Given(missing=marks.mask)


def _factors(start: Any, stack: FaceStack, k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    W, H = (start.weights, start.components) if isinstance(start, LatentFaces) else start
    W, H = np.asarray(W), np.asarray(H)
    n, p = len(stack), math.prod(stack.picture_shape)
    H = H.reshape(len(H), -1)
    if W.shape != (n, k) or H.shape != (k, p):
        raise ValueError(
            f"start has weights of shape {W.shape} and components of shape {H.shape}, but "
            f"{(n, k)} and {(k, p)} are needed for {n} faces of shape "
            f"{stack.picture_shape} and "
            f"n_components={k}."
        )
    for name, factor in (("weights", W), ("components", H)):
        if not (np.isfinite(factor) & (factor >= 0)).all():
            raise ValueError(f"start has {name} that are not all finite and non-negative.")
    if not (W.any() and H.any()):
        raise ValueError("start is 0 everywhere, which no solver can leave.")
    return W, H
