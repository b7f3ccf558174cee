"""What is inside one picture file: TIFF and PNM as a whole, and what other formats may hide."""

from __future__ import annotations

import io
import math
import re
import struct
import threading
import zlib
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.naming import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    Pixels = NDArray[Any]
    Size = tuple[int, int]  # height and width

# From the shallowest to the deepest, with the value that stands for white.
DEPTHS: tuple[np.dtype[Any], ...] = (np.dtype("u1"), np.dtype("u2"), np.dtype("f4"))
BYTE, WORD, FLOAT = DEPTHS
WHITE = {BYTE: 255, WORD: 65535, FLOAT: 1}

START_BYTES = 2**16  # holds most headers, so that large files are not read for them

MAX_SIDE = 2**15  # pixels; a header that says more lies

# What stands before the pixels. Pillow gathers it in quadratic time: these take a second.
MAX_HEADER_PARTS = 1024
MAX_HEADER_BYTES = 2**23
MAX_CHUNKS = 2**16  # of a PNG in all, and blocks and frames of a GIF
MAX_SCANS = 64  # of a progressive JPEG, each of which is a look at all its pixels
MAX_COMMENTS = 2**16  # of a PNM, among pixels that are written as text
MAX_PAGES = 2**16  # of a TIFF
MAX_TAGS = 1024  # of a page of it
MAX_VALUES = 2**17  # of a tag that is not made of bytes, so also of strips or tiles

# A picture of more pixels is decoded while no other such one is: each may take 1 GB.
LARGE_PIXELS = 2**23
_ONE_LARGE = threading.RLock()

_NOWHERE = Entry("", 0, bytes)


class BrokenPictureError(Exception):
    """A file cannot be decoded; the message says why."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A file whose header is read, and whose pixels can be: one picture, or several pages."""

    shape: Size  # as it is shown, that is after EXIF rotation
    depth: np.dtype[Any]
    in_colour: bool  # by its header: all colours may still be greys
    # the number of a page, whether grey is enough, and maybe a function that says of a height
    # and width how many pixels are -> its pixels, (h, w) or (h, w, 3), at its own depth
    decode: Callable[[int, bool, Callable[[Size], Size] | None], Pixels]
    n_pages: int = 1  # more for animations and TIFFs of several pages
    has_white: bool = False  # the file declares it, so that it is at that of its depth
    entry: Entry = _NOWHERE  # the file
    content: bytes = b""  # all of it, if that was to be kept


def check_size(shape: Sequence[int]) -> None:
    """Refuse a picture of a height and width that no face has."""
    from PIL import Image

    height, width = shape[:2]
    size, limit = f"{width} x {height} pixels", Image.MAX_IMAGE_PIXELS
    # Pillow only warns up to twice its limit
    if limit is not None and width * height > limit:
        raise BrokenPictureError(f"decompression bomb: {size}, more than {limit}")
    if not 1 <= min(height, width) <= max(height, width) <= MAX_SIDE:
        raise BrokenPictureError(f"{size}: no face is that large or small")


def in_turn(shape: Sequence[int]) -> AbstractContextManager[object]:
    """Let large pictures pass one at a time, whatever the number of threads."""
    return _ONE_LARGE if shape[0] * shape[1] > LARGE_PIXELS else nullcontext()


def oriented(pixels: Pixels, orientation: int) -> Pixels:
    """Turn pixels upright that lie as EXIF numbers it."""
    if orientation > 4:
        pixels = np.swapaxes(pixels, 0, 1)
        orientation -= 4
    if orientation in {2, 3}:
        pixels = pixels[:, ::-1]
    return pixels[::-1] if orientation in {3, 4} else pixels


# TIFF is decoded by tifffile, and by Pillow where that lacks the decompressor.

_OTHER_PAGES = 1 | 4  # reduced pictures (thumbnails) and masks
_GREY_OR_RGB = {0, 1, 2}  # what tifffile reads right without further packages


@dataclass(frozen=True)
class _Page:
    """What the tags of a page tell."""

    place: int  # among the pages of the file
    shape: Size  # as it is stored
    bits: int  # of a value
    depth: np.dtype[Any]
    photometric: int  # 0: white is 0, 1: black is 0, 2: RGB; others as in TIFF
    in_colour: bool
    orientation: int  # how it lies, as EXIF numbers it


