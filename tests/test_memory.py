"""What a fit says it needs, and what it takes."""

from __future__ import annotations

import types
import warnings
from collections import deque
from itertools import islice

import dask.array as da
import numpy as np
import psutil
import pytest

from napari_latent_faces import fitting
from napari_latent_faces.fitting import check_memory, fit, needed
from napari_latent_faces.params import METHODS, NMFParams
from napari_latent_faces.solvers import sklearn as rows
from napari_latent_faces.solvers.multilevel import iter_multilevel
from napari_latent_faces.solvers.sklearn import iter_nmf
from napari_latent_faces.stack import as_stack
from tests.helpers import peak_memory

CASES = [
    ("pca", {}),
    ("pca", {"svd_solver": "full"}),
    ("pca", {"svd_solver": "randomized"}),
    ("pca", {"svd_solver": "incremental"}),
    ("ica", {}),
    ("ica", {"independent": "weights"}),
    ("dictionary", {"max_iter": 2}),
    ("minibatch-nmf", {"max_iter": 2}),
    ("kmeans", {"max_iter": 2}),
]


def made(*shape):
    return as_stack(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


@pytest.fixture(scope="module")
def stack():
    return made(900, 60, 50)


@pytest.fixture
def free(monkeypatch):
    """Return how to say what is free."""
    memory = types.SimpleNamespace()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(fitting, "_LITTLE", 0)  # or small stacks would not be asked about
    return lambda size: setattr(memory, "available", size)


def taken(work):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few iterations converge nowhere
        work()  # imports and caches
        return peak_memory(work)


@pytest.mark.parametrize("solver", ["multilevel", "cd", "mu"])
def test_a_fit_takes_no_more_than_it_says_and_not_much_less(stack, solver, monkeypatch):
    for module in ("solvers.blocks", "fitting"):  # many: less than said
        monkeypatch.setattr(f"napari_latent_faces.{module}.processors", lambda: 2)
    params = NMFParams(n_components=12, solver=solver, max_iter=20)
    solve = iter_multilevel if solver == "multilevel" else iter_nmf
    peak = taken(lambda: deque(islice(solve(stack, params), 30), maxlen=0))
    said = needed(stack, params)
    assert said / 5 < peak <= 1.1 * said


@pytest.mark.parametrize("is_large", [False, True], ids=["in memory", "in blocks"])
@pytest.mark.parametrize("shape", [(500, 40, 30), (2000, 20, 15)], ids=str)
@pytest.mark.parametrize(("method", "options"), CASES, ids=str)
def test_nor_does_one_of_another_method(shape, method, options, is_large, monkeypatch):
    if is_large:
        monkeypatch.setattr(rows, "LARGEST_IN_MEMORY", 1000)
    stack, params = made(*shape), METHODS[method](n_components=12, **options)
    peak, said = taken(lambda: fit(stack, params)), needed(stack, params)
    assert said / 10 < peak <= 1.1 * said


def test_pixels_count_for_scikit_learns_solvers_only(stack):
    many, pixels = as_stack(np.concatenate([stack.images] * 40)), 39 * stack.images.size
    for params, low, high in ((NMFParams(solver="cd"), 4, np.inf), (NMFParams(), 0, 2)):
        assert low * pixels < needed(many, params) - needed(stack, params) < high * pixels


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("nmf", {"solver": "cd"}, r"=3 needs .* GiB for 30 faces of 10 x 12 pixels"),
        ("nmf", {"solver": "cd"}, "solver='multilevel'"),
        ("nmf", {}, "fewer components"),
        ("pca", {}, r"fewer components or read the faces smaller .*lazy=True"),
        ("pca", {"svd_solver": "full"}, "svd_solver='incremental'"),
        ("kmeans", {}, "lazy=True"),
    ],
)
def test_a_fit_that_needs_too_much_says_how_to_do_with_less(
    pictures, free, method, options, words
):
    free(10)
    with pytest.raises(MemoryError, match=words):
        fit(pictures, METHODS[method](n_components=3, **options))
    with pytest.raises(MemoryError) as error:
        fit(da.from_array(pictures), METHODS[method](n_components=3, **options))
    assert "lazy" not in str(error.value)
    free(2**32)
    check_memory(as_stack(pictures), METHODS[method](n_components=3, **options))
