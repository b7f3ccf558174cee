"""New faces: amounts and undo, random weights, recipes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import ks_2samp, spearmanr

from napari_latent_faces.files import CONTENTS
from napari_latent_faces.mixing import (
    Mix,
    Recipe,
    WeightSampler,
    as_weights,
    iter_generated,
    listed,
    mattering,
    mean_weights,
    morph,
    number_recipes,
    sample_weights,
    save_recipes,
    to_pixels,
    weight_ranges,
    write_generated,
)
from tests.helpers import rows_in
from tests.made import correlated_weights, made_model, signed_model

MODEL = made_model(correlated_weights(9, 4))


def alike(weights, drawn, most=None):
    """Tell whether each weight is distributed as that of the fitted faces."""
    tests = [ks_2samp(own, new) for own, new in zip(weights.T, drawn.T, strict=True)]
    return all(t.pvalue > 1e-3 if most is None else t.statistic < most for t in tests)


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
    before = MODEL.weights.copy(), MODEL.components.copy()
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
    np.testing.assert_array_equal(MODEL.weights, before[0])
    np.testing.assert_array_equal(MODEL.components, before[1])


def test_a_drag_is_one_step_and_back_to_where_it_was_none():
    mix, seen = Mix(MODEL), []
    mix.changed.connect(seen.append)
    mix.set_weight(2, 0.0)
    mix.set_weights(np.zeros(4))
    mix.undo()
    assert not seen  # of what changes nothing
    mix.begin()
    for weight in (0.1, 0.5, 0.9):
        mix.set_weight(1, weight)
    mix.end()
    mix.begin()
    mix.set_weight(1, 0.5)
    mix.set_weight(1, 0.9)
    mix.end()
    mix.undo()
    assert not mix.weights.any()
    assert not mix.can_undo
    mix.redo()
    mix.begin()
    mix.set_weight(1, 0.5)
    mix.undo()  # in the middle of it
    assert mix.weights[1] == 0.9
    assert mix.can_redo
    mix.set_weights(np.ones(4))
    assert seen == [1] * 5 + [None, None, 1, None, None]
    # it can be taken back only so often, and a reset, too
    mix = Mix(MODEL, depth=3)
    mix.start_from(MODEL.weights[1])
    for i in range(1, 6):
        mix.set_weight(0, i)
    mix.reset()
    np.testing.assert_array_equal(mix.weights, mix.start)
    np.testing.assert_allclose(mix.start, MODEL.weights[1])
    mix.undo()
    assert mix.weights[0] == 5
    while mix.can_undo:
        mix.undo()
    assert mix.weights[0] == 3
    # no error builds up over a long one
    mix, rng = Mix(MODEL, MODEL.weights[0]), np.random.default_rng(0)
    start = mix.pixels.copy()
    for weight in [*rng.uniform(0, 1e4, 5000), MODEL.weights[0, 2]]:
        mix.set_weight(2, float(weight))
    np.testing.assert_allclose(mix.pixels, start, rtol=1e-5)


def test_weights_that_the_model_cannot_have_are_refused_and_change_nothing():
    mix = Mix(MODEL)
    for weight in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="Weights must be"):
            mix.set_weight(0, weight)
    with pytest.raises(ValueError, match="4 weights are needed"):
        mix.set_weights([1.0])
    with pytest.raises(IndexError, match="out of bounds"):
        mix.set_weight(4, 1)
    assert not mix.weights.any()
    assert not mix.can_undo
    signed = Mix(signed_model(np.random.default_rng(0).normal(size=(9, 3))))
    signed.set_weight(1, -2)
    assert signed.weights[1] == -2


# -- Amounts ---------------------------------------------------------------------------


@pytest.fixture
def model():
    return made_model(correlated_weights(200, 8))


def test_ranges_reach_from_nothing_to_nearly_the_most(model):
    ranges, units = weight_ranges(model)
    low, high = ranges.T
    assert (low == 0).all()
    np.testing.assert_array_equal(units, np.ones(8))
    assert (high <= model.weights.max(axis=0)).all()
    for column, top in zip(model.weights.T, high, strict=True):
        used = column[column > 0]
        assert 0 < (used > top).mean() < 0.03
    few = np.zeros((1000, 3))  # a component that few faces use has a range, too
    few[:4, 1] = 5  # fewer than one in a hundred
    few[:, 2] = 1
    np.testing.assert_array_equal(weight_ranges(made_model(few))[0], [[0, 1], [0, 5], [0, 1]])


def test_signed_weights_reach_three_deviations_to_both_sides():
    weights = np.random.default_rng(0).normal(size=(4000, 3)) * [1, 20, 0]
    weights[100:, 1] = 0  # few use it: the others make its range no smaller
    model = signed_model(weights)
    ranges, units = weight_ranges(model)
    np.testing.assert_allclose(units, [1, 20, 1], rtol=0.15)
    np.testing.assert_allclose(ranges[:, 1], 3 * units)
    np.testing.assert_array_equal(ranges[:, 0], -ranges[:, 1])


def test_the_mean_face_is_that_of_the_model_or_of_the_reconstructions(model):
    signed = signed_model(np.random.default_rng(0).normal(1, 1, (9, 3)))
    mean = signed.blend(mean_weights(signed))
    np.testing.assert_allclose(mean, signed.mean * signed.scale, rtol=1e-6)
    mean = model.blend(mean_weights(model))
    np.testing.assert_allclose(mean, model.reconstruct().mean(axis=0), rtol=1e-4)


@given(seed=st.integers(0, 1000), share=st.floats(0.1, 0.99))
@settings(max_examples=50, deadline=None)
def test_what_matters_carries_its_share_and_no_fewer_would(seed, share):
    model = made_model(correlated_weights(20, 8, seed), seed=seed)
    found = mattering(model, np.zeros(8), share)  # of nothing, the model's shares decide
    assert model.shares[found].sum() >= share * (1 - 1e-6)
    assert set(found) == set(np.argsort(-model.shares)[: len(found)])
    weights = model.weights[3] + 1e-3
    carried = weights * model.components.sum(axis=(1, 2))
    found = mattering(model, weights, share)
    assert (np.diff(found) > 0).all()
    assert carried[found].sum() >= share * carried.sum() * (1 - 1e-6)
    largest = np.sort(carried)[::-1]
    assert largest[: len(found) - 1].sum() < share * carried.sum()


def test_a_morph_goes_straight_from_one_to_the_other(model):
    way = morph(model, 2, 9, 5)
    np.testing.assert_allclose(way[[0, -1]], model.weights[[2, 9]], rtol=1e-6)
    np.testing.assert_allclose(np.diff(way, axis=0), np.diff(way, axis=0)[[0] * 4], atol=1e-9)
    np.testing.assert_array_equal(morph(model, np.zeros(8), np.ones(8), 2), [[0] * 8, [1] * 8])
    with pytest.raises(ValueError, match="2 or more, both ends included; got 1"):
        morph(model, 0, 1, 1)
    as_weights(model, 3)[:] = -1  # of a copy
    assert (model.weights >= 0).all()
    for wrong in ([1.0], np.ones((1, 8)), [np.inf] * 8):
        with pytest.raises(ValueError, match="eights"):
            as_weights(model, wrong)
    with pytest.raises(IndexError, match="no face -1"):
        as_weights(model, -1)


@pytest.mark.parametrize(
    ("which", "numbers", "found"),
    [
        ("all", "", list(range(8))),
        ("used", "", [1, 3, 6]),
        ("matter", " ", [1, 6]),
        ("matter", "3", [3]),
        ("all", "5, 1-3", [1, 2, 3, 5]),
        ("all", "6-99999999999", [6, 7]),
        ("all", "9", []),
        ("all", "x", []),
    ],
)
def test_components_are_listed_by_what_they_do_or_by_number(model, which, numbers, found):
    weights = np.array([0, 2, 0, 1e-6, 0, 0, 3, 0])
    assert listed(model, weights, which, numbers) == found


def test_pixels_are_rounded_and_cut_to_their_type():
    values = np.array([-4, 0.4, 2.6, 300], np.float32)
    for dtype, expected in (("u1", [0, 0, 3, 255]), ("u2", [0, 0, 3, 300])):
        found = to_pixels(values, dtype)
        assert found.dtype == dtype
        assert found.tolist() == expected
    for dtype in ("float32", "bool"):
        assert to_pixels(values, dtype).dtype == np.float32
        np.testing.assert_array_equal(to_pixels(values, dtype), values)


# -- Random weights --------------------------------------------------------------------


@pytest.fixture(scope="module")
def many():
    return made_model(correlated_weights(1500, 6))


@pytest.fixture(scope="module")
def drawn(many):
    return sample_weights(many, 8000, random_state=1)


def test_every_weight_keeps_its_own_distribution_zeros_and_all(many, drawn):
    assert alike(many.weights, drawn)
    own, new = ((each == 0).mean(axis=0) for each in (many.weights, drawn))
    assert own.max() > 0.3  # or there is nothing to see
    np.testing.assert_allclose(new, own, atol=4 * np.sqrt(0.25 / 8000))
    assert (drawn <= many.weights.max(axis=0)).all()
    assert (drawn >= 0).all()


def test_rank_correlations_are_kept(many, drawn):
    own, new = (spearmanr(each).statistic for each in (many.weights, drawn))
    assert np.abs(own[np.triu_indices(6, 1)]).max() > 0.5
    np.testing.assert_allclose(new, own, atol=0.06)
    # random ranks for the ties of weights that are mostly 0 together would halve theirs
    rng = np.random.default_rng(0)
    both = np.where(rng.random((3000, 1)) < 0.7, 0, rng.random((3000, 2)) + 1)
    own, new = (
        spearmanr(w).statistic for w in (both, sample_weights(made_model(both), 5000, 0))
    )
    assert own > 0.9
    assert new == pytest.approx(own, abs=0.03)


def test_a_seed_gives_the_same_faces_and_more_begin_with_them(many):
    few, again, other = (sample_weights(many, 5, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(few, again)
    assert not np.array_equal(few, other)
    np.testing.assert_array_equal(few, sample_weights(many, 5000, 3)[:5])
    np.testing.assert_array_equal(few, sample_weights(many, 5, np.random.default_rng(3)))


def test_all_the_way_to_a_face_is_that_face_and_not_at_all_any(many):
    drawn = sample_weights(many, 3, 0, near=7, strength=1)
    np.testing.assert_array_equal(drawn, many.weights[[7] * 3])
    assert alike(many.weights, sample_weights(many, 4000, 0, near=7, strength=0))


def test_closer_is_more_like_it(many):
    spread = np.maximum(many.weights.std(axis=0), 1e-6)
    drawn = (sample_weights(many, 300, 0, near=7, strength=s) for s in (0, 0.5, 0.9, 0.99))
    apart = [np.abs((each - many.weights[7]) / spread).mean() for each in drawn]
    assert apart == sorted(apart, reverse=True)
    assert apart[-1] < 0.3 * apart[0]
    bright = np.full(6, 1e3)  # brighter than any face
    drawn = sample_weights(many, 50, 0, near=bright, strength=0.99)
    assert (drawn.mean(axis=0) > np.quantile(many.weights, 0.9, axis=0)).all()


def test_near_all_faces_every_weight_keeps_its_distribution(many):
    sampler = WeightSampler(many)
    faces = range(len(many.weights))
    drawn = np.concatenate([sampler.draw(4, i, near=i, strength=0.6) for i in faces])
    assert alike(many.weights, drawn, 0.03)


@pytest.mark.parametrize(
    ("n", "options", "error", "words"),
    [
        (1, {"near": 1500}, IndexError, "no face 1500: the model has 1500, counted from 0"),
        (1, {"near": [1.0]}, ValueError, "6 weights are needed"),
        (1, {"near": [np.nan] * 6}, ValueError, "neither NaN"),
        (1, {"near": 1, "strength": 1.5}, ValueError, "strength must be from 0 to 1, got 1.5"),
        (-1, {}, ValueError, "negative dimensions"),
    ],
)
def test_what_makes_no_sense_is_told(many, n, options, error, words):
    with pytest.raises(error, match=words):
        sample_weights(many, n, 0, **options)


@given(
    n=st.integers(1, 40),
    k=st.integers(1, 60),
    zeros=st.floats(0, 1),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=25, deadline=None)
def test_any_weights_can_be_drawn_from(n, k, zeros, seed):
    """Few faces, more components than faces, nothing but zeros: all give faces."""
    rng = np.random.default_rng(seed)
    weights = rng.exponential(size=(n, k)) * (rng.random((n, k)) >= zeros)
    model = made_model(weights, (2, 2))
    drawn = sample_weights(model, 9, seed)
    assert drawn.shape == (9, k)
    assert drawn.dtype == model.weights.dtype
    assert np.isfinite(drawn).all()
    low, high = model.weights.min(axis=0), model.weights.max(axis=0)
    assert (((drawn >= low) & (drawn <= high)) | (drawn == 0)).all()
    near = sample_weights(model, 2, seed, near=n - 1, strength=0.5)
    assert np.isfinite(near).all()


def test_very_many_faces_are_looked_at_in_part_and_signed_ones_are_drawn_too():
    signed = np.random.default_rng(0).normal(size=(2000, 3))
    assert alike(signed, sample_weights(made_model(signed), 4000, 0))
    rng = np.random.default_rng(0)
    weights = rng.exponential(size=(60_000, 4)) * (rng.random((60_000, 4)) < 0.7)
    drawn = sample_weights(made_model(weights, (1, 2), names=()), 5000, 0)
    assert alike(weights, drawn, 0.03)
    # ten faces and thirty independent components: the correlations found are all chance
    few = rng.exponential(size=(10, 30))
    seen, kept = (
        np.abs(spearmanr(each).statistic[np.triu_indices(30, 1)]).mean()
        for each in (few, sample_weights(made_model(few), 4000, 0))
    )
    assert kept < 0.25 * seen


# -- Recipes ---------------------------------------------------------------------------


def test_the_table_gives_the_same_weights_back(tmp_path):
    weights = np.random.default_rng(0).random((12, 101)).astype(np.float32)
    save_recipes(tmp_path / "r.csv", number_recipes(weights, "random, seed 3", first=5))
    head, *rows = rows_in(tmp_path / "r.csv")
    assert head[:3] == ["name", "made", "component_000"]
    assert head[-1] == "component_100"
    assert [row[0] for row in rows] == [f"generated {i}" for i in range(5, 17)]
    assert {row[1] for row in rows} == {"random, seed 3"}
    read = np.array([row[2:] for row in rows], np.float32)
    np.testing.assert_array_equal(read, weights)
    with pytest.raises(ValueError, match="different numbers of components"):
        save_recipes(tmp_path / "s.csv", [Recipe("a", "", (1.0,)), Recipe("b", "", (1.0, 2.0))])
    assert not (tmp_path / "s.csv").exists()


# -- Generated -------------------------------------------------------------------------


def test_pictures_and_recipes_belong_together(tmp_path):
    few = made_model(correlated_weights(20, 4) / 4)
    out = tmp_path / "out"
    steps = iter_generated(few, few.weights, out, made="random", force=False)
    assert list(steps) == [(i + 1, 20) for i in range(20)]
    _, *rows = rows_in(out / "recipes.csv")
    assert len(rows) == 20
    for name, made, *weights in rows:
        assert made == "random"
        pixels = np.asarray(Image.open(out / "faces" / name)).astype(float)
        expected = np.clip(few.blend(np.array(weights, float)), 0, 255)
        np.testing.assert_allclose(pixels, expected, atol=0.51)
    with pytest.raises(FileExistsError, match=r"holds earlier results.*--force"):
        write_generated(few, few.weights[:3], out)
    assert len(list((out / "faces").iterdir())) == 20
    assert write_generated(few, few.weights[:3], out, force=True) == out
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {*(f"faces/0{i}.png" for i in range(3)), "recipes.csv", CONTENTS}
    # faces of other units are 8-bit pictures, too
    deep = replace(made_model(np.full((1, 3), 0.2), dtype="uint16"), scale=65535.0)
    write_generated(deep, deep.weights, out, force=True)
    pixels = np.asarray(Image.open(out / "faces/00.png"))
    np.testing.assert_allclose(pixels, deep.reconstruct(0) * 255 / 65535, atol=0.51)
