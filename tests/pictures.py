"""Pictures, folders and archives for the tests of the reader."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REAL_DATA = os.environ.get("LATENT_FACES_DATA")
needs_real_data = pytest.mark.skipif(not REAL_DATA, reason="LATENT_FACES_DATA is not set")
real_data = Path(REAL_DATA or ".")

# Every mode, with formats that hold it without loss.
MODES = {
    "1": ("png", "tif", "pbm", "bmp"),
    "L": ("png", "tif", "pgm", "bmp", "gif"),
    "LA": ("png", "tif"),
    "P": ("png", "gif", "bmp", "tif"),
    "RGB": ("png", "tif", "ppm", "bmp"),
    "RGBA": ("png", "tif", "webp"),
    "CMYK": ("tif",),
    "I;16": ("png", "tif", "pgm"),
    "I": ("tif",),
    "F": ("tif", "pfm"),
}


def face(height=12, width=10, seed=0):
    """Return 8-bit grey pixels; each seed has its own."""
    return np.random.default_rng(seed).integers(1, 255, (height, width), np.uint8)


def coloured(height=12, width=10, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def picture(mode="L", height=12, width=10, seed=0):
    """Return a Pillow image of any mode with random pixels."""
    rng = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (height, width), np.uint16))
    if mode == "I":
        return Image.fromarray(rng.integers(0, 100_000, (height, width), np.int32))
    if mode == "F":
        return Image.fromarray(rng.random((height, width), np.float32))
    if mode == "P":
        return Image.fromarray(coloured(height, width, seed)).quantize(16)
    if mode in {"1", "L"}:
        return Image.fromarray(face(height, width, seed)).convert(mode)
    image = Image.fromarray(coloured(height, width, seed)).convert(mode)
    if mode in {"LA", "RGBA"}:
        image.putalpha(Image.fromarray(face(height, width, seed + 1)))
    return image


def encoded(image, extension, **options):
    """Return the bytes of a picture file."""
    file = io.BytesIO()
    if extension == "webp":
        options = {"lossless": True, "exact": True, **options}
    Image.init()
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    image.save(file, Image.EXTENSION[f".{extension}"], **options)
    return file.getvalue()


def turned(pixels, orientation, extension="png"):
    """Return a picture file that lies as EXIF numbers it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(pixels, extension, exif=exif)


def make(root, files):
    """Write files, given as grey or colour pixels or as bytes, under their names."""
    for name, content in files.items():
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        is_file = isinstance(content, bytes)
        path.write_bytes(content if is_file else encoded(content, path.suffix[1:].lower()))
    return Path(root)


def people(root, n_people=3, n_pictures=2, extension="pgm"):
    """Write the layout of the ORL set, s1/1.pgm and so on."""
    return make(
        root,
        {
            f"s{s}/{i}.{extension}": face(seed=10 * s + i)
            for s in range(1, n_people + 1)
            for i in range(1, n_pictures + 1)
        },
    )


def zipped(folder, path, compression=zipfile.ZIP_DEFLATED, inside=""):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in sorted(Path(folder).rglob("*")):
            archive.write(file, inside + file.relative_to(folder).as_posix())
    return Path(path)


def tarred(folder, path, inside="."):
    mode = {".tar": "w", ".tgz": "w:gz", ".gz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}
    # the plain format, with one header a member
    with tarfile.open(path, mode[Path(path).suffix], format=tarfile.GNU_FORMAT) as archive:
        archive.add(folder, inside)
    return Path(path)


def packed(folder, path):
    """Pack a folder into an archive of the kind that its name tells."""
    return (zipped if Path(path).suffix.lower() == ".zip" else tarred)(folder, path)


def zip_of(path, files, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def chunk(kind, data):
    """Return a chunk of a PNG file."""
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png_file(width, height, rows, *, bits=8, colour_type=0, interlace=0, palette=b""):
    """Return a PNG file of rows of bytes, each of which begins with a zero."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, interlace)
    chunks = [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows))]
    body = [chunk(kind, data) for kind, data in chunks if data]
    return b"".join([b"\x89PNG\r\n\x1a\n", *body, chunk(b"IEND", b"")])


def oversized_png(width=40_000, height=40_000):
    """Return a small PNG file whose header claims a huge picture."""
    return png_file(width, height, bytes(132))
