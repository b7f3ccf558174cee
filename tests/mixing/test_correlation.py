from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from napari_latent_faces.mixing.sampling import copula_factor, latent_correlations, spearman
from tests.mixing.conftest import correlated_weights


def test_rank_correlations_are_those_of_scipy():
    weights = correlated_weights(300, 5)
    np.testing.assert_allclose(spearman(weights), spearmanr(weights).statistic, atol=1e-12)


def test_a_column_that_never_changes_correlates_with_none():
    weights = np.column_stack([np.ones(9), np.arange(9), np.arange(9)])
    np.testing.assert_allclose(spearman(weights), [[1, 0, 0], [0, 1, 1], [0, 1, 1]], atol=1e-12)


@given(st.floats(-0.99, 0.99))
@settings(max_examples=50, deadline=None)
def test_without_zeros_it_is_the_known_formula(ranked):
    found = latent_correlations(np.array([[1, ranked], [ranked, 1]]), np.zeros(2))
    assert found[0, 1] == pytest.approx(2 * np.sin(np.pi / 6 * ranked), abs=2e-3)


@given(
    r=st.floats(-0.95, 0.95),
    first=st.floats(0, 0.9),
    second=st.floats(0, 0.9),
)
@settings(max_examples=15, deadline=None)
def test_correlations_of_gaussians_cut_at_zero_are_found_again(r, first, second):
    from scipy.special import ndtri

    rng = np.random.default_rng(0)
    z = rng.normal(size=(40_000, 2))
    z[:, 1] = r * z[:, 0] + np.sqrt(1 - r**2) * z[:, 1]
    zeros = np.array([first, second])
    weights = np.maximum(z - np.maximum(ndtri(zeros), -9), 0)
    ranked = spearman(weights)
    found = latent_correlations(ranked, (weights == 0).mean(axis=0))[0, 1]
    # many zeros with a negative correlation tell little of it
    tolerance = 0.04 if r > 0 or first + second < 1 else 0.4
    assert found == pytest.approx(r, abs=tolerance)


@pytest.mark.parametrize(("n", "k"), [(2, 1), (3, 30), (10, 10), (10, 60), (400, 20)])
def test_the_factor_gives_numbers_of_variance_1(n, k):
    weights = correlated_weights(n, k)
    factor = copula_factor(weights, (weights == 0).mean(axis=0))
    np.testing.assert_allclose(np.linalg.norm(factor, axis=1), 1)
    assert np.linalg.eigvalsh(factor @ factor.T).min() > -1e-9


def test_from_few_faces_noise_is_taken_for_noise():
    """Ten faces and sixty independent components: the correlations found are all chance."""
    weights = np.random.default_rng(0).exponential(size=(10, 60))
    above = np.triu_indices(60, 1)
    seen = np.abs(spearman(weights)[above]).mean()
    factor = copula_factor(weights, np.zeros(60))
    kept = np.abs((factor @ factor.T)[above]).mean()
    assert kept < 0.25 * seen
