from __future__ import annotations

import bz2
import gzip
import lzma
import os
import struct
import sys
import threading
import warnings
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from napari_latent_faces.reading import pictures, read_faces
from napari_latent_faces.reading.formats import (
    BYTE,
    FLOAT,
    START_BYTES,
    WORD,
    BrokenPictureError,
)
from napari_latent_faces.reading.naming import Entry
from napari_latent_faces.reading.pictures import Frame, NotAPictureError, open_picture
from tests.helpers import PATIENCE
from tests.pictures import (
    MODES,
    chunk,
    coloured,
    encoded,
    face,
    make,
    picture,
    png_file,
    turned,
)

GREY = {"I;16": (WORD, "I;16"), "I": (FLOAT, "I"), "F": (FLOAT, "F")}
ALL_FILES = [(mode, extension) for mode, group in MODES.items() for extension in group]


def entry(content, *, certain=True, name="face"):
    return Entry(name, len(content), lambda limit: content[:limit], certain)


def pixels_of(content, **options):
    """Decode a picture at its own size and depth."""
    header = open_picture(entry(content))
    options = {"shape": header.shape, "depth": header.depth, **options}
    return pictures.pixels_of(header, Frame(**options))


@pytest.mark.parametrize(("mode", "extension"), ALL_FILES)
def test_every_mode_of_every_format(mode, extension, monkeypatch):
    image = picture(mode)
    content = encoded(image, extension)
    header = open_picture(entry(content))
    depth, grey_mode = GREY.get(mode, (BYTE, "L"))
    assert header.shape == (12, 10)
    assert header.depth == depth
    assert header.in_colour == (mode in {"P", "RGB", "RGBA", "CMYK"})
    expected = Image.open(BytesIO(content)) if extension == "gif" else image
    expected = expected if expected.mode == grey_mode else expected.convert(grey_mode)
    for filled_up in (False, True):  # what others may ask of Pillow, for the whole process
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", filled_up)
        pixels = pixels_of(content)
        assert pixels.dtype == depth
        np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("extension", ["gif", "bmp", "png", "tif"])
def test_palettes_of_greys_are_not_in_colour(extension):
    image = Image.fromarray(face()).convert("P")
    image.putpalette([shade for level in range(256) for shade in [255 - level] * 3])
    content = encoded(image, extension)
    assert not open_picture(entry(content)).in_colour
    np.testing.assert_array_equal(pixels_of(content), 255 - face())


@pytest.mark.parametrize("extension", ["jpg", "webp"])
@pytest.mark.parametrize("pixels", [face(), coloured()])
def test_lossy_formats_are_as_pillow_reads_them(extension, pixels):
    content = encoded(pixels, extension, lossless=False)
    expected = Image.open(BytesIO(content)).convert("L")
    np.testing.assert_array_equal(pixels_of(content), np.asarray(expected))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "L", "LA", "1", "I;16", "F"])
@pytest.mark.parametrize(("channel", "place"), [("red", 0), ("green", 1), ("blue", 2)])
def test_channels(mode, channel, place):
    image = picture(mode)
    content = encoded(image, "tif")
    if mode in {"RGB", "RGBA", "P", "CMYK"}:
        expected = np.asarray(image.convert("RGB"))[:, :, place]
    else:
        expected = pixels_of(content)  # grey is the same in every channel
    np.testing.assert_array_equal(pixels_of(content, channel=channel), expected)


def test_16_bit_pnm_with_a_low_maximum_is_brought_to_16_bits():
    pixels = pixels_of(b"P5\n2 1\n1023\n" + np.array([0, 1023], ">u2").tobytes())
    np.testing.assert_array_equal(pixels, np.array([[0, 65535]], np.uint16))


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_transparency_is_ignored_and_not_warned_about(mode):
    image = picture(mode)
    expected = np.asarray(image.convert("L"))
    options = {"transparency": bytes(range(16))} if mode == "P" else {}
    content = encoded(image, "png", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(pixels_of(content), expected)


@pytest.mark.parametrize("extension", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", [*range(10), 77])  # upright unless from 2 to 8
def test_exif_orientation(extension, orientation):
    content = turned(face(12, 10), orientation, extension)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(content))).convert("L"))
    assert open_picture(entry(content)).shape == expected.shape
    np.testing.assert_array_equal(pixels_of(content), expected)


def test_headers_are_read_from_the_start_of_large_files():
    content = encoded(face(300, 300), "bmp")
    assert len(content) > START_BYTES
    asked = []
    large = Entry("a.bmp", len(content), lambda limit: asked.append(limit) or content[:limit])
    assert open_picture(large).shape == (300, 300)
    assert asked == [START_BYTES]


