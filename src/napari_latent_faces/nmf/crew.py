"""The faces of a level, and who works on their blocks: threads here, or a cluster.

What is done to a block is a plain function of the block, what all blocks share, and the
weights of its faces. It runs the same everywhere; the two crews differ only in where they
call it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.nmf.blocks import FaceBlocks

    Array = NDArray[np.float32]

    # Weights where a crew keeps them: in one array, or spread over a cluster.
    Weights = Any
    Advance = Generator[None, None, tuple[Weights, Any]]

__all__ = ["HANDOVER", "Block", "Crew", "LocalCrew", "Serial"]

HANDOVER = 0.25  # seconds after which a long pass lets its caller look in

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Block:
    """Some faces that follow one another.

    Parameters
    ----------
    as_is : array of shape (m, p)
        Their pixels, which times `gain` are in the unit of the fit. The array is used
        again for the next block.
    gain : float32
        One over the pixel value that is 1 in the fit, or 1 where that is done already.
    place : slice
        Where they are in the whole stack.
    raw : array of shape (m, h, w)
        The pictures as they came, in their own type.
    """

    as_is: Array
    gain: np.float32
    place: slice
    raw: NDArray[Any]

    def pixels(self) -> Array:
        """Return the pixels themselves."""
        return self.as_is if self.gain == 1 else self.as_is * self.gain


class Crew(Protocol):
    """Works on the faces of a level, n of p pixels each, block by block."""

    @property
    def n(self) -> int:
        """Number of faces."""

    @property
    def p(self) -> int:
        """Number of pixels of a face."""

    def each(
        self, job: Callable[..., Result], shared: Any, *weights: Weights
    ) -> Iterator[Result]:
        """Yield ``job(block, shared, *parts)`` for each block, in order."""

    def advance(self, job: Callable[..., Any], shared: Any, *weights: Weights) -> Advance:
        """Make new weights of all faces, and what their blocks add up to.

        Parameters
        ----------
        job : callable
            Takes what those of `each` take; returns the new weights of the block, a
            component a row, and something that can be added up with ``+=``.
        shared : object
            What all blocks get: it is sent to each worker once.
        *weights : Weights
            Weights of all faces.

        Yields
        ------
        None
            Now and then, during a long pass.

        Returns
        -------
        (Weights, object)
            The new weights and the sum, in an order that the stack alone decides.
        """

    def hand_out(self, W: Array) -> Weights:
        """Return the weights in `W`, a component a row, where the crew wants them."""

    def repeat(self, column: Array) -> Weights:
        """Return the same weights, shape (k, 1), for each face."""

    def collect(self, weights: Weights) -> Array:
        """Return weights as one array of shape (k, n)."""

    def face(self, i: int, weights: Weights) -> tuple[Array, Array]:
        """Return the pixels and the weights of one face."""


class Serial:
    """Does what `Workers` does, on the calling thread."""

    def each(self, job: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield the result of `job` for each item."""
        return map(job, items)


class _Workers(Protocol):
    def each(self, job: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield the result of `job` for each item, in order."""


class LocalCrew:
    """Threads of this process; weights are arrays of shape (k, n).

    Parameters
    ----------
    blocks : FaceBlocks
        The pixels.
    workers : Workers or Serial
        The threads.
    first : int
        Place of the first of these faces in the whole stack.
    """

    def __init__(self, blocks: FaceBlocks, workers: _Workers, first: int = 0) -> None:
        self.blocks, self.workers, self.first = blocks, workers, first
        self.n, self.p = blocks.n, blocks.p

    def each(
        self, job: Callable[..., Result], shared: Any, *weights: Array
    ) -> Iterator[Result]:
        """Work on the blocks side by side; see `Crew`."""

        def work(rows: slice) -> Result:
            place = slice(self.first + rows.start, self.first + rows.stop)
            raw = self.blocks.raw(rows)
            block = Block(self.blocks.read_as_is(rows, raw), self.blocks.gain, place, raw)
            return job(block, shared, *(W[:, rows] for W in weights))

        return self.workers.each(work, self.blocks.rows)

    def advance(self, job: Callable[..., Any], shared: Any, *weights: Array) -> Advance:
        """Add up in the order of the blocks; see `Crew`."""
        W = np.empty_like(weights[0])

        def work(block: Block, shared: Any, *parts: Array) -> Any:
            part, sums = job(block, shared, *parts)
            W[:, block.place.start - self.first : block.place.stop - self.first] = part
            return sums

        total = None
        seen = time.monotonic()
        for sums in self.each(work, shared, *weights):
            if total is None:
                total = sums
            else:
                total += sums
            if time.monotonic() - seen > HANDOVER:
                yield
                seen = time.monotonic()
        return W, total

    def hand_out(self, W: Array) -> Array:
        """Return `W` itself."""
        return W

    def repeat(self, column: Array) -> Array:
        """Return the same weights for each face; see `Crew`."""
        return np.repeat(column, self.n, axis=1)

    def collect(self, weights: Array) -> Array:
        """Return `weights` themselves."""
        return weights

    def face(self, i: int, weights: Array) -> tuple[Array, Array]:
        """Return the pixels and the weights of one face."""
        return self.blocks.read(slice(i, i + 1))[0].copy(), weights[:, i].copy()
