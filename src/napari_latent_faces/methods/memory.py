"""What a fit of each method takes beside the stack, told before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_latent_faces.methods import rows
from napari_latent_faces.nmf.blocks import block_bytes
from napari_latent_faces.nmf.memory import refuse_if_too_large, smaller
from napari_latent_faces.pixels import matrix_dtype

if TYPE_CHECKING:
    from napari_latent_faces.parameters import Parameters
    from napari_latent_faces.stack import FaceStack

__all__ = ["check_memory", "needed"]

# Measured: what scikit-learn makes of the pixels, in copies.
_FULL = 5  # an exact decomposition of all of them
_PART = 6  # a step of the incremental one, of its batch in float64
_BATCH = 4  # a step of one that learns
_WIDE = 8  # bytes of float64


def needed(stack: FaceStack, params: Parameters) -> int:
    """Return about how many bytes a fit takes beside the stack itself.

    Parameters
    ----------
    stack : FaceStack
        The pictures.
    params : Parameters
        The method and its parameters.
    """
    n, h, w = stack.shape
    p, k = h * w, int(params.n_components)
    pixels = n * p * matrix_dtype(stack.dtype).itemsize
    in_memory = n * p <= rows.LARGEST_IN_MEMORY
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


def check_memory(stack: FaceStack, params: Parameters) -> None:
    """Refuse a fit that does not fit into the memory that is free.

    Raises
    ------
    MemoryError
        The message says how much is needed and how to do with less.
    """
    what = f"{params.title} with n_components={params.n_components}"
    refuse_if_too_large(needed(stack, params), what, stack, _remedy(stack, params))


def _remedy(stack: FaceStack, params: Parameters) -> str:
    if getattr(params, "svd_solver", "incremental") in {"full", "randomized"}:
        return (
            "Choose svd_solver='incremental', which takes the faces batch by batch, or "
            f"{smaller(stack)}."
        )
    return f"Choose fewer components or {smaller(stack)}."
