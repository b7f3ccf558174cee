from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.solvers import nnls
from napari_latent_faces.solvers.nnls import TOLERANCE, kkt_violations, solve_nnls

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


def test_rows_are_cut_so_that_systems_stay_small(monkeypatch):
    R, B = problem(200, 12, 1, power=3)
    whole = solve_nnls(R, B)
    monkeypatch.setattr(nnls, "_SYSTEM_VALUES", 12 * 12 * 7)
    np.testing.assert_allclose(solve_nnls(R, B), whole, atol=1e-12)


def test_what_does_not_settle_goes_to_scipy(monkeypatch):
    R, B = problem(50, 12, 2, power=3)
    monkeypatch.setattr(nnls, "_ROUNDS", 0)
    monkeypatch.setattr(nnls, "_SWEEPS", 0)
    W = solve_nnls(R, B)
    assert (kkt_violations(R, B, W) <= TOLERANCE).all()


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
