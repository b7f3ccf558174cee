"""From the bytes of a picture to pixels."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.frames import BYTE, DEPTHS, FLOAT, WORD
from napari_latent_faces.reading.naming import FORMATS, HEAD_BYTES, starts_like_picture
from napari_latent_faces.reading.pnm import read_pnm, read_pnm_header
from napari_latent_faces.reading.sources import MAX_PICTURE_BYTES, unpacked
from napari_latent_faces.reading.tiff import list_tiff_pages, read_tiff_page
from napari_latent_faces.stack import in_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

    from napari_latent_faces.options import Channel
    from napari_latent_faces.reading.frames import Frame
    from napari_latent_faces.reading.sources import Entry
    from napari_latent_faces.reading.tiff import TiffPage

    Decode = Callable[[Frame, int], NDArray[Any]]

__all__ = ["BrokenPictureError", "NotAPictureError", "Picture", "open_picture"]

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

_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F"})
_CHANNELS = {"red": 0, "green": 1, "blue": 2}

# Modes that Pillow turns into grey or RGB by way of another one only.
_DETOURS = {"La": "LA", "RGBa": "RGBA", "LAB": "RGB"}

_ANIMATED = frozenset({"GIF", "PNG", "WEBP"})
_ORIENTATION = 0x0112  # the EXIF tag
_EXIF_KEYS = frozenset({"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"})


class BrokenPictureError(Exception):
    """A file cannot be decoded; the message says why."""


class NotAPictureError(Exception):
    """A file is no picture, by its name and its content."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A file whose header is read, and whose pixels can be: one picture, or several pages.

    Parameters
    ----------
    shape : (height, width)
        Size in pixels as it is shown, that is after EXIF rotation.
    depth : numpy dtype
        uint8, uint16 or float32.
    in_colour : bool
        Whether it has colours, as far as its header tells: all may still be greys.
    decode : callable
        Takes a frame and the number of a page; returns its pixels at the picture's own
        depth, (h, w) or (h, w, 3).
    n_pages : int
        More than 1 for animations and TIFFs of several pages.
    content : bytes
        All of the file, if that was to be kept.
    has_white : bool
        Whether the file declares which value is white, so that it is at that of its depth.
    """

    shape: tuple[int, int]
    depth: np.dtype[Any]
    in_colour: bool
    decode: Decode
    n_pages: int = 1
    content: bytes = b""
    has_white: bool = False

    def pixels(self, frame: Frame, page: int = 0) -> NDArray[Any]:
        """Return the pixels of a page as those of a stack.

        8-bit values are times 257 in a 16-bit stack, and integers are divided by their
        white (255, 65535) in a stack of floats.

        Raises
        ------
        BrokenPictureError
            If it cannot be decoded.
        """
        with _reasons():
            return frame.take(self.decode(frame, page))


def open_picture(entry: Entry, *, keep: bool = False) -> Picture:
    """Read a picture's header.

    Parameters
    ----------
    entry : Entry
        The file.
    keep : bool, default=False
        Whether to read the whole file now and keep its content. Else only the start is
        read, where that tells enough, and the file is read again for the pixels.

    Raises
    ------
    NotAPictureError
        If neither name nor content are those of a picture.
    BrokenPictureError
        If they are, but it cannot be read.
    """
    with _reasons():
        head = entry.read(START_BYTES)
        if not entry.certain and not starts_like_picture(head[:HEAD_BYTES]):
            raise NotAPictureError
        # the file may have grown since it was listed
        is_whole = len(head) < START_BYTES and len(head) >= entry.size
        if not is_whole and not keep and _header_at_start(head):
            try:
                return _described(head, partial(_decode_again, entry))
            except (BrokenPictureError, MemoryError):
                raise
            except Exception:  # noqa: BLE001, S110 - whatever half a header makes
                pass  # all of it will tell
        content = unpacked(head if is_whole else entry.read(MAX_PICTURE_BYTES))
        return _described(content, kept=content if keep else b"")


def _header_at_start(head: bytes) -> bool:
    """Tell whether all that matters but the pixels stands at the start of the file."""
    return head[:1] in {b"\xff", b"\x89", b"P", b"B"}  # JPEG, PNG, PNM, BMP


def _decode_again(entry: Entry, frame: Frame, page: int) -> NDArray[Any]:
    picture = _described(unpacked(entry.read(MAX_PICTURE_BYTES)))
    return picture.decode(frame, page)


def _described(content: bytes, decode: Decode | None = None, kept: bytes = b"") -> Picture:
    """Read a header; `decode` is given where the content is only the start of the file."""
    if content[:1] == b"P" and content[1:2] in b"123456fF":
        header = read_pnm_header(content)
        _check_size(header.shape)
        own: Decode = partial(_decode_pnm, content)
        # 65535 is written for want of a better one, too
        has_white = header.dtype != FLOAT and header.most != 65535
        return Picture(
            header.shape, header.dtype, header.in_colour, decode or own, 1, kept, has_white
        )
    if content[:2] in {b"II", b"MM"}:
        pages = list_tiff_pages(content)
        first = pages[0]
        for page in pages:
            _check_size(page.shape)
        shape = first.shape[::-1] if first.orientation > 4 else first.shape
        depth = max((page.depth for page in pages), key=DEPTHS.index)
        own = partial(_decode_tiff, content, pages)
        has_white = all(page.bits < 16 for page in pages)
        return Picture(
            shape, depth, first.in_colour, decode or own, len(pages), kept, has_white
        )
    _check_parts(content)
    image = _open(content)
    shape = image.height, image.width
    if (_orientation(image)) > 4:
        shape = shape[::-1]
    depth = WORD if image.mode.startswith("I;16") or _is_deep_png(content) else BYTE
    if image.mode == "I":
        depth = WORD
    n_pages = getattr(image, "n_frames", 1) if image.format in _ANIMATED else 1
    own = _PillowDecoder(image, content, n_pages)
    return Picture(shape, depth, _in_colour(image), decode or own, n_pages, kept, depth == BYTE)


def _check_size(shape: tuple[int, int]) -> None:
    from PIL import Image

    height, width = shape
    limit = Image.MAX_IMAGE_PIXELS
    # Pillow only warns up to twice its limit
    if limit is not None and width * height > limit:
        raise BrokenPictureError(
            f"decompression bomb: {width} x {height} pixels, more than {limit}"
        )
    if min(shape) < 1 or max(shape) > MAX_SIDE:
        raise BrokenPictureError(f"{width} x {height} pixels: no face is that large or small")


@contextmanager
def _in_turn(shape: tuple[int, int]) -> Iterator[None]:
    """Let large pictures pass one at a time, whatever the number of threads."""
    with _large if shape[0] * shape[1] > LARGE_PIXELS else nullcontext():
        yield


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


def _decode_pnm(content: bytes, _frame: Frame, _page: int) -> NDArray[Any]:
    header = read_pnm_header(content)
    with _in_turn(header.shape):
        return read_pnm(content, header)


def _decode_tiff(
    content: bytes, pages: list[TiffPage], _frame: Frame, page: int
) -> NDArray[Any]:
    with _in_turn(pages[page].shape):
        return oriented(read_tiff_page(content, pages[page]), pages[page].orientation)


def oriented(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn pixels upright that lie as EXIF numbers it."""
    if orientation > 4:
        pixels = np.swapaxes(pixels, 0, 1)
        orientation = {5: 1, 6: 2, 7: 3, 8: 4}[orientation]
    if orientation in {2, 3}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4}:
        pixels = pixels[::-1]
    return pixels


