"""The size and type that all pictures of a stack are brought to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_latent_faces.reading.options import Channel, Resize

__all__ = ["BYTE", "DEPTHS", "FLOAT", "WORD", "Frame"]

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
