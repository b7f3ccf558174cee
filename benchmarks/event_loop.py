"""Measure how long the window waits, at most, while a fit runs in it.

A timer ticks every five milliseconds on the GUI thread; the longest time between two
ticks is the longest that a click could have waited. Run it on a screen, or::

    xvfb-run -a -s "-screen 0 1400x900x24" python benchmarks/event_loop.py [FOLDER]

Without FOLDER (such as the ORL faces), the drawn faces are fitted, of the same size.
"""

from __future__ import annotations

import statistics
import sys
import time

import napari
from qtpy.QtCore import QEventLoop, Qt, QTimer

from napari_latent_faces import draw_faces, read_faces
from napari_latent_faces.layers import faces_layer

REPEATS = 5
TICK = 5  # milliseconds


class LoopClock:
    """Collects the times between two turns of the event loop, in milliseconds."""

    def __init__(self):
        self.gaps = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK)

    def _tick(self):
        now = time.perf_counter()
        self.gaps.append((now - self._last) * 1000)
        self._last = now

    def stop(self):
        self._timer.stop()
        return sorted(self.gaps)


def turn_loop(milliseconds):
    """Let the window live for a while."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def measured_fit(widget):
    """Fit once; return the sorted gaps, and the seconds to the first parts and to the end."""
    began = time.perf_counter()
    first = []
    loop = QEventLoop()
    clock = LoopClock()
    session = widget.fit()
    session.stepped.connect(lambda _: first or first.append(time.perf_counter() - began))
    session.ended.connect(lambda _: loop.quit())
    loop.exec()
    took = time.perf_counter() - began
    turn_loop(300)  # the result layers are drawn after the end
    return clock.stop(), first[0], took, session.model


def main():
    stack = read_faces(sys.argv[1]) if len(sys.argv) > 1 else draw_faces()
    viewer = napari.Viewer()
    viewer.window.resize(1400, 880)
    viewer.add_layer(napari.layers.Layer.create(*faces_layer(stack, "faces")))
    _, widget = viewer.window.add_plugin_dock_widget("napari-latent-faces", "Latent faces")
    turn_loop(1500)

    idle = LoopClock()
    turn_loop(1500)
    idle = idle.stop()
    runs = [measured_fit(widget) for _ in range(REPEATS + 1)]
    cold, *warm = runs  # the first fit imports scikit-learn and compiles shaders
    n, h, w = stack.shape
    print(f"{n} faces of {w} x {h}, {warm[0][3].n_components} components, {REPEATS} fits")
    print(f"relative error             {warm[0][3].error:.4f}")
    print(f"longest gap, no fit        {idle[-1]:7.0f} ms")
    print(f"longest gap, first fit     {cold[0][-1]:7.0f} ms")
    longest = [gaps[-1] for gaps, *_ in warm]
    print(f"longest gap, later fits    {statistics.median(longest):7.0f} ms")
    print(f"worst of them              {max(longest):7.0f} ms")
    late = [gaps[int(len(gaps) * 0.99)] for gaps, *_ in warm]
    print(f"99 % of gaps below         {statistics.median(late):7.0f} ms")
    print(f"click to first parts       {statistics.median(r[1] for r in warm):7.2f} s")
    print(f"click to result            {statistics.median(r[2] for r in warm):7.2f} s")
    viewer.close()


if __name__ == "__main__":
    main()
