"""The size, depth and colours that all pictures of a stack are brought to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.stack import luminance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_latent_faces.options import Channel, Resize

__all__ = ["BYTE", "DEPTHS", "FLOAT", "WHITE", "WORD", "Frame"]

# From the shallowest to the deepest, with the value that stands for white.
WHITE: dict[np.dtype[Any], int] = {
    np.dtype("u1"): 255,
    np.dtype("u2"): 65535,
    np.dtype("f4"): 1,
}
DEPTHS: tuple[np.dtype[Any], ...] = tuple(WHITE)
BYTE, WORD, FLOAT = DEPTHS

_CHANNELS = {"red": 0, "green": 1, "blue": 2}


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
        What is taken of a colour picture, where the stack is grey.
    resize : {"crop", "pad", "stretch", "error"}
        How a picture of another size is made to fit; "error" acts like "crop" here.
    reduce : bool
        Whether a JPEG may be decoded at a half, a quarter or an eighth of its size,
        where that is at least one and a half times what is needed.
    colour : bool
        Whether the stack is in colour.
    among_integers : bool
        Whether pictures of floats are beside others, so that their white must be 1.
    """

    shape: tuple[int, int]
    depth: np.dtype[Any]
    channel: Channel = "luminance"
    resize: Resize = "crop"
    reduce: bool = False
    colour: bool = False
    among_integers: bool = False

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

        Raises
        ------
        ValueError
            If the frame's type is shallower than that of the pixels.
        """
        if pixels.ndim == 3 and not self.colour:
            pixels = self._grey(pixels)
        if pixels.shape[:2] != self.shape:
            pixels = self._fitted(pixels)
        pixels = self._deepened(pixels)
        if self.colour and pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        return pixels

    def _grey(self, pixels: NDArray[Any]) -> NDArray[Any]:
        if self.channel in _CHANNELS:
            one: NDArray[Any] = pixels[:, :, _CHANNELS[self.channel]]
            return one
        return luminance(pixels)

    def _fitted(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Scale pixels to the frame's size: cut, padded or out of shape."""
        height, width = pixels.shape[:2]
        scales = self.scales((height, width))
        if self.resize == "pad":
            inner = max(1, round(height * scales[0])), max(1, round(width * scales[1]))
            top, left = (
                (whole - part) // 2 for whole, part in zip(self.shape, inner, strict=True)
            )
            padded = np.zeros((*self.shape, *pixels.shape[2:]), pixels.dtype)
            padded[top : top + inner[0], left : left + inner[1]] = _resampled(pixels, inner)
            return padded
        if self.resize == "stretch":
            return _resampled(pixels, self.shape)
        seen = min(height, self.shape[0] / scales[0]), min(width, self.shape[1] / scales[1])
        return _resampled(pixels, self.shape, seen)

    def _deepened(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Bring pixels to a deeper type, white to white."""
        if pixels.dtype == self.depth:
            return _whitened(pixels) if self.among_integers and self.depth == FLOAT else pixels
        if DEPTHS.index(pixels.dtype) > DEPTHS.index(self.depth):
            raise ValueError("changed while it was being read")
        if self.depth == FLOAT:
            return pixels / np.float32(WHITE[pixels.dtype])
        return pixels * np.uint16(WHITE[self.depth] // WHITE[pixels.dtype])


def _whitened(pixels: NDArray[Any]) -> NDArray[Any]:
    """Bring floats to a white of 1, that of the least of 1, 255 and 65535 that holds them."""
    largest = float(np.nanmax(pixels, initial=0))
    if not 1.001 < largest < np.inf:
        return pixels
    white = next((white for white in (255, 65535) if largest <= white), largest)
    return pixels / np.float32(white)


def _resampled(
    pixels: NDArray[Any], shape: tuple[int, int], seen: tuple[float, float] | None = None
) -> NDArray[Any]:
    """Scale the middle part of height and width `seen`, or all, to `shape`."""
    from PIL import Image

    height, width = pixels.shape[:2]
    part_height, part_width = seen or (height, width)
    top, left = (height - part_height) / 2, (width - part_width) / 2
    box = left, top, min(left + part_width, width), min(top + part_height, height)

    def resize(plane: NDArray[Any]) -> NDArray[Any]:
        image = Image.fromarray(plane if plane.dtype == BYTE else plane.astype(FLOAT))
        return np.asarray(image.resize(shape[::-1], Image.Resampling.LANCZOS, box))

    if pixels.ndim == 3 and pixels.dtype != BYTE:  # Pillow has one channel of those
        resized = np.stack([resize(plane) for plane in np.moveaxis(pixels, 2, 0)], axis=2)
    else:
        resized = resize(pixels)
    # the filter overshoots at edges, below 0 too
    finite = pixels[np.isfinite(pixels)]
    if finite.size:
        resized = resized.clip(finite.min(), finite.max())
    if pixels.dtype == WORD:
        resized = np.rint(resized)
    return resized.astype(pixels.dtype, copy=False)
