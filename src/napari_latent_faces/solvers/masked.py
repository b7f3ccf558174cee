"""Faces of which some pixels are missing, each its own."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from napari_latent_faces.masks import PixelMask
from napari_latent_faces.solvers.blocks import FaceBlocks, face_errors
from napari_latent_faces.solvers.factors import normalized
from napari_latent_faces.solvers.multilevel import iter_multilevel
from napari_latent_faces.stack import check_pixels, matrix_dtype, unit_scale

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from napari_latent_faces.params import NMFParams
    from napari_latent_faces.solvers.factors import Factors, Solving
    from napari_latent_faces.stack import FaceStack

__all__ = ["VisibleParts", "iter_missing", "same_masks"]

# -- Components over the pixels of faces that a mask leaves visible --------------------


@dataclass(frozen=True, eq=False)
class VisibleParts:
    """Components over some visible pixels, taken apart for problems of least squares.

    Parameters
    ----------
    visible : slice or array of int
        The pixels.
    n_visible : int
        How many they are.
    Q : array of shape (n_visible, r)
        Orthogonal columns: they turn pixels into right-hand sides.
    R : array of shape (r, k)
        The matrix of the reduced problem; ``Q @ R`` are the components.
    lost : tuple of int
        Components of which nothing is visible.
    """

    visible: Any
    n_visible: int
    Q: NDArray[np.float64]
    R: NDArray[np.float64]
    lost: tuple[int, ...] = ()

    @classmethod
    def of(cls, parts: NDArray[np.float64], mask: bytes | None) -> Self:
        """Take components apart.

        Parameters
        ----------
        parts : array of shape (k, p)
            The components as rows.
        mask : bytes or None
            Bits of the pixels to ignore, as `same_masks` packs them; None for no mask.
        """
        k, p = parts.shape
        if mask is None:
            return cls(slice(None), p, *np.linalg.qr(parts.T))
        bits = np.unpackbits(np.frombuffer(mask, np.uint8), count=p)
        visible = np.flatnonzero(bits == 0)
        if len(visible) == 0:
            return cls(visible, 0, np.zeros((0, 0)), np.zeros((0, k)), tuple(range(k)))
        seen = parts[:, visible]
        lost = np.flatnonzero(parts.any(axis=1) & ~seen.any(axis=1))
        return cls(visible, len(visible), *np.linalg.qr(seen.T), tuple(lost.tolist()))

    def reduced(self, pixels: NDArray[Any]) -> NDArray[np.float64]:
        """Return the right-hand sides, shape (m, r), of faces given as rows of all pixels."""
        sides: NDArray[np.float64] = pixels[:, self.visible] @ self.Q
        return sides


def same_masks(hidden: NDArray[np.bool_] | None, n: int) -> Iterator[tuple[Any, bytes | None]]:
    """Tell which faces share a mask.

    Parameters
    ----------
    hidden : bool array of shape (n, p) or (1, p), or None
        Pixels to ignore of each face, or of all.
    n : int
        Number of faces.

    Yields
    ------
    faces : slice or list of int
        Some of the faces; each comes once.
    mask : bytes or None
        Their mask, eight pixels a byte.
    """
    packed = None if hidden is None else np.packbits(hidden, axis=1)
    if packed is None or len(packed) == 1:
        yield slice(0, n), None if packed is None else packed[0].tobytes()
        return
    groups: dict[bytes, list[int]] = defaultdict(list)
    for face, row in enumerate(packed):
        groups[row.tobytes()].append(face)
    for mask, faces in groups.items():
        yield faces, mask


# -- Faces of which some pixels are missing, each its own ------------------------------

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

    Parameters
    ----------
    stack : FaceStack
        The faces.
    params : NMFParams
        The solver is ``"multilevel"``.
    mask : array of shape (n, h, w)
        True or nonzero marks missing pixels; they may hold anything. It may be lazy.
    init : tuple of arrays, optional
        Weights (n, k) and components (k, p) to start from.

    Yields
    ------
    Factors
        As `iter_multilevel`; errors are those of the faces with their guesses until all
        have been guessed from the reconstruction once, then over the visible pixels.

    Returns
    -------
    Factors
        The last ones.

    Raises
    ------
    ValueError
        If a face, or a pixel in all faces, is missing wholly, or a visible pixel is bad.

    References
    ----------
    S. Zhang, W. Wang, J. Ford, F. Makedon: Learning from incomplete ratings using
    non-negative matrix factorization. SIAM Data Mining (2006),
    doi:10.1137/1.9781611972764.58.
    """
    faces = _Filled(stack, mask)
    state, is_stopped = yield from _relayed(_begin(faces, params, init), 0)
    error, quiet = faces.refill(state), 0
    while state.iteration < params.max_iter and quiet < _QUIET and not is_stopped:
        left = min(_ROUND, params.max_iter - state.iteration)
        few = replace(params, max_iter=left, tol=0.0)
        steps = iter_multilevel(faces.stack, few, init=faces.factors, measured=False)
        state, is_stopped = yield from _relayed(steps, state.iteration, error)
        before, error = error, faces.refill(state)
        quiet = quiet + 1 if before - error <= _ROUND * params.tol * error else 0
    return faces.told(state, converged=params.tol > 0 and quiet >= _QUIET)


