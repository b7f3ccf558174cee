"""The faces of a model that look most like given weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["NearestFaces"]

_BLOCK_VALUES = 2**22  # numbers held at a time, beside model and result
_SPARE = 32  # faces beyond those asked for whose distance is computed exactly


class NearestFaces:
    """Finds the faces of a model whose reconstructions are nearest to weights.

    The distance of weights ``u`` and ``v`` is that of the pictures they build: the root
    of the mean squared difference of their pixels, in the units of the faces (grey
    values of 255 for 8-bit faces). It is a metric, it needs no pixel, since
    ``|u H - v H|^2 = (u - v) G (u - v)`` with ``G = H H^T``, and unlike a distance of the
    bare weights it takes into account how bright and how alike the components are.

    Parameters
    ----------
    model : LatentFaces
        The model.

    Notes
    -----
    One number a face is kept (its squared length), beside the k x k products of the
    components: 1.6 MB for 200,000 faces; the weights stay those of the model. A search
    is one product of all weights with one vector. It ranks by a difference of large
    numbers, so the best of its finds and some spare ones are measured again from the
    differences of the weights, in float64.
    """

    def __init__(self, model: LatentFaces) -> None:
        self.model = model
        rows = model.components.reshape(model.n_components, -1).astype(np.float64)
        # from sums to means, and from the fit's units to those of the faces
        self._gram = rows @ rows.T * (model.scale**2 / rows.shape[1])
        lengths = [self._length(part) for part in _parts(model.weights)]
        self._lengths = np.concatenate([np.empty(0), *lengths])

    def find(
        self,
        weights: ArrayLike,
        count: int,
        exclude: int | Sequence[int] | NDArray[np.integer] | None = None,
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the nearest faces, the nearest first, and their distances.

        Parameters
        ----------
        weights : array of shape (k,) or (m, k)
            Weights of one picture or of several.
        count : int
            How many faces; fewer are returned if there are no more.
        exclude : int or sequence of int, optional
            Faces to leave out, as the one that the weights were taken from.

        Returns
        -------
        indices : array of shape (count,) or (m, count)
            Faces of the model.
        distances : array of shape (count,) or (m, count)
            Root mean squared differences of the pixels, in the units of the faces.

        Raises
        ------
        ValueError
            If `weights` do not have k columns or are not finite, or `count` is below 1.
        """
        asked = np.asarray(weights, np.float64)
        self._check(asked, count)
        left_out = np.unique(np.atleast_1d(np.asarray([] if exclude is None else exclude, int)))
        count = min(count, len(self._lengths) - len(left_out))
        several = asked.reshape(-1, asked.shape[-1])
        found = [
            self._search(part, count, left_out) for part in _parts(several, len(self._lengths))
        ]
        none = np.empty((0, count))
        indices = np.concatenate([none.astype(np.intp), *(each[0] for each in found)])
        distances = np.concatenate([none, *(each[1] for each in found)])
        shape = (*asked.shape[:-1], count)
        return indices.reshape(shape), distances.reshape(shape)

    def _check(self, asked: NDArray[np.float64], count: int) -> None:
        k = self.model.n_components
        if asked.ndim not in (1, 2) or asked.shape[-1] != k:
            raise ValueError(
                f"The weights of {k} components are needed, in the shape ({k},) or (m, {k}); "
                f"got the shape {asked.shape}."
            )
        if not np.isfinite(asked).all():
            raise ValueError("The weights must be finite numbers.")
        if count < 1:
            raise ValueError(f"count must be 1 or more, got {count}.")

    def _search(
        self, asked: NDArray[np.float64], count: int, left_out: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Do what `find` does for weights (m, k), all in memory."""
        products = (asked @ self._gram).astype(self.model.weights.dtype)
        # squared distances but for the length of what is asked for, which ranks nothing
        rough = self._lengths - 2 * (products @ self.model.weights.T)
        rough[:, left_out] = np.inf
        near = min(count + _SPARE, rough.shape[1] - len(left_out))
        if near < rough.shape[1]:
            candidates = np.argpartition(rough, near - 1 if near else 0, axis=1)[:, :near]
        else:
            candidates = np.tile(np.arange(near), (len(asked), 1))
        apart = self.model.weights[candidates] - asked[:, None]
        exact = np.sqrt(np.maximum(self._length(apart), 0.0))
        order = np.argsort(exact, axis=1, kind="stable")[:, :count]
        return (
            np.take_along_axis(candidates, order, axis=1),
            np.take_along_axis(exact, order, axis=1),
        )

    def _length(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Return the mean squared pixel of the pictures that weights (..., k) build."""
        squared: NDArray[np.float64] = ((weights @ self._gram) * weights).sum(axis=-1)
        return squared


def _parts(rows: NDArray[Any], width: int | None = None) -> list[NDArray[Any]]:
    """Cut rows into parts that need little memory, at `width` numbers a row."""
    step = max(1, _BLOCK_VALUES // max(1, rows.shape[1] if width is None else width))
    return [rows[first : first + step] for first in range(0, len(rows), step)]
