"""Sweeps of a factor, compiled and in NumPy."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_latent_faces.fitting import fit
from napari_latent_faces.solvers import kernel as sweeps
from tests.patience import PATIENCE


@pytest.fixture(params=["numpy", "numba"])
def way(request, monkeypatch):
    """Sweep in one of the two ways."""
    if request.param == "numba":
        pytest.importorskip("numba")
        assert sweeps.compiled() is not None
    else:
        monkeypatch.setattr(sweeps, "compiled", lambda: None)
    return request.param


def problem(k, m, seed):
    """Return a factor, a Gram matrix and products, as in a fit."""
    rng = np.random.default_rng(seed)
    other = rng.random((k, 3 * k + 5), np.float32)
    truth = np.maximum(rng.normal(size=(k, m)), 0).astype(np.float32)
    G = other @ other.T
    return rng.random((k, m), np.float32), G, G @ truth, truth


def loss(F, G, C):
    F, G, C = (each.astype(np.float64) for each in (F, G, C))
    return np.vdot(F, G @ F) / 2 - np.vdot(C, F)


@pytest.mark.parametrize(("k", "m"), [(1, 1), (2, 300), (5, 17), (20, 129), (49, 400)])
def test_each_sweep_lowers_the_loss_until_the_minimum_is_found(way, k, m):
    F, G, C, truth = problem(k, m, seed=k)
    losses = [loss(F, G, C)]
    for _ in range(4):
        sweeps.sweep(F, G, C, 1)
        assert (F >= 0).all()
        losses.append(loss(F, G, C))
    assert all(b <= a + 1e-6 * abs(a) for a, b in pairwise(losses))
    assert loss(truth, G, C) <= losses[-1] + 1e-6 * abs(losses[-1])
    sweeps.sweep(F, G, C, 3000)
    np.testing.assert_allclose(F, truth, atol=0.02)


def test_components_without_a_diagonal_entry_stay(way):
    F, G, C, _ = problem(6, 40, seed=0)
    dead = [0, 4]
    G[dead] = G[:, dead] = 0
    before, lower = F.copy(), loss(F, G, C)
    sweeps.sweep(F, G, C)
    np.testing.assert_array_equal(F[dead], before[dead])
    assert loss(F, G, C) < lower
    sweeps.sweep(F, np.zeros_like(G), C)  # all of them
    assert np.isfinite(F).all()


@given(
    k=st.integers(1, 13),
    m=st.integers(1, 300),
    count=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_compiled_sweeps_are_those_of_numpy(k, m, count, seed):
    pytest.importorskip("numba")
    rows = sweeps.compiled()
    F, G, C, _ = problem(k, m, seed)
    G += np.eye(k, dtype=np.float32)  # else rounding decides
    A = G / G.diagonal()[:, None]
    np.fill_diagonal(A, 0)
    targets = C / G.diagonal()[:, None]
    expected = F.astype(np.float64)
    for _ in range(count):
        for t in range(k):
            expected[t] = np.maximum(targets[t] - A[t] @ expected, 0)
    by_numpy = F.copy()
    sweeps._by_rows(by_numpy, A, targets, count)
    rows(F, A, targets, count)
    size = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(F, expected, atol=2e-4 * size)
    np.testing.assert_allclose(by_numpy, expected, atol=2e-4 * size)


def test_fits_are_the_same_to_rounding(monkeypatch, stack):
    pytest.importorskip("numba")
    fast = fit(stack, n_components=4, random_state=0, max_iter=12, tol=0)
    monkeypatch.setattr(sweeps, "compiled", lambda: None)
    slow = fit(stack, n_components=4, random_state=0, max_iter=12, tol=0)
    assert fast.error == pytest.approx(slow.error, rel=1e-4)
    np.testing.assert_allclose(fast.components, slow.components, atol=0.02)


def test_an_empty_factor_is_left_alone(way):
    sweeps.sweep(np.empty((3, 0), np.float32), np.eye(3, dtype="f4"), np.empty((3, 0), "f4"))


_FITS = """
import sys
import numpy as np
{first}
from napari_latent_faces import fit
from napari_latent_faces.solvers import sweeps
images = np.random.default_rng(0).integers(0, 256, (12, 10, 10), np.uint8)
versions = fit(images, n_components=2).provenance.versions
assert ("numba" in versions) == (sweeps.compiled() is not None)
print(sweeps.compiled())
"""


def compiled_in_a_new_process(first="", **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", _FITS.format(first=first)],
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=os.environ | environment,
    ).stdout.strip()


def test_without_numba_sweeps_are_those_of_numpy():
    assert compiled_in_a_new_process("sys.modules['numba'] = None") == "None"


def test_numba_that_is_told_not_to_compile_is_left_alone():
    """It would run the sweeps as plain Python, number by number."""
    pytest.importorskip("numba")
    assert compiled_in_a_new_process(NUMBA_DISABLE_JIT="1") == "None"


def test_sweeps_are_compiled_where_nothing_can_be_kept():
    pytest.importorskip("numba")
    first = """
import numba
njit = numba.njit
def nowhere_to_keep(*args, cache=False, **options):
    if cache:
        raise RuntimeError("cannot cache function: no locator available")
    return njit(*args, **options)
numba.njit = nowhere_to_keep
"""
    assert "sweep_rows" in compiled_in_a_new_process(first)
