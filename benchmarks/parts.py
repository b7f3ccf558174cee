"""What sparse components cost: error, time beside the plain fit, and single pixels in them."""

from __future__ import annotations

import time
import warnings
from itertools import product
from statistics import median

import numpy as np

from benchmarks import stacks
from benchmarks.apart import apart
from benchmarks.page import milliseconds, table
from benchmarks.setting import Setting, Skipped
from napari_latent_faces.fitting import fit
from napari_latent_faces.solvers.factors import halve

__all__ = ["measure", "part"]

_HEADER = ("faces", "sparseness", "least found", "error", "iterations", "time", "alone")
_ASKED = (0.0, 0.5, 0.6, 0.7)
_LIT = 0.1  # of the brightest pixel of a component


def part(setting: Setting) -> str:
    """Fit ORL, or drawn faces where there are none, at full and half size."""
    try:
        name, faces = "ORL", stacks.real("orl")
    except Skipped:
        name, faces = "drawn", stacks.drawn()[:: 5 if setting.quick else 1]
    half = halve(faces.astype(np.float32)) / (4 * 255)
    rows = []
    for words, images in ((name, faces), (f"{name}, 2 x 2 means", half)):
        path = setting.folder / "faces.npy"
        np.save(path, images)
        found = [apart(measure, str(path), 25) for _ in range(setting.runs(3))]
        plain = median(run[0]["seconds"] for run in found)
        for i, asked in enumerate(_ASKED):
            one, seconds = found[0][i], median(run[i]["seconds"] for run in found)
            rows.append(
                (
                    words,
                    f"{asked:g}",
                    f"{one['sparseness']:.3f}",
                    f"{one['error']:.4f}",
                    f"{one['iterations']:.0f}",
                    f"{milliseconds(seconds)} ({seconds / plain:.1f} times)",
                    f"{one['alone']:.2%}",
                )
            )
    notes = (
        "k = 25; times are those of the processor. *Alone* are pixels brighter than a tenth of "
        "their component's maximum of whose eight neighbours none is."
    )
    return table(_HEADER, rows) + "\n\n" + notes


def measure(path: str, k: int) -> list[dict[str, float]]:
    """Return what fits with each sparseness come to, and their seconds of processor time."""
    images = np.load(path)
    warnings.simplefilter("ignore")
    fit(images, n_components=k)  # the imports
    found = []
    for asked in _ASKED:
        began = time.process_time()
        model = fit(images, n_components=k, sparseness=asked)
        found.append(
            {
                "seconds": time.process_time() - began,
                "error": model.error,
                "iterations": model.provenance.n_iter,
                "sparseness": float(_sparseness(model.components).min()),
                "alone": _alone(model.components),
            }
        )
    return found


def _sparseness(components: np.ndarray) -> np.ndarray:
    """Return Hoyer's sparseness of each component, from 0 (flat) to 1 (a single pixel)."""
    rows = components.reshape(len(components), -1).astype(np.float64)
    root = np.sqrt(rows.shape[1])
    return (root - rows.sum(axis=1) / np.linalg.norm(rows, axis=1)) / (root - 1)


def _alone(components: np.ndarray) -> float:
    lit = np.pad(components > _LIT, ((0, 0), (1, 1), (1, 1)))
    around = [shift for shift in product((-1, 0, 1), repeat=2) if shift != (0, 0)]
    neighbours = np.sum([np.roll(lit, shift, axis=(1, 2)) for shift in around], axis=0)
    return float((lit & (neighbours == 0)).sum() / lit.sum())
