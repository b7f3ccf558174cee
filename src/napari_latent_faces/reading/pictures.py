"""From the bytes of a picture to pixels, now or when they are looked at."""

from __future__ import annotations

import io
import math
import pickle
import re
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from napari_latent_faces.reading.frames import BYTE, CHANNELS, DEPTHS, FLOAT, WORD
from napari_latent_faces.reading.naming import FORMATS, HEAD_BYTES, starts_like_picture
from napari_latent_faces.reading.sources import MAX_PICTURE_BYTES, unpacked
from napari_latent_faces.reading.tiff import list_tiff_pages, read_tiff_page
from napari_latent_faces.stack import in_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

    from napari_latent_faces.reading.frames import Frame
    from napari_latent_faces.reading.sources import Entry
    from napari_latent_faces.reading.tiff import TiffPage

    Decode = Callable[[Frame, int], NDArray[Any]]

START_BYTES = 2**16  # holds most headers, so that large files are not read for them

MAX_SIDE = 2**15  # pixels; a header that says more lies

# What stands before the pixels. Pillow gathers it in quadratic time: these take a second.
MAX_HEADER_PARTS = 1024
MAX_HEADER_BYTES = 2**23
MAX_CHUNKS = 2**16  # of a PNG in all, and blocks and frames of a GIF
MAX_SCANS = 64  # of a progressive JPEG, each of which is a look at all its pixels

# A picture of more pixels is decoded while no other such one is: each may take 1 GB.
LARGE_PIXELS = 2**23
_large = threading.Lock()

# A picture of more pixels or bytes is decoded in a process of its own: Pillow and tifffile let
# no other thread work while they make room for one, so that nobody could leave it.
APART_PIXELS = 2**25
APART_BYTES = 2**26


class BrokenPictureError(Exception):
    """A file cannot be decoded; the message says why."""


class NotAPictureError(Exception):
    """A file is no picture, by its name and its content."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A file whose header is read, and whose pixels can be: one picture, or several pages."""

    shape: tuple[int, int]  # as it is shown, that is after EXIF rotation
    depth: np.dtype[Any]
    in_colour: bool  # by its header: all colours may still be greys
    decode: Decode  # frame, page -> pixels at the picture's own depth, (h, w) or (h, w, 3)
    n_pages: int = 1  # more for animations and TIFFs of several pages
    content: bytes = b""  # all of the file, if that was to be kept
    has_white: bool = False  # the file declares it, so that it is at that of its depth

    def pixels(self, frame: Frame, page: int = 0) -> NDArray[Any]:
        """Return the pixels of a page as those of a stack, or raise `BrokenPictureError`."""
        with _reasons():
            return frame.take(self.decode(frame, page))


def open_picture(entry: Entry, *, keep: bool = False) -> Picture:
    """Read a picture's header.

    With `keep` the whole file is read now and its content kept. Else only the start is read,
    where that tells enough, and the file is read again for the pixels. Raises
    `NotAPictureError` if neither name nor content are those of a picture, and
    `BrokenPictureError` if they are, but it cannot be read.
    """
    with _reasons():
        head = entry.read(START_BYTES)
        if not entry.certain and not starts_like_picture(head[:HEAD_BYTES]):
            raise NotAPictureError
        # the file may have grown since it was listed
        is_whole = entry.size <= len(head) < START_BYTES
        # JPEG, PNG, PNM and BMP have all that matters but the pixels at their start
        if not is_whole and not keep and head[:1] in {b"\xff", b"\x89", b"P", b"B"}:
            try:
                return replace(_described(head), decode=partial(_decode_again, entry))
            except (BrokenPictureError, MemoryError):
                raise
            except Exception:  # noqa: BLE001, S110 - whatever half a header makes
                pass  # all of it will tell
        content = unpacked(head if is_whole else entry.read(MAX_PICTURE_BYTES))
        picture = _described(content)
        return replace(picture, content=content) if keep else picture


