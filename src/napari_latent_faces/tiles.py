"""How pictures are drawn: in which colours, how small, in rows, and beside one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# dark where nothing is left, and told apart by colour-blind people
DIVERGING: dict[str, Any] = {
    "name": "blue-black-orange",
    "colors": [[0.35, 0.7, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.6, 0.1, 1.0]],
}


def component_colours(*, is_signed: bool) -> dict[str, Any]:
    """Return colormap and limits of a layer of components: 0 is black, with less or not."""
    colormap = DIVERGING if is_signed else "gray"
    return {"colormap": colormap, "contrast_limits": (-1.0 if is_signed else 0.0, 1.0)}


def shown_components(components: NDArray[Any], *, is_signed: bool) -> NDArray[Any]:
    """Return components (k, h, w[, 3]) as they are drawn: signed ones in colour around grey."""
    # each channel has a sign of its own, which one colour for more and one for less would hide
    if not is_signed or components.ndim == 3:
        return components
    return np.asarray(0.5 + components / 2)


def shrunk(pictures: NDArray[Any], longest: int, *, in_colour: bool = False) -> NDArray[Any]:
    """Return pictures (..., h, w) of means over squares of pixels, `longest` pixels at most."""
    if in_colour:
        return np.moveaxis(shrunk(np.moveaxis(pictures, -1, 0), longest), 0, -1)
    h, w = pictures.shape[-2:]
    factor = -(-max(h, w) // longest)
    is_small = factor == 1 or factor > min(h, w)
    return pictures if is_small else reduced(pictures, factor, np.result_type(pictures, "f4"))


def reduced(pictures: NDArray[Any], factor: int, dtype: Any = np.float32) -> NDArray[Any]:
    """Return the means of squares of pixels of pictures (..., h, w), of whole ones only."""
    h, w = pictures.shape[-2] // factor, pictures.shape[-1] // factor
    means = np.zeros((*pictures.shape[:-2], h, w), dtype)
    # one strided sum for each pixel of a square: faster than a mean over two short axes
    for y, x in np.ndindex(factor, factor):
        means += pictures[..., y::factor, x::factor][..., :h, :w]
    means /= factor**2
    return means


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
        k, h, w, *channels = pictures
        gap = cls(k, 1, h, w).gap
        tiles = cls(k, max(1, (shape[1] + gap) // (w + gap)), h, w)
        return tiles if (*tiles.shape, *channels) == tuple(shape) else None

    @property
    def gap(self) -> int:
        """Pixels between two pictures."""
        return max(1, round(self.width * GAP))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the whole."""
        rows, gap = -(-self.count // self.columns), self.gap
        return rows * (self.height + gap) - gap, self.columns * (self.width + gap) - gap

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
        tile = row * self.columns + column
        is_inside = row >= 0 and 0 <= column < self.columns and tile < self.count
        return tile if is_inside and below < self.height and beside < self.width else None


def gallery_columns(k: int, span: float) -> int:
    """Return in how many columns k tiles, `span` faces wide, are about as tall as one face."""
    columns = range(max(2, int(span)), k + 2)
    return min(columns, key=lambda c: abs(-(-k // c) * span / c - 1.1), default=2)


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
    """Return pictures with their numbers below; `low` and `high` are shown black and white."""
    from PIL import Image, ImageDraw, ImageFont

    zoom = -(-_LOWEST // min(pictures.shape[1:3]))
    pictures = pictures.repeat(zoom, axis=1).repeat(zoom, axis=2)
    w, height = pictures.shape[2], max(_LINE, round(0.15 * pictures.shape[1]))
    font = ImageFont.load_default(height)
    lines = []
    for i in range(len(pictures)):
        drawn = Image.new("L", (w, height + 2))
        ImageDraw.Draw(drawn).text((w / 2, 0), str(i), 255, font, anchor="ma")
        lines.append(low + (high - low) / 255 * np.asarray(drawn, np.float32))
    below = np.stack(lines).astype(pictures.dtype)
    if pictures.ndim == 4:
        below = np.repeat(below[..., None], 3, axis=-1)
    return np.concatenate([pictures, below], axis=1)


def paint_tile(
    place: NDArray[Any],
    picture: NDArray[Any],
    *,
    frame: float | None = None,
    is_chosen: bool = False,
) -> None:
    """Draw a picture into its place (h, w), with a frame of some brightness."""
    place[:] = picture
    line = Tiles(1, 1, *place.shape[:2]).gap
    for value in [1.0, 0.0] * is_chosen + [frame] * (frame is not None):
        place[:line] = place[-line:] = value
        place[:, :line] = place[:, -line:] = value
        place = place[line:-line, line:-line]


_ROUNDS = 4


def pictured(
    positions: NDArray[np.float64],
    cell: tuple[float, float],
    low: tuple[float, float],
    high: tuple[float, float],
) -> NDArray[np.intp]:
    """Choose faces at x and y (n, 2) whose pictures, of the size of a cell, do not overlap.

    They are the same ones wherever the window from `low` to `high` is, earlier faces first. In
    each cell of a grid, of half the size of a picture, the first face may have a picture.
    Of those that would overlap the first gets it, and so on among those that are left.
    """
    from scipy.spatial import cKDTree

    size, start, end = np.asarray(cell), np.asarray(low), np.asarray(high)
    places = np.floor(positions / size * 2)
    margin = 4 * (_ROUNDS + 1)  # cells from which a round after another reaches the window
    first, last = np.floor(start / size * 2) - margin, np.floor(end / size * 2) + margin
    near = np.flatnonzero(((places >= first) & (places <= last)).all(axis=1))
    _, firsts = np.unique(places[near] @ (1, 1j), return_index=True)
    faces = near[np.sort(firsts)]
    where = positions[faces]
    pairs = cKDTree(where / size).query_pairs(1, np.inf, output_type="ndarray")
    earlier, later = pairs.T  # faces that overlap
    left, chosen = np.ones(len(faces), bool), np.zeros(len(faces), bool)
    for _ in range(_ROUNDS):
        wins = left.copy()
        wins[later[left[earlier]]] = False
        chosen |= wins
        left &= ~wins
        left[later[wins[earlier]]] = left[earlier[wins[later]]] = False
    seen = (where > start - size / 2) & (where < end + size / 2)
    return np.asarray(faces[chosen & seen.all(axis=1)])
