"""What holds for every method, and what each finds."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import pairwise

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import NMF

from napari_latent_faces.fitting import ConvergenceWarning, fit, iter_fit
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.params import (
    METHODS,
    DictionaryParams,
    ICAParams,
    KMeansParams,
    MiniBatchNMFParams,
    NMFParams,
    PCAParams,
)
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.solvers import blocks
from napari_latent_faces.solvers import sklearn as rows
from napari_latent_faces.stack import FaceStack
from tests.conftest import blobs
from tests.helpers import consume
from tests.solvers.conftest import lost

OTHERS = [name for name in METHODS if name != "nmf"]
QUICK = {
    "pca": PCAParams(n_components=3),
    "ica": ICAParams(n_components=3, tol=1e-2),
    "dictionary": DictionaryParams(n_components=3, alpha=0.1, batch_size=8, tol=0, max_iter=5),
    "minibatch-nmf": MiniBatchNMFParams(n_components=3, batch_size=10, tol=0, max_iter=5),
    "kmeans": KMeansParams(n_components=3, batch_size=8, tol=0, max_iter=5),
}


@pytest.fixture(params=OTHERS)
def params(request):
    return QUICK[request.param]


class TestEveryMethod:
    def test_steps_lead_to_a_model_in_canonical_form(self, stack, params):
        steps, model = consume(iter_fit(stack, params))
        assert model.params == params
        assert model.components.shape == (3, 12, 10)
        assert model.weights.shape == (30, 3)
        np.testing.assert_allclose(model.components.max(axis=(1, 2)), 1, rtol=1e-6)
        assert model.components.min() >= (-1 if model.is_signed else 0)
        assert (np.diff(model.shares) <= 1e-9).all()
        assert model.shares.sum() == pytest.approx(1)
        assert model.provenance.names == stack.names
        assert model.is_signed == (model.components.min() < 0)
        np.testing.assert_allclose(model.encode(stack), model.weights, atol=1e-4)

        assert steps[-1].error == model.error
        assert all(a.iteration <= b.iteration <= b.max_iter for a, b in pairwise(steps))
        for step in steps:
            assert step.components.shape == (3, 12, 10)
        assert {np.round(c, 4).tobytes() for c in steps[-1].components} == {
            np.round(c, 4).tobytes() for c in model.components
        }

    def test_repeats_itself_and_survives_its_file(self, stack, params, tmp_path):
        model = fit(stack, params, random_state=None)
        model.save(tmp_path / "m.npz")
        for other in (fit(stack, model.params), LatentFaces.load(tmp_path / "m.npz")):
            for name in ("components", "weights", "mean"):
                np.testing.assert_array_equal(getattr(other, name), getattr(model, name))
            for name in ("error", "scale", "params", "provenance", "is_signed"):
                assert getattr(other, name) == getattr(model, name)

    def test_stop_keeps_what_was_reached_and_closing_drops_it(self, stack, params):
        _, model = consume(iter_fit(stack, params), stop_after=1)
        assert model.provenance.n_iter <= 1 or params.method == "ica"
        assert model.error == pytest.approx(lost(stack, model), rel=1e-4)
        steps = iter_fit(stack, params)
        next(steps)
        steps.close()
        with pytest.raises(StopIteration):
            next(steps)

    @pytest.mark.parametrize("small", [False, True], ids=["in memory", "in blocks"])
    def test_lazy_and_in_memory_is_the_same(self, stack, params, small, monkeypatch):
        if small:
            monkeypatch.setattr(rows, "LARGEST_IN_MEMORY", 100)
        lazy = replace(stack, images=da.from_array(stack.images, (7, -1, -1)))
        one, two = fit(stack, params), fit(lazy, params)
        assert one.error == pytest.approx(two.error, rel=0.05 if small else 1e-6)
        assert two.error == pytest.approx(lost(stack, two), rel=1e-4)

    def test_refuses_what_cannot_be_fitted(self, stack, params):
        with pytest.raises(ValueError, match="n_components must be from 1 to 30"):
            iter_fit(stack, params, n_components=31)
        with pytest.raises(ValueError, match="at least two faces, got 1"):
            iter_fit(stack.images[:1], params, n_components=1)
        bad = stack.images.astype(float)
        bad[4, 2, 2] = np.nan
        with pytest.raises(ValueError, match="'face 4' has NaN"):
            fit(bad, params)
        with pytest.raises(ValueError, match="Every pixel of the stack is 0"):
            fit(np.zeros((5, 4, 4)), params)
        with pytest.raises(TypeError, match="beta_loss"):
            iter_fit(stack, params, beta_loss="frobenius")


class TestPCA:
    def test_is_the_best_there_is_and_that_of_scikit_learn(self, stack):
        from sklearn.decomposition import PCA

        X = stack.matrix / 255
        spectrum = np.linalg.svd(X - X.mean(axis=0), compute_uv=False)
        best = np.sqrt((spectrum[3:] ** 2).sum()) / np.linalg.norm(X)
        theirs = PCA(3, svd_solver="full").fit(X)
        wanted = theirs.explained_variance_ / theirs.explained_variance_.sum()
        for solver in ("auto", "full", "randomized"):
            model = fit(stack, PCAParams(n_components=3, svd_solver=solver))
            assert model.error == pytest.approx(best, rel=1e-3)
            np.testing.assert_allclose(model.mean.reshape(-1), theirs.mean_, atol=1e-6)
            np.testing.assert_allclose(model.shares, wanted, rtol=1e-4)
            ours = model.components.reshape(3, -1)
            ours /= np.linalg.norm(ours, axis=1, keepdims=True)
            alike = np.abs(np.vecdot(ours, theirs.components_))
            np.testing.assert_allclose(alike, 1, rtol=1e-5)

    def test_in_blocks_it_is_nearly_as_good_and_large_stacks_are_read_so(self, monkeypatch):
        stack = sample_faces(n_subjects=30).images[:, ::4, ::4]
        exact = fit(stack, PCAParams(n_components=5))
        asked = fit(stack, PCAParams(n_components=5, svd_solver="incremental"))
        monkeypatch.setattr(rows, "LARGEST_IN_MEMORY", 1000)
        monkeypatch.setattr(rows, "as_matrix", None)  # would be all pixels at once
        large = fit(stack, PCAParams(n_components=5))
        for model in (asked, large):
            assert exact.error <= model.error * (1 + 1e-6)
            assert model.error < exact.error * 1.02
            assert model.provenance.n_iter > 1

    def test_same_faces_and_too_many_components(self):
        same = np.full((6, 4, 4), 7, np.uint8)
        with pytest.raises(ValueError, match="All faces are the same"):
            fit(same, PCAParams(n_components=2))
        with pytest.raises(ValueError, match=r"from 1 to 29 \(the number of faces less one"):
            fit(blobs()[0], PCAParams(n_components=30))

    def test_no_weights_give_the_mean_face(self, stack):
        model = fit(stack, PCAParams(n_components=3))
        np.testing.assert_allclose(
            model.blend(np.zeros(3)), stack.images.mean(axis=0), atol=0.01
        )
        np.testing.assert_allclose(model.weights.mean(axis=0), 0, atol=1e-5)


class TestICA:
    def test_finds_the_spots_that_pictures_are_made_of(self):
        """Spots that do not overlap, with weights of their own, are what it looks for."""
        rng = np.random.default_rng(3)
        parts = np.zeros((4, 16, 16))
        for i, part in enumerate(parts):
            part[8 * (i // 2) + 2 :][:4, 8 * (i % 2) + 2 :][:, :4] = 1
        images = np.tensordot(rng.exponential(1, (80, 4)), parts, 1)
        model = fit(images / images.max(), ICAParams(n_components=4))
        found = model.components.reshape(4, -1)
        found = found / np.linalg.norm(found, axis=1, keepdims=True)
        alike = np.abs(found @ parts.reshape(4, -1).T) / 4
        assert sorted(alike.argmax(axis=1)) == [0, 1, 2, 3]
        assert alike.max(axis=1).min() > 0.95

    def test_is_that_of_scikit_learn(self):
        """The weights, up to order, sign and scale, with faces as samples."""
        from sklearn.decomposition import FastICA

        rng = np.random.default_rng(0)
        images = np.tensordot(rng.exponential(1, (200, 3)), rng.random((3, 6, 5)), 1)
        images /= images.max()
        theirs = FastICA(3, whiten="unit-variance", random_state=0, tol=1e-8).fit_transform(
            images.reshape(200, -1)
        )
        ours = fit(images, ICAParams(n_components=3, independent="weights", tol=1e-8)).weights
        alike = np.abs(np.corrcoef(ours.T, theirs.T)[:3, 3:])
        np.testing.assert_allclose(alike.max(axis=1), 1, atol=1e-4)
        assert sorted(alike.argmax(axis=1)) == [0, 1, 2]

    def test_more_components_than_the_faces_have_directions(self):
        flat = np.tensordot(np.arange(1.0, 9)[:, None], np.ones((1, 4, 4)), 1)
        flat[:4, 0, 0] = 0
        with pytest.raises(ValueError, match=r"from 1 to 2, got 5.*2 directions only"):
            fit(flat, ICAParams(n_components=5))


class TestMiniBatches:
    @pytest.mark.parametrize("method", ["dictionary", "minibatch-nmf", "kmeans"])
    def test_the_fit_gets_better_and_ends(self, method):
        stack = sample_faces(n_subjects=12).images[:, ::4, ::4]
        few = METHODS[method](n_components=6, batch_size=20, max_iter=1, tol=0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            first = fit(stack, few)
        many = fit(stack, few, max_iter=40)
        assert many.error < first.error
        ended = fit(stack, few, max_iter=200, tol=0.01)
        assert ended.provenance.stop_reason == "converged"
        assert ended.provenance.n_iter < 200 * 6

    def test_says_when_it_did_not_converge(self, stack):
        with pytest.warns(ConvergenceWarning, match=r"after 1 pass over.*max_iter"):
            model = fit(stack, KMeansParams(n_components=3, max_iter=1))
        assert model.provenance.stop_reason == "max_iter"
        # a batch is never smaller than the number of components
        for method in ("dictionary", "minibatch-nmf", "kmeans"):
            params = METHODS[method](n_components=20, batch_size=1, max_iter=1, tol=0)
            assert fit(stack, params).n_components == 20

    def test_a_dictionary_is_sparse_as_asked(self, stack):
        used = [
            (fit(stack, QUICK["dictionary"], alpha=alpha).weights != 0).mean()
            for alpha in (0.01, 0.5, 1.0)
        ]
        assert used[0] > used[1] > used[2]

    def test_kmeans_shows_means_of_groups_nearly_as_well_as_scikit_learn(self, stack):
        from sklearn.cluster import KMeans

        model = fit(stack, KMeansParams(n_components=3, max_iter=100, tol=0))
        assert ((model.weights > 0).sum(axis=1) == 1).all()
        group, rebuilt = model.weights.argmax(axis=1), model.reconstruct()
        own = np.linalg.norm(stack.images - rebuilt, axis=(1, 2))
        for i in range(3):
            assert np.ptp(rebuilt[group == i], axis=0).max() < 1e-3
            other = model.blend(np.eye(3)[i] * model.weights[:, i].max())
            assert (own <= np.linalg.norm(stack.images - other, axis=(1, 2)) + 1e-3).all()
        X = stack.matrix / 255
        theirs = KMeans(3, n_init=10, random_state=0).fit(X)
        assert model.error < 1.15 * np.sqrt(theirs.inertia_) / np.linalg.norm(X)


def test_errors_on_orl_are_in_this_order(data):
    """The figures in docs/methods.md: PCA is the best, one picture a face the worst."""
    from napari_latent_faces.reading import read_faces

    stack = read_faces(data / "orl")
    kinds = {"nmf": NMFParams, "pca": PCAParams, "ica": ICAParams, "kmeans": KMeansParams}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        errors = {name: fit(stack, kind()).error for name, kind in kinds.items()}
    assert errors["ica"] == pytest.approx(errors["pca"], rel=1e-3)
    assert errors["pca"] == pytest.approx(0.1751, abs=5e-4)
    assert errors["nmf"] == pytest.approx(0.180, abs=2e-3)
    assert errors["pca"] < errors["nmf"] < errors["kmeans"] < 0.24


@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler", "itakura-saito"])
def test_divergence_is_the_one_of_scikit_learn(pictures, beta_loss):
    X = pictures.reshape(30, -1) + 0.01
    theirs = NMF(3, solver="mu", beta_loss=beta_loss, max_iter=20, tol=0, random_state=0)
    W = theirs.fit_transform(X)
    found = rows.root_divergence(X, W, theirs.components_, beta_loss)
    assert found == pytest.approx(theirs.reconstruction_err_, rel=1e-6)


@pytest.mark.parametrize("largest", [0, 10**9], ids=["in blocks", "in memory"])
@given(n=st.integers(1, 90), size=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_a_pass_shows_every_face_once_in_batches_that_are_large_enough(largest, n, size, seed):
    size = min(size, n)
    images = np.repeat(np.arange(1, n + 1, dtype=np.uint16), 6).reshape(n, 2, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "LARGEST_IN_MEMORY", largest)
        patch.setattr(blocks, "_BLOCK_FACES", (7, 11))
        made = rows.Rows(FaceStack(images, ("a",) * n))
        plan = made.plan(size)
        batches = list(made.batches(plan, np.random.RandomState(seed)))
        X = np.concatenate([block.copy() for _, block in made.blocks()])
        assert (made.X is None) == (largest == 0)
    assert made.scale == n  # the largest pixel
    np.testing.assert_allclose(X * n, images.reshape(n, -1), rtol=1e-6)
    np.testing.assert_allclose(made.mean, X.mean(axis=0), rtol=1e-5)
    assert len(batches) == sum(count for _, count in plan)
    assert min(map(len, batches)) >= size
    seen = np.rint(np.concatenate(batches)[:, 0] * n).astype(int)
    assert sorted(seen) == list(range(1, n + 1))


def test_pixels_are_checked_and_left_alone(monkeypatch):
    monkeypatch.setattr(rows, "LARGEST_IN_MEMORY", 0)
    images = np.random.default_rng(0).random((20, 4, 4), np.float32)
    before = images.copy()
    for method in OTHERS:
        extra = {} if method == "pca" else {"tol": 0.5}
        fit(images, METHODS[method](n_components=2, **extra))
        np.testing.assert_array_equal(images, before)
    images[3, 1, 1] = -1
    with pytest.raises(ValueError, match="negative"):
        rows.Rows(FaceStack(images, ("a",) * 20))
