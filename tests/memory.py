"""What work takes in memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest


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
