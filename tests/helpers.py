"""What tests of several rooms share."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import tracemalloc
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

PATIENCE = 300  # seconds: a limit is for what hangs, never for what is slow


def consume(steps, stop_after=None):
    """Return all steps and the value; after a number of steps, ask to stop."""
    seen, answer = [], None
    while True:
        try:
            seen.append(steps.send(answer))
        except StopIteration as end:
            return seen, end.value
        answer = "stop" if len(seen) == stop_after else None


class Watched:
    """Pictures that can be sliced, and note which are `seen`."""

    def __init__(self, images):
        self.images, self.seen = images, []
        self.shape, self.ndim, self.dtype = images.shape, images.ndim, images.dtype

    def __len__(self):
        return len(self.images)

    def __getitem__(self, key):
        self.seen += np.atleast_1d(np.arange(len(self))[key]).tolist()
        return self.images[key]


def peak_memory(work):
    """Return the most bytes that Python and numpy held at a time during some work."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _counts_moves_twice():
    """Tell whether an array that is made smaller in its place counts as two (Python 3.14)."""
    return peak_memory(lambda: np.empty(2**20, np.uint8).resize(2**19)) > 1.2 * 2**20


sees_moves = pytest.mark.skipif(
    _counts_moves_twice(), reason="tracemalloc counts an array that changes its size twice"
)


_FILES = Path("/proc/self/fd")  # of Linux; elsewhere open files are not looked at


@contextmanager
def nothing_left_open():
    """See that no file stays open and no thread runs on.

    What earlier tests have left may go meanwhile, so less than before is no fault. Threads
    that were told to end may take a moment for it.
    """
    gc.collect()
    files, threads = _open_files(), set(threading.enumerate())
    yield
    gc.collect()
    assert _open_files() <= files
    for thread in set(threading.enumerate()) - threads:
        thread.join(PATIENCE / 10)
        assert not thread.is_alive(), f"{thread} runs on"


def _open_files():
    return {path.name for path in _FILES.iterdir()} if _FILES.exists() else set()


# Not ru_maxrss: a process inherits that of the one that started it.
_PROGRAM = """
import json, sys, time
{setup}
def _kib(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field))
before, start = _kib("VmRSS"), time.perf_counter()
{work}
seconds = time.perf_counter() - start
print(json.dumps([result, seconds, (_kib("VmHWM") - before) / 1024]))
"""


def measured(setup: str, work: str, *arguments: object) -> tuple[Any, float, float]:
    """Return the `result` that a piece of work sets, its seconds and the MiB it added."""
    program = _PROGRAM.format(setup=dedent(setup), work=dedent(work))
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result, seconds, mebibytes = json.loads(done.stdout)
    return result, seconds, mebibytes
