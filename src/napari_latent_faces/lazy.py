"""Stacks that are computed where they are looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["LazyReconstruction", "LazyResidual", "LazyStack", "crop"]


class LazyStack:
    """A stack of faces that computes only the slices that are asked for.

    It has what napari and numpy ask of an array: `shape`, `dtype`, `ndim`, indexing
    with integers, slices and sequences, and conversion to an array. Its memory does not
    grow with the number of faces.

    Parameters
    ----------
    shape : tuple of int
        Number of faces, height and width.
    dtype : numpy dtype
        Type of a pixel.
    """

    def __init__(self, shape: tuple[int, int, int], dtype: DTypeLike) -> None:
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
        return self._pick(*_three(key))

    def _pick(self, faces: Any, rows: Any, columns: Any) -> NDArray[Any]:
        raise NotImplementedError

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
        super().__init__(model.shape, model.components.dtype)
        self.model = model
        self._weights = np.multiply(model.weights, model.scale, dtype=self.dtype)
        self._mean = None
        if model.mean is not None:
            self._mean = np.multiply(model.mean, model.scale, dtype=self.dtype)

    def _pick(self, faces: Any, rows: Any, columns: Any) -> NDArray[Any]:
        components = crop(self.model.components, rows, columns)
        weights = self._weights[faces].astype(self.dtype, copy=False)
        rebuilt = np.tensordot(weights, components, 1)
        return rebuilt if self._mean is None else rebuilt + crop(self._mean, rows, columns)


class LazyResidual(LazyStack):
    """What a model leaves unexplained: faces minus reconstructions.

    Parameters
    ----------
    images : numpy or lazy array of shape (n, h, w)
        The faces that the model was fitted to.
    model : LatentFaces
        The model.

    Raises
    ------
    ValueError
        If the shapes differ.
    """

    def __init__(self, images: Any, model: LatentFaces) -> None:
        if tuple(images.shape) != model.shape:
            raise ValueError(
                f"The faces have the shape {tuple(images.shape)}, the model's {model.shape}."
            )
        super().__init__(model.shape, model.components.dtype)
        self.images = images
        self.reconstruction = LazyReconstruction(model)

    def _pick(self, faces: Any, rows: Any, columns: Any) -> NDArray[Any]:
        rebuilt = self.reconstruction._pick(faces, rows, columns)  # noqa: SLF001
        seen = np.asarray(crop(self.images[faces], rows, columns), self.dtype)
        residual: NDArray[Any] = seen - rebuilt
        return residual


def _three(key: Any) -> tuple[Any, Any, Any]:
    """Spell an index out for the three axes."""
    key = list(key) if isinstance(key, tuple) else [key]
    dots = [at for at, part in enumerate(key) if part is Ellipsis]  # `in` would compare arrays
    for at in dots[:1]:
        key[at : at + 1] = [slice(None)] * (4 - len(key))
    if len(key) > 3:
        raise IndexError(f"A stack of faces has three axes, got {len(key)} indices.")
    faces, rows, columns = key + [slice(None)] * (3 - len(key))
    return faces, rows, columns


def crop(images: Any, rows: Any, columns: Any) -> Any:
    """Take rows and columns off the last two axes, whatever stands before them."""
    return images[..., rows, :][..., columns]
