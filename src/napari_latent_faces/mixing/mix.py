"""Weights by hand: amounts, pictures and the way back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_latent_faces.stack import as_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = [
    "Mix",
    "MixedPicture",
    "as_weights",
    "listed",
    "mattering",
    "mean_weights",
    "morph",
    "some_rows",
    "to_pixels",
    "weight_ranges",
    "weight_units",
]

# -- How much of each component: usual amounts, those that matter, those between two faces

_MOST_FACES = 20_000  # that quantiles and correlations are found from
_FAR = 3.0  # standard deviations that hardly any face goes beyond


def as_weights(
    model: LatentFaces, face: int | Sequence[float] | NDArray[Any]
) -> NDArray[np.float64]:
    """Return the weights (k,) of a face of the model, or a checked copy of weights.

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
    """Return the lowest and the highest usual weight for each component: shape (k, 2).

    From 0 to a quantile of the weights that are not 0, since a part that few faces have would
    get no range otherwise; (0, 1) where there are none. Of a signed model, where 0 is the mean
    face, three `weight_units` to both sides.
    """
    if model.is_signed:
        far = _FAR * weight_units(model)
        return np.stack([-far, far], axis=1)
    return np.array([(0.0, _top(column, quantile)) for column in some_rows(model.weights).T])


def _top(column: NDArray[Any], quantile: float) -> float:
    used = column[column != 0]
    return float(np.quantile(used, quantile)) if len(used) else 1.0


def weight_units(model: LatentFaces) -> NDArray[np.float64]:
    """Return in what units weights are best told to people: shape (k,).

    For signed models, whose bare weights mean little, the standard deviation around the mean
    face over the faces that use the component; else, and where no face uses it, 1.
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
    """Return the components that a list shows: those that matter, are used, or all.

    Parameters
    ----------
    model : LatentFaces
        The model.
    weights : array of shape (k,)
        A mixed face.
    which : {"matter", "used", "all"}
        Those of `mattering`, those whose weight is not 0, or all.
    numbers : str
        Numbers and ranges such as ``"3, 10-20"``: these and no others, whatever `which` says.
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


# -- The picture of mixed weights, fast enough to follow a slider ----------------------


class MixedPicture:
    """A mixed face of which one weight after the other is changed.

    While one component is changed again and again, what all the others make is kept: a new
    weight costs one multiplication and one addition a pixel, whatever the number of
    components. The picture is always the sum of two, so that no error builds up.
    """

    def __init__(self, model: LatentFaces, weights: NDArray[Any]) -> None:
        self.model = model
        self.set_weights(weights)

    @property
    def weights(self) -> NDArray[np.float64]:
        """The weights, a copy of shape (k,)."""
        return self._weights.copy()

    @property
    def pixels(self) -> NDArray[Any]:
        """The picture in the units of the faces: shape (h, w), to be looked at only."""
        return self._pixels

    def set_weights(self, weights: NDArray[Any]) -> None:
        """Change all weights; costs as much as a reconstruction."""
        self._weights = as_weights(self.model, weights)
        self._pixels = self.model.blend(self._weights)
        self._held: int | None = None

    def set_weight(self, component: int, weight: float) -> None:
        """Change one weight."""
        if component != self._held:
            self._hold(component)
        self._weights[component] = weight
        amount = self._pixels.dtype.type(weight * self.model.scale)
        np.multiply(self.model.components[component], amount, out=self._pixels)
        self._pixels += self._rest

    def _hold(self, component: int) -> None:
        others = self._weights.copy()
        others[component] = 0
        self._rest = self.model.blend(others)
        self._held = component


