"""What faces are drawn with: soft shapes, smooth noise, surfaces and the light on them.

Everything is drawn for all pictures of one person at once, in float32 arrays of shape
(pictures, height, width). Lengths are in face units: the origin lies between the eyes, x points
right, y down, and the chin is about 1 away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from traits import Takes

Pixels: TypeAlias = NDArray[Any]  # float32, which numpy's types lose in sums with a float
Window: TypeAlias = tuple[slice, slice, slice]

_AMBIENT = 0.3
_POLISH = 4  # how often the highlight is squared to make it small


def step(distance: Pixels, width: Pixels | float) -> Pixels:
    """Return 0 outside and 1 inside a shape, with an edge of `width` around distance 0."""
    t = np.clip(distance / width + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def hill(x: Pixels, width: Pixels | float) -> Pixels:
    """Return a ridge of height 1 along x = 0, which ends at twice its width."""
    across = x / width
    return _bell(across * across)


def bump(x: Pixels, y: Pixels, width: float, height: float) -> Pixels:
    """Return a hill of height 1 around the origin, which ends at twice its size."""
    across, along = x / width, y / height
    return _bell(across * across + along * along)


def _bell(square: Pixels) -> Pixels:
    """Return about ``exp(-square)``, but nothing from 4 on: no part has to be drawn further."""
    t = np.maximum(1 - square / 4, 0)
    t *= t
    return t * t


def between(x: Pixels, power: Pixels | float) -> Pixels:
    """Return `abs(x)` to a power around 2 or 3, without the cost of a logarithm."""
    t = np.abs(x)
    return t * t * (1 + (power - 2) * (t - 1))


def paint(canvas: Pixels, mask: Pixels, value: Pixels | float) -> None:
    """Lay `value` over the canvas where the mask is 1."""
    canvas += mask * (value - canvas)


def darken(canvas: Pixels, mask: Pixels, amount: Pixels | float) -> None:
    """Take away the share `amount` of the canvas where the mask is 1."""
    canvas *= 1 - amount * mask


class Noise:
    """Smooth seeded noise that can be looked up anywhere; it repeats every unit.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the noise.
    """

    _SIZE = 256  # a power of two, so that a bit mask wraps around

    def __init__(self, rng: np.random.Generator) -> None:
        from scipy.ndimage import gaussian_filter

        table = np.zeros((self._SIZE, self._SIZE))
        for sigma, amplitude in ((4.0, 1.0), (1.5, 0.4)):
            octave = gaussian_filter(rng.standard_normal(table.shape), sigma, mode="wrap")
            table += amplitude * octave / octave.std()
        self._table = (table / table.std()).astype(np.float32)

    def __call__(self, u: Pixels, v: Pixels) -> Pixels:
        """Return noise of mean 0 and standard deviation 1 at the positions (u, v)."""
        rows, columns = ((c * self._SIZE).astype(np.int32) & (self._SIZE - 1) for c in (u, v))
        values: Pixels = self._table.ravel().take(rows * self._SIZE + columns)
        return values


@dataclass(frozen=True)
class Frame:
    """Where the pixels of the pictures lie on the person.

    Parameters
    ----------
    flat_x, flat_y : array
        Position in the plane of the head, before it is turned.
    x, y : array
        Position on the turned head, wrapped around it.
    body_x, body_y : array
        Position on the body, which follows the head only half the way.
    pixel : array of shape (pictures, 1, 1)
        Size of a pixel.
    """

    flat_x: Pixels
    flat_y: Pixels
    x: Pixels
    y: Pixels
    body_x: Pixels
    body_y: Pixels
    pixel: Pixels

    def __getitem__(self, window: Window) -> Frame:
        return Frame(
            flat_x=self.flat_x[window],
            flat_y=self.flat_y[window],
            x=self.x[window],
            y=self.y[window],
            body_x=self.body_x[window],
            body_y=self.body_y[window],
            pixel=self.pixel,
        )

    def window(self, left: float, right: float, top: float, bottom: float) -> Window:
        """Return the pixels among which, in every picture, a part of the head lies."""
        inside = (self.x > left) & (self.x < right) & (self.y > top) & (self.y < bottom)
        rows, columns = np.any(inside, axis=(0, 2)), np.any(inside, axis=(0, 1))
        return slice(None), _span(rows), _span(columns)


def _span(touched: NDArray[Any]) -> slice:
    """Return the slice from the first to the last true element."""
    where = np.flatnonzero(touched)
    return slice(int(where[0]), int(where[-1]) + 1) if len(where) else slice(0, 0)


@dataclass(frozen=True)
class Surface:
    """Something that light falls on: its colour (0 to 1), relief and gloss."""

    albedo: Pixels
    relief: Pixels
    gloss: float = 0.0

    def __getitem__(self, window: Window) -> Surface:
        return Surface(self.albedo[window], self.relief[window], self.gloss)

    def lit(self, takes: Takes, frame: Frame) -> Pixels:
        """Return the brightness of the surface in the light of each picture."""
        slope_x, slope_y = _slopes(self.relief, frame.pixel)
        upright = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
        # light comes from in front of the face, from the side light_x and from above
        length = np.sqrt(takes.light_x**2 + takes.light_y**2 + 1)
        toward = 1 - slope_x * takes.light_x + slope_y * takes.light_y
        facing = toward * upright / length
        diffuse = np.clip((facing + 0.25) / 1.25, 0, 1)
        bright: Pixels = self.albedo * (_AMBIENT + (1 - _AMBIENT) * diffuse)
        if self.gloss:
            # halfway between the light and the viewer
            halfway = np.sqrt(takes.light_x**2 + takes.light_y**2 + (1 + length) ** 2)
            mirror = np.clip((toward + length) * upright / halfway, 0, 1)
            for _ in range(_POLISH):
                mirror *= mirror
            bright += self.gloss * mirror
        return bright


def _slopes(relief: Pixels, pixel: Pixels) -> tuple[Pixels, Pixels]:
    """Return how steeply the relief rises to the right and downwards."""
    slope_x, slope_y = np.zeros_like(relief), np.zeros_like(relief)
    slope_x[:, :, 1:-1] = relief[:, :, 2:] - relief[:, :, :-2]
    slope_y[:, 1:-1] = relief[:, 2:] - relief[:, :-2]
    return slope_x / (2 * pixel), slope_y / (2 * pixel)
