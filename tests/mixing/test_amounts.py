from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.mixing.mix import (
    as_weights,
    listed,
    mattering,
    mean_weights,
    morph,
    weight_ranges,
    weight_units,
)
from tests.mixing.conftest import correlated_weights, made_model, signed_model


@pytest.fixture
def model():
    return made_model(correlated_weights(200, 8))


def test_ranges_reach_from_nothing_to_nearly_the_most(model):
    low, high = weight_ranges(model).T
    assert (low == 0).all()
    assert (high <= model.weights.max(axis=0)).all()
    for column, top in zip(model.weights.T, high, strict=True):
        used = column[column > 0]
        assert 0 < (used > top).mean() < 0.03


def test_a_component_that_few_faces_use_has_a_range_too():
    weights = np.zeros((1000, 3))
    weights[:4, 1] = 5  # fewer than one in a hundred
    weights[:, 2] = 1
    ranges = weight_ranges(made_model(weights))
    np.testing.assert_array_equal(ranges, [[0, 1], [0, 5], [0, 1]])


def test_signed_weights_reach_three_deviations_to_both_sides():
    weights = np.random.default_rng(0).normal(size=(4000, 3)) * [1, 20, 0]
    weights[100:, 1] = 0  # few use it: the others make its range no smaller
    model = signed_model(weights)
    np.testing.assert_allclose(weight_units(model), [1, 20, 1], rtol=0.15)
    ranges = weight_ranges(model)
    np.testing.assert_allclose(ranges[:, 1], 3 * weight_units(model))
    np.testing.assert_array_equal(ranges[:, 0], -ranges[:, 1])


def test_weights_that_are_only_added_are_told_as_they_are(model):
    np.testing.assert_array_equal(weight_units(model), np.ones(8))


def test_weights_of_0_are_the_mean_face_that_a_model_adds_to():
    model = signed_model(np.random.default_rng(0).normal(1, 1, (9, 3)))
    mean = model.blend(mean_weights(model))
    np.testing.assert_allclose(mean, model.mean * model.scale, rtol=1e-6)


def test_the_mean_face_is_the_mean_of_the_reconstructions(model):
    mean = model.blend(mean_weights(model))
    np.testing.assert_allclose(mean, model.reconstruct().mean(axis=0), rtol=1e-4)


@given(seed=st.integers(0, 1000), share=st.floats(0.1, 0.99))
@settings(max_examples=50, deadline=None)
def test_what_matters_carries_its_share_and_no_fewer_would(seed, share):
    model = made_model(correlated_weights(20, 8, seed), seed=seed)
    weights = model.weights[3] + 1e-3
    carried = weights * model.components.sum(axis=(1, 2))
    found = mattering(model, weights, share)
    assert (np.diff(found) > 0).all()
    assert carried[found].sum() >= share * carried.sum() * (1 - 1e-6)
    largest = np.sort(carried)[::-1]
    assert largest[: len(found) - 1].sum() < share * carried.sum()


def test_in_a_face_of_nothing_the_shares_of_the_model_decide(model):
    found = mattering(model, np.zeros(8), 0.5)
    assert model.shares[found].sum() >= 0.5
    assert set(found) == set(np.argsort(-model.shares)[: len(found)])


def test_a_morph_goes_straight_from_one_to_the_other(model):
    way = morph(model, 2, 9, 5)
    np.testing.assert_allclose(way[[0, -1]], model.weights[[2, 9]], rtol=1e-6)
    np.testing.assert_allclose(np.diff(way, axis=0), np.diff(way, axis=0)[[0] * 4], atol=1e-9)
    np.testing.assert_array_equal(morph(model, np.zeros(8), np.ones(8), 2), [[0] * 8, [1] * 8])


def test_a_morph_of_one_step_is_refused(model):
    with pytest.raises(ValueError, match="2 or more, both ends included; got 1"):
        morph(model, 0, 1, 1)


def test_weights_are_a_copy_and_checked(model):
    as_weights(model, 3)[:] = -1
    assert (model.weights >= 0).all()
    for wrong in ([1.0], np.ones((1, 8)), [np.inf] * 8):
        with pytest.raises(ValueError, match="eights"):
            as_weights(model, wrong)
    with pytest.raises(IndexError, match="no face -1"):
        as_weights(model, -1)


@pytest.mark.parametrize(
    ("numbers", "found"),
    [("3", [3]), ("5, 1-3", [1, 2, 3, 5]), ("6-99999999999", [6, 7]), ("9", []), ("x", [])],
)
def test_components_are_listed_by_number(model, numbers, found):
    assert listed(model, model.weights[0], "matter", numbers) == found


def test_components_are_listed_by_what_they_do(model):
    weights = np.array([0, 2, 0, 1e-6, 0, 0, 3, 0])
    assert listed(model, weights, "all") == list(range(8))
    assert listed(model, weights, "used") == [1, 3, 6]
    assert listed(model, weights, "matter", " ") == [1, 6]
