"""One rule for the scale of pixels, whatever the method."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces import LatentFaces, read_faces
from napari_latent_faces.fitting import fit
from napari_latent_faces.params import METHODS, NMFParams
from napari_latent_faces.stack import as_stack, named
from napari_latent_faces.viewer.layers import faces_layer

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


def write_pnm(folder, images, most):
    folder.mkdir()
    for i, image in enumerate(images):
        pixels = image.astype(np.uint8 if most < 256 else ">u2").tobytes()
        (folder / f"{i:02}.pgm").write_bytes(b"P5 10 12 %d\n" % most + pixels)
    return read_faces(folder)


@pytest.mark.parametrize("name", PARAMS)
@pytest.mark.parametrize("most", [100, 1000, 4095])
def test_the_maximum_that_pnm_files_declare_is_white(name, most, tmp_path):
    """Of faces that are dark: none of them comes near it."""
    dark = (faces() * (0.4 * most / 255)).astype(int)
    stack = write_pnm(tmp_path / "faces", dark, most)
    model = fitted(stack, PARAMS[name])
    assert model.scale == (255 if most < 256 else 65535)
    unscaled = fitted(dark / most, PARAMS[name])
    assert model.error == pytest.approx(unscaled.error, rel=0.02)
    np.testing.assert_allclose(
        model.reconstruct() / model.scale, unscaled.reconstruct(), atol=0.05
    )
    if not isinstance(model.params, NMFParams):
        return
    # others of the same camera, that are half as bright
    half = write_pnm(tmp_path / "half", dark // 2, most)
    assert model.encode(half).sum() == pytest.approx(model.encode(stack).sum() / 2, rel=0.1)


def test_it_is_known_in_layers_of_parts_and_in_the_file(tmp_path):
    stack = write_pnm(tmp_path / "faces", faces().astype(int), 1000)
    assert stack.white == stack[3:9].white == 65535
    metadata = faces_layer(stack, "faces")[1]["metadata"]
    assert named(as_stack(stack.images), metadata).white == 65535
    model = fitted(stack, NMFParams(n_components=2))
    model.save(tmp_path / "model.npz")
    assert LatentFaces.load(tmp_path / "model.npz").scale == 65535
    lazy = read_faces(tmp_path / "faces", lazy=True)
    assert fitted(lazy, NMFParams(n_components=2)).scale == 65535
    # a model of raw pixels knows what is white in the files, too
    raw = fitted(faces().astype(np.uint16), NMFParams(n_components=2))
    assert raw.encode(stack).max() < 2 * raw.weights.max()


def test_pictures_that_do_not_all_declare_it_are_scaled_by_the_largest(tmp_path):
    write_pnm(tmp_path / "faces", faces().astype(int), 1000)
    content = io.BytesIO()
    Image.fromarray(faces()[0].astype(np.uint16)).save(content, "png")
    (tmp_path / "faces" / "20.png").write_bytes(content.getvalue())
    assert read_faces(tmp_path / "faces").white is None
