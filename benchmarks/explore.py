"""What one waits for when a model is explored: panel, gallery and search of likeness.

All is measured with models of random numbers, in which every face has a weight for
every component: real ones, with their zeros, are shown sooner.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.apart import apart, on_screen
from benchmarks.page import milliseconds, seconds, table
from benchmarks.window import open_window, turn_loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.setting import Setting
    from napari_latent_faces.model import LatentFaces

__all__ = ["part"]

_SIZES = {"ORL": (400, 112, 92, 100), "LFW": (13_233, 250, 250, 100)}
_SMALL = {"small": (30, 20, 16, 5)}
_MANY = (200_000, 64, 64, 100)
_FEW = (100, 20, 16, 5)
_MAPPED = (13_000, 64, 64, 50)


def part(setting: Setting) -> str:
    """Measure what follows the slider, in a window and without one."""
    times = 10 if setting.quick else 200
    rows = [_searching(setting, times)]
    for name, size in (_SMALL if setting.quick else _SIZES).items():
        rows += _following(name, size, times)
    rows += _wandering(_FEW if setting.quick else _MAPPED, times)
    return table(("exploring", "median", "worst"), rows)


def _following(name: str, size: tuple[int, ...], times: int) -> list[tuple[str, str, str]]:
    found = on_screen(follow, *size, times)
    n, h, w, k = size
    what = f"{name}, {n:,} faces of {w} x {h}, k = {k}"
    words = {
        "panel": 'panel "What builds this face?", one update',
        "gallery": "gallery by brightness, one update",
        "whole": "slider to all drawn: canvas, gallery and panel",
        "gap": "longest gap of the event loop while the slider is dragged",
    }
    rows = [(f"{what}: {text}", *_two(found[key])) for key, text in words.items()]
    rows.append((f"{what}: model shown to panel ready", seconds(found["ready"]), ""))
    share = f"{found['updates']} for {found['moves']} moves"
    return [*rows, (f"{what}: updates of the panel in that drag", share, "")]


def _searching(setting: Setting, times: int) -> tuple[str, str, str]:
    size = _FEW if setting.quick else _MANY
    found = apart(search, *size, times)
    return (f"nearest 12 of {size[0]:,} faces, k = {size[-1]}", *_two(found))


def _wandering(size: tuple[int, ...], times: int) -> list[tuple[str, str, str]]:
    found = on_screen(wander, *size, times)
    n, h, w, k = size
    what = f"map of {n:,} faces of {w} x {h}, k = {k}"
    return [
        (f"{what}: panel opened to first dots", seconds(found["dots"]), ""),
        (f"{what}: panel opened to all small pictures", seconds(found["pictures"]), ""),
        (f"{what}: longest gap of the event loop until then", milliseconds(found["gap"]), ""),
        (f"{what}: one frame while it is moved and enlarged", *_two(found["frames"])),
        (f"{what}: longest gap of the event loop meanwhile", milliseconds(found["moved"]), ""),
    ]


def _two(values: list[float]) -> tuple[str, str]:
    return milliseconds(median(values)), milliseconds(max(values))


# -- in a process of its own -------------------------------------------------------


def search(n: int, h: int, w: int, k: int, times: int) -> list[float]:
    """Return the seconds that searches for faces like one of them take."""
    from napari_latent_faces.explaining import NearestFaces

    model = random_model(n, h, w, k)
    nearest = NearestFaces(model)
    faces = np.random.default_rng(1).integers(n, size=times + 1)
    taken = [
        _timed(lambda i=i: nearest.find(model.weights[i], 12, exclude=i))
        for i in faces.tolist()
    ]
    return taken[1:]


def follow(n: int, h: int, w: int, k: int, times: int) -> dict[str, Any]:
    """Return what moves of the slider cost in a window with the panel."""
    from qtpy.QtCore import QCoreApplication

    from napari_latent_faces.viewer.session import session_of

    viewer, panel, ready = _explored(random_model(n, h, w, k))
    focus = session_of(viewer)
    faces = np.random.default_rng(1).integers(n, size=times).tolist()
    found: dict[str, Any] = {"panel": [], "gallery": [], "whole": []}
    for face in faces:
        focus.follow_by("off")
        focus.go_to_face(face)
        QCoreApplication.processEvents()
        found["panel"].append(_timed(panel.update_face))
        focus.follow_by("off")  # all tiles are painted again
        found["gallery"].append(_timed(lambda: focus.follow_by("brightness")))
    for face in faces:
        focus.go_to_face(0)
        turn_loop(1)

        def move(face: int = face) -> None:
            focus.go_to_face(face)
            QCoreApplication.processEvents()

        found["whole"].append(_timed(move))
    found |= _dragged(focus, panel, faces)
    viewer.close()
    return {**found, "ready": ready}


def _dragged(focus: Any, panel: Any, faces: list[int]) -> dict[str, Any]:
    """Move the slider faster than anything can follow, and count what follows."""
    from qtpy.QtCore import QEventLoop, QTimer

    from benchmarks.window import _LoopClock

    updates: list[None] = []
    shown = panel.portrait.show_words
    panel.portrait.show_words = lambda lines: (updates.append(None), shown(lines))
    gaps, loop, left = [], QEventLoop(), list(faces)
    timer = QTimer()

    def move() -> None:
        if not left:
            timer.stop()
            QTimer.singleShot(300, loop.quit)
        else:
            focus.go_to_face(left.pop())
            focus.go_to_face(left.pop() if left else 0)

    timer.timeout.connect(move)
    clock = _LoopClock()
    timer.start(0)
    loop.exec()
    gaps.append(clock.stop())
    panel.portrait.show_words = shown
    return {"gap": gaps, "updates": len(updates), "moves": len(faces)}


def wander(n: int, h: int, w: int, k: int, times: int) -> dict[str, Any]:
    """Return what the map of faces takes: to come, and to be moved and enlarged."""
    from benchmarks.window import _LoopClock

    viewer = _shown(random_model(n, h, w, k))
    _, panel = viewer.window.add_plugin_dock_widget("napari-latent-faces", "Map of faces")
    clock, began = _LoopClock(), time.perf_counter()
    found: dict[str, Any] = {}
    while panel.found is None:
        turn_loop(1)
    panel.plane.viewport().repaint()
    found["dots"] = time.perf_counter() - began
    while any(each is None for each in panel.plane.pictures):
        turn_loop(1)
    found["pictures"], found["gap"] = time.perf_counter() - began, clock.stop()
    clock = _LoopClock()
    port = panel.plane.viewport()
    found["frames"] = [_timed(lambda i=i: _move(port, i)) for i in range(times)]
    found["moved"] = clock.stop()
    viewer.close()
    return found


def _move(port: Any, i: int) -> None:
    """Turn the wheel or drag the mouse on the map, and let it be drawn."""
    from qtpy.QtCore import QCoreApplication, QPoint, QPointF, Qt
    from qtpy.QtGui import QWheelEvent
    from qtpy.QtTest import QTest

    middle = port.rect().center()
    if i % 2:
        step = QPoint(0, 120 if i % 40 < 20 else -120)
        none = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
        phase = Qt.ScrollPhase.NoScrollPhase
        event = QWheelEvent(
            QPointF(middle), QPointF(middle), QPoint(), step, *none, phase, False
        )
        QCoreApplication.sendEvent(port, event)
    else:
        there = middle + QPoint(8 if i % 8 < 4 else -8, 6)
        QTest.mousePress(port, Qt.MouseButton.LeftButton, pos=middle)
        QTest.mouseMove(port, there)
        QTest.mouseRelease(port, Qt.MouseButton.LeftButton, pos=there)
    QCoreApplication.processEvents()


def _explored(model: LatentFaces) -> tuple[Any, Any, float]:
    """Open a window with faces, a model of them and the panel; wait until it is ready."""
    viewer = _shown(model)
    began = time.perf_counter()
    name = "What builds this face?"
    _, panel = viewer.window.add_plugin_dock_widget("napari-latent-faces", name)
    while panel.face_page.isHidden():
        turn_loop(1)
    ready = time.perf_counter() - began
    turn_loop(1500)
    return viewer, panel, ready


def _shown(model: LatentFaces) -> Any:
    """Open a window with faces and a model of them."""
    from napari.layers import Layer

    from napari_latent_faces.stack import as_stack
    from napari_latent_faces.viewer.fitting import ResultLayers, ShowOptions
    from napari_latent_faces.viewer.layers import faces_layer

    viewer = open_window()
    one = np.random.default_rng(2).integers(0, 255, (1, *model.shape[1:])).astype(np.uint8)
    faces = as_stack(np.broadcast_to(one, model.shape))  # in memory, but takes none
    layer = viewer.add_layer(Layer.create(*faces_layer(faces, "faces")))
    ResultLayers(viewer, layer, ShowOptions()).show_model(model)
    turn_loop(1500)
    return viewer


def random_model(n: int, h: int, w: int, k: int) -> LatentFaces:
    """Return a model of random numbers."""
    from napari_latent_faces.model import LatentFaces, Provenance
    from napari_latent_faces.params import NMFParams

    rng = np.random.default_rng(0)
    names = tuple(f"s{i // 10}/{i % 10}.png" for i in range(n))
    return LatentFaces.from_factors(
        rng.random((n, k), np.float32),
        rng.random((k, h * w), np.float32),
        (h, w),
        error=0.0,
        scale=255.0,
        params=NMFParams(n_components=k),
        provenance=Provenance(names, None, "", "uint8", 0, "converged"),
    )


def _timed(job: Callable[[], Any]) -> float:
    began = time.perf_counter()
    job()
    return time.perf_counter() - began
