from __future__ import annotations

from dataclasses import replace

import dask.array
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices
from PIL import Image

from napari_latent_faces.encoding import (
    LazyReconstruction,
    LazyResidual,
    UndeterminedWarning,
    encode,
    encoded_model,
    iter_encode,
    iter_mend,
    match_stack,
    mend,
)
from napari_latent_faces.fitting import fit
from napari_latent_faces.model import LatentFaces, Provenance
from napari_latent_faces.params import NMFParams
from napari_latent_faces.reading import read_faces
from napari_latent_faces.solvers import blocks
from napari_latent_faces.stack import FaceStack
from napari_latent_faces.steps import consume
from tests.conftest import blobs
from tests.helpers import Watched, lost
from tests.pictures import coloured, face, make

SIZE = (12, 10)
seeds = st.integers(0, 2**32 - 1)


def random_masks(shape, seed, share=0.4):
    return np.random.default_rng(seed).random(shape) < share


def spoiled(images, mask, value=0):
    return np.where(mask, np.asarray(value, images.dtype), images)


def known(n=20, k=3, seed=0, *, size=SIZE, dtype="float64"):
    """Return a model with known factors, of faces that are exactly their product."""
    _, parts, weights = blobs(n, k, size, seed)
    origin = Provenance(tuple(map(str, range(n))), None, "made", dtype, 1, "converged")
    about = {"error": 0.0, "scale": 1.0, "params": NMFParams(), "provenance": origin}
    return LatentFaces.from_factors(weights, parts.reshape(k, -1), size, **about)


