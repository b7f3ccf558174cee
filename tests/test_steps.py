from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest

from napari_latent_faces import PictureNMF, fit, iter_fit
from napari_latent_faces.steps import Stopped, consume, relayed, run_apart
from tests.helpers import PATIENCE


def counting(n):
    yield from range(n)
    return "done"


@pytest.mark.parametrize("n", [0, 3])
def test_draining_and_relaying_show_every_step_and_return_the_value(n):
    seen, changed = [], []
    assert consume(counting(n)) == consume(counting(n), seen.append) == "done"
    assert seen == list(range(n))
    assert consume(relayed(counting(n), lambda step: (step, n)), changed.append) == "done"
    assert changed == [(step, n) for step in seen]


def test_an_error_while_showing_is_not_taken_for_the_end():
    def refuse(_step):
        raise StopIteration("from elsewhere")

    with pytest.raises(StopIteration, match="from elsewhere"):
        consume(counting(3), refuse)


@pytest.mark.parametrize(
    ("options", "name"),
    [({"max_iter": 1}, "ConvergenceWarning"), ({"alpha_W": 1e3}, "PenaltyWarning")],
)
@pytest.mark.parametrize(
    "work",
    [
        lambda X, options: fit(X, shape=(4, 4), **options),
        lambda X, options: consume(iter_fit(X, shape=(4, 4), **options)),
        lambda X, options: [*iter_fit(X, shape=(4, 4), **options)],
        lambda X, options: PictureNMF(**options).fit(X),
        lambda X, options: PictureNMF(**options).fit_transform(X),
    ],
)
def test_a_warning_is_of_the_line_of_the_user(work, options, name):
    X = np.random.default_rng(0).random((6, 16))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work(X, {"n_components": 2, "random_state": 0, **options})
    assert [each.category.__name__ for each in caught] == [name]
    assert caught[0].filename == __file__
    assert caught[0].lineno == work.__code__.co_firstlineno


class EnoughError(Exception):
    pass


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

    for n in (0, 1, 3, 1000):
        found = run_apart(lambda work, n=n: work.each(str, range(n)))
        assert found == [str(i) for i in range(n)]  # in order
    run_apart(work_on, progress)
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
        run_apart(work_on, progress)
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
        run_apart(lambda work: work.each(step, range(2_000_000)))
    assert len(seen) < 2_000_000 - 1