# -- What may stand before the pixels --------------------------------------------------


def _check_parts(content: bytes) -> None:
    """Refuse a file that would take long to read only because of its many parts.

    Raises
    ------
    BrokenPictureError
        If it has more parts, or more bytes before its pixels, than any face.
    """
    if content.startswith(b"\xff\xd8"):
        parts = _parts_of_jpeg(content)
        if content.count(b"\xff\xda") > MAX_SCANS:
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
    if len(content) < 13:
        return
    place = 13 + (3 << (content[10] & 7) + 1 if content[10] & 0x80 else 0)
    while place < len(content) and (kind := content[place]) != 0x3B:
        if kind == 0x2C and place + 10 < len(content):
            flags = content[place + 9]
            yield 0, False
            place += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
            while place < len(content) and content[place]:
                place += 1 + content[place]
            place += 1
        elif kind == 0x21:
            is_control = content[place + 1 : place + 2] == b"\xf9"  # one for each picture
            yield 2, not is_control
            place += 2
            while place < len(content) and content[place]:
                yield 1 + content[place], not is_control
                place += 1 + content[place]
            place += 1
        else:
            yield 1, True
            place += 1


# -- What Pillow decodes ---------------------------------------------------------------


class _PillowDecoder:
    """Decodes the pages of a file; the first one that was opened for its header."""

    def __init__(self, image: ImageFile, content: bytes, n_pages: int) -> None:
        self._image: ImageFile | None = image
        self._content = content
        self._n_pages = n_pages

    def __call__(self, frame: Frame, page: int) -> NDArray[Any]:
        image = self._image or _open(self._content)
        # one picture is decoded once mostly, and then takes no more memory
        self._image = image if self._n_pages > 1 else None
        if page or self._n_pages > 1:
            image.seek(page)
        orientation = _orientation(image)
        if frame.reduce:
            _reduce(image, frame, turned=orientation > 4)
        with _in_turn(image.size):
            return oriented(_pixels(image, self._content, frame), orientation)