def _decode_again(entry: Entry, frame: Frame, page: int) -> NDArray[Any]:
    return _described(unpacked(entry.read(MAX_PICTURE_BYTES))).decode(frame, page)


def _described(content: bytes, *, apart: bool = True) -> Picture:
    """Read a header, of whose file `content` may be only the start."""
    if content[:1] == b"P" and content[1:2] in b"123456fF":
        return _described_pnm(content)
    is_tiff = content[:2] in {b"II", b"MM"}
    picture = _described_tiff(content) if is_tiff else _described_by_pillow(content)
    is_large = math.prod(picture.shape) > APART_PIXELS or len(content) > APART_BYTES
    if apart and is_large and sys.executable and not getattr(sys, "frozen", False):
        return replace(picture, decode=partial(_decode_apart, content))
    return picture


def _decode_apart(content: bytes, frame: Frame, page: int) -> NDArray[Any]:
    """Return the pixels of a page as those of a stack, from another process."""
    code = (
        f"import sys; sys.path[:] = {sys.path}; import {__name__} as p; p.decode_for_parent()"
    )
    with (
        _large,
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        ) as child,
    ):
        to_child, from_child = cast("IO[bytes]", child.stdin), cast("IO[bytes]", child.stdout)
        with suppress(OSError), to_child:
            pickle.dump((frame, page, len(content)), to_child)
            to_child.write(content)
        try:
            answer: NDArray[Any] | str = pickle.load(from_child)  # noqa: S301 - our own
        except EOFError:
            answer = "its decoder crashed"
    if isinstance(answer, str):
        raise BrokenPictureError(answer)
    return answer


def decode_for_parent() -> None:
    """Read a frame, the number of a page and a file from stdin; write pixels, or why not."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # looked at already
    frame, page, size = pickle.load(sys.stdin.buffer)  # noqa: S301 - our parent's
    try:
        with _reasons():
            picture = _described(sys.stdin.buffer.read(size), apart=False)
        answer: NDArray[Any] | str = np.ascontiguousarray(picture.pixels(frame, page))
    except BrokenPictureError as error:
        answer = str(error)
    pickle.dump(answer, sys.stdout.buffer, protocol=5)


def _check_size(shape: Sequence[int]) -> None:
    from PIL import Image

    height, width = shape[:2]
    limit = Image.MAX_IMAGE_PIXELS
    # Pillow only warns up to twice its limit
    if limit is not None and width * height > limit:
        raise BrokenPictureError(
            f"decompression bomb: {width} x {height} pixels, more than {limit}"
        )
    if not 1 <= min(height, width) <= max(height, width) <= MAX_SIDE:
        raise BrokenPictureError(f"{width} x {height} pixels: no face is that large or small")


def _in_turn(shape: Sequence[int]) -> AbstractContextManager[object]:
    """Let large pictures pass one at a time, whatever the number of threads."""
    return _large if shape[0] * shape[1] > LARGE_PIXELS else nullcontext()


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn whatever a decoder raises into a `BrokenPictureError` that says why."""
    try:
        yield
    except (BrokenPictureError, NotAPictureError):
        raise
    except Exception as error:  # a hostile file can make a decoder raise anything
        raise BrokenPictureError(_reason(error)) from error


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "damaged, or no picture of a known format in spite of its name"
    if isinstance(error, FileNotFoundError):
        return "vanished while it was being read"
    if isinstance(error, MemoryError):
        return "too large for the memory that is free"
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return in_one_line(" ".join(str(words).split())[:200])


