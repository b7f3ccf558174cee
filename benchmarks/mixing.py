"""What mixing makes its user wait for: a dragged slider, many sliders, random faces."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.apart import apart, on_screen
from benchmarks.page import milliseconds, seconds, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.setting import Setting

__all__ = ["part"]

_FACES = 200  # in the window


def part(setting: Setting) -> str:
    """Measure mixing, with a window and without."""
    side, k, times = (25, 10, 5) if setting.quick else (250, 100, 300)
    many = 20 if setting.quick else 200
    sets = [(50, 10)] if setting.quick else [(400, 50), (13_000, 100), (200_000, 200)]
    what = f"{side} x {side}, k = {k}"
    rows = [
        (f"{what}: one weight to picture", *_two(apart(change, side, k, times), milliseconds)),
        (f"{what}: all weights to picture", *_two(apart(blend, side, k, times), milliseconds)),
    ]
    dragged = on_screen(drag, side, k, times)
    rows += [
        (f"{what}: slider step to changed layer", *_two(dragged["steps"], milliseconds)),
        (f"{what}: slider step to drawn canvas", *_two(dragged["frames"], milliseconds)),
        (f"{what}: the canvas drawn again, unchanged", *_two(dragged["idle"], milliseconds)),
    ]
    for number in (k, many):
        opened = [on_screen(open_panel, number) for _ in range(setting.runs(3))]
        rows.append((f"opening the panel, k = {number}", *_two(opened, seconds)))
    for n, number in sets:
        found = apart(draw, n, number, setting.runs(3))
        rows += [
            (f"{n:,} faces, k = {number}: {words}", *_two(found[key], seconds))
            for key, words in (("prepare", "prepare random faces"), ("draw", "draw 100"))
        ]
    return table(("mixing", "median", "worst"), rows)


def _two(values: list[float], written: Callable[[float], str]) -> tuple[str, str]:
    return written(median(values)), written(max(values))


# -- in a process of its own -------------------------------------------------------


def change(side: int, k: int, times: int) -> list[float]:
    """Return the seconds that each change of one weight takes, of one and the same."""
    from napari_latent_faces.mixing import Mix

    picture = Mix(_model(_FACES, side, k), np.full(k, 0.5))
    picture.set_weight(3, 0.0)
    return [_timed(lambda i=i: picture.set_weight(3, i / times)) for i in range(times)]


def blend(side: int, k: int, times: int) -> list[float]:
    """Return the seconds that each change of all weights takes."""
    from napari_latent_faces.mixing import Mix

    picture = Mix(_model(_FACES, side, k), np.full(k, 0.5))
    return [
        _timed(lambda i=i: picture.set_weights(np.full(k, i / times))) for i in range(times)
    ]


def drag(side: int, k: int, times: int) -> dict[str, list[float]]:
    """Drag a slider in a window; return the seconds of each step, and until it is seen."""
    from benchmarks.window import turn_loop, wait_for_frame

    viewer, widget = _window(_model(_FACES, side, k))
    turn_loop(1500)
    slider = widget.weights.rows[0].slider
    steps, frames = [], []
    for value in np.linspace(0, slider.maximum(), times).tolist():
        began = time.perf_counter()
        slider.setValue(value)
        steps.append(time.perf_counter() - began)
        wait_for_frame(viewer)
        frames.append(time.perf_counter() - began)
    idle = [_timed(lambda: wait_for_frame(viewer)) for _ in range(times)]
    _close(viewer)
    return {"steps": steps[1:], "frames": frames[1:], "idle": idle}


def open_panel(k: int) -> float:
    """Return the seconds that opening the panel takes, in a window with a model."""
    from benchmarks.window import turn_loop

    viewer = _viewer(_model(_FACES, 64, k))
    turn_loop(1500)
    took = _timed(lambda: _open(viewer))
    _close(viewer)
    return took


def draw(n: int, k: int, runs: int) -> dict[str, list[float]]:
    """Return the seconds until random faces can be drawn, and that drawing takes."""
    from napari_latent_faces.mixing import WeightSampler

    model = _model(n, 8, k)
    WeightSampler(_model(10, 8, 2)).draw(1)  # imports what it needs
    prepare, drawn = [], []
    for seed in range(runs):
        began = time.perf_counter()
        sampler = WeightSampler(model)
        prepare.append(time.perf_counter() - began)
        drawn.append(_timed(lambda sampler=sampler, seed=seed: sampler.draw(100, seed)))
    return {"prepare": prepare, "draw": drawn}


def _timed(job: Callable[[], Any]) -> float:
    began = time.perf_counter()
    job()
    return time.perf_counter() - began


def _model(n: int, side: int, k: int) -> Any:
    """Return a model of noise: a third of the weights are 0."""
    from napari_latent_faces.model import LatentFaces, Provenance
    from napari_latent_faces.params import NMFParams

    rng = np.random.default_rng(0)
    weights = rng.exponential(1 / k, (n, k)).astype(np.float32)
    weights[rng.random((n, k), np.float32) < 1 / 3] = 0
    return LatentFaces.from_factors(
        weights,
        rng.random((k, side * side), np.float32),
        (side, side),
        error=0.0,
        scale=255.0,
        params=NMFParams(n_components=k),
        provenance=Provenance(("",) * n, None, "", "uint8", 0, "converged"),
    )


def _viewer(model: Any) -> Any:
    import napari

    from benchmarks.window import open_window
    from napari_latent_faces.mixing import to_pixels
    from napari_latent_faces.stack import as_stack
    from napari_latent_faces.viewer.fitting import ResultLayers, ShowOptions
    from napari_latent_faces.viewer.layers import faces_layer

    viewer = open_window()
    stack = as_stack(to_pixels(model.reconstruct(), "uint8"))
    faces = viewer.add_layer(napari.layers.Layer.create(*faces_layer(stack, "faces")))
    ResultLayers(viewer, faces, ShowOptions()).show_model(model)
    return viewer


def _open(viewer: Any) -> Any:
    _, widget = viewer.window.add_plugin_dock_widget("napari-latent-faces", "Mix faces")
    return widget


def _close(viewer: Any) -> None:
    """Close a viewer when its threads have ended, as napari does when it quits."""
    from superqt.utils import WorkerBase

    WorkerBase.await_workers(60_000)
    viewer.close()


def _window(model: Any) -> tuple[Any, Any]:
    viewer = _viewer(model)
    return viewer, _open(viewer)
