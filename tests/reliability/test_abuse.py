"""A window in the hands of somebody who does anything in any order."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import traceback

import numpy as np
import pytest
from qtpy.QtCore import QThreadPool, qInstallMessageHandler
from qtpy.QtWidgets import QFileDialog, QMessageBox
from superqt.utils import WorkerBase

from tests.reliability.monkey import PLUGIN, Monkey, in_use, resident, settle

pytestmark = [
    pytest.mark.window,
    pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux tells it"),
]

# What Qt says of a screen without a window manager, or of sizes in a crowded window.
# Icons of a theme may be half written by another napari that starts just now.
HARMLESS = ("propagateSizeHints", "/_themes/")


@pytest.fixture
def faults(monkeypatch):
    """Collect what went wrong anywhere: in the window, in threads, in Qt, in napari."""
    from napari.utils.notifications import notification_manager

    found = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: found.append(told(args[1])))
    for owner, hook in ((threading, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(owner, hook, lambda args: found.append(told(args.exc_value)))

    def dispatch(note):
        error = getattr(note, "exception", None)
        if error is not None:  # what a user is told in words has none
            found.append(told(error))

    monkeypatch.setattr(notification_manager, "dispatch", dispatch)

    def heard(kind, _context, words):
        if not any(each in words for each in HARMLESS):
            found.append(f"Qt: {words}")

    before = qInstallMessageHandler(heard)
    yield found
    qInstallMessageHandler(before)


def told(error):
    return "".join(traceback.format_exception(error))


@pytest.fixture
def no_dialogs(monkeypatch, tmp_path):
    """Answer every question: files go to a folder of the test, and yes, replace them."""
    path, yes = str(tmp_path / "file"), QMessageBox.StandardButton.Yes
    for name in ("getSaveFileName", "getOpenFileName"):
        monkeypatch.setattr(QFileDialog, name, lambda *_: (path, ""))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "out"))
    monkeypatch.setattr(QMessageBox, "question", lambda *_: yes)


@pytest.fixture
def shown(npe2pm, make_napari_viewer, monkeypatch, no_dialogs, faults):
    """Return how to make a window that knows the plugin."""
    with npe2pm.tmp_plugin(package=PLUGIN):
        yield lambda: make_napari_viewer(show=True)
        WorkerBase.await_workers(20_000)


def wait_for_threads(qtbot):
    qtbot.waitUntil(lambda: not WorkerBase._worker_set, timeout=60_000)
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0)
    settle()


def at_rest(monkey, qtbot):
    """Let the monkey go home; return memory in MiB, threads, and what of ours is alive."""
    monkey.tidy_up()
    wait_for_threads(qtbot)
    # panels made the window larger, and it stays so: its pixels would count
    monkey.viewer.window.resize(1000, 700)
    for _ in range(3):
        gc.collect()
        settle()
    ctypes.CDLL(None).malloc_trim(0)
    return (resident(), in_use()), threads_alive(), ours_alive()


def threads_alive():
    """Return the names of Python's threads.

    Python keeps a dummy for each thread of Qt that ran Python once, although it has ended.
    """
    dummy = threading._DummyThread
    return {each.name for each in threading.enumerate() if not isinstance(each, dummy)}


# What a panel, a fit or a result leaves behind would be one of these.
COUNTED = (
    "Widget", "Session", "Job", "Call", "Making", "ResultLayers",
    "LatentFaces", "MixLayers", "LazyReconstruction", "LazyResidual", "Mix",
)  # fmt: skip


def ours_alive():
    """Count the panels, jobs, models and results that exist."""
    kinds = [
        type(each)
        for each in gc.get_objects()
        if str(type(each).__module__).startswith("napari_latent_faces")
        and type(each).__name__.endswith(COUNTED)
    ]
    return {kind.__name__: kinds.count(kind) for kind in set(kinds)}


def abuse(shown, faults, qtbot, *, seed, warm_up, rounds, actions, guests):
    """Let a monkey act in rounds, the first `guests` with another window; return the rests."""
    rng = np.random.default_rng(seed)
    monkey = Monkey(shown(), rng, qtbot)
    monkey.start_again()
    monkey.act(warm_up)
    rests = [at_rest(monkey, qtbot)]
    for i in range(rounds):
        if i < guests:
            with_a_guest(monkey, shown(), rng, actions)
        else:
            monkey.act(actions)
        rests.append(at_rest(monkey, qtbot))
        assert not faults, "\n".join(faults) + f"\nafter {monkey.last}"
        assert not monkey.viewer.layers
    return monkey, rests


def with_a_guest(monkey, viewer, rng, actions):
    """Let another window be used at the same time, and close it in the middle of a fit."""
    guest = Monkey(viewer, rng, monkey.qtbot)
    guest.start_again()
    viewer.window.add_plugin_dock_widget(PLUGIN, "Latent faces")
    for _ in range(actions // 10):
        monkey.act(9)
        guest.act(1)
    guest.fit()
    viewer.close()


def check(monkey, rests, most, capsys):
    """Nothing of ours is left, and the memory in use has not grown by `most` MiB."""
    memory, threads, alive = zip(*rests, strict=True)
    with capsys.disabled():  # the figures of docs/reliability.md
        megabytes = ", ".join(f"{held:.0f} ({used:.0f})" for held, used in memory)
        sys.stdout.write(
            f" {sum(monkey.done.values())} things done; MiB at rest (in use): {megabytes} "
        )
    # earlier tests may have left something, so what was alive at the first rest is theirs
    assert {name: n for name, n in alive[-1].items() if n > alive[0].get(name, 0)} == {}
    assert all(each <= threads[0] for each in threads)
    # the second window is new to the process in the first round: it counts from there on
    assert memory[-1][1] - memory[1][1] < most, f"{memory} MiB"


def test_a_hundred_and_fifty_things(shown, faults, qtbot, capsys):
    monkey, rests = abuse(
        shown, faults, qtbot, seed=0, warm_up=30, rounds=1, actions=120, guests=1
    )
    check(monkey, rests, 1, capsys)


@pytest.mark.stress
@pytest.mark.parametrize("seed", [1, 2])
def test_thousands_of_things(shown, faults, qtbot, seed, capsys):
    monkey, rests = abuse(
        shown, faults, qtbot, seed=seed, warm_up=300, rounds=9, actions=250, guests=1
    )
    check(monkey, rests, 20, capsys)
