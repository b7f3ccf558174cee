from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, spearmanr

from napari_latent_faces.fitting import fit
from napari_latent_faces.mixing.sampling import WeightSampler, sample_weights
from napari_latent_faces.reading import read_faces
from tests.mixing.conftest import correlated_weights, made_model


@pytest.fixture(scope="module")
def model():
    return made_model(correlated_weights(1500, 6))


@pytest.fixture(scope="module")
def drawn(model):
    return sample_weights(model, 8000, random_state=1)


class TestDistribution:
    def test_of_every_weight_is_its_own(self, model, drawn):
        for own, new in zip(model.weights.T, drawn.T, strict=True):
            assert ks_2samp(own, new).pvalue > 1e-3

    def test_has_as_many_zeros(self, model, drawn):
        own, new = ((each == 0).mean(axis=0) for each in (model.weights, drawn))
        assert own.max() > 0.3  # or there is nothing to see
        np.testing.assert_allclose(new, own, atol=4 * np.sqrt(0.25 / 8000))

    def test_goes_no_further_than_the_fitted_weights(self, model, drawn):
        assert (drawn <= model.weights.max(axis=0)).all()
        assert (drawn >= 0).all()

    def test_keeps_rank_correlations_zeros_and_all(self, model, drawn):
        own, new = (spearmanr(each).statistic for each in (model.weights, drawn))
        assert np.abs(own[np.triu_indices(6, 1)]).max() > 0.5
        np.testing.assert_allclose(new, own, atol=0.06)

    def test_keeps_them_for_weights_that_are_mostly_zero_together(self):
        """Independent random ranks for the ties would halve this correlation."""
        rng = np.random.default_rng(0)
        both = np.where(rng.random((3000, 1)) < 0.7, 0, rng.random((3000, 2)) + 1)
        own = spearmanr(both).statistic
        assert own > 0.9
        new = spearmanr(sample_weights(made_model(both), 5000, 0)).statistic
        assert new == pytest.approx(own, abs=0.03)

    def test_is_that_of_real_faces(self, data):
        stack = read_faces(data / "orl")
        model = fit(stack, n_components=25, max_iter=60)
        drawn = sample_weights(model, 20_000, random_state=0)
        above = np.triu_indices(25, 1)
        own, new = (spearmanr(each).statistic[above] for each in (model.weights, drawn))
        assert np.polyfit(own, new, 1)[0] == pytest.approx(1, abs=0.05)
        assert np.abs(own - new).max() < 0.06
        for a, b in zip(model.weights.T, drawn.T, strict=True):
            assert ks_2samp(a, b).statistic < 0.02


class TestSeed:
    def test_gives_the_same_faces(self, model):
        one, again, other = (sample_weights(model, 5, seed) for seed in (3, 3, 4))
        np.testing.assert_array_equal(one, again)
        assert not np.array_equal(one, other)

    def test_of_more_faces_begins_with_the_same(self, model):
        few, many = (sample_weights(model, n, 3) for n in (5, 5000))
        np.testing.assert_array_equal(few, many[:5])

    def test_may_be_a_generator(self, model):
        rng = np.random.default_rng(3)
        np.testing.assert_array_equal(
            sample_weights(model, 2, rng), sample_weights(model, 2, 3)
        )


class TestNear:
    def test_all_the_way_is_that_face(self, model):
        drawn = sample_weights(model, 3, 0, near=7, strength=1)
        np.testing.assert_array_equal(drawn, np.tile(model.weights[7], (3, 1)))

    def test_not_at_all_is_any_face(self, model):
        drawn = sample_weights(model, 4000, 0, near=7, strength=0)
        for own, new in zip(model.weights.T, drawn.T, strict=True):
            assert ks_2samp(own, new).pvalue > 1e-3

    def test_closer_is_more_like_it(self, model):
        spread = np.maximum(model.weights.std(axis=0), 1e-6)

        def apart(strength):
            drawn = sample_weights(model, 300, 0, near=7, strength=strength)
            return np.abs((drawn - model.weights[7]) / spread).mean()

        apart_by = [apart(strength) for strength in (0, 0.5, 0.9, 0.99)]
        assert apart_by == sorted(apart_by, reverse=True)
        assert apart_by[-1] < 0.3 * apart_by[0]

    def test_over_all_faces_every_weight_keeps_its_distribution(self, model):
        sampler = WeightSampler(model)
        drawn = np.concatenate(
            [sampler.draw(4, i, near=i, strength=0.6) for i in range(len(model.weights))]
        )
        for own, new in zip(model.weights.T, drawn.T, strict=True):
            assert ks_2samp(own, new).statistic < 0.03

    def test_takes_any_weights(self, model):
        given = np.full(6, 1e3)  # brighter than any face
        drawn = sample_weights(model, 50, 0, near=given, strength=0.99)
        assert (drawn.mean(axis=0) > np.quantile(model.weights, 0.9, axis=0)).all()

    @pytest.mark.parametrize(
        ("options", "error", "words"),
        [
            ({"near": 1500}, IndexError, "no face 1500: the model has 1500, counted from 0"),
            ({"near": [1.0]}, ValueError, "6 weights are needed"),
            ({"near": [np.nan] * 6}, ValueError, "neither NaN"),
            ({"near": 1, "strength": 1.5}, ValueError, "strength must be from 0 to 1, got 1.5"),
        ],
    )
    def test_that_makes_no_sense_is_told(self, model, options, error, words):
        with pytest.raises(error, match=words):
            sample_weights(model, 1, 0, **options)

    def test_less_than_no_faces_are_told(self, model):
        with pytest.raises(ValueError, match="0 or more, got -1"):
            sample_weights(model, -1)


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


def test_signed_weights_are_drawn_too():
    weights = np.random.default_rng(0).normal(size=(2000, 3))
    drawn = sample_weights(made_model(weights), 4000, 0)
    for own, new in zip(weights.T, drawn.T, strict=True):
        assert ks_2samp(own, new).pvalue > 1e-3


def test_very_many_faces_are_looked_at_in_part():
    rng = np.random.default_rng(0)
    weights = rng.exponential(size=(60_000, 4)) * (rng.random((60_000, 4)) < 0.7)
    drawn = sample_weights(made_model(weights, (1, 2), names=()), 5000, 0)
    for own, new in zip(weights.T, drawn.T, strict=True):
        assert ks_2samp(own, new).statistic < 0.03


def test_from_few_faces_noise_is_taken_for_noise():
    """Ten faces and thirty independent components: the correlations found are all chance."""
    weights = np.random.default_rng(0).exponential(size=(10, 30))
    above = np.triu_indices(30, 1)
    seen, kept = (
        np.abs(spearmanr(each).statistic[above]).mean()
        for each in (weights, sample_weights(made_model(weights), 4000, 0))
    )
    assert kept < 0.25 * seen


@given(r=st.floats(-0.9, 0.9), first=st.floats(0, 0.7), second=st.floats(0, 0.7))
@settings(max_examples=15, deadline=None)
def test_correlations_of_weights_cut_at_zero_are_kept(r, first, second):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(10_000, 2))
    z[:, 1] = r * z[:, 0] + np.sqrt(1 - r**2) * z[:, 1]
    weights = np.maximum(z - np.quantile(z, [first, second], axis=0).diagonal(), 0)
    new = spearmanr(sample_weights(made_model(weights), 10_000, 0)).statistic
    assert new == pytest.approx(spearmanr(weights).statistic, abs=0.05)
