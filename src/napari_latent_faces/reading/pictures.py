"""From the bytes of a picture to grey pixels."""

from __future__ import annotations

import io
import math
import struct
import threading
import zlib
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.naming import FORMATS, HEAD_BYTES, starts_like_picture
from napari_latent_faces.reading.sources import MAX_PICTURE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

    from napari_latent_faces.options import Channel, Resize
    from napari_latent_faces.reading.sources import Entry

__all__ = [
    "BYTE",
    "DEPTHS",
    "FLOAT",
    "WORD",
    "BrokenPictureError",
    "Frame",
    "Header",
    "NotAPictureError",
    "Opened",
    "decode",
    "decode_opened",
    "open_picture",
    "read_header",
]

# -- From the bytes of a picture to grey pixels of the stack's size and type -----------

HEADER_BYTES = 2**16  # holds most headers, so that large files are not read for them

MAX_SIDE = 2**15  # pixels; a header that says more lies

# A picture of more pixels is decoded while no other such one is: each may take 1 GB.
LARGE_PIXELS = 2**23
_large = threading.Lock()

_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F"})
_CHANNELS = {"red": 0, "green": 1, "blue": 2}

# Modes that Pillow turns into grey or RGB by way of another one only.
_DETOURS = {"La": "LA", "RGBa": "RGBA", "LAB": "RGB"}

_ORIENTATION = 0x0112  # the EXIF tag
_EXIF_KEYS = frozenset({"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"})


class BrokenPictureError(Exception):
    """A file cannot be decoded; the message says why."""


class NotAPictureError(Exception):
    """A file is no picture, by its name and its content."""


@dataclass(frozen=True)
class Header:
    """What a picture's header tells.

    Parameters
    ----------
    shape : (height, width)
        Size in pixels as it is shown, that is after EXIF rotation.
    depth : numpy dtype
        uint8, uint16 or float32.
    in_colour : bool
        Whether it has colours.
    file : Entry
        The file; with its content in memory if that was to be kept.
    """

    shape: tuple[int, int]
    depth: np.dtype[Any]
    in_colour: bool
    file: Entry


@dataclass(frozen=True)
class Opened:
    """A picture whose header is parsed and whose pixels are not decoded yet.

    Parameters
    ----------
    image : PIL.ImageFile.ImageFile
        What Pillow opened.
    content : bytes
        All of its file.
    """

    image: ImageFile
    content: bytes


def read_header(entry: Entry, *, keep: bool = False) -> Header:
    """Read a picture's size, depth and colours from its header, as `open_picture` does."""
    return open_picture(entry, keep=keep)[0]


def open_picture(entry: Entry, *, keep: bool = False) -> tuple[Header, Opened | None]:
    """Read a picture's header, and keep it open where that took all of its file.

    Parameters
    ----------
    entry : Entry
        The file.
    keep : bool, default=False
        Whether to read the whole file and keep it in memory.

    Returns
    -------
    header : Header
        Its size, depth and colours.
    opened : Opened or None
        What `decode_opened` takes, once. None where only a part of the file was looked at.

    Raises
    ------
    NotAPictureError
        If neither name nor content are those of a picture.
    BrokenPictureError
        If they are, but it cannot be read.
    """
    with _reasons():
        if not entry.certain and not starts_like_picture(entry.read(HEAD_BYTES)):
            raise NotAPictureError
        file = entry.in_memory() if keep else entry
        image, content = _open_head(file)
        height, width = image.height, image.width
        shape = (width, height) if _orientation(image) > 4 else (height, width)
        depth = _depth(image)
        header = Header(shape, depth, _in_colour(image), file)
        return header, None if content is None else Opened(image, content)


def decode(entry: Entry, frame: Frame) -> NDArray[Any]:
    """Decode a picture into the grey pixels of a stack.

    Parameters
    ----------
    entry : Entry
        The file.
    frame : Frame
        Size, depth and channel of the stack.

    Returns
    -------
    array of shape (height, width)
        8-bit values times 257 in a 16-bit stack; integers over their white (255, 65535)
        in a float stack.

    Raises
    ------
    BrokenPictureError
        If the picture cannot be decoded.
    """
    with _reasons():
        content = entry.read(MAX_PICTURE_BYTES)
        opened = Opened(_open(content), content)
    return decode_opened(opened, frame)


def decode_opened(opened: Opened, frame: Frame) -> NDArray[Any]:
    """Decode a picture like `decode`, without opening it again.

    Parameters
    ----------
    opened : Opened
        The picture; not to be used again.
    frame : Frame
        Size, depth and channel of the stack.

    Raises
    ------
    BrokenPictureError
        If the picture cannot be decoded.
    """
    image = opened.image
    with _reasons():
        orientation, depth = _orientation(image), _depth(image)
        if frame.reduce:
            _reduce(image, frame, turned=orientation > 4)
        with _in_turn(image):
            _load(image, opened.content)
            grey = np.asarray(_grey(image, frame.channel))
            return frame.take(_oriented(grey.astype(depth, copy=False), orientation))