@given(seeds, st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_it_is_what_scipy_finds_for_the_visible_pixels(seed, k):
    rng = np.random.default_rng(seed)
    model = replace(known(k=k, n=5), components=rng.random((k, *SIZE)))
    faces, masks = rng.random((5, *SIZE)), random_masks((5, *SIZE), seed)
    found = model.encode(faces, masks)
    for picture, mask, weights in zip(faces, masks, found, strict=True):
        A = model.components[:, ~mask].T
        np.testing.assert_allclose(
            A @ weights, A @ scipy.optimize.nnls(A, picture[~mask])[0], atol=1e-7
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


def test_true_and_any_other_nonzero_label_mean_ignore(stack, model):
    faces, mask = stack.images / 255, np.zeros((12, 10), int)
    bare = encode(model, faces)
    for empty in (mask, np.zeros(stack.shape, np.uint8)):
        np.testing.assert_array_equal(encode(model, faces, empty).weights, bare.weights)
    mask[:4] = 7
    expected = model.encode(faces, mask > 0)
    np.testing.assert_allclose(model.encode(faces[3], mask), expected[3], atol=1e-7)
    assert not np.allclose(expected, bare.weights)
    for value in (1.0, np.nan, -1.0, np.inf):
        faces[:, :4] = value
        np.testing.assert_array_equal(model.encode(faces, mask), expected)
    for bad, words in (
        (faces, "has NaN or infinite pixels"),
        (stack.images - 1.0, "negative"),
        (np.ones((2, 13, 10)), r"10 x 13 pixels, the model's faces 10 x 12.*size="),
    ):
        with pytest.raises(ValueError, match=words):
            model.encode(bad)


def test_the_weights_of_the_fit_are_measured_as_given(stack, model):
    found = encode(model, stack)
    other = encoded_model(model, stack, found)
    left = np.linalg.norm(stack.images - other.reconstruct(), axis=(1, 2))
    norms = np.linalg.norm(stack.images.astype(float), axis=(1, 2))
    np.testing.assert_allclose(found.errors, left / norms, rtol=1e-4)
    assert found.error == pytest.approx(lost(stack, other), rel=1e-4)
    fitted = model.errors(stack, model.weights)
    best = model.errors(stack)
    assert (best <= fitted * (1 + 1e-6)).all()
    assert (best <= 1).all()
    with pytest.raises(ValueError, match=r"shape \(30, 2\), but \(30, 3\) is needed"):
        model.errors(stack, model.weights[:, :2])
    # over the visible pixels
    mask = np.tile(np.arange(10) >= 5, (12, 1))
    hidden = spoiled(stack.images, mask)
    errors = [model.errors(each, model.weights, mask) for each in (hidden, stack)]
    np.testing.assert_array_equal(*errors)
    black = np.zeros((1, 12, 10), np.uint8)
    assert model.errors(black).tolist() == [0.0]
    assert model.errors(black, np.ones((1, 3))).tolist() == [np.inf]


def test_an_encoded_model_is_in_the_units_of_its_faces(stack, model, tmp_path):
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
    assert other.error == pytest.approx(lost(deep, other), rel=1e-4)
    assert model.provenance.encoded_from is None
    other.save(tmp_path / "m.npz")
    again = LatentFaces.load(tmp_path / "m.npz")
    assert again.provenance == other.provenance
    np.testing.assert_array_equal(again.weights, other.weights)


def test_fewer_visible_pixels_than_components_are_told(stack, model):
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
    masks[6] = True
    with pytest.raises(ValueError, match=r"hides all of 's2/2.png': leave some"):
        encode(model, stack, masks)
    encode(model, stack, random_masks(stack.shape, 0, 0.3))  # warnings are errors


def test_a_component_that_is_wholly_hidden_is_told():
    components = np.zeros((3, *SIZE))
    components[0, :4], components[1, 4:8], components[2, 8:] = 1, 1, 1
    model = replace(known(), components=components)
    faces = model.blend(np.array([[1.0, 2, 3], [4, 5, 6]]))
    mask = np.zeros(SIZE, bool)
    mask[4:8] = True
    with pytest.warns(UndeterminedWarning, match="component 1 wholly in 2 of 2 faces"):
        found = model.encode(faces, mask)
    np.testing.assert_allclose(found, [[1, 0, 3], [4, 0, 6]], atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ((10, 12), bool, r"shape \(10, 12\).*\(12, 10\) for all faces"),
        ((29, 12, 10), bool, r"\(30, 12, 10\), one for each"),
        ((12, 10), float, "float64: booleans or integers are needed"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(stack, model, shape, dtype, words):
    with pytest.raises((ValueError, TypeError), match=words):
        model.encode(stack, np.zeros(shape, dtype))


def test_blocks_and_lazy_stacks_and_masks_do_not_matter(stack, model, monkeypatch):
    masks = random_masks(stack.shape, 5)
    whole = encode(model, stack, masks)
    monkeypatch.setattr(blocks, "_BLOCK_FACES", (1, 4))
    lazy = FaceStack(dask.array.from_array(stack.images, (7, 12, 10)), stack.names)
    part = encode(model, lazy, dask.array.from_array(masks, (5, 12, 10)))
    np.testing.assert_allclose(part.weights, whole.weights, atol=1e-6)
    np.testing.assert_allclose(part.errors, whole.errors, atol=1e-6)
    monkeypatch.setattr(blocks, "_BLOCK_FACES", (1, 7))
    assert list(iter_encode(model, stack)) == [6, 12, 18, 24, 30]
    none = encode(model, np.zeros((0, 12, 10)))
    assert none.weights.shape == (0, 3)
    assert none.error == 0


# -- Matching --------------------------------------------------------------------------


def test_pictures_of_the_right_size_are_passed_on(stack):
    lazy = dask.array.from_array(np.ones((4, 20, 16), np.uint8), (2, 20, 16))
    assert match_stack(lazy, (20, 16)).images is lazy
    assert match_stack(lazy, (10, 8)).is_lazy
    found = match_stack(stack.images, (12, 10), {"names": stack.names, "source": "here"})
    assert found.images is stack.images
    assert (found.names, found.source, found.report.notes) == (stack.names, "here", ())


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(6, 5), (30, 25), (9, 20), (20, 9)])
def test_pictures_are_resized_as_the_reader_does_it(tmp_path, resize, size):
    files = {f"{i}.png": face(24, 20, seed=i) for i in range(3)}
    read = read_faces(make(tmp_path, files), size=size, resize=resize)
    found = match_stack(np.stack(list(files.values())), size, resize=resize)
    assert found.shape == (3, *size)
    np.testing.assert_array_equal(np.asarray(found.images), read.images)


def test_the_note_says_what_was_done():
    [scaled], [cut] = (match_stack(np.ones((2, 24, 20)), (6, w)).report.notes for w in (5, 9))
    assert scaled == "Scaled from 20 x 24 to the model's 5 x 6 pixels."
    assert cut.endswith("cut at the middle to fit.")
    colour, _ = match_stack(np.ones((2, 24, 20, 3)), (6, 9), rgb=True).report.notes
    assert colour == "In colour: the luminance is taken."


def test_colour_becomes_luminance_as_the_reader_takes_it():
    pixels = coloured(12, 10)
    expected = np.asarray(Image.fromarray(pixels).convert("L"), int)
    with_alpha = np.dstack([pixels, np.zeros((12, 10), np.uint8)])
    for each in (pixels, with_alpha):
        found = np.asarray(match_stack(each, (12, 10), rgb=True).images)
        assert found.dtype == np.uint8
        assert np.abs(found[0] - expected).max() <= 1
    kept = match_stack(with_alpha, (12, 10, 3), rgb=True)
    np.testing.assert_array_equal(kept.images, pixels[None])
    small = match_stack(pixels, (6, 5, 3), rgb=True)
    for channel in range(3):
        one = match_stack(pixels[..., channel], (6, 5))
        np.testing.assert_array_equal(np.asarray(small.images)[..., channel], one.images)


def test_pictures_are_read_one_by_one_when_looked_at():
    images = Watched(np.broadcast_to(np.arange(5, dtype=np.uint8)[:, None, None], (5, 20, 16)))
    pictures = match_stack(images, (10, 8)).images
    assert not images.seen
    assert pictures[3].shape == (10, 8)
    assert pictures[1:3, 2, ::2].tolist() == [[1] * 4, [2] * 4]
    assert pictures[4, 0, 0] == 4
    assert images.seen == [3, 1, 2, 4]


def test_names_that_do_not_fit_are_left_out_and_other_shapes_refused():
    found = match_stack(face(24, 20), (12, 10), name="me.jpg")
    assert (found.shape, found.names) == ((1, 12, 10), ("me.jpg",))
    for dtype in ("u1", "u2", "f4", "f8", "i4", "u8", "?"):  # every type is kept
        flat = np.asarray(match_stack(np.ones((1, 20, 20), dtype), (10, 10)).images)
        assert flat.dtype == np.dtype(dtype)
        assert (flat == 1).all()
    for names, expected in (("a", ("face 0", "face 1")), ("ab", ("a", "b"))):
        found = match_stack(np.ones((2, 4, 4)), (4, 4), {"names": names, "subjects": ("s",)})
        assert (found.names, found.subjects) == (expected, None)
    for shape, rgb in [((4,), False), ((2, 3, 4, 4), False), ((4, 3), True)]:
        with pytest.raises(ValueError, match="A picture"):
            match_stack(np.ones(shape), (4, 4), rgb=rgb)


# -- Mending ---------------------------------------------------------------------------


@pytest.fixture
def mask():
    marks = np.zeros(SIZE, bool)
    marks[3:6, 2:8] = True
    return marks


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=25, deadline=None)
def test_faces_of_the_model_come_back_whole(seed, each):
    model = known(seed=seed % 500)
    faces = model.reconstruct()
    masks = random_masks(faces.shape if each else SIZE, seed, 0.2)
    masks[..., 0, 0] = True
    mended = mend(model, spoiled(faces, masks, np.nan), masks)
    np.testing.assert_allclose(mended, faces, atol=1e-5)


def test_only_marked_pixels_change_whatever_they_were(stack, model, mask):
    mended = model.mend(stack, mask)
    assert mended.dtype == np.uint8
    np.testing.assert_array_equal(mended[:, ~mask], stack.images[:, ~mask])
    expected = model.encoded(stack, mask).reconstruct()[:, mask]
    np.testing.assert_array_equal(mended[:, mask], np.rint(expected).clip(0, 255))
    for value in (0, 255):
        again = model.mend(spoiled(stack.images, mask, value), mask)
        np.testing.assert_array_equal(again, mended)
    np.testing.assert_array_equal(model.mend(stack.images[4], mask), mended[4])
    for dtype in ("u2", "i4", "f4", "f8"):  # the type is kept
        faces = (stack.images / (255 if dtype[0] == "f" else 1)).astype(dtype)
        mended = model.mend(faces, mask)
        assert mended.dtype == dtype
        off = np.abs(mended.astype(float) - faces)[:, mask].mean()
        assert off < faces[:, mask].mean() / 2  # as it would be were the units mistaken


def test_only_faces_with_a_mark_are_looked_at(stack, model, mask):
    masks = np.zeros(stack.shape, np.uint8)
    masks[[3, 20]] = mask
    images = Watched(stack.images)
    mended = consume(iter_mend(model, images, masks))
    assert mended.faces.tolist() == [3, 20]
    assert images.seen == [3, 20]
    expected = stack.images.copy()
    expected[[3, 20]] = model.mend(stack[[3, 20]], mask)
    np.testing.assert_array_equal(np.asarray(mended), expected)


def test_a_lazy_stack_is_filled_when_it_is_looked_at(stack, model, mask):
    lazy = FaceStack(dask.array.from_array(stack.images, (7, *SIZE)), stack.names)
    mended = consume(iter_mend(model, lazy, mask))
    whole = model.mend(stack, mask)
    for key in (3, slice(2, 9, 3), [1, 5], (4, 3), (slice(1, 4), slice(2, 7), 5), (..., 4)):
        np.testing.assert_array_equal(mended[key], whole[key])


def test_mending_goes_on_where_it_ended(stack, model, mask):
    first = consume(iter_mend(model, stack, mask, faces=[2]))
    changed = (np.asarray(first) != stack.images).any(axis=(1, 2))
    assert np.flatnonzero(changed).tolist() == [2]
    other = np.roll(mask, 4, axis=0)
    second = consume(iter_mend(model, FaceStack(first, stack.names), other, faces=[9]))
    assert second.images is first
    np.testing.assert_array_equal(second[2], first[2])
    again = consume(iter_mend(model, FaceStack(second, stack.names), mask, faces=[9]))
    assert again.images is first  # what is not seen any more is let go


def test_a_mask_without_a_mark_and_another_size_are_told(stack, model, mask):
    for shape in (SIZE, stack.shape):
        with pytest.raises(ValueError, match="The mask marks no pixel: mark what is to be"):
            model.mend(stack, np.zeros(shape, bool))
    with pytest.raises(ValueError, match=r"10 x 13 pixels, the model's faces 10 x 12"):
        model.mend(np.ones((2, 13, 10)), mask)
    with pytest.raises(ValueError, match=r"The mask has the shape \(10, 12\)"):
        model.mend(stack, mask.T)


# -- Pictures that are computed when they are looked at

PICTURES = np.round(blobs()[0] * 255).astype(np.uint8)
MODEL = fit(PICTURES, n_components=3, max_iter=20, tol=0)
WHOLE = MODEL.reconstruct()


@given(basic_indices(WHOLE.shape, allow_newaxis=False))
@settings(max_examples=150, deadline=None)
def test_every_index_gives_what_the_whole_array_gives(index):
    np.testing.assert_allclose(LazyReconstruction(MODEL)[index], WHOLE[index], atol=1e-3)
    expected = PICTURES.astype(float)[index] - WHOLE[index]
    np.testing.assert_allclose(LazyResidual(PICTURES, MODEL)[index], expected, atol=1e-3)
    faces = np.array([-30, 3, 29, 3])
    np.testing.assert_allclose(LazyReconstruction(MODEL)[faces], WHOLE[faces], atol=1e-3)


@pytest.mark.parametrize("lazy", [LazyReconstruction(MODEL), LazyResidual(PICTURES, MODEL)])
def test_it_is_what_napari_and_numpy_ask_of_an_array(lazy):
    assert (lazy.shape, lazy.ndim, lazy.size, len(lazy)) == ((30, 12, 10), 3, 3600, 30)
    whole = np.asarray(lazy)
    assert (whole.shape, whole.dtype) == (lazy.shape, lazy.dtype)
    assert np.asarray(lazy, np.float64).dtype == np.float64
    assert "30" in repr(lazy)
    for index in (30, (0, 0, 0, 0)):
        with pytest.raises(IndexError):
            lazy[index]
    with pytest.raises(ValueError, match="copy"):
        np.array(lazy, copy=False)


def test_only_the_faces_that_are_looked_at_are_computed():
    """The pictures of 200,000 faces would not fit in memory; one does."""
    parts, weights = np.ones((2, 500, 500), np.float32), np.ones((200_000, 2), np.float32)
    lazy = LazyReconstruction(LatentFaces(parts, weights, 0, 1.0, None, None))
    assert lazy[199_999].shape == (500, 500)
    assert lazy[:, 250, 250].shape == (200_000,)
    with pytest.raises(ValueError, match="shape"):
        LazyResidual(PICTURES[1:], MODEL)