def describe_tiff(content: bytes) -> Picture:
    """Read the tags of all pages that are pictures."""
    import tifffile

    n_pages = _count_pages(content)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        own: Any = enumerate(islice(file.pages, n_pages))
        pages = [_page(i, page) for i, page in own if not page.subfiletype & _OTHER_PAGES]
        if len(pages) == 1 and (file.imagej_metadata or {}).get("images", 1) != 1:
            raise ValueError("a stack of ImageJ without pages: save it with all its pages")
    if not pages:
        raise ValueError("it has no page that is a picture")
    for each in pages:
        check_size(each.shape)
    page = pages[0]

    def decode(place: int, *_: object) -> Pixels:
        with in_turn(pages[place].shape):
            return oriented(_tiff_pixels(content, pages[place]), pages[place].orientation)

    shape = page.shape[::-1] if page.orientation > 4 else page.shape
    depth = max((each.depth for each in pages), key=DEPTHS.index)
    has_white = all(each.bits < 16 for each in pages)
    return Picture(shape, depth, page.in_colour, decode, len(pages), has_white)


def _page(place: int, page: Any) -> _Page:
    if not isinstance(page.bitspersample, int) or page.imagedepth > 1:
        raise ValueError("a kind of TIFF that is not read: convert it to PNG")
    photometric, kind = int(page.photometric), int(page.sampleformat or 1)
    n_colours = page.samplesperpixel - len(page.extrasamples)
    if photometric in _GREY_OR_RGB and n_colours != (3 if photometric == 2 else 1):
        raise ValueError(f"it has {page.samplesperpixel} channels: save each as a picture")
    if kind not in {1, 2, 3, 4}:
        raise ValueError("its pixels are complex numbers")
    tag = page.tags.get(274)
    orientation = int(tag.value) if tag is not None and tag.value in range(1, 9) else 1
    shape = (int(page.imagelength), int(page.imagewidth))
    has_greys = photometric == 3 and page.colormap is not None
    in_colour = photometric > 1 and not (has_greys and not np.ptp(page.colormap, 0).any())
    bits, depth = page.bitspersample, FLOAT
    if kind in {1, 4} and bits <= 16:
        depth = BYTE if bits <= 8 else WORD
    return _Page(place, shape, bits, depth, photometric, in_colour, orientation)


def _count_pages(content: bytes) -> int:
    """Count the pages, and refuse a file that would take long only because of its tags."""
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in {b"+\0", b"\0+"}
    codes = ("Q", "Q", "HHQ8x") if big else ("I", "H", "HHI4x")
    offset, count, tag = (struct.Struct(order + code) for code in codes)
    seen: set[int] = set()
    n_tags = 0
    [place] = offset.unpack_from(content, 8 if big else 4)
    with suppress(struct.error):  # cut off: whether that matters is for the decoder to say
        while place and place not in seen:
            if len(seen) >= MAX_PAGES or n_tags > MAX_VALUES:
                raise ValueError(f"it has more than {len(seen)} pages")
            seen.add(place)
            [n] = count.unpack_from(content, place)
            n_tags += n
            if n > MAX_TAGS:
                raise ValueError(f"a page has {n} tags: no face has that many")
            place += count.size
            for _ in range(n):
                number, kind, size = tag.unpack_from(content, place)
                if size > MAX_VALUES and kind not in {1, 2, 6, 7}:
                    raise ValueError(f"tag {number} has {size} values: no face has that many")
                place += tag.size
            [place] = offset.unpack_from(content, place)
    return len(seen)


def _tiff_pixels(content: bytes, page: _Page) -> Pixels:
    """Return the pixels of a page as they lie in it, with white at 255 or 65535 for integers.

    A page that is cut off, or needs a package that is not installed, is a ValueError.
    """
    import tifffile

    if page.photometric not in _GREY_OR_RGB:
        pixels = _by_pillow(content, page)
    else:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            pixels = _stored(content, page, file.pages[page.place])
    if pixels.dtype == bool:
        pixels = pixels.view(np.uint8)
    if page.photometric == 0 and pixels.dtype.kind == "u":
        pixels = np.asarray(2**page.bits - 1, pixels.dtype) - pixels
    if page.depth != FLOAT and page.bits not in {8, 16}:
        pixels = np.rint(pixels * ((255 if page.bits < 8 else 65535) / (2**page.bits - 1)))
    return pixels.astype(page.depth)


