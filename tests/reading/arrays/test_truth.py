"""Real faces, kept in every way that people keep them, become what they are."""

from __future__ import annotations

import numpy as np
import pytest

from napari_latent_faces.reading.arrays import ArraysError, ReadOptions, read_arrays

WITH_LABELS = [
    *("X_l_face.mat", "brunton_allFaces.mat", "dengcai_fea_gnd.mat", "v73_fea_gnd.mat"),
    *("umist_cell.mat", "images_labels.npz", "face_data_target.csv", "fer2013.csv"),
]
WITHOUT = [
    *("faces_columns.mat", "hwn.mat", "hwn_fortran.npy", "rows.npy", "rows.csv.gz"),
    *("faces-idx3-ubyte.gz", "truth.npy"),
]


@pytest.fixture(scope="module")
def containers(data):
    return data / "containers"


@pytest.fixture(scope="module")
def truth(containers):
    return np.load(containers / "truth.npy")


@pytest.mark.parametrize("name", WITH_LABELS + WITHOUT)
def test_every_container_of_the_same_faces(containers, truth, name):
    found = read_arrays(containers / name)
    np.testing.assert_array_equal(found.images, truth)
    assert found.decided.startswith("40 faces of 56 x 46")
    labels = tuple(str(i // 10 + 1) for i in range(40))
    assert found.labels == (labels if name in WITH_LABELS else None)
    again = read_arrays((containers / name).read_bytes(), name=name)
    np.testing.assert_array_equal(again.images, truth)


def test_other_containers(containers, truth):
    found = read_arrays(containers / "svm.train.normgrey")  # grey from 0 to 1
    np.testing.assert_allclose(found.images, truth / 255, atol=1e-6)
    assert found.labels is None  # all are faces, which says not whose
    path = containers / "ese2240_hwn_faces.npy"
    found = read_arrays(path)
    np.testing.assert_array_equal(found.images, np.moveaxis(np.load(path), -1, 0))
    assert "112 x 92 (height x width)" in found.decided
    found = read_arrays(containers / "Yale_32x32.mat")
    assert found.images.shape == (165, 32, 32)
    assert found.labels[::11] == tuple(str(i + 1) for i in range(15))
    mean = found.images.mean(axis=0)  # upright: its mirror image is like it
    assert np.abs(mean - mean[:, ::-1]).mean() < 0.5 * np.abs(mean - mean[::-1]).mean()
    with pytest.raises(ArraysError, match=r"it is a Parquet table.*read_parquet.*that folder"):
        read_arrays(containers / "train-00000-of-00001.parquet")


def test_options_win_over_what_is_likely(containers, truth):
    wrong = ReadOptions(shape=(46, 56), faces="rows", order="C")
    found = read_arrays(containers / "rows.npy", wrong)
    np.testing.assert_array_equal(found.images, truth.reshape(40, 46, 56))
    turned = read_arrays(containers / "truth.npy", ReadOptions(order="F"))
    np.testing.assert_array_equal(turned.images, truth.swapaxes(1, 2))
