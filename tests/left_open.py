"""What a piece of work leaves behind in this process."""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from pathlib import Path

from tests.patience import PATIENCE

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