def to_pixels(faces: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Return floats in the units of the faces as pixels of a type; of booleans, as floats."""
    dtype = np.dtype(dtype)
    return faces.copy() if dtype.kind == "b" else as_pixels(faces, dtype)


# -- One face that is being mixed: its weights, its picture, and the way back ----------


class Mix:
    """The weights of a mixed face, with undo and redo.

    Parameters
    ----------
    model : LatentFaces
        Where the components come from.
    weights : array of shape (k,), optional
        What to begin with, and to go back to by `reset`; nothing by default.
    depth : int
        How many steps can be undone.

    Attributes
    ----------
    changed : psygnal signal
        Emitted after every change, with the component that changed, or None if several may
        have.

    Notes
    -----
    IndexError or ValueError are raised for a component that is not there, and for weights that
    are none of this model: they are not below 0 unless it is signed.
    """

    changed = Signal(object)

    def __init__(
        self,
        model: LatentFaces,
        weights: Sequence[float] | NDArray[Any] | None = None,
        *,
        depth: int = 200,
    ) -> None:
        self.model = model
        self._signed = model.is_signed
        start = np.zeros(model.n_components) if weights is None else weights
        self._start = self._checked(start)
        self._picture = MixedPicture(model, self._start)
        self._depth = depth
        self._past: list[NDArray[np.float64]] = []
        self._future: list[NDArray[np.float64]] = []
        self._before: NDArray[np.float64] | None = None

    @property
    def weights(self) -> NDArray[np.float64]:
        """The weights, a copy of shape (k,)."""
        return self._picture.weights

    @property
    def start(self) -> NDArray[np.float64]:
        """What `reset` goes back to, a copy of shape (k,)."""
        return self._start.copy()

    @property
    def pixels(self) -> NDArray[Any]:
        """The mixed face in the units of the faces: shape (h, w), to be looked at only."""
        return self._picture.pixels

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to undo."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone step."""
        return bool(self._future)

    def set_weight(self, component: int, weight: float) -> None:
        """Change one weight: a step, or a part of the one that `begin` began."""
        if not 0 <= component < self.model.n_components:
            raise IndexError(
                f"There is no component {component}: the model has {self.model.n_components}."
            )
        weights = self.weights
        if weights[component] == weight:
            return
        before = weights.copy()
        weights[component] = weight
        self._checked(weights)
        self._remember(before)
        self._picture.set_weight(component, weight)
        self.changed.emit(component)

    def set_weights(self, weights: Sequence[float] | NDArray[Any]) -> None:
        """Change all weights (k,): a step, or a part of the one that `begin` began."""
        checked, before = self._checked(weights), self.weights
        if np.array_equal(checked, before):
            return
        self._remember(before)
        self._show(checked)

    def start_from(self, weights: Sequence[float] | NDArray[Any]) -> None:
        """Change all weights, and make them what `reset` goes back to."""
        self._start = self._checked(weights)
        self.set_weights(self._start)

    def reset(self) -> None:
        """Go back to the start: a step that can be undone."""
        self.set_weights(self._start)

    def begin(self) -> None:
        """Begin a step of many changes, such as the drag of a slider."""
        if self._before is None:
            self._before = self.weights

    def end(self) -> None:
        """End the step that `begin` began; without any change there was none."""
        before, self._before = self._before, None
        if before is not None and not np.array_equal(before, self.weights):
            self._remember(before)

    def undo(self) -> None:
        """Take the last step back, if there is one."""
        self.end()
        if self._past:
            self._future.append(self.weights)
            self._show(self._past.pop())

    def redo(self) -> None:
        """Take the last undone step again, if there is one."""
        self.end()
        if self._future:
            self._past.append(self.weights)
            self._show(self._future.pop())

    def _show(self, weights: NDArray[np.float64]) -> None:
        self._picture.set_weights(weights)
        self.changed.emit(None)

    def _remember(self, before: NDArray[np.float64]) -> None:
        if self._before is None:
            self._past.append(before)
            del self._past[: -self._depth]
            self._future.clear()

    def _checked(self, weights: Sequence[float] | NDArray[Any]) -> NDArray[np.float64]:
        checked = as_weights(self.model, weights)
        if not self._signed and (checked < 0).any():
            raise ValueError(
                "Weights must be 0 or more: the components of this model are only added."
            )
        return checked
