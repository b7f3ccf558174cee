"""What comes of aligning faces."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.aligning.pictures import BLOCK, Warped
from napari_latent_faces.stack import as_stack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_latent_faces.stack import FaceStack

    Matrices = NDArray[np.float64]  # (n, 3, 3), of homogeneous points (y, x, 1)
    Box = tuple[int, int, int, int]  # top, left, height, width

__all__ = ["AlignStep", "Alignment", "common_box"]


@dataclass(frozen=True, eq=False)
class AlignStep:
    """How far the work is.

    Parameters
    ----------
    done : float
        Share of the work that is done, 0 to 1.
    task : str
        What is being done, for a progress bar.
    mean : array of shape (h, w)
        The mean of the faces as they lie now, grey, at the size that is worked on; mean 0.
    """

    done: float
    task: str
    mean: NDArray[np.float32] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where each face goes.

    Parameters
    ----------
    transforms : array of shape (n, 3, 3)
        Each takes a point (y, x, 1) of the aligned picture, in pixels of the whole picture
        before cropping, to (y, x, 1) of the original. Their mean is the identity.
    box : (top, left, height, width)
        The part of the whole picture that the aligned pictures show.
    misfits : tuple of int
        Faces that did not look like the others, and stayed where they were.
    error : (float, float)
        Relative error of NMF with `n_components` before and after, of up to 1,000 faces at
        the size that was worked on.
    sharpness : float
        Variance of the gradient of the mean face, as a multiple of that before.
    n_components : int
        Of the model.
    """

    transforms: NDArray[np.float64] = field(repr=False)
    box: tuple[int, int, int, int]
    misfits: tuple[int, ...] = ()
    error: tuple[float, float] = (math.nan, math.nan)
    sharpness: float = math.nan
    n_components: int = 0

    def summary(self) -> str:
        """Return what was reached, in one line."""
        parts = []
        if not math.isnan(self.error[0]):
            before, after = self.error
            parts.append(
                f"error of {self.n_components} components {before:.3f} before, {after:.3f} "
                f"after; mean face {self.sharpness:.1f} times as sharp"
            )
        if self.misfits:
            parts.append(f"{len(self.misfits)} did not look like the others and stayed put")
        text = "; ".join(parts)
        return f"{len(self.transforms)} faces aligned" + (f": {text}" if text else "")

    def apply(self, images: Any) -> FaceStack:
        """Return a stack with its faces aligned; lazy if it is lazy.

        Parameters
        ----------
        images : FaceStack or array of shape (n, h, w)
            The faces that were aligned. Pixels between theirs are interpolated linearly;
            what a picture does not show is filled with the pixels at its edge.

        Returns
        -------
        FaceStack
            With `transforms`; those of a stack that had been aligned before are included.
        """
        stack = as_stack(images)
        if len(stack) != len(self.transforms):
            raise ValueError(f"{len(self.transforms)} faces were aligned, not {len(stack)}.")
        top, left, _, _ = self.box
        transforms, corner = self.transforms, (top, left)
        if stack.transforms is not None:
            y, x = stack.corner
            into = np.array([[1.0, 0, -y], [0, 1, -x], [0, 0, 1]])
            transforms = stack.transforms @ np.linalg.inv(into) @ transforms @ into
            corner = (top + y, left + x)
        warped: Any = Warped(stack.images, self.transforms, self.box)
        if stack.is_lazy:
            import dask.array

            from_array: Any = dask.array.from_array
            is_dask = hasattr(stack.images, "dask")
            chunks = (stack.images.chunks[0] if is_dask else BLOCK, *warped.shape[1:])
            meta = np.empty((0,) * len(warped.shape), stack.dtype)
            warped = from_array(warped, chunks, name=False, meta=meta)
        else:
            warped = warped[:]
        notes = [self.summary()]
        if self.misfits:
            some = ", ".join(stack.names[i] for i in self.misfits[:20])
            notes.append("Not aligned: " + some + (", ..." if len(self.misfits) > 20 else ""))
        report = replace(stack.report, notes=(*stack.report.notes, *notes), options=None)
        return replace(
            stack, images=warped, transforms=transforms, corner=corner, report=report
        )


def common_box(transforms: Matrices, size: tuple[int, int]) -> Box:
    """Return a large box that all aligned pictures cover.

    The side whose removal uncovers the most is cut until nothing is left uncovered.
    """
    h, w = size
    y0, x0, y1, x1 = 0, 0, h - 1, w - 1

    def missing(y0: int, x0: int, y1: int, x1: int) -> float:
        corners = np.array([[y0, y0, y1, y1], [x0, x1, x0, x1], [1, 1, 1, 1]])
        places = transforms[:, :2] @ corners
        beyond = np.maximum(-0.5 - places, places - np.array([[h - 0.5], [w - 0.5]]))
        return float(beyond.max((0, 1)).clip(0).sum())

    while min(y1 - y0, x1 - x0) > min(h, w) // 4 and missing(y0, x0, y1, x1) > 1e-9:
        cuts = (
            (y0 + 1, x0, y1, x1),
            (y0, x0 + 1, y1, x1),
            (y0, x0, y1 - 1, x1),
            (y0, x0, y1, x1 - 1),
        )
        y0, x0, y1, x1 = min(cuts, key=lambda cut: missing(*cut))
    return y0, x0, y1 - y0 + 1, x1 - x0 + 1
