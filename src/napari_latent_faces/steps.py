"""Long work, as generators of steps or in threads that can be left, and warnings within it."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

Step = TypeVar("Step")
Other = TypeVar("Other")
Item = TypeVar("Item")
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


_PERIOD = 0.05  # seconds between two calls of progress


class Stopped(BaseException):
    """Nobody waits for this work any more; a BaseException, so that no decoder catches it."""


class Work:
    """Steps done, their total (0 while it is unknown), and whether anybody still waits."""

    def __init__(self) -> None:
        self.done = self.total = 0
        self.is_left = False

    def check(self) -> None:
        """Raise `Stopped` if nobody waits any more."""
        if self.is_left:
            raise Stopped

    def each(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return what a function makes of each item, in several threads; each is a step."""
        results: dict[int, Result] = {}
        failures: list[BaseException] = []
        places = iter(range(len(items)))

        def work_through() -> None:
            for place in places:
                if failures:
                    return
                self.check()
                results[place] = function(items[place])
                self.done += 1  # only shown

        n_threads = min(len(items), os.cpu_count() or 1, 16)
        threads = [_thread(work_through, failures) for _ in range(n_threads)]
        for thread in threads:
            thread.join()
        if failures:
            raise failures.pop()  # which would keep all that it saw alive
        return [results[place] for place in range(len(items))]


def run_apart(
    function: Callable[[Work], Result], progress: Callable[[int, int], object] | None = None
) -> Result:
    """Return what `function` makes of a `Work`, in a thread.

    `progress` is called on this thread, many times a second, with the steps done and their
    total. What it raises, or an interrupt, leaves the work at once: its threads end by
    themselves at their next step, and do not keep Python from exiting.
    """
    work = Work()
    report = progress or (lambda _done, _total: None)
    results: list[Result] = []
    failures: list[BaseException] = []
    report(0, 0)
    thread = _thread(lambda: results.append(function(work)), failures)
    try:
        while thread.is_alive():
            thread.join(_PERIOD)
            report(work.done, work.total)
    finally:
        work.is_left = True
    if failures:
        raise failures.pop()
    report(work.total, work.total)
    return results[0]


def _thread(function: Callable[[], None], failures: list[BaseException]) -> threading.Thread:
    """Call a function in a thread that is not waited for; what it raises is a failure."""

    def call() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            failures.append(error)

    thread = threading.Thread(target=call, name="faces", daemon=True)
    thread.start()
    return thread
