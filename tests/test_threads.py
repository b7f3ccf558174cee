"""Fits in several threads: the same result in each, and no clash of first imports."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_latent_faces import (
    DictionaryParams,
    ICAParams,
    MiniBatchNMFParams,
    NMFParams,
    PCAParams,
    fit,
)
from napari_latent_faces.solvers.blocks import one_blas_thread

METHODS = [
    NMFParams(n_components=4),
    NMFParams(n_components=4, solver="cd"),
    PCAParams(n_components=4),
    ICAParams(n_components=4, tol=0.1),
    DictionaryParams(n_components=4),
    MiniBatchNMFParams(n_components=4),
]


@pytest.fixture(scope="module")
def faces():
    from napari_latent_faces import sample_faces

    return sample_faces(10, shape=(56, 46))


def blas_threads():
    from threadpoolctl import threadpool_info

    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


def in_a_thread(work):
    """Return what `work` returns in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


@pytest.mark.parametrize(
    "params", METHODS, ids=lambda params: f"{params.title} {vars(params).get('solver', '')}"
)
@pytest.mark.filterwarnings("ignore:Not converged:UserWarning")
def test_a_fit_is_the_same_in_any_thread_and_beside_others(faces, params):
    def components():
        return fit(faces, params).components

    alone = components()
    with ThreadPoolExecutor(2) as pool:
        beside = [pool.submit(components) for _ in range(2)]
        results = [in_a_thread(components), *(each.result() for each in beside)]
    for other in results:
        np.testing.assert_array_equal(other, alone)


def test_blas_is_limited_in_every_thread_that_asks_and_as_before_at_the_end():
    before = blas_threads()

    def asked():
        with one_blas_thread():
            return blas_threads()

    assert asked() == {1}
    assert in_a_thread(asked) == {1}
    assert asked() == {1}
    assert blas_threads() == before


def test_the_limit_lasts_until_the_last_one_leaves_whichever_thread_that_is():
    before = blas_threads()
    inside, go = threading.Event(), threading.Event()

    def stay():
        with one_blas_thread():
            inside.set()
            go.wait()
            return blas_threads()

    with ThreadPoolExecutor(1) as pool:
        with one_blas_thread():
            staying = pool.submit(stay)
            inside.wait()
        assert blas_threads() == {1}
        go.set()
        assert staying.result() == {1}
    assert blas_threads() == before


FIRST_FITS = """
import warnings
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from napari_latent_faces import ICAParams, KMeansParams, NMFParams, PCAParams, fit
warnings.simplefilter("ignore")
faces = np.random.default_rng(0).integers(0, 255, (30, 20, 20)).astype(np.uint8)
kinds = (NMFParams, PCAParams, KMeansParams, ICAParams)
with ThreadPoolExecutor(4) as pool:
    models = list(pool.map(lambda kind: fit(faces, kind(n_components=3)), kinds))
print(len(models))
"""


def test_the_first_fits_of_a_process_may_begin_together():
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", FIRST_FITS], capture_output=True, text=True, check=False
        )
        assert done.stdout.strip() == "4", done.stderr
