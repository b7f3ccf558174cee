from __future__ import annotations

import threading

import pytest
from superqt.utils import WorkerBase

from napari_latent_faces._call import Call, _running

pytestmark = pytest.mark.usefixtures("qapp")


@pytest.fixture
def told(monkeypatch):
    """Collect what napari would show."""
    from napari.utils.notifications import notification_manager

    found = []
    monkeypatch.setattr(
        notification_manager, "dispatch", lambda note: found.append(note.message)
    )
    return found


def finished():
    return not WorkerBase._worker_set and not _running


def test_works_in_a_thread_and_tells_here(qtbot):
    threads, results = [], []
    job = Call(lambda a, b: (threads.append(threading.get_ident()), a + b)[1], 1, b=2)
    job.returned.connect(lambda result: results.append((result, threading.get_ident())))
    job.start()
    qtbot.waitUntil(lambda: bool(results), timeout=10_000)
    assert results == [(3, threading.get_ident())]
    assert threads != [threading.get_ident()]
    qtbot.waitUntil(finished, timeout=10_000)


@pytest.mark.parametrize("kind", [OSError, ValueError, MemoryError, ZeroDivisionError])
def test_an_error_is_shown_and_told(kind, qtbot, told):
    def fail():
        raise kind("no luck")

    failed = []
    job = Call(fail)
    job.failed.connect(failed.append)
    job.start()
    qtbot.waitUntil(lambda: bool(failed), timeout=10_000)
    assert failed == ["no luck"]
    assert "no luck" in told[0]
    qtbot.waitUntil(finished, timeout=10_000)


@pytest.mark.parametrize("fails", [False, True])
def test_an_abandoned_one_is_heard_of_no_more(fails, qtbot, told):
    heard, go = [], threading.Event()

    def work():
        go.wait(10)
        if fails:
            raise OSError("too late")

    job = Call(work)
    job.returned.connect(heard.append)
    job.failed.connect(heard.append)
    job.start()
    job.abandon()
    go.set()
    qtbot.waitUntil(finished, timeout=10_000)
    assert not heard
    assert not told
