"""What the window makes its user wait for: first picture, first parts, busy moments.

A timer ticks every five milliseconds on the GUI thread; the longest time between two
ticks is the longest that a click could have waited.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import stacks
from benchmarks.apart import apart, on_screen
from benchmarks.page import milliseconds, seconds, table
from benchmarks.reading import write_pgm

if TYPE_CHECKING:
    from pathlib import Path

    import napari

    from benchmarks.setting import Setting

__all__ = ["open_window", "part", "turn_loop", "wait_for_frame"]

_TICK = 5  # milliseconds
_SETTLE = 1500  # milliseconds until a new window has drawn all it will draw
_WARM_UP = 5000  # until a new panel has loaded what a fit needs


def part(setting: Setting) -> str:
    """Measure the window on a screen, and the slider without one."""
    folder = setting.folder / "faces"
    write_pgm(folder, 2 if setting.quick else 40)
    rows = [*_opening(folder, setting.runs(3))]
    paths = _stacks(setting)
    rows += _adding(paths[0], setting.runs(3))
    for path in paths:
        rows += _fitting(path, setting)
    return table(("in the window", "median", "worst"), [*rows, _sliding(setting)])


def _stacks(setting: Setting) -> list[Path]:
    """Write the stacks to fit: as many pixels as ORL has, and as many faces as LFW."""
    if setting.quick:
        found = [stacks.drawn(subjects=2)]
    else:
        found = [stacks.drawn(), stacks.varied(13_000, (64, 64))]
    paths = [setting.folder / f"{len(images)} faces.npy" for images in found]
    for path, images in zip(paths, found, strict=True):
        np.save(path, images)
    return paths


def _opening(folder: Path, runs: int) -> list[tuple[str, str, str]]:
    n = len(list(folder.iterdir()))
    found = [on_screen(open_once, str(folder)) for _ in range(runs)]
    return [
        (words, *_two([run[key] for run in found], seconds))
        for key, words in (
            ("window", "new process to open window"),
            ("picture", f"folder of {n} PGM to first face on the canvas"),
        )
    ]


def _adding(path: Path, runs: int) -> list[tuple[str, str, str]]:
    found = [on_screen(add_layers, str(path)) for _ in range(runs)]
    return [
        (f"napari alone: {words} layer, longest gap", *_two(gaps, milliseconds))
        for words in ("second", "third")
        for gaps in [[run[words] for run in found]]
    ]


def _fitting(path: Path, setting: Setting) -> list[tuple[str, str, str]]:
    images = np.load(path, mmap_mode="r")
    n, h, w = images.shape
    found = on_screen(fit_in_window, str(path), setting.runs(5))
    cold = found["cold"]
    what = f"{n:,} faces of {w} x {h}, k = {found['components']}"
    return [
        (f"{what}: click to first live components", *_two(found["first"], seconds)),
        (f"{what}: click to result", *_two(found["took"], seconds)),
        (f"{what}: longest gap of the event loop in a fit", *_two(found["gaps"], milliseconds)),
        (f"{what}: the same, no fit", milliseconds(found["idle"]), ""),
        (f"{what}: the same, panel just opened", milliseconds(found["opened"]), ""),
        (f"{what}: first fit of a session, first live components", seconds(cold[1]), ""),
        (f"{what}: first fit of a session, longest gap", milliseconds(cold[0]), ""),
    ]


def _sliding(setting: Setting) -> tuple[str, str, str]:
    n, side, k = (50, 25, 10) if setting.quick else (2000, 250, 100)
    what = f"slider to reconstruction, {n:,} faces of {side} x {side}, k = {k}"
    return (what, *_two(apart(slide, n, side, k, 20 if setting.quick else 300), milliseconds))


def _two(values: list[float], written: Any) -> tuple[str, str]:
    return written(median(values)), written(max(values))


# -- in a process of its own -------------------------------------------------------


def open_once(folder: str) -> dict[str, float]:
    """Return the seconds until a window is open, and until a folder is seen in it."""
    import psutil

    viewer = open_window()
    wait_for_frame(viewer)
    window = time.time() - psutil.Process().create_time()
    turn_loop(_SETTLE)
    began = time.perf_counter()
    viewer.open(folder, plugin="napari-latent-faces")
    wait_for_frame(viewer)
    picture = time.perf_counter() - began
    viewer.close()
    return {"window": window, "picture": picture}


def add_layers(path: str) -> dict[str, float]:
    """Return the longest gaps when layers are added to that of the faces by napari alone."""
    images = np.load(path)
    viewer = open_window()
    viewer.add_image(images, name="faces")
    wait_for_frame(viewer)
    turn_loop(_SETTLE)
    gaps = {}
    for name in ("second", "third"):
        clock = _LoopClock()
        viewer.add_image(images[0].astype(np.float32), name=name)
        turn_loop(300)
        gaps[name] = clock.stop()
    viewer.close()
    return gaps


def fit_in_window(path: str, runs: int) -> dict[str, Any]:
    """Fit the stack in a file again and again, as a click on Fit does."""
    import napari

    from napari_latent_faces.stack import as_stack
    from napari_latent_faces.viewer.layers import faces_layer

    viewer = open_window()
    stack = as_stack(np.load(path))
    viewer.add_layer(napari.layers.Layer.create(*faces_layer(stack, "faces")))
    _, widget = viewer.window.add_plugin_dock_widget("napari-latent-faces", "Latent faces")
    clock = _LoopClock()
    turn_loop(_WARM_UP)
    opened = clock.stop()
    clock = _LoopClock()
    turn_loop(_SETTLE)
    idle = clock.stop()
    cold, *warm = [_fit(widget) for _ in range(runs + 1)]  # the first adds the layers
    components = widget.parameters["n_components"].value
    viewer.close()
    return {
        "opened": opened,
        "idle": idle,
        "cold": cold,
        "gaps": [gap for gap, _, _ in warm],
        "first": [first for _, first, _ in warm],
        "took": [took for _, _, took in warm],
        "components": components,
    }


def slide(n: int, side: int, k: int, times: int) -> list[float]:
    """Return the seconds that each of some slices of a reconstruction takes."""
    from napari_latent_faces.encoding import LazyReconstruction
    from napari_latent_faces.model import LatentFaces, Provenance
    from napari_latent_faces.params import NMFParams

    rng = np.random.default_rng(0)
    model = LatentFaces.from_factors(
        rng.random((n, k), np.float32),
        rng.random((k, side * side), np.float32),
        (side, side),
        error=0.0,
        scale=255.0,
        params=NMFParams(n_components=k),
        provenance=Provenance(("",) * n, None, "", "uint8", 0, "converged"),
    )
    faces = LazyReconstruction(model)
    taken = []
    for i in [0, *rng.integers(n, size=times)]:
        began = time.perf_counter()
        faces[i : i + 1]  # as napari asks
        taken.append(time.perf_counter() - began)
    return taken[1:]


class _LoopClock:
    """Measures the longest time between two turns of the event loop."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._longest = 0.0
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(_TICK)

    def _tick(self) -> None:
        now = time.perf_counter()
        self._longest = max(self._longest, now - self._last)
        self._last = now

    def stop(self) -> float:
        """Return the longest gap in seconds, up to now."""
        self._timer.stop()
        self._tick()
        return self._longest


