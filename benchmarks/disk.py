"""A stack beyond memory: faces in a memory-mapped file, which peers cannot fit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import stacks
from benchmarks.apart import apart
from benchmarks.memory import PeakMemory, mapped, peak_resident
from benchmarks.page import megabytes, seconds, table
from napari_latent_faces.fitting import fit

if TYPE_CHECKING:
    from benchmarks.setting import Setting

__all__ = ["part"]


def part(setting: Setting) -> str:
    """Fit 200,000 faces on disk, once."""
    n, side, k = (2000, 16, 4) if setting.quick else (200_000, 64, 49)
    path = setting.folder / "many.npy"
    stacks.varied_on_disk(path, n, (side, side))
    found = apart(fit_mapped, str(path), k)
    path.unlink()
    rows = [
        ("time", seconds(found["seconds"])),
        ("iterations, and why it stopped", f"{found['iterations']}, {found['reason']}"),
        ("error", f"{found['error']:.5f}"),
        ("peak memory of the process in all", megabytes(found["peak"])),
        ("of it pages of the file, which the system can drop", megabytes(found["pages"])),
        ("what is left", megabytes(found["peak"] - found["pages"])),
        ("peak memory beyond what was there before the fit", megabytes(found["beyond"])),
        ("the stack as float32 / as float64", _sizes(n * side * side)),
    ]
    return table(
        (f"{n:,} faces of {side} x {side}, uint8, on disk, k = {k}, one run", ""), rows
    )


def fit_mapped(path: str, k: int) -> dict[str, float | str]:
    """Fit the stack in a file without loading it."""
    images = np.load(path, mmap_mode="r")
    fit(np.eye(8, dtype=np.uint8)[None].repeat(8, axis=0), n_components=1)  # the imports
    pages = mapped()
    with PeakMemory() as memory:
        began = time.perf_counter()
        model = fit(images, n_components=k)
        took = time.perf_counter() - began
    return {
        "seconds": took,
        "iterations": model.provenance.n_iter,
        "reason": model.provenance.stop_reason,
        "error": model.error,
        "peak": peak_resident(),
        "pages": mapped() - pages,
        "beyond": memory.beyond,
    }


def _sizes(values: int) -> str:
    return f"{megabytes(4 * values)} / {megabytes(8 * values)}"
