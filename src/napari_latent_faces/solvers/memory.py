"""What a fit takes beside the stack, told before it starts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_latent_faces.solvers.blocks import SHARES, block_bytes, processors
from napari_latent_faces.stack import matrix_dtype

if TYPE_CHECKING:
    from napari_latent_faces.params import NMFParams
    from napari_latent_faces.stack import FaceStack

__all__ = ["check_memory", "needed", "refuse_if_too_large", "smaller"]

_COPIES = 3  # of the pixels as floats, measured: what scikit-learn's solvers come to
_COARSE = 2**27  # bytes of the small pictures of a large stack, with room to spare


def needed(stack: FaceStack, params: NMFParams, threads: int | None = None) -> int:
    """Return about how many bytes a fit takes beside the stack itself.

    Parameters
    ----------
    stack : FaceStack
        The pictures.
    params : NMFParams
        The parameters; `n_components` and `solver` count.
    threads : int, optional
        How many blocks are worked on at a time; by default one for each processor.
    """
    n, p, k = len(stack), math.prod(stack.picture_shape), params.n_components
    size = matrix_dtype(stack.dtype).itemsize
    if params.solver != "multilevel":
        return (_COPIES * n * p + 2 * k * (n + p)) * size
    threads = threads or processors()
    factors = 4 * 3 * k * (n + p)
    block = block_bytes(n, p)
    busy = min(threads, max(SHARES, -(-4 * n * p // block)))  # there are no more blocks
    working = min(busy * block, 4 * n * p) + busy * 4 * k * p
    return factors + working + min(_COARSE, 4 * n * p)


def check_memory(stack: FaceStack, params: NMFParams) -> None:
    """Refuse a fit that does not fit into the memory that is free.

    Raises
    ------
    MemoryError
        The message says how much is needed and how to do with less.
    """
    what = f"solver={params.solver!r} with n_components={params.n_components}"
    refuse_if_too_large(needed(stack, params), what, stack, _remedy(stack, params.solver))


def refuse_if_too_large(bytes_needed: int, what: str, stack: FaceStack, remedy: str) -> None:
    """Raise if a fit needs more memory than is free.

    Parameters
    ----------
    bytes_needed : int
        What it takes.
    what : str
        What needs them.
    stack : FaceStack
        The pictures.
    remedy : str
        A sentence that says what to do.

    Raises
    ------
    MemoryError
        With all that in its message.
    """
    import psutil

    free = int(psutil.virtual_memory().available)
    if bytes_needed <= free:
        return
    n, h, w = stack.shape[:3]
    raise MemoryError(
        f"{what} needs about {_giga(bytes_needed)} for {n} faces of {w} x {h} pixels, and "
        f"{_giga(free)} of memory are free. {remedy}"
    )


def smaller(stack: FaceStack) -> str:
    """Say how else a stack can be read, so that it takes less."""
    ways = "read the faces smaller (size=...), or fewer of them"
    if isinstance(stack.images, np.ndarray):  # not lazy yet
        return f"{ways}, or leave them on the disk (lazy=True)"
    return ways


def _remedy(stack: FaceStack, solver: str) -> str:
    if solver != "multilevel":
        return (
            "Choose solver='multilevel', which takes the faces block by block, or "
            f"{smaller(stack)}."
        )
    return f"Choose fewer components, {smaller(stack)}."


def _giga(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