def _fit(widget: Any) -> tuple[float, float, float]:
    """Fit once; return the longest gap, and when first parts and result were there."""
    from qtpy.QtCore import QEventLoop

    first: list[float] = []
    loop, clock = QEventLoop(), _LoopClock()
    began = time.perf_counter()
    session = widget.fit()
    session.stepped.connect(lambda _: first.append(time.perf_counter() - began))
    session.ended.connect(lambda _: loop.quit())
    loop.exec()
    took = time.perf_counter() - began
    turn_loop(300)  # the result layers are drawn after the end
    return clock.stop(), first[0] if first else took, took


def open_window() -> napari.Viewer:
    import napari

    viewer = napari.Viewer()
    viewer.window.resize(1400, 880)
    return viewer


def wait_for_frame(viewer: napari.Viewer) -> None:
    """Let the window live until its canvas has been drawn once more."""
    from qtpy.QtCore import QEventLoop
    from qtpy.QtWidgets import QOpenGLWidget

    loop = QEventLoop()
    canvases = viewer.window._qt_window.findChildren(QOpenGLWidget)  # noqa: SLF001
    for canvas in canvases:
        canvas.frameSwapped.connect(loop.quit)
        canvas.update()
    loop.exec()
    for canvas in canvases:
        canvas.frameSwapped.disconnect(loop.quit)


def turn_loop(milliseconds: int) -> None:
    """Let the window live for a while."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()
