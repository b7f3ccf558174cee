from __future__ import annotations

from collections import deque
from dataclasses import replace

import dask.array
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.fitting import fit
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.solvers import blocks
from napari_latent_faces.stack import FaceStack
from tests.helpers import Watched, lost, peak_memory
from tests.made import canonical


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_the_canonical_form_keeps_the_product_and_is_reached_once(n, k, seed):
    rng = np.random.default_rng(seed)
    W, H = rng.random((n, k)), rng.random((k, 6)) * rng.integers(0, 2, (k, 1))
    model = canonical(W, H, (2, 3))
    rows = model.components.reshape(k, 6)
    np.testing.assert_allclose(model.weights @ rows, W @ H, atol=1e-12)
    assert set(np.round(rows.max(axis=1), 12)) <= {0.0, 1.0}
    assert (np.diff(model.shares) <= 1e-12).all()
    turned = canonical(W[:, ::-1], H[::-1], (2, 3))  # the order does not matter
    np.testing.assert_allclose(np.sort(turned.shares), np.sort(model.shares))
    again = canonical(model.weights, rows, (2, 3))
    np.testing.assert_array_equal(again.components, model.components)
    np.testing.assert_array_equal(again.weights, model.weights)


def test_reconstructions_are_in_the_units_of_the_faces(stack, model):
    rebuilt = model.reconstruct()
    assert rebuilt.shape == stack.shape
    assert model.error == pytest.approx(lost(stack, model), rel=1e-4)
    assert "3 components of 10 x 12 pixels, 30 faces" in repr(model)
    one, other = model.blend([1.0, 0, 0]), model.blend([0, 1.0, 0])
    np.testing.assert_allclose(one, model.components[0] * 255, rtol=1e-6)
    np.testing.assert_allclose(model.blend([2.0, 1, 0]), 2 * one + other, rtol=1e-6)
    for some in (3, [1, 5, 2], slice(2, 9, 3), np.array([4])):
        np.testing.assert_allclose(model.reconstruct(some), rebuilt[some], atol=1e-3)


def test_encode_survives_equal_and_empty_components(model):
    components = np.stack([model.components[0], model.components[0], np.zeros((12, 10))])
    twins = LatentFaces(components, model.weights, 0, 255.0, model.params, model.provenance)
    face = np.round(components[0] * 100).astype(np.uint8)
    np.testing.assert_allclose(twins.blend(twins.encode(face)), face, atol=1.5)


def made_when_seen(n, size=(40, 30)):
    """Return faces that are made when they are looked at: only what is kept takes memory."""
    return Watched(np.broadcast_to(np.uint8(7), (n, *size)))


@pytest.mark.parametrize("kind", ["array-like", "dask"])
def test_memory_of_encode_does_not_grow_with_the_pixels(kind, monkeypatch):
    monkeypatch.setattr(blocks, "_BLOCK_FACES", (64, 64))
    parts = np.random.default_rng(0).random((3, 40, 30), np.float32)
    model = canonical(np.ones((2, 3), np.float32), parts.reshape(3, -1), (40, 30))
    model = replace(model, provenance=fit(parts, n_components=1, max_iter=1, tol=0).provenance)

    def encode(n, seen):
        faces = made_when_seen(n)
        faces.seen = seen
        if kind == "dask":
            faces = dask.array.from_array(faces, (100, 40, 30), name=False)
        assert model.encode(FaceStack(faces, ("a",) * n)).shape == (n, 3)
        return seen

    assert sorted(encode(2000, [])) == list(range(2000))  # makes what is made once, too
    few, many = (peak_memory(lambda n=n: encode(n, deque(maxlen=0))) for n in (2000, 20_000))
    assert many - few < 18_000 * 1200 / 8  # an eighth of the pixels in their own bytes
