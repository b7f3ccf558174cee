"""One face that is being mixed: its weights, its picture, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_latent_faces.mixing.amounts import as_weights
from napari_latent_faces.mixing.picture import MixedPicture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["Mix"]


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
        Emitted after every change, with the component that changed, or None if several
        may have.
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
        """Change one weight: a step, or a part of the one that `begin` began.

        Parameters
        ----------
        component : int
            Which weight.
        weight : float
            Its value; not below 0 unless the model is signed.

        Raises
        ------
        IndexError, ValueError
            If there is no such component, or the weight is none for this model.
        """
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
        """Change all weights: a step, or a part of the one that `begin` began.

        Parameters
        ----------
        weights : array of shape (k,)
            Their values; none below 0 unless the model is signed.

        Raises
        ------
        ValueError
            If they are no weights of this model.
        """
        checked, before = self._checked(weights), self.weights
        if np.array_equal(checked, before):
            return
        self._remember(before)
        self._show(checked)

    def start_from(self, weights: Sequence[float] | NDArray[Any]) -> None:
        """Change all weights, and make them what `reset` goes back to.

        Parameters
        ----------
        weights : array of shape (k,)
            As of `set_weights`, which also tells what is raised.
        """
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
