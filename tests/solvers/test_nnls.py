from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_latent_faces.solvers import nnls
from napari_latent_faces.solvers.nnls import (
    TOLERANCE,
    kkt_violations,
    nearest,
    solve_lasso,
    solve_least_squares,
    solve_nnls,
    solver_of,
)

seeds = st.integers(0, 2**32 - 1)


def problem(m, k, seed, *, power=1.0, r=None):
    """Return a matrix of non-negative columns and non-negative right-hand sides."""
    rng = np.random.default_rng(seed)
    A = rng.random((r or k + 5, k)) ** power
    return A, rng.random((m, len(A))) ** power


@given(st.integers(1, 40), st.integers(1, 20), st.floats(0.2, 8), seeds)
@settings(max_examples=60, deadline=None)
def test_it_finds_what_scipy_finds(m, k, power, seed):
    R, B = problem(m, k, seed, power=power)
    W = solve_nnls(R, B)
    assert W.shape == (m, k)
    assert (kkt_violations(R, B, W) <= TOLERANCE).all()
    expected = np.array([scipy.optimize.nnls(R, b)[0] for b in B])
    np.testing.assert_allclose(W @ R.T, expected @ R.T, atol=1e-8)


@given(st.integers(1, 8), seeds)
@settings(max_examples=30, deadline=None)
def test_equal_empty_and_dependent_columns(k, seed):
    R, B = problem(20, k, seed)
    R = np.hstack([R, R[:, :1], np.zeros((len(R), 1)), R.sum(axis=1, keepdims=True)])
    W = solve_nnls(R, B)
    assert (kkt_violations(R, B, W) <= TOLERANCE).all()
    assert not W[:, k + 1].any()


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_units_do_not_matter(scale):
    R, B = problem(30, 9, 0, power=4)
    np.testing.assert_allclose(solve_nnls(R, B * scale), solve_nnls(R, B) * scale)
    np.testing.assert_allclose(solve_nnls(R * scale, B), solve_nnls(R, B) / scale)


def test_nothing_comes_from_nothing():
    assert not solve_nnls(np.eye(3), np.zeros((4, 3))).any()
    assert not solve_nnls(np.zeros((3, 2)), np.ones((4, 3))).any()
    assert not solve_nnls(np.eye(3), -np.ones((4, 3))).any()
    assert solve_nnls(np.eye(3), np.ones((0, 3))).shape == (0, 3)


def test_other_ways_find_the_same(monkeypatch):
    R, B = problem(200, 12, 1, power=3)
    whole = solve_nnls(R, B)
    monkeypatch.setattr(nnls, "_SYSTEM_VALUES", 12 * 12 * 7)  # systems are cut
    np.testing.assert_allclose(solve_nnls(R, B), whole, atol=1e-12)
    monkeypatch.setattr(nnls, "_ROUNDS", 0)  # what does not settle goes to SciPy
    monkeypatch.setattr(nnls, "_SWEEPS", 0)
    assert (kkt_violations(R, B, solve_nnls(R, B)) <= TOLERANCE).all()


def test_few_are_left_to_scipy(monkeypatch):
    asked = []
    original = scipy.optimize.nnls
    monkeypatch.setattr(scipy.optimize, "nnls", lambda *a: asked.append(0) or original(*a))
    solve_nnls(*problem(2000, 20, 3, power=6, r=100))
    assert len(asked) < 20


def test_violations_are_measured():
    R, B = np.eye(2), np.array([[3.0, -4.0]])
    at = [kkt_violations(R, B, np.array([w]))[0] for w in ([3, 0], [0, 0], [4, 0], [3, -4])]
    np.testing.assert_allclose(at, [0, 3 / 5, 1 / 5, np.inf])


SYSTEMS = (st.integers(1, 12), st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**32 - 1))


def system(r, k, m, seed):
    """Return a matrix, with twin and empty columns now and then, and right-hand sides."""
    rng = np.random.default_rng(seed)
    R = rng.standard_normal((r, k)) * rng.integers(0, 2, k) ** (seed % 2)
    if k > 2 and seed % 3 == 0:
        R[:, 1] = R[:, 0]
    return R, rng.standard_normal((m, r))


@given(*SYSTEMS)
@settings(deadline=None)
def test_least_squares_leave_nothing_along_the_components(r, k, m, seed):
    R, B = system(r, k, m, seed)
    W = solve_least_squares(R, B)
    np.testing.assert_allclose((W @ R.T - B) @ R, 0, atol=1e-7)


@given(*SYSTEMS, st.floats(0, 2))
@example(4, 5, 1, 6144, 0.0)  # takes some thousand sweeps
@settings(deadline=None)
def test_the_lasso_meets_the_conditions_of_its_minimum(r, k, m, seed, alpha):
    R, B = system(r, k, m, seed)
    norms = np.linalg.norm(R, axis=0)
    W = solve_lasso(R, B, alpha)
    gradient = ((W @ R.T - B) @ R) / np.where(norms > 0, norms, 1)  # over unit columns
    used = W != 0
    np.testing.assert_allclose(gradient[used], -alpha * np.sign(W[used]), atol=1e-4)
    assert (np.abs(gradient[~used]) <= alpha + 1e-4).all()


def test_the_lasso_is_that_of_scikit_learn():
    from sklearn.decomposition import sparse_encode

    rng = np.random.default_rng(0)
    R, B = rng.standard_normal((30, 8)), rng.standard_normal((20, 30))
    R /= np.linalg.norm(R, axis=0)
    theirs = sparse_encode(B, R.T, algorithm="lasso_lars", alpha=0.4)
    np.testing.assert_allclose(solve_lasso(R, B, 0.4), theirs, atol=1e-6)
    assert 0 < (theirs == 0).mean() < 1


def test_a_larger_penalty_uses_fewer_components_however_they_are_scaled():
    R, B = system(12, 6, 40, 1)
    counts = [(solve_lasso(R, B, alpha) != 0).sum() for alpha in (0, 0.3, 1, 100)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[2] > counts[3] == 0
    scales = np.array([1, 10, 0.1, 3, 7, 2])
    scaled = solve_lasso(R * scales, B, 0.3) * scales
    np.testing.assert_allclose(scaled, solve_lasso(R, B, 0.3), atol=1e-6)


@given(*SYSTEMS)
def test_nearest_is_the_nearest(r, k, m, seed):
    R, B = system(r, k, m, seed)
    W = nearest(R, B)
    assert (W.sum(axis=1) == 1).all()
    centres = R.T[np.linalg.norm(R, axis=0) > 0]
    if len(centres):
        own = np.linalg.norm(B - W @ R.T, axis=1)
        each = np.linalg.norm(B[:, None] - centres, axis=2)
        np.testing.assert_allclose(own, each.min(axis=1), atol=1e-7)


def test_each_coding_has_its_solver():
    R, B = system(6, 3, 4, 1)
    assert (solver_of("non-negative")(R, B) >= 0).all()
    assert (solver_of("signed")(R, B) < 0).any()
    assert (solver_of("sparse", 100.0)(R, B) == 0).all()
    assert (solver_of("one-hot")(R, B).sum(axis=1) == 1).all()
