"""What a fit takes beside the stack, told before it starts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.params import NMFParams
from napari_latent_faces.solvers.blocks import SHARES, block_bytes, processors
from napari_latent_faces.solvers.rows import LARGEST_IN_MEMORY
from napari_latent_faces.stack import matrix_dtype

if TYPE_CHECKING:
    from napari_latent_faces.params import Parameters
    from napari_latent_faces.stack import FaceStack

__all__ = ["check_memory", "needed"]

_COPIES = 3  # of the pixels as floats, measured: what scikit-learn's solvers come to
_COARSE = 2**27  # bytes of the small pictures of a large stack, with room to spare


def needed(stack: FaceStack, params: Parameters, threads: int | None = None) -> int:
    """Return about how many bytes a fit takes beside the stack itself.

    Parameters
    ----------
    stack : FaceStack
        The pictures.
    params : Parameters
        The method and its parameters.
    threads : int, optional
        How many blocks are worked on at a time; by default one for each processor.
    """
    if not isinstance(params, NMFParams):
        return _needed_by_method(stack, params)
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


def check_memory(stack: FaceStack, params: Parameters) -> None:
    """Refuse a fit that does not fit into the memory that is free.

    Raises
    ------
    MemoryError
        The message says how much is needed and how to do with less.
    """
    import psutil

    wanted, free = needed(stack, params), int(psutil.virtual_memory().available)
    if wanted <= free:
        return
    n, h, w = stack.shape[:3]
    what = f"solver={params.solver!r}" if isinstance(params, NMFParams) else params.title
    raise MemoryError(
        f"{what} with n_components={params.n_components} needs about {_giga(wanted)} for {n} "
        f"faces of {w} x {h} pixels, and {_giga(free)} of memory are free. "
        f"{_remedy(stack, params)}"
    )


def _remedy(stack: FaceStack, params: Parameters) -> str:
    ways = "read the faces smaller (size=...), or fewer of them"
    if isinstance(stack.images, np.ndarray):  # not lazy yet
        ways += ", or leave them on the disk (lazy=True)"
    if getattr(params, "solver", "multilevel") != "multilevel":
        return f"Choose solver='multilevel', which takes the faces block by block, or {ways}."
    if getattr(params, "svd_solver", "incremental") in {"full", "randomized"}:
        return (
            f"Choose svd_solver='incremental', which takes the faces batch by batch, or {ways}."
        )
    return f"Choose fewer components or {ways}."


def _giga(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


# Measured: what scikit-learn makes of the pixels, in copies.
_FULL = 5  # an exact decomposition of all of them
_PART = 6  # a step of the incremental one, of its batch in float64
_BATCH = 4  # a step of one that learns
_WIDE = 8  # bytes of float64


def _needed_by_method(stack: FaceStack, params: Parameters) -> int:
    """Return what a fit of another method than NMF takes."""
    n, p, k = len(stack), math.prod(stack.picture_shape), int(params.n_components)
    pixels = n * p * matrix_dtype(stack.dtype).itemsize
    in_memory = n * p <= LARGEST_IN_MEMORY
    # the last look at the faces, for their weights
    block = 3 * (min(pixels, 2**24) if in_memory else block_bytes(n, p))
    held = pixels if in_memory else block_bytes(n, p)
    if params.method in {"pca", "ica"}:
        working = _decomposition(n, p, params, pixels, in_memory=in_memory)
    else:
        size = min(n, max(int(params.batch_size), k))  # type: ignore[attr-defined]
        working = _BATCH * size * p * _WIDE
        if not in_memory:  # batches come out of whole blocks
            working += 2 * (block_bytes(n, p) + 4 * size * p)
    return held + max(block, working) + 4 * _WIDE * k * (n + p)


def _decomposition(n: int, p: int, params: Any, pixels: int, *, in_memory: bool) -> int:
    k = int(params.n_components)
    solver = getattr(params, "svd_solver", "auto")
    if solver == "incremental" or (solver == "auto" and not in_memory):
        batch = min(5 * k, n)
        return _PART * (2 * batch + k) * p * _WIDE
    # scikit-learn's own choice is the full one for most components, and for small stacks
    is_full = solver == "full" or (solver == "auto" and k >= 0.8 * min(n, p))
    copies = _FULL if is_full else 2
    return copies * pixels