def _pixels(image: ImageFile, content: bytes, frame: Frame) -> NDArray[Any]:
    """Decode all pixels of the present page, or raise."""
    from PIL import ImageFile

    packed = _png_pixels(content) if image.format == "PNG" and not image.tell() else b""
    if packed and _is_deep_png(content):
        return _deep_pixels(image, packed, grey=content[25] == 4)
    if ImageFile.LOAD_TRUNCATED_IMAGES and not image.tell():
        _check_complete(image, packed or content)
    interlaced = image.info.get("interlace")
    image.load()
    if packed and (interlaced or not np.asarray(image)[-1].any()):
        _check_png_end(image, content, packed)
    if frame.colour and _in_colour(image):
        return np.asarray(_rgb(image))
    grey = np.asarray(_grey(image, frame.channel))
    return grey.astype(WORD if grey.dtype.itemsize > 1 else BYTE, copy=False)


def _check_complete(image: ImageFile, content: bytes) -> None:
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


def _png_pixels(content: bytes) -> bytes:
    """Return the packed pixels of a PNG, and compare their checksums: Pillow does not."""
    place = 8
    packed: list[bytes] = []
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if packed and kind != b"IDAT":  # behind the first picture
            break
        end = place + 8 + length
        if kind == b"IDAT":
            packed.append(content[place + 8 : end])
            if zlib.crc32(packed[-1], zlib.crc32(kind)).to_bytes(4) != content[end : end + 4]:
                raise BrokenPictureError("damaged: a checksum of its pixels is wrong")
        place = end + 4
    return b"".join(packed)


def _check_png_end(image: Image, content: bytes, packed: bytes) -> None:
    """Raise if the pixels end too early, in a stream that is sound in itself.

    Pillow leaves the rest black then, so that only a black last row makes one look.
    """
    bits = content[24] * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[content[25]]
    width, height = image.size
    passes = _INTERLACED if content[28] else ((0, 0, 1, 1),)
    wanted = 0
    for x, y, step_x, step_y in passes:
        columns, rows = -((x - width) // step_x), -((y - height) // step_y)
        if columns > 0 and rows > 0:
            wanted += rows * (1 + (columns * bits + 7) // 8)
    stream = zlib.decompressobj()
    left, found = packed, 0
    while left and found < wanted:
        found += len(stream.decompress(left, 2**20))
        if stream.eof:
            break
        left = stream.unconsumed_tail
    if found < wanted:
        raise BrokenPictureError("truncated: its pixels end too early")


# The first column and row of each pass of an interlaced PNG, and the steps between them.
_INTERLACED = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4)),
    *((1, 0, 2, 2), (0, 1, 1, 2)),
)


def _is_deep_png(content: bytes) -> bool:
    """Tell whether a PNG has 16 bits and more than one channel, which Pillow cuts to 8."""
    return content[:4] == b"\x89PNG" and content[24:25] == b"\x10" and content[25] in {2, 4, 6}


def _deep_pixels(image: ImageFile, packed: bytes, *, grey: bool) -> NDArray[Any]:
    """Return 16-bit pixels: Pillow unpacks either the high or the low bytes of each."""
    from PIL import Image

    interlace = 1 if image.info.get("interlace") else 0

    def unpacked_as(mode: str, raw: str) -> NDArray[Any]:
        return np.asarray(Image.frombytes(mode, image.size, packed, "zip", raw, interlace))

    if grey:
        both = unpacked_as("RGBA", "RGBA").astype(WORD)
        pixels: NDArray[Any] = both[:, :, 0] << 8 | both[:, :, 1]
    else:
        mode = image.mode
        high, low = unpacked_as(mode, f"{mode};16B"), unpacked_as(mode, f"{mode};16L")
        pixels = (high.astype(WORD) << 8 | low)[:, :, :3]
    if not pixels[-1].any():
        with io.BytesIO(packed) as stream:
            if len(zlib.decompress(stream.read())) < pixels.nbytes:
                raise BrokenPictureError("truncated: its pixels end too early")
    return pixels


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
    shape = (image.width, image.height) if turned else (image.height, image.width)
    height, width = frame.coarse(shape)
    wanted = (height, width) if turned else (width, height)
    to_grey = frame.channel == "luminance" and not frame.colour and image.mode == "RGB"
    image.draft("L" if to_grey else None, wanted)


def _grey(image: Image, channel: Channel) -> Image:
    """Return one channel of a picture; transparency does not count."""
    if image.mode in {"L", "I"} or image.mode.startswith("I;16"):
        return image
    image.info.pop("transparency", None)  # Pillow would warn that it is lost
    if image.mode in _DETOURS:
        image = image.convert(_DETOURS[image.mode])
    if channel == "luminance" or image.mode in _GREY_MODES:
        return image.convert("L")
    return image.convert("RGB").getchannel(_CHANNELS[channel])


def _rgb(image: Image) -> Image:
    """Return a picture in colour; transparency does not count."""
    image.info.pop("transparency", None)
    return image.convert(_DETOURS.get(image.mode, image.mode)).convert("RGB")
