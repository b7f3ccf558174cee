"""From the bytes of pictures to pixels of one size, depth and colours, now or later."""

from __future__ import annotations

import io
import math
import pickle
import subprocess
import sys
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from napari_latent_faces.files import in_words, unpacked
from napari_latent_faces.reading import formats, naming
from napari_latent_faces.reading.formats import BYTE, FLOAT, WORD, BrokenPictureError, Picture
from napari_latent_faces.stack import LazyStack, crop, luminance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

    from napari_latent_faces.params import Channel, Resize
    from napari_latent_faces.reading.naming import Entry

    Pixels = NDArray[Any]
    Size = tuple[int, int]

_CHANNELS = ("red", "green", "blue")

# A picture of more pixels or bytes is decoded in a process of its own: Pillow and tifffile let
# no other thread work while they make room for one, so that nobody could leave it.
APART_PIXELS = 2**25
APART_BYTES = 2**26


class NotAPictureError(BrokenPictureError):
    """A file is no picture, by its name and its content."""


class BrokenFaceWarning(UserWarning):
    """A picture of a lazy stack cannot be decoded and is shown black."""


@dataclass(frozen=True)
class Frame:
    """What every picture of a stack is brought to."""

    shape: tuple[int, int]  # height and width
    depth: np.dtype[Any]  # uint8, uint16 or float32
    channel: Channel = "luminance"  # of a colour picture, where the stack is grey
    resize: Resize = "crop"  # of pictures of other sizes; "error" acts like "crop" here
    # whether a JPEG may be decoded at a half, a quarter or an eighth of its size, where that
    # is at least one and a half times what is needed
    reduce: bool = False
    colour: bool = False  # of the stack
    among_integers: bool = False  # floats are beside others, so that their white must be 1

    @property
    def picture_shape(self) -> tuple[int, ...]:
        """Shape of a picture: (h, w) in grey, (h, w, 3) in colour."""
        return (*self.shape, 3) if self.colour else self.shape

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

    def take(self, pixels: Pixels) -> Pixels:
        """Bring pixels of shape (h, w) or (h, w, 3) to the frame's size, colours and type.

        White stays white: 8-bit values are times 257 in a 16-bit stack, and integers are
        divided by their white in a stack of floats. A deeper type is a ValueError.
        """
        if pixels.ndim == 3 and not self.colour:
            grey = self.channel not in _CHANNELS
            pixels = luminance(pixels) if grey else pixels[:, :, _CHANNELS.index(self.channel)]
        if pixels.shape[:2] != self.shape:
            pixels = self._fitted(pixels)
        if formats.DEPTHS.index(pixels.dtype) > formats.DEPTHS.index(self.depth):
            raise ValueError("changed while it was being read")
        white: float = formats.WHITE[pixels.dtype]
        if pixels.dtype == FLOAT and self.among_integers:
            largest = float(np.nanmax(pixels, initial=0))
            if 1.001 < largest < np.inf:  # white is the least of 255 and 65535 that holds them
                white = next((white for white in (255, 65535) if largest <= white), largest)
        if self.depth == FLOAT and white != 1:
            pixels = pixels / np.float32(white)
        elif pixels.dtype != self.depth:
            pixels = pixels * np.uint16(257)
        if self.colour and pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        return pixels

    def _fitted(self, pixels: Pixels) -> Pixels:
        """Scale pixels to the frame's size: their middle part, or all of them amid black."""
        from PIL import Image

        most, there = np.array(self.shape), np.array(pixels.shape[:2])
        scales = np.array(self.scales(pixels.shape[:2]))
        h, w = np.clip(np.rint(there * scales).astype(int), 1, most).tolist()
        seen = np.minimum(there, most / scales)
        start = (there - seen) / 2
        box = (*start[::-1], *np.minimum(start + seen, there)[::-1])

        def resize(plane: Pixels) -> Pixels:
            image = Image.fromarray(plane if plane.dtype == BYTE else plane.astype(FLOAT))
            return np.asarray(image.resize((w, h), Image.Resampling.LANCZOS, box))

        if pixels.ndim == 3 and pixels.dtype != BYTE:  # Pillow has one channel of those
            resized = np.stack([resize(plane) for plane in np.moveaxis(pixels, 2, 0)], axis=2)
        else:
            resized = resize(pixels)
        # the filter overshoots at edges, below 0 too
        finite = pixels[np.isfinite(pixels)] if pixels.dtype == FLOAT else pixels
        if finite.size:
            resized = resized.clip(finite.min(), finite.max())
        if pixels.dtype == WORD:
            resized = np.rint(resized)
        fitted = np.zeros((*self.shape, *pixels.shape[2:]), pixels.dtype)
        top, left = (self.shape[0] - h) // 2, (self.shape[1] - w) // 2
        fitted[top : top + h, left : left + w] = resized
        return fitted


