"""One rule for the scale of pixels, whatever the method."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from napari_latent_faces.fitting import fit
from napari_latent_faces.params import METHODS, NMFParams

PARAMS = {
    "multilevel": NMFParams(n_components=3),
    "cd": NMFParams(n_components=3, solver="cd"),
    "mu": NMFParams(n_components=3, solver="mu"),
    "kl": NMFParams(n_components=3, solver="mu", beta_loss="kullback-leibler"),
    **{name: METHODS[name](n_components=3) for name in METHODS if name != "nmf"},
}


def faces():
    rng = np.random.default_rng(0)
    pixels = rng.random((20, 4)) @ rng.random((4, 12 * 10)) + rng.random((20, 120)) / 5
    images = (pixels / pixels.max() * 255).astype(np.uint8).reshape(20, 12, 10)
    assert images.max() == 255
    return images


def fitted(images, params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few iterations are enough
        return fit(images, params, random_state=0)


@pytest.mark.parametrize("name", PARAMS)
@pytest.mark.parametrize("dtype", ["u2", "i4", "i8", "f4", "f8"])
def test_pixels_of_any_type_give_the_model_of_8_bits(name, dtype):
    images = faces()
    expected = fitted(images, PARAMS[name])
    model = fitted(images.astype(dtype) * 16, PARAMS[name])  # 12 bits
    assert model.scale == 255 * 16
    assert model.error == pytest.approx(expected.error, rel=1e-3)
    np.testing.assert_allclose(model.reconstruct() / 16, expected.reconstruct(), atol=2)


@pytest.mark.parametrize("name", PARAMS)
@pytest.mark.parametrize(
    ("dtype", "unit"),
    [("f4", 1e-25), ("f4", 1e-36), ("f4", 1e30), ("f8", 1e-200), ("f8", 1e200)],
)
def test_tiny_and_huge_units_change_nothing(name, dtype, unit):
    images = faces()
    expected = fitted(images, PARAMS[name])
    tiny = (images / 255 * unit).astype(dtype)
    model = fitted(tiny, PARAMS[name])
    assert model.error == pytest.approx(expected.error, rel=1e-3)
    assert model.scale == tiny.max()
    rebuilt = model.blend(model.encode(tiny)) / tiny.max()
    np.testing.assert_allclose(
        rebuilt, expected.blend(expected.encode(images)) / 255, atol=0.02
    )


@pytest.mark.parametrize("unit", [1 / 255, 0.3, 1.0])
def test_floats_from_0_to_1_stay_as_they_are(unit):
    assert fitted(faces() / 255 * unit, PARAMS["cd"]).scale == 1


@pytest.mark.parametrize("dtype", ["u2", "i8", "f8"])
def test_new_faces_follow_the_same_rule(dtype):
    images = faces()
    model = fitted(images, PARAMS["multilevel"])
    weights = model.encode(images)
    np.testing.assert_allclose(model.encode(images.astype(dtype) * 3), weights, atol=1e-5)
    wide = fitted(images.astype(np.uint16) * 16, PARAMS["multilevel"])
    half = images.astype(np.uint16) * 8  # in the units of the model
    np.testing.assert_allclose(
        2 * wide.encode(half), wide.encode(images.astype(np.uint16) * 16), atol=1e-5
    )