@contextmanager
def _in_turn(image: Image) -> Iterator[None]:
    """Let large pictures pass one at a time, whatever the number of threads."""
    with _large if image.width * image.height > LARGE_PIXELS else nullcontext():
        yield


def _load(image: ImageFile, content: bytes) -> None:
    """Decode all pixels, or raise."""
    from PIL import ImageFile

    pixels = _png_pixels(content) if image.format == "PNG" else content
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        _check_complete(image, pixels)
    image.load()


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
    """Return the packed pixels of a PNG, and compare their checksums: Pillow does not.

    A zlib stream has one of its own, but at an end that may be missing.
    """
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
    return " ".join(str(words).split())[:200]


@cache
def _formats() -> tuple[str, ...]:
    """Load the decoders of the allowed formats, and no others."""
    from PIL import (
        BmpImagePlugin,  # noqa: F401
        GifImagePlugin,  # noqa: F401
        Image,
        JpegImagePlugin,  # noqa: F401
        PngImagePlugin,  # noqa: F401
        PpmImagePlugin,  # noqa: F401
        TiffImagePlugin,  # noqa: F401
        WebPImagePlugin,  # noqa: F401
    )

    return tuple(name for name in FORMATS if name in Image.OPEN)


def _open(content: bytes) -> ImageFile:
    from PIL import Image

    image = Image.open(io.BytesIO(content), formats=_formats())
    if min(image.size) < 1 or max(image.size) > MAX_SIDE:
        raise BrokenPictureError(
            f"{image.width} x {image.height} pixels: no face is that large or small"
        )
    limit = Image.MAX_IMAGE_PIXELS
    # Pillow only warns up to twice its limit
    if limit is not None and image.width * image.height > limit:
        raise BrokenPictureError(
            f"decompression bomb: {image.width} x {image.height} pixels, more than {limit}"
        )
    return image


def _open_head(entry: Entry) -> tuple[ImageFile, bytes | None]:
    """Open a picture from the first part of its file, or from all of it where that fails.

    The content is returned where it is certain that it is all of the file.
    """
    head = entry.read(HEADER_BYTES)
    if len(head) >= entry.size:
        # the file may have grown since it was listed
        return _open(head), head if len(head) < HEADER_BYTES else None
    if head[:2] in {b"II", b"MM"} or head[:4] == b"RIFF":  # TIFF, WebP: tables at the end
        return _open_whole(entry)
    try:
        return _open(head), None
    except BrokenPictureError:
        raise
    except Exception:  # noqa: BLE001 - whatever a decoder makes of half a header
        return _open_whole(entry)


def _open_whole(entry: Entry) -> tuple[ImageFile, bytes]:
    content = entry.read(MAX_PICTURE_BYTES)
    return _open(content), content


def _orientation(image: Image) -> int:
    """Return how a picture lies, from 1 (upright) to 8, as EXIF numbers it."""
    from PIL.Image import Image as PlainImage

    if image.format == "TIFF":  # Pillow turns these itself
        return 1
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


def _depth(image: Image) -> np.dtype[Any]:
    """Return the type that holds a picture's pixels without loss.

    Pillow's 32-bit mode is a 16-bit picture in PNM and older PNG readers; in a TIFF it
    becomes float32, as signed and 32-bit integers have no white.
    """
    if image.mode.startswith("I;16"):
        return WORD
    if image.mode == "I":
        return FLOAT if image.format == "TIFF" else WORD
    return FLOAT if image.mode == "F" else BYTE


def _reduce(image: ImageFile, frame: Frame, *, turned: bool) -> None:
    """Let the JPEG decoder do the coarse part of a reduction."""
    shape = (image.width, image.height) if turned else (image.height, image.width)
    height, width = frame.coarse(shape)
    wanted = (height, width) if turned else (width, height)
    mode = "L" if frame.channel == "luminance" and image.mode == "RGB" else None
    image.draft(mode, wanted)


def _grey(image: Image, channel: Channel) -> Image:
    """Return one channel of a picture; transparency does not count."""
    if image.mode in {"L", "I", "F"} or image.mode.startswith("I;16"):
        return image
    image.info.pop("transparency", None)  # Pillow would warn that it is lost
    if image.mode in _DETOURS:
        image = image.convert(_DETOURS[image.mode])
    if channel == "luminance" or image.mode in _GREY_MODES:
        return image.convert("L")
    return image.convert("RGB").getchannel(_CHANNELS[channel])


