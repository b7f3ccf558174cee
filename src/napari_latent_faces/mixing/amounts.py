"""How much of each component: usual amounts, those that matter, those between two faces."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = [
    "as_weights",
    "listed",
    "mattering",
    "mean_weights",
    "morph",
    "some_rows",
    "weight_ranges",
    "weight_units",
]

_MOST_FACES = 20_000  # that quantiles and correlations are found from
_FAR = 3.0  # standard deviations that hardly any face goes beyond


def as_weights(
    model: LatentFaces, face: int | Sequence[float] | NDArray[Any]
) -> NDArray[np.float64]:
    """Return the weights of a face of the model, or check weights that are given.

    Parameters
    ----------
    model : LatentFaces
        The model.
    face : int or array of shape (k,)
        Which face of the model, or weights.

    Returns
    -------
    array of shape (k,)
        A copy.

    Raises
    ------
    IndexError
        If there is no such face.
    ValueError
        If there are not k weights, or they are not finite.
    """
    if isinstance(face, (int, np.integer)):
        n = len(model.weights)
        if not 0 <= face < n:
            raise IndexError(f"There is no face {face}: the model has {n}, counted from 0.")
        return np.array(model.weights[face], np.float64)
    weights = np.array(face, np.float64)
    if weights.shape != (model.n_components,):
        raise ValueError(
            f"{model.n_components} weights are needed, one a component; got the shape "
            f"{weights.shape}."
        )
    if not np.isfinite(weights).all():
        raise ValueError("Weights must be numbers, neither NaN nor infinite.")
    return weights


def weight_ranges(model: LatentFaces, quantile: float = 0.99) -> NDArray[np.float64]:
    """Return which weights are usual for each component.

    They reach from 0 to a quantile of the weights of the faces that use the component,
    that is, of those that are not 0: otherwise a part that few faces have would get no
    range at all. Those of a signed model, where 0 is the mean face, reach three
    `weight_units` to both sides of it.

    Parameters
    ----------
    model : LatentFaces
        The model.
    quantile : float
        Between 0.5 and 1; one face in a hundred has more than the default. Of no account
        for signed models.

    Returns
    -------
    array of shape (k, 2)
        Lowest and highest weight; (0, 1) for a component that no face uses.
    """
    if model.is_signed:
        far = _FAR * weight_units(model)
        return np.stack([-far, far], axis=1)
    return np.array([(0.0, _top(column, quantile)) for column in some_rows(model.weights).T])


def _top(column: NDArray[Any], quantile: float) -> float:
    used = column[column != 0]
    return float(np.quantile(used, quantile)) if len(used) else 1.0


def weight_units(model: LatentFaces) -> NDArray[np.float64]:
    """Return in what units weights are best told to people.

    Parameters
    ----------
    model : LatentFaces
        The model.

    Returns
    -------
    array of shape (k,)
        For signed models, whose bare weights mean little, the standard deviation around
        the mean face, which is at 0, over the faces that use the component; else, and
        where no face uses it, 1.
    """
    k = model.n_components
    if not model.is_signed:
        return np.ones(k)
    weights = some_rows(model.weights).astype(np.float64)
    used = np.maximum(np.count_nonzero(weights, axis=0), 1)
    units: NDArray[np.float64] = np.sqrt(np.square(weights).sum(axis=0) / used)
    return np.where(units > 0, units, 1.0)


def some_rows(weights: NDArray[Any], most: int = _MOST_FACES) -> NDArray[Any]:
    """Return the rows of `weights`, or of very many a random part, always the same."""
    n = len(weights)
    if n <= most:
        return weights
    return weights[np.sort(np.random.default_rng(0).choice(n, most, replace=False))]


def mean_weights(model: LatentFaces) -> NDArray[np.float64]:
    """Return the weights of the mean face.

    Parameters
    ----------
    model : LatentFaces
        The model.

    Returns
    -------
    float64 array of shape (k,)
        Those of the mean of the reconstructions; where a model adds to a mean face, 0.
    """
    if model.mean is not None:
        return np.zeros(model.n_components)
    mean: NDArray[np.float64] = model.weights.mean(axis=0, dtype=np.float64)
    return mean


def mattering(
    model: LatentFaces, weights: NDArray[Any], share: float = 0.9
) -> NDArray[np.intp]:
    """Return the fewest components that carry most of a mixed face.

    Parameters
    ----------
    model : LatentFaces
        The model.
    weights : array of shape (k,)
        The mixed face. For a face of nothing, the model's own shares decide.
    share : float
        How much of the brightness they carry together, 0 to 1.

    Returns
    -------
    array of int
        In the components' order; at least one.
    """
    rows = model.components.reshape(model.n_components, -1)
    carried = np.abs(weights) * np.abs(rows).sum(axis=1, dtype=np.float64)
    if not carried.any():
        carried = model.shares
    order = np.argsort(-carried, kind="stable")
    total = np.cumsum(carried[order])
    fewest = int(np.searchsorted(total, share * total[-1])) + 1
    return np.sort(order[:fewest])


def morph(
    model: LatentFaces,
    a: int | Sequence[float] | NDArray[Any],
    b: int | Sequence[float] | NDArray[Any],
    steps: int,
) -> NDArray[np.float64]:
    """Return the weights on the way from one face to another, in equal steps.

    Parameters
    ----------
    model : LatentFaces
        The model; ``model.blend`` turns the weights into pictures.
    a, b : int or array of shape (k,)
        Faces of the model, or weights.
    steps : int
        How many faces, both ends included; at least 2.

    Returns
    -------
    array of shape (steps, k)
        The first row is `a`, the last `b`.

    Raises
    ------
    IndexError, ValueError
        If there is no such face, the weights do not fit, or `steps` is less than 2.
    """
    if steps < 2:
        raise ValueError(f"steps must be 2 or more, both ends included; got {steps}.")
    start, end = as_weights(model, a), as_weights(model, b)
    way = np.linspace(0.0, 1.0, steps)[:, None]
    return (1 - way) * start + way * end


def listed(
    model: LatentFaces, weights: NDArray[Any], which: str = "all", numbers: str = ""
) -> list[int]:
    """Return the components that a list shows.

    Parameters
    ----------
    model : LatentFaces
        The model.
    weights : array of shape (k,)
        A mixed face.
    which : {"matter", "used", "all"}
        Those of `mattering`, those whose weight is not 0, or all.
    numbers : str
        Numbers and ranges of components, such as ``"3, 10-20"``: these and no others,
        whatever `which` says. What is no number is passed over.

    Returns
    -------
    list of int
        In the components' order.
    """
    k = model.n_components
    asked = {
        i
        for first, last in re.findall(r"(\d+)(?:\s*-\s*(\d+))?", numbers)
        for i in range(int(first), min(int(last or first), k - 1) + 1)
    }
    if asked or numbers.strip():
        return sorted(i for i in asked if i < k)
    if which == "matter":
        return [int(i) for i in mattering(model, weights)]
    if which == "used":
        return [int(i) for i in np.flatnonzero(weights)]
    return list(range(k))
