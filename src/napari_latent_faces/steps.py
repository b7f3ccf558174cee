"""Long work as generators: they yield how far they are, and return what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["consume", "relayed"]

Step = TypeVar("Step")
Other = TypeVar("Other")
Result = TypeVar("Result")


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
