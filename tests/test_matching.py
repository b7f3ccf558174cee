from __future__ import annotations

import dask.array
import numpy as np
import pytest
from PIL import Image

from napari_latent_faces.encoding import MatchedPictures, match_stack
from napari_latent_faces.reading import read_faces
from tests.pictures import coloured, face, make


def test_pictures_of_the_right_size_are_passed_on(stack):
    found = match_stack(stack.images, (12, 10), {"names": stack.names, "source": "here"})
    assert found.images is stack.images
    assert found.names == stack.names
    assert found.source == "here"
    assert found.report.notes == ()


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(6, 5), (30, 25), (9, 20), (20, 9)])
def test_pictures_are_resized_as_the_reader_does_it(tmp_path, resize, size):
    files = {f"{i}.png": face(24, 20, seed=i) for i in range(3)}
    read = read_faces(make(tmp_path, files), size=size, resize=resize)
    found = match_stack(np.stack(list(files.values())), size, resize=resize)
    assert found.shape == (3, *size)
    np.testing.assert_array_equal(np.asarray(found.images), read.images)


def test_the_note_says_what_was_done():
    [note] = match_stack(np.ones((2, 24, 20)), (6, 5)).report.notes
    assert note == "Scaled from 20 x 24 to the model's 5 x 6 pixels."
    [note] = match_stack(np.ones((2, 24, 20)), (6, 9)).report.notes
    assert note.endswith("cut at the middle to fit.")
    colour, _ = match_stack(np.ones((2, 24, 20, 3)), (6, 9), rgb=True).report.notes
    assert colour == "In colour: the luminance is taken."


def test_colour_becomes_luminance_as_the_reader_takes_it():
    pixels = coloured(12, 10)
    expected = np.asarray(Image.fromarray(pixels).convert("L"), int)
    found = match_stack(pixels, (12, 10), rgb=True)
    assert found.images.dtype == np.uint8
    assert np.abs(np.asarray(found.images)[0] - expected).max() <= 1
    with_alpha = np.dstack([pixels, np.zeros((12, 10), np.uint8)])
    again = match_stack(with_alpha, (12, 10), rgb=True)
    np.testing.assert_array_equal(np.asarray(again.images), np.asarray(found.images))


def test_a_single_picture_is_a_stack_of_one_with_a_name():
    found = match_stack(face(24, 20), (12, 10), name="me.jpg")
    assert found.shape == (1, 12, 10)
    assert found.names == ("me.jpg",)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8", "i4", "u8", "?"])
def test_every_type_is_kept(dtype):
    pixels = np.random.default_rng(0).integers(0, 2, (2, 20, 20)).astype(dtype)
    found = np.asarray(match_stack(pixels, (10, 10)).images)
    assert found.dtype == np.dtype(dtype)
    flat = np.asarray(match_stack(np.ones((1, 20, 20), dtype), (10, 10)).images)
    assert (flat == 1).all()


def test_pictures_are_read_one_by_one_when_looked_at():
    seen = []

    class Watched:
        shape, ndim, dtype = (5, 20, 16), 3, np.dtype(np.uint8)

        def __len__(self):
            return 5

        def __getitem__(self, key):
            seen.append(key)
            return np.full((20, 16), key, np.uint8)

    pictures = MatchedPictures(Watched(), (10, 8))
    assert not seen
    assert pictures[3].shape == (10, 8)
    assert pictures[1:3, 2, ::2].tolist() == [[1] * 4, [2] * 4]
    assert pictures[4, 0, 0] == 4
    assert seen == [3, 1, 2, 4]


def test_lazy_stacks_stay_lazy():
    lazy = dask.array.from_array(np.ones((4, 20, 16), np.uint8), (2, 20, 16))
    assert match_stack(lazy, (20, 16)).images is lazy
    assert match_stack(lazy, (10, 8)).is_lazy


def test_names_that_do_not_fit_are_left_out():
    found = match_stack(np.ones((2, 4, 4)), (4, 4), {"names": ("a",), "subjects": ("s",)})
    assert found.names == ("face 0", "face 1")
    assert found.subjects is None
    found = match_stack(np.ones((2, 4, 4)), (4, 4), {"names": "ab", "subjects": ("s",)})
    assert (found.names, found.subjects) == (("a", "b"), None)


@pytest.mark.parametrize(
    ("shape", "rgb"), [((4,), False), ((2, 3, 4, 4), False), ((4, 3), True)]
)
def test_other_shapes_are_refused(shape, rgb):
    with pytest.raises(ValueError, match="A picture"):
        match_stack(np.ones(shape), (4, 4), rgb=rgb)
