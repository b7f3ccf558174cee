"""Where each face goes, and the pictures that are made of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from napari_latent_faces.solvers.blocks import Workers
from napari_latent_faces.stack import as_pixels, as_stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_latent_faces.stack import FaceStack

    Matrices = NDArray[np.float64]  # (n, 3, 3), of homogeneous points (y, x, 1)
    Pixels = NDArray[np.float32]
    Box = tuple[int, int, int, int]  # top, left, height, width

__all__ = [
    "BLOCK",
    "AlignStep",
    "Alignment",
    "Warped",
    "centred",
    "common_box",
    "grid",
    "in_memory",
    "in_threads",
    "onto_points",
    "reduced",
    "unmoved",
    "warp",
]

Item = TypeVar("Item")
Result = TypeVar("Result")

# -- Transforms ------------------------------------------------------------------------


def unmoved(n: int) -> Matrices:
    """Return the transforms of faces that stay where they are."""
    return np.tile(np.eye(3), (n, 1, 1))


def centred(transforms: Matrices, members: NDArray[np.bool_]) -> Matrices:
    """Change where all lie so that the mean transform is the identity."""
    if not members.any():
        return transforms
    moved = transforms.copy()
    moved[members] = transforms[members] @ np.linalg.inv(transforms[members].mean(0))
    return moved


def onto_points(
    spots: NDArray[np.float64], transform: str
) -> tuple[Matrices, NDArray[np.bool_]]:
    """Return transforms from the mean of all points to those of each face that has some.

    Procrustes analysis: the mean is that of the points as they lie aligned.
    """
    given = np.asarray(np.isfinite(spots).all((1, 2)))
    known = spots[given]
    k = spots.shape[1]
    if transform == "affine" and k < 3:
        raise ValueError("An affine transform needs three points or more on each face.")
    mean = known.mean(0)
    for _ in range(10):
        y, x = mean.T
        one, none = np.ones(k), np.zeros(k)
        if transform == "affine":
            solved = np.linalg.pinv(np.column_stack([y, x, one])) @ known  # (n, 3, 2)
            top = np.swapaxes(solved, 1, 2)
        else:  # y' = a y - b x + s, x' = b y + a x + t
            equations = np.vstack(
                [np.column_stack([y, -x, one, none]), np.column_stack([x, y, none, one])]
            )
            wanted = np.concatenate([known[:, :, 0], known[:, :, 1]], 1)
            a, b, s, t = np.linalg.pinv(equations) @ wanted.T
            top = np.stack([np.stack([a, -b, s], -1), np.stack([b, a, t], -1)], 1)
        found = unmoved(len(known))
        found[:, :2] = top
        if np.linalg.det(found).min() < 1e-6:
            face = int(np.flatnonzero(given)[np.linalg.det(found).argmin()])
            raise ValueError(f"The points of face {face} lie on one another.")
        found = centred(found, np.ones(len(found), bool))
        back = np.linalg.inv(found)
        mean = (np.einsum("nab,nkb->nka", back[:, :2, :2], known) + back[:, None, :2, 2]).mean(
            0
        )
    transforms = unmoved(len(spots))
    transforms[given] = found
    return transforms, given


# -- Pictures at transformed places ----------------------------------------------------

BLOCK = 64  # faces that a thread works on at a time


def grid(box: tuple[float, float, int, int]) -> Pixels:
    """Return the places (y, x) of the pixels of a box, shape (2, p)."""
    top, left, h, w = box
    y, x = np.meshgrid(top + np.arange(h), left + np.arange(w), indexing="ij")
    return np.stack([y.ravel(), x.ravel()]).astype(np.float32)


def warp(
    pictures: Pixels, transforms: Matrices, grid: Pixels
) -> tuple[Pixels, NDArray[np.bool_] | None]:
    """Return the values (m, p) of pictures at transformed places, and which lie outside."""
    m, height, width = pictures.shape
    t = transforms.astype(np.float32)[..., None]
    Y, X = grid
    y = t[:, 0, 0] * Y + t[:, 0, 1] * X + t[:, 0, 2]
    x = t[:, 1, 0] * Y + t[:, 1, 1] * X + t[:, 1, 2]
    outside = None
    if min(y.min(), x.min()) < -0.5 or y.max() > height - 0.5 or x.max() > width - 0.5:
        outside = (y < -0.5) | (y > height - 0.5) | (x < -0.5) | (x > width - 0.5)
    y.clip(0, height - 1.001, out=y)
    x.clip(0, width - 1.001, out=x)
    place = y.astype(np.int32)
    column = x.astype(np.int32)
    y -= place
    x -= column
    place *= width
    place += column
    place += (np.arange(m, dtype=np.int32) * (height * width))[:, None]
    flat = pictures.reshape(-1)
    above = flat.take(place)
    above += x * (flat.take(place + 1) - above)
    place += width
    below = flat.take(place)
    below += x * (flat.take(place + 1) - below)
    below -= above
    below *= y
    above += below
    return above, outside


def reduced(pictures: NDArray[Any], factor: int) -> Pixels:
    """Return pictures (m, h, w) with the means of cells of pixels, in float32."""
    m, h, w = pictures.shape
    height, width = max(1, h // factor), max(1, w // factor)
    cells = pictures[:, : height * factor, : width * factor]
    cells = cells.reshape(m, height, factor, width, factor)
    return np.ascontiguousarray(cells.mean((2, 4), dtype=np.float32))


class Warped:
    """Aligned pictures, made when they are asked for; dask slices it like an array."""

    def __init__(self, images: Any, transforms: Matrices, box: Box) -> None:
        self._images, self._transforms, self._box = images, transforms, box
        self.shape = (len(images), *box[2:], *images.shape[3:])
        self.ndim = len(self.shape)
        self.dtype = np.dtype(images.dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        faces, *inside = key if isinstance(key, tuple) else (key,)
        wanted = np.arange(len(self._images))[faces]
        pixels = np.empty((wanted.size, *self.shape[1:]), self.dtype)
        parts = [slice(i, i + BLOCK) for i in range(0, wanted.size, BLOCK)]

        def make(part: slice) -> None:
            chosen = wanted.reshape(-1)[part]
            pictures = in_memory(self._images, chosen).astype(np.float32)
            places = grid(self._box)
            channels = pictures[..., None] if pictures.ndim == 3 else pictures
            for c in range(channels.shape[-1]):
                plane = np.ascontiguousarray(channels[..., c])
                values, _ = warp(plane, self._transforms[chosen], places)
                out = pixels[part] if pictures.ndim == 3 else pixels[part, ..., c]
                out[:] = as_pixels(values, self.dtype).reshape(out.shape)

        in_threads(make, parts)
        return pixels.reshape(wanted.shape + self.shape[1:])[
            (*(slice(None),) * wanted.ndim, *inside)
        ]


def in_memory(
    images: Any, faces: NDArray[np.intp], scheduler: str = "synchronous"
) -> NDArray[Any]:
    """Return some faces; those next to one another as one slice, which dask likes best.

    A thread of dask has to ask for them with the synchronous scheduler.
    """
    key: Any = faces
    if len(faces) and faces[-1] - faces[0] == len(faces) - 1 and (np.diff(faces) == 1).all():
        key = slice(int(faces[0]), int(faces[-1]) + 1)
    part = images[key]
    if hasattr(part, "dask"):
        part = part.compute(scheduler=scheduler)
    return np.asarray(part)


def in_threads(job: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    """Return what a job makes of each item, in their order."""
    with Workers() as workers:
        return list(workers.each(job, items))


# -- What comes of aligning ------------------------------------------------------------


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
        transforms, frame = self.transforms, (*self.box[:2], *stack.size)
        if stack.transforms is not None and stack.frame is not None:
            y, x, *whole = stack.frame
            into = np.array([[1.0, 0, -y], [0, 1, -x], [0, 0, 1]])
            transforms = stack.transforms @ np.linalg.inv(into) @ transforms @ into
            frame = (frame[0] + y, frame[1] + x, whole[0], whole[1])
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
        return replace(stack, images=warped, transforms=transforms, frame=frame, report=report)


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
