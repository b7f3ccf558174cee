"""Pictures at transformed places: as they are worked on, and the aligned ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.solvers.blocks import processors
from napari_latent_faces.stack import as_pixels

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Matrices = NDArray[np.float64]  # (n, 3, 3), of homogeneous points (y, x, 1)
    Pixels = NDArray[np.float32]
    Box = tuple[int, int, int, int]  # top, left, height, width

__all__ = ["BLOCK", "Warped", "grid", "in_memory", "in_threads", "reduced", "warp"]

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


def in_threads(job: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    """Return what a job makes of each item, in their order."""
    if len(items) < 2:
        return [job(item) for item in items]
    with ThreadPoolExecutor(processors(), "latent-faces") as pool:
        return list(pool.map(job, items))
