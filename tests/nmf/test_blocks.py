"""Stacks that are read block by block."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from napari_latent_faces.nmf.blocks import FaceBlocks


def resident(path):
    """Return how many bytes of a mapped file count as the process's own."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    return sum(
        1024 * int(next(each for each in lines if each.startswith("Rss:")).split()[1])
        for line in lines
        if line.endswith(str(path))
    )


@pytest.fixture
def faces():
    return np.random.default_rng(0).integers(0, 256, (30_000, 40, 30), np.uint8)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_pages_of_a_mapped_file_do_not_stay(faces, mode, tmp_path):
    path = tmp_path / "faces.npy"
    np.save(path, faces)
    mapped = np.load(path, mmap_mode=mode)
    if mode == "r+":
        mapped[5] = 7
        faces[5] = 7
    blocks = FaceBlocks(mapped[100:])  # a part: its pages begin somewhere
    for rows in blocks.rows:
        whole = faces[100:][rows].reshape(-1, 1200)
        np.testing.assert_array_equal(blocks.read_as_is(rows), whole)
    assert resident(path) < faces.nbytes / 5
    np.testing.assert_array_equal(mapped, faces)


@pytest.mark.parametrize("mode", ["c"])
def test_changes_of_a_private_map_are_kept(faces, mode, tmp_path):
    np.save(tmp_path / "faces.npy", faces)
    mapped = np.load(tmp_path / "faces.npy", mmap_mode=mode)
    mapped[5] = faces[5] = 7
    blocks = FaceBlocks(mapped)
    for _ in range(2):
        np.testing.assert_array_equal(
            blocks.read_as_is(blocks.rows[0])[5], faces[5].reshape(-1)
        )
    np.testing.assert_array_equal(mapped, faces)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", ">f4", "f8", "i4", "?"])
def test_pixels_are_read_in_their_unit(dtype):
    faces = (np.arange(2 * 5 * 4).reshape(2, 5, 4) % 7).astype(dtype)
    blocks = FaceBlocks(faces, unit=3.0)
    rows = slice(0, 2)
    expected = faces.reshape(2, -1).astype(float) / 3
    np.testing.assert_allclose(blocks.read_as_is(rows) * blocks.gain, expected, rtol=1e-6)
    np.testing.assert_allclose(blocks.read(rows), expected, rtol=1e-6)


def test_hidden_pixels_are_read_as_0():
    faces = np.full((3, 4, 5), np.nan, np.float32)
    faces[:, 1:] = 0.5
    blocks = FaceBlocks(faces, hidden=np.arange(5))
    read = blocks.read(slice(0, 3)).reshape(3, 4, 5)
    assert (read[:, 0] == 0).all()
    assert (read[:, 1:] == 0.5).all()
    assert np.isnan(faces[:, 0]).all()
