"""The solver beside scikit-learn's coordinate descent: time, error and memory.

    LATENT_FACES_DATA=... python benchmarks/solver.py [--runs 3] [--large] [--only NAME]

Real faces are read from the folder that LATENT_FACES_DATA names (``orl``, ``archive``);
without it, pictures are made. Every run is a process of its own, and the contestants take
turns, so that what else the machine does falls on all of them alike: look at the ratios.
No network is used.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

CONTESTANTS = ("multilevel", "cd float64", "cd float32")
SEEDS = (42, 0, 1, 2, 3)


def real_faces(folder: str) -> np.ndarray | None:
    """Read the grey pictures of a folder of the data, or return None."""
    from PIL import Image

    root = Path(os.environ.get("LATENT_FACES_DATA", "/nowhere")) / folder
    paths = sorted(each for each in root.rglob("*") if each.suffix in {".pgm", ".jpg"})
    if not paths:
        return None
    return np.stack([np.asarray(Image.open(path).convert("L")) for path in paths])


def made_faces(n: int, h: int, w: int) -> np.ndarray:
    """Make smooth pictures: mixtures of soft spots, shifted, with some noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:h, 0:w]
    parts = []
    for _ in range(150):
        cy, cx, size = rng.uniform(0, h), rng.uniform(0, w), rng.uniform(0.03, 0.25) * h
        parts.append(np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * size**2)))
    flat = np.array(parts, np.float32).reshape(len(parts), -1)
    found = np.empty((n, h * w), np.uint8)
    for first in range(0, n, 1000):
        rows = found[first : first + 1000]
        weights = rng.exponential(1.0, (len(rows), len(parts))) ** 2
        values = weights.astype(np.float32) @ flat
        values *= 235 / values.max(axis=1, keepdims=True)
        rows[:] = values + rng.normal(8, 3, values.shape).clip(0, 20)
    return found.reshape(n, h, w)


def many_faces(n: int, h: int, w: int) -> np.ndarray:
    """Make many faces from the real ones: shifts, mirrors, brightness and mixtures."""
    from PIL import Image

    base = real_faces("orl")
    if base is None:
        return made_faces(n, h, w)
    small = np.stack([np.asarray(Image.fromarray(each).resize((w, h))) for each in base])
    rng = np.random.default_rng(0)
    found = np.empty((n, h, w), np.uint8)
    for i in range(n):
        one, two = small[rng.integers(len(small), size=2)].astype(np.float32)
        share = rng.uniform(0.5, 1)
        face = share * one + (1 - share) * two
        face = np.roll(face, rng.integers(-3, 4, 2), axis=(0, 1)) * rng.uniform(0.7, 1.1)
        found[i] = np.clip(face[:, :: rng.choice((-1, 1))], 0, 255)
    return found


def cases(*, large: bool) -> dict[str, np.ndarray]:
    """Return the stacks to fit."""
    orl, folder = real_faces("orl"), real_faces("archive")
    found = {
        "400 x 112 x 92": made_faces(400, 112, 92) if orl is None else orl,
        "folder 80 x 70": made_faces(400, 80, 70) if folder is None else folder,
    }
    if large:
        found["13000 x 64 x 64"] = many_faces(13_000, 64, 64)
    return found


# -- one run, in a process of its own ---------------------------------------------


def resident() -> int:
    """Return the peak of the resident memory so far, in bytes."""
    import resource

    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run(path: str, contestant: str, k: int, seed: int, target: float) -> dict[str, float]:
    """Fit a stack once; return seconds, error and memory beyond the stack."""
    images = np.load(path)
    fit = run_multilevel if contestant == "multilevel" else run_scikit_learn
    warm = images[:8, :8, :8].copy()
    warm[0, 0, 0] = 255
    fit(warm, contestant, 2, seed, 0)  # what is imported, allocated and compiled once
    before = resident()
    found = fit(images, contestant, k, seed, target)
    return {**found, "megabytes": (resident() - before) / 2**20}


def run_multilevel(
    images: np.ndarray, _: str, k: int, seed: int, target: float
) -> dict[str, float]:
    from napari_latent_faces import iter_fit

    began, reached = time.perf_counter(), float("nan")
    steps = iter_fit(images, n_components=k, random_state=seed)
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            model = end.value
            break
        if np.isnan(reached) and step.error <= target:
            reached = time.perf_counter() - began
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "reached": reached,
        "error": model.error,
        "iterations": model.provenance.n_iter,
    }


def run_scikit_learn(
    images: np.ndarray, contestant: str, k: int, seed: int, _: float
) -> dict[str, float]:
    from sklearn.decomposition import NMF

    began = time.perf_counter()
    X = images.reshape(len(images), -1).astype(contestant.split()[1])
    X /= 255
    model = NMF(k, random_state=seed)
    model.fit_transform(X)
    seconds = time.perf_counter() - began
    error = float(model.reconstruction_err_) / float(np.linalg.norm(X))
    return {
        "seconds": seconds,
        "reached": seconds,
        "error": error,
        "iterations": model.n_iter_,
    }


# -- all of them -------------------------------------------------------------------


def apart(path: Path, contestant: str, k: int, seed: int, target: float) -> dict[str, float]:
    """Run once in a new process."""
    arguments = [str(path), contestant, str(k), str(seed), repr(target)]
    done = subprocess.run(  # noqa: S603
        [sys.executable, __file__, "--one", *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compare(path: Path, k: int, runs: int) -> dict[str, dict[str, float]]:
    """Return medians of interleaved runs, each to scikit-learn's float64 error."""
    target = apart(path, "cd float64", k, 42, 0.0)["error"]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    for _ in range(runs):
        for name in CONTESTANTS:
            found[name].append(apart(path, name, k, 42, target))
    return {
        name: {key: statistics.median(each[key] for each in rows) for key in rows[0]}
        for name, rows in found.items()
    }


def errors(path: Path, k: int) -> tuple[list[float], list[float]]:
    """Return the final errors over some random states: ours and scikit-learn's."""
    ours = [apart(path, "multilevel", k, seed, 0.0)["error"] for seed in SEEDS]
    theirs = [apart(path, "cd float32", k, seed, 0.0)["error"] for seed in SEEDS]
    return ours, theirs


def report(name: str, k: int, found: dict[str, dict[str, float]]) -> None:
    """Print a case as rows of a table."""
    whole = found["cd float64"]["seconds"]
    for contestant, row in found.items():
        print(
            f"| {name}, k={k} | {contestant} | {row['seconds']:.2f} s | {row['error']:.5f} "
            f"| {whole / row['reached']:.1f} | {whole / row['seconds']:.1f} "
            f"| {row['iterations']:.0f} | {row['megabytes']:.0f} MB |",
            flush=True,
        )


def main() -> None:
    """Compare on all cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="13,000 faces as well")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--seeds", action="store_true", help="errors over random states")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.one:
        path, contestant, k, seed, target = options.one
        print(json.dumps(run(path, contestant, int(k), int(seed), float(target))))
        return
    print("| case | solver | time | error | sooner at its error | sooner | its | memory |")
    print("|---|---|---|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        for name, images in cases(large=options.large).items():
            if options.only not in name:
                continue
            path = Path(folder) / "stack.npy"
            np.save(path, images)
            for k in (20, 49):
                report(name, k, compare(path, k, options.runs))
                if options.seeds:
                    ours, theirs = errors(path, k)
                    print(f"  mean error: {np.mean(ours):.5f}, cd {np.mean(theirs):.5f}")


if __name__ == "__main__":
    main()
