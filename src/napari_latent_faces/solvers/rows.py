"""The pixels of a stack as rows: in memory if they are few, else read block by block."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.solvers.blocks import FaceBlocks, face_errors, row_blocks, squares
from napari_latent_faces.solvers.factors import normalized, unit_maximum
from napari_latent_faces.solvers.nnls import solver_of
from napari_latent_faces.stack import as_matrix, matrix_dtype, peak, unit_scale

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_latent_faces.params import Parameters
    from napari_latent_faces.stack import FaceStack

__all__ = ["LARGEST_IN_MEMORY", "Rows", "batch_error", "weights_and_error"]

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
    picture_shape : tuple of int
        Shape of a picture, (h, w) or (h, w, 3).
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
        self.n, self.picture_shape = len(stack), stack.picture_shape
        self.p = math.prod(self.picture_shape)
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
    return stack.known_scale or unit_scale(peak(stack.images, stack.names), stack.dtype)


_RCOND = 1e-12  # eigenvalues below this share of the largest count as zero


def weights_and_error(
    rows: Rows, H: NDArray[Any], mean: NDArray[Any] | None, params: Parameters
) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Return the weights of all faces for given components, and the relative error.

    Parameters
    ----------
    rows : Rows
        The faces.
    H : array of shape (k, p)
        Components as rows.
    mean : array of shape (p,), or None
        The mean face.
    params : Parameters
        They say which weights are looked for.

    Returns
    -------
    W, H : arrays of shape (n, k) and (k, p)
        Weights and components, as the model will hold them: each has maximum 1.
    error : float
        ``||X - mean - W H|| / ||X||``.
    """
    Q, R = np.linalg.qr(H.T.astype(np.float64))
    solve = solver_of(params.coding, getattr(params, "alpha", 0.0))
    origin = 0.0 if mean is None else mean @ Q
    base = None if mean is None else mean.astype(rows.dtype)
    W = np.empty((rows.n, len(H)), rows.dtype)
    scaled = unit_maximum(H)
    lost = whole = 0.0
    for faces, X in rows.blocks():
        W[faces], _ = normalized(solve(R, X @ Q - origin), H)
        some_lost, some = face_errors(X, W[faces], scaled, mean=base)
        lost, whole = lost + some_lost.sum(), whole + some.sum()
    return W, scaled, float(np.sqrt(lost / whole))


def batch_error(X: NDArray[Any], H: NDArray[Any], params: Parameters) -> tuple[float, float]:
    """Return the squared error of some rows for the components so far, and their squared norm.

    Parameters
    ----------
    X : array of shape (m, p)
        Rows, less the mean if the method has one.
    H : array of shape (k, p)
        Components as rows.
    params : Parameters
        They say which weights are looked for.
    """
    # the normal equations are enough for an estimate, and small
    G, C = (H @ H.T).astype(np.float64), (X @ H.T).astype(np.float64)
    values, vectors = np.linalg.eigh(G)
    kept = values > _RCOND * max(float(values[-1]), np.finfo(np.float64).tiny)
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    solve = solver_of(params.coding, getattr(params, "alpha", 0.0))
    W = solve((vectors * roots).T, C @ vectors / roots)
    norm = squares(X)
    return max(norm - 2 * float(np.vdot(W, C)) + float(np.vdot(W @ G, W)), 0.0), norm
