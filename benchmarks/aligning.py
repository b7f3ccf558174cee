"""Faces brought onto one another: error, sharpness, what was undone, and the time it takes."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import stacks
from benchmarks.apart import apart
from benchmarks.page import seconds, table
from benchmarks.setting import Skipped
from napari_latent_faces.aligning import iter_align
from napari_latent_faces.samples import read_lfw_subset
from napari_latent_faces.steps import consume

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.setting import Setting

__all__ = ["align", "part"]

_HEADER = (
    "faces",
    "kept",
    "error before",
    "after",
    "sharper",
    "left alone",
    "undone to",
    "time",
)
_MANY = 13_233  # faces of LFW


def part(setting: Setting) -> str:
    """Align ORL, drawn faces that were moved, and as many as LFW has, lazily."""
    rows = []
    n = 40 if setting.quick else 400
    path = setting.folder / "faces.npy"
    try:
        np.save(path, stacks.real("orl"))
        rows.append(_row("ORL", path, (92, 76), setting.runs(3)))
    except Skipped:
        pass
    np.save(path, _enlarged(read_lfw_subset().images))
    rows.append(_row("100 of LFW", path, None, 1))
    np.save(path, stacks.drawn()[:: 400 // n])
    rows.append(_row(f"{n} drawn, as they are", path, (92, 76), setting.runs(3)))
    moved = setting.folder / "moved.npy"
    _save_moved(moved, path, _random_transforms(n))
    rows.append(_row(f"{n} drawn, moved", moved, (92, 76), setting.runs(3), still=path))
    many, size = (60, (50, 50)) if setting.quick else (_MANY, (250, 250))
    stacks.varied_on_disk(path, many, size)
    rows.append(_row(f"{many:,} drawn, lazy", path, None, 1))
    notes = (
        "Errors are those of NMF with 20 components, of up to 1,000 faces; *sharper* is the "
        "variance of the gradient of the mean face, compared with before. *Undone to*: shifts "
        "(3 pixels), rotations (0.08) and scales (6 %) put on the drawn faces, compared with "
        "where the faces that were not moved are brought to; the median. *Of LFW*: the 100 "
        "pictures of 25 x 25 pixels that scikit-image has, three times as large. *Lazy*: as "
        "many as LFW has, and as large (250 x 250), made from the drawn ones."
    )
    return table(_HEADER, rows) + "\n\n" + notes


def _row(
    name: str, path: Path, size: tuple[int, int] | None, runs: int, still: Path | None = None
) -> tuple[str, ...]:
    found = [apart(align, str(path), size, still and str(still)) for _ in range(runs)]
    first = found[0]
    h, w = first["size"]
    return (
        name,
        f"{w:.0f} x {h:.0f}",
        f"{first['before']:.4f}",
        f"{first['after']:.4f}",
        f"{first['sharpness']:.1f} times",
        f"{first['misfits']:.0f}",
        "" if first["away"] is None else f"{first['away']:.2f} pixels",
        seconds(median(run["seconds"] for run in found)),
    )


def align(path: str, size: tuple[int, int] | None, still: str | None) -> dict:
    """Align the faces in an npy file; return the figures.

    Parameters
    ----------
    path : str
        The file; it is read lazily if there is no size.
    size : tuple of int, optional
        Height and width to keep.
    still : str, optional
        The file of the same faces before they were moved.
    """
    images = np.load(path, mmap_mode=None if size else "r")
    if size is None:
        import dask.array

        images = dask.array.from_array(images, (64, -1, -1))
    consume(iter_align(np.asarray(images[:30]), size=size))  # the imports
    began = time.perf_counter()
    found = consume(iter_align(images, size=size))
    found.apply(images)
    took = time.perf_counter() - began
    away = None
    if still is not None:
        known = _random_transforms(len(images))
        before = consume(iter_align(np.load(still), size=size)).transforms
        away = float(np.median(_away(found.transforms, np.linalg.inv(known) @ before)))
    return {
        "seconds": took,
        "before": found.error[0],
        "after": found.error[1],
        "sharpness": found.sharpness,
        "misfits": len(found.misfits),
        "size": found.box[2:],
        "away": away,
    }


def _enlarged(faces: np.ndarray) -> np.ndarray:
    from scipy.ndimage import zoom

    return np.stack([zoom(face, 3, order=3) for face in faces]).clip(0)


def _random_transforms(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    scales, turns = np.exp(rng.normal(0, 0.06, n)), rng.normal(0, 0.08, n)
    c, s = scales * np.cos(turns), scales * np.sin(turns)
    transforms = np.tile(np.eye(3), (n, 1, 1))
    transforms[:, :2, :2] = np.array([[c, -s], [s, c]]).transpose(2, 0, 1)
    middle = np.array([55.5, 45.5])
    transforms[:, :2, 2] = middle + rng.normal(0, 3, (n, 2)) - transforms[:, :2, :2] @ middle
    return transforms


def _save_moved(path: Path, still: Path, transforms: np.ndarray) -> None:
    from scipy.ndimage import affine_transform

    pairs = zip(np.load(still), transforms, strict=True)
    np.save(
        path, [affine_transform(face, each, order=1, mode="nearest") for face, each in pairs]
    )


def _away(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return how many pixels transforms differ by, once all are moved alike."""
    alike = np.linalg.lstsq(np.vstack(found), np.vstack(expected), rcond=None)[0]
    y, x = np.meshgrid(np.linspace(10, 101, 7), np.linspace(8, 83, 7), indexing="ij")
    places = np.stack([y.ravel(), x.ravel(), np.ones(y.size)])
    return np.linalg.norm(((found @ alike - expected) @ places)[:, :2], axis=1).mean(1)
