"""What a person waits for: whole commands, and the first steps of a fresh process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Self

from benchmarks.apart import apart
from benchmarks.page import megabytes, milliseconds, ratio, seconds, table
from benchmarks.setting import Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

    from benchmarks.setting import Setting

    Measure = Callable[[], dict[str, float]]

__all__ = ["choose_ours", "choose_theirs", "encode", "fits", "keep", "part", "whole"]

_HEADER = (
    "what",
    "this package",
    "processor",
    "memory",
    "beside",
    "its time",
    "processor",
    "memory",
    "sooner",
    "less processor",
)
_BLOG = Path(__file__).with_name("blog.py")
_PACKAGE = (sys.executable, "-m", "napari_latent_faces")


def part(setting: Setting) -> str:
    """Measure all of it, each beside what a user would do instead."""
    rows = [
        *_commands(setting),
        *_fresh_fits(setting),
        *_choices(setting),
        *_encodings(setting),
        *_files(setting),
    ]
    return table(_HEADER, rows)


# -- whole commands ------------------------------------------------------------------


def _commands(setting: Setting) -> Iterator[tuple[str, ...]]:
    """Yield what commands take from start to end of their process."""
    if not hasattr(os, "wait4"):
        raise Skipped("this system does not tell what a process took")
    runs = setting.runs(5)
    for folder, words in _folders(setting):
        model = setting.folder / f"{folder.name}-model"
        out = setting.folder / f"{folder.name}-blog"
        fit = [*_PACKAGE, "fit", str(folder), "-k", "20", "-o", str(model)]
        blog = [sys.executable, str(_BLOG), str(folder), str(out)]
        ours, theirs = (
            partial(apart, whole, fit, str(model)),
            partial(apart, whole, blog, str(out)),
        )
        yield _row(
            f"{words}, k = 20: folder to pictures", ours, "the blog's script", theirs, runs
        )
    numpy = partial(apart, whole, [sys.executable, "-c", "import numpy"])
    for words in (["--help"], ["info", str(model)]):
        name = f"latent-faces {words[0]}{' MODEL' * (len(words) - 1)}"
        yield _row(
            name, partial(apart, whole, [*_PACKAGE, *words]), "import numpy", numpy, runs
        )


def _folders(setting: Setting) -> Iterator[tuple[Path, str]]:
    """Yield folders of real faces, or of made ones where there are none."""
    root = Path(os.environ.get("LATENT_FACES_DATA", ""))
    real = [root / name for name in ("archive", "orl") if (root / name).is_dir()]
    if not setting.quick and os.environ.get("LATENT_FACES_DATA") and real:
        yield from ((folder, folder.name) for folder in real)
        return
    from benchmarks.reading import write_pgm

    subjects = 3 if setting.quick else 40
    folder = setting.folder / "faces"
    write_pgm(folder, subjects)
    yield folder, f"{10 * subjects} PGM"


# -- in a process of its own -----------------------------------------------------------


def whole(command: list[str], out: str | None = None) -> dict[str, float]:
    """Run a command once; `out`, which it makes, is removed before.

    The memory of a process counts from that of its parent, which must be small.
    """
    if out is not None:
        shutil.rmtree(out, ignore_errors=True)
    environment = {**os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its own
    began = time.perf_counter()
    with subprocess.Popen(  # noqa: S603
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        _, status, used = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} failed with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    memory = float(used.ru_maxrss * unit)
    return {"time": took, "processor": used.ru_utime + used.ru_stime, "memory": memory}


def _fresh_fits(setting: Setting) -> Iterator[tuple[str, ...]]:
    """Yield the first fit of a process, with the imports, and the second, without."""
    path, size = _stack(setting, 400, (112, 92))
    runs = setting.runs(3)
    found = {
        who: [apart(fits, str(path), who) for _ in range(runs)] for who in ("ours", "theirs")
    }
    for which, words in (("first", "import and first fit"), ("second", "second fit")):
        ours, theirs = ([run[which] for run in found[who]] for who in ("ours", "theirs"))
        yield _row_of(f"{size}, k = 20: {words}", ours, "scikit-learn", theirs)


def fits(path: str, who: str) -> dict[str, dict[str, float]]:
    """Fit a stack twice, and tell what both took, imports with the first."""
    import numpy as np

    images = np.load(path)
    found = {}
    for which in ("first", "second"):
        with _Clock() as clock:
            if who == "ours":
                from napari_latent_faces.fitting import fit

                fit(images, n_components=20)
            else:
                from sklearn.decomposition import NMF

                NMF(20, random_state=42).fit(images.reshape(len(images), -1) / 255)
        found[which] = clock.taken
    return found


def _choices(setting: Setting) -> Iterator[tuple[str, ...]]:
    """Yield what a choice of k takes to its first answer and to its end."""
    path, size = _stack(setting, 400, (112, 92))
    ks = [2, 4] if setting.quick else list(range(10, 61, 10))
    runs = setting.runs(1)
    pairs = [
        (apart(choose_ours, str(path), ks), apart(choose_theirs, str(path), ks))
        for _ in range(runs)
    ]
    for which, words in (("first", "first answer"), ("end", "all")):
        what = f"{size}, k = {ks[0]} to {ks[-1]} chosen from held-out errors: {words}"
        ours, theirs = ([pair[i][which] for pair in pairs] for i in (0, 1))
        yield _row_of(what, ours, "scikit-learn, one fit of all faces each", theirs)


def choose_ours(path: str, ks: list[int]) -> dict[str, dict[str, float]]:
    """Measure numbers of components, held-out errors and stability included."""
    import numpy as np

    from napari_latent_faces.choosing import iter_choose_k

    images, found = np.load(path), {}
    with _Clock() as clock:
        for step in iter_choose_k(images, ks):
            if "first" not in found and len(step.choice.ks):
                found["first"] = clock.now()
    return {"first": found.get("first", clock.taken), "end": clock.taken}


def choose_theirs(path: str, ks: list[int]) -> dict[str, dict[str, float]]:
    """Fit all faces once for each number of components, for the error alone."""
    import numpy as np
    from sklearn.decomposition import NMF

    X, found = np.load(path), {}
    with _Clock() as clock:
        X = X.reshape(len(X), -1) / 255
        for k in ks:
            NMF(k, random_state=42).fit(X)
            found.setdefault("first", clock.now())
    return {**found, "end": clock.taken}


def _encodings(setting: Setting) -> Iterator[tuple[str, ...]]:
    path, size = _stack(setting, 13_233, (64, 64))
    pairs = [
        [apart(encode, str(path), who) for who in ("ours", "theirs")]
        for _ in range(setting.runs(3))
    ]
    ours, theirs = zip(*pairs, strict=True)
    yield _row_of(f"{size}: encode with 20 components", ours, "scikit-learn", theirs)


def encode(path: str, who: str) -> dict[str, float]:
    """Find the weights of faces for the components of a fit of some of them."""
    import numpy as np
    from sklearn.decomposition import NMF

    from napari_latent_faces.fitting import fit

    images = np.load(path)
    some = images[:: max(1, len(images) // 400)]
    model = fit(some, n_components=20)
    nmf = NMF(20, random_state=42, max_iter=2).fit(some.reshape(len(some), -1) / 255)
    nmf.set_params(max_iter=200)
    nmf.components_ = model.components.reshape(20, -1).astype(float)
    with _Clock() as clock:
        if who == "ours":
            model.encode(images)
        else:
            nmf.transform(images.reshape(len(images), -1) / 255)
    return clock.taken


def _files(setting: Setting) -> Iterator[tuple[str, ...]]:
    path, size = _stack(setting, 400, (112, 92))
    pairs = [
        [
            apart(keep, str(path), str(setting.folder / "kept"), who)
            for who in ("ours", "theirs")
        ]
        for _ in range(setting.runs(3))
    ]
    for which in ("save", "load"):
        ours, theirs = ([pair[i][which] for pair in pairs] for i in (0, 1))
        yield _row_of(f"{size}, k = 20: {which} a model", ours, "joblib", theirs)


def keep(path: str, place: str, who: str) -> dict[str, dict[str, float]]:
    """Save a model and load it again."""
    import joblib
    import numpy as np
    from sklearn.decomposition import NMF

    from napari_latent_faces.fitting import fit
    from napari_latent_faces.model import LatentFaces

    images = np.load(path)
    if who == "ours":
        model = fit(images, n_components=20)
        with _Clock() as save:
            model.save(f"{place}.npz")
        with _Clock() as load:
            LatentFaces.load(f"{place}.npz")
    else:
        nmf = NMF(20, random_state=42, max_iter=2)
        W = nmf.fit_transform(images.reshape(len(images), -1) / 255)
        with _Clock() as save:
            joblib.dump((nmf, W), f"{place}.joblib")
        with _Clock() as load:
            joblib.load(f"{place}.joblib")
    return {"save": save.taken, "load": load.taken}


class _Clock:
    """The time and the processor time that a block takes."""

    taken: dict[str, float]

    def __enter__(self) -> Self:
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *exc: object) -> None:
        self.taken = self.now()

    def now(self) -> dict[str, float]:
        """Return what was taken so far."""
        began, processor = self._began
        return {
            "time": time.perf_counter() - began,
            "processor": time.process_time() - processor,
        }


# -- rows ------------------------------------------------------------------------------


def _stack(setting: Setting, n: int, shape: tuple[int, int]) -> tuple[Path, str]:
    """Write a stack of made faces, unless it is there; return its path and what it is."""
    import numpy as np

    from benchmarks import stacks

    if setting.quick:
        n, shape = 60, (28, 23)
    path = setting.folder / f"{n}-{shape[0]}.npy"
    if not path.exists():
        images: np.ndarray = stacks.varied(n, shape)
        np.save(path, images)
    return path, f"{n:,} made faces of {shape[1]} x {shape[0]}"


def _row(what: str, ours: Measure, beside: str, theirs: Measure, runs: int) -> tuple[str, ...]:
    """Run both in turn."""
    pairs = [(ours(), theirs()) for _ in range(runs)]
    return _row_of(what, [pair[0] for pair in pairs], beside, [pair[1] for pair in pairs])


def _row_of(
    what: str, ours: list[dict[str, float]], beside: str, theirs: list[dict[str, float]]
) -> tuple[str, ...]:
    one, other = _medians(ours), _medians(theirs)
    return (
        what,
        *_cells(one),
        beside,
        *_cells(other),
        ratio(other["time"], one["time"]),
        ratio(other["processor"], one["processor"]),
    )


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(run[name] for run in runs) for name in runs[0]}


def _cells(taken: dict[str, float]) -> tuple[str, str, str]:
    times = (taken["time"], taken["processor"])
    memory = megabytes(taken["memory"]) if "memory" in taken else ""
    first, second = (seconds(each) if each > 1 else milliseconds(each) for each in times)
    return first, second, memory
