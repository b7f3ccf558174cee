"""The bundled sample faces: people who do not exist, as a folder of photographs would be."""

from __future__ import annotations

import numpy as np
import pytest

from napari_latent_faces import FaceStack, sample_faces


@pytest.fixture(scope="module")
def faces() -> FaceStack:
    return sample_faces()


def test_there_are_forty_people_of_ten_pictures(faces):
    assert faces.images.shape == (400, 112, 92)
    assert faces.dtype == np.uint8
    assert faces.names[:2] == ("s01/01.jpg", "s01/02.jpg")
    assert faces.subjects == tuple(f"s{s:02}" for s in range(1, 41) for _ in range(10))
    assert faces.source == "sample faces"
    assert faces.report.n_read == 400
    assert not faces.report.skipped


def test_fewer_are_the_first_of_all(faces):
    few = sample_faces(3, 2)
    np.testing.assert_array_equal(few.images, faces.images[[0, 1, 10, 11, 20, 21]])
    assert few.subjects == ("s01", "s01", "s02", "s02", "s03", "s03")


def test_colour_is_that_of_the_grey_ones(faces):
    coloured = sample_faces(3, 2, colour=True)
    assert coloured.shape == (6, 112, 92, 3)
    assert np.ptp(coloured.images, axis=-1).max() > 50
    grey = coloured.to_grey()
    assert grey.names == coloured.names
    few = faces.images[[0, 1, 10, 11, 20, 21]].astype(int)
    assert np.abs(grey.images.astype(int) - few).mean() < 2  # JPEG decoders round differently


def test_smaller_ones_show_the_same(faces):
    small = sample_faces(4, 2, shape=(56, 46)).images.astype(float)
    large = faces.images[[0, 1, 10, 11, 20, 21, 30, 31]].astype(float)
    halved = large.reshape(8, 56, 2, 46, 2).mean(axis=(2, 4))
    assert np.abs(small - halved).mean() < 3


def test_pictures_of_a_person_are_more_alike_than_those_of_others(faces):
    pixels = faces.images[:, ::4, ::4].reshape(40, 10, -1).astype(float)
    means = pixels.mean(axis=1, keepdims=True)
    within = np.sqrt(((pixels - means) ** 2).mean())
    between = np.sqrt(((means - means.mean(axis=0)) ** 2).mean())
    assert between > within


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((0,), "n_subjects"),
        ((41,), "n_subjects"),
        ((2.5,), "n_subjects"),
        ((1, 11), "n_pictures"),
    ],
)
def test_what_there_is_not_is_named(arguments, name):
    with pytest.raises(ValueError, match=name):
        sample_faces(*arguments)
