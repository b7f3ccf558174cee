"""The solver beside others: time, error, memory, sparsity."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from statistics import fmean, median
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import stacks
from benchmarks.apart import apart
from benchmarks.contestants import CONTESTANTS, OURS, YARDSTICK, fit_once, is_installed
from benchmarks.page import megabytes, ratio, seconds, table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.setting import Setting

    Runs = dict[str, list[dict[str, float]]]

__all__ = ["archive", "drawn", "many", "orl"]

_HEADER = (
    "k",
    "method",
    "to scikit-learn's error",
    "sooner",
    "to its own stop",
    "sooner",
    "error",
    "memory",
    "sparsity",
    "runs",
)


@dataclass(frozen=True)
class _Case:
    """A stack to compare on.

    Parameters
    ----------
    images : callable
        Returns the stack.
    contestants : tuple of str
        Who takes part, the yardstick first: it sets the error that is to be reached.
    components : tuple of int
        Numbers of components.
    runs, runs_of_peers : int
        How many random states are fitted by us, and by the others.
    """

    images: Callable[[], np.ndarray]
    contestants: tuple[str, ...] = tuple(CONTESTANTS)
    components: tuple[int, ...] = (20, 49)
    runs: int = 5
    runs_of_peers: int = 3


def orl(setting: Setting) -> str:
    """Compare on the ORL faces."""
    return _measured(_Case(partial(stacks.real, "orl")), setting)


def archive(setting: Setting) -> str:
    """Compare on the folder of 400 smaller faces."""
    return _measured(_Case(partial(stacks.real, "archive")), setting)


def drawn(setting: Setting) -> str:
    """Compare on the bundled faces."""
    return _measured(_Case(stacks.drawn, components=(20,)), setting)


def many(setting: Setting) -> str:
    """Compare on as many faces as LFW has."""
    n, shape = (800, (32, 32)) if setting.quick else (13_000, (64, 64))
    unhurried = tuple(name for name in CONTESTANTS if "nimfa" not in name)
    case = _Case(partial(stacks.varied, n, shape), unhurried, runs_of_peers=1)
    return _measured(case, setting)


def _measured(case: _Case, setting: Setting) -> str:
    """Compare on a case and return the tables."""
    images = case.images()
    if setting.quick:
        images = np.ascontiguousarray(images[::5, ::2, ::2])
    path = setting.folder / "stack.npy"
    np.save(path, images)
    found = {
        k: _compare(path, case, k, setting)
        for k in ((4,) if setting.quick else case.components)
    }
    n, h, w = images.shape
    missing = [name for name in case.contestants if not is_installed(name)]
    return "\n\n".join(
        [
            f"{n:,} faces of {w} x {h}, uint8.",
            table(_HEADER, [row for k, runs in found.items() for row in _rows(k, runs)]),
            *(
                _distance(k, name, runs[name])
                for k, runs in found.items()
                for name in OURS
                if name in runs
            ),
            *(f"Left out, since it is not installed: {name}." for name in missing),
        ]
    )


def _compare(path: Path, case: _Case, k: int, setting: Setting) -> Runs:
    """Let the contestants take turns; each turn has a random state of its own."""
    names = [name for name in case.contestants if is_installed(name)]
    runs, runs_of_peers = setting.runs(case.runs), setting.runs(case.runs_of_peers)
    found: Runs = {name: [] for name in names}
    target = 0.0
    for state in range(max(runs, runs_of_peers)):
        for name in names:
            if state >= (runs if name in OURS else runs_of_peers):
                continue
            found[name].append(apart(fit_once, str(path), name, k, state, target))
            if name == YARDSTICK:
                target = found[name][-1]["error"]
                found[name][-1]["reached"] = found[name][-1]["seconds"]
    return found


def _rows(k: int, found: Runs) -> list[tuple[str, ...]]:
    whole = _median(found[YARDSTICK], "seconds")
    return [_row(k, name, runs, whole) for name, runs in found.items()]


def _row(k: int, name: str, runs: list[dict[str, float]], whole: float) -> tuple[str, ...]:
    reached, stopped = _median(runs, "reached"), _median(runs, "seconds")
    return (
        str(k),
        name,
        seconds(reached),
        ratio(whole, reached),
        seconds(stopped),
        ratio(whole, stopped),
        f"{fmean(run['error'] for run in runs):.5f}",
        megabytes(_median(runs, "memory")),
        f"{_median(runs, 'sparsity'):.2f}",
        str(len(runs)),
    )


def _distance(k: int, name: str, runs: list[dict[str, float]]) -> str:
    """Say how far from the machine's own rate our products are."""
    iterations, flops, limit = (_median(runs, key) for key in ("iterations", "flops", "limit"))
    return (
        f"With k = {k}, {name} made {iterations:.0f} iterations and, in the whole time, "
        f"{flops / 1e9:.0f} GFLOP/s of products with pixels: {flops / limit:.0%} of the "
        f"{limit / 1e9:.0f} GFLOP/s that the machine makes of these products alone."
    )


def _median(runs: list[dict[str, float]], key: str) -> float:
    """Return the median; NaN if that of most runs is."""
    values = sorted(run[key] if run[key] == run[key] else np.inf for run in runs)
    middle = median(values)
    return float(middle) if np.isfinite(middle) else float("nan")
