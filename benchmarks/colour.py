"""As many faces as LFW has, in colour and in grey: what reading and fitting them takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import stacks
from benchmarks.apart import apart
from benchmarks.memory import PeakMemory
from benchmarks.page import megabytes, ratio, seconds, table
from napari_latent_faces.fitting import fit
from napari_latent_faces.reading import read_faces
from napari_latent_faces.stack import luminance

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.setting import Setting

__all__ = ["fit_once", "part"]

_TINT = np.array((1.0, 0.8, 0.65), np.float32)
_MANY = 13_233  # faces of LFW
_FEWER = 4000  # as large as those of LFW: all of them take minutes
_HEADER = ("faces", "k", "", "processor time", "to grey", "memory", "to grey", "error")


def part(setting: Setting) -> str:
    """Fit a stack in colour, and the same in grey, each in a process of its own."""
    rows = []
    cases = ((_MANY, (64, 64), 20), (_MANY, (64, 64), 49), (_FEWER, (250, 250), 20))
    for number, shape, k in cases:
        n = 60 if setting.quick else number
        paths = [setting.folder / f"{words} {shape[0]}.npy" for words in ("grey", "colour")]
        if not paths[0].exists():
            _write(*paths, n, shape)
        grey, colour = (apart(fit_once, str(path), k) for path in paths)
        for words, found in (("grey", grey), ("colour", colour)):
            rows.append(
                (
                    f"{n:,} of {shape[1]} x {shape[0]}",
                    str(k),
                    words,
                    seconds(found["seconds"]),
                    ratio(found["seconds"], grey["seconds"]),
                    megabytes(found["memory"]),
                    ratio(found["memory"], grey["memory"]),
                    f"{found['error']:.4f}",
                )
            )
    notes = (
        "A matrix is opened from disk, lazily where it is larger than the memory budget, and "
        "fitted. Processor time of all threads; memory with the pages of the file, which the "
        "system takes back when it needs them."
    )
    return table(_HEADER, rows) + "\n\n" + notes


def fit_once(path: str, k: int) -> dict[str, float]:
    """Read a matrix and fit it; return processor seconds, bytes beyond the start, and error."""
    fit(stacks.drawn((32, 32), 2), n_components=2, max_iter=2)  # the imports
    with PeakMemory() as memory:
        began = time.process_time()
        model = fit(read_faces(path), n_components=k)
        took = time.process_time() - began
    return {"seconds": took, "memory": memory.beyond, "error": float(model.error)}


def _write(grey: Path, colour: Path, n: int, shape: tuple[int, int]) -> None:
    """Write faces of different tints, and the same in grey, some at a time."""
    rng = np.random.default_rng(1)
    faces = stacks.varied(n, shape)
    coloured = np.lib.format.open_memmap(colour, "w+", np.uint8, (n, *shape, 3))
    for first in range(0, n, 500):
        some = faces[first : first + 500]
        tints = _TINT ** rng.uniform(0.5, 1.5, (len(some), 1, 1, 1))
        coloured[first : first + 500] = some[..., np.newaxis] * tints
        some[:] = luminance(coloured[first : first + 500])
    coloured.flush()
    np.save(grey, faces)
