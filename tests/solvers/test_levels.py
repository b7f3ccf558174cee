"""Pictures at half the size, and back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_latent_faces.solvers.factors import cell_sizes, enlarge, halve, shapes, smooth

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