@pytest.mark.parametrize("extension", ["tif", "webp", "png", "jpg"])
def test_headers_that_do_not_stand_at_the_start(extension):
    options = {"exif": bytes(60_000)} if extension == "jpg" else {}
    content = encoded(face(300, 300), extension, **options)
    if extension == "png":  # a chunk that is larger than what is read at first
        content = content[:33] + chunk(b"juNk", bytes(70_000)) + content[33:]
    assert len(content) > START_BYTES
    assert open_picture(entry(content)).shape == (300, 300)


def test_reduced_jpegs_are_close_to_whole_ones():
    y, x = np.mgrid[:320, :240]
    content = encoded(np.uint8(127 + 60 * np.sin(x / 20) + 60 * np.cos(y / 15)), "jpg")
    whole = pixels_of(content, shape=(40, 30))
    reduced = pixels_of(content, shape=(40, 30), reduce=True)
    assert np.abs(whole.astype(int) - reduced).mean() < 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file"), "vanished while it was being read"),
        (PermissionError(13, "Permission denied", "x"), "Permission denied"),
        (MemoryError(), "too large for the memory"),
        (KeyError(), "KeyError"),
        (ValueError("two\n lines"), "two lines"),
        (RuntimeError("x" * 999), "x{200}$"),
    ],
)
def test_whatever_a_decoder_raises_becomes_a_reason(error, reason):
    def read(_):
        raise error

    with pytest.raises(BrokenPictureError, match=reason):
        open_picture(Entry("face.png", 1, read))


@pytest.mark.filterwarnings("ignore")
def test_pillows_own_limit_counts(monkeypatch):
    content = encoded(face(), "png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 119)
    with pytest.raises(BrokenPictureError, match="12 pixels, more than 119"):
        open_picture(entry(content))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert open_picture(entry(content)).shape == (12, 10)


def test_unknown_names_go_by_content():
    assert open_picture(entry(encoded(face(), "gif"), certain=False)).shape == (12, 10)
    with pytest.raises(NotAPictureError):
        open_picture(entry(b"Read me", certain=False))


# -- Kinds that people have beside plain 8-bit ones -------------------------------------

DEEP = np.random.default_rng(0).integers(0, 65536, (12, 10, 4), np.uint16)
LUMINANCE = (0.299, 0.587, 0.114)


def png16(pixels, colour_type):
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return png_file(10, 12, rows, bits=16, colour_type=colour_type)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rgb.png", png16(DEEP[..., :3], 2)),
        ("rgba.png", png16(DEEP, 6)),
        ("la.png", png16(DEEP[..., :2], 4)),
        ("rgb.ppm", b"P6 10 12 65535\n" + DEEP[..., :3].astype(">u2").tobytes()),
    ],
)
def test_16_bit_colour_keeps_its_16_bits(tmp_path, name, content):
    grey = read_faces(make(tmp_path, {name: content}), colour=False)
    expected = DEEP[..., 0] if name == "la.png" else DEEP[..., :3] @ LUMINANCE
    assert grey.dtype == np.uint16
    np.testing.assert_allclose(grey.images[0], expected, atol=1)
    if name != "la.png":
        np.testing.assert_array_equal(read_faces(tmp_path).images[0], DEEP[..., :3])


