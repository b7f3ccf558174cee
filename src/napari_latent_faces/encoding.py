"""New faces on an old model: exact weights from what is visible of each face."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_latent_faces.stack_coder import StackCoder, UndeterminedWarning
from napari_latent_faces.steps import drain

if TYPE_CHECKING:
    from collections.abc import Generator

    import numpy as np
    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.stack import FaceStack

__all__ = [
    "Encoding",
    "UndeterminedWarning",
    "encode",
    "encoded_model",
    "find_weights",
    "iter_encode",
    "relative_errors",
]


@dataclass(frozen=True, eq=False)
class Encoding:
    """What a model makes of some faces.

    Parameters
    ----------
    weights : array of shape (m, k)
        How much of each component builds each face.
    errors : float64 array of shape (m,)
        Relative Frobenius error of each face over its visible pixels, 0 to 1; 0 for a
        face without a pixel above 0.
    error : float
        The same over all faces together.
    scale : float
        The pixel value of these faces that counts as 1.
    """

    weights: NDArray[Any]
    errors: NDArray[np.float64]
    error: float
    scale: float


def encode(model: LatentFaces, images: Any, mask: Any = None) -> Encoding:
    """Find the weights of other faces, and how well they explain each.

    Parameters
    ----------
    model : LatentFaces
        Whose components build the faces; they stay as they are.
    images : FaceStack or array of shape (m, h, w)
        Grey pictures of the size of the components; see `LatentFaces.encode`.
    mask : array of shape (h, w) or (m, h, w), optional
        **True or nonzero marks pixels to ignore**, as in `numpy.ma`; one mask for all
        faces or one for each. What is ignored may hold anything, NaN too.

    Raises
    ------
    TypeError, ValueError
        If pictures or mask have another size or type, if a visible pixel is negative,
        NaN or infinite, or if a mask hides all of a face.

    Warns
    -----
    UndeterminedWarning
        If a mask leaves fewer pixels than there are components, or hides a component
        wholly (its weight is then 0).

    Notes
    -----
    Each face is a problem of least squares over its visible pixels, solved as the method of
    the model has it: see `napari_latent_faces.coding`. The pixels are first projected on the
    components (QR decomposition of the visible rows, shared by faces with the same mask),
    which leaves the solution as it is. Faces are read once, a block at a time.
    """
    return drain(iter_encode(model, images, mask))


def iter_encode(
    model: LatentFaces, images: Any, mask: Any = None
) -> Generator[int, None, Encoding]:
    """Do what `encode` does, in steps.

    Parameters
    ----------
    model, images, mask
        As in `encode`.

    Yields
    ------
    int
        How many faces are done.

    Returns
    -------
    Encoding
        The generator's return value.
    """
    job = StackCoder(model, images, mask)
    yield from job.run()
    return Encoding(job.weights, job.errors(), job.error(), job.scale)


def find_weights(model: LatentFaces, images: Any, mask: Any = None) -> NDArray[Any]:
    """Find the weights alone, shape (m, k); see `encode`."""
    job = StackCoder(model, images, mask)
    drain(job.run(measure=False))
    return job.weights


def relative_errors(
    model: LatentFaces, images: Any, weights: Any = None, mask: Any = None
) -> NDArray[np.float64]:
    """Measure how badly each face is explained: ``|face - reconstruction| / |face|``.

    Parameters
    ----------
    model : LatentFaces
        The model.
    images, mask
        As in `encode`; norms are over the visible pixels, in float64.
    weights : array of shape (m, k), optional
        The weights of these faces, such as ``model.weights`` for those of the fit; by
        default the best ones, which makes an error at most 1.

    Returns
    -------
    float64 array of shape (m,)
        Infinite where a black face is given weights.

    Raises
    ------
    TypeError, ValueError
        As `encode`, or if there are not as many weights as faces and components.
    """
    job = StackCoder(model, images, mask, weights)
    drain(job.run())
    return job.errors()


def encoded_model(model: LatentFaces, stack: FaceStack, encoding: Encoding) -> LatentFaces:
    """Return a model of other faces with the same components, in the same order.

    Everything that works on a fitted model works on it, in the units of these faces.
    The components are shared, not copied.

    Parameters
    ----------
    model : LatentFaces
        The model that the faces were encoded with.
    stack : FaceStack
        These faces.
    encoding : Encoding
        What was found for them.
    """
    own = model.provenance
    fitted = own.source if own.encoded_from is None else own.encoded_from
    provenance = own.of_other_faces(stack, dtype=stack.dtype.name, encoded_from=fitted)
    return replace(
        model,
        weights=encoding.weights,
        error=encoding.error,
        scale=encoding.scale,
        provenance=provenance,
    )
