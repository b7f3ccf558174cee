"""Stacks at the edge of what numbers can be: a right result, or a clear refusal."""

from __future__ import annotations

import warnings
from itertools import pairwise

import dask.array as da
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_latent_faces.fitting import ConvergenceWarning, fit, iter_fit
from napari_latent_faces.model import LatentFaces

SOLVERS = ("multilevel", "cd", "mu")
few = settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def fitted(images, **params):
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


def true_error(images, model):
    X = np.asarray(images, np.float64)
    return np.linalg.norm(X - model.reconstruct()) / np.linalg.norm(X)


def random_stack(n=12, h=9, w=7, seed=0):
    return np.random.default_rng(seed).random((n, h, w))


@pytest.mark.parametrize("solver", SOLVERS)
def test_constant_pictures_are_explained_by_one_component(solver):
    model = fitted(np.full((6, 8, 7), 130, np.uint8), n_components=1, solver=solver)
    assert model.error < 1e-3
    np.testing.assert_allclose(model.reconstruct(), 130, rtol=1e-3)


@pytest.mark.parametrize("solver", SOLVERS)
def test_more_components_than_a_constant_stack_needs_do_no_harm(solver):
    assert fitted(np.full((6, 8, 7), 130, np.uint8), n_components=4, solver=solver).error < 3e-2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("solver", SOLVERS)
def test_all_zero_pictures_are_refused(solver, dtype):
    with pytest.raises(ValueError, match="nothing to factorize"):
        fit(np.zeros((5, 6, 6), dtype), n_components=2, solver=solver)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_black_face_among_others_gets_no_weight(solver):
    images = random_stack()
    images[3] = 0
    model = fitted(images, n_components=3, solver=solver)
    assert model.weights[3].max() < 1e-3 * model.weights.max()


@pytest.mark.parametrize("solver", SOLVERS)
def test_duplicates_get_the_same_reconstruction(solver):
    images = np.repeat(random_stack(4), 3, axis=0)
    model = fitted(images, n_components=4, solver=solver, max_iter=400)
    rebuilt = model.reconstruct().reshape(4, 3, *images.shape[1:])
    np.testing.assert_allclose(rebuilt[:, 0], rebuilt[:, 2], atol=0.05)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 2), (3, 1)])
@pytest.mark.parametrize("solver", SOLVERS)
def test_pictures_of_any_shape_are_factorized(solver, size):
    model = fitted(random_stack(10, *size), n_components=1, solver=solver)
    assert model.components.shape == (1, *size)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("k", [1, 7, 12])
def test_from_one_component_to_as_many_as_faces(solver, k):
    assert fitted(random_stack(12), n_components=k, solver=solver).n_components == k


@pytest.mark.parametrize("solver", SOLVERS)
def test_more_components_than_the_rank(solver):
    rng = np.random.default_rng(0)
    images = (rng.random((12, 2)) @ rng.random((2, 63))).reshape(12, 9, 7)
    assert fitted(images, n_components=6, solver=solver, max_iter=300).error < 0.02


def test_more_components_than_pixels_need_no_special_start():
    assert fitted(random_stack(12, 2, 2), n_components=8).n_components == 8


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "dtype", ["f2", "<f4", ">f4", "f8", ">f8", "u1", "u2", ">u2", "i4", "?"]
)
def test_every_type_gives_the_same_parts(solver, dtype):
    images = (random_stack(seed=3) * 200).round()
    if dtype == "?":
        images = images > 100
    typed = images.astype(dtype)
    model = fitted(typed, n_components=3, solver=solver)
    reference = fitted(images.astype(np.float64), n_components=3, solver=solver)
    assert model.error == pytest.approx(reference.error, abs=0.01)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_layout_in_memory_does_not_matter(solver):
    images = (random_stack(10, 20, 16) * 255).astype(np.uint8)
    frozen = images.copy()
    frozen.flags.writeable = False
    layouts = {
        "read-only": frozen,
        "fortran": np.asfortranarray(images),
        "strided": np.repeat(np.repeat(images, 2, axis=0), 2, axis=2)[::2, :, ::2],
        "reversed": np.ascontiguousarray(images[:, ::-1])[:, ::-1],
        "dask": da.from_array(images, chunks=(3, 20, 16)),
    }
    reference = fitted(images, n_components=3, solver=solver)
    for layout, each in layouts.items():
        model = fitted(each, n_components=3, solver=solver)
        np.testing.assert_allclose(
            model.components, reference.components, atol=2e-3, err_msg=layout
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -0.5])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("lazy", [False, True])
def test_a_bad_pixel_is_refused_and_its_face_named(solver, bad, lazy):
    images = random_stack()
    images[7, 2, 3] = bad
    with pytest.raises(ValueError, match=r"face 7|face_7|\b7\b"):
        fit(
            da.from_array(images, chunks=(5, -1, -1)) if lazy else images,
            solver=solver,
            n_components=2,
        )


@pytest.mark.parametrize("unit", [1e-30, 1e-12, 1e12, 1e30, 1e150])
def test_tiny_and_huge_pixels_are_only_a_matter_of_units(unit):
    images = random_stack()
    model = fitted(images * unit, n_components=3)
    assert model.error == pytest.approx(fitted(images, n_components=3).error, rel=1e-2)


stacks = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=14),
    elements=st.integers(0, 255),
).filter(np.any)


@few
@given(stacks, st.data())
def test_any_stack_gives_a_sound_model(images, data):
    k = data.draw(st.integers(1, len(images)))
    solver = data.draw(st.sampled_from(SOLVERS))
    init = data.draw(st.sampled_from((None, "random")))
    fitted(images, n_components=k, solver=solver, init=init, random_state=0)


@few
@given(stacks, st.data())
def test_the_error_of_the_faces_never_rises(images, data):
    k = data.draw(st.integers(1, len(images)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        steps = list(iter_fit(images, n_components=k, max_iter=40, init="random"))
    for before, after in pairwise(steps):
        assert after.error <= before.error + 1e-4


@few
@given(stacks, st.data())
def test_the_canonical_form_of_a_model_is_itself(images, data):
    model = fitted(images, n_components=data.draw(st.integers(1, len(images))))
    again = LatentFaces.from_factors(
        model.weights,
        model.components.reshape(model.n_components, -1),
        model.shape[1:],
        error=model.error,
        scale=model.scale,
        params=model.params,
        provenance=model.provenance,
    )
    np.testing.assert_allclose(again.components, model.components, rtol=1e-6)
    np.testing.assert_allclose(again.weights, model.weights, rtol=1e-6)


@few
@given(stacks, st.data())
def test_a_saved_model_comes_back_bit_by_bit(tmp_path, images, data):
    model = fitted(images, n_components=data.draw(st.integers(1, len(images))))
    model.save(tmp_path / "model.npz")
    loaded = LatentFaces.load(tmp_path / "model.npz")
    assert loaded.components.tobytes() == model.components.tobytes()
    assert loaded.weights.tobytes() == model.weights.tobytes()
    assert (loaded.error, loaded.scale, loaded.params, loaded.provenance) == (
        model.error,
        model.scale,
        model.params,
        model.provenance,
    )


@few
@given(stacks, st.data())
def test_encoding_the_faces_is_no_worse_than_the_fit(images, data):
    model = fitted(images, n_components=data.draw(st.integers(1, len(images))))
    X = images.astype(np.float64)
    own = np.linalg.norm(X - model.reconstruct())
    encoded = np.linalg.norm(X - model.blend(model.encode(images)))
    assert encoded <= own + 1e-3 * np.linalg.norm(X)