def _oriented(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn pixels upright that lie as EXIF numbers it."""
    if orientation > 4:
        pixels = pixels.T
        orientation = {5: 1, 6: 2, 7: 3, 8: 4}[orientation]
    if orientation in {2, 3}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4}:
        pixels = pixels[::-1]
    return pixels


# -- The size and type that all pictures of a stack are brought to ---------------------

# From the shallowest to the deepest, with the value that stands for white.
WHITE: dict[np.dtype[Any], int] = {
    np.dtype("u1"): 255,
    np.dtype("u2"): 65535,
    np.dtype("f4"): 1,
}
DEPTHS: tuple[np.dtype[Any], ...] = tuple(WHITE)
BYTE, WORD, FLOAT = DEPTHS


@dataclass(frozen=True)
class Frame:
    """What every picture of a stack is brought to.

    Parameters
    ----------
    shape : (height, width)
        In pixels.
    depth : numpy dtype
        uint8, uint16 or float32.
    channel : {"luminance", "red", "green", "blue"}
        What is taken of a colour picture.
    resize : {"crop", "pad", "stretch", "error"}
        How a picture of another size is made to fit; "error" acts like "crop" here.
    reduce : bool
        Whether a JPEG may be decoded at a half, a quarter or an eighth of its size,
        where that is at least one and a half times what is needed.
    """

    shape: tuple[int, int]
    depth: np.dtype[Any]
    channel: Channel = "luminance"
    resize: Resize = "crop"
    reduce: bool = False

    def scales(self, shape: tuple[int, int]) -> tuple[float, float]:
        """Return by what the height and width of a picture are multiplied."""
        ratios = self.shape[0] / shape[0], self.shape[1] / shape[1]
        if self.resize == "stretch":
            return ratios
        scale = min(ratios) if self.resize == "pad" else max(ratios)
        return scale, scale

    def coarse(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width at which a picture has all the detail needed."""
        scales = self.scales(shape)
        return math.ceil(1.5 * scales[0] * shape[0]), math.ceil(1.5 * scales[1] * shape[1])

    def take(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Bring grey pixels to the frame's size and type.

        Raises
        ------
        ValueError
            If the frame's type is shallower than that of the pixels.
        """
        if pixels.shape != self.shape:
            pixels = _fitted(pixels, self)
        return _deepened(pixels, self.depth)


def _fitted(pixels: NDArray[Any], frame: Frame) -> NDArray[Any]:
    """Scale pixels to the frame's size: cut, padded or out of shape."""
    height, width = pixels.shape
    scales = frame.scales((height, width))
    if frame.resize == "pad":
        inner = max(1, round(height * scales[0])), max(1, round(width * scales[1]))
        top, left = (
            (whole - part) // 2 for whole, part in zip(frame.shape, inner, strict=True)
        )
        padded = np.zeros(frame.shape, pixels.dtype)
        padded[top : top + inner[0], left : left + inner[1]] = _resampled(pixels, inner)
        return padded
    if frame.resize == "stretch":
        return _resampled(pixels, frame.shape)
    seen = min(height, frame.shape[0] / scales[0]), min(width, frame.shape[1] / scales[1])
    return _resampled(pixels, frame.shape, seen)


def _resampled(
    pixels: NDArray[Any], shape: tuple[int, int], seen: tuple[float, float] | None = None
) -> NDArray[Any]:
    """Scale the middle part of height and width `seen`, or all, to `shape`."""
    from PIL import Image

    height, width = pixels.shape
    part_height, part_width = seen or pixels.shape
    top, left = (height - part_height) / 2, (width - part_width) / 2
    box = left, top, min(left + part_width, width), min(top + part_height, height)
    image = Image.fromarray(pixels if pixels.dtype == BYTE else pixels.astype(FLOAT))
    resized = np.asarray(image.resize(shape[::-1], Image.Resampling.LANCZOS, box))
    return _settled(resized, pixels)


def _settled(resized: NDArray[Any], pixels: NDArray[Any]) -> NDArray[Any]:
    """Bring resampled pixels back to the range and type of those they come from.

    The filter overshoots at edges, below 0 too.
    """
    finite = pixels[np.isfinite(pixels)]
    if finite.size:
        resized = resized.clip(finite.min(), finite.max())
    if pixels.dtype == WORD:
        resized = np.rint(resized)
    return resized.astype(pixels.dtype, copy=False)


def _deepened(pixels: NDArray[Any], depth: np.dtype[Any]) -> NDArray[Any]:
    """Bring pixels to a deeper type, white to white."""
    if pixels.dtype == depth:
        return pixels
    if DEPTHS.index(pixels.dtype) > DEPTHS.index(depth):
        raise ValueError("changed while it was being read")
    if depth == FLOAT:
        return pixels / np.float32(WHITE[pixels.dtype])
    return pixels * np.uint16(WHITE[depth] // WHITE[pixels.dtype])
