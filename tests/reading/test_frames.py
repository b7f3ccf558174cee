from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from napari_latent_faces.reading.formats import BYTE, DEPTHS, FLOAT, WORD
from napari_latent_faces.reading.pictures import Frame
from tests.pictures import face

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))
RESIZES = st.sampled_from(["crop", "pad", "stretch"])


def smooth(height, width):
    """Return pixels that rise from left to right and from top to bottom."""
    y, x = np.mgrid[:height, :width]
    return np.uint8(40 + 160 * (y / height + x / width) / 2)


def as_depth(pixels, depth):
    return {BYTE: pixels, WORD: pixels * np.uint16(257), FLOAT: np.float32(pixels / 255)}[depth]


@pytest.mark.parametrize("depth", DEPTHS)
def test_pixels_that_fit_are_left_alone(depth):
    pixels = as_depth(face(), depth)
    assert Frame((12, 10), depth).take(pixels) is pixels


def test_crop_cuts_the_middle_out():
    pixels = smooth(20, 40)
    np.testing.assert_array_equal(Frame((20, 10), BYTE).take(pixels), pixels[:, 15:25])
    np.testing.assert_array_equal(Frame((4, 40), BYTE).take(pixels), pixels[8:12])


@pytest.mark.parametrize("shape", [(10, 10), (30, 24), (7, 40), (11, 3)])
def test_crop_agrees_with_pillow(shape):
    pixels = smooth(21, 18)
    expected = ImageOps.fit(Image.fromarray(pixels), shape[::-1], Image.Resampling.LANCZOS)
    ours = Frame(shape, BYTE).take(pixels)
    assert np.abs(ours.astype(int) - np.asarray(expected)).max() <= 1


def test_pad_keeps_all_between_black_borders():
    pixels = face(10, 10)
    padded = Frame((10, 14), BYTE, resize="pad").take(pixels)
    np.testing.assert_array_equal(padded[:, 2:12], pixels)
    assert not padded[:, :2].any()
    assert not padded[:, 12:].any()


def test_stretch_fills_the_frame():
    stretched = Frame((5, 40), BYTE, resize="stretch").take(smooth(20, 20))
    assert stretched.shape == (5, 40)
    assert (np.diff(stretched.astype(int), axis=1) >= 0).all()
    assert (np.diff(stretched.astype(int), axis=0) > 0).all()


@pytest.mark.parametrize("depth", DEPTHS)
def test_resampling_does_not_leave_the_range_of_the_pixels(depth):
    edge = np.zeros((16, 16), np.uint8)
    edge[:, 8:] = 200
    pixels = as_depth(edge, depth)
    resized = Frame((33, 33), depth).take(pixels)
    assert resized.min() == 0
    assert resized.max() == (pixels.max() if depth != BYTE else resized.max())


def test_resampling_pixels_that_are_not_finite():
    pixels = np.full((8, 8), np.nan, np.float32)
    assert np.isnan(Frame((4, 4), FLOAT).take(pixels)).all()


@settings(deadline=None)
@given(SHAPES, SHAPES, RESIZES, st.sampled_from(DEPTHS), st.sampled_from(DEPTHS))
def test_any_picture_fits_any_frame(shape, goal, resize, start, end):
    pixels = as_depth(smooth(*shape), start)
    if DEPTHS.index(start) <= DEPTHS.index(end):
        framed = Frame(goal, end, resize=resize).take(pixels)
        assert framed.shape == goal
        assert framed.dtype == end
        assert framed.max() <= as_depth(np.uint8(255), end)


@settings(deadline=None)
@given(SHAPES, SHAPES, RESIZES)
def test_depths_agree_but_for_rounding(shape, goal, resize):
    pixels = smooth(*shape)
    eight = Frame(goal, BYTE, resize=resize).take(pixels).astype(float) / 255
    for depth in (WORD, FLOAT):
        white = 65535 if depth == WORD else 1
        deep = Frame(goal, depth, resize=resize).take(as_depth(pixels, depth)) / white
        inside = slice(None) if resize != "pad" else deep > 0
        assert np.abs(deep - eight)[inside].max(initial=0) < 3 / 255


@settings(deadline=None)
@given(SHAPES, SHAPES, RESIZES)
def test_coarse_pictures_are_large_enough(shape, goal, resize):
    frame = Frame(goal, BYTE, resize=resize)
    coarse = frame.coarse(shape)
    needed = [side * scale for side, scale in zip(shape, frame.scales(shape), strict=True)]
    assert all(c >= 1.5 * n - 1e-9 for c, n in zip(coarse, needed, strict=True))
