"""The size, depth and colours that all pictures of a stack are brought to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.stack import luminance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_latent_faces.params import Channel, Resize

# From the shallowest to the deepest, with the value that stands for white.
DEPTHS: tuple[np.dtype[Any], ...] = (np.dtype("u1"), np.dtype("u2"), np.dtype("f4"))
BYTE, WORD, FLOAT = DEPTHS
WHITE = {BYTE: 255, WORD: 65535, FLOAT: 1}

CHANNELS = {"red": 0, "green": 1, "blue": 2}


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

    def take(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Bring pixels of shape (h, w) or (h, w, 3) to the frame's size, colours and type.

        White stays white: 8-bit values are times 257 in a 16-bit stack, and integers are
        divided by their white in a stack of floats. A deeper type is a ValueError.
        """
        if pixels.ndim == 3 and not self.colour:
            grey = self.channel not in CHANNELS
            pixels = luminance(pixels) if grey else pixels[:, :, CHANNELS[self.channel]]
        if pixels.shape[:2] != self.shape:
            pixels = self._fitted(pixels)
        if DEPTHS.index(pixels.dtype) > DEPTHS.index(self.depth):
            raise ValueError("changed while it was being read")
        if pixels.dtype == FLOAT and self.among_integers:
            pixels = _whitened(pixels)
        elif pixels.dtype != self.depth and self.depth == FLOAT:
            pixels = pixels / np.float32(WHITE[pixels.dtype])
        elif pixels.dtype != self.depth:
            pixels = pixels * np.uint16(257)
        if self.colour and pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        return pixels

    def _fitted(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Scale pixels to the frame's size: cut, padded or out of shape."""
        height, width = pixels.shape[:2]
        scales = self.scales((height, width))
        if self.resize == "pad":
            h, w = max(1, round(height * scales[0])), max(1, round(width * scales[1]))
            top, left = (self.shape[0] - h) // 2, (self.shape[1] - w) // 2
            padded = np.zeros((*self.shape, *pixels.shape[2:]), pixels.dtype)
            padded[top : top + h, left : left + w] = _resampled(pixels, (h, w), (height, width))
            return padded
        seen = min(height, self.shape[0] / scales[0]), min(width, self.shape[1] / scales[1])
        return _resampled(pixels, self.shape, seen)


def _whitened(pixels: NDArray[Any]) -> NDArray[Any]:
    """Bring floats to a white of 1, that of the least of 1, 255 and 65535 that holds them."""
    largest = float(np.nanmax(pixels, initial=0))
    if not 1.001 < largest < np.inf:
        return pixels
    white = next((white for white in (255, 65535) if largest <= white), largest)
    return pixels / np.float32(white)


def _resampled(
    pixels: NDArray[Any], shape: tuple[int, int], seen: tuple[float, float]
) -> NDArray[Any]:
    """Scale the middle part of height and width `seen` to `shape`."""
    from PIL import Image

    height, width = pixels.shape[:2]
    top, left = (height - seen[0]) / 2, (width - seen[1]) / 2
    box = left, top, min(left + seen[1], width), min(top + seen[0], height)

    def resize(plane: NDArray[Any]) -> NDArray[Any]:
        image = Image.fromarray(plane if plane.dtype == BYTE else plane.astype(FLOAT))
        return np.asarray(image.resize(shape[::-1], Image.Resampling.LANCZOS, box))

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
    return resized.astype(pixels.dtype, copy=False)
