"""Components over the pixels of faces that a mask leaves visible."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["VisibleParts", "same_masks"]


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
