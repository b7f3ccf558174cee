"""TIFF pictures, read by tifffile; by Pillow where tifffile lacks the decompressor."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.frames import BYTE, FLOAT, WORD

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PAGES = 2**16
MAX_TAGS = 1024  # of a page
MAX_VALUES = 2**17  # of a tag that is not made of bytes, so also of strips or tiles

_OTHER_PAGES = 1 | 4  # reduced pictures (thumbnails) and masks
_GREY_OR_RGB = {0, 1, 2}  # what tifffile reads right without further packages
_FORMATS = {1: "unsigned", 2: "signed", 3: "float", 4: "unsigned"}


@dataclass(frozen=True)
class TiffPage:
    """What the tags of a page tell."""

    place: int  # among the pages of the file, or the pictures of a stack in one page
    shape: tuple[int, int]  # as it is stored
    bits: int  # of a value
    values: str  # unsigned, signed or float
    photometric: int  # 0: white is 0, 1: black is 0, 2: RGB; others as in TIFF
    in_colour: bool
    orientation: int  # how it lies, as EXIF numbers it
    start: int | None = None  # first byte of a picture in a stack of ImageJ in one page

    @property
    def depth(self) -> np.dtype[Any]:
        """The type that holds its pixels."""
        if self.values == "unsigned" and self.bits <= 16:
            return BYTE if self.bits <= 8 else WORD
        return FLOAT


def list_tiff_pages(content: bytes) -> list[TiffPage]:
    """Read the tags of all pages that are pictures, or raise ValueError or TiffFileError."""
    import tifffile

    n_pages = _count_pages(content)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        pages: Any = enumerate(islice(file.pages, n_pages))
        found = [_page(i, page) for i, page in pages if not page.subfiletype & _OTHER_PAGES]
        if not found:
            raise ValueError("it has no page that is a picture")
        metadata = file.imagej_metadata if len(found) == 1 else None
        n = metadata.get("images", 1) if metadata else 1
        first = file.pages.first
        if isinstance(n, int) and n > 1 and first.compression == 1 and found[0].photometric < 2:
            start, step = first.dataoffsets[0], sum(first.databytecounts)
            if step and start + n * step <= len(content) + step:
                page = found[0]
                found = [replace(page, place=i, start=start + i * step) for i in range(n)]
    return found


def _page(place: int, page: Any) -> TiffPage:
    bits = page.bitspersample
    if not isinstance(bits, int) or page.imagedepth > 1:
        raise ValueError("a kind of TIFF that is not read: convert it to PNG")
    photometric = int(page.photometric)
    n_colours = page.samplesperpixel - len(page.extrasamples)
    if photometric in _GREY_OR_RGB and n_colours != (3 if photometric == 2 else 1):
        raise ValueError(
            f"it has {page.samplesperpixel} channels: save each as a picture of its own"
        )
    values = _FORMATS.get(int(page.sampleformat or 1))
    if values is None:
        raise ValueError("its pixels are complex numbers")
    tag = page.tags.get(274)
    orientation = int(tag.value) if tag is not None and tag.value in range(1, 9) else 1
    shape = (int(page.imagelength), int(page.imagewidth))
    has_greys = photometric == 3 and page.colormap is not None
    in_colour = photometric > 1 and not (has_greys and not np.ptp(page.colormap, 0).any())
    return TiffPage(place, shape, bits, values, photometric, in_colour, orientation)


def _count_pages(content: bytes) -> int:
    """Count the pages, and refuse a file that would take long only because of its tags."""
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in {b"+\0", b"\0+"}
    offset_code, count_code, entry_bytes = ("Q", "Q", 20) if big else ("I", "H", 12)
    seen: set[int] = set()
    n_tags = 0

    def number(code: str, place: int) -> int:
        value: int = struct.unpack_from(order + code, content, place)[0]
        return value

    place = number(offset_code, 8 if big else 4)
    while place and place not in seen:
        if len(seen) >= MAX_PAGES or n_tags > MAX_VALUES:
            raise ValueError(f"it has more than {len(seen)} pages")
        seen.add(place)
        try:
            n = number(count_code, place)
            n_tags += n
            if n > MAX_TAGS:
                raise ValueError(f"a page has {n} tags: no face has that many")
            start = place + struct.calcsize(count_code)
            place = start + n * entry_bytes
            for entry in range(start, place, entry_bytes):
                tag, kind = number("H", entry), number("H", entry + 2)
                count = number(offset_code, entry + 4)
                if count > MAX_VALUES and kind not in {1, 2, 6, 7}:
                    raise ValueError(f"tag {tag} has {count} values: no face has that many")
            place = number(offset_code, place)
        except struct.error:  # cut off: whether that matters is for the decoder to say
            break
    return len(seen)


def read_tiff_page(content: bytes, page: TiffPage) -> NDArray[Any]:
    """Return the pixels of a page as they are stored, (h, w) or (h, w, 3).

    They are of the type `page.depth`, and white is at 255 or 65535 for integers. A page that
    is cut off, or needs a package that is not installed, is a ValueError.
    """
    pixels = _stored(content, page)
    if page.photometric == 0 and page.values == "unsigned":
        pixels = np.asarray(2**page.bits - 1, pixels.dtype) - pixels
    if page.depth != FLOAT and page.bits not in {8, 16}:
        pixels = np.rint(pixels * ((255 if page.bits < 8 else 65535) / (2**page.bits - 1)))
    return pixels.astype(page.depth)


def _stored(content: bytes, page: TiffPage) -> NDArray[Any]:
    import tifffile

    if page.photometric not in _GREY_OR_RGB:
        return _by_pillow(content, page)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        own: Any = file.pages[page.place if page.start is None else 0]
        if page.start is not None:
            count = page.shape[0] * page.shape[1]
            dtype = np.dtype(own.dtype).newbyteorder(file.byteorder)
            return np.frombuffer(content, dtype, count, page.start).reshape(page.shape)
        ends = [sum(part) for part in zip(own.dataoffsets, own.databytecounts, strict=False)]
        last = max(ends if own.compression == 1 else own.dataoffsets, default=0)
        if sum(own.databytecounts) < 1 or last > len(content):
            raise ValueError("truncated: some pixels are missing")
        if own.compression == 1 and page.bits not in {1, 8, 16, 32, 64} and not page.in_colour:
            return _packed(content, own, page)
        try:
            pixels: NDArray[Any] = own.asarray(maxworkers=1)
        except (KeyError, NotImplementedError, ValueError, RuntimeError) as error:
            if not re.search("imagecodecs|not supported", str(error)):
                raise
            return _by_pillow(content, page)
        if own.samplesperpixel > 1 and int(own.planarconfig) == 2:
            pixels = np.moveaxis(pixels, 0, -1)
    pixels = pixels.reshape(*page.shape, -1)
    return pixels[..., :3] if page.in_colour else pixels[..., 0]


def _packed(content: bytes, own: Any, page: TiffPage) -> NDArray[Any]:
    """Return values of any number of bits, of which each row begins with a byte."""
    height, width = page.shape
    if own.is_tiled or own.samplesperpixel > 1 or page.bits > 32:
        raise ValueError(f"{page.bits} bits a value, in a kind of TIFF that is not read")
    strips = zip(own.dataoffsets, own.databytecounts, strict=True)
    data = b"".join(content[start : start + n] for start, n in strips)
    row = (width * page.bits + 7) // 8
    rows = np.frombuffer(data, np.uint8, height * row).reshape(height, row)
    bits = np.unpackbits(rows, axis=1)[:, : width * page.bits]
    places = 1 << np.arange(page.bits - 1, -1, -1, dtype=np.uint32)
    return bits.reshape(height, width, page.bits) @ places


def _by_pillow(content: bytes, page: TiffPage) -> NDArray[Any]:
    """Decode with Pillow what it decodes right."""
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
            raise ValueError(
                f"its compression ({image.info.get('compression')}) at {page.bits} bits needs "
                "the package imagecodecs: install it, or save the picture as PNG"
            )
        return np.asarray(image)
