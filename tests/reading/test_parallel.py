from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from napari_latent_faces.reading import sources as parallel
from napari_latent_faces.reading.sources import Meter, run_each
from tests.patience import PATIENCE

MANY = 2_000_000  # seconds of work: threads go on until the caller hears of the end


class StopReadError(Exception):
    pass


@pytest.fixture
def eager_meter(monkeypatch):
    """Let progress be called as often as it can be."""
    monkeypatch.setattr(parallel, "PERIOD", 0.001)


def face_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("faces")]


@pytest.mark.parametrize("n", [0, 1, 3, 1000])
def test_results_are_in_order(n):
    assert run_each(lambda i: i * i, range(n), Meter(None)) == [i * i for i in range(n)]
    assert face_threads() == []


def test_work_is_done_elsewhere_and_progress_told_here(eager_meter):
    here, seen, told = threading.get_ident(), set(), []
    first = threading.Event()

    def work(_):
        seen.add(threading.get_ident())
        first.wait(PATIENCE)

    def progress(done, total):
        assert threading.get_ident() == here
        told.append((done, total))
        first.set()

    meter = Meter(progress)
    meter.total = 20
    run_each(work, range(20), meter)
    assert here not in seen
    assert told == sorted(told)
    assert meter.done == 20
    meter.finish()
    assert told[-1] == (20, 20)


def test_fast_work_is_left_to_one_thread(eager_meter, monkeypatch):
    monkeypatch.setattr(parallel._Pace, "is_slow", lambda *_: False)
    assert len(set(run_each(lambda _: threading.get_ident(), range(1000), Meter(None)))) == 1


def test_more_threads_join_slow_work():
    n = parallel.n_threads()
    all_there = threading.Barrier(n)
    assert len(run_each(lambda _: all_there.wait(PATIENCE), range(n), Meter(None))) == n


@pytest.mark.parametrize(("seconds", "slow"), [(1.1, True), (0.9, False)])
def test_what_slow_is(seconds, slow, monkeypatch):
    clock = iter([0, 5, 5 + seconds * 100 * parallel.FAST])
    monkeypatch.setattr(parallel, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    pace = parallel._Pace()
    assert pace.is_slow(10)
    assert pace.is_slow(110) == slow


def test_other_things_count_as_steps_too():
    meter, also = Meter(None), []
    run_each(also.append, range(3), meter, also)
    assert meter.done == 6


def test_progress_goes_on_from_what_was_done_before():
    meter = Meter(None)
    run_each(str, range(3), meter)
    run_each(str, range(4), meter)
    assert meter.done == 7


def test_an_exception_of_progress_cancels(eager_meter):
    done = []
    cancelled = threading.Event()

    def work(i):
        cancelled.wait(PATIENCE)
        done.append(i)

    def progress(*_):
        cancelled.set()
        raise StopReadError

    with pytest.raises(StopReadError):
        run_each(work, range(MANY), Meter(progress))
    assert len(done) < MANY
    assert face_threads() == []


def test_an_exception_of_the_work_ends_it():
    done = []

    def work(i):
        if i == 5:
            raise KeyError(i)
        done.append(i)

    with pytest.raises(KeyError):
        run_each(work, range(MANY), Meter(None))
    assert len(done) < MANY - 1
    assert face_threads() == []


def test_pulses_are_not_too_many(monkeypatch):
    clock = iter(np.arange(1000) / 100)  # a hundredth of a second goes by with each look
    monkeypatch.setattr(parallel, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    told = []
    meter = Meter(lambda *steps: told.append(steps))
    for _ in range(500):
        meter.pulse()
    assert 500 * 0.01 / parallel.PERIOD / 2 < len(told) <= 500 * 0.01 / parallel.PERIOD + 1
