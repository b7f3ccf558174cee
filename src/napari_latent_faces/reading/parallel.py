"""Work on many files in threads, while the caller stays in charge."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Sized

__all__ = ["Meter", "run_each"]

Item = TypeVar("Item")
Result = TypeVar("Result")

PERIOD = 0.05  # seconds between two calls of progress

# Where items are done faster than one in so many seconds, more threads would mostly wait for
# the interpreter's lock: small files in the system's cache are mostly Python's work.
FAST = 2e-4
LOOK = 0.01  # seconds between two looks at how fast they are done


class Meter:
    """Tells a progress function, on the calling thread only, how far the work is.

    Parameters
    ----------
    progress : callable or None
        Called with the steps done and their total (0 while that is not known). What it
        raises ends the work.
    """

    def __init__(self, progress: Callable[[int, int], object] | None) -> None:
        self._progress = progress
        self._last = float("-inf")
        self.done = 0
        self.total = 0

    def pulse(self) -> None:
        """Call the progress function, unless it was called just now."""
        if self._progress and time.monotonic() - self._last >= PERIOD:
            self.show()

    def show(self) -> None:
        """Call the progress function."""
        if self._progress:
            self._progress(self.done, self.total)
            self._last = time.monotonic()

    def finish(self) -> None:
        """Say that all is done."""
        self.done = self.total
        self.show()


def n_threads() -> int:
    """Return how many threads decode pictures: more than processors, for slow disks."""
    return min(16, 2 * (os.cpu_count() or 1))


def run_each(
    work: Callable[[Item], Result], items: Sequence[Item], meter: Meter, also: Sized = ()
) -> list[Result]:
    """Do the same work on each item, in threads.

    One thread begins; more join it as long as items are not done fast.

    Parameters
    ----------
    work : callable
        What is done. An exception of it ends everything.
    items : sequence
        Its arguments.
    meter : Meter
        Told of each finished item; what its progress function raises ends everything:
        what is begun is finished, nothing more is begun.
    also : sized, optional
        Grows as the work goes on; its length counts as finished items as well.

    Returns
    -------
    list
        The results, in the order of `items`.
    """
    if not items:
        return []
    results: dict[int, Result] = {}
    stopped = threading.Event()
    lock = threading.Lock()
    places = iter(range(len(items)))

    def next_place() -> int | None:
        with lock:
            return None if stopped.is_set() else next(places, None)

    def work_through() -> None:
        while (place := next_place()) is not None:
            results[place] = work(items[place])

    start = meter.done
    most = min(n_threads(), len(items))
    pace = _Pace()
    with ThreadPoolExecutor(most, "faces") as pool:
        try:
            pending = {pool.submit(work_through)}
            n_begun = 1
            while pending:
                patience = min(PERIOD, LOOK) if n_begun < most else PERIOD
                finished, pending = wait(pending, patience, FIRST_EXCEPTION)
                for future in finished:
                    future.result()
                meter.done = start + len(results) + len(also)
                meter.pulse()
                if pending and n_begun < most and pace.is_slow(len(results)):
                    joining = min(n_begun, most - n_begun)
                    pending |= {pool.submit(work_through) for _ in range(joining)}
                    n_begun += joining
        finally:
            stopped.set()
    return [results[place] for place in range(len(items))]


class _Pace:
    """Tells how fast items are done."""

    def __init__(self) -> None:
        self._looked = time.perf_counter()
        self._done = 0

    def is_slow(self, done: int) -> bool:
        """Tell whether more threads may help, from what is done since the last look."""
        now = time.perf_counter()
        slow = now - self._looked > FAST * (done - self._done)
        self._looked, self._done = now, done
        return slow
