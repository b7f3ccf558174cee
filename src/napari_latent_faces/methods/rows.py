"""The pixels of a stack as rows: in memory if they are few, else read block by block."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.nmf.blocks import FaceBlocks
from napari_latent_faces.nmf.losses import row_blocks
from napari_latent_faces.pixels import (
    as_matrix,
    has_own_scale,
    matrix_dtype,
    peak,
    unit_scale,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from threadpoolctl import ThreadpoolController

    from napari_latent_faces.stack import FaceStack

__all__ = ["LARGEST_IN_MEMORY", "Rows", "spared_processor"]

# By the size of the stack alone, so that a result does not depend on the machine.
LARGEST_IN_MEMORY = 2**27
"""Pixels of the largest stack that is held in memory as floats (512 MB in float32)."""


class Rows:
    """The pictures of a stack, a row each, from 0 to 1.

    Parameters
    ----------
    stack : FaceStack
        The pictures, numpy or lazy.

    Attributes
    ----------
    n, p : int
        Number of faces and of pixels of each.
    size : tuple of int
        Height and width of a picture.
    scale : float
        The pixel value that is 1.
    X : array of shape (n, p), or None
        All pixels, if they are held in memory.

    Raises
    ------
    ValueError
        If a pixel is negative, NaN or infinite, or all are 0.
    """

    def __init__(self, stack: FaceStack) -> None:
        self.n, *size = stack.shape
        self.size = size[0], size[1]
        self.p = size[0] * size[1]
        self.X: NDArray[Any] | None = None
        self.dtype = matrix_dtype(stack.dtype)
        if self.n * self.p <= LARGEST_IN_MEMORY:
            self.X, self.scale = as_matrix(stack)
            self._slices = list(row_blocks(self.n, self.p))
        else:
            self.scale = _checked_scale(stack)
            self._blocks = FaceBlocks(stack.images, self.scale)
            self._slices = self._blocks.rows
        self._mean: NDArray[np.float64] | None = None
        if not self.mean().any():
            raise ValueError("Every pixel of the stack is 0: there is nothing to factorize.")

    def blocks(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Yield all rows once, in order, some faces at a time; they are not to be kept."""
        for rows in self._slices:
            yield rows, self._read(rows)

    def mean(self) -> NDArray[np.float64]:
        """Return the mean row, shape (p,)."""
        if self._mean is None:
            sums = sum(block.sum(axis=0, dtype=np.float64) for _, block in self.blocks())
            self._mean = np.asarray(sums / self.n, np.float64)
        return self._mean

    def check_differences(self) -> None:
        """Refuse faces that are all the same.

        Raises
        ------
        ValueError
            If they are.
        """
        mean = self.mean().astype(self.dtype)
        tiny = 8 * np.finfo(self.dtype).eps
        if not any((np.abs(block - mean) > tiny).any() for _, block in self.blocks()):
            raise ValueError("All faces are the same: there is nothing to tell them apart by.")

    def n_batches(self, size: int) -> int:
        """Return the number of batches of a pass."""
        return sum(_parts(rows, size) for rows in self._groups(size))

    def batches(self, size: int, rng: np.random.RandomState) -> Iterator[NDArray[Any]]:
        """Yield all rows once, shuffled, in batches of `size` rows or a few more.

        Of a stack in memory every row can come next. Of a larger one groups of faces that
        are read together are shuffled, and the rows in each.
        """
        groups = self._groups(size)
        for i in rng.permutation(len(groups)):
            rows = self._group(groups[i])
            for part in np.array_split(rng.permutation(len(rows)), _parts(groups[i], size)):
                yield rows[part]

    def _groups(self, size: int) -> list[slice]:
        """Join neighbouring blocks until each has `size` faces."""
        if self.X is not None:
            return [slice(0, self.n)]
        groups: list[slice] = []
        first = 0
        for rows in self._slices:
            if rows.stop - first >= size:
                groups.append(slice(first, rows.stop))
                first = rows.stop
        if first < self.n:  # what is left over joins the last
            start = groups.pop().start if groups else 0
            groups.append(slice(start, self.n))
        return groups

    def _group(self, group: slice) -> NDArray[Any]:
        if self.X is not None:
            return self.X[group]
        inside = [r for r in self._slices if group.start <= r.start < group.stop]
        return np.concatenate([self._read(rows).copy() for rows in inside])

    def _read(self, rows: slice) -> NDArray[Any]:
        return self._blocks.read(rows) if self.X is None else self.X[rows]


def _parts(rows: slice, size: int) -> int:
    count: int = (rows.stop - rows.start) // size
    return max(1, count)


def _checked_scale(stack: FaceStack) -> float:
    """Check all pixels that need it; return the value that becomes 1."""
    if has_own_scale(stack.dtype):
        return unit_scale(0.0, stack.dtype)
    return unit_scale(peak(stack.images, stack.names), stack.dtype)


@contextmanager
def spared_processor() -> Iterator[None]:
    """Leave one processor to the window: waiting BLAS threads spin and would take it."""
    spare = max(1, (os.cpu_count() or 1) - 1)
    with _controller().limit(limits=spare, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