def _begin(
    faces: _Filled, params: NMFParams, init: tuple[NDArray[Any], NDArray[Any]] | None
) -> Solving:
    """Return a first factorization, of the faces with the first guesses."""
    if init is not None:
        first = replace(params, max_iter=1, tol=0.0)
        return iter_multilevel(faces.stack, first, init=init, measured=False)
    # half the iterations: the guesses are rough
    first = replace(params, max_iter=max(1, params.max_iter // 2))
    return iter_multilevel(faces.stack, first, measured=False)


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
    """A stack without gaps, made face by face when it is read; pixels from 0 to about 1."""

    def __init__(self, stack: FaceStack, mask: Any) -> None:
        self.source, self.shape = stack, stack.shape
        self.dtype, self.ndim = np.dtype(np.float32), len(self.shape)
        self._mask = PixelMask(mask, stack.shape)
        self._blocks = FaceBlocks(stack.images)
        self._factors: tuple[NDArray[Any], NDArray[Any]] | None = None
        self._mean = np.zeros(self.shape[1:], np.float32)
        self._unit, self._peak = 1.0, 0.0
        self._look()

    @property
    def stack(self) -> FaceStack:
        """The filled faces as a stack."""
        return replace(self.source, images=self)

    @property
    def factors(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The factors that the faces are filled with, in the unit of a fit of them."""
        assert self._factors is not None
        W, H = self._factors
        return W / max(1.0, self._peak), H

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, faces: slice) -> NDArray[np.float32]:
        return self._filled(faces, *self._read(faces))

    def _filled(
        self, faces: slice, block: NDArray[Any], hidden: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        pixels = (block / self._unit).astype(np.float32)
        return np.where(hidden, self._guess(faces), pixels)

    def _guess(self, faces: slice) -> NDArray[np.float32]:
        if self._factors is None:
            return self._mean[None]
        W, H = self._factors
        guess: NDArray[np.float32] = (W[faces] @ H).reshape(-1, *self.shape[1:])
        return guess

    def refill(self, state: Factors) -> float:
        """Guess from new factors; return their relative error over the visible pixels."""
        scale = np.float32(state.scale)  # above 1 if a guess was
        self._factors = state.W.astype(np.float32) * scale, state.H.astype(np.float32)
        lost = size = self._peak = 0.0
        for faces, block, hidden in self._all():
            filled = self._filled(faces, block, hidden)
            left = (filled - self._guess(faces)).astype(np.float64)  # 0 where it is a guess
            lost += float(np.vdot(left, left))
            size += float(np.vdot(seen := block / self._unit, seen))
            self._peak = max(self._peak, float(filled.max()))
        return float(np.sqrt(lost / size))

    def told(self, state: Factors, *, converged: bool) -> Factors:
        """Return factors in the units of the faces as they came, and their exact error."""
        assert self._factors is not None
        dtype = matrix_dtype(self.source.dtype)
        W, H = normalized(*(factor.astype(dtype) for factor in self._factors))
        lost = size = 0.0
        for faces, block, hidden in self._all():
            rows = block.reshape(len(block), -1)
            marks = hidden.reshape(len(hidden), -1)
            lost2, size2 = face_errors(rows, W[faces], H, self._unit, hidden=marks)
            lost, size = lost + lost2.sum(), size + size2.sum()
        error = float(np.sqrt(lost / size))
        return replace(
            state, weights=W, H=H, error=error, converged=converged, scale=self._unit
        )

    def _read(self, faces: slice) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        hidden = self._mask.hidden_values(faces)
        block = self._blocks.raw(faces)
        return np.where(hidden, block.dtype.type(0), block), hidden

    def _all(self) -> Iterator[tuple[slice, NDArray[Any], NDArray[np.bool_]]]:
        for faces in self._blocks.rows:
            yield faces, *self._read(faces)

    def _look(self) -> None:
        """Check all visible pixels; find their unit, and the mean of each."""
        sums, largest = np.zeros(self.shape[1:]), 0.0
        counts = np.zeros(self.shape[1:], np.intp)
        for faces, block, hidden in self._all():
            check_pixels(block, self.source.names[faces])
            is_gone = hidden.reshape(len(hidden), -1).all(axis=1)
            if is_gone.any():
                name = self.source.names[faces.start + int(is_gone.argmax())]
                raise ValueError(f"mask hides all of {name!r}: leave some of it to be fitted.")
            sums += block.sum(axis=0, dtype=np.float64)
            counts += (~hidden).sum(axis=0)
            largest = max(largest, float(block.max()))
        if not counts.all():
            y, x = np.argwhere(counts == 0)[0, :2]
            raise ValueError(
                f"mask hides the pixel (y={y}, x={x}) in every face: leave such pixels out "
                "with a mask of shape (h, w)."
            )
        self._unit = self.source.known_scale or unit_scale(largest, self.source.dtype)
        self._mean = (sums / counts / self._unit).astype(np.float32)
