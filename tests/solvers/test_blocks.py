"""Stacks that are read block by block."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces import fit
from napari_latent_faces.solvers.blocks import (
    FaceBlocks,
    Workers,
    face_errors,
    relative_error,
)
from tests.helpers import PATIENCE


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
@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_pages_of_a_mapped_file_do_not_stay_but_changes_of_them(faces, mode, tmp_path):
    path = tmp_path / "faces.npy"
    np.save(path, faces)
    mapped = np.load(path, mmap_mode=mode)
    if mode != "r":
        mapped[105] = faces[105] = 7
    blocks = FaceBlocks(mapped[100:])  # a part: its pages begin somewhere
    for rows in blocks.rows * 2:
        whole = faces[100:][rows].reshape(-1, 1200)
        np.testing.assert_array_equal(blocks.read_as_is(rows), whole)
    if mode != "c":  # whose pages are the only place of its changes
        assert resident(path) < faces.nbytes / 5
    np.testing.assert_array_equal(mapped, faces)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    "options", [{}, {"mask": np.eye(40, 30, dtype=bool)}, {"missing": "nan"}]
)
def test_fitted_and_encoded_faces_of_a_mapped_file_do_not_stay(faces, options, tmp_path):
    path = tmp_path / "faces.npy"
    np.save(path, faces[:12_000].astype(np.float32 if "missing" in options else np.uint16))
    mapped = np.load(path, mmap_mode="r")
    with pytest.warns(UserWarning, match="Not converged"):
        model = fit(mapped, n_components=2, max_iter=1, **options)
    assert resident(path) < mapped.nbytes / 5
    model.encode(mapped)
    assert resident(path) < mapped.nbytes / 5


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


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 30])
def test_results_come_in_order_whoever_finds_them(threads, count):
    seen = set()

    def job(i):
        seen.add(threading.current_thread())
        return i * i

    with Workers(threads) as workers:
        assert list(workers.each(job, range(count))) == [i * i for i in range(count)]
    assert len(seen) <= threads
    if count:
        assert threading.current_thread() in seen


def test_who_waits_works_as_well():
    meeting = threading.Barrier(2)  # neither goes on without the other
    with Workers(2) as workers:
        found = list(workers.each(meeting.wait, [PATIENCE, PATIENCE]))
    assert sorted(found) == [0, 1]


def test_few_results_wait_for_one_that_is_late():
    first_may_end, started = threading.Event(), []

    def job(i):
        started.append(i)
        if i == 0:
            assert first_may_end.wait(PATIENCE)
        elif len(started) == 4:  # the most that three threads may hold back
            first_may_end.set()
        return i

    with Workers(3) as workers:
        assert list(workers.each(job, range(20))) == list(range(20))


def test_a_failing_job_ends_the_work():
    def job(i):
        if i == 5:
            raise ValueError(f"bad {i}")
        return i

    with Workers(2) as workers, pytest.raises(ValueError, match="bad 5"):
        list(workers.each(job, range(1000)))


# -- Losses ----------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_relative_error_is_the_frobenius_norm_whatever_the_blocks(n, p, k, seed):
    rng = np.random.default_rng(seed)
    X, W, H = rng.random((n, p)), rng.random((n, k)), rng.random((k, p))
    expected = np.linalg.norm(X - W @ H) / np.linalg.norm(X)
    assert relative_error([face_errors(X, W, H)]) == pytest.approx(expected, rel=1e-12)


def test_float32_pixels_lose_no_more_than_their_rounding():
    rng = np.random.default_rng(0)
    X, W, H = rng.random((50, 9000)), rng.random((50, 3)), rng.random((3, 9000)) / 2
    expected = np.linalg.norm(X - W @ H) / np.linalg.norm(X)
    rounded = [each.astype(np.float32) for each in (X, W, H)]
    found = relative_error([face_errors(*rounded)])
    assert found == pytest.approx(expected, rel=1e-6)
