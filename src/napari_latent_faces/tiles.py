"""Pictures in rows, and the colours of components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# -- The colours of components: grey, or two of them where pixels can be negative ------

# dark where nothing is left, and told apart by colour-blind people
DIVERGING: dict[str, Any] = {
    "name": "blue-black-orange",
    "colors": [[0.35, 0.7, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.6, 0.1, 1.0]],
}


def component_colours(*, is_signed: bool) -> dict[str, Any]:
    """Return colormap and limits of a layer of components: 0 is black, with less or not."""
    if is_signed:
        return {"colormap": DIVERGING, "contrast_limits": (-1.0, 1.0)}
    return {"colormap": "gray", "contrast_limits": (0.0, 1.0)}


def shown_components(components: NDArray[Any], *, is_signed: bool) -> NDArray[Any]:
    """Return components (k, h, w) or (k, h, w, 3) as they are drawn.

    Signed ones in colour lie around a middle grey, ``0.5 + value / 2``: each channel has a
    sign of its own, so that one colour for more and one for less, as of grey components,
    would hide which. Grey is nothing, a light spot adds light there, a blue one adds blue or
    takes yellow away. All others are drawn as they are.
    """
    if not is_signed or components.ndim == 3:
        return components
    return np.asarray(0.5 + components / 2)


def component_rgb(component: NDArray[Any], *, is_signed: bool) -> NDArray[np.uint8]:
    """Return a component (h, w) or (h, w, 3), pixels up to 1, in the colours of the gallery."""
    if component.ndim == 3:
        shown = shown_components(component[np.newaxis], is_signed=is_signed)[0].clip(0, 1)
    else:
        below, _, above = np.array(DIVERGING["colors"])[:, :3] if is_signed else np.ones((3, 3))
        grey = component[..., None]
        shown = grey.clip(0, 1) * above + (-grey).clip(0, 1) * below
    return np.asarray(np.rint(shown * 255), np.uint8)


# -- Pictures in rows: where they lie, and how one of them is set off from the others --

GAP = 0.04  # between pictures that lie side by side, as a share of their width


@dataclass(frozen=True)
class Tiles:
    """The places of `count` pictures of one size in rows, with narrow gaps between them."""

    count: int
    columns: int
    height: int
    width: int

    @classmethod
    def found_in(cls, shape: tuple[int, ...], pictures: tuple[int, ...]) -> Tiles | None:
        """Return the places of pictures in a montage; None if it is not theirs."""
        k, h, w = pictures[:3]
        step = w + _gap(w)
        columns = (shape[1] + _gap(w)) // step
        tiles = cls(k, max(1, columns), h, w)
        return tiles if (*tiles.shape, *pictures[3:]) == tuple(shape) else None

    @property
    def gap(self) -> int:
        """Pixels between two pictures."""
        return _gap(self.width)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return -(-self.count // self.columns)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the whole."""
        return (
            self.rows * (self.height + self.gap) - self.gap,
            self.columns * (self.width + self.gap) - self.gap,
        )

    def box(self, tile: int) -> tuple[slice, slice]:
        """Return the rows and columns of pixels of a picture."""
        if not 0 <= tile < self.count:
            raise IndexError(f"There is no tile {tile}: there are {self.count}.")
        row, column = divmod(tile, self.columns)
        top, left = row * (self.height + self.gap), column * (self.width + self.gap)
        return slice(top, top + self.height), slice(left, left + self.width)

    def at(self, y: float, x: float) -> int | None:
        """Return which picture the pixel nearest to a point belongs to; None between them."""
        row, below = divmod(round(y), self.height + self.gap)
        column, beside = divmod(round(x), self.width + self.gap)
        is_inside = row >= 0 and 0 <= column < self.columns
        tile = row * self.columns + column
        if is_inside and tile < self.count and below < self.height and beside < self.width:
            return tile
        return None


def gallery_columns(k: int, span: float) -> int:
    """Return in how many columns k tiles, `span` faces wide, are about as tall as one face."""

    def height(columns: int) -> float:
        return -(-k // columns) * span / columns

    return min(range(max(2, int(span)), k + 2), key=lambda c: abs(height(c) - 1.1), default=2)


def montage(pictures: NDArray[Any], columns: int, fill: float = 0) -> NDArray[Any]:
    """Return pictures (k, h, w) or (k, h, w, 3) in rows, with gaps of `fill` between them."""
    tiles = Tiles(len(pictures), columns, *pictures.shape[1:3])
    canvas = np.full((*tiles.shape, *pictures.shape[3:]), fill, pictures.dtype)
    for i, picture in enumerate(pictures):
        canvas[tiles.box(i)] = picture
    return canvas


_LINE = 11  # pixels of a line of numbers at least
_LOWEST = 44  # pixels of a picture that a number is legible under


def numbered(pictures: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    """Return pictures with their numbers, counted from 0, in a line below each.

    Small ones are enlarged by a whole number, so that the numbers can be read; `low` and `high`
    are what is shown black and white.
    """
    from PIL import Image, ImageDraw, ImageFont

    zoom = -(-_LOWEST // min(pictures.shape[1:3]))
    pictures = pictures.repeat(zoom, axis=1).repeat(zoom, axis=2)
    m, _, w = pictures.shape[:3]
    height = max(_LINE, round(0.15 * pictures.shape[1]))
    font = ImageFont.load_default(height)
    lines = np.empty((m, height + 2, w), np.float32)
    for i, line in enumerate(lines):
        drawn = Image.new("L", (w, height + 2))
        ImageDraw.Draw(drawn).text((w / 2, 0), str(i), 255, font, anchor="ma")
        line[:] = low + (high - low) / 255 * np.asarray(drawn, np.float32)
    if pictures.ndim == 4:
        lines = np.repeat(lines[..., None], 3, axis=-1)
    return np.concatenate([pictures, lines.astype(pictures.dtype)], axis=1)


def paint_tile(
    place: NDArray[Any],
    picture: NDArray[Any],
    *,
    level: float = 1.0,
    frame: float | None = None,
    is_chosen: bool = False,
) -> None:
    """Draw a picture with maximum 1, times `level`, into its place (h, w) in a montage.

    A `frame` of some brightness runs along its edge; a white line around it tells the chosen
    one from all others.
    """
    place[:] = picture * picture.dtype.type(level)
    line = _gap(place.shape[1])
    inside = place
    if is_chosen:
        _frame(inside, line, 1.0)
        _frame(inside[line:-line, line:-line], line, 0.0)
        inside = inside[2 * line : -2 * line, 2 * line : -2 * line]
    if frame is not None:
        _frame(inside, line, frame)


def _frame(place: NDArray[Any], line: int, value: float) -> None:
    place[:line] = place[-line:] = value
    place[:, :line] = place[:, -line:] = value


def _gap(width: int) -> int:
    return max(1, round(width * GAP))
