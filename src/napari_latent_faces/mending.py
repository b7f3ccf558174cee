"""Mending faces: what a mask marks is replaced by what a model expects there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.encoding import encoded_model, iter_encode
from napari_latent_faces.lazy import LazyReconstruction, LazyStack, crop
from napari_latent_faces.masks import PixelMask, marked_faces, split_mask
from napari_latent_faces.pixels import as_pixels, as_stack
from napari_latent_faces.steps import drain

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["MendedFaces", "iter_mend", "mend"]


def mend(model: LatentFaces, images: Any, mask: Any = None) -> NDArray[Any]:
    """Replace the marked pixels of faces by what the model expects there.

    Each face is encoded from its visible pixels only (`encode`); the reconstruction
    fills the rest. Visible pixels stay as they are.

    Parameters
    ----------
    model : LatentFaces
        The model.
    images : FaceStack or array of shape (m, h, w) or (h, w)
        Grey pictures of the size of the components.
    mask : array of shape (h, w) or (m, h, w), optional
        **True or nonzero marks pixels to replace**; one mask for all faces or one for
        each. What is marked may hold anything, NaN too. The mask of a
        `numpy.ma.MaskedArray` counts, too.

    Returns
    -------
    array of the shape and type of the pictures
        Filled pixels are rounded and clipped where the type is one of integers.

    Raises
    ------
    ValueError, TypeError
        As `encode`, or if the mask marks nothing.

    Warns
    -----
    UndeterminedWarning
        As `encode`.

    See Also
    --------
    iter_mend : The same in steps, for faces that are filled when they are looked at.
    """
    if getattr(images, "ndim", 0) == 2:
        face: NDArray[Any] = mend(model, images[None], mask)[0]
        return face
    images, mask = split_mask(images, mask)
    if mask is None:
        raise ValueError("There is no mask: mark what is to be replaced (True or nonzero).")
    return np.asarray(drain(iter_mend(model, images, mask)))


def iter_mend(
    model: LatentFaces,
    images: Any,
    mask: Any,
    faces: Sequence[int] | NDArray[np.integer] | None = None,
) -> Generator[int, None, MendedFaces]:
    """Mend faces in steps; only those with a mark are looked at.

    Parameters
    ----------
    model, images
        As in `mend`.
    mask : array of shape (h, w) or (j, h, w)
        As in `mend`; one mask for all of `faces` or one for each of them.
    faces : sequence of int, optional
        Which faces to mend, each once; all by default.

    Yields
    ------
    int
        How many of the faces are encoded.

    Returns
    -------
    MendedFaces
        The generator's return value: a lazy stack of all pictures.
    """
    stack = as_stack(images)
    model.check_size(stack.shape[1:])
    chosen = np.arange(len(stack)) if faces is None else np.asarray(faces, np.intp)
    marks = PixelMask(mask, (len(chosen), *stack.shape[1:])).mask
    if model.mask is not None:  # where the model knows nothing, faces stay as they are
        marks = (marks != 0) & ~model.mask
    if marks.ndim == 3:
        marked = marked_faces(marks)
        if len(marked) < len(chosen):
            chosen, marks = chosen[marked], marks[marked]
    if len(chosen) == 0 or (marks.ndim == 2 and not np.asarray(marks).any()):
        raise ValueError(
            "The mask marks no pixel: mark what is to be replaced (True or nonzero)."
        )
    some = stack if len(chosen) == len(stack) and faces is None else stack[chosen]
    encoding = yield from iter_encode(model, some, marks)
    return MendedFaces(stack.images, marks, encoded_model(model, some, encoding), chosen)


class MendedFaces(LazyStack):
    """Faces whose marked pixels are filled in, computed when they are looked at.

    Parameters
    ----------
    images : array of shape (n, h, w)
        The faces; numpy or lazy.
    mask : array of shape (h, w) or (j, h, w)
        What is filled in, of all the mended faces or of each.
    expected : LatentFaces
        The model of the mended faces.
    faces : array of int, length j
        Which faces are mended.
    """

    def __init__(
        self, images: Any, mask: Any, expected: LatentFaces, faces: NDArray[np.intp]
    ) -> None:
        super().__init__(tuple(images.shape), images.dtype)
        self.images = _below(images, faces)
        self.expected = expected
        self.faces = faces
        self._mask = PixelMask(mask, (len(faces), *self.shape[1:]))
        self._rebuilt = LazyReconstruction(expected)
        self._slots = np.full(len(self), -1)
        self._slots[faces] = np.arange(len(faces))

    def over(self, images: Any) -> MendedFaces:
        """Return these mended faces with other pictures, such as mended ones, beside them."""
        return MendedFaces(images, self._mask.mask, self.expected, self.faces)

    def _pick(self, faces: Any, rows: Any, columns: Any) -> NDArray[Any]:
        slots = self._slots[faces]
        pictures = np.array(crop(np.asarray(self.images[faces]), rows, columns))
        if slots.ndim == 0:
            one: NDArray[Any] = self._filled(pictures, int(slots), rows, columns)
            return one
        for i, slot in enumerate(slots):
            pictures[i] = self._filled(pictures[i], int(slot), rows, columns)
        return pictures

    def _filled(self, picture: NDArray[Any], slot: int, rows: Any, columns: Any) -> Any:
        if slot < 0:
            return picture
        marked = crop(self._mask.hidden(slot)[0], rows, columns)
        expected = as_pixels(self._rebuilt[slot, rows, columns], self.dtype)
        return np.where(marked, expected, picture)


def _below(images: Any, faces: NDArray[np.intp]) -> Any:
    """Return what is seen beside the mended faces, without mendings that are not seen."""
    while isinstance(images, MendedFaces) and np.isin(images.faces, faces).all():
        images = images.images
    return images
