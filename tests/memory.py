"""What work takes in memory."""

from __future__ import annotations

import tracemalloc


def peak_memory(work):
    """Return the most bytes that Python and numpy held at a time during some work."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
