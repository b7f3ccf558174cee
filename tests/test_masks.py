from __future__ import annotations

import numpy as np
import pytest

from napari_latent_faces.masks import PixelMask, marked_faces, stroke_mask


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
