from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_latent_faces.stack import FaceStack, ReadReport

IMAGES = np.arange(5 * 3 * 2, dtype=np.uint8).reshape(5, 3, 2)
NAMES = tuple("abcde")
SUBJECTS = tuple("xxyyz")


@pytest.fixture(params=[np.asarray, lambda images: da.from_array(images, (2, 3, 2))])
def stack(request):
    return FaceStack(request.param(IMAGES), NAMES, SUBJECTS, ReadReport(5), "faces")


def test_shape_and_type(stack):
    assert len(stack) == 5
    assert stack.shape == (5, 3, 2)
    assert stack.dtype == np.uint8
    assert stack.is_lazy == isinstance(stack.images, da.Array)
    np.testing.assert_array_equal(np.asarray(stack), IMAGES)
    np.testing.assert_array_equal(np.asarray(stack, np.float32), IMAGES.astype(np.float32))


def test_matrix_has_a_row_for_each_face(stack):
    np.testing.assert_array_equal(np.asarray(stack.matrix), IMAGES.reshape(5, 6))
    if not stack.is_lazy:
        assert np.shares_memory(stack.matrix, stack.images)


@pytest.mark.parametrize(
    "faces",
    [
        slice(1, 3),
        slice(None, None, -2),
        [3, 0],
        np.array([4, 4]),
        np.array([True, False, True, False, False]),
        2,
        -1,
        slice(0),
    ],
)
def test_some_faces(stack, faces):
    chosen = np.atleast_1d(np.arange(5)[faces])
    some = stack[faces]
    np.testing.assert_array_equal(np.asarray(some), IMAGES[chosen])
    assert some.names == tuple(NAMES[i] for i in chosen)
    assert some.subjects == tuple(SUBJECTS[i] for i in chosen)
    assert some.report is stack.report
    assert some.source == "faces"


def test_some_faces_without_subjects():
    assert FaceStack(IMAGES, NAMES)[1:3].subjects is None


def test_a_face_that_is_not_there(stack):
    with pytest.raises(IndexError):
        stack[5]


@pytest.mark.parametrize(
    ("images", "names", "subjects", "message"),
    [
        (IMAGES[0], "ab", None, "shape .face, y, x. or .face, y, x, 3., got .3, 2."),
        (IMAGES, "abc", None, "5 pictures but 3 names"),
        (IMAGES, NAMES, ("x",), "5 pictures but 1 subjects"),
    ],
)
def test_what_does_not_fit_together(images, names, subjects, message):
    with pytest.raises(ValueError, match=message):
        FaceStack(images, tuple(names), subjects)


def test_repr(stack):
    kind = "lazy " if stack.is_lazy else ""
    assert repr(stack) == f"FaceStack(5 {kind}faces of 2 x 3 pixels, uint8, 'faces')"
