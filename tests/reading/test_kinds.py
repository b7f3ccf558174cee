"""Kinds of pictures that people have beside plain 8-bit ones: the right pixels, and said."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces.reading import read_faces
from tests.pictures import encoded, face, make

DEEP = np.random.default_rng(0).integers(0, 65536, (12, 10, 4), np.uint16)
LUMINANCE = (0.299, 0.587, 0.114)


def png16(pixels, colour_type):
    def chunk(kind, data):
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("rgb.png", png16(DEEP[..., :3], 2), DEEP[..., :3] @ LUMINANCE),
        ("rgba.png", png16(DEEP, 6), DEEP[..., :3] @ LUMINANCE),
        ("la.png", png16(DEEP[..., :2], 4), DEEP[..., 0]),
        (
            "rgb.ppm",
            b"P6 10 12 65535\n" + DEEP[..., :3].astype(">u2").tobytes(),
            DEEP[..., :3] @ LUMINANCE,
        ),
    ],
)
def test_16_bit_colour_keeps_its_16_bits(tmp_path, name, content, expected):
    stack = read_faces(make(tmp_path, {name: content}), colour=False)
    assert stack.dtype == np.uint16
    np.testing.assert_allclose(stack.images[0], expected, atol=1)


@pytest.mark.parametrize(
    ("name", "pack"),
    [("1.pgm.gz", gzip.compress), ("1.ppm.bz2", bz2.compress), ("1.png.xz", lzma.compress)],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_compressed_pictures(tmp_path, name, pack, lazy):
    pixels = face() if "ppm" not in name else np.repeat(face()[:, :, None], 3, axis=2)
    make(tmp_path, {name: pack(encoded(pixels, name.split(".")[1]))})
    np.testing.assert_array_equal(np.asarray(read_faces(tmp_path, lazy=lazy).images), [face()])


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("a.rar", "unpack it first"),
        ("a.7z", "unpack it first"),
        ("a.pgm.Z", "unpack it first"),
        ("a.zip", "open it by itself"),
        ("a.tar.gz", "open it by itself"),
    ],
)
def test_what_is_not_looked_into_is_named(tmp_path, name, advice):
    stack = read_faces(make(tmp_path, {"1.pgm": face(), name: b"some bytes"}))
    [(skipped, reason)] = stack.report.skipped
    assert skipped == name
    assert advice in reason


def test_floats_of_0_to_255_among_8_bit_pictures(tmp_path):
    make(tmp_path, {"1.png": face(), "2.tif": face(seed=1).astype(np.float32)})
    stack = read_faces(tmp_path)
    np.testing.assert_allclose(stack.images, np.stack([face(), face(seed=1)]) / 255, rtol=1e-6)
    assert "divided by 255" in stack.report.notes[1]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("palette", [False, True])
def test_a_png_whose_pixels_end_early(tmp_path, interlaced, palette):
    image = Image.fromarray(face(40, 30))
    if palette:
        image = image.convert("P")
        image.putpalette([255 - level for level in range(256) for _ in range(3)])
    whole = encoded(image, "png")
    start = whole.index(b"IDAT") - 4
    data = zlib.decompress(
        whole[start + 8 : start + 8 + struct.unpack_from(">I", whole, start)[0]]
    )
    part = zlib.compress(data[: len(data) // 2])
    header = bytearray(whole[:start])
    header[28] = interlaced
    header[29:33] = struct.pack(">I", zlib.crc32(bytes(header[12:29])))
    chunk = b"IDAT" + part
    checksum = struct.pack(">I", zlib.crc32(chunk))
    cut = bytes(header) + struct.pack(">I", len(part)) + chunk + checksum + whole[-12:]
    stack = read_faces(make(tmp_path, {"1.png": face(), "2.png": cut}))
    assert stack.names == ("1.png",)
    assert "2.png" in dict(stack.report.skipped)


def test_doubles_and_rare_sizes_are_said(tmp_path):
    make(tmp_path, {f"{i}.png": face(10 + i, 10) for i in range(5)} | {"9.png": face(10, 10)})
    sizes, doubles = read_faces(tmp_path).report.notes
    assert "is that of only 2 of 6 pictures" in sizes
    assert doubles.startswith("1 of 6 files repeat another one byte for byte, such as 9.png")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pgm", b"P5\n" + b"#\n" * 10**5 + b"2 2 255\n1234"),
        ("a.jpg", encoded(face(), "jpg")[:2] + b"\xff\xfe\0\2" * 10**5),
        ("a.jpg", encoded(face(), "jpg")[:2] + b"\xff" * 10**5),
        ("a.jpg", encoded(face(), "jpg")[:2] + b"\xff\xed\0\x21" + b"8BIM" * 10**6 * 3),
        ("a.jpg", encoded(face(), "jpg", progressive=True) + b"\xff\xda" * 100),
        ("a.pgm", b"P2\n2 2\n255\n" + b"1 #\n" * 10**5),
        ("a.gif", b"GIF89a\x0a\0\x0c\0\0\0\0" + b",%s\0\0" % bytes(8) * 10**5),
        ("a.gif", b"GIF89a\x0a\0\x0c\0\0\0\0" + b"!\xfe\1a\0" * 10**5),
        ("a.tif", struct.pack("<4sIHHHII", b"II*\0", 8, 1, 324, 4, 10**6, 8)),
    ],
)
def test_pictures_that_are_mostly_headers_are_refused_at_once(tmp_path, name, content):
    stack = read_faces(make(tmp_path, {"1.png": face(), name: content}))
    assert stack.names == ("1.png",)
    assert name in dict(stack.report.skipped)


def test_comments_among_ascii_pixels_take_no_time(tmp_path):
    stack = read_faces(make(tmp_path, {"1.pgm": b"P2\n46 56\n255\n" + b"1 #\n" * 46 * 56}))
    assert stack.images.shape == (1, 56, 46)
    assert (stack.images == 1).all()
