from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_latent_faces import stack as pixels
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
    np.testing.assert_array_equal(np.asarray(stack.matrix), IMAGES.reshape(5, 6))
    assert stack.is_lazy or np.shares_memory(stack.matrix, stack.images)
    kind = "lazy " * stack.is_lazy
    assert repr(stack) == f"FaceStack(5 {kind}faces of 2 x 3 pixels, uint8, 'faces')"


ODD = np.array([True, False, True, False, False])


@pytest.mark.parametrize(
    "faces",
    [slice(1, 3), slice(None, None, -2), [3, 0], np.array([4, 4]), ODD, 2, -1, slice(0)],
)
def test_some_faces(stack, faces):
    chosen = np.atleast_1d(np.arange(5)[faces])
    some = stack[faces]
    np.testing.assert_array_equal(np.asarray(some), IMAGES[chosen])
    assert some.names == tuple(NAMES[i] for i in chosen)
    assert some.subjects == tuple(SUBJECTS[i] for i in chosen)
    assert some.report == stack.report
    assert some.source == "faces"
    assert FaceStack(IMAGES, NAMES)[faces].subjects is None
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
    narrow = pixels.as_stack(np.ones((2, 8, 3)))  # and not in colour
    assert (narrow.names, narrow.shape) == (("face 0", "face 1"), (2, 8, 3))


# -- Pixels ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "matrix_dtype", "scale"),
    [
        *((dtype, "f4", 1) for dtype in ("?", "f2", "f4", ">f4")),
        *((dtype, "f4", 4095) for dtype in ("u2", ">u2")),
        *(("f4", "f4", scale) for scale in (255, 2.0**-90)),
        *(("f8", "f8", scale) for scale in (1, 1e-200)),
        ("u1", "f4", 255),
        ("i1", "f4", 127),
        ("i4", "f8", 255),
        ("i8", "f8", 200),
        ("u8", "f8", 2**64 - 1),
    ],
)
def test_every_type_becomes_rows_from_0_to_1(dtype, matrix_dtype, scale):
    images = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype) * np.array(scale).astype(dtype)
    X, found = pixels.as_matrix(pixels.as_stack(images))
    assert (X.dtype, X.shape, found) == (matrix_dtype, (2, 12), float(scale))
    np.testing.assert_array_equal(X, np.arange(24).reshape(2, 12) % 2)


def test_blocks_cover_a_lazy_stack_in_order(monkeypatch):
    monkeypatch.setattr(pixels, "_BLOCK_VALUES", 50)
    images = np.arange(7 * 12).reshape(7, 3, 4)
    blocks = list(pixels.pixel_blocks(da.from_array(images, chunks=(2, 3, 4))))
    assert [faces.stop - faces.start for faces, _ in blocks] == [4, 3]
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), images)


def test_all_faces_with_bad_pixels_are_counted():
    images = np.ones((4, 2, 2))
    images[1:, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"'face 1' \(and 2 other faces\) has NaN"):
        pixels.as_matrix(pixels.as_stack(images))


def test_values_become_pixels():
    values = np.array([-3.0, 0.49, 0.5, 254.6, 300.0])
    assert pixels.as_pixels(values, np.dtype("u1")).tolist() == [0, 0, 0, 255, 255]
    assert pixels.as_pixels(values, np.dtype("?")).tolist() == [False, False, True, True, True]
    assert pixels.as_pixels(values, np.dtype("f4")).dtype == np.float32
    for dtype, given, least in (
        ("u8", "f8", 2**63),
        ("i8", "f8", 2**62),
        ("u4", "f4", 2**32 - 2),
    ):
        assert pixels.as_pixels(np.array([1e30], given), np.dtype(dtype))[0] > least


# -- Report ----------------------------------------------------------------------------


FULL = ReadReport(
    398,
    skipped=(("s1/3.pgm", "image file is truncated"), ("a\nb.jpg", "broken")),
    resized=(("s2/1.pgm", (120, 100)),),
    passed_over=(
        ("README.txt", "no picture (.txt)"),
        ("Thumbs.db", "no picture (.db)"),
        ("b.txt", "no picture (.txt)"),
    ),
    notes=("2 of 398 in colour: the luminance is taken.",),
)


@pytest.mark.parametrize(
    ("report", "summary"),
    [
        (ReadReport(), "0 faces read"),
        (ReadReport(1), "1 face read"),
        (ReadReport(400), "400 faces read"),
        (ReadReport(2, lazy=True), "2 faces read (lazy)"),
        (ReadReport(1, passed_over=(("a", "b"),)), "1 face read, 1 other file passed over"),
        (FULL, "398 faces read, 2 skipped, 1 resized, 3 other files passed over"),
    ],
)
def test_summary_and_details(report, summary):
    assert report.summary() == summary
    assert FULL.details().splitlines() == [
        FULL.summary(),
        "Skipped:",
        "  s1/3.pgm: image file is truncated",
        r"  a\nb.jpg: broken",
        "Resized:",
        "  s2/1.pgm: from 100 x 120 pixels",
        "Passed over:",
        "  README.txt and 1 more: no picture (.txt)",
        "  Thumbs.db: no picture (.db)",
        "Notes:",
        "  2 of 398 in colour: the luminance is taken.",
    ]
    assert ReadReport(3).details() == "3 faces read"
    assert "decoded when they are looked at" in ReadReport(3, lazy=True).details()
    odd = (
        ReadReport(skipped=(("\udcff\u202egpj.\x1b[31m", "broken"),)).details().splitlines()[2]
    )
    assert odd.isprintable()
    odd.encode("utf-8")
