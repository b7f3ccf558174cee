"""Long work as generators that yield how far they are, and warnings from within it."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

Step = TypeVar("Step")
Other = TypeVar("Other")
Result = TypeVar("Result")

_NOT_THE_USERS = {"napari_latent_faces", "sklearn", "joblib"}


def consume(
    steps: Generator[Step, Any, Result], show: Callable[[Step], object] | None = None
) -> Result:
    """Run a generator to its end, showing each step, and return its value."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        if show is not None:
            show(step)


def relayed(
    steps: Generator[Step, Any, Result], change: Callable[[Step], Other]
) -> Generator[Other, None, Result]:
    """Run a generator in another, changing what it yields; the value stays."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        yield change(step)


def warn(message: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Warn at the user's line, however many of ours have led here."""
    level, frame = 2, sys._getframe(1)  # noqa: SLF001
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in _NOT_THE_USERS:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
