from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices

from napari_latent_faces.encoding import LazyReconstruction, LazyResidual
from napari_latent_faces.fitting import fit
from napari_latent_faces.model import LatentFaces
from tests.conftest import blobs

PICTURES = np.round(blobs()[0] * 255).astype(np.uint8)
MODEL = fit(PICTURES, n_components=3, max_iter=20, tol=0)
WHOLE = MODEL.reconstruct()


@given(basic_indices(WHOLE.shape, allow_newaxis=False))
@settings(max_examples=150, deadline=None)
def test_every_index_gives_what_the_whole_array_gives(index):
    np.testing.assert_allclose(LazyReconstruction(MODEL)[index], WHOLE[index], atol=1e-3)
    expected = PICTURES.astype(float)[index] - WHOLE[index]
    np.testing.assert_allclose(LazyResidual(PICTURES, MODEL)[index], expected, atol=1e-3)


@given(st.lists(st.integers(-30, 29), min_size=1, max_size=9))
def test_faces_can_be_picked_by_number(faces):
    found = LazyReconstruction(MODEL)[np.array(faces)]
    np.testing.assert_allclose(found, WHOLE[faces], atol=1e-3)


@pytest.mark.parametrize("lazy", [LazyReconstruction(MODEL), LazyResidual(PICTURES, MODEL)])
def test_it_is_what_napari_and_numpy_ask_of_an_array(lazy):
    assert (lazy.shape, lazy.ndim, lazy.size, len(lazy)) == ((30, 12, 10), 3, 3600, 30)
    whole = np.asarray(lazy)
    assert (whole.shape, whole.dtype) == (lazy.shape, lazy.dtype)
    assert np.asarray(lazy, np.float64).dtype == np.float64
    assert "30" in repr(lazy)
    with pytest.raises(IndexError):
        lazy[0, 0, 0, 0]
    with pytest.raises(IndexError):
        lazy[30]
    with pytest.raises(ValueError, match="copy"):
        np.array(lazy, copy=False)


def test_only_the_faces_that_are_looked_at_are_computed(monkeypatch):
    """The pictures of 200,000 faces would not fit in memory; one does."""
    model = LatentFaces(
        np.ones((2, 500, 500), np.float32),
        np.ones((200_000, 2), np.float32),
        0,
        1.0,
        None,
        None,
    )
    lazy = LazyReconstruction(model)
    assert lazy[199_999].shape == (500, 500)
    assert lazy[:, 250, 250].shape == (200_000,)


def test_a_residual_needs_the_faces_of_the_model():
    with pytest.raises(ValueError, match="shape"):
        LazyResidual(PICTURES[1:], MODEL)
