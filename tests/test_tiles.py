"""Where the pictures of a montage lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_latent_faces.tiles import (
    Tiles,
    gallery_columns,
    montage,
    paint_tile,
    pictured,
    shrunk,
)

every_tiles = st.builds(
    Tiles, st.integers(1, 30), st.integers(1, 8), st.integers(1, 40), st.integers(1, 40)
)


@given(st.integers(1, 500), st.sampled_from([2, 3]))
def test_a_gallery_is_neither_a_strip_nor_a_tower(k, places):
    columns = gallery_columns(k, places)
    height = -(-k // columns) * places / columns
    assert 0.4 < height < 2.1


@given(every_tiles)
def test_each_picture_of_a_montage_is_where_its_box_is(tiles):
    numbers = np.arange(1, tiles.count + 1)
    pictures = np.broadcast_to(numbers[:, None, None], (tiles.count, tiles.height, tiles.width))
    flat = montage(pictures, tiles.columns)
    assert flat.shape == tiles.shape
    for i in range(tiles.count):
        place = flat[tiles.box(i)]
        assert place.shape == (tiles.height, tiles.width)
        assert (place == i + 1).all()
    assert Tiles.found_in(tiles.shape, pictures.shape) == tiles
    for tile in (-1, tiles.count):
        with pytest.raises(IndexError, match=f"no tile {tile}: there are {tiles.count}"):
            tiles.box(tile)
    height, width = tiles.shape
    assert Tiles.found_in((height + 1, width), pictures.shape) is None
    assert Tiles.found_in((height, width, 3), pictures.shape) is None


@given(every_tiles, st.data(), st.floats(-0.49, 0.49), st.floats(-0.49, 0.49))
def test_a_point_is_on_the_picture_that_is_seen_there(tiles, data, dy, dx):
    height, width = tiles.shape
    pictures = np.ones((tiles.count, tiles.height, tiles.width), int)
    flat = montage(pictures * np.arange(1, tiles.count + 1)[:, None, None], tiles.columns)
    y = data.draw(st.integers(-3, height + 2))
    x = data.draw(st.integers(-3, width + 2))
    seen = flat[y, x] if 0 <= y < height and 0 <= x < width else 0
    found = tiles.at(y + dy, x + dx)  # a pixel reaches half a pixel around its centre
    assert (0 if found is None else found + 1) == seen


def test_a_painted_tile_is_framed_or_chosen():
    picture = np.full((20, 25), 0.5, np.float32)
    place = np.zeros_like(picture)
    paint_tile(place, picture)
    np.testing.assert_array_equal(place, picture)
    paint_tile(place, picture, frame=0.8)
    assert (place[0] == np.float32(0.8)).all()
    assert (place[1:-1, 1:-1] == 0.5).all()
    paint_tile(place, picture, frame=0.8, is_chosen=True)
    middle = place[10]
    np.testing.assert_allclose(middle[:4], [1, 0, 0.8, 0.5])
    np.testing.assert_allclose(middle[-4:], [0.5, 0.8, 0, 1])


@given(st.integers(1, 12), st.integers(1, 12), st.booleans())
def test_pictures_of_a_few_pixels_can_be_painted(h, w, is_chosen):
    place = np.zeros((h, w))
    paint_tile(place, np.ones((h, w)), frame=0.5, is_chosen=is_chosen)
    assert place.max() == (1 if is_chosen or min(h, w) > 2 else 0.5)


sides = st.integers(1, 40)


@given(st.integers(1, 5), sides, sides, st.integers(1, 30), st.integers(0, 2**16))
def test_sums_of_shrunk_pictures_are_the_shrunk_sums(m, h, w, longest, seed):
    pictures = np.random.default_rng(seed).random((m, h, w))
    small = shrunk(pictures, longest)
    np.testing.assert_allclose(small.sum(axis=0), shrunk(pictures.sum(axis=0), longest))
    assert pictures.min() <= small.min() <= small.max() <= pictures.max()
    if min(h, w) >= -(-max(h, w) // longest):
        assert max(small.shape[1:]) <= longest
    coloured = shrunk(np.stack([pictures, 2 * pictures, pictures], -1), longest, in_colour=True)
    np.testing.assert_allclose(coloured, np.stack([small, 2 * small, small], -1))


def near(positions, cell):
    """Return how many faces are within a cell of each, itself included."""
    return (np.abs(positions[:, None] - positions[None]) < cell).all(axis=-1).sum(axis=1)


@given(st.integers(1, 400), st.floats(0.02, 3), st.floats(0.02, 3), st.integers(0, 2**16))
def test_pictures_never_overlap_and_lone_faces_have_one(n, width, height, seed):
    positions = np.random.default_rng(seed).normal(size=(n, 2))
    found = pictured(positions, (width, height), (-9, -9), (9, 9))
    assert len(set(found.tolist())) == len(found)
    assert (near(positions[found], (width, height)) == 1).all()
    assert set(np.flatnonzero(near(positions, (width, height)) == 1)) <= set(found)
    assert 0 in found  # the first always goes first


@given(st.integers(0, 2**16), st.tuples(st.floats(-1, 1), st.floats(-1, 1)))
def test_the_same_faces_have_a_picture_wherever_the_window_is(seed, low):
    positions = np.random.default_rng(seed).normal(size=(600, 2))
    cell, high = (0.1, 0.14), (low[0] + 1, low[1] + 1)
    everywhere = pictured(positions, cell, (-9, -9), (9, 9))
    seen = pictured(positions, cell, low, high)
    place = positions[everywhere]
    half = np.array(cell) / 2
    is_inside = ((place > low - half) & (place < high + half)).all(axis=1)
    assert set(seen) == set(everywhere[is_inside])


def test_a_finer_map_keeps_the_pictures_of_a_coarser_one():
    positions = np.random.default_rng(1).normal(size=(3000, 2))
    coarse = pictured(positions, (0.4, 0.4), (-9, -9), (9, 9))
    fine = pictured(positions, (0.2, 0.2), (-9, -9), (9, 9))
    assert len(fine) > 1.8 * len(coarse)
    assert len(set(coarse) & set(fine)) > 0.8 * len(coarse)
