from __future__ import annotations

import dask.array
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.encoding import MendedFaces, iter_mend, mend
from napari_latent_faces.fitting import fit
from napari_latent_faces.reading import read_faces
from napari_latent_faces.stack import FaceStack
from napari_latent_faces.steps import consume
from tests.test_encoding import SIZE, known, random_masks


@pytest.fixture
def mask():
    marks = np.zeros(SIZE, bool)
    marks[3:6, 2:8] = True
    return marks


def spoiled(images, mask, value=0):
    return np.where(mask, np.asarray(value, images.dtype), images)


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=25, deadline=None)
def test_faces_of_the_model_come_back_whole(seed, each):
    model = known(seed=seed % 500)
    faces = model.reconstruct()
    masks = random_masks(faces.shape if each else SIZE, seed, 0.2)
    masks[..., 0, 0] = True
    mended = mend(model, spoiled(faces, masks, np.nan), masks)
    np.testing.assert_allclose(mended, faces, atol=1e-5)


def test_only_marked_pixels_change(stack, model, mask):
    mended = model.mend(stack, mask)
    assert mended.dtype == np.uint8
    np.testing.assert_array_equal(mended[:, ~mask], stack.images[:, ~mask])
    expected = model.encoded(stack, mask).reconstruct()[:, mask]
    np.testing.assert_array_equal(mended[:, mask], np.rint(expected).clip(0, 255))


def test_what_was_marked_does_not_matter(stack, model, mask):
    one, other = (model.mend(spoiled(stack.images, mask, v), mask) for v in (0, 255))
    np.testing.assert_array_equal(one, other)


def test_a_single_face(stack, model, mask):
    face = model.mend(stack.images[4], mask)
    np.testing.assert_array_equal(face, model.mend(stack, mask)[4])


def test_only_faces_with_a_mark_are_looked_at(stack, model, mask):
    masks = np.zeros(stack.shape, np.uint8)
    masks[[3, 20]] = mask
    seen = []

    class Watched:
        shape, ndim, dtype = stack.shape, 3, stack.dtype

        def __len__(self):
            return len(stack)

        def __getitem__(self, key):
            seen.extend(np.arange(30)[key])
            return stack.images[key]

    mended = consume(iter_mend(model, Watched(), masks))
    assert mended.faces.tolist() == [3, 20]
    assert seen == [3, 20]
    expected = stack.images.copy()
    expected[[3, 20]] = model.mend(stack[[3, 20]], mask)
    np.testing.assert_array_equal(np.asarray(mended), expected)


def test_chosen_faces(stack, model, mask):
    mended = consume(iter_mend(model, stack, mask, faces=[7]))
    changed = (np.asarray(mended) != stack.images).any(axis=(1, 2))
    assert np.flatnonzero(changed).tolist() == [7]


def test_a_lazy_stack_is_filled_when_it_is_looked_at(stack, model, mask):
    lazy = FaceStack(dask.array.from_array(stack.images, (7, *SIZE)), stack.names)
    mended = consume(iter_mend(model, lazy, mask))
    assert isinstance(mended, MendedFaces)
    whole = model.mend(stack, mask)
    for key in (3, slice(2, 9, 3), [1, 5], (4, 3), (slice(1, 4), slice(2, 7), 5), (..., 4)):
        np.testing.assert_array_equal(mended[key], whole[key])


def test_mending_goes_on_where_it_ended(stack, model, mask):
    first = consume(iter_mend(model, stack, mask, faces=[2]))
    other = np.roll(mask, 4, axis=0)
    second = consume(iter_mend(model, FaceStack(first, stack.names), other, faces=[9]))
    assert second.images is first
    np.testing.assert_array_equal(second[2], first[2])
    again = consume(iter_mend(model, FaceStack(second, stack.names), mask, faces=[9]))
    assert again.images is first  # what is not seen any more is let go


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
def test_the_type_is_kept(stack, model, mask, dtype):
    faces = stack.images.astype(dtype)
    if dtype.startswith("float"):
        faces /= 255
    mended = model.mend(faces, mask)
    assert mended.dtype == dtype
    off = np.abs(mended.astype(float) - faces)[:, mask].mean()
    assert off < faces[:, mask].mean() / 2  # as it would be were the units mistaken


@pytest.mark.parametrize("shape", [SIZE, (30, *SIZE)])
def test_a_mask_without_a_mark_is_told(stack, model, shape):
    with pytest.raises(ValueError, match="The mask marks no pixel: mark what is to be"):
        model.mend(stack, np.zeros(shape, bool))


def test_another_size_is_told(stack, model, mask):
    with pytest.raises(ValueError, match=r"10 x 13 pixels, the model's faces 10 x 12"):
        model.mend(np.ones((2, 13, 10)), mask)
    with pytest.raises(ValueError, match=r"The mask has the shape \(10, 12\)"):
        model.mend(stack, mask.T)


def rmse(a, b):
    return float(np.sqrt(np.mean((np.asarray(a, float) - b) ** 2)))


@pytest.mark.parametrize("held_out", ["people", "pictures"])
def test_a_bar_over_the_eyes_is_filled_better_than_by_the_mean_face(data, held_out):
    faces = read_faces(data / "orl")
    at = np.arange(400)  # ten pictures of each of forty people
    new = at >= 360 if held_out == "people" else at % 10 == 9
    model = fit(faces[at[~new]], n_components=60)
    bar = np.zeros(faces.shape[1:], bool)
    bar[38:58, 10:82] = True
    truth = faces.images[new][:, bar].astype(float)
    hidden = spoiled(faces.images[new], bar)
    filled = rmse(model.mend(hidden, bar)[:, bar], truth)
    assert filled < 0.8 * rmse(faces.images[~new].mean(axis=0)[bar], truth)
    assert filled < 0.6 * rmse(model.encoded(hidden).reconstruct()[:, bar], truth)
