"""What a fit says it needs, and what it takes."""

from __future__ import annotations

import types

import numpy as np
import psutil
import pytest

from napari_latent_faces.params import NMFParams
from napari_latent_faces.solvers.memory import check_memory, needed
from napari_latent_faces.solvers.multilevel import iter_multilevel
from napari_latent_faces.solvers.sklearn import iter_nmf
from napari_latent_faces.stack import as_stack
from tests.memory import peak_memory


@pytest.fixture(scope="module")
def stack():
    return as_stack(np.random.default_rng(0).integers(0, 256, (900, 60, 50), np.uint8))


@pytest.fixture
def free(monkeypatch):
    """Return how to say what is free."""

    def say(size):
        memory = types.SimpleNamespace(available=size)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)

    return say


def taken(work):
    work()  # imports and caches
    return peak_memory(work)


def few_steps(stack, params):
    if params.solver == "multilevel":
        steps = iter_multilevel(stack, params)
    else:
        steps = iter_nmf(stack, params)
    for _, _ in zip(range(30), steps, strict=False):
        pass
    steps.close()


@pytest.mark.parametrize("solver", ["multilevel", "cd", "mu"])
def test_a_fit_takes_no_more_than_it_says_and_not_much_less(stack, solver, monkeypatch):
    for module in ("blocks", "memory"):  # with many, so small a stack is less than said
        monkeypatch.setattr(f"napari_latent_faces.solvers.{module}.processors", lambda: 2)
    params = NMFParams(n_components=12, solver=solver, max_iter=20)
    peak = taken(lambda: few_steps(stack, params))
    said = needed(stack, params)
    assert peak <= 1.1 * said
    assert peak > said / 5


def test_pixels_count_for_scikit_learns_solvers_only(stack):
    twice = as_stack(np.concatenate([np.asarray(stack.images)] * 40))
    growth = {
        solver: needed(twice, NMFParams(solver=solver))
        - needed(stack, NMFParams(solver=solver))
        for solver in ("multilevel", "cd")
    }
    pixels = (len(twice) - len(stack)) * 60 * 50
    assert growth["cd"] > 4 * pixels
    assert growth["multilevel"] < 2 * pixels


def test_a_fit_that_needs_too_much_says_how_to_do_with_less(stack, free):
    free(5_000_000)
    with pytest.raises(
        MemoryError, match=r"needs about .* GiB for 900 faces of 50 x 60 pixels"
    ):
        check_memory(stack, NMFParams(solver="cd"))
    with pytest.raises(MemoryError, match="solver='multilevel'"):
        check_memory(stack, NMFParams(solver="cd"))
    with pytest.raises(MemoryError, match="fewer components"):
        check_memory(stack, NMFParams())


def test_a_fit_with_room_is_let_through(stack, free):
    free(2**32)
    check_memory(stack, NMFParams(solver="cd"))
