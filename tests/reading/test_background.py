from __future__ import annotations

import threading

import pytest

from napari_latent_faces.reading.background import Stopped, run
from tests.helpers import PATIENCE


class EnoughError(Exception):
    pass


@pytest.mark.parametrize("n", [0, 1, 3, 1000])
def test_results_are_in_order(n):
    assert run(lambda work: work.each(lambda i: i * i, range(n))) == [i * i for i in range(n)]


def test_work_is_done_elsewhere_and_progress_told_here():
    here, seen, told = threading.get_ident(), set(), []
    go_on = threading.Event()

    def step(_):
        seen.add(threading.get_ident())
        go_on.wait(PATIENCE)

    def work_on(work):
        work.total = 20
        work.each(step, range(20))

    def progress(done, total):
        assert threading.get_ident() == here
        told.append((done, total))
        if total:
            go_on.set()

    run(work_on, progress)
    assert here not in seen
    assert told == sorted(told)
    assert told[-1] == (20, 20)


def test_who_cancels_does_not_wait_for_a_step():
    release, ended = threading.Event(), []

    def work_on(work):
        try:
            work.each(lambda _: release.wait(PATIENCE), range(10))
        except Stopped as error:
            ended.append(error)
            raise
        finally:
            done.set()

    done = threading.Event()
    calls = iter(range(10))

    def progress(*_):
        if next(calls) == 2:
            raise EnoughError

    with pytest.raises(EnoughError):
        run(work_on, progress)
    assert not done.is_set()  # all threads still stand in their first step
    release.set()
    assert done.wait(PATIENCE)
    assert ended


def test_an_error_ends_all_threads():
    seen = []

    def step(i):
        if i == 5:
            raise KeyError(i)
        seen.append(i)

    with pytest.raises(KeyError):
        run(lambda work: work.each(step, range(2_000_000)))
    assert len(seen) < 2_000_000 - 1
