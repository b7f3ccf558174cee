from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.mixing.mix import MixedPicture, to_pixels
from tests.mixing.conftest import correlated_weights, made_model


@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(0, 10, width=32)), min_size=1, max_size=60),
    st.integers(0, 100),
)
@settings(max_examples=50, deadline=None)
def test_after_any_changes_it_is_the_blend_of_its_weights(changes, seed):
    model = made_model(correlated_weights(9, 5, seed), seed=seed)
    picture = MixedPicture(model, model.weights[0])
    for component, weight in changes:
        picture.set_weight(component, weight)
        assert picture.weights[component] == weight
        np.testing.assert_allclose(
            picture.pixels, model.blend(picture.weights), rtol=1e-5, atol=1e-3
        )


def test_no_error_builds_up_over_a_long_drag():
    model = made_model(correlated_weights(9, 5))
    picture = MixedPicture(model, model.weights[0])
    start = picture.pixels.copy()
    rng = np.random.default_rng(0)
    for weight in rng.uniform(0, 1e4, 5000):
        picture.set_weight(2, weight)
    picture.set_weight(2, float(model.weights[0, 2]))
    np.testing.assert_allclose(picture.pixels, start, rtol=1e-5)


def test_a_change_does_not_reach_the_model():
    model = made_model(correlated_weights(9, 5))
    before = model.weights.copy(), model.components.copy()
    MixedPicture(model, model.weights[0]).set_weight(1, 7.0)
    np.testing.assert_array_equal(model.weights, before[0])
    np.testing.assert_array_equal(model.components, before[1])


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("uint8", [0, 0, 3, 255]),
        ("uint16", [0, 0, 3, 300]),
        ("float32", [-4, 0.4, 2.6, 300]),
        ("bool", [-4, 0.4, 2.6, 300]),
    ],
)
def test_pixels_are_rounded_and_cut_to_their_type(dtype, expected):
    found = to_pixels(np.array([-4, 0.4, 2.6, 300], np.float32), dtype)
    assert found.dtype == ("float32" if dtype == "bool" else dtype)
    np.testing.assert_allclose(found, np.array(expected, np.float32))
