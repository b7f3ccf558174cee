from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_latent_faces.solvers.factors import (
    Factors,
    amounts,
    canonical,
    cell_sizes,
    enlarge,
    halve,
    shapes,
    smooth,
    unit_maximum,
)
from tests.helpers import PATIENCE


def factors(seed, *, is_signed):
    rng = np.random.default_rng(seed)
    W, H = rng.normal(size=(9, 4)), rng.normal(size=(4, 6))
    H[2] = 0
    return (W, H) if is_signed else (np.abs(W), np.abs(H))


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(deadline=None)
def test_the_product_stays_and_the_most_comes_first(seed, is_signed):
    W, H = factors(seed, is_signed=is_signed)
    weights, components = canonical(W, H, is_signed=is_signed)
    np.testing.assert_allclose(weights @ components, W @ H, atol=1e-9)
    added = amounts(weights, components, is_signed=is_signed)
    assert (np.diff(added) <= 0).all()
    assert added[-1] == 0  # the component without a pixel


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(deadline=None)
def test_the_pixel_farthest_from_0_is_1(seed, is_signed):
    _, H = factors(seed, is_signed=is_signed)
    scaled = unit_maximum(H.reshape(4, 2, 3))
    assert scaled.max(axis=(1, 2)).tolist() == [1, 1, 0, 1]
    assert scaled.min() >= -1
    np.testing.assert_allclose(unit_maximum(-H), scaled.reshape(4, 6))  # whatever their sign


def test_what_all_faces_have_alike_is_no_change_but_an_amount():
    weights, components = np.full((3, 1), 2.0), np.ones((1, 5))
    assert amounts(weights, components, is_signed=False) == pytest.approx(30)
    assert amounts(weights, components, is_signed=True) == 0


full_sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(size=full_sizes, seed=st.integers(0, 99))
def test_halving_keeps_sums_and_enlarging_keeps_means(size, seed):
    pictures = np.random.default_rng(seed).random((3, *size))
    sums = halve(pictures)
    assert sums.shape[1:] == shapes(size, 1)[1]
    np.testing.assert_allclose(sums.sum(axis=(1, 2)), pictures.sum(axis=(1, 2)))
    means = sums / cell_sizes(size, 1)
    np.testing.assert_allclose(halve(enlarge(means, size)), sums)


@given(size=full_sizes, data=st.data())
def test_smooth_enlargement_stays_within_what_is_around(size, data):
    small = data.draw(
        hnp.arrays(np.float64, (2, *shapes(size, 1)[1]), elements=st.floats(0, 10, width=32))
    )
    large = smooth(small, size)
    assert large.shape == (2, *size)
    around = np.pad(small, ((0, 0), (1, 1), (1, 1)), mode="edge")
    h, w = shapes(size, 1)[1]
    patches = [around[:, y : y + h, x : x + w] for y in range(3) for x in range(3)]
    least, most = (enlarge(each(patches, axis=0), size) for each in (np.min, np.max))
    assert (large >= least - 1e-9).all()
    assert (large <= most + 1e-9).all()


def test_smooth_enlargement_of_a_slope_is_a_slope():
    slope = np.arange(5.0)[None, :, None] * np.ones((1, 5, 4))
    large = smooth(slope, (10, 8))
    np.testing.assert_allclose(np.diff(large[0, 1:-1, 0]), 0.5)
    np.testing.assert_allclose(np.diff(large, axis=2), 0)


def test_weights_that_a_cluster_still_sends_hold_up_no_others():
    W, H = factors(0, is_signed=False)
    asked, come = threading.Event(), threading.Event()

    def fetch():
        asked.set()
        assert come.wait(PATIENCE)
        return W

    sent, here = (Factors(each, H, (2, 3), 1, False, 0.5) for each in (fetch, W))
    with ThreadPoolExecutor(2) as threads:
        fetched = threads.submit(lambda: sent.W)
        assert asked.wait(PATIENCE)
        try:
            assert threads.submit(lambda: here.W).result(PATIENCE) is W
        finally:
            come.set()
        assert fetched.result() is W
