"""What tests of several rooms share."""

from __future__ import annotations

import csv
import gc
import json
import os
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
    """Return all steps and the value; ask to stop after so many, or from one that is told."""
    seen, answer = [], None
    while True:
        try:
            seen.append(steps.send(answer))
        except StopIteration as end:
            return seen, end.value
        is_last = stop_after(seen[-1]) if callable(stop_after) else len(seen) == stop_after
        answer = "stop" if is_last else None


def rows_in(path):
    """Return the rows of a CSV file."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def lost(images, model):
    """Return the relative error of a model, calculated from its reconstructions."""
    images = np.asarray(images, float)
    return np.linalg.norm(images - model.reconstruct()) / np.linalg.norm(images)


def run_python(code, *arguments, cwd=None, **environment):
    """Run code in a fresh process and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Watched:
    """Pictures that are made when they are sliced, and note which are `seen`."""

    def __init__(self, images):
        self.images, self.seen = images, []
        self.shape, self.ndim, self.dtype = images.shape, images.ndim, images.dtype

    def __len__(self):
        return len(self.images)

    def __getitem__(self, key):
        faces = key[0] if isinstance(key, tuple) else key
        self.seen += np.atleast_1d(np.arange(len(self))[faces]).tolist()
        return np.array(self.images[key])


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
    result, seconds, mebibytes = json.loads(run_python(program, *arguments))
    return result, seconds, mebibytes
