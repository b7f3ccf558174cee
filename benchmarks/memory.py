"""The memory of this process."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

__all__ = ["PeakMemory", "mapped", "peak_resident"]


class PeakMemory:
    """Measures how far the resident memory grows in a ``with`` block.

    Attributes
    ----------
    beyond : int
        Bytes from what was resident at the start to the peak.
    """

    beyond = 0

    def __enter__(self) -> Self:
        _forget_peak()
        self._before = psutil.Process().memory_info().rss
        return self

    def __exit__(self, *exc: object) -> None:
        self.beyond = max(0, peak_resident() - self._before)


def peak_resident() -> int:
    """Return the largest resident memory so far, in bytes."""
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
        return 1024 * int(peak)
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def mapped() -> int:
    """Return how many resident bytes are pages of files, where the system says so."""
    return getattr(psutil.Process().memory_info(), "shared", 0)


def _forget_peak() -> None:
    """Let the peak begin anew; without Linux it stays that of the whole process."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")
