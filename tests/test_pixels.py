from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_latent_faces import stack as pixels


@pytest.mark.parametrize(
    ("dtype", "matrix_dtype", "scale"),
    [
        (bool, np.float32, 1),
        (np.uint8, np.float32, 255),
        (np.int8, np.float32, 127),
        (np.uint16, np.float32, 4095),
        (">u2", np.float32, 4095),
        (np.int32, np.float64, 255),
        (np.int64, np.float64, 200),
        (np.uint64, np.float64, 2**64 - 1),
        (np.float16, np.float32, 1),
        (np.float32, np.float32, 1),
        (">f4", np.float32, 1),
        (np.float64, np.float64, 1),
        (np.float32, np.float32, 255),
        (np.float32, np.float32, 2.0**-90),
        (np.float64, np.float64, 1e-200),
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


def test_pictures_without_names_are_numbered():
    assert pixels.as_stack(np.ones((2, 3, 3))).names == ("face 0", "face 1")


def test_three_narrow_columns_are_not_mistaken_for_colour():
    assert pixels.as_stack(np.ones((5, 8, 3))).shape == (5, 8, 3)


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
    assert pixels.as_pixels(np.array([1e30]), np.dtype("u8"))[0] > 2**63
    assert pixels.as_pixels(np.array([1e30]), np.dtype("i8"))[0] > 2**62
    assert pixels.as_pixels(np.array([1e30], np.float32), np.dtype("u4"))[0] == 2**32 - 1
