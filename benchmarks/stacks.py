"""The stacks of faces that the benchmarks measure with."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from benchmarks.setting import Skipped
from napari_latent_faces.reading import read_faces
from napari_latent_faces.samples import sample_faces

__all__ = ["drawn", "real", "varied", "varied_on_disk"]

_CHUNK = 1000  # faces that are varied at a time
_SHIFT = 3  # pixels, at most


def real(folder: str) -> np.ndarray:
    """Return the faces of a folder in LATENT_FACES_DATA: shape (n, h, w), uint8."""
    root = os.environ.get("LATENT_FACES_DATA")
    if not root:
        raise Skipped("LATENT_FACES_DATA is not set")
    path = Path(root) / folder
    if not path.is_dir():
        raise Skipped(f"LATENT_FACES_DATA has no folder {folder}")
    return read_faces(path, lazy=False).images


def drawn(shape: tuple[int, int] = (112, 92), subjects: int = 40) -> np.ndarray:
    """Return the bundled drawn faces, ten a subject."""
    return sample_faces(subjects, shape=shape).images


def varied(n: int, shape: tuple[int, int]) -> np.ndarray:
    """Return many faces made from the drawn ones."""
    faces = np.empty((n, *shape), np.uint8)
    _vary(drawn(shape), faces)
    return faces


def varied_on_disk(path: Path, n: int, shape: tuple[int, int]) -> None:
    """Write many faces to an npy file that is never in memory as a whole."""
    faces = np.lib.format.open_memmap(path, "w+", np.uint8, (n, *shape))
    _vary(drawn(shape), faces)
    faces.flush()


def _vary(base: np.ndarray, faces: np.ndarray) -> None:
    """Fill `faces` with mixtures of two, shifted, mirrored, darker or brighter."""
    rng = np.random.default_rng(0)
    for first in range(0, len(faces), _CHUNK):
        part = faces[first : first + _CHUNK]
        m, h, w = part.shape
        rows = (np.arange(h) + rng.integers(-_SHIFT, _SHIFT + 1, (m, 1))) % h
        columns = (np.arange(w) + rng.integers(-_SHIFT, _SHIFT + 1, (m, 1))) % w
        columns = np.where(rng.random((m, 1)) < 0.5, columns, columns[:, ::-1])
        at = rows[:, :, None], columns[:, None, :]
        one, two = (base[i[:, None, None], *at] for i in rng.integers(len(base), size=(2, m)))
        share, light = rng.uniform((0.5, 0.7), (1, 1.1), (m, 2)).astype(np.float32).T
        mixed = one * share[:, None, None] + two * (1 - share)[:, None, None]
        part[:] = np.minimum(mixed * light[:, None, None], 255)
