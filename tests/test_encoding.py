from __future__ import annotations

import warnings
from dataclasses import replace

import dask.array
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces import encoding as stack_coder
from napari_latent_faces.encoding import (
    UndeterminedWarning,
    encode,
    encoded_model,
    iter_encode,
    relative_errors,
)
from napari_latent_faces.fitting import fit
from napari_latent_faces.model import LatentFaces, Provenance
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.solvers import blocks
from napari_latent_faces.stack import FaceStack
from tests.conftest import blobs

SIZE = (12, 10)
seeds = st.integers(0, 2**32 - 1)


def known(n=20, k=3, seed=0, *, size=SIZE, dtype="float64"):
    """Return a model with known factors, of faces that are exactly their product."""
    _, parts, weights = blobs(n, k, size, seed)
    origin = Provenance(tuple(map(str, range(n))), None, "made", dtype, 1, "converged")
    return LatentFaces.from_factors(
        weights, parts.reshape(k, -1), size, error=0.0, scale=1.0, params=None,
        provenance=origin,
    )  # fmt: skip


def random_masks(shape, seed, share=0.4):
    return np.random.default_rng(seed).random(shape) < share


@given(seeds, st.sampled_from(["none", "common", "each"]), st.floats(0.0, 0.8))
@settings(max_examples=30, deadline=None)
def test_known_weights_are_found_from_what_is_visible(seed, kind, share):
    model = known(seed=seed % 1000)
    faces = model.reconstruct()
    mask = None
    if kind != "none":
        mask = random_masks(SIZE if kind == "common" else faces.shape, seed, share)
        faces = np.where(mask, 1e6, faces)  # what is hidden is not looked at
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndeterminedWarning)
        found = encode(model, faces, mask)
    parts = model.components.reshape(3, -1)
    for i, weights in enumerate(found.weights):
        hidden = np.zeros(SIZE, bool) if mask is None else np.broadcast_to(mask, faces.shape)[i]
        seen = ~hidden.ravel()
        if np.linalg.cond(parts[:, seen]) < 1e5:
            np.testing.assert_allclose(weights, model.weights[i], atol=1e-5)
        np.testing.assert_allclose(
            weights @ parts[:, seen], model.weights[i] @ parts[:, seen], atol=1e-7
        )
    assert found.errors.max() < 1e-6


