"""How hard to look for k: one object for the function, the form and the command."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from napari_latent_faces.parameters import parameter

__all__ = ["ChoiceOptions"]


@dataclass(frozen=True)
class ChoiceOptions:
    """Effort of `choose_k`.

    Parameters
    ----------
    n_starts : int, default=3
        Fits of all faces for each k: the first as `NMFParams` says, the others from
        random factors. The best is kept, and how alike they are is the stability.
    n_folds : int, default=5
        Parts that the faces are cut into. Each is held out once, from a fit of the
        other parts.
    max_faces : int, default=2000
        Of a larger stack, a random sample of so many faces is read.
    warm_start : bool, default=False
        Begin the fits with a part held out from those of the nearest k that is measured,
        not anew. They need fewer iterations, but all of them on the full pictures, which
        mostly takes longer. The fits of all faces always begin anew.

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range; the message names the option.
    """

    n_starts: int = parameter(
        3,
        "Starts",
        "Fits of all faces for each k, from different starts: the best is kept, and how "
        "alike they are is the stability (n_starts).",
        min=2,
        max=100,
    )
    n_folds: int = parameter(
        5,
        "Folds",
        "Parts that the faces are cut into, each held out once from a fit of the others "
        "(n_folds).",
        min=2,
        max=100,
    )
    max_faces: int = parameter(
        2000,
        "Most faces",
        "Of a larger stack, a random sample of so many faces is looked at (max_faces).",
        min=10,
    )
    warm_start: bool = parameter(
        False,
        "Begin from the nearest k",
        "Begin the fits with a part held out from those of the nearest k, not anew: fewer "
        "iterations, which mostly take longer (warm_start).",
    )

    def __post_init__(self) -> None:
        for declared in fields(self):
            _check(declared.name, getattr(self, declared.name), declared.metadata)


def _check(name: str, value: Any, limits: Any) -> None:
    if "min" not in limits:
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, got {value!r}.")
        return
    low, high = limits["min"], limits.get("max")
    allowed = f"{low} or more" if high is None else f"from {low} to {high}"
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number ({allowed}), got {value!r}.")
    if value < low or (high is not None and value > high):
        raise ValueError(f"{name} must be {allowed}, got {value!r}.")
