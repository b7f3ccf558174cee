"""The factorizations that are compared: each fits a stack once, in its own process."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.machine import product_rate
from benchmarks.memory import PeakMemory
from napari_latent_faces.fitting import iter_fit
from napari_latent_faces.solvers.blocks import FaceBlocks

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CONTESTANTS",
    "OURS",
    "YARDSTICK",
    "fit_once",
    "is_installed",
    "without_kernel",
]

OURS = ("this package, compiled", "this package, NumPy alone")
YARDSTICK = "scikit-learn cd, float64"
_FORGIVEN = 1e-4  # peers that end so little above the yardstick's error have reached it
_WHITE = 255  # all stacks are of 8 bits


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one fit found; `reached` is when, in seconds, its error was low enough."""

    W: np.ndarray
    H: np.ndarray
    reached: float | None = None
    iterations: int = 0
    flop: int = 0


def fit_once(path: str, name: str, k: int, state: int, target: float) -> dict[str, float]:
    """Fit the stack in a file once.

    Parameters
    ----------
    path : str
        An npy file of faces, shape (n, h, w), uint8.
    name : str
        One of `CONTESTANTS`.
    k : int
        Components.
    state : int
        Random state.
    target : float
        The relative error to reach.

    Returns
    -------
    dict
        `seconds` to the end, and to the target (`reached`, NaN if it was not); the exact
        relative `error`; `memory` beyond the stack in bytes; `sparsity` of components;
        for ours `iterations`, and the operations a second of its products (`flops`)
        beside those that the machine makes of the same products alone (`limit`).
    """
    images = np.load(path)
    fit, _ = CONTESTANTS[name]
    fit(_small(), 2, state, 0.0)  # what is imported, allocated and compiled once
    with PeakMemory() as memory:
        began = time.perf_counter()
        found = fit(images, k, state, target)
        took = time.perf_counter() - began
    error = _relative_error(images, found.W, found.H)
    reached = found.reached
    if reached is None:
        reached = took if error <= target * (1 + _FORGIVEN) else float("nan")
    result = {
        "seconds": took,
        "reached": reached,
        "error": error,
        "memory": memory.beyond,
        "sparsity": _sparsity(found.H),
        "iterations": found.iterations,
    }
    if found.flop:
        blocks = FaceBlocks(images)
        result["flops"] = found.flop / took
        result["limit"] = product_rate(k, blocks.p, blocks.longest)
    return result


def is_installed(name: str) -> bool:
    """Tell whether a contestant can be run here."""
    _, module = CONTESTANTS[name]
    return find_spec(module) is not None


# -- the contestants ---------------------------------------------------------------


def without_kernel() -> None:
    """Let this process work as it would where nothing could be compiled."""
    os.environ["LATENT_FACES_BACKEND"] = "numpy"


def _by_numpy(images: np.ndarray, k: int, state: int, target: float) -> Outcome:
    without_kernel()
    return _multilevel(images, k, state, target)


def _multilevel(images: np.ndarray, k: int, state: int, target: float) -> Outcome:
    began = time.perf_counter()
    reached, iteration, flop = float("nan"), 0, 0
    steps = iter_fit(images, n_components=k, random_state=state)
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            model = end.value
            break
        W, H = step.factors.W, step.factors.H
        if step.iteration > iteration:  # a long iteration shows the same factors repeatedly
            iteration = step.iteration
            flop += 4 * len(W) * H.size  # two products with the pixels of the level
        is_whole = len(W) == len(images)  # the error of a sample proves nothing
        if np.isnan(reached) and is_whole and step.error <= target:
            reached = time.perf_counter() - began
    H = model.components.reshape(k, -1)
    return Outcome(model.weights, H, reached, iteration, flop)


def _scaled(images: np.ndarray, dtype: type[np.floating]) -> np.ndarray:
    X = images.reshape(len(images), -1).astype(dtype)
    X /= _WHITE
    return X


def _coordinate_descent(dtype: type[np.floating]) -> Callable[..., Outcome]:
    def fit(images: np.ndarray, k: int, state: int, _: float) -> Outcome:
        from sklearn.decomposition import NMF

        model = NMF(k, random_state=state)
        return Outcome(model.fit_transform(_scaled(images, dtype)), model.components_)

    return fit


def _mini_batch(images: np.ndarray, k: int, state: int, _: float) -> Outcome:
    from sklearn.decomposition import MiniBatchNMF

    model = MiniBatchNMF(k, random_state=state)
    return Outcome(model.fit_transform(_scaled(images, np.float32)), model.components_)


def _lsnmf(images: np.ndarray, k: int, _: int, __: float) -> Outcome:
    import nimfa

    np.mat = np.asmatrix  # noqa: NPY201 - nimfa 1.4.0 asks for it
    found = nimfa.Lsnmf(_scaled(images, np.float64), rank=k)()
    return Outcome(np.asarray(found.basis()), np.asarray(found.coef()))


def _torch_hals(images: np.ndarray, k: int, state: int, _: float) -> Outcome:
    from nmf import run_nmf

    W, H, _ = run_nmf(_scaled(images, np.float32), k, algo="hals", random_state=state)
    return Outcome(np.asarray(W), np.asarray(H))


CONTESTANTS = {  # with the module that each needs
    YARDSTICK: (_coordinate_descent(np.float64), "sklearn"),
    OURS[0]: (_multilevel, "napari_latent_faces.solvers._kernel"),
    OURS[1]: (_by_numpy, "napari_latent_faces"),
    "scikit-learn cd, float32": (_coordinate_descent(np.float32), "sklearn"),
    "scikit-learn MiniBatchNMF, float32": (_mini_batch, "sklearn"),
    "nimfa LSNMF, float64": (_lsnmf, "nimfa"),
    "nmf-torch HALS, float32": (_torch_hals, "nmf"),  # `pip install nmf-torch`, with torch
}


# -- judging what they find --------------------------------------------------------


def _small() -> np.ndarray:
    return np.random.default_rng(0).integers(0, _WHITE + 1, (8, 8, 8), np.uint8)


def _relative_error(images: np.ndarray, W: np.ndarray, H: np.ndarray) -> float:
    """Return the relative Frobenius error, in float64 and the same for all."""
    lost = whole = 0.0
    H = H.astype(np.float64)
    for first in range(0, len(images), 500):
        rows = slice(first, first + 500)
        X = _scaled(images[rows], np.float64)
        whole += np.vdot(X, X)
        X -= W[rows] @ H
        lost += np.vdot(X, X)
    return float(np.sqrt(lost / whole))


def _sparsity(H: np.ndarray) -> float:
    """Return the mean sparsity of the components after Hoyer: 0 even, 1 a single pixel."""
    root = np.sqrt(H.shape[1])
    norms = np.linalg.norm(H, axis=1)
    used = norms > 0
    return float(np.mean((root - H[used].sum(axis=1) / norms[used]) / (root - 1)))
