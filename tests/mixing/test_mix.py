from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.mixing.mix import Mix
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
