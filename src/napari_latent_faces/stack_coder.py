"""Weights and errors of a stack of faces, block by block."""

from __future__ import annotations

import warnings
from collections import defaultdict
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.masks import PixelMask, split_mask
from napari_latent_faces.nmf.blocks import FaceBlocks, Workers, one_blas_thread
from napari_latent_faces.nmf.losses import face_errors
from napari_latent_faces.nmf.visible import VisibleParts, same_masks
from napari_latent_faces.pixels import (
    as_stack,
    check_pixels,
    has_own_scale,
    pixel_blocks,
    unit_scale,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.stack import FaceStack

__all__ = ["StackCoder", "UndeterminedWarning"]

_FACTOR_BYTES = 2**26  # of the factorizations that are kept for faces with the same mask


class UndeterminedWarning(UserWarning):
    """A mask hides so much that weights are not, or not wholly, known."""


class StackCoder:
    """Weights and errors of one stack; blocks may run side by side.

    Parameters
    ----------
    model : LatentFaces
        Its components.
    images, mask
        The stack, and what to ignore of it: as in `napari_latent_faces.encoding.encode`.
    weights : array of shape (m, k), optional
        Weights to measure; by default they are found.

    Attributes
    ----------
    weights : array of shape (m, k)
        Those given, or those found so far.
    scale : float
        The pixel value that is 1 in the weights' unit.
    """

    def __init__(
        self, model: LatentFaces, images: Any, mask: Any = None, weights: Any = None
    ) -> None:
        images, mask = split_mask(images, mask)
        self._stack = stack = as_stack(images)
        model.check_size(stack.shape[1:])
        self._mask = _pixel_mask(model, mask, stack.shape)
        self.scale = _unit(model, stack, self._mask)
        rows = model.components.reshape(model.n_components, -1)
        self._parts = rows.astype(np.float64)  # (k, p)
        self._mean: NDArray[np.float64] | None = None  # (1, p)
        if model.mean is not None:
            self._mean = model.mean.reshape(1, -1).astype(np.float64)
        self._coder = model.coder()
        self._solves = weights is None
        shape = (len(stack), model.n_components)
        self.weights = (
            np.empty(shape, model.weights.dtype) if weights is None else _given(weights, shape)
        )
        self._lost2, self._size2 = np.zeros((2, len(stack)))
        self._few = np.zeros(len(stack), bool)
        self._gone: dict[int, int] = defaultdict(int)  # faces by component hidden from them
        self._blocks = FaceBlocks(stack.images, budget=0)  # each face is read once
        kept = max(1, _FACTOR_BYTES // max(1, self._parts.nbytes))
        self._visible = lru_cache(kept)(partial(VisibleParts.of, self._parts))

    def run(self, *, measure: bool = True) -> Generator[int, None, None]:
        """Work on all blocks; yield how many faces are done."""

        def work(faces: slice) -> list[tuple[int, VisibleParts]]:
            hidden, pixels = self._read(faces)
            known = self._solve(faces, hidden, pixels) if self._solves else []
            if measure:
                self._measure(faces, hidden, pixels)
            return known

        rows = self._blocks.rows
        with one_blas_thread(), Workers() as workers:
            for faces, known in zip(rows, workers.each(work, rows), strict=True):
                for count, parts in known:
                    for component in parts.lost:
                        self._gone[component] += count
                yield faces.stop
        self._warn()

    def errors(self) -> NDArray[np.float64]:
        """Return the relative error of each face."""
        nothing = np.where(self._lost2 > 0, np.inf, 0.0)
        seen = self._size2 > 0
        squares = np.divide(self._lost2, self._size2, out=nothing, where=seen)
        errors: NDArray[np.float64] = np.sqrt(squares)
        return errors

    def error(self) -> float:
        """Return the relative error of all faces together."""
        return float(np.sqrt(self._lost2.sum() / (self._size2.sum() or 1.0)))

    def _read(self, faces: slice) -> tuple[NDArray[np.bool_] | None, NDArray[Any]]:
        """Return some faces as rows, 0 where they are ignored, and what is ignored."""
        block, hidden = self._blocks.raw(faces), None
        if self._mask is not None:
            hidden = self._mask.hidden(faces)
            block = np.where(hidden, block.dtype.type(0), block)
            hidden = hidden.reshape(len(hidden), -1)
        check_pixels(block, self._stack.names[faces])
        return hidden, block.reshape(len(block), -1)

    def _solve(
        self, faces: slice, hidden: NDArray[np.bool_] | None, pixels: NDArray[Any]
    ) -> list[tuple[int, VisibleParts]]:
        known = []
        for rows, key in same_masks(hidden, len(pixels)):
            at = np.arange(faces.start, faces.stop)[rows]
            parts = self._visible(key)
            if parts.n_visible == 0:
                raise ValueError(
                    f"The mask hides all of {self._stack.names[at[0]]!r}: leave some of it to "
                    "be seen (nonzero marks what is ignored)."
                )
            self.weights[at] = self._weigh(parts, pixels[rows])
            self._few[at] = key is not None and parts.n_visible < len(self._parts)
            known.append((len(at), parts))
        return known

    def _weigh(self, parts: VisibleParts, pixels: NDArray[Any]) -> NDArray[np.float64]:
        sides = parts.reduced(pixels) / self.scale
        if self._mean is not None:
            sides -= parts.reduced(self._mean)
        weights: NDArray[np.float64] = self._coder(parts.R, sides)
        return weights

    def _measure(
        self, faces: slice, hidden: NDArray[np.bool_] | None, pixels: NDArray[Any]
    ) -> None:
        mean = None if self._mean is None else self._mean[0]
        self._lost2[faces], self._size2[faces] = face_errors(
            pixels, self.weights[faces], self._parts, self.scale, mean, hidden
        )

    def _warn(self) -> None:
        """Say which weights a mask leaves unknown."""
        names = self._stack.names
        if count := int(self._few.sum()):
            first = names[int(np.argmax(self._few))]
            warnings.warn(
                f"The mask leaves {_faces(count, first)} fewer visible pixels than the model "
                f"has components ({len(self._parts)}): their weights are one choice of many. "
                "Mark less, or take a model with fewer components.",
                UndeterminedWarning,
                stacklevel=2,
            )
        for component, count in sorted(self._gone.items()):
            warnings.warn(
                f"The mask hides component {component} wholly in {count} of {len(names)} "
                "faces: its weight is 0 there, whatever the hidden pixels would tell.",
                UndeterminedWarning,
                stacklevel=2,
            )


def _pixel_mask(model: LatentFaces, mask: Any, shape: tuple[int, int, int]) -> PixelMask | None:
    """Return what is ignored: what the mask marks, and what the model does not know."""
    if mask is None and model.mask is None:
        return None
    return PixelMask(model.mask if mask is None else mask, shape, model.mask)


def _given(values: Any, shape: tuple[int, int]) -> NDArray[Any]:
    weights: NDArray[Any] = np.asarray(values)
    if weights.shape != shape:
        raise ValueError(
            f"The weights have the shape {weights.shape}, but {shape} is needed: a row for "
            "each face, a column for each component."
        )
    return weights


def _unit(model: LatentFaces, stack: FaceStack, mask: PixelMask | None) -> float:
    """Return the unit of other pictures: the model's own where their type is the same."""
    if stack.dtype.name == model.provenance.dtype:
        return model.scale
    if has_own_scale(stack.dtype):
        return unit_scale(0.0, stack.dtype)
    largest = (
        float((block if mask is None else mask.cover(block, faces)).max())
        for faces, block in pixel_blocks(stack.images)
    )
    # an infinite pixel is told of when its face is read
    return unit_scale(
        max((each for each in largest if each < np.inf), default=0.0), stack.dtype
    )


def _faces(count: int, first: str) -> str:
    others = f" and {count - 1} other face{'s' * (count > 2)}" if count > 1 else ""
    return f"{first!r}{others}"
