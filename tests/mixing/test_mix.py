from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.mixing.mix import (
    Mix,
    MixedPicture,
    as_weights,
    listed,
    mattering,
    mean_weights,
    morph,
    to_pixels,
    weight_ranges,
    weight_units,
)
from tests.mixing.conftest import correlated_weights, made_model, signed_model

MODEL = made_model(correlated_weights(9, 4))


def test_begins_with_nothing_or_what_is_given():
    assert not Mix(MODEL).weights.any()
    assert not Mix(MODEL).pixels.any()
    mix = Mix(MODEL, MODEL.weights[2])
    np.testing.assert_allclose(mix.pixels, MODEL.reconstruct(2), rtol=1e-5)
    assert not mix.can_undo


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, 3), st.floats(0, 9)),
            st.sampled_from(["undo", "redo", "reset"]),
        ),
        max_size=40,
    )
)
@settings(max_examples=100, deadline=None)
def test_undo_and_redo_walk_along_what_was_done(steps):
    """Compare with the plainest undo there is: a list of all states, and a place in it."""
    mix = Mix(MODEL, MODEL.weights[0])
    states, place = [mix.weights], 0
    for step in steps:
        if step == "undo":
            mix.undo()
            place = max(0, place - 1)
        elif step == "redo":
            mix.redo()
            place = min(len(states) - 1, place + 1)
        else:
            mix.reset() if step == "reset" else mix.set_weight(*step)
            if not np.array_equal(mix.weights, states[place]):
                states[place + 1 :] = [mix.weights]
                place += 1
        np.testing.assert_array_equal(mix.weights, states[place])
        np.testing.assert_allclose(mix.pixels, MODEL.blend(mix.weights), rtol=1e-4, atol=1e-3)
        assert (mix.can_undo, mix.can_redo) == (place > 0, place < len(states) - 1)


def test_a_drag_is_one_step():
    mix = Mix(MODEL)
    mix.begin()
    for weight in (0.1, 0.5, 0.9):
        mix.set_weight(1, weight)
    mix.end()
    mix.undo()
    assert not mix.weights.any()
    assert not mix.can_undo
    mix.redo()
    assert mix.weights[1] == 0.9


def test_a_drag_back_to_where_it_was_is_no_step():
    mix = Mix(MODEL)
    mix.begin()
    mix.set_weight(1, 0.5)
    mix.set_weight(1, 0.0)
    mix.end()
    mix.end()
    assert not mix.can_undo


def test_undo_in_the_middle_of_a_drag_takes_the_drag_back():
    mix = Mix(MODEL)
    mix.begin()
    mix.set_weight(1, 0.5)
    mix.undo()
    assert not mix.weights.any()
    assert mix.can_redo


def test_it_can_be_taken_back_only_so_often():
    mix = Mix(MODEL, depth=3)
    for i in range(1, 6):
        mix.set_weight(0, i)
    while mix.can_undo:
        mix.undo()
    assert mix.weights[0] == 2


def test_reset_goes_back_to_the_last_start_and_can_be_undone():
    mix = Mix(MODEL)
    mix.start_from(MODEL.weights[1])
    mix.set_weight(0, 5)
    mix.reset()
    np.testing.assert_array_equal(mix.weights, mix.start)
    np.testing.assert_allclose(mix.start, MODEL.weights[1])
    mix.undo()
    assert mix.weights[0] == 5


def test_changes_are_told_and_only_changes():
    mix, seen = Mix(MODEL), []
    mix.changed.connect(seen.append)
    mix.set_weight(2, 0.0)
    mix.set_weights(np.zeros(4))
    mix.undo()
    assert not seen
    mix.set_weight(2, 1.0)
    mix.set_weights(np.ones(4))
    mix.undo()
    assert seen == [2, None, None]


def test_weights_that_the_model_cannot_have_are_refused_and_change_nothing():
    mix = Mix(MODEL)
    for weight in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="Weights must be"):
            mix.set_weight(0, weight)
    with pytest.raises(ValueError, match="4 weights are needed"):
        mix.set_weights([1.0])
    with pytest.raises(IndexError, match="no component 4: the model has 4"):
        mix.set_weight(4, 1)
    assert not mix.weights.any()
    assert not mix.can_undo


def test_signed_models_take_negative_weights():
    mix = Mix(signed_model(np.random.default_rng(0).normal(size=(9, 3))))
    mix.set_weight(1, -2)
    assert mix.weights[1] == -2


# -- Amounts ---------------------------------------------------------------------------


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


# -- Picture ---------------------------------------------------------------------------


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
