from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.solvers.factors import amounts, canonical, unit_maximum


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