def pixels_of(picture: Picture, frame: Frame, page: int = 0) -> Pixels:
    """Return the pixels of a page as those of a stack, or raise `BrokenPictureError`."""
    with _reasons(), formats.in_turn(picture.shape):
        to_grey = not frame.colour and frame.channel == "luminance"
        coarse = frame.coarse if frame.reduce else None
        return frame.take(picture.decode(page, to_grey, coarse))


def open_picture(entry: Entry, *, keep: bool = False) -> Picture:
    """Read a picture's header, from its start where that tells enough, or `keep` all of it."""
    with _reasons():
        head = entry.read(formats.START_BYTES)
        if not entry.certain and not naming.starts_like_picture(head):
            raise NotAPictureError("no picture, by its content")
        # the file may have grown since it was listed
        is_whole = entry.size <= len(head) < formats.START_BYTES
        # JPEG, PNG, PNM and BMP have all that matters but the pixels at their start
        if not is_whole and not keep and head[:1] in {b"\xff", b"\x89", b"P", b"B"}:
            with suppress(Exception):  # else the whole file tells what is wrong, if anything
                picture = replace(_described(head), entry=entry)
                return replace(picture, decode=partial(_decode_again, entry))
        content = head if is_whole else entry.read(naming.MAX_PICTURE_BYTES)
        return replace(_described(content), entry=entry, content=content if keep else b"")


def _decode_again(entry: Entry, *how: Any) -> Pixels:
    return _described(entry.read(naming.MAX_PICTURE_BYTES)).decode(*how)


def _described(content: bytes, *, apart: bool = True) -> Picture:
    """Read a header, of whose file `content` may be only the start."""
    content = unpacked(content, naming.MAX_PICTURE_BYTES) or content
    if content[:1] == b"P" and content[1:2] in b"123456fF":
        return formats.describe_pnm(content)
    is_tiff = content[:2] in {b"II", b"MM"}
    picture = (formats.describe_tiff if is_tiff else _described_by_pillow)(content)
    is_large = math.prod(picture.shape) > APART_PIXELS or len(content) > APART_BYTES
    if apart and is_large and sys.executable and not getattr(sys, "frozen", False):
        return replace(picture, decode=partial(_decode_apart, content))
    return picture


def _decode_apart(content: bytes, *how: Any) -> Pixels:
    """Decode a page in another process."""
    code = f"import sys; sys.path[:] = {sys.path}; import {__name__} as p; p.decode_here()"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code],
        input=pickle.dumps((content, how)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        check=False,
    )
    # our own words, none if it crashed
    answer = pickle.loads(done.stdout) if done.stdout else "its decoder crashed"  # noqa: S301
    if isinstance(answer, str):
        raise BrokenPictureError(answer)
    return np.asarray(answer)


def decode_here() -> None:
    """Read a file, and how to decode it, from stdin; write pixels, or why not."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # looked at already
    content, how = pickle.load(sys.stdin.buffer)  # noqa: S301 - our parent's
    try:
        with _reasons():
            picture = _described(content, apart=False)
            answer: Pixels | str = np.ascontiguousarray(picture.decode(*how))
    except BrokenPictureError as error:
        answer = str(error)
    pickle.dump(answer, sys.stdout.buffer, protocol=5)


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn whatever a decoder raises into a `BrokenPictureError` that says why."""
    try:
        yield
    except BrokenPictureError:
        raise
    except Exception as error:  # a hostile file can make a decoder raise anything
        raise BrokenPictureError(in_words(error)) from error


_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")  # nothing else is ever handed to Pillow
_EXIF_KEYS = frozenset({"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"})


