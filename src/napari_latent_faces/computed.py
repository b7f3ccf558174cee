"""Stacks of pictures that are computed when they are looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["LazyReconstruction", "LazyResidual", "LazyStack", "crop"]


class LazyStack:
    """A stack of pictures that computes only the slices that are asked for.

    It has what napari and NumPy ask of an array: `shape`, `dtype`, `ndim`, indexing
    with integers, slices and sequences, and conversion to an array. Its memory does not
    grow with the number of pictures.

    Parameters
    ----------
    shape : tuple of int
        Number of pictures, then the shape of one: (n, h, w), or (n, h, w, 3) in colour.
    dtype : numpy dtype
        Type of a pixel.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return self._pick(*self._spelled_out(key))

    def _pick(self, faces: Any, *inner: Any) -> NDArray[Any]:
        """Return some pictures, or one, of which `inner` picks pixels, an index an axis."""
        raise NotImplementedError

    def _spelled_out(self, key: Any) -> list[Any]:
        """Return an index for each axis."""
        parts = list(key) if isinstance(key, tuple) else [key]
        dots = [at for at, part in enumerate(parts) if part is Ellipsis]
        for at in dots[:1]:
            parts[at : at + 1] = [slice(None)] * (self.ndim + 1 - len(parts))
        if len(parts) > self.ndim:
            raise IndexError(f"The stack has {self.ndim} axes, got {len(parts)} indices.")
        return parts + [slice(None)] * (self.ndim - len(parts))

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        if copy is False:
            raise ValueError("The pictures are computed when asked for: a copy is needed.")
        return np.asarray(self[:], dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"


class LazyReconstruction(LazyStack):
    """The reconstructions of a model's faces, in the units of the faces.

    Parameters
    ----------
    model : LatentFaces
        The model.
    """

    def __init__(self, model: LatentFaces) -> None:
        shape = (len(model.weights), *model.components.shape[1:])
        super().__init__(shape, model.components.dtype)
        self.model = model
        self._weights = np.multiply(model.weights, model.scale, dtype=self.dtype)
        self._mean = None
        if model.mean is not None:
            self._mean = np.multiply(model.mean, model.scale, dtype=self.dtype)

    def _pick(self, faces: Any, *inner: Any) -> NDArray[Any]:
        weights = self._weights[faces].astype(self.dtype, copy=False)
        rebuilt = np.tensordot(weights, crop(self.model.components, *inner), 1)
        return rebuilt if self._mean is None else rebuilt + crop(self._mean, *inner)


class LazyResidual(LazyStack):
    """What a model leaves unexplained: faces minus reconstructions.

    Parameters
    ----------
    images : numpy or lazy array of shape (n, h, w) or (n, h, w, 3)
        The faces that the model was fitted to.
    model : LatentFaces
        The model.

    Raises
    ------
    ValueError
        If the shapes differ.
    """

    def __init__(self, images: Any, model: LatentFaces) -> None:
        self.reconstruction = LazyReconstruction(model)
        super().__init__(self.reconstruction.shape, model.components.dtype)
        if tuple(images.shape) != self.shape:
            raise ValueError(
                f"The faces have the shape {tuple(images.shape)}, the model's {self.shape}."
            )
        self.images = images

    def _pick(self, faces: Any, *inner: Any) -> NDArray[Any]:
        seen = np.asarray(crop(self.images[faces], *inner), self.dtype)
        residual: NDArray[Any] = seen - self.reconstruction._pick(faces, *inner)  # noqa: SLF001
        return residual


def crop(images: Any, *inner: Any) -> Any:
    """Pick pixels by an index for each of the last axes, whatever axes stand before them."""
    for at, part in enumerate(inner, 1 - len(inner)):  # one by one: sequences would pair up
        images = images[(..., part, *[slice(None)] * -at)]
    return images
