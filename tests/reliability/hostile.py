"""Broken, lying and hostile picture files, made from a seed."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import TYPE_CHECKING

from PIL import Image, PngImagePlugin

from tests.pictures import MODES, chunk, encoded, face, picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

# The extensions under which pictures of the allowed formats are written.
ALLOWED = ("png", "jpg", "gif", "tif", "bmp", "webp", "pgm", "ppm", "pbm", "pfm")

# What a header says instead of the truth: none, one, as much as fits, and what overflows.
LIES = (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
HEADER_BYTES = 64


def whole_pictures() -> dict[str, bytes]:
    """Return a sound file of each mode of each allowed format, under a telling name."""
    files = {
        f"{mode.replace(';', '')}.{ext}": encoded(picture(mode), ext)
        for mode, extensions in MODES.items()
        for ext in extensions
    }
    files["RGB.jpg"] = encoded(picture("RGB"), "jpg")
    files["progressive.jpg"] = encoded(picture("RGB"), "jpg", progressive=True)
    files["CMYK.jpg"] = encoded(picture("CMYK"), "jpg")
    files["lossy.webp"] = encoded(picture("RGB"), "webp", lossless=False)
    files |= {f"many.{ext}": _many(ext) for ext in ("gif", "tif", "png", "webp")}
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4"):
        mode = "1" if compression == "group4" else "L"
        files[f"{compression}.tif"] = encoded(picture(mode), "tif", compression=compression)
    return files


def _many(extension: str) -> bytes:
    pages = [picture("RGB", seed=seed) for seed in range(3)]
    return encoded(pages[0], extension, save_all=True, append_images=pages[1:])


def every_format() -> dict[str, bytes]:
    """Return a file of every format that Pillow writes, allowed or not."""
    Image.init()
    files = {}
    for name in sorted(Image.SAVE):
        extension = next((e for e, f in Image.EXTENSION.items() if f == name), f".{name}")
        for mode in ("RGB", "L", "1"):
            file = io.BytesIO()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    picture(mode).save(file, name)
                except Exception:  # noqa: BLE001 - no such mode, or another program is needed
                    continue
            files[f"{name}{extension}"] = file.getvalue()
            break
    return files


# -- what breaks a file ------------------------------------------------------------


def truncated(content: bytes, rng: np.random.Generator, n: int) -> Iterator[bytes]:
    for end in rng.integers(1, len(content), n):
        yield content[:end]


def flipped(content: bytes, rng: np.random.Generator, n: int) -> Iterator[bytes]:
    for _ in range(n):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 6)):
            damaged[place] ^= 1 << rng.integers(8)
        yield bytes(damaged)


def lying(content: bytes, rng: np.random.Generator, n: int) -> Iterator[bytes]:
    """Put another number in a place of the header, in either order of bytes."""
    for _ in range(n):
        lie, order, size = rng.choice(LIES), rng.choice(["little", "big"]), rng.choice([2, 4])
        place = rng.integers(2, min(HEADER_BYTES, len(content) - 4))
        word = (int(lie) & (256 ** int(size) - 1)).to_bytes(int(size), str(order))
        damaged = content[:place] + word + content[place + len(word) :]
        yield _png_checksums(damaged) if damaged.startswith(b"\x89PNG") else damaged


def _png_checksums(content: bytes) -> bytes:
    """Return a PNG whose checksums are right again, so that its lies are believed."""
    made, place = content[:8], 8
    while (end := place + 8 + int.from_bytes(content[place : place + 4], "big")) < len(content):
        made += chunk(content[place + 4 : place + 8], content[place + 8 : end])
        place = end + 4
    return made + content[place:]


def broken_copies(rng: np.random.Generator, n: int) -> dict[str, bytes]:
    """Return files broken in each way, `n` of each way of each whole picture."""
    files = {}
    for name, content in whole_pictures().items():
        stem, extension = name.rsplit(".", 1)
        for way in (truncated, flipped, lying):
            for i, broken in enumerate(way(content, rng, n)):
                files[f"{way.__name__}/{stem}-{i}.{extension}"] = broken
    return files


# -- files made by hand ------------------------------------------------------------


def odd_files() -> dict[str, bytes]:
    """Return files that are wrong in one way each, and cannot be read."""
    png = encoded(face(), "png")
    files = {f"text.{ext}": b"This is no picture at all.\n" * 20 for ext in ALLOWED}
    files |= {f"zeros.{ext}": bytes(3000) for ext in ALLOWED}
    files |= {f"magic.{ext}": encoded(face(), ext)[:8] for ext in ALLOWED if ext != "pfm"}
    files["half.png"] = png[: len(png) // 2]
    files["text-bomb.png"] = text_bomb()
    files["huge.pgm"] = b"P5 100000 100000 255\n" + bytes(100)
    files["wide.pgm"] = b"P5 99999999999999999999 1 255\n" + bytes(100)
    files["negative.pgm"] = b"P5 -12 10 255\n" + bytes(120)
    files["nothing.pgm"] = b"P5 0 10 255\n" + bytes(120)
    files["negative.bmp"] = _bmp_of(-(2**31), 2**31 - 1)
    files["wide.bmp"] = _bmp_of(2**31 - 1, 1)
    files |= {f"tag-{i}.tif": content for i, content in enumerate(absurd_tiffs())}
    return files


def text_bomb(size: int = 2**28) -> bytes:
    """Return a small PNG with a comment that unpacks to `size` bytes."""
    png = encoded(face(), "png")
    return png[:33] + chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(size), 9)) + png[33:]


def many_texts(n: int = 5000) -> bytes:
    """Return a PNG face with thousands of small comments."""
    info = PngImagePlugin.PngInfo()
    for i in range(n):
        info.add_text(f"key{i % 50}", "x" * 40, zip=True)
    return encoded(face(), "png", pnginfo=info)


def _bmp_of(width: int, height: int) -> bytes:
    content = bytearray(encoded(face(), "bmp"))
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


def absurd_tiffs() -> Iterator[bytes]:
    """Yield TIFFs with a tag that makes no sense: type, count and value in turn."""
    content = encoded(face(), "tif")
    start = int.from_bytes(content[4:8], "little")
    n_tags = int.from_bytes(content[start : start + 2], "little")
    for tag in range(n_tags):
        place = start + 2 + 12 * tag
        number = int.from_bytes(content[place : place + 2], "little")
        if number in {256, 257, 258, 259, 262, 273, 277, 278, 279}:
            for value in (2**32 - 1, 2**31, 60_000):
                yield content[: place + 8] + struct.pack("<I", value) + content[place + 12 :]
                yield content[: place + 4] + struct.pack("<I", value) + content[place + 8 :]
    # a directory that says it is its own successor
    following = start + 2 + 12 * n_tags
    yield content[:20] + content[20:following] + struct.pack("<I", start)
    yield content[:4] + struct.pack("<I", len(content) + 10**6) + content[8:]
