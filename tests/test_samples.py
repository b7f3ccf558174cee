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
    # pictures of a person are more alike than those of others
    pixels = faces.images[:, ::4, ::4].reshape(40, 10, -1).astype(float)
    means = pixels.mean(axis=1)
    assert means.std(axis=0).mean() > pixels.std(axis=1).mean()


def test_fewer_are_the_first_of_all_and_coloured_ones_are_they(faces):
    coloured = sample_faces(3, 2, colour=True)
    assert coloured.shape == (6, 112, 92, 3)
    assert np.ptp(coloured.images, axis=-1).max() > 50
    grey, few = coloured.to_grey(), sample_faces(3, 2)
    np.testing.assert_array_equal(few.images, faces.images[[0, 1, 10, 11, 20, 21]])
    assert few.subjects == ("s01", "s01", "s02", "s02", "s03", "s03")
    assert grey.names == coloured.names == few.names
    # JPEG decoders round differently
    assert np.abs(grey.images.astype(int) - few.images.astype(int)).mean() < 2
    small = sample_faces(3, 2, shape=(56, 46)).images.astype(float)
    assert np.abs(small - few.images.reshape(6, 56, 2, 46, 2).mean(axis=(2, 4))).mean() < 3


@pytest.mark.parametrize("arguments", [(0,), (41,), (2.5,), (1, 11)])
def test_what_there_is_not_is_named(arguments):
    with pytest.raises(ValueError, match=("n_subjects", "n_pictures")[len(arguments) - 1]):
        sample_faces(*arguments)