def _stored(content: bytes, page: _Page, own: Any) -> Pixels:
    ends = [sum(part) for part in zip(own.dataoffsets, own.databytecounts, strict=False)]
    last = max(ends if own.compression == 1 else own.dataoffsets, default=0)
    if sum(own.databytecounts) < 1 or last > len(content):
        raise ValueError("truncated: some pixels are missing")
    if own.compression == 1 and page.bits not in {1, 8, 16, 32, 64} and not page.in_colour:
        return _packed(content, own, page)
    try:
        pixels: Pixels = own.asarray(maxworkers=1)
    except (KeyError, NotImplementedError, ValueError, RuntimeError) as error:
        if not re.search("imagecodecs|not supported", str(error)):
            raise
        return _by_pillow(content, page)
    if own.samplesperpixel > 1 and int(own.planarconfig) == 2:
        pixels = np.moveaxis(pixels, 0, -1)
    pixels = pixels.reshape(*page.shape, -1)
    return pixels[..., :3] if page.in_colour else pixels[..., 0]


def _packed(content: bytes, own: Any, page: _Page) -> Pixels:
    height, width = page.shape
    if own.is_tiled or own.samplesperpixel > 1 or page.bits > 32:
        raise ValueError(f"{page.bits} bits a value, in a kind of TIFF that is not read")
    strips = zip(own.dataoffsets, own.databytecounts, strict=True)
    data = b"".join(content[start : start + n] for start, n in strips)
    row = (width * page.bits + 7) // 8
    rows = np.frombuffer(data, np.uint8, height * row).reshape(height, row)
    bits = np.unpackbits(rows, axis=1, count=width * page.bits)
    places = 1 << np.arange(page.bits - 1, -1, -1, dtype=np.uint32)
    return bits.reshape(height, width, page.bits) @ places


def _by_pillow(content: bytes, page: _Page) -> Pixels:
    from PIL import Image, TiffImagePlugin  # noqa: F401 - registers the format

    with Image.open(io.BytesIO(content), formats=("TIFF",)) as image:
        image.seek(page.place)
        if page.depth == BYTE:
            if page.orientation != 1:  # Pillow would turn it
                raise ValueError("a compressed TIFF that lies on its side: convert it to PNG")
            pixels = np.asarray(image.convert("RGB" if page.in_colour else "L"))
            return 255 - pixels if page.photometric == 0 else pixels
        is_same = image.mode.startswith("I;16") if page.depth == WORD else image.mode == "F"
        if page.in_colour or not is_same or page.bits not in {16, 32} or page.orientation != 1:
            how = f"its compression ({image.info.get('compression')}) at {page.bits} bits"
            raise ValueError(f"{how} needs imagecodecs: install that, or save it as PNG")
        return np.asarray(image)


# PBM, PGM, PPM and PFM: Pillow would cut 16-bit colours, and takes twice the time.

_PNM_FIELD = rb"(?:\s|#[^\r\n]*[\r\n])+([^\s#]{1,20})(?![^\s#])"


def describe_pnm(content: bytes) -> Picture:  # noqa: C901 - from top to bottom
    """Read the header of a PNM, whose pixels have white at 255 or 65535, or are floats."""
    kind = content[1:2].decode("latin-1")
    fields = _PNM_FIELD * (2 if kind in "14" else 3)
    header = re.match(rb"P." + fields, content[:START_BYTES])
    if header is None:
        raise ValueError("damaged: its header has no end")
    shape = int(header[2]), int(header[1])
    check_size(shape)
    most = 1.0 if kind in "14" else float(header[3])
    stored: np.dtype[Any]
    if kind in "fF":  # its scale, which is negative if they are little-endian
        stored = np.dtype("<f4" if most < 0 else ">f4")
        is_sound = most and np.isfinite(most)
    else:
        stored = np.dtype("u1" if most <= 255 else ">u2")
        is_sound = most.is_integer() and 0 < most < 65536
    if not is_sound:
        raise ValueError(f"damaged: its largest value or scale is {most:g}")
    whole = (*shape, 3) if kind in "36F" else shape
    data, depth = memoryview(content)[header.end() + 1 :], stored.newbyteorder("=")

    def decode(*_: object) -> Pixels:
        if kind in "123":
            values = _written(bytes(data), math.prod(whole), most, digits=kind == "1")
        else:
            row = (shape[1] + 7) // 8 if kind == "4" else math.prod(whole[1:]) * stored.itemsize
            if len(data) < shape[0] * row:
                raise ValueError("truncated: some pixels are missing")
            values = np.frombuffer(data[: shape[0] * row], stored)
            if kind == "4":
                values = np.unpackbits(values.reshape(-1, row), axis=1, count=shape[1])
        pixels: Pixels = values.reshape(whole)
        if depth == FLOAT:  # from the bottom row to the top one
            return pixels[::-1].astype(depth)
        if kind in "14":
            return np.where(pixels, 0, 255).astype(BYTE)
        if most != WHITE[depth]:
            pixels = pixels.clip(0, int(most)) * float(WHITE[depth]) / most + 0.5
        return pixels.astype(depth, copy=False)

    # 65535 is written for want of a better one, too
    has_white = depth != FLOAT and most != 65535
    return Picture(shape, depth, kind in "36F", decode, has_white=has_white)


