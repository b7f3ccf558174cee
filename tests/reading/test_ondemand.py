from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

from napari_latent_faces.reading import read_faces
from napari_latent_faces.reading.formats import BYTE
from napari_latent_faces.reading.naming import Entry
from napari_latent_faces.reading.pictures import BrokenFaceWarning, Frame, lazy_images
from tests.pictures import encoded, face, make, people, zipped

FACES = np.stack([face(seed=seed) for seed in range(7)])


@pytest.fixture
def asked():
    """Return the names of the files that were read."""
    return []


@pytest.fixture
def images(asked):
    def entry(i):
        content = encoded(FACES[i], "png")
        return Entry(str(i), len(content), lambda n: asked.append(i) or content[:n])

    return lazy_images([(entry(i), 0) for i in range(7)], Frame((12, 10), BYTE))


def test_shape_is_known_before_anything_is_read(images, asked):
    assert images.shape == (7, 12, 10)
    assert images.dtype == np.uint8
    assert asked == []


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
def test_one_face_costs_one_picture(images, asked, key):
    np.asarray(images[key])
    assert asked == [3]


def test_a_picture_that_proves_broken_is_black_and_named_once(tmp_path):
    content = encoded(face(), "png")
    make(tmp_path, {"1.png": face(seed=1), "2.png": content[:60], "3.png": face(seed=3)})
    stack = read_faces(tmp_path, lazy=True)
    assert stack.names == ("1.png", "2.png", "3.png")
    with pytest.warns(BrokenFaceWarning, match=r"2.png cannot be decoded \(.*shown black"):
        pixels = np.asarray(stack)
    expected = [face(seed=1), np.zeros((12, 10)), face(seed=3)]
    np.testing.assert_array_equal(pixels, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(np.asarray(stack), expected)


def test_a_picture_that_vanishes_is_black(tmp_path):
    people(tmp_path, 2, 1)
    stack = read_faces(tmp_path, lazy=True)
    (tmp_path / "s1" / "1.pgm").unlink()
    with pytest.warns(BrokenFaceWarning, match="s1/1.pgm cannot be decoded .vanished"):
        assert not np.asarray(stack.images[0]).any()
    assert np.asarray(stack.images[1]).any()


def test_a_picture_that_grew_deeper_is_black(tmp_path):
    people(tmp_path, 2, 1)
    stack = read_faces(tmp_path, lazy=True)
    (tmp_path / "s1" / "1.pgm").write_bytes(encoded(np.full((12, 10), 9, np.uint16), "pgm"))
    with pytest.warns(BrokenFaceWarning, match="changed while it was being read"):
        assert not np.asarray(stack.images[0]).any()


@pytest.mark.parametrize("packed", [False, True])
def test_lazy_stacks_can_be_pickled(tmp_path, packed):
    path = people(tmp_path / "files", 2, 2)
    if packed:
        path = zipped(path, tmp_path / "faces.zip")
    stack = read_faces(path, lazy=True)
    again = pickle.loads(pickle.dumps(stack))
    np.testing.assert_array_equal(np.asarray(again), np.asarray(stack))
