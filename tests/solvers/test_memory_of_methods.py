"""What a fit of another method says it needs, and what it takes."""

from __future__ import annotations

import types
import warnings
from dataclasses import replace

import numpy as np
import psutil
import pytest

from napari_latent_faces.fitting import fit
from napari_latent_faces.params import METHODS
from napari_latent_faces.solvers import rows
from napari_latent_faces.solvers.memory import needed
from napari_latent_faces.stack import as_stack
from tests.memory import peak_memory

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


@pytest.fixture(scope="module", params=[(500, 40, 30), (2000, 20, 15)], ids=str)
def stack(request):
    return as_stack(np.random.default_rng(0).integers(0, 256, request.param, np.uint8))


def taken(work):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few iterations converge nowhere
        work()  # imports and caches
        return peak_memory(work)


@pytest.mark.parametrize("is_large", [False, True], ids=["in memory", "in blocks"])
@pytest.mark.parametrize(("method", "options"), CASES, ids=str)
def test_a_fit_takes_no_more_than_it_says_and_not_much_less(
    stack, method, options, is_large, monkeypatch
):
    if is_large:
        monkeypatch.setattr(rows, "LARGEST_IN_MEMORY", 1000)
    params = METHODS[method](n_components=12, **options)
    peak, said = taken(lambda: fit(stack, params)), needed(stack, params)
    assert peak <= 1.1 * said
    assert peak > said / 10


def test_a_fit_that_needs_too_much_says_how_to_do_with_less(pictures, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=10))
    pca = METHODS["pca"](n_components=3)
    for params, words in (
        (
            pca,
            r"with n_components=3 needs about .* GiB for 30 faces of 10 x 12 pixels",
        ),
        (pca, r"fewer components or read the faces smaller .*lazy=True"),
        (replace(pca, svd_solver="full"), "svd_solver='incremental'"),
        (METHODS["kmeans"](n_components=3), r"lazy=True"),
    ):
        with pytest.raises(MemoryError, match=words):
            fit(pictures, params)


def test_a_lazy_stack_is_not_told_to_be_lazy(pictures, monkeypatch):
    import dask.array as da

    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=10))
    with pytest.raises(MemoryError, match="fewer of them") as error:
        fit(da.from_array(pictures), METHODS["pca"](n_components=3))
    assert "lazy" not in str(error.value)
