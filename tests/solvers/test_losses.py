from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import NMF

from napari_latent_faces.solvers import blocks as losses


@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_relative_error_is_the_frobenius_norm_whatever_the_blocks(n, p, k, seed):
    rng = np.random.default_rng(seed)
    X, W, H = rng.random((n, p)), rng.random((n, k)), rng.random((k, p))
    expected = np.linalg.norm(X - W @ H) / np.linalg.norm(X)
    assert losses.relative_error(X, W, H, losses.norm(X)) == pytest.approx(expected, rel=1e-12)


def test_float32_pixels_lose_no_more_than_their_rounding():
    rng = np.random.default_rng(0)
    X, W, H = rng.random((50, 9000)), rng.random((50, 3)), rng.random((3, 9000)) / 2
    expected = np.linalg.norm(X - W @ H) / np.linalg.norm(X)
    rounded = [each.astype(np.float32) for each in (X, W, H)]
    found = losses.relative_error(*rounded, losses.norm(rounded[0]))
    assert found == pytest.approx(expected, rel=1e-6)


@given(st.integers(0, 10**6), st.integers(0, 10**7))
@settings(deadline=None)
def test_row_blocks_cover_every_row_once(n, p):
    blocks = list(losses.row_blocks(min(n, 5000), p))
    covered = [i for rows in blocks for i in range(rows.start, rows.stop)]
    assert covered == list(range(min(n, 5000)))


@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler", "itakura-saito"])
def test_divergence_is_the_one_of_scikit_learn(pictures, beta_loss):
    X = pictures.reshape(30, -1) + 0.01
    theirs = NMF(3, solver="mu", beta_loss=beta_loss, max_iter=20, tol=0, random_state=0)
    W = theirs.fit_transform(X)
    found = losses.root_divergence(X, W, theirs.components_, beta_loss)
    assert found == pytest.approx(theirs.reconstruction_err_, rel=1e-6)
