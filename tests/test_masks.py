from __future__ import annotations

import dask.array as da
import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.fitting import fit
from napari_latent_faces.masks import (
    FaceMasks,
    PixelMask,
    marked_faces,
    mask_from_text,
    mask_to_text,
    stroke_mask,
)
from napari_latent_faces.params import NMFParams
from tests.conftest import blobs


def test_nonzero_is_hidden_of_all_faces_or_of_each():
    mask = PixelMask([[0, 3], [-1, 0]], (4, 2, 2))
    assert mask.is_common
    assert mask.hidden(slice(1, 3)).tolist() == [[[False, True], [True, False]]]
    values = mask.hidden_values(slice(1, 3))
    covered = np.where(values, np.uint8(0), np.full((2, 2, 2), 9, np.uint8))
    assert covered[0].tolist() == covered[1].tolist() == [[9, 0], [0, 9]]
    marks = np.zeros((4, 2, 2), np.uint8)
    marks[2, 0] = 1
    mask = PixelMask(marks, (4, 2, 2))
    assert not mask.is_common
    assert mask.hidden(slice(1, 3)).any(axis=(1, 2)).tolist() == [False, True]
    assert mask.hidden(2).tolist() == [[[True, True], [False, False]]]
    assert marked_faces(marks).tolist() == [2]
    assert marked_faces(np.zeros((0, 2, 2))).tolist() == []


def test_a_stroke_is_as_wide_as_it_is_drawn_but_not_lost_and_has_corners():
    for width in (1, 2, 3, 5.5):
        marked = stroke_mask(np.array([[10.0, 3], [10, 16]]), width, (21, 20))
        rows = np.flatnonzero(marked[:, 9])
        assert len(rows) == 2 * int(width / 2) + 1
        assert rows.mean() == 10
        assert not marked[:, 0].any()
    path = np.array([[2.0, 2], [2, 12], [12, 12]])
    marked = stroke_mask(path, 0.1, (15, 15))
    assert marked[2, 2:13].all()
    assert marked[2:13, 12].all()
    assert marked.sum() == 21
    assert stroke_mask(np.array([[4.0, 4], [4, 4]]), 3, (9, 9)).sum() == 9


@settings(deadline=None)
@given(st.data(), st.lists(st.booleans(), min_size=1, max_size=9))
def test_masks_of_some_faces_are_sliced_as_those_of_all(data, marked):
    faces = np.flatnonzero(marked)
    masks = data.draw(npst.arrays(bool, (len(faces), 3, 2)))
    whole = np.zeros((len(marked), 3, 2), bool)
    whole[faces] = masks
    lazy = FaceMasks(masks, faces, len(marked))
    rows = data.draw(st.slices(len(marked)))
    assert lazy.shape == whole.shape
    assert len(lazy) == len(whole)
    np.testing.assert_array_equal(lazy[rows], whole[rows])
    hidden = PixelMask(lazy, whole.shape).hidden(slice(0, 2))
    np.testing.assert_array_equal(hidden, whole[:2])


shapes = npst.array_shapes(min_dims=2, max_dims=3, max_side=9)


@settings(deadline=None)
@given(npst.arrays(bool, shapes))
def test_a_mask_comes_back_from_its_text(mask):
    text = mask_to_text(mask)
    assert text.isascii()
    assert text == mask_to_text(da.from_array(mask.astype(np.uint8) * 3, chunks=2))
    back = mask_from_text(text, mask.shape)
    assert back.dtype == bool
    np.testing.assert_array_equal(back, mask)


def test_the_text_of_a_drawn_mask_is_short_and_a_text_of_none_is_told():
    bar = np.zeros((400, 112, 92), bool)
    bar[::7, 30:50, 10:80] = True
    assert len(mask_to_text(bar[0])) < 200
    assert len(mask_to_text(bar)) < 20_000
    for text in ("", mask_to_text(np.eye(3, 4)), mask_to_text(np.zeros((900, 900)))):
        with pytest.raises(ValueError, match="not that of a mask of shape"):
            mask_from_text(text, (5, 4))
    for text in ("?", "abcd"):
        with pytest.raises(ValueError, match="damaged"):
            mask_from_text(text, (3, 4))


HIDDEN = np.zeros((12, 10), bool)
HIDDEN[3:6] = True
PARAMS = NMFParams(n_components=3, random_state=0, max_iter=300)


@pytest.fixture
def faces():
    return blobs(n=20, k=3)[0] + 0.01


def covered(faces, value):
    return np.where(HIDDEN, value, faces)


def test_the_mask_of_a_masked_array_counts_in_a_fit_as_nan_does_when_asked(faces):
    expected = fit(faces, PARAMS, mask=HIDDEN)
    masked = np.ma.masked_array(covered(faces, 9.0), np.broadcast_to(HIDDEN, faces.shape))
    model = fit(masked, PARAMS)
    assert model.left_out == expected.left_out == (20 * 30, 20 * 120)
    np.testing.assert_array_equal(model.weights, expected.weights)
    bad = covered(faces, np.nan)  # which is missing when asked
    for images in (bad, da.asarray(bad)):
        model = fit(images, PARAMS, missing="nan")
        assert model.left_out == expected.left_out
        assert model.error == pytest.approx(expected.error, rel=1e-6)
    with pytest.raises(ValueError, match=r"mask="):
        fit(bad, PARAMS)
    hidden = np.random.default_rng(1).random(faces.shape) < 0.1  # of single faces
    masked = np.ma.masked_array(np.where(hidden, np.nan, faces), hidden)
    expected = fit(faces, PARAMS, mask=hidden)
    np.testing.assert_array_equal(fit(masked, PARAMS).weights, expected.weights)


def test_masked_faces_are_encoded_and_mended_as_with_a_mask(faces):
    model = fit(faces, PARAMS)
    bad = covered(faces, np.nan)
    masked = np.ma.masked_array(bad, np.isnan(bad))
    np.testing.assert_array_equal(model.encode(masked), model.encode(bad, HIDDEN))
    np.testing.assert_array_equal(model.encode(masked[0]), model.encode(bad[0], HIDDEN))
    np.testing.assert_array_equal(model.errors(masked), model.errors(bad, mask=HIDDEN))
    np.testing.assert_array_equal(model.mend(masked), model.mend(bad, HIDDEN))


def test_rows_are_pictures_of_a_given_shape(faces):
    expected = fit(faces, PARAMS)
    model = fit(faces.reshape(20, -1), PARAMS, shape=(12, 10))
    np.testing.assert_array_equal(model.components, expected.components)
    with pytest.raises(ValueError, match=r"shape=\(h, w\)"):
        fit(faces.reshape(20, -1), PARAMS)
    with pytest.raises(ValueError, match=r"rows of 99 pixels"):
        fit(faces.reshape(20, -1), PARAMS, shape=(11, 9))
    with pytest.warns(UserWarning, match="20 faces along the last axis"):
        fit(np.moveaxis(faces, 0, -1), PARAMS)
