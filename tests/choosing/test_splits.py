from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.choosing.search import face_folds, pixel_halves, sample_faces

seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=50)
@given(st.integers(4, 200), st.integers(2, 4), seeds)
def test_parts_of_the_faces_are_all_of_them_once_and_alike_in_size(n, n_folds, seed):
    folds = face_folds(n, None, n_folds, np.random.default_rng(seed))
    assert sorted(np.concatenate(folds)) == list(range(n))
    sizes = [len(fold) for fold in folds]
    assert max(sizes) - min(sizes) <= 1


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 6), min_size=6, max_size=30), seeds)
def test_no_subject_is_in_two_parts(counts, seed):
    subjects = [f"s{i}" for i, count in enumerate(counts) for _ in range(count)]
    folds = face_folds(len(subjects), subjects, 3, np.random.default_rng(seed))
    owners = [{subjects[i] for i in fold} for fold in folds]
    assert sum(map(len, owners)) == len(counts)
    sizes = [len(fold) for fold in folds]
    assert max(sizes) - min(sizes) <= max(counts)


def test_too_few_subjects_are_dealt_out_face_by_face():
    subjects = ["a"] * 10 + ["b"] * 10
    folds = face_folds(20, subjects, 5, np.random.default_rng(0))
    assert [len(fold) for fold in folds] == [4] * 5


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 60), st.integers(2, 60), seeds)
def test_both_halves_have_pixels(height, width, seed):
    half = pixel_halves((height, width), np.random.default_rng(seed))
    assert half.shape == (height * width,)
    assert 0 < half.sum() < half.size


def test_halves_are_made_of_tiles_that_are_not_always_the_same():
    rng = np.random.default_rng(0)
    halves = [pixel_halves((112, 92), rng).reshape(112, 92) for _ in range(20)]
    for half in halves:
        assert 0.35 < half.mean() < 0.65
        alike = (half[:, 1:] == half[:, :-1]).mean()
        assert alike > 0.9  # few edges: neighbours are mostly on the same side
    assert 0.4 < np.mean([a == b for a, b in pairwise(halves)]) < 0.6


def test_a_large_stack_is_sampled_anywhere():
    rng = np.random.default_rng(0)
    chosen = sample_faces(200_000, 500, rng)
    assert len(set(chosen.tolist())) == 500
    assert chosen[0] < 5_000
    assert chosen[-1] > 195_000
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(sample_faces(7, 7, rng), np.arange(7))


def test_halves_of_a_tiny_picture():
    assert pixel_halves((1, 2), np.random.default_rng(0)).sum() == 1


@pytest.mark.parametrize("n_folds", [2, 7])
def test_the_same_seed_makes_the_same_parts(n_folds):
    first, second = (face_folds(50, None, n_folds, np.random.default_rng(3)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
