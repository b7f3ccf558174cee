"""A stack cut into shares, and the tasks of a cluster that work on them.

A share is a few blocks that follow one another. Its functions run on the worker that holds
its pixels, and are pure: dask may call them again.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from napari_latent_faces.nmf.blocks import FaceBlocks, one_blas_thread
from napari_latent_faces.nmf.crew import LocalCrew, Serial
from napari_latent_faces.steps import drain

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = [
    "Share",
    "Way",
    "added",
    "advance_share",
    "each_share",
    "face_of_share",
    "into_shares",
    "task",
]

Result = TypeVar("Result")

# A task costs the scheduler about a millisecond, a block is some ten milliseconds' work.
_SHARES = 64  # a stack is cut into so many before shares grow
_SHARE_BLOCKS = 16  # the most blocks of a share: nobody can interrupt it
_SUMMANDS = 8  # that one task adds up


@dataclass(frozen=True, eq=False)
class Way:
    """How pixels are read.

    Parameters
    ----------
    unit : float
        The pixel value that becomes 1.
    hidden : array of int, or None
        Which of the p pixels are left out.
    """

    unit: float
    hidden: NDArray[np.intp] | None


@dataclass(frozen=True)
class Share:
    """Some blocks that follow one another.

    Parameters
    ----------
    place : slice
        Their faces in the stack.
    rows : list of slice
        The faces of each block, counted within the share.
    """

    place: slice
    rows: list[slice]

    def crew(self, pixels: NDArray[Any], way: Way) -> LocalCrew:
        """Return who works on the share, on the worker that holds it."""
        blocks = FaceBlocks(pixels, way.unit, rows=self.rows, hidden=way.hidden)
        return LocalCrew(blocks, Serial(), self.place.start)


def into_shares(blocks: list[slice]) -> list[Share]:
    """Put blocks together; where shares begin depends on the stack alone."""
    length = max(1, min(_SHARE_BLOCKS, len(blocks) // _SHARES))
    shares = []
    for i in range(0, len(blocks), length):
        group = blocks[i : i + length]
        first = group[0].start
        rows = [slice(each.start - first, each.stop - first) for each in group]
        shares.append(Share(slice(first, group[-1].stop), rows))
    return shares


# -- what workers do -----------------------------------------------------------


def each_share(
    job: Callable[..., Result],
    share: Share,
    pixels: NDArray[Any],
    common: tuple[Way, Any],
    *parts: Array,
) -> list[Result]:
    """Do a job on each block of a share; see `Crew.each`."""
    way, shared = common
    with one_blas_thread():
        return list(share.crew(pixels, way).each(job, shared, *parts))


def advance_share(
    job: Callable[..., Any],
    share: Share,
    pixels: NDArray[Any],
    common: tuple[Way, Any],
    *parts: Array,
) -> tuple[Array, Any]:
    """Return new weights of a share, and the sum over its blocks; see `Crew.advance`."""
    way, shared = common
    with one_blas_thread():
        return drain(share.crew(pixels, way).advance(job, shared, *parts))


def face_of_share(
    i: int, share: Share, pixels: NDArray[Any], way: Way, W: Array
) -> tuple[Array, Array]:
    """Return the pixels and the weights of a face, counted within its share."""
    return share.crew(pixels, way).face(i, W)


def _sum(parts: list[Any]) -> Any:
    """Add up in order, and leave the parts as they are: another task may need them."""
    total = deepcopy(parts[0])
    for part in parts[1:]:
        total += part
    return total


# -- how tasks are put ---------------------------------------------------------


def task(job: Any) -> Any:
    """Return the task that makes or does something, always a new one."""
    from dask.delayed import delayed

    return delayed(job, pure=False, traverse=False)


def added(parts: list[Any]) -> Any:
    """Add up tasks in a tree, neighbours first: one sum leaves the cluster."""
    while len(parts) > 1:
        groups = (parts[i : i + _SUMMANDS] for i in range(0, len(parts), _SUMMANDS))
        parts = [task(_sum)(group) for group in groups]
    return parts[0]
