from __future__ import annotations

import threading
import warnings

import pytest

from napari_latent_faces.reading.heard import heard_warnings
from tests.patience import PATIENCE


def test_warnings_are_heard_and_not_shown():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with heard_warnings() as heard:
            warnings.warn("first", RuntimeWarning, stacklevel=1)
            warnings.warn("first", RuntimeWarning, stacklevel=1)
            warnings.warn("second", DeprecationWarning, stacklevel=1)
    assert heard == ["first", "first", "second"]


def test_warnings_afterwards_are_shown():
    with heard_warnings() as heard:
        pass
    with pytest.warns(UserWarning, match="later"):
        warnings.warn("later", stacklevel=1)
    assert heard == []


def test_an_inner_block_keeps_its_own():
    with heard_warnings() as outer:
        with heard_warnings() as inner:
            warnings.warn("inner", stacklevel=1)
        warnings.warn("outer", stacklevel=1)
    assert (inner, outer) == (["inner"], ["outer"])


def test_each_thread_hears_its_own_warnings():
    heard = {}
    meet = threading.Barrier(4)

    def work(name):
        meet.wait(PATIENCE)
        with heard_warnings() as messages:
            meet.wait(PATIENCE)
            for i in range(50):
                warnings.warn(f"{name} {i}", stacklevel=1)
        heard[name] = messages

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert heard == {name: [f"{name} {i}" for i in range(50)] for name in "abcd"}


def test_other_threads_filters_survive():
    filters = list(warnings.filters)
    inside, leave = threading.Event(), threading.Event()

    def listen():
        with heard_warnings():
            inside.set()
            leave.wait(PATIENCE)

    thread = threading.Thread(target=listen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        thread.start()
        inside.wait(PATIENCE)
    leave.set()
    thread.join(PATIENCE)
    assert [f for f in warnings.filters if f in filters] == filters
    with pytest.warns(UserWarning, match="still shown"):
        warnings.warn("still shown", stacklevel=1)
