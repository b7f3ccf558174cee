"""Where the time of a fit goes: its levels, the products with pixels, and the sweeps."""

from __future__ import annotations

import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import stacks
from benchmarks.apart import apart
from benchmarks.contestants import OURS, is_installed, without_kernel
from benchmarks.page import milliseconds, table
from benchmarks.setting import Skipped
from napari_latent_faces.fitting import iter_fit
from napari_latent_faces.solvers.blocks import (
    FaceBlocks,
    LocalBackend,
    Workers,
    cut,
    one_blas_thread,
)
from napari_latent_faces.solvers.factors import halve
from napari_latent_faces.solvers.hals import combine, cross, sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.setting import Setting
    from napari_latent_faces.solvers.blocks import Block

__all__ = ["measure", "part"]

_HEADER = (
    "faces",
    "k",
    "sweeps by",
    "pixels",
    "iterations",
    "time",
    "products",
    "sweeps",
    "the rest",
)
_REPEATS = 20  # of what is measured alone


def part(setting: Setting) -> str:
    """Measure the levels of fits of real faces, or of drawn ones where there are none."""
    rows = []
    ways = ("C", "NumPy") if is_installed(OURS[0]) else ("NumPy",)
    path = setting.folder / "stack.npy"
    for name, images in _faces(setting):
        np.save(path, images)
        for k in (4,) if setting.quick else (20, 49):
            found: dict[str, list[dict[str, dict[str, float]]]] = {way: [] for way in ways}
            for state in range(setting.runs(3)):
                for way in ways:
                    found[way].append(apart(measure, str(path), k, state, way == "C"))
            rows += [
                _row(name, k, way, [run[level] for run in runs])
                for way, runs in found.items()
                for level in sorted(runs[0])[::-1]
            ]
    return table(_HEADER, rows)


def _faces(setting: Setting) -> list[tuple[str, np.ndarray]]:
    try:
        return [(name, stacks.real(name)) for name in ("orl", "archive")]
    except Skipped:
        faces = stacks.drawn()
        return [("drawn", faces[::5, ::2, ::2] if setting.quick else faces)]


def _row(name: str, k: int, way: str, runs: list[dict[str, float]]) -> tuple[str, ...]:
    found = {key: median(run[key] for run in runs) for key in runs[0]}
    alone = found["iterations"] * np.array([found["products"], found["sweeps"]])
    shares = [f"{share:.0%}" for share in alone / found["seconds"]]
    rest = f"{max(0.0, 1 - alone.sum() / found['seconds']):.0%}"
    count = f"{found['iterations']:.0f}"
    return (
        name,
        str(k),
        way,
        f"{found['p']:.0f}",
        count,
        milliseconds(found["seconds"]),
        *shares,
        rest,
    )


def measure(path: str, k: int, state: int, is_compiled: bool) -> dict[int, dict[str, float]]:
    """Return what each level of a fit takes, and its products and sweeps alone.

    Parameters
    ----------
    path : str
        An npy file of faces.
    k : int
        Components.
    state : int
        Random state.
    is_compiled : bool
        Whether compiled sweeps are used, where there are any.

    Returns
    -------
    dict
        By the number of halvings, as text: the `seconds` and `iterations` of the level,
        its pixels `p`, and the seconds of one iteration's `products` and `sweeps`.
    """
    if not is_compiled:
        without_kernel()
    images = np.load(path)
    _fitted(images, k, state)  # the imports
    found = _fitted(images, k, state)
    pictures = images.astype(np.float32)
    with Workers() as workers, one_blas_thread():
        for level in range(max(found) + 1):
            blocks = FaceBlocks(images if level == 0 else pictures, 255 if level == 0 else 1)
            found[level] |= _alone(LocalBackend(blocks, workers), k)
            pictures = halve(pictures)
    return found


def _fitted(images: np.ndarray, k: int, state: int) -> dict[int, dict[str, float]]:
    """Return the seconds and iterations of each level; reading counts for the first."""
    found: dict[int, dict[str, float]] = {}
    before, seen = 0, time.perf_counter()
    for step in iter_fit(images, n_components=k, random_state=state):
        now = time.perf_counter()
        level = found.setdefault(step.factors.level, {"seconds": 0.0, "iterations": 0})
        level["seconds"] += now - seen
        level["iterations"] += step.iteration - before
        before, seen = step.iteration, time.perf_counter()
    return found


def _alone(backend: LocalBackend, k: int) -> dict[str, float]:
    """Return what products and sweeps of one iteration take with nothing else around."""
    rng = np.random.default_rng(0)
    H, W = (rng.random((k, length), np.float32) for length in (backend.p, backend.n))
    first = backend.blocks.rows[0]  # the longest
    C = H @ backend.blocks.read_as_is(first).T
    WX = W[:, first] @ backend.blocks.read_as_is(first)

    def products(block: Block, H: np.ndarray, W: np.ndarray) -> None:
        cross(H, block)
        combine(W, block)

    def sweep_weights(_: Block, G: np.ndarray, W: np.ndarray) -> None:
        sweep(W.copy(), G, C[:, : W.shape[1]])

    def sweep_columns(columns: slice, G: np.ndarray) -> None:
        sweep(H[:, columns].copy(), G, WX[:, columns].copy())

    def sweeps() -> None:
        list(backend.each(sweep_weights, H @ H.T, W))
        paint = partial(sweep_columns, G=W @ W.T)
        list(backend.workers.each(paint, cut(backend.p, 6144, 3072, shares=2)))

    return {
        "p": backend.p,
        "products": _time(lambda: list(backend.each(products, H, W))),
        "sweeps": _time(sweeps),
    }


def _time(job: Callable[[], object]) -> float:
    """Return the median of some calls."""
    times = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        job()
        times.append(time.perf_counter() - began)
    return median(times)