def _written(text: bytes, n: int, most: float, *, digits: bool) -> Pixels:
    """Return the first numbers of a text, some at a time: other threads want to work, too."""
    if text.count(b"#") > MAX_COMMENTS:
        raise ValueError(f"more than {MAX_COMMENTS} comments: no face has that many")
    text = re.sub(rb"#[^\r\n]*", b"", text)
    found: list[Pixels] = []
    if digits:  # which need no blanks between them
        text = text.translate(None, b" \t\r\n\v\f")[:n]
        found, n, text = [np.frombuffer(text, np.int8) - 48], n - len(text), b""
    for piece in re.finditer(rb"(?s:.{1,65536})\S*", text):
        words = piece[0].split(None, n)[:n]
        if words and (max(map(len, words)) > 5 or not b"".join(words).isdigit()):
            raise ValueError("damaged: a pixel is no number")
        found.append(np.array(words, "S5").astype(np.int32))
        n -= len(words)
    if n:
        raise ValueError("truncated: some pixels are missing")
    values = np.concatenate(found)
    if not 0 <= values.min() <= values.max() <= most:
        raise ValueError("damaged: a pixel is out of range")
    return values


# JPEG, PNG and GIF: what stands before and between the pixels that Pillow decodes.


def check_parts(content: bytes) -> None:
    """Refuse a file that would take long to read only because of its many parts."""
    if content.startswith(b"\xff\xd8"):
        parts, step = _parts_of_jpeg(content), 2**24
        # in pieces: other threads want to work, too
        n = sum(content.count(b"\xff\xda", i, i + step) for i in range(0, len(content), step))
        if n > MAX_SCANS:
            raise BrokenPictureError(f"it has more than {MAX_SCANS} scans: no face has that")
    elif content.startswith(b"\x89PNG"):  # of which Pillow gathers none
        parts = ((12 + len(data), False) for _, data, _ in _chunks_of_png(content))
    elif content.startswith(b"GIF8"):
        parts = _parts_of_gif(content)
    else:
        return
    header = 0
    for total, (size, in_header) in enumerate(parts, 1):
        if in_header:
            header += size
        if total > (MAX_HEADER_PARTS if in_header else MAX_CHUNKS) or header > MAX_HEADER_BYTES:
            most = f"{total - 1} parts or {MAX_HEADER_BYTES >> 20} MiB"
            raise BrokenPictureError(f"more than {most} that are no pixels: no face has that")


# what is no marker, in pieces; fillers; markers without a size; and others but those of scans
_JPEG_PART = re.compile(
    rb"[^\xff]{1,1000000}|\xff(?=\xff)|\xff[\0\1\xd0-\xd9]|\xff(?!\xda).(..)", re.DOTALL
)


def _parts_of_jpeg(content: bytes) -> Iterator[tuple[int, bool]]:
    """Yield the size of each part up to the first scan; Pillow skips some bytes one by one."""
    place = 2
    while part := _JPEG_PART.match(content, place):
        size = part.end() - place if part[1] is None else 2 + int.from_bytes(part[1])
        yield size, True
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


def _chunks_of_png(content: bytes) -> Iterator[tuple[bytes, memoryview, bytes]]:
    place, view = 8, memoryview(content)
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 8 + length
        yield kind, view[place + 8 : end], content[end : end + 4]
        place = end + 4


def png_pixels(content: bytes) -> bytes | memoryview:
    """Return the packed pixels of a PNG, and compare their checksums: Pillow does not."""
    packed: list[memoryview] = []
    for kind, data, checksum in _chunks_of_png(content):
        if kind == b"IDAT":
            packed.append(data)
            if zlib.crc32(data, zlib.crc32(kind)).to_bytes(4) != checksum:
                raise BrokenPictureError("damaged: a checksum of its pixels is wrong")
        elif packed:  # behind the first picture
            break
    # of bytes, and only of them, other threads can work meanwhile
    return packed[0] if len(packed) == 1 else b"".join(map(bytes, packed))


def is_deep_png(content: bytes) -> bool:
    """Tell whether a PNG has 16 bits and more than one channel, which Pillow cuts to 8."""
    return content[:4] == b"\x89PNG" and content[24:25] == b"\x10" and content[25] in {2, 4, 6}
