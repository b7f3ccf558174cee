from __future__ import annotations

import warnings

import numpy as np
import pytest

from napari_latent_faces.reading import read_faces
from napari_latent_faces.reading.pictures import BrokenFaceWarning
from tests.pictures import encoded, face, make

FACES = np.stack([face(seed=seed) for seed in range(7)])


@pytest.fixture
def images(tmp_path):
    return read_faces(
        make(tmp_path, {f"{i}.png": FACES[i] for i in range(7)}), lazy=True
    ).images


@pytest.mark.parametrize(
    "key",
    [
        3,
        -1,
        slice(2, 5),
        slice(None, None, -3),
        (slice(1, 3), 4),
        (slice(None), slice(2, 8), slice(None, None, 2)),
        (2, 3, 4),
        ([0, 5, 5],),
        (np.array([True, False] * 3 + [True]),),
        slice(0, 0),
    ],
)
def test_any_part_can_be_looked_at(images, key):
    np.testing.assert_array_equal(np.asarray(images[key]), FACES[key])


@pytest.mark.parametrize("key", [3, slice(3, 4)])
def test_one_face_costs_one_picture(tmp_path, images, key):
    for i in {*range(7)} - {3}:
        (tmp_path / f"{i}.png").unlink()
    np.testing.assert_array_equal(np.asarray(images[key]), FACES[key])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (encoded(face(), "png")[:60], "damaged"),
        (None, "vanished"),
        (encoded(np.full((12, 10), 9, np.uint16), "png"), "changed while it was being read"),
    ],
)
def test_a_picture_that_proves_broken_is_black_and_named_once(
    tmp_path, images, content, reason
):
    (tmp_path / "2.png").unlink()
    if content is not None:
        make(tmp_path, {"2.png": content})
    with pytest.warns(BrokenFaceWarning, match=rf"2.png cannot be decoded .*{reason}.* black"):
        pixels = np.asarray(images)
    expected = FACES * (np.arange(7) != 2)[:, None, None]
    np.testing.assert_array_equal(pixels, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(np.asarray(images), expected)
