from __future__ import annotations

import gc
import threading
import warnings

import pytest
from superqt.utils import WorkerBase

from napari_latent_faces.viewer.jobs import Job, _running
from tests.helpers import PATIENCE
from tests.jobs import run

pytestmark = pytest.mark.usefixtures("qapp")


@pytest.fixture(autouse=True)
def _all_ends(qtbot):
    yield
    qtbot.waitUntil(finished)


def finished():
    return not WorkerBase._worker_set and not _running


def failing(error):
    """Return a function that raises an error, and a generator that does so later."""

    def fail():
        raise error

    def fail_later():
        yield 1
        raise error

    return fail, fail_later


def heard_of(job, *names):
    """Return a list of what a job's signals will tell."""
    heard = []
    for name in names:
        getattr(job, name).connect(heard.append)
    return heard


def test_works_in_a_thread_and_tells_here(qtbot):
    threads, results = [], []
    job = Job(lambda a, b: (threads.append(threading.get_ident()), a + b)[1], 1, b=2)
    job.returned.connect(lambda result: results.append((result, threading.get_ident())))
    assert run(qtbot, job) == ""
    assert results == [(3, threading.get_ident())]
    assert threads != [threading.get_ident()]


@pytest.mark.parametrize(
    "kind", [OSError, ValueError, MemoryError, ZeroDivisionError, RuntimeError]
)
@pytest.mark.parametrize("in_steps", [False, True])
def test_an_error_is_shown_and_told(kind, in_steps, qtbot, notes):
    job = Job(failing(kind("no luck"))[in_steps])
    failed = heard_of(job, "failed")
    assert run(qtbot, job) == "Failed: no luck"
    assert failed == ["no luck"]
    assert "no luck" in notes[0]


@pytest.mark.parametrize(
    ("kind", "words"), [(MemoryError, "There is not enough"), (OSError, "OSError")]
)
def test_an_error_without_words_gets_some(kind, words, qtbot, notes):
    assert run(qtbot, Job(failing(kind())[0])).startswith(f"Failed: {words}")
    assert words in notes[0]


@pytest.mark.parametrize("fails", [False, True])
def test_an_abandoned_one_is_heard_of_no_more(fails, qtbot, notes):
    go = threading.Event()

    def work():
        go.wait(PATIENCE)
        if fails:
            raise OSError("too late")

    job = Job(work)
    heard = heard_of(job, "returned", "failed")
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

    job = Job(listening)
    steps, returned = heard_of(job, "stepped"), heard_of(job, "returned")
    job.send("too early")  # a generator that has not begun takes none
    job.stepped.connect(lambda _: job.send("enough"))
    assert run(qtbot, job) == ""
    assert (steps[0], returned) == ("waiting", ["enough"])
    assert job.is_over


def test_a_cancelled_one_ends_once_and_closes_its_generator(qtbot):
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield
        finally:
            closed.set()

    job = Job(endless)
    ended = heard_of(job, "ended")
    job.stepped.connect(lambda _: job.cancel())
    job.start()
    qtbot.waitUntil(lambda: bool(ended) and finished())
    job.cancel()
    assert ended == ["Cancelled."]
    gc.collect()
    assert closed.wait(PATIENCE)


def test_warnings_are_passed_on(qtbot, notes):
    run(qtbot, Job(warnings.warn, "look out", stacklevel=1))
    [note] = notes
    assert "look out" in note


@pytest.mark.parametrize(("kind", "shown"), [(OSError, 0), (ZeroDivisionError, 1)])
def test_a_quiet_one_leaves_wrong_input_to_its_owner(kind, shown, qtbot, notes):
    job = Job(failing(kind("no luck"))[0])
    job.is_quiet = True
    failed = heard_of(job, "failed")
    run(qtbot, job)
    assert failed == ["no luck"]
    assert len(notes) == shown


def test_a_value_that_does_not_fit_any_more_is_an_error(qtbot, notes):
    class Late(Job):
        def take_value(self, value):
            raise ValueError(f"{value} is of no use")

    assert run(qtbot, Late(lambda: "This")) == "Failed: This is of no use"
    assert len(notes) == 1
