"""Folders in colour: a stack in colour, or grey where colour is asked or mostly missing."""

from __future__ import annotations

import numpy as np
import pytest

from napari_latent_faces.reading import read_faces
from tests.pictures import coloured, encoded, face, make

COLOURS = {f"{i}.png": coloured(seed=i) for i in range(3)}
GREYS = {f"{i}.png": face(seed=i) for i in range(3, 5)}


@pytest.mark.parametrize("lazy", [False, True])
def test_most_in_colour(tmp_path, lazy):
    stack = read_faces(make(tmp_path, COLOURS | GREYS), lazy=lazy)
    assert stack.in_colour
    expected = [*COLOURS.values(), *(np.repeat(g[:, :, None], 3, 2) for g in GREYS.values())]
    np.testing.assert_array_equal(np.asarray(stack.images), expected)
    assert stack.report.notes == ("2 of 5 are grey, among colour.",)


def test_a_few_in_colour_stay_grey(tmp_path):
    files = GREYS | {"9.png": coloured(), "8.png": face(seed=8)}
    stack = read_faces(make(tmp_path, files))
    assert stack.shape == (4, 12, 10)
    assert read_faces(tmp_path, colour=True).shape == (4, 12, 10, 3)


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_three_equal_channels_are_no_colour(tmp_path, extension):
    grey = np.repeat(face()[:, :, None], 3, axis=2)
    stack = read_faces(make(tmp_path, {f"1.{extension}": encoded(grey, extension)}))
    assert stack.shape == (1, 12, 10)


def test_who_asks_for_grey_or_a_channel_gets_it(tmp_path):
    make(tmp_path, COLOURS)
    assert read_faces(tmp_path, colour=False).shape == (3, 12, 10)
    red = read_faces(tmp_path, channel="red")
    np.testing.assert_array_equal(red.images, [c[:, :, 0] for c in COLOURS.values()])
    with pytest.raises(ValueError, match="channel='red' makes grey pictures"):
        read_faces(tmp_path, channel="red", colour=True)
    with pytest.raises(ValueError, match="colour must be True or False or 'auto'"):
        read_faces(tmp_path, colour="yes")


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_each_channel_is_scaled_as_a_grey_picture_is(tmp_path, resize):
    make(tmp_path, {"1.png": coloured(31, 20)})
    stack = read_faces(tmp_path, size=(12, 10), resize=resize)
    for channel, name in enumerate(("red", "green", "blue")):
        one = read_faces(tmp_path, size=(12, 10), resize=resize, channel=name)
        np.testing.assert_array_equal(stack.images[..., channel], one.images)


def test_16_bits_in_colour(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65536, (12, 10, 3), np.uint16)
    content = b"P6 10 12 65535\n" + pixels.astype(">u2").tobytes()
    stack = read_faces(make(tmp_path, {"1.ppm": content}))
    assert stack.dtype == np.uint16
    np.testing.assert_array_equal(stack.images, [pixels])
