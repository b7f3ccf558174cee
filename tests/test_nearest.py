"""The faces that look most like given weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_latent_faces import explaining as nearest
from napari_latent_faces.explaining import NearestFaces, face_error
from napari_latent_faces.model import LatentFaces, Provenance
from napari_latent_faces.params import NMFParams


def made(n, k, seed=0, dtype=np.float32, size=(6, 5)):
    rng = np.random.default_rng(seed)
    return LatentFaces.from_factors(
        (rng.exponential(1, (n, k)) * (rng.random((n, k)) < 0.6)).astype(dtype),
        (rng.random((k, size[0] * size[1])) ** 3).astype(dtype),
        size,
        error=0.1,
        scale=255.0,
        params=NMFParams(n_components=k),
        provenance=Provenance(tuple(map(str, range(n))), None, "", "uint8", 1, "converged"),
    )


def by_pixels(model, weights):
    """Return the distances of all faces from the pictures themselves."""
    apart = model.reconstruct().astype(float) - model.blend(weights).astype(float)
    return np.sqrt((apart**2).mean(axis=(1, 2)))


@given(
    st.integers(1, 80),
    st.integers(1, 8),
    st.integers(1, 100),
    st.integers(0, 2**16),
    st.sampled_from([np.float32, np.float64]),
)
def test_they_are_those_whose_pictures_differ_least(n, k, count, seed, dtype):
    model = made(n, k, seed, dtype)
    weights = np.random.default_rng(seed + 1).exponential(1, k)
    found, distances = NearestFaces(model).find(weights, count)
    apart = by_pixels(model, weights)
    assert len(set(found)) == len(found) == min(count, n)
    np.testing.assert_allclose(distances, np.sort(apart)[:count], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(distances, apart[found], rtol=1e-3, atol=1e-3)


@given(st.integers(2, 60), st.integers(0, 2**16))
def test_a_face_is_at_no_distance_from_itself(n, seed):
    model = made(n, 5, seed)
    face = seed % n
    found, distances = NearestFaces(model).find(model.weights[face], 3)
    assert distances[0] == 0
    np.testing.assert_array_equal(model.weights[found[0]], model.weights[face])


def test_who_is_left_out_is_not_found():
    model = made(12, 4)
    nearest_faces = NearestFaces(model)
    everyone, _ = nearest_faces.find(model.weights[3], 12)
    for exclude in (3, [3, 3, 7], np.array([0, 3])):
        others = [each for each in everyone if each not in np.atleast_1d(exclude)]
        found, _ = nearest_faces.find(model.weights[3], 12, exclude)
        np.testing.assert_array_equal(found, others)
    found, distances = nearest_faces.find(model.weights[3], 2, range(12))
    assert found.shape == distances.shape == (0,)


def test_several_at_once_are_found_like_one_by_one(monkeypatch):
    model = made(50, 6)
    weights = np.random.default_rng(9).exponential(1, (20, 6))
    whole = NearestFaces(model).find(weights, 4, exclude=2)
    monkeypatch.setattr(nearest, "_BLOCK_VALUES", 120)  # blocks of two
    parts = NearestFaces(model)
    for several, many in zip(parts.find(weights, 4, exclude=2), whole, strict=True):
        assert several.shape == (20, 4)
        np.testing.assert_allclose(several, many)
    for one, indices in zip(weights, whole[0], strict=True):
        np.testing.assert_array_equal(parts.find(one, 4, exclude=2)[0], indices)


def test_faces_that_differ_by_a_hair_are_still_told_apart():
    """The squares alone would be lost in float32: 1e-4 beside 1."""
    model = made(40, 3)
    close = model.weights[:1] * (1 + 1e-4 * np.arange(40, dtype=np.float32)[:, None])
    turned = np.random.default_rng(0).permutation(40)
    near = LatentFaces(
        model.components,
        np.ascontiguousarray(close[turned]),
        model.error,
        model.scale,
        model.params,
        model.provenance,
    )
    found, _ = NearestFaces(near).find(close[0], 8)
    np.testing.assert_array_equal(turned[found], np.arange(8))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_units_may_be_as_small_or_large_as_floats_are(scale):
    model = made(30, 4, dtype=np.float64)
    far = replace(model, scale=scale)
    found, distances = NearestFaces(far).find(far.weights[0], 5)
    usual, usual_distances = NearestFaces(model).find(model.weights[0], 5)
    np.testing.assert_array_equal(found, usual)
    np.testing.assert_allclose(distances / scale, usual_distances / model.scale)
    pixels = far.reconstruct(0) * 0.5
    assert face_error(far, 0, pixels) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("weights", "count", "words"),
    [
        (np.ones(4), 1, r"\(3,\) or \(m, 3\); got the shape \(4,\)"),
        (np.ones((1, 1, 3)), 1, "got the shape"),
        ([1, np.nan, 1], 1, "finite"),
        (np.ones(3), 0, "count must be 1 or more, got 0"),
    ],
)
def test_what_cannot_be_looked_for_is_told(weights, count, words):
    with pytest.raises(ValueError, match=words):
        NearestFaces(made(5, 3)).find(weights, count)
