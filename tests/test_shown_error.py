"""The error that is shown is the one that anybody calculates from the model."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.fitting import fit
from napari_latent_faces.params import METHODS

SIZES = [(1, 1), (1, 40), (9, 7), (40, 30), (301, 200)]


def fitted(images, params=None, **changes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few iterations, few faces
        return fit(images, params, **changes)


def true_error(images, model, hidden=None):
    """Calculate the error of a model in float64, face by face."""
    k = model.n_components
    H = model.components.reshape(k, -1).astype(np.float64)
    lost = size = 0.0
    for i, image in enumerate(images):
        seen = image.reshape(-1).astype(np.float64) / model.scale
        left = seen - model.weights[i].astype(np.float64) @ H
        if model.mean is not None:
            left -= model.mean.reshape(-1)
        if hidden is not None:
            marks = np.broadcast_to(hidden, images.shape)[i].reshape(-1)
            seen, left = seen[~marks], left[~marks]
        lost, size = lost + left @ left, size + seen @ seen
    return np.sqrt(lost / size)


@pytest.mark.parametrize(("n", "size"), [(3, (3000, 4000)), (4, (1200, 1000)), (40, (120, 90))])
def test_few_large_pictures_show_their_own_error(n, size):
    rng = np.random.default_rng(0)
    images = np.full((n, *size), 240, np.uint8)  # bright: the sums are large
    for image in images:
        y, x = (int(rng.integers(0, length // 2)) for length in size)
        image[y : y + size[0] // 2, x : x + size[1] // 2] -= rng.integers(
            40, 200, dtype=np.uint8
        )
    images -= rng.integers(0, 9, images.shape, np.uint8)
    model = fitted(images, n_components=2, max_iter=5)
    assert model.error == pytest.approx(true_error(images, model), rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_shape_type_and_scale_shows_its_own_error(data):
    size = data.draw(st.sampled_from(SIZES))
    n = data.draw(st.integers(2, 9))
    dtype = np.dtype(data.draw(st.sampled_from(("u1", "u2", "i4", "i8", "f2", "f4", "f8"))))
    unit = data.draw(st.sampled_from((1.0, 200.0))) if dtype.kind == "f" else 200.0
    if dtype.itemsize >= 4 and dtype.kind == "f":
        unit *= data.draw(st.sampled_from((1e-30, 1e-3, 1.0, 1e30)))
    rank = data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    pixels = rng.random((n, rank)) @ rng.random((rank, size[0] * size[1])) / rank
    images = (pixels.reshape(n, *size) * unit).astype(dtype)
    images[0, 0, 0] = 1
    solver = data.draw(st.sampled_from(("multilevel", "cd", "mu")))
    model = fitted(images, n_components=min(2, n), solver=solver, max_iter=20)
    assert model.error == pytest.approx(true_error(images, model), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
def test_every_method_shows_its_own_error(method, dtype):
    rng = np.random.default_rng(1)
    pixels = rng.random((12, 3)) @ rng.random((3, 63 * 50)) + rng.random((12, 63 * 50)) / 9
    images = (pixels.reshape(12, 63, 50) * 70).astype(dtype)
    model = fitted(images, METHODS[method](n_components=3))
    assert model.error == pytest.approx(true_error(images, model), rel=1e-6)


@pytest.mark.parametrize("solver", ["multilevel", "cd"])
@pytest.mark.parametrize("each", [False, True])
def test_hidden_pixels_are_not_in_it(solver, each):
    if each and solver == "cd":
        pytest.skip("takes one mask for all faces")
    rng = np.random.default_rng(2)
    images = rng.integers(1, 255, (8, 40, 30), np.uint8)
    hidden = rng.random((8, 40, 30) if each else (40, 30)) < 0.2
    model = fitted(images, n_components=3, solver=solver, mask=hidden, max_iter=20)
    assert model.error == pytest.approx(true_error(images, model, hidden), rel=1e-6)


def test_a_fit_that_is_stopped_shows_its_own_error():
    from napari_latent_faces.fitting import iter_fit

    images = np.random.default_rng(3).integers(0, 255, (9, 120, 100), np.uint8)
    steps = iter_fit(images, n_components=3)
    next(steps)  # of small pictures
    with pytest.raises(StopIteration) as end:
        steps.send("stop")
    model = end.value.value
    assert model.error == pytest.approx(true_error(images, model), rel=1e-6)
