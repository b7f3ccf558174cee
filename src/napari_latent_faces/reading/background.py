"""Work in threads, which the caller can leave at any time."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")

PERIOD = 0.05  # seconds between two calls of progress


class Stopped(BaseException):
    """Nobody waits for this work any more; a BaseException, so that no decoder catches it."""


class Work:
    """Steps done, their total (0 while it is unknown), and whether anybody still waits."""

    def __init__(self) -> None:
        self.done = 0
        self.total = 0
        self.is_left = threading.Event()

    def check(self) -> None:
        """Raise `Stopped` if nobody waits any more."""
        if self.is_left.is_set():
            raise Stopped

    def each(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return what a function makes of each item, in several threads; each is a step."""
        results: dict[int, Result] = {}
        failures: list[BaseException] = []
        places = iter(range(len(items)))
        lock = threading.Lock()

        def work_through() -> None:
            try:
                while not failures:
                    self.check()
                    with lock:
                        place = next(places, None)
                    if place is None:
                        return
                    results[place] = function(items[place])
                    self.done += 1  # only shown
            except BaseException as error:  # noqa: BLE001 - raised again below
                failures.append(error)

        n_threads = min(len(items), os.cpu_count() or 1, 16)
        threads = [
            threading.Thread(target=work_through, name="faces", daemon=True)
            for _ in range(n_threads)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return [results[place] for place in range(len(items))]


def run(
    function: Callable[[Work], Result], progress: Callable[[int, int], object] | None = None
) -> Result:
    """Return what `function` makes of a `Work`, in a thread.

    `progress` is called on this thread, many times a second, with the steps done and their
    total. What it raises, or an interrupt, leaves the work at once: its threads end by
    themselves at their next step, and do not keep Python from exiting.
    """
    work = Work()
    outcome: Future[Result] = Future()

    def fulfil() -> None:
        try:
            outcome.set_result(function(work))
        except BaseException as error:  # noqa: BLE001 - raised again by result()
            outcome.set_exception(error)

    report = progress or (lambda _done, _total: None)
    report(0, 0)
    threading.Thread(target=fulfil, name="faces", daemon=True).start()
    try:
        while not wait([outcome], PERIOD).done:
            report(work.done, work.total)
        result = outcome.result()
    finally:
        work.is_left.set()
    report(work.total, work.total)
    return result