def _open(content: bytes) -> ImageFile:
    from PIL import Image, WebPImagePlugin  # noqa: F401 - the one that Pillow does not load

    image = Image.open(io.BytesIO(content), formats=_FORMATS)
    formats.check_size((image.height, image.width))
    return image


def _described_by_pillow(content: bytes) -> Picture:
    formats.check_parts(content)
    image = _open(content)
    is_animated = image.format in {"GIF", "PNG", "WEBP"}
    n_pages = getattr(image, "n_frames", 1) if is_animated else 1
    is_deep = image.mode.startswith("I") or formats.is_deep_png(content)
    opened = [image]  # for the first page: mostly there is no other

    def decode(page: int, to_grey: bool, coarse: Callable[[Size], Size] | None) -> Pixels:
        image = opened.pop() if opened else _open(content)
        if n_pages > 1:
            opened.append(image)
            image.seek(page)
        orientation = _orientation(image)
        if coarse is not None:  # the JPEG decoder does that part of a reduction
            height, width = image.size if orientation > 4 else image.size[::-1]
            least = coarse((height, width))
            mode = "L" if to_grey and image.mode == "RGB" else None
            image.draft(mode, least if orientation > 4 else least[::-1])
        return formats.oriented(_pixels(image, content, to_grey), orientation)

    shape = image.size if _orientation(image) > 4 else image.size[::-1]
    depth = WORD if is_deep else BYTE
    return Picture(shape, depth, _in_colour(image), decode, n_pages, has_white=not is_deep)


def _pixels(image: ImageFile, content: bytes, to_grey: bool) -> Pixels:
    """Decode all pixels of the present page, or raise."""
    from PIL import ImageFile

    if image.tell() or not image.tile:
        image.load()
        return _converted(image, to_grey)
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        _check_complete(content)
    if image.format != "PNG":
        image.load()
        return _converted(image, to_grey)
    packed, interlace = formats.png_pixels(content), int(bool(image.info.get("interlace")))
    if formats.is_deep_png(content):
        pixels = _deep_pixels(image, packed, interlace)
        last = pixels[-1]
    else:
        image.load()
        # as it is stored: a palette may make white of 0
        last = np.asarray(image.crop((0, image.height - 1, *image.size)))
        pixels = _converted(image, to_grey)
    if interlace or not last.any():
        _check_complete(content)
    return pixels


def _check_complete(content: bytes) -> None:
    """Raise for a picture whose end is missing, although `load` does not say so.

    It does not if other code in this process wants that, and for a PNG whose pixels end early
    in a sound stream: the rest stays black. `Image.frombytes` is as strict as ever.
    """
    from PIL import Image

    image = _open(content)
    config = image.decoderconfig
    if is_png := image.format == "PNG":
        config = (int(bool(image.info.get("interlace"))),)
    data = formats.png_pixels(content) if is_png else content
    for name, extents, offset, options in image.tile:
        if name not in {"gif", "jpeg", "raw", "zip"}:  # others are strict themselves
            continue
        left, top, right, bottom = extents or (0, 0, *image.size)
        part = memoryview(data)[0 if name == "zip" else offset :]
        args = options if isinstance(options, tuple) else (options,)
        ends = set()
        try:
            for fill in (0, 1):
                filled = Image.new(image.mode, (right - left, bottom - top), fill)
                filled.frombytes(part, name, *args, *config)
                # of interlaced ones the last row but one may come last
                ends.add(filled.crop((0, max(0, filled.height - 2), *filled.size)).tobytes())
        except ValueError as error:  # "not enough image data"
            raise BrokenPictureError(f"truncated or damaged: {error}") from error
        if len(ends) > 1:
            raise BrokenPictureError("truncated: its pixels end too early")


def _deep_pixels(image: ImageFile, packed: bytes | memoryview, interlace: int) -> Pixels:
    """Return 16-bit pixels: Pillow unpacks either the high or the low bytes of each."""
    from PIL import Image

    def unpacked_as(mode: str, raw: str) -> NDArray[np.uint16]:
        eight = Image.frombytes(mode, image.size, packed, "zip", raw, interlace)
        return np.asarray(eight).astype(np.uint16)

    if str(image.tile[0][3]).startswith("LA"):
        both = unpacked_as("RGBA", "RGBA")
        return both[:, :, 0] << 8 | both[:, :, 1]
    high, low = (unpacked_as(image.mode, f"{image.mode};16{end}") for end in "BL")
    return (high << 8 | low)[:, :, :3]


