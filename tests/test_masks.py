from __future__ import annotations

import dask.array as da
import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.masks import (
    FaceMasks,
    PixelMask,
    marked_faces,
    mask_from_text,
    mask_to_text,
    stroke_mask,
)


def test_nonzero_is_hidden():
    mask = PixelMask([[0, 3], [-1, 0]], (4, 2, 2))
    assert mask.is_common
    assert mask.hidden(slice(1, 3)).tolist() == [[[False, True], [True, False]]]
    block = np.full((2, 2, 2), 9, np.uint8)
    covered = mask.cover(block, slice(1, 3))
    assert covered.dtype == np.uint8
    assert covered[0].tolist() == covered[1].tolist() == [[9, 0], [0, 9]]
    assert (block == 9).all()


def test_each_face_has_its_own():
    marks = np.zeros((4, 2, 2), np.uint8)
    marks[2, 0] = 1
    mask = PixelMask(marks, (4, 2, 2))
    assert not mask.is_common
    assert mask.hidden(slice(1, 3)).any(axis=(1, 2)).tolist() == [False, True]
    assert mask.hidden(2).tolist() == [[[True, True], [False, False]]]
    assert marked_faces(marks).tolist() == [2]
    assert marked_faces(np.zeros((0, 2, 2))).tolist() == []


@pytest.mark.parametrize("width", [1, 2, 3, 5.5])
def test_a_stroke_is_as_wide_as_it_is_drawn(width):
    marked = stroke_mask(np.array([[10.0, 3], [10, 16]]), width, (21, 20))
    rows = np.flatnonzero(marked[:, 9])
    assert len(rows) == 2 * int(width / 2) + 1
    assert rows.mean() == 10
    assert not marked[:, 0].any()


def test_a_thin_stroke_is_not_lost_and_has_corners():
    path = np.array([[2.0, 2], [2, 12], [12, 12]])
    marked = stroke_mask(path, 0.1, (15, 15))
    assert marked[2, 2:13].all()
    assert marked[2:13, 12].all()
    assert marked.sum() == 21


def test_a_point_is_a_dot():
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
    np.testing.assert_array_equal(
        PixelMask(lazy, whole.shape).hidden(slice(0, 2)), whole[slice(0, 2)]
    )


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


def test_the_text_of_a_drawn_mask_is_short():
    bar = np.zeros((400, 112, 92), bool)
    bar[::7, 30:50, 10:80] = True
    assert len(mask_to_text(bar[0])) < 200
    assert len(mask_to_text(bar)) < 20_000


@pytest.mark.parametrize(
    ("text", "shape", "words"),
    [
        ("?", (3, 4), "damaged"),
        ("abcd", (3, 4), "damaged"),
        (mask_to_text(np.eye(3, 4)), (5, 4), "not that of a mask of shape"),
        (mask_to_text(np.zeros((900, 900))), (3, 4), "not that of a mask of shape"),
        ("", (3, 4), "not that of a mask of shape"),
    ],
)
def test_a_text_that_is_no_mask_is_told(text, shape, words):
    with pytest.raises(ValueError, match=words):
        mask_from_text(text, shape)
