"""TIFFs of every depth and layout: the right pixels, or a reason."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tifffile

from napari_latent_faces.reading import NoFacesError, read_faces
from tests.pictures import encoded, face, make, picture

RAMP = np.linspace(0, 1, 40 * 30).reshape(40, 30)
WORDS = np.rint(RAMP * 65535).astype(np.uint16)
BYTES = np.rint(RAMP * 255).astype(np.uint8)
FLOATS = RAMP.astype(np.float32)
RGB = np.stack([WORDS, WORDS // 2, WORDS // 3])
GREY_OF_RGB = np.rint(np.moveaxis(RGB, 0, -1) @ (0.299, 0.587, 0.114))


def packed(bits):
    values = np.rint(RAMP * (2**bits - 1)).astype(int)
    rows = (values[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
    data = b"".join(np.packbits(row.ravel().astype(np.uint8)).tobytes() for row in rows)
    tags = [(256, 30), (257, 40), (258, bits), (259, 1), (262, 1), (273, 122), (277, 1)]
    tags += [(278, 40), (279, len(data))]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + table + bytes(4) + data


@pytest.mark.parametrize(
    ("pixels", "options", "expected"),
    [
        (65535 - WORDS, {"photometric": "miniswhite"}, WORDS),
        (65535 - WORDS, {"photometric": "miniswhite", "byteorder": ">"}, WORDS),
        (255 - BYTES, {"photometric": "miniswhite"}, BYTES),
        (RAMP < 0.5, {"photometric": "miniswhite"}, np.where(RAMP < 0.5, 0, 255)),
        (WORDS, {"bigtiff": True, "byteorder": ">"}, WORDS),
        (WORDS, {"tile": (16, 16)}, WORDS),
        (WORDS, {"compression": "zlib", "predictor": True}, WORDS),
        (RGB, {"photometric": "rgb", "planarconfig": "separate"}, GREY_OF_RGB),
        (np.moveaxis(RGB, 0, -1), {"photometric": "rgb"}, GREY_OF_RGB),
        (RAMP, {}, FLOATS),
        (RAMP.astype(np.float16), {}, RAMP.astype(np.float16)),
        ((RAMP * (2**32 - 1)).astype(np.uint32), {}, FLOATS * np.float32(2**32 - 1)),
        (WORDS.astype(np.int32) - 9, {}, WORDS.astype(np.float32) - 9),
        (
            np.stack([WORDS, WORDS], -1),
            {"photometric": "minisblack", "extrasamples": ["unassalpha"]},
            WORDS,
        ),
    ],
)
def test_the_right_pixels(tmp_path, pixels, options, expected):
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    stack = read_faces(tmp_path, colour=False)
    exact = stack.dtype.kind != "f" and "rgb" not in options.values()
    tolerance = {"rtol": 1e-6, "atol": 0 if exact else 1}
    np.testing.assert_allclose(stack.images[0], expected, **tolerance)
    if stack.dtype.kind == "u" and pixels.dtype != bool:
        assert stack.dtype == pixels.dtype


@pytest.mark.parametrize(("bits", "white"), [(2, 255), (4, 255), (10, 65535), (12, 65535)])
def test_packed_bits_reach_white(tmp_path, bits, white):
    stack = read_faces(make(tmp_path, {"a.tif": packed(bits)}))
    values = np.rint(RAMP * (2**bits - 1))
    np.testing.assert_array_equal(stack.images[0], np.rint(values * white / (2**bits - 1)))


def test_complex_numbers_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RAMP.astype(np.complex64))
    with pytest.raises(NoFacesError, match="complex"):
        read_faces(tmp_path)


FACES = np.stack([face(seed=seed) for seed in range(5)])


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", ["pages", "imagej", "gif"])
def test_one_file_of_many_faces(tmp_path, kind, lazy):
    path = tmp_path / ("a.gif" if kind == "gif" else "a.tif")
    if kind == "gif":
        first, *others = (picture(seed=seed) for seed in range(5))
        path.write_bytes(encoded(first, "gif", save_all=True, append_images=others))
    else:
        tifffile.imwrite(path, FACES, photometric="minisblack", imagej=kind == "imagej")
    for place in (path, tmp_path):
        stack = read_faces(place, lazy=lazy)
        np.testing.assert_array_equal(np.asarray(stack.images), FACES)
        assert stack.names == tuple(f"{path.name}/{i}" for i in range(1, 6))
        assert stack.report.notes[0].startswith("1 of 1 files hold several pictures")


def test_white_that_is_0_is_white_in_compressed_ones_too(tmp_path):
    """Which Pillow decodes: it must not be inverted twice."""
    content = bytearray(encoded(255 - BYTES, "tif", compression="tiff_lzw"))
    [start] = struct.unpack_from("<I", content, 4)
    [n_tags] = struct.unpack_from("<H", content, start)
    places = range(start + 2, start + 2 + 12 * n_tags, 12)
    tags = {struct.unpack_from("<H", content, place)[0]: place for place in places}
    struct.pack_into("<H", content, tags[262] + 8, 0)  # photometric: white is 0
    (tmp_path / "face.tif").write_bytes(content)
    np.testing.assert_array_equal(read_faces(tmp_path).images[0], BYTES)
