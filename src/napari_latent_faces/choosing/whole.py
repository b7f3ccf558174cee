"""A model of a sample of faces, extended to all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.model import LatentFaces
from napari_latent_faces.pixels import as_stack

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["iter_whole_model"]

_BLOCK_VALUES = 2**24  # pixels read at a time


def iter_whole_model(
    model: LatentFaces, images: Any
) -> Generator[tuple[int, int], None, LatentFaces]:
    """Find the weights of all faces of a stack for the components of a model.

    Parameters
    ----------
    model : LatentFaces
        A model of some of the faces.
    images : FaceStack or array of shape (n, h, w)
        All faces, in the units of the model's; read a block at a time.

    Yields
    ------
    tuple of int
        Faces done, and their number.

    Returns
    -------
    LatentFaces
        The same components in canonical form, with weights, names and error of all faces
        (the value of ``StopIteration``).

    Raises
    ------
    ValueError
        If the pictures have another size, or pixels that cannot be encoded.
    """
    stack = as_stack(images)
    n, h, w = stack.shape
    W = np.empty((n, model.n_components), model.weights.dtype)
    lost = norm = 0.0
    step = max(1, _BLOCK_VALUES // (h * w))
    for first in range(0, n, step):
        faces = slice(first, min(first + step, n))
        block = np.asarray(stack.images[faces])
        W[faces] = model.encode(block)
        missed = block - model.blend(W[faces])
        lost += float(np.vdot(missed, missed))
        norm += float(np.square(block, dtype=np.float64).sum())
        yield faces.stop, n
    error = float(np.sqrt(lost / norm)) if norm > 0 else 0.0
    return LatentFaces.from_factors(
        W,
        model.components.reshape(model.n_components, -1),
        (h, w),
        error=error,
        scale=model.scale,
        params=model.params,
        provenance=model.provenance.of_other_faces(stack),
    )