@given(seeds, st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_it_is_what_scipy_finds_for_the_visible_pixels(seed, k):
    rng = np.random.default_rng(seed)
    model = replace(known(k=k, n=5), components=rng.random((k, *SIZE)))
    faces, masks = rng.random((5, *SIZE)), random_masks((5, *SIZE), seed)
    found = model.encode(faces, masks)
    for face, mask, weights in zip(faces, masks, found, strict=True):
        A = model.components[:, ~mask].T
        np.testing.assert_allclose(
            A @ weights, A @ scipy.optimize.nnls(A, face[~mask])[0], atol=1e-7
        )


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_a_common_mask_is_the_same_mask_for_each_and_the_same_as_dropped_pixels(seed):
    model, faces = known(), blobs(n=9, seed=seed % 99 + 1)[0]
    mask = random_masks(SIZE, seed)
    common = encode(model, faces, mask)
    each = encode(model, faces, np.broadcast_to(mask, faces.shape))
    np.testing.assert_allclose(common.weights, each.weights, atol=1e-12)
    np.testing.assert_allclose(common.errors, each.errors, atol=1e-12)
    left = replace(model, components=model.components[:, ~mask][:, None])
    dropped = left.encode(faces[:, ~mask][:, None])
    np.testing.assert_allclose(common.weights, dropped, atol=1e-9)


def test_an_empty_mask_changes_nothing(stack, model):
    bare = encode(model, stack)
    for empty in (np.zeros((12, 10), bool), np.zeros(stack.shape, np.uint8)):
        masked = encode(model, stack, empty)
        np.testing.assert_array_equal(masked.weights, bare.weights)
        np.testing.assert_array_equal(masked.errors, bare.errors)


def test_true_means_ignore_and_any_nonzero_label_is_true(stack, model):
    mask = np.zeros((12, 10), int)
    mask[:4] = 7
    spoiled = stack.images.copy()
    spoiled[:, :4] = 255
    np.testing.assert_array_equal(
        model.encode(stack, mask), model.encode(FaceStack(spoiled, stack.names), mask > 0)
    )
    assert not np.allclose(model.encode(stack), model.encode(FaceStack(spoiled, stack.names)))


def test_ignored_pixels_may_be_anything(stack, model):
    faces = stack.images / 255
    mask = random_masks(faces.shape, 3)
    expected = model.encode(faces, mask)
    for value in (np.nan, -1.0, np.inf):
        faces[mask] = value
        np.testing.assert_array_equal(model.encode(faces, mask), expected)
    with pytest.raises(ValueError, match="has NaN or infinite pixels"):
        model.encode(faces)


def test_errors_are_those_of_the_reconstructions(stack, model):
    found = encode(model, stack)
    other = encoded_model(model, stack, found)
    seen = stack.images.astype(float)
    lost = np.linalg.norm((seen - other.reconstruct()).reshape(30, -1), axis=1)
    norms = np.linalg.norm(seen.reshape(30, -1), axis=1)
    np.testing.assert_allclose(found.errors, lost / norms, rtol=1e-4)
    assert found.error == pytest.approx(np.sqrt((lost**2).sum() / (norms**2).sum()), rel=1e-4)
    assert found.errors.dtype == np.float64


def test_the_weights_of_the_fit_are_measured_as_given(stack, model):
    fitted = relative_errors(model, stack, model.weights)
    best = relative_errors(model, stack)
    assert (best <= fitted * (1 + 1e-6)).all()
    assert (best <= 1).all()
    np.testing.assert_array_equal(model.errors(stack, model.weights), fitted)
    with pytest.raises(ValueError, match=r"shape \(30, 2\), but \(30, 3\) is needed"):
        relative_errors(model, stack, model.weights[:, :2])


def test_errors_are_over_the_visible_pixels(stack, model):
    mask = np.zeros((12, 10), bool)
    mask[:, 5:] = True
    spoiled = np.where(mask, 0, stack.images)
    np.testing.assert_array_equal(
        relative_errors(model, spoiled, model.weights, mask),
        relative_errors(model, stack, model.weights, mask),
    )


def test_a_black_face_has_no_error_unless_it_is_given_weights(model):
    black = np.zeros((1, 12, 10), np.uint8)
    assert relative_errors(model, black).tolist() == [0.0]
    assert relative_errors(model, black, np.ones((1, 3))).tolist() == [np.inf]


def test_an_encoded_model_is_in_the_units_of_its_faces(stack, model):
    names = tuple(f"{i}.tif" for i in range(30))
    deep = FaceStack(stack.images.astype(np.uint16) * 257, names, source="elsewhere")
    other = model.encoded(deep)
    assert other.components is model.components
    assert other.scale == 65535
    assert (other.provenance.names, other.provenance.subjects) == (names, None)
    assert (other.provenance.source, other.provenance.dtype) == ("elsewhere", "uint16")
    assert other.provenance.encoded_from == "made/faces"
    assert other.encoded(stack).provenance.encoded_from == "made/faces"
    np.testing.assert_allclose(other.weights, model.encode(stack), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(
        other.reconstruct(), model.encoded(stack).reconstruct() * 257, rtol=1e-4, atol=1
    )
    lost = np.linalg.norm(deep.images - other.reconstruct()) / np.linalg.norm(
        deep.images.astype(float)
    )
    assert other.error == pytest.approx(lost, rel=1e-4)


def test_an_encoded_model_survives_its_file(stack, model, tmp_path):
    other = model.encoded(stack[:7])
    other.save(tmp_path / "m.npz")
    again = LatentFaces.load(tmp_path / "m.npz")
    assert again.provenance == other.provenance
    np.testing.assert_array_equal(again.weights, other.weights)


def test_a_model_of_a_fit_is_not_an_encoded_one(model):
    assert model.provenance.encoded_from is None


class TestUndetermined:
    def test_fewer_visible_pixels_than_components(self, stack, model):
        masks = np.zeros(stack.shape, bool)
        masks[[4, 9]] = True
        masks[[4, 9], 5, 5:7] = False
        with pytest.warns(UndeterminedWarning) as told:
            found = encode(model, stack, masks)
        [words] = [str(each.message) for each in told if "fewer" in str(each.message)]
        assert "'s1/5.png' and 1 other face fewer visible pixels" in words
        assert "(3)" in words
        assert (found.weights >= 0).all()
        assert found.errors[[4, 9]].max() <= 1

    def test_a_component_that_is_wholly_hidden(self):
        model = known()
        components = np.zeros((3, *SIZE))
        components[0, :4], components[1, 4:8], components[2, 8:] = 1, 1, 1
        model = replace(model, components=components)
        faces = model.blend(np.array([[1.0, 2, 3], [4, 5, 6]]))
        mask = np.zeros(SIZE, bool)
        mask[4:8] = True
        with pytest.warns(UndeterminedWarning, match="component 1 wholly in 2 of 2 faces"):
            found = model.encode(faces, mask)
        np.testing.assert_allclose(found, [[1, 0, 3], [4, 0, 6]], atol=1e-12)

    def test_a_face_that_is_wholly_hidden_is_named(self, stack, model):
        masks = np.zeros(stack.shape, bool)
        masks[6] = True
        with pytest.raises(ValueError, match=r"hides all of 's2/2.png': leave some"):
            encode(model, stack, masks)

    def test_enough_visible_pixels_are_no_matter(self, stack, model):
        encode(model, stack, random_masks(stack.shape, 0, 0.3))  # warnings are errors


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        (np.zeros((10, 12), bool), ValueError, r"shape \(10, 12\).*\(12, 10\) for all faces"),
        (np.zeros((29, 12, 10), bool), ValueError, r"\(30, 12, 10\), one for each"),
        (np.zeros((12, 10)), TypeError, "float64: booleans or integers are needed"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(stack, model, mask, error, words):
    with pytest.raises(error, match=words):
        model.encode(stack, mask)


def test_single_pictures_take_masks(stack, model):
    mask = random_masks((12, 10), 1)
    np.testing.assert_allclose(
        model.encode(stack.images[3], mask), model.encode(stack, mask)[3], atol=1e-7
    )


def test_faces_with_the_same_mask_share_a_factorization(stack, model, monkeypatch):
    taken_apart = []
    original = stack_coder.VisibleParts.of
    monkeypatch.setattr(
        stack_coder.VisibleParts, "of",
        lambda parts, mask: taken_apart.append(mask) or original(parts, mask),
    )  # fmt: skip
    masks = np.zeros(stack.shape, bool)
    masks[::2, :3], masks[1::2, 9:] = True, True
    model.encode(stack, masks)
    assert len(taken_apart) == 2


def test_progress_counts_the_faces_and_closing_ends_it(stack, model, monkeypatch):
    monkeypatch.setattr(blocks, "_BLOCK_FACES", (1, 7))
    assert list(iter_encode(model, stack)) == [6, 12, 18, 24, 30]
    steps = iter_encode(model, stack)
    next(steps)
    steps.close()


def test_blocks_and_lazy_stacks_and_masks_do_not_matter(stack, model, monkeypatch):
    masks = random_masks(stack.shape, 5)
    whole = encode(model, stack, masks)
    monkeypatch.setattr(blocks, "_BLOCK_FACES", (1, 4))
    lazy = FaceStack(dask.array.from_array(stack.images, (7, 12, 10)), stack.names)
    part = encode(model, lazy, dask.array.from_array(masks, (5, 12, 10)))
    np.testing.assert_allclose(part.weights, whole.weights, atol=1e-6)
    np.testing.assert_allclose(part.errors, whole.errors, atol=1e-6)


def test_no_faces_are_no_matter(model):
    found = encode(model, np.zeros((0, 12, 10)))
    assert found.weights.shape == (0, 3)
    assert found.error == 0


def test_strangers_are_explained_worse_than_people_of_the_fit():
    faces = sample_faces(8, 5)
    model = fit(faces[:30], n_components=8, tol=1e-3)
    inside, outside = model.errors(faces[:30]), model.errors(faces[30:])
    assert np.median(outside) > np.median(inside)
    noise = np.random.default_rng(0).integers(0, 256, (1, *faces.shape[1:]), np.uint8)
    assert model.errors(noise)[0] > outside.max()