def _orientation(image: Image) -> int:
    """Return how a picture lies, from 1 (upright) to 8, as EXIF numbers it."""
    from PIL.Image import Image as PlainImage

    if _EXIF_KEYS.isdisjoint(image.info):
        return 1
    try:
        # not the PNG reader's own, which decodes all pixels to look behind them
        orientation = PlainImage.getexif(image).get(0x0112, 1)
    except Exception:  # noqa: BLE001 - a broken EXIF block does not make a broken picture
        return 1
    return orientation if orientation in range(1, 9) else 1


def _in_colour(image: Image) -> bool:
    if image.mode == "P" and image.palette is not None:
        layout, colours = image.palette.getdata()
        step, place = (1, len(colours) // 3) if layout.endswith(";L") else (len(layout), 1)
        red, green, blue = (colours[i * place :: step] for i in range(3))
        return not (red[: len(blue)] == green[: len(blue)] == blue)
    return image.mode not in {"1", "L", "LA"} and not image.mode.startswith("I")


def _converted(image: Image, to_grey: bool) -> Pixels:
    """Return a picture in grey or RGB; transparency does not count."""
    if not image.mode.startswith("I"):
        image.info.pop("transparency", None)  # Pillow would warn that it is lost
        image = image.convert("RGB" if _in_colour(image) and not to_grey else "L")
    pixels = np.asarray(image)
    return pixels.astype(WORD if pixels.dtype.itemsize > 1 else BYTE, copy=False)


def lazy_images(sources: Sequence[tuple[Entry, int]], frame: Frame) -> Any:
    """Return a dask array of pictures, the pages of files, that are decoded when looked at.

    Each is a block of its own: napari computes whole blocks, on the GUI thread.
    """
    import dask.array

    faces, from_array = _Decoded(sources, frame), cast("Any", dask.array.from_array)
    return from_array(faces, (1, *frame.picture_shape), name=False)


class _OneByOne(LazyStack):
    """Pictures that are made one by one when they are looked at."""

    def _picture(self, face: int) -> Pixels:
        raise NotImplementedError

    def _pick(self, faces: Any, *inner: Any) -> Pixels:
        wanted = np.arange(len(self))[faces]
        pictures = np.empty((*wanted.shape, *self.shape[1:]), self.dtype)
        for at in np.ndindex(wanted.shape):
            pictures[at] = self._picture(int(wanted[at]))
        return np.asarray(crop(pictures, *inner))


class MatchedPictures(_OneByOne):
    """Pictures of any type and size, brought to a frame but for their type."""

    def __init__(self, images: Any, frame: Frame) -> None:
        super().__init__((images.shape[0], *frame.picture_shape), images.dtype)
        depth = self.dtype if self.dtype in formats.DEPTHS else FLOAT
        self.images, self._frame = images, replace(frame, depth=depth)

    def _picture(self, face: int) -> Pixels:
        taken = self._frame.take(np.ascontiguousarray(self.images[face], self._frame.depth))
        is_rounded = self.dtype.kind in "bui" and self.dtype != taken.dtype
        return np.asarray(np.rint(taken)) if is_rounded else taken


class _Decoded(_OneByOne):
    """Pages of files."""

    def __init__(self, sources: Sequence[tuple[Entry, int]], frame: Frame) -> None:
        super().__init__((len(sources), *frame.picture_shape), frame.depth)
        self._sources, self._frame = sources, frame
        self._broken: set[int] = set()

    def _picture(self, face: int) -> Pixels:
        entry, page = self._sources[face]
        try:
            return pixels_of(open_picture(entry), self._frame, page)
        except BrokenPictureError as error:
            if face not in self._broken and len(self._broken) < 2:  # the others are as these
                words = f"cannot be decoded ({error}) and is shown black. Remove it, or open"
                text = (
                    f"{entry.name} {words} the folder with lazy=False to leave out broken ones."
                )
                warnings.warn(text, BrokenFaceWarning, stacklevel=2)
        self._broken.add(face)
        return np.zeros(self.shape[1:], self.dtype)
