from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.solvers import blocks
from napari_latent_faces.solvers import sklearn as rows
from napari_latent_faces.solvers.sklearn import Rows
from napari_latent_faces.stack import FaceStack


def numbered(n):
    """Return pictures that tell their number."""
    images = np.repeat(np.arange(1, n + 1, dtype=np.uint16), 6).reshape(n, 2, 3)
    return FaceStack(images, ("a",) * n)


@pytest.mark.parametrize("largest", [0, 10**9], ids=["in blocks", "in memory"])
@given(n=st.integers(1, 90), size=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_a_pass_shows_every_face_once_in_batches_that_are_large_enough(largest, n, size, seed):
    size = min(size, n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "LARGEST_IN_MEMORY", largest)
        patch.setattr(blocks, "_BLOCK_FACES", (7, 11))
        made = Rows(numbered(n))
        batches = list(made.batches(size, np.random.RandomState(seed)))
        assert (made.X is None) == (largest == 0)
    assert len(batches) == made.n_batches(size)
    assert min(map(len, batches)) >= size
    seen = np.rint(np.concatenate(batches)[:, 0] * n).astype(int)  # by the largest pixel
    assert sorted(seen) == list(range(1, n + 1))


def test_blocks_are_the_faces_in_order_and_the_mean_is_theirs(stack, monkeypatch):
    whole = Rows(stack)
    monkeypatch.setattr(rows, "LARGEST_IN_MEMORY", 0)
    monkeypatch.setattr(blocks, "_BLOCK_FACES", (4, 4))
    in_blocks = Rows(stack)
    for made in (whole, in_blocks):
        X = np.concatenate([block.copy() for _, block in made.blocks()])
        np.testing.assert_allclose(X, stack.matrix / 255, rtol=1e-6)
        np.testing.assert_allclose(made.mean(), X.mean(axis=0), rtol=1e-5)
        assert made.scale == 255
    assert len(list(in_blocks.blocks())) > 3


@pytest.mark.parametrize("largest", [0, 10**9])
def test_floats_are_scaled_by_their_maximum_and_checked(largest, monkeypatch):
    monkeypatch.setattr(rows, "LARGEST_IN_MEMORY", largest)
    images = np.random.default_rng(0).random((5, 3, 3)) * 40
    made = Rows(FaceStack(images, ("a",) * 5))
    assert made.scale == images.max()
    images[3, 1, 1] = -1
    with pytest.raises(ValueError, match="negative"):
        Rows(FaceStack(images, ("a",) * 5))


def test_the_users_pixels_are_left_alone(monkeypatch):
    from napari_latent_faces.fitting import fit
    from napari_latent_faces.params import METHODS

    monkeypatch.setattr(rows, "LARGEST_IN_MEMORY", 0)
    images = np.random.default_rng(0).random((20, 4, 4), np.float32)
    before = images.copy()
    for name, kind in METHODS.items():
        if name != "nmf":
            extra = {} if name == "pca" else {"tol": 0.5}
            fit(images, kind(n_components=2, **extra))
        np.testing.assert_array_equal(images, before)
