from __future__ import annotations

import gc
import threading
import warnings

import pytest
from superqt.utils import WorkerBase

from napari_latent_faces.viewer.jobs import Job, QuietJob, _running
from tests.helpers import PATIENCE

pytestmark = pytest.mark.usefixtures("qapp")


def finished():
    return not WorkerBase._worker_set and not _running


def test_works_in_a_thread_and_tells_here(qtbot):
    threads, results = [], []
    job = Job(lambda a, b: (threads.append(threading.get_ident()), a + b)[1], 1, b=2)
    job.returned.connect(lambda result: results.append((result, threading.get_ident())))
    job.start()
    qtbot.waitUntil(lambda: bool(results))
    assert results == [(3, threading.get_ident())]
    assert threads != [threading.get_ident()]
    qtbot.waitUntil(finished)


@pytest.mark.parametrize(
    "kind", [OSError, ValueError, MemoryError, ZeroDivisionError, RuntimeError]
)
@pytest.mark.parametrize("in_steps", [False, True])
def test_an_error_is_shown_and_told(kind, in_steps, qtbot, notes):
    def fail():
        raise kind("no luck")

    def fail_later():
        yield 1
        fail()

    failed, ended = [], []
    job = Job(fail_later if in_steps else fail)
    job.failed.connect(failed.append)
    job.ended.connect(ended.append)
    job.start()
    qtbot.waitUntil(lambda: bool(ended))
    assert failed == ["no luck"]
    assert ended == ["Failed: no luck"]
    assert "no luck" in notes[0]
    qtbot.waitUntil(finished)


@pytest.mark.parametrize("kind", [MemoryError, OSError])
def test_an_error_without_words_gets_some(kind, qtbot, notes):
    def fail():
        raise kind

    failed = []
    job = Job(fail)
    job.failed.connect(failed.append)
    job.start()
    qtbot.waitUntil(lambda: bool(failed))
    [words] = failed
    assert words == "OSError" if kind is OSError else words.startswith("There is not enough")
    assert words in notes[0]
    qtbot.waitUntil(finished)


@pytest.mark.parametrize("fails", [False, True])
def test_an_abandoned_one_is_heard_of_no_more(fails, qtbot, notes):
    heard, go = [], threading.Event()

    def work():
        go.wait(PATIENCE)
        if fails:
            raise OSError("too late")

    job = Job(work)
    job.returned.connect(heard.append)
    job.failed.connect(heard.append)
    job.start()
    job.abandon()
    go.set()
    qtbot.waitUntil(finished)
    assert not heard
    assert not notes


def test_a_generator_hears_what_is_sent(qtbot):
    def listening():
        while (heard := (yield "waiting")) is None:
            pass
        return heard

    steps, returned, ended = [], [], []
    job = Job(listening)
    job.send("too early")  # a generator that has not begun takes none
    job.stepped.connect(lambda step: (steps.append(step), job.send("enough")))
    job.returned.connect(returned.append)
    job.ended.connect(ended.append)
    job.start()
    qtbot.waitUntil(lambda: bool(ended))
    assert steps[0] == "waiting"
    assert returned == ["enough"]
    assert ended == [""]
    assert job.is_over
    qtbot.waitUntil(finished)


def test_a_cancelled_one_ends_once_and_closes_its_generator(qtbot):
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield
        finally:
            closed.set()

    ended = []
    job = Job(endless)
    job.ended.connect(ended.append)
    job.stepped.connect(lambda _: job.cancel())
    job.start()
    qtbot.waitUntil(lambda: bool(ended) and finished())
    job.cancel()
    assert ended == ["Cancelled."]
    gc.collect()
    assert closed.wait(PATIENCE)


def test_warnings_are_passed_on(qtbot, notes):
    job, ended = Job(warnings.warn, "look out", stacklevel=1), []
    job.ended.connect(ended.append)
    job.start()
    qtbot.waitUntil(lambda: bool(ended))
    assert len(notes) == 1
    assert "look out" in notes[0]
    qtbot.waitUntil(finished)


@pytest.mark.parametrize(("kind", "shown"), [(OSError, 0), (ZeroDivisionError, 1)])
def test_a_quiet_one_leaves_wrong_input_to_its_owner(kind, shown, qtbot, notes):
    def fail():
        raise kind("no luck")

    job, failed = QuietJob(fail), []
    job.failed.connect(failed.append)
    job.start()
    qtbot.waitUntil(lambda: bool(failed) and finished())
    assert failed == ["no luck"]
    assert len(notes) == shown


def test_a_value_that_does_not_fit_any_more_is_an_error(qtbot, notes):
    class Late(Job):
        def take_value(self, value):
            raise ValueError(f"{value} is of no use")

    job, ended = Late(lambda: "This"), []
    job.ended.connect(ended.append)
    job.start()
    qtbot.waitUntil(lambda: bool(ended) and finished())
    assert ended == ["Failed: This is of no use"]
    assert len(notes) == 1
