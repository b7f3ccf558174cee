"""Colour is a property of pictures: whatever works on grey ones works on colour, too."""

from __future__ import annotations

import numpy as np
import pytest

from napari_latent_faces import FaceStack, fit, match_components
from napari_latent_faces.explaining import Explainer, build_up
from napari_latent_faces.params import METHODS
from tests.conftest import blobs
from tests.helpers import lost

COLOURS = np.array([[1.0, 0.2, 0.1], [0.1, 1.0, 0.3], [0.2, 0.1, 1.0], [0.8, 0.8, 0.2]])


@pytest.fixture
def faces() -> FaceStack:
    """Return 30 pictures of four spots, each of one colour."""
    _, parts, weights = blobs()
    images = np.einsum("nk,kyx,kc->nyxc", weights, parts, COLOURS)
    images = np.round(255 * images / images.max()).astype(np.uint8)
    return FaceStack(images, tuple(f"{i}.png" for i in range(30)))


@pytest.mark.filterwarnings("ignore:Not converged:UserWarning")
@pytest.mark.parametrize(
    ("method", "changes"),
    [
        *((method, {}) for method in METHODS),
        ("nmf", {"solver": "cd"}),
        ("nmf", {"solver": "mu", "init": "nndsvda"}),
    ],
)
def test_every_method_finds_pictures_in_colour(faces, method, changes):
    changes |= {"tol": 0.05} if method == "ica" else {}
    model = fit(faces, METHODS[method](n_components=4, **changes))
    assert model.components.shape == (4, 12, 10, 3)
    assert model.weights.shape == (30, 4)
    assert model.reconstruct().shape == faces.shape
    # the same numbers as a stack of grey pictures that are three times as wide
    assert model.error == pytest.approx(lost(faces, model), rel=1e-4)


def test_each_component_has_the_colour_of_its_part(faces):
    model = fit(faces, n_components=4, max_iter=2000, tol=1e-7)
    assert model.error < 0.02
    brightest = model.components.reshape(4, -1, 3).sum(axis=1)
    hues = brightest / np.linalg.norm(brightest, axis=1, keepdims=True)
    true = COLOURS / np.linalg.norm(COLOURS, axis=1, keepdims=True)
    cosines = hues @ true.T
    assert sorted(cosines.argmax(axis=1)) == [0, 1, 2, 3]
    assert cosines.max(axis=1).min() > 0.98


def test_grey_in_colour_gives_the_grey_result_in_every_channel(stack):
    grey = fit(stack, n_components=3, max_iter=300, tol=1e-6)
    in_colour = FaceStack(np.repeat(stack.images[..., None], 3, axis=-1), stack.names)
    coloured = fit(in_colour, n_components=3, max_iter=300, tol=1e-6)
    assert coloured.error == pytest.approx(grey.error, rel=0.02, abs=1e-3)
    for channel in range(3):
        part = coloured.components[..., channel]
        np.testing.assert_allclose(part, grey.components, atol=0.05)


def test_masks_are_those_of_pixels_in_all_channels(faces):
    mask = np.zeros((12, 10), bool)
    mask[3:6, 2:7] = True
    spoiled = np.where(mask[..., None], np.uint8(255), faces.images)
    clean = fit(faces, n_components=4, mask=mask)
    model = fit(FaceStack(spoiled, faces.names), n_components=4, mask=mask)
    np.testing.assert_array_equal(model.components, clean.components)
    assert not model.components[:, mask].any()
    assert model.mask.shape == (12, 10)
    assert model.left_out == (30 * 15, 30 * 120)
    some = np.zeros(faces.shape[:3], bool)
    some[:5, 4:8, 4:8] = True
    spoiled = np.where(some[..., None], np.uint8(255), faces.images)
    model = fit(FaceStack(spoiled, faces.names), n_components=4, mask=some, max_iter=500)
    rebuilt, true = model.reconstruct()[some], faces.images[some]
    assert np.abs(rebuilt - true).mean() < np.abs(255.0 - true).mean() / 5
    # strangers are encoded and mended
    model = fit(faces[:20], n_components=4, max_iter=1000, tol=1e-6)
    strangers = faces[20:]
    weights = model.encode(strangers)
    assert model.errors(strangers, weights).max() < 0.1
    np.testing.assert_allclose(model.encode(strangers.images[0]), weights[0])
    mended = model.mend(strangers, mask)
    assert mended.shape == strangers.shape
    np.testing.assert_array_equal(mended[:, ~mask], strangers.images[:, ~mask])
    assert np.abs(mended.astype(float) - strangers.images).max() < 60


def test_rows_and_transparent_pictures_are_fitted_too_and_others_refused(faces):
    model = fit(faces, n_components=4)
    opaque = np.concatenate([faces.images, np.full((30, 12, 10, 1), 7, np.uint8)], axis=-1)
    for again in (
        fit(opaque, n_components=4),
        fit(faces.matrix, n_components=4, shape=(12, 10, 3)),
    ):
        np.testing.assert_array_equal(model.components, again.components)
    parts = Explainer(model).parts(7)
    steps = build_up(model.components[parts.components], parts.weights)
    np.testing.assert_allclose(steps[-1] * model.scale, model.reconstruct(7), 1e-4, 1e-2)
    for shape, words in (
        ((6, 20, 20, 5), "5 channels"),
        ((30, 20, 3), "one picture in colour"),
    ):
        with pytest.raises(ValueError, match=words):
            fit(np.ones(shape), n_components=2)


def test_grey_and_colour_do_not_mix(faces, stack):
    model = fit(faces, n_components=3)
    assert "colour" in repr(model)
    with pytest.raises(ValueError, match=r"10 x 12 pixels in colour: .*colour=True"):
        model.encode(stack)
    assert match_components(model, model).similarity == pytest.approx(1)
    grey = fit(stack, n_components=3, max_iter=20, tol=0)
    with pytest.raises(ValueError, match="10 x 12 pixels in colour and 10 x 12 pixels: only"):
        match_components(model, grey)
