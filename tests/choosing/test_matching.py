from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.choosing.search import pair_pictures, stability


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_a_shuffled_and_scaled_copy_is_matched(k, seed):
    rng = np.random.default_rng(seed)
    first = rng.random((k, 6, 5)) ** 4
    order = rng.permutation(k)
    second = first[order] * rng.uniform(0.1, 9, (k, 1, 1))
    partners, cosines = pair_pictures(first, second)
    np.testing.assert_array_equal(order[partners], np.arange(k))
    np.testing.assert_allclose(cosines, 1)


def test_each_component_has_one_partner_even_if_two_want_the_same():
    first = np.array([[1.0, 0, 0], [1.0, 0.1, 0]])
    second = np.array([[1.0, 0, 0], [0, 0, 1.0]])
    partners, cosines = pair_pictures(first, second)
    assert sorted(partners) == [0, 1]
    assert cosines.min() == 0


def test_an_empty_component_is_like_no_other():
    pictures = np.zeros((2, 3, 3))
    pictures[0] = 1
    _, cosines = pair_pictures(pictures, pictures)
    np.testing.assert_allclose(np.sort(cosines), [0, 1])


def test_different_numbers_are_refused():
    with pytest.raises(ValueError, match="shapes"):
        pair_pictures(np.ones((2, 3, 3)), np.ones((3, 3, 3)))


def test_stability_falls_with_each_fit_that_differs():
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 4, 30)) ** 6
    same = stability([one, one[::-1], one])
    mixed = stability([one, one, other])
    assert same == pytest.approx(1)
    assert stability([one, other, other[:, ::-1]]) < mixed < same
