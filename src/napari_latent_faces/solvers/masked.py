"""Faces of which some pixels are missing, each its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.masks import PixelMask
from napari_latent_faces.solvers.blocks import FaceBlocks, face_errors, relative_error
from napari_latent_faces.solvers.factors import normalized
from napari_latent_faces.solvers.multilevel import iter_multilevel
from napari_latent_faces.stack import check_pixels, let_go, matrix_dtype, unit_scale

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from napari_latent_faces.params import NMFParams
    from napari_latent_faces.solvers.factors import Factors, Solving
    from napari_latent_faces.stack import FaceStack

_ROUND = 5  # iterations before the missing pixels are guessed anew
_QUIET = 2  # rounds with little improvement


def iter_missing(
    stack: FaceStack,
    params: NMFParams,
    mask: Any,
    init: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> Solving:
    """Factorize faces with missing pixels: those are guessed, and guessed again.

    What is missing is taken from the mean of the visible pixels at first, and from the
    reconstruction later; each time, some iterations follow. The error over the visible
    pixels never rises from one guess to the next.

    S. Zhang, W. Wang, J. Ford, F. Makedon: Learning from incomplete ratings using non-negative
    matrix factorization. SIAM Data Mining (2006), doi:10.1137/1.9781611972764.58.
    """
    faces = _Filled(stack, mask)
    images = replace(stack, images=faces)
    # from guesses that are rough, half the iterations; from a start, one
    first = replace(params, max_iter=max(1, params.max_iter // 2))
    if init is not None:
        first = replace(params, max_iter=1, tol=0.0)
    begin = iter_multilevel(images, first, init=init, measured=False)
    state, is_stopped = yield from _relayed(begin, 0)
    error, quiet = faces.refill(state), 0
    while state.iteration < params.max_iter and quiet < _QUIET and not is_stopped:
        left = min(_ROUND, params.max_iter - state.iteration)
        few = replace(params, max_iter=left, tol=0.0)
        steps = iter_multilevel(images, few, init=faces.init, measured=False)
        state, is_stopped = yield from _relayed(steps, state.iteration, error)
        before, error = error, faces.refill(state)
        quiet = quiet + 1 if before - error <= _ROUND * params.tol * error else 0
    return faces.result(state, converged=params.tol > 0 and quiet >= _QUIET)


def _relayed(
    steps: Solving, begun: int, error: float | None = None
) -> Generator[Factors, Literal["stop"] | None, tuple[Factors, bool]]:
    """Yield steps as part of a longer fit; return the last, and whether a stop was asked."""
    asked = None
    while True:
        try:
            step = steps.send(asked)
        except StopIteration as end:
            last: Factors = end.value
            return replace(last, iteration=begun + last.iteration), asked == "stop"
        known = step.error if error is None else error
        asked = yield replace(step, iteration=begun + step.iteration, error=known)


class _Filled:
    """Pictures without gaps, made face by face when they are read; from 0 to about 1."""

    def __init__(self, stack: FaceStack, mask: Any) -> None:
        """Check all visible pixels; find their unit, and the mean of each."""
        self.source, self.shape = stack, stack.shape
        self.dtype, self.ndim = np.dtype(np.float32), len(self.shape)
        self._mask, self._blocks = PixelMask(mask, stack.shape), FaceBlocks(stack.images)
        self._peak = 0.0
        sums, largest = np.zeros(self.shape[1:]), 0.0
        counts = np.zeros(self.shape[1:], np.intp)
        for faces, block, hidden in self._all():
            check_pixels(block, stack.names[faces])
            is_gone = hidden.reshape(len(hidden), -1).all(axis=1)
            if is_gone.any():
                name = stack.names[faces.start + int(is_gone.argmax())]
                raise ValueError(f"mask hides all of {name!r}: leave some of it to be fitted.")
            sums += block.sum(axis=0, dtype=np.float64)
            counts += (~hidden).sum(axis=0)
            largest = max(largest, float(block.max()))
        if not counts.all():
            y, x = np.argwhere(counts == 0)[0, :2]
            words = "leave such pixels out with a mask of shape (h, w)."
            raise ValueError(f"mask hides the pixel (y={y}, x={x}) in every face: {words}")
        self._unit = stack.known_scale or unit_scale(largest, stack.dtype)
        mean = (sums / counts / self._unit).astype(np.float32).reshape(1, -1)
        self._factors = np.ones((len(self), 1), np.float32), mean  # that they are filled with

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, faces: slice) -> NDArray[np.float32]:
        block, hidden = self._read(faces)
        return np.where(hidden, self._guess(faces), (block / self._unit).astype(np.float32))

    def _guess(self, faces: slice) -> NDArray[np.float32]:
        W, H = self._factors
        return np.reshape(W[faces] @ H, (-1, *self.shape[1:]))

    @property
    def init(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The factors that the faces are filled with, in the unit of a fit of them."""
        W, H = self._factors
        return W / max(1.0, self._peak), H

    def refill(self, state: Factors) -> float:
        """Guess from new factors; return their relative error over the visible pixels."""
        scale = np.float32(state.scale)  # above 1 if a guess was
        self._factors = state.W.astype(np.float32) * scale, state.H.astype(np.float32)
        lost = size = self._peak = 0.0
        for faces, block, hidden in self._all():
            seen, guess = block / self._unit, self._guess(faces)
            filled = np.where(hidden, guess, seen.astype(np.float32))
            left = (filled - guess).astype(np.float64)  # 0 where it is a guess
            lost, size = lost + float(np.vdot(left, left)), size + float(np.vdot(seen, seen))
            self._peak = max(self._peak, float(filled.max()))
        return float(np.sqrt(lost / size))

    def result(self, state: Factors, *, converged: bool) -> Factors:
        """Return factors in the units of the faces as they came, and their exact error."""
        dtype = matrix_dtype(self.source.dtype)
        W, H = normalized(*(factor.astype(dtype) for factor in self._factors))
        p, unit = H.shape[1], self._unit
        error = relative_error(
            face_errors(block.reshape(-1, p), W[faces], H, unit, hidden=hidden.reshape(-1, p))
            for faces, block, hidden in self._all()
        )
        return replace(state, weights=W, H=H, error=error, converged=converged, scale=unit)

    def _read(self, faces: slice) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        hidden, block = self._mask.hidden_values(faces), self._blocks.raw(faces)
        seen = np.where(hidden, block.dtype.type(0), block)
        let_go(self.source.images, faces)
        return seen, hidden

    def _all(self) -> Iterator[tuple[slice, NDArray[Any], NDArray[np.bool_]]]:
        for faces in self._blocks.rows:
            yield faces, *self._read(faces)