@pytest.mark.parametrize(
    ("name", "pack"),
    [("1.pgm.gz", gzip.compress), ("1.ppm.bz2", bz2.compress), ("1.png.xz", lzma.compress)],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_compressed_pictures(tmp_path, name, pack, lazy):
    pixels = face() if "ppm" not in name else np.repeat(face()[:, :, None], 3, axis=2)
    make(tmp_path, {name: pack(encoded(pixels, name.split(".")[1]))})
    np.testing.assert_array_equal(np.asarray(read_faces(tmp_path, lazy=lazy).images), [face()])


def test_floats_of_0_to_255_among_8_bit_pictures(tmp_path):
    make(tmp_path, {"1.png": face(), "2.tif": face(seed=1).astype(np.float32)})
    stack = read_faces(tmp_path)
    np.testing.assert_allclose(stack.images, np.stack([face(), face(seed=1)]) / 255, rtol=1e-6)
    assert "divided by 255" in stack.report.notes[1]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("palette", [False, True])
def test_a_png_whose_pixels_end_early(tmp_path, interlaced, palette):
    rows = b"".join(b"\0" + row.tobytes() for row in face(40, 30))
    levels = bytes(255 - level for level in range(256) for _ in range(3))
    options = {"colour_type": 3, "palette": levels} if palette else {}
    cut = png_file(30, 40, rows[: len(rows) // 2], interlace=interlaced, **options)
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


# -- What other code asks of Pillow, and decoders in other processes ------------------------

CUTTABLE = {
    "baseline": ("jpg", {}),
    "progressive": ("jpg", {"progressive": True}),
    "png": ("png", {}),
    "interlaced": ("gif", {"interlace": 1}),
    "gif": ("gif", {"interlace": 0}),
    "bmp": ("bmp", {}),
    "pgm": ("pgm", {}),
    "tif": ("tif", {}),
    "lzw": ("tif", {"compression": "tiff_lzw"}),
    "deflate": ("tif", {"compression": "tiff_adobe_deflate"}),
    "webp": ("webp", {"lossless": True}),
}


@pytest.fixture
def _flag(monkeypatch):
    """Let another package ask Pillow, for the whole process, to fill up what is missing."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)


@pytest.mark.usefixtures("_flag")
@pytest.mark.filterwarnings("ignore")
class TestWhenPillowIsToFillUpPictures:
    @pytest.mark.parametrize("kind", CUTTABLE)
    @pytest.mark.parametrize("mode", ["L", "RGB"])
    def test_a_cut_picture_is_refused(self, kind, mode):
        extension, options = CUTTABLE[kind]
        if (extension, mode) == ("pgm", "RGB"):
            extension = "ppm"
        content = encoded(picture(mode, 40, 30), extension, **options)
        for part in (0.6, 0.8, 0.95):
            cut = content[: int(part * len(content))]
            with pytest.raises(BrokenPictureError):
                pixels_of(cut)
        assert pixels_of(content).shape == (40, 30)
        assert ImageFile.LOAD_TRUNCATED_IMAGES

    def test_a_jpeg_that_is_decoded_smaller_is_read(self):
        content = encoded(picture("RGB", 400, 300), "jpg")
        small = pixels_of(content, shape=(50, 40), reduce=True)
        assert small.shape == (50, 40)
        with pytest.raises(BrokenPictureError, match="truncated or damaged"):
            pixels_of(content[:-400], shape=(50, 40), reduce=True)

    def test_a_damaged_picture_is_refused(self):
        gif = bytearray(encoded(picture("L", 40, 30), "gif"))
        jpeg = bytearray(encoded(picture("L", 40, 30), "jpg"))
        gif[-200:-20] = b"\xff" * 180
        start = jpeg.index(b"\xff\xc4")  # a table of codes that cannot be
        jpeg[start + 5 : start + 21] = b"\xff" * 16
        for content in (gif, jpeg):
            with pytest.raises(BrokenPictureError):
                pixels_of(bytes(content))


class TestDecodersInProcessesOfTheirOwn:
    """Pillow lets no other thread work while it makes room for a large picture."""

    @pytest.fixture(autouse=True)
    def all_are_large(self, monkeypatch):
        monkeypatch.setattr(pictures, "APART_PIXELS", 10)

    def test_pixels_and_reasons_are_the_same(self, tmp_path, monkeypatch):
        several = {"save_all": True, "append_images": [picture("RGB", seed=1)]}
        files = {
            "1.webp": encoded(picture("RGB"), "webp"),
            "2.gif": encoded(picture("RGB"), "gif", **several),
            "3.tif": picture("F"),
            "4.jpg": turned(coloured(), 6, "jpg"),
            "5.png": encoded(face(), "png")[:60],
        }
        make(tmp_path, files)
        apart = read_faces(tmp_path, size=(6, 5))
        monkeypatch.setattr(pictures, "APART_PIXELS", 10**6)
        here = read_faces(tmp_path, size=(6, 5))
        np.testing.assert_array_equal(apart.images, here.images)
        assert apart.report == here.report

    @pytest.fixture
    def decoder(self, tmp_path, monkeypatch):
        """Replace the decoder by a program."""

        def replace(*lines):
            path = tmp_path / "decoder"
            path.write_text("\n".join(["#!/bin/sh", *lines]))
            path.chmod(0o755)
            monkeypatch.setattr(sys, "executable", str(path))

        if sys.platform == "win32":
            pytest.skip("needs a shell")
        return replace

    def test_who_cancels_does_not_wait_for_a_decoder(self, tmp_path, decoder):
        make(tmp_path / "faces", {"1.webp": encoded(picture("RGB"), "webp")})
        os.mkfifo(tmp_path / "go on")
        decoder(f"cd '{tmp_path}'", "touch started", "cat 'go on'")

        def progress(done, total):
            if (tmp_path / "started").exists():
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            read_faces(tmp_path / "faces", progress=progress)
        readers = [t for t in threading.enumerate() if t.name == "faces"]
        (tmp_path / "go on").write_text("")  # the decoder waits for this still
        for reader in readers:
            reader.join(PATIENCE)
        assert readers

    def test_a_decoder_that_crashes_is_named(self, decoder):
        decoder("kill -9 $$")
        with pytest.raises(BrokenPictureError, match="its decoder crashed"):
            pixels_of(encoded(picture("RGB"), "webp"))
