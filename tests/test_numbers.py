"""Pixels of any type, unit and shape: one rule for their scale, true errors, sound models."""

from __future__ import annotations

import warnings
from functools import cache

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from napari_latent_faces import read_faces, sample_faces
from napari_latent_faces.fitting import ConvergenceWarning, fit, iter_fit
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.params import METHODS, NMFParams
from napari_latent_faces.stack import as_stack, named
from napari_latent_faces.viewer.layers import faces_layer
from tests.helpers import consume

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


def fitted(images, params=None, **changes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few iterations, few faces
        return fit(images, params, **{"random_state": 0, **changes})


@cache
def fitted_bytes(name):
    return fitted(faces(), PARAMS[name])


@pytest.mark.parametrize("name", PARAMS)
@pytest.mark.parametrize(
    ("dtype", "most"),
    [
        *((dtype, 255 * 16) for dtype in ("u2", ">u2", "i4", "i8", "f2", "f4", ">f4", "f8")),
        *(("f4", most) for most in (1e-25, 1e-36, 1e30)),
        *(("f8", most) for most in (1e-200, 1e200)),
    ],
)
def test_pixels_of_any_type_and_unit_give_the_model_of_8_bits(name, dtype, most):
    expected, images = (
        fitted_bytes(name),
        (faces() / 255 * most).round(9 if most > 1 else 300).astype(dtype),
    )
    model = fitted(images, PARAMS[name])
    assert model.scale == images.max()
    assert model.error == pytest.approx(expected.error, rel=1e-3)
    for again, theirs in (
        (model.reconstruct(), expected.reconstruct()),
        (model.blend(model.encode(images)), expected.blend(expected.encode(faces()))),
    ):
        np.testing.assert_allclose(again / model.scale, theirs / 255, atol=0.02)


@pytest.mark.parametrize("dtype", ["u2", "i8", "f8"])
def test_new_faces_follow_the_same_rule(dtype):
    images = faces()
    for unit in (1 / 255, 0.3, 1.0):  # floats from 0 to 1 stay as they are
        assert fitted(images / 255 * unit, PARAMS["cd"]).scale == 1
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


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
@pytest.mark.parametrize("independent", ["pictures", "weights"])
def test_ica_explains_what_pca_does(dtype, independent):
    """They span one plane, also where a direction of it begins with a 0."""
    images = np.asarray(sample_faces(10, 5, shape=(28, 23)).images).astype(dtype)
    found = fitted(images, METHODS["ica"](n_components=8, independent=independent))
    best = fitted(images, METHODS["pca"](n_components=8))
    assert np.linalg.matrix_rank(found.weights) == 8
    assert found.error == pytest.approx(best.error, rel=1e-5)


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
    # pictures that do not all declare it are scaled by the largest pixel
    Image.fromarray(faces()[0].astype(np.uint16)).save(tmp_path / "faces" / "20.png")
    assert read_faces(tmp_path / "faces").white is None


# -- The error that is shown is the one that anybody calculates from the model ---------


SIZES = [(1, 1), (1, 40), (9, 7), (40, 30), (301, 200)]


def true_error(images, model, hidden=False):
    """Calculate the error of a model in float64, face by face."""
    images, H = np.asarray(images), model.components.astype(np.float64)
    lost = size = 0.0
    for image, w, marks in zip(
        images, model.weights, np.broadcast_to(hidden, images.shape), strict=True
    ):
        seen = image.astype(np.float64) / model.scale
        left = seen - np.tensordot(w.astype(np.float64), H, 1)
        left -= 0 if model.mean is None else model.mean
        lost, size = lost + (left[~marks] ** 2).sum(), size + (seen[~marks] ** 2).sum()
    return np.sqrt(lost / size)


def bright_faces(n, size):
    """Return bright pictures, the sums of whose pixels are large."""
    rng = np.random.default_rng(0)
    images = np.full((n, *size), 240, np.uint8)
    for image in images:
        y, x = rng.integers(0, np.array(size) // 2)
        image[y : y + size[0] // 2, x : x + size[1] // 2] -= rng.integers(40, 200, dtype="u1")
    return images - rng.integers(0, 9, images.shape, np.uint8)


@pytest.mark.parametrize(
    ("n", "size", "dtype", "params", "hides"),
    [
        *(
            (n, size, "u1", NMFParams(n_components=2, max_iter=5), "")
            for n, size in [(3, (3000, 4000)), (4, (1200, 1000)), (40, (120, 90))]
        ),
        *(
            (12, (63, 50), d, METHODS[name](3), "")
            for name in METHODS
            for d in ("u1", "f4", "f8")
        ),
        *((8, (40, 30), "u1", PARAMS["multilevel"], hides) for hides in ("common", "each")),
        (8, (40, 30), "u1", PARAMS["cd"], "common"),
    ],
)
def test_every_method_shows_its_own_error(n, size, dtype, params, hides):
    images = (bright_faces(n, size) / 4).astype(dtype) if n == 12 else bright_faces(n, size)
    hidden = np.random.default_rng(2).random(images.shape) < 0.2 if hides else False
    hidden = hidden[0] if hides == "common" else hidden
    model = fitted(images, params, **({"mask": hidden} if hides else {}))
    assert model.error == pytest.approx(true_error(images, model, hidden), rel=1e-6)


def test_a_fit_that_is_stopped_shows_its_own_error():
    images = bright_faces(9, (120, 100))
    _, model = consume(iter_fit(images, n_components=3), stop_after=1)  # of small pictures
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


# -- Stacks at the edge of what numbers can be: a right result, or a clear refusal -----


SOLVERS = ("multilevel", "cd", "mu")


def sound(images, **params):
    """Fit and check what holds for every result."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = fit(images, **{"max_iter": 30, **params})
    for factor in (model.components, model.weights):
        assert np.isfinite(factor).all()
        assert (factor >= 0).all()
    assert np.isfinite(model.error)
    assert model.error == pytest.approx(true_error(images, model), abs=2e-3)
    return model


def random_stack(n=12, h=9, w=7, seed=0):
    return np.random.default_rng(seed).random((n, h, w))


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_black_face_gets_no_weight_and_equal_faces_are_shown_alike(solver):
    images = np.repeat(random_stack(5), 3, axis=0)
    images[:3] = 0
    model = sound(images, n_components=4, solver=solver, max_iter=400)
    assert model.weights[:3].max() < 1e-3 * model.weights.max()
    rebuilt = model.reconstruct().reshape(5, 3, *images.shape[1:])
    np.testing.assert_allclose(rebuilt[:, 0], rebuilt[:, 2], atol=0.05)
    for dtype in (np.uint8, np.uint16, np.float32, np.float64):
        with pytest.raises(ValueError, match="nothing to factorize"):
            fit(np.zeros((5, 6, 6), dtype), n_components=2, solver=solver)


CONSTANT = np.full((6, 8, 7), 130, np.uint8)
RANK_2 = np.random.default_rng(0).random((12, 2)) @ np.random.default_rng(1).random((2, 63))
EDGES = [  # a stack, how many components, and the most that the error may be
    (CONSTANT, 1, 1e-3),
    (CONSTANT, 4, 3e-2),
    (RANK_2.reshape(12, 9, 7), 6, 0.02),
    *((random_stack(10, *size), 1, 1) for size in [(1, 1), (1, 40), (40, 1), (2, 2), (3, 1)]),
    *((random_stack(12), k, 1) for k in (1, 7, 12)),
    (random_stack(12, 2, 2), 8, 1),  # more components than pixels
]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("images", "k", "most"), EDGES)
def test_stacks_of_any_shape_and_rank_are_factorized(solver, images, k, most):
    model = sound(images, n_components=k, solver=solver, max_iter=300 if most < 1 else 30)
    assert model.components.shape == (k, *images.shape[1:])
    assert model.error <= most


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_layout_in_memory_does_not_matter(solver):
    images = (random_stack(10, 20, 16) * 255).astype(np.uint8)
    frozen = images.copy()
    frozen.flags.writeable = False
    reference = sound(images, n_components=3, solver=solver)
    for each in (
        frozen,
        np.asfortranarray(images),
        np.repeat(np.repeat(images, 2, axis=0), 2, axis=2)[::2, :, ::2],
        np.ascontiguousarray(images[:, ::-1])[:, ::-1],
        da.from_array(images, chunks=(3, 20, 16)),
    ):
        model = sound(each, n_components=3, solver=solver)
        np.testing.assert_allclose(model.components, reference.components, atol=2e-3)


stacks = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=14),
    elements=st.integers(0, 255),
).filter(np.any)


@settings(max_examples=25)
@given(stacks, st.sampled_from(SOLVERS), st.sampled_from((None, "random")), st.data())
def test_encoding_the_faces_is_no_worse_than_the_fit(images, solver, init, data):
    k = data.draw(st.integers(1, len(images)))
    model = sound(images, n_components=k, solver=solver, init=init)
    assert 0 <= model.error <= 1
    assert (np.diff(model.shares) <= 1e-9).all()
    assert model.shares.sum() == pytest.approx(1)
    X = images.astype(np.float64)
    own = np.linalg.norm(X - model.reconstruct())
    encoded = np.linalg.norm(X - model.blend(model.encode(images)))
    assert encoded <= own + 1e-3 * np.linalg.norm(X)


@pytest.mark.parametrize("name", ["multilevel", "cd", "kmeans"])
def test_blocks_of_another_type_than_declared_say_so(name):
    lazy = da.from_array(faces(), chunks=(5, 12, 10)).map_blocks(
        lambda block: block / 255, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8)
    )
    with pytest.raises(TypeError, match="declares uint8 pixels, but float64 came"):
        fitted(lazy, PARAMS[name])