def _oriented(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn pixels upright that lie as EXIF numbers it."""
    if orientation > 4:
        pixels = np.swapaxes(pixels, 0, 1)
        orientation -= 4
    if orientation in {2, 3}:
        pixels = pixels[:, ::-1]
    return pixels[::-1] if orientation in {3, 4} else pixels


# -- TIFF, and PBM, PGM, PPM and PFM ---------------------------------------------------


def _described_tiff(content: bytes) -> Picture:
    pages = list_tiff_pages(content)
    for page in pages:
        _check_size(page.shape)
    first = pages[0]
    return Picture(
        first.shape[::-1] if first.orientation > 4 else first.shape,
        max((page.depth for page in pages), key=DEPTHS.index),
        first.in_colour,
        partial(_decode_tiff, content, pages),
        len(pages),
        has_white=all(page.bits < 16 for page in pages),
    )


def _decode_tiff(
    content: bytes, pages: list[TiffPage], _frame: Frame, page: int
) -> NDArray[Any]:
    with _in_turn(pages[page].shape):
        return _oriented(read_tiff_page(content, pages[page]), pages[page].orientation)


MAX_COMMENTS = 2**16  # among pixels that are written as text
_CHUNK_BYTES = 2**16
_PNM_FIELD = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])+([^\s#]+)")


def _described_pnm(content: bytes) -> Picture:
    head = content[:START_BYTES]
    kind = head[:2].decode("latin-1")
    fields, place = [], 2
    for _ in range(2 if kind in {"P1", "P4"} else 3):
        found = _PNM_FIELD.match(head, place)
        if found is None or len(found[1]) > 20:
            raise ValueError("damaged: its header has no end")
        fields.append(found[1])
        place = found.end()
    shape = int(fields[1]), int(fields[0])
    _check_size(shape)
    most = float(fields[2]) if fields[2:] else 1.0
    stored: np.dtype[Any]
    if kind in {"Pf", "PF"}:  # its scale, which is negative if they are little-endian
        stored = np.dtype("<f4" if most < 0 else ">f4")
        is_sound = most and np.isfinite(most)
    else:
        stored = np.dtype("u1" if most <= 255 else ">u2")
        is_sound = most.is_integer() and 0 < most < 65536
    if not is_sound:
        raise ValueError(f"damaged: its largest value or scale is {most:g}")
    in_colour = kind in {"P3", "P6", "PF"}
    data = memoryview(content)[place + 1 :]
    whole = (*shape, 3) if in_colour else shape
    decode = partial(_decode_pnm, data, kind, whole, stored, most)
    # 65535 is written for want of a better one, too
    has_white = stored.kind != "f" and most != 65535
    depth = stored.newbyteorder("=")
    return Picture(shape, depth, in_colour, decode, has_white=has_white)


def _decode_pnm(
    data: memoryview,
    kind: str,
    shape: tuple[int, ...],
    stored: np.dtype[Any],
    most: float,
    _frame: Frame,
    _page: int,
) -> NDArray[Any]:
    """Return the pixels with white at 255 or 65535."""
    n, depth = math.prod(shape), stored.newbyteorder("=")
    with _in_turn(shape):
        if kind in {"P1", "P2", "P3"}:
            values = _written(bytes(data), n, most, digits=kind == "P1")
        elif kind == "P4":
            row = (shape[1] + 7) // 8
            packed = np.frombuffer(_enough(data, shape[0] * row), BYTE).reshape(-1, row)
            values = np.unpackbits(packed, axis=1)[:, : shape[1]].ravel()
        else:
            values = np.frombuffer(_enough(data, n * depth.itemsize), stored)
        pixels: NDArray[Any] = values.reshape(shape)
        if depth == FLOAT:  # from the bottom row to the top one
            return pixels[::-1].astype(depth)
        if kind in {"P1", "P4"}:
            return np.where(pixels, 0, 255).astype(BYTE)
        white = 255 if depth == BYTE else 65535
        if most != white:
            pixels = pixels.clip(0, int(most)) * float(white) / most + 0.5
        return pixels.astype(depth, copy=False)


def _enough(data: memoryview, n_bytes: int) -> memoryview:
    if len(data) < n_bytes:
        raise ValueError("truncated: some pixels are missing")
    return data[:n_bytes]


def _written(text: bytes, n: int, most: float, *, digits: bool) -> NDArray[Any]:
    """Return the first numbers of a text, some at a time: other threads want to work, too."""
    first, *comments = text.split(b"#", MAX_COMMENTS + 1)
    if len(comments) > MAX_COMMENTS:
        raise ValueError(f"more than {MAX_COMMENTS} comments: no face has that many")
    text = b"".join([first, *(re.sub(rb"\A[^\r\n]*", b"", each) for each in comments)])
    found: list[NDArray[np.int32]] = []
    n_found = place = 0
    while place < len(text) and n_found < n:
        end = place + _CHUNK_BYTES
        while text[end : end + 1].strip():  # not in the middle of a number
            end += 1
        words = text[place:end].split(None, n - n_found)[: n - n_found]
        if digits:  # which need no blanks between them
            numbers = np.frombuffer(b"".join(words), BYTE)[: n - n_found].astype(np.int32) - 48
        elif words and (max(map(len, words)) > 5 or not b"".join(words).isdigit()):
            raise ValueError("damaged: a pixel is no number")
        else:
            numbers = np.array(words, "S5").astype(np.int32)
        found.append(numbers)
        n_found += len(numbers)
        place = end
    if n_found < n:
        raise ValueError("truncated: some pixels are missing")
    values = np.concatenate(found)
    if not 0 <= values.min() <= values.max() <= most:
        raise ValueError("damaged: a pixel is out of range")
    return values


# -- What may stand before the pixels --------------------------------------------------


def _check_parts(content: bytes) -> None:
    """Refuse a file that would take long to read only because of its many parts."""
    if content.startswith(b"\xff\xd8"):
        parts = _parts_of_jpeg(content)
        if _count(content, b"\xff\xda") > MAX_SCANS:
            raise BrokenPictureError(f"it has more than {MAX_SCANS} scans: no face has that")
    elif content.startswith(b"\x89PNG"):
        parts = _parts_of_png(content)
    elif content.startswith(b"GIF8"):
        parts = _parts_of_gif(content)
    else:
        return
    header = 0
    for total, (size, in_header) in enumerate(parts, 1):
        if in_header:
            header += size
        if total > (MAX_HEADER_PARTS if in_header else MAX_CHUNKS) or header > MAX_HEADER_BYTES:
            raise BrokenPictureError(
                f"more than {total - 1} parts or {MAX_HEADER_BYTES >> 20} MiB that are no "
                "pixels: no face has that"
            )


def _count(content: bytes, part: bytes) -> int:
    """Count a part, in pieces of the content: other threads want to work, too."""
    step = 2**24
    return sum(content.count(part, i, i + step) for i in range(0, len(content), step))


def _parts_of_jpeg(content: bytes) -> Iterator[tuple[int, bool]]:
    """Yield the size of each part up to the first scan; Pillow skips some bytes one by one."""
    place = 2
    while marker := content[place + 1 : place + 2]:
        if content[place] != 0xFF:
            following = content.find(b"\xff", place)
            size = (following if following > 0 else len(content)) - place
        elif marker == b"\xda":
            return
        elif marker == b"\xff":
            size = 1
        elif marker in b"\0\1" or 0xD0 <= marker[0] <= 0xD9:
            size = 2
        else:
            size = 2 + int.from_bytes(content[place + 2 : place + 4])
        yield size, True
        place += size


def _parts_of_png(content: bytes) -> Iterator[tuple[int, bool]]:
    """Yield the size of each chunk; Pillow gathers none of them."""
    place = 8
    while place + 8 <= len(content):
        size = 12 + int.from_bytes(content[place : place + 4])
        yield size, False
        place += size


def _parts_of_gif(content: bytes) -> Iterator[tuple[int, bool]]:
    """Yield the size of each block that is no pixels; those of comments count as headers."""

    def palette_bytes(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    with suppress(IndexError):  # where it is cut off; what that means is for the decoder to say
        place = 13 + palette_bytes(content[10])
        while (kind := content[place]) != 0x3B:
            if kind not in {0x21, 0x2C}:
                yield 1, True
                place += 1
                continue
            is_picture = kind == 0x2C
            # an extension of kind F9 belongs to a picture
            in_header = not is_picture and content[place + 1] != 0xF9
            yield (0 if is_picture else 2), in_header
            place += 11 + palette_bytes(content[place + 9]) if is_picture else 2
            while size := content[place]:
                if not is_picture:
                    yield 1 + size, in_header
                place += 1 + size
            place += 1


# -- What Pillow decodes ---------------------------------------------------------------

_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F"})

# Modes that Pillow turns into grey or RGB by way of another one only.
_DETOURS = {"La": "LA", "RGBa": "RGBA", "LAB": "RGB"}

_ORIENTATION = 0x0112  # the EXIF tag
_EXIF_KEYS = frozenset({"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"})


def _described_by_pillow(content: bytes) -> Picture:
    _check_parts(content)
    image = _open(content)
    is_animated = image.format in {"GIF", "PNG", "WEBP"}
    n_pages = getattr(image, "n_frames", 1) if is_animated else 1
    is_deep = image.mode == "I" or image.mode.startswith("I;16") or _is_deep_png(content)
    opened = [image]  # for the first page: mostly there is no other

    def decode(frame: Frame, page: int) -> NDArray[Any]:
        image = opened.pop() if opened else _open(content)
        if n_pages > 1:
            opened.append(image)
            image.seek(page)
        orientation = _orientation(image)
        if frame.reduce:
            _reduce(image, frame, turned=orientation > 4)
        with _in_turn(image.size):
            return _oriented(_pixels(image, content, frame), orientation)

    return Picture(
        image.size if _orientation(image) > 4 else image.size[::-1],
        WORD if is_deep else BYTE,
        _in_colour(image),
        decode,
        n_pages,
        has_white=not is_deep,
    )


def _pixels(image: ImageFile, content: bytes, frame: Frame) -> NDArray[Any]:
    """Decode all pixels of the present page, or raise."""
    from PIL import ImageFile

    packed = _png_pixels(content) if image.format == "PNG" and not image.tell() else b""
    interlaced = bool(image.info.get("interlace"))
    last = np.empty(0)
    if packed and _is_deep_png(content):
        pixels = _deep_pixels(image, packed, grey=content[25] == 4)
        last = pixels[-1]
    else:
        if ImageFile.LOAD_TRUNCATED_IMAGES and not image.tell():
            _check_complete(image, packed or content)
        image.load()
        if packed:  # as it is stored: a palette may make white of 0
            last = np.asarray(image.crop((0, image.height - 1, *image.size)))
        pixels = np.asarray(_converted(image, frame))
        pixels = pixels.astype(WORD if pixels.dtype.itemsize > 1 else BYTE, copy=False)
    if packed and (interlaced or not last.any()):
        _check_png_end(image, content, packed)
    return pixels


def _check_complete(image: ImageFile, content: bytes | memoryview) -> None:
    """Raise for a picture that `load` fills up, as other code in this process wants it to.

    `Image.frombytes` is as strict as ever, so it decodes the same data. Decoders that are not
    named here do not look at the flag.
    """
    from PIL import Image

    is_png = image.format == "PNG"
    config = (1,) if is_png and image.info.get("interlace") else image.decoderconfig
    for name, extents, offset, args in image.tile:
        if name not in {"gif", "jpeg", "raw", "zip"}:
            continue
        left, top, right, bottom = extents or (0, 0, *image.size)
        size = right - left, bottom - top
        data = memoryview(content)[0 if is_png else offset :]
        options = args if isinstance(args, tuple) else (args,)
        try:
            Image.frombytes(image.mode, size, data, name, *options, *config)
        except ValueError as error:  # "not enough image data"
            raise BrokenPictureError(f"truncated or damaged: {error}") from error


def _png_pixels(content: bytes) -> bytes | memoryview:
    """Return the packed pixels of a PNG, and compare their checksums: Pillow does not."""
    place, view = 8, memoryview(content)
    packed: list[memoryview] = []
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if packed and kind != b"IDAT":  # behind the first picture
            break
        end = place + 8 + length
        if kind == b"IDAT":
            packed.append(view[place + 8 : end])
            if zlib.crc32(packed[-1], zlib.crc32(kind)).to_bytes(4) != content[end : end + 4]:
                raise BrokenPictureError("damaged: a checksum of its pixels is wrong")
        place = end + 4
    # of bytes, and only of them, other threads can work meanwhile
    return packed[0] if len(packed) == 1 else b"".join(map(bytes, packed))


# The first column and row of each pass of an interlaced PNG, and the steps between them.
_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4)),
    *((1, 0, 2, 2), (0, 1, 1, 2)),
)


def _check_png_end(image: Image, content: bytes, packed: bytes | memoryview) -> None:
    """Raise if the pixels end too early, in a stream that is sound in itself.

    Pillow leaves the rest black then, so that only a black last row makes one look.
    """
    bits = content[24] * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[content[25]]
    width, height = image.size
    wanted = 0
    for x, y, step_x, step_y in _PASSES if content[28] else ((0, 0, 1, 1),):
        columns, rows = -((x - width) // step_x), -((y - height) // step_y)
        if columns > 0 and rows > 0:
            wanted += rows * (1 + (columns * bits + 7) // 8)
    stream = zlib.decompressobj()
    for start in range(0, len(packed), 2**14):  # which is at most 16 MiB of pixels
        wanted -= len(stream.decompress(packed[start : start + 2**14]))
    if wanted > 0:
        raise BrokenPictureError("truncated: its pixels end too early")


def _is_deep_png(content: bytes) -> bool:
    """Tell whether a PNG has 16 bits and more than one channel, which Pillow cuts to 8."""
    return content[:4] == b"\x89PNG" and content[24:25] == b"\x10" and content[25] in {2, 4, 6}


def _deep_pixels(image: ImageFile, packed: bytes | memoryview, *, grey: bool) -> NDArray[Any]:
    """Return 16-bit pixels: Pillow unpacks either the high or the low bytes of each."""
    from PIL import Image

    interlace = 1 if image.info.get("interlace") else 0

    def unpacked_as(mode: str, raw: str) -> NDArray[np.uint16]:
        eight = Image.frombytes(mode, image.size, packed, "zip", raw, interlace)
        return np.asarray(eight).astype(np.uint16)

    if grey:
        both = unpacked_as("RGBA", "RGBA")
        return both[:, :, 0] << 8 | both[:, :, 1]
    high, low = (unpacked_as(image.mode, f"{image.mode};16{end}") for end in "BL")
    return (high << 8 | low)[:, :, :3]


@cache
def _formats() -> tuple[str, ...]:
    """Load the decoders of the allowed formats, and no others."""
    from PIL import (
        BmpImagePlugin,  # noqa: F401
        GifImagePlugin,  # noqa: F401
        Image,
        JpegImagePlugin,  # noqa: F401
        PngImagePlugin,  # noqa: F401
        WebPImagePlugin,  # noqa: F401
    )

    return tuple(name for name in FORMATS if name in Image.OPEN and name not in {"PPM", "TIFF"})


def _open(content: bytes) -> ImageFile:
    from PIL import Image

    image = Image.open(io.BytesIO(content), formats=_formats())
    _check_size((image.height, image.width))
    return image


def _orientation(image: Image) -> int:
    """Return how a picture lies, from 1 (upright) to 8, as EXIF numbers it."""
    from PIL.Image import Image as PlainImage

    if _EXIF_KEYS.isdisjoint(image.info):
        return 1
    try:
        # not the PNG reader's own, which decodes all pixels to look behind them
        orientation = PlainImage.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - a broken EXIF block does not make a broken picture
        return 1
    return orientation if orientation in range(1, 9) else 1


def _in_colour(image: Image) -> bool:
    if image.mode == "P" and image.palette is not None:
        layout, colours = image.palette.getdata()
        step, place = (1, len(colours) // 3) if layout.endswith(";L") else (len(layout), 1)
        red, green, blue = (colours[i * place :: step] for i in range(3))
        return not (red[: len(blue)] == green[: len(blue)] == blue)
    return image.mode not in _GREY_MODES and not image.mode.startswith("I;16")


def _reduce(image: ImageFile, frame: Frame, *, turned: bool) -> None:
    """Let the JPEG decoder do the coarse part of a reduction."""
    width, height = image.size[::-1] if turned else image.size
    coarse = frame.coarse((height, width))
    to_grey = frame.channel == "luminance" and not frame.colour and image.mode == "RGB"
    image.draft("L" if to_grey else None, coarse if turned else coarse[::-1])


def _converted(image: Image, frame: Frame) -> Image:
    """Return a picture in the colours of the stack; transparency does not count."""
    in_colour = frame.colour and _in_colour(image)
    if not in_colour and (image.mode in {"L", "I"} or image.mode.startswith("I;16")):
        return image
    image.info.pop("transparency", None)  # Pillow would warn that it is lost
    if image.mode in _DETOURS:
        image = image.convert(_DETOURS[image.mode])
    if in_colour:
        return image if image.mode == "RGB" else image.convert("RGB")
    if frame.channel == "luminance" or image.mode in _GREY_MODES:
        return image.convert("L")
    return image.convert("RGB").getchannel(CHANNELS[frame.channel])


# -- Stacks of pictures that are decoded when they are looked at -----------------------


class BrokenFaceWarning(UserWarning):
    """A picture of a lazy stack cannot be decoded and is shown black."""


def lazy_images(sources: Sequence[tuple[Entry, int]], frame: Frame) -> Any:
    """Return a dask array of pictures, the pages of files, that are decoded when looked at.

    Each picture is a block of its own: napari computes whole blocks, on the GUI thread. One
    that cannot be decoded after all is black, with a warning that names the first such one:
    the stack's shape and names stand already.
    """
    import dask.array

    faces = _Faces(sources, frame)
    meta = np.empty((0,) * len(faces.shape), frame.depth)
    from_array: Any = dask.array.from_array
    return from_array(faces, (1, *frame.picture_shape), name=False, meta=meta)


class _Faces:
    """What dask slices as if it were an array."""

    def __init__(self, sources: Sequence[tuple[Entry, int]], frame: Frame) -> None:
        self._sources = sources
        self._frame = frame
        self._broken: set[int] = set()
        self.shape = (len(sources), *frame.picture_shape)
        self.ndim = len(self.shape)
        self.dtype = frame.depth

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        faces, *inside = key
        wanted = np.arange(len(self._sources))[faces]
        pixels = np.empty((wanted.size, *self.shape[1:]), self.dtype)
        for place, face in enumerate(wanted.flat):
            pixels[place] = self._decoded(int(face))
        whole = (slice(None),) * wanted.ndim
        pixels = pixels.reshape(*wanted.shape, *self.shape[1:])
        return np.asarray(pixels[(*whole, *inside)])

    def _decoded(self, face: int) -> NDArray[Any]:
        entry, page = self._sources[face]
        try:
            return open_picture(entry).pixels(self._frame, page)
        except BrokenPictureError as error:
            reason = str(error)
        except NotAPictureError:
            reason = "no picture any more"
        except IndexError:
            reason = "it has fewer pages now"
        texts = (
            f"{entry.name} cannot be decoded ({reason}) and is shown black. Remove it, or ",
            f"More pictures cannot be decoded, such as {entry.name} ({reason}); ",
        )
        if face not in self._broken and len(self._broken) < len(texts):
            advice = "open the folder with lazy=False to leave out all that are broken."
            text = texts[len(self._broken)] + advice
            warnings.warn(text, BrokenFaceWarning, stacklevel=2)
        self._broken.add(face)
        return np.zeros(self.shape[1:], self.dtype)
