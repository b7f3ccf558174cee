from __future__ import annotations

import itertools
import warnings

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import NMF, non_negative_factorization

from napari_latent_faces.fitting import fit, iter_fit
from napari_latent_faces.params import NMFParams
from napari_latent_faces.solvers import blocks, multilevel
from napari_latent_faces.solvers.factors import initial_factors
from napari_latent_faces.solvers.multilevel import depth, iter_multilevel
from napari_latent_faces.stack import FaceStack, as_stack
from tests.helpers import consume
from tests.solvers.conftest import faces

STARTS = [None, "nndsvd", "nndsvda", "nndsvdar", "random"]


def solve(images, *, threads=2, **params):
    """Run the solver alone; return what it gave at each step, and at the end."""
    solving = iter_multilevel(as_stack(images), NMFParams(**params), threads)
    return consume(solving)


def lost(images, factors):
    """Return the relative error of factors, from their definition."""
    X = np.asarray(images, float).reshape(len(images), -1) / factors.scale
    H = factors.pictures().reshape(factors.W.shape[1], -1)
    return np.linalg.norm(X - factors.W.astype(float) @ H) / np.linalg.norm(X)


@given(
    n=st.integers(2, 12),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    data=st.data(),
    init=st.sampled_from([None, "random", "nndsvda"]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_the_error_of_every_step_is_the_true_one_and_never_rises(n, size, data, init, seed):
    pixels = size[0] * size[1]
    k = data.draw(st.integers(1, n))
    if init == "nndsvda":
        k = min(k, pixels)
    images = np.random.default_rng(seed).integers(0, 256, (n, *size)).astype(np.uint8)
    images[0, 0, 0] = 255
    steps, end = solve(images, n_components=k, init=init, max_iter=40)
    for each in [*steps[:: max(1, len(steps) // 4)], end]:
        for factor in (each.W, each.H):
            assert np.isfinite(factor).all()
            assert (factor >= 0).all()
        assert each.error == pytest.approx(lost(images, each), rel=2e-4, abs=2e-6)
    errors = [each.error for each in steps]
    assert all(b <= a * (1 + 1e-5) + 1e-6 for a, b in itertools.pairwise(errors))
    assert end.error == pytest.approx(errors[-1], rel=2e-4, abs=2e-6)


@pytest.mark.parametrize("dtype", ["u2", "f4", "f8"])
@pytest.mark.parametrize("seed", [1, 4, 11, 23])
def test_pictures_that_are_constant_on_cells_are_explained_from_the_coarse_ones(dtype, seed):
    """Their smooth enlargements fit worse, and rounding alone parts the levels' errors."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, 5))
    cells = rng.integers(0, 8, (12, k)) @ rng.integers(0, 8, (k, 400))
    images = cells.reshape(12, 20, 20).repeat(2, axis=1).repeat(2, axis=2).astype(dtype)
    images[0, :2, :2] = images.max()
    steps, end = solve(images, n_components=k + 1, max_iter=100)
    squares = [each.error**2 for each in steps]  # of the squared norm, float32 rounds 1e-7
    assert np.isfinite(squares).all()
    assert all(b <= a + 3e-7 for a, b in itertools.pairwise(squares))
    assert end.error == pytest.approx(lost(images, end), rel=2e-4, abs=1e-5)


@pytest.mark.parametrize("init", STARTS)
@pytest.mark.parametrize("k", [1, 4, 8])
def test_the_error_is_no_higher_than_with_scikit_learn(init, k):
    images = faces()
    X = images.reshape(len(images), -1).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = NMF(k, init=init, random_state=0).fit(X)
    expected = theirs.reconstruction_err_ / np.linalg.norm(X)
    _, end = solve(images, n_components=k, init=init, random_state=0)
    assert end.converged
    # both end in a local minimum, not always in the same one
    assert end.error <= expected * 1.01


@pytest.mark.parametrize(
    "penalties",
    [
        {"alpha_W": 1e-3, "alpha_H": 2e-3, "l1_ratio": 0.5},
        {"alpha_W": 3e-4, "l1_ratio": 1.0},
        {"alpha_W": 1e-3, "l1_ratio": 0.0},
    ],
)
@pytest.mark.parametrize("size", [(12, 10), (47, 37)])
@pytest.mark.parametrize("peak", [1.0, 0.01])
def test_penalties_are_those_of_scikit_learn(penalties, size, peak):
    images = faces(size=size, k=4).astype(float) * peak
    penalties = {name: value * peak for name, value in penalties.items()}
    X = images.reshape(len(images), -1)
    model = NMF(4, init="nndsvda", max_iter=3000, tol=1e-7, random_state=0, **penalties)
    theirs = objective(X, model.fit_transform(X), model.components_, **penalties)
    _, end = solve(images, n_components=4, max_iter=3000, tol=1e-7, **penalties)
    ours = objective(X, end.W, end.H, **penalties)
    assert ours <= theirs * 1.001


def objective(X, W, H, alpha_W, l1_ratio, alpha_H="same"):
    """Return the objective that scikit-learn documents."""
    alpha_H = alpha_W if alpha_H == "same" else alpha_H
    total = 0.5 * np.linalg.norm(X - W @ H) ** 2
    for factor, weight in ((W, alpha_W * X.shape[1]), (H, alpha_H * X.shape[0])):
        l1, l2 = np.abs(factor).sum(), np.linalg.norm(factor) ** 2
        total += weight * (l1_ratio * l1 + 0.5 * (1 - l1_ratio) * l2)
    return total


def test_coarse_levels_come_first_and_give_full_pictures():
    images = faces(size=(61, 47))
    steps, end = solve(images, n_components=4)
    levels = [each.level for each in steps]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] == 1
    assert levels[-1] == end.level == 0
    for each in steps:
        assert each.pictures().shape == (4, 61, 47)


def test_stop_on_a_coarse_level_sharpens_what_was_reached():
    images = faces(size=(61, 47))
    steps, model = consume(iter_fit(images, n_components=4), stop_after=2)
    assert steps[-1].factors.level > 0
    assert model.provenance.stop_reason == "stopped"
    assert model.provenance.n_iter == steps[-1].iteration  # a script stops there, too
    assert model.components.shape == (4, 61, 47)
    for axis in (1, 2):  # no blocks of equal pixels
        assert (np.diff(model.components, axis=axis) != 0).mean() > 0.5
    rebuilt = model.reconstruct()
    found = np.linalg.norm(images - rebuilt) / np.linalg.norm(images)
    assert model.error == pytest.approx(found, rel=1e-6)
    assert found < steps[-1].error


@pytest.mark.parametrize("size", [(12, 10), (61, 47)])
def test_a_sample_of_the_faces_starts_the_fit_of_all(small_samples, size):
    images = faces(200, size)
    steps, end = solve(images, n_components=4)
    assert steps[0].W.shape == (50, 4)
    assert end.W.shape == (200, 4)
    assert end.error == pytest.approx(lost(images, end), rel=1e-4)
    _, plain = solve(images, n_components=4, init="random")
    assert end.error <= plain.error * 1.01
    solving = iter_multilevel(as_stack(images), NMFParams(n_components=4))
    steps, end = consume(solving, stop_after=2)  # all faces are weighed all the same
    assert (len(end.W), end.level, end.iteration) == (200, 0, steps[-1].iteration)
    assert end.error == pytest.approx(lost(images, end), rel=1e-4)


def test_faces_that_join_are_weighed_well_at_once(small_samples):
    """Their first weights are guesses: half of the way to the end is made in one step."""
    images = faces(200, (12, 10))
    steps, end = solve(images, n_components=4, tol=1e-6)
    first = next(step for step in steps if len(step.W) == 200)
    assert first.error < end.error * 1.02


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("max_iter", [1, 2, 3, 9])
def test_coarse_levels_leave_iterations_for_the_full_pictures(k, max_iter):
    steps, end = solve(faces(), n_components=k, max_iter=max_iter, tol=0)
    assert (end.iteration, end.level, end.converged) == (max_iter, 0, False)
    assert len({step.iteration for step in steps}) == max_iter
    fine = {step.iteration for step in steps if step.level == 0}
    assert len(fine) >= max_iter * (2 / 3) ** depth((46, 37), k)


@pytest.mark.usefixtures("small_samples")
def test_a_lazy_stack_is_read_once_or_beyond_memory_once_an_iteration(monkeypatch):
    images = np.round(faces(90, (24, 20)) * 255).astype(np.uint8)
    counted = []

    def load(block):
        counted.append(len(block))
        return block

    lazy = da.from_array(images, chunks=(20, -1, -1)).map_blocks(load, meta=images[:0])
    solve(lazy, n_components=3, max_iter=30, tol=0)
    assert sum(counted) == 90
    monkeypatch.setattr(blocks, "_budget", lambda _: 0)
    reads = []
    for max_iter in (30, 37):
        counted.clear()
        states, _ = solve(lazy, n_components=3, max_iter=max_iter, tol=0)
        # a long iteration yields the state before it again
        fine = len({state.iteration for state in states if state.level == 0})
        reads.append((sum(counted), fine))
        assert set(counted) == {20, 10}  # whole chunks
    (few, fine), (many, more) = reads
    assert many - few == 90 * (more - fine) > 0


def layouts(images, folder):
    """Yield the same pictures in other clothes."""
    spread = np.zeros((len(images), *(2 * s for s in images.shape[1:])), images.dtype)
    spread[:, ::2, ::2] = images
    np.save(folder / "faces.npy", images)
    yield "strided", spread[:, ::2, ::2]
    yield "fortran", np.asfortranarray(images)
    yield "mapped", np.load(folder / "faces.npy", mmap_mode="r")
    yield "dask", da.from_array(images, chunks=(10, 20, 20))
    yield "float64", images.astype(float) / 255 if images.dtype == np.uint8 else images


@pytest.mark.parametrize("threads", [1, 3])
def test_neither_layout_nor_threads_change_the_result(small_samples, tmp_path, threads):
    images = np.round(faces(40, (31, 41)) * 255).astype(np.uint8)
    images[0, 0, 0] = 255
    params = {"n_components": 4, "max_iter": 30}
    _, expected = solve(images, threads=2, **params)
    for name, same in layouts(images, tmp_path):
        _, end = solve(same, threads=threads, **params)
        if name == "float64":
            np.testing.assert_allclose(end.W, expected.W, rtol=1e-2, atol=1e-3)
        else:
            np.testing.assert_array_equal(end.W, expected.W, name)
            np.testing.assert_array_equal(end.H, expected.H, name)


@pytest.mark.parametrize(
    ("images", "k"),
    [
        (np.full((6, 9, 9), 7, np.uint8), 3),  # constant: one direction only
        (np.repeat(faces(2, (8, 8)), 5, axis=0), 4),  # duplicates
        (faces(10, (1, 30)), 3),
        (faces(10, (30, 1)), 3),
        (faces(10, (1, 3)), 5),  # more components than pixels
        (faces(10, (8, 8)), 10),
        (faces(10, (8, 8)).astype(float) * 1e-300, 3),
        (faces(10, (8, 8)).astype(float) * 1e300, 3),
        ((faces(10, (8, 8)) * 2**63).astype(np.uint64), 3),
        ((faces(10, (8, 8)) * 9).astype(np.uint64), 3),
        (faces(10, (8, 8)).astype(np.float16), 3),
        (faces(10, (8, 8)) > 0.5, 3),
        (np.concatenate([np.zeros((5, 8, 8)), faces(5, (8, 8))]), 3),  # black faces
    ],
)
@pytest.mark.parametrize("init", [None, "random"])
def test_odd_stacks_are_fitted(images, k, init):
    _, end = solve(images, n_components=k, init=init, max_iter=400, tol=1e-5)
    assert np.isfinite(end.W).all()
    assert np.isfinite(end.H).all()
    assert (end.W >= 0).all()
    assert (end.H >= 0).all()
    X = images.reshape(len(images), -1).astype(float)
    X = X / X.max()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = NMF(k, init=init, random_state=42, max_iter=400, tol=1e-5).fit(X)
    expected = theirs.reconstruction_err_ / np.linalg.norm(X)
    assert end.error <= expected * 1.01 + 2e-3


def test_components_that_start_empty_are_revived():
    images = faces(30, (12, 10), 6)
    # the singular vectors of a stack of rank 1 and a little more give empty components
    images[:28] = images[0]
    _, end = solve(images, n_components=3, init="nndsvd", max_iter=300)
    assert end.W.any(axis=0).all()
    assert end.H.any(axis=1).all()
    assert end.error < 0.01


def test_a_bad_pixel_is_found_in_a_lazy_stack():
    images = faces(40, (12, 10)).astype(float)
    images[33, 2, 2] = np.nan
    lazy = FaceStack(da.from_array(images, chunks=7), tuple(f"f{i}" for i in range(40)))
    with pytest.raises(ValueError, match="'f33' has NaN"):
        fit(lazy, n_components=2)


# -- Start -----------------------------------------------------------------------------


@pytest.mark.parametrize("init", STARTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("is_wide", [True, False])
def test_starts_are_those_of_scikit_learn(pictures, init, dtype, is_wide):
    X = pictures.reshape(30, -1).astype(dtype)
    X = X if is_wide else np.ascontiguousarray(X.T)
    params = NMFParams(n_components=4, init=init)
    W, H = initial_factors(X, params, 42)
    assert W.dtype == H.dtype == dtype
    assert H.tobytes() == initial_factors(X, params, 42)[1].tobytes()  # bits for a seed
    options = {"solver": "cd", "max_iter": 1, "tol": 0, "random_state": 42}
    theirs = non_negative_factorization(X, n_components=4, init=init, **options)
    W = np.ascontiguousarray(W)  # scikit-learn 1.6 wants it so
    ours = non_negative_factorization(X, W, H, 4, init="custom", **options)
    for a, b in zip(ours[:2], theirs[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3 if dtype == np.float32 else 1e-9, atol=1e-6)


def test_stacks_of_few_directions_or_pixels_start_or_say_why_not():
    X = np.outer(np.arange(1.0, 7.0), np.arange(1.0, 9.0))
    for factor in initial_factors(X, NMFParams(n_components=4, init="nndsvd"), 0):
        assert np.isfinite(factor).all()
    X = np.random.default_rng(0).random((9, 4))
    W, H = initial_factors(X, NMFParams(n_components=6), 0)
    assert (W.shape, H.shape) == ((9, 6), (6, 4))
    with pytest.raises(ValueError, match=r"init='nndsvd' needs n_components <= 4"):
        initial_factors(X, NMFParams(n_components=6, init="nndsvd"), 0)


# -- Levels ----------------------------------------------------------------------------


def test_a_fit_begins_with_few_faces_where_there_are_many(small_samples, monkeypatch):
    monkeypatch.setattr(multilevel, "_FIRST_FACES", 20)
    monkeypatch.setattr(multilevel, "_FACES_EACH", 5)

    def counts(k):
        steps, _ = solve(faces(200, (61, 47), k), n_components=k)
        return [n for n, _ in itertools.groupby(len(step.W) for step in steps)]

    assert counts(4) == [20, 50, 200]
    assert counts(5) == [25, 50, 200]
    assert counts(6) == [50, 200]  # half of them and more would not be few


def test_the_error_of_few_faces_is_theirs(small_samples, monkeypatch):
    """Of faces that are all the same, that is the error of all."""
    monkeypatch.setattr(multilevel, "_FIRST_FACES", 20)
    monkeypatch.setattr(multilevel, "_FACES_EACH", 1)
    images = np.repeat(faces(1, (61, 47)), 200, axis=0)
    steps, end = solve(images, n_components=1)
    at_first = {len(step.W): step.error for step in reversed(steps) if step.level}
    assert list(at_first) == [50, 20]
    assert at_first[20] == pytest.approx(at_first[50], rel=1e-4)
    assert at_first[20] > 0.01 > end.error  # what is lost by halving
