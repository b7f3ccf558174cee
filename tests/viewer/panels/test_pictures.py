"""Pictures of numbers for Qt."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils.colormaps import ensure_colormap
from qtpy.QtCore import QSize
from qtpy.QtGui import QIcon, QImage

from napari_latent_faces.viewer.canvas import to_fit, to_icon, to_image, to_pixmap


def bits(image):
    """Return the memory of a picture, whichever Qt it is of."""
    found = image.constBits()
    return found.asstring(image.sizeInBytes()) if hasattr(found, "asstring") else bytes(found)


def seen(image):
    """Return what an image shows: shape (h, w, 3)."""
    image = image.convertToFormat(QImage.Format.Format_RGBA8888)
    found = np.frombuffer(bits(image), np.uint8)
    return found.reshape(image.height(), image.bytesPerLine() // 4, 4)[..., :3]


@pytest.mark.parametrize("width", [1, 3, 46, 64])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int16])
def test_numbers_between_the_limits_become_grey(width, dtype):
    pixels = np.random.default_rng(0).integers(0, 100, (7, width)).astype(dtype)
    found = seen(to_image(pixels, (0, 255)))
    assert found.shape == (7, width, 3)
    for channel in range(3):
        np.testing.assert_allclose(found[..., channel], pixels, atol=1)


def test_numbers_beyond_the_limits_are_cut_and_nan_is_black():
    found = seen(to_image(np.array([[-5.0, 0, 1, 2, 3, 90, np.nan]]), (1, 3)))[0, :, 0]
    np.testing.assert_allclose(found, [0, 0, 0, 127, 255, 255, 0], atol=1)


def test_a_picture_of_one_value_is_shown():
    assert seen(to_image(np.full((2, 2), 7.0), (7, 7))).max() == 0


def test_part_of_a_larger_array_is_shown_as_it_is():
    whole = np.arange(64, dtype=np.uint8).reshape(8, 8)
    np.testing.assert_array_equal(
        seen(to_image(whole[1:6, 2:7].T, (0, 255)))[..., 0], whole[1:6, 2:7].T
    )


def test_colours_are_those_of_the_colormap():
    colormap = ensure_colormap("magma")
    found = seen(to_image(np.array([[0.0, 0.5, 1.0]]), (0, 1), colormap))[0]
    expected = np.round(colormap.map([0, 127 / 255, 1])[:, :3] * 255)
    np.testing.assert_allclose(found, expected, atol=1)


@pytest.mark.usefixtures("qapp")
def test_pixmaps_show_the_same_as_far_as_the_screen_can():
    pixels = np.random.default_rng(0).random((9, 5))
    shown = seen(to_pixmap(pixels).toImage())
    np.testing.assert_allclose(shown, seen(to_image(pixels)), atol=8)


@pytest.mark.parametrize("ratio", [1, 1.5, 2])
def test_a_fitted_picture_has_all_the_pixels_of_the_screen(qapp, ratio):
    picture = to_pixmap(np.zeros((112, 92)))
    fitted = to_fit(picture, QSize(40, 38), ratio)
    assert fitted.height() == 38 * ratio
    assert fitted.width() == pytest.approx(38 * ratio * 92 / 112, abs=1)
    assert fitted.deviceIndependentSize().height() == pytest.approx(38)


def test_an_icon_keeps_its_colours_in_a_chosen_row(qapp):
    picture = to_pixmap(np.linspace(0, 1, 64).reshape(8, 8))
    chosen = to_icon(picture).pixmap(8, QIcon.Mode.Selected)
    np.testing.assert_array_equal(seen(chosen.toImage()), seen(picture.toImage()))
