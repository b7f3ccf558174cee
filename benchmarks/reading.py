"""From a folder to a stack: this reader, a threaded Pillow loop, and napari's own reader."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import stacks
from benchmarks.apart import apart
from benchmarks.page import ratio, seconds, table
from napari_latent_faces.reading import read_faces
from napari_latent_faces.solvers.blocks import processors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmarks.setting import Setting

    Rows = Iterator[tuple[str, ...]]

__all__ = ["part", "write_pgm"]

_OURS, _NAPARIS = "this package", "napari's own"
_TINT = np.array((1.0, 0.85, 0.75), np.float32)


def part(setting: Setting) -> str:
    """Read 400 PGM files as of ORL, and 13,233 colour JPEG files as of LFW."""
    few = setting.quick
    pgm, jpeg = setting.folder / "pgm", setting.folder / "jpeg"
    write_pgm(pgm, 4 if few else 40)
    n, side = (60, 50) if few else (13_233, 250)
    _write_jpeg(jpeg, n, side)
    rows = [
        *_rows(f"{len(list(pgm.iterdir()))} PGM, 92 x 112", pgm, setting.runs(7)),
        *_rows(f"{n:,} JPEG, {side} x {side}, colour", jpeg, setting.runs(3), slow=True),
    ]
    notes = (
        "Every run is a new process in which the modules are loaded; the files are in the "
        "system's cache. napari's reader keeps colour; the others make grey of it, this "
        "package because of `colour=False`."
    )
    return table(("files", "reader", "time", "to ours", "runs"), rows) + "\n\n" + notes


def _rows(files: str, folder: Path, runs: int, *, slow: bool = False) -> Rows:
    """Let the readers take turns on a folder; if it is a slow one, napari's reads it once."""
    taken: dict[str, list[float]] = {name: [] for name in _READERS}
    for run in range(runs):
        for name in _READERS:
            if not (slow and run and name == _NAPARIS):
                taken[name].append(apart(read_once, str(folder), name))
    ours = median(taken[_OURS])
    for name, values in taken.items():
        middle = median(values)
        yield files, name, seconds(middle), ratio(middle, ours), str(len(values))


def read_once(folder: str, name: str) -> float:
    """Read a folder; return the seconds that it takes."""
    read = _READERS[name]
    small = Path(folder).with_name(f"{Path(folder).name} small")
    read(small)  # the imports
    began = time.perf_counter()
    found = read(Path(folder))
    took = time.perf_counter() - began
    if len(found) != len(list(Path(folder).iterdir())):
        raise RuntimeError(f"{name} read {len(found)} pictures of {folder}.")
    return took


# -- the readers -------------------------------------------------------------------


def _ours(folder: Path) -> np.ndarray:
    return read_faces(folder, lazy=False, colour=False).images


def _pillow(folder: Path) -> np.ndarray:
    from PIL import Image

    def decode(path: Path) -> np.ndarray:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("L"))

    with ThreadPoolExecutor(processors()) as pool:
        return np.stack(list(pool.map(decode, sorted(folder.iterdir()))))


def _napari(folder: Path) -> np.ndarray:
    from napari_builtins.io import magic_imread

    return np.asarray(magic_imread([str(folder)]))


_READERS: dict[str, Callable[[Path], np.ndarray]] = {
    _OURS: _ours,
    "Pillow, a thread a processor": _pillow,
    _NAPARIS: _napari,
}


# -- the files ---------------------------------------------------------------------


def write_pgm(folder: Path, subjects: int = 40) -> None:
    """Write the drawn faces as files, and two of them beside, to load modules with."""
    from PIL import Image

    _write(folder, "pgm", map(Image.fromarray, stacks.drawn(subjects=subjects)))


def _write_jpeg(folder: Path, n: int, side: int) -> None:
    """Write tinted faces, each lighter or darker than the last of its kind."""
    from PIL import Image

    faces = stacks.drawn((side, side), subjects=4)
    lights = np.random.default_rng(0).uniform(0.6, 1.0, n).astype(np.float32)
    _write(
        folder,
        "jpg",
        (
            Image.fromarray((faces[i % len(faces), :, :, None] * (_TINT * light)).astype("u1"))
            for i, light in enumerate(lights)
        ),
    )


def _write(folder: Path, extension: str, pictures: Iterable) -> None:
    small = folder.with_name(f"{folder.name} small")
    folder.mkdir()
    small.mkdir()
    for i, picture in enumerate(pictures):
        for place in (folder, small) if i < 2 else (folder,):
            picture.save(place / f"face{i + 1:05}.{extension}")
