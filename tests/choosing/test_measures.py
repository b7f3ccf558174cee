from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.choosing.measures import (
    face_folds,
    held_out_error,
    pixel_half,
    stability,
)
from napari_latent_faces.fitting import fit
from tests.conftest import blobs

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
    half = pixel_half((height, width), np.random.default_rng(seed))
    assert half.shape == (height * width,)
    assert 0 < half.sum() < half.size


def test_halves_are_made_of_tiles_that_are_not_always_the_same():
    rng = np.random.default_rng(0)
    halves = [pixel_half((112, 92), rng).reshape(112, 92) for _ in range(20)]
    for half in halves:
        assert 0.35 < half.mean() < 0.65
        alike = (half[:, 1:] == half[:, :-1]).mean()
        assert alike > 0.9  # few edges: neighbours are mostly on the same side
    assert 0.4 < np.mean([a == b for a, b in pairwise(halves)]) < 0.6


def test_a_pixel_in_colour_is_in_one_half():
    half = pixel_half((20, 16, 3), np.random.default_rng(0)).reshape(20, 16, 3)
    assert (half == half[..., :1]).all()


def test_halves_of_a_tiny_picture():
    assert pixel_half((1, 2), np.random.default_rng(0)).sum() == 1


@pytest.mark.parametrize("n_folds", [2, 7])
def test_the_same_seed_makes_the_same_parts(n_folds):
    first, second = (face_folds(50, None, n_folds, np.random.default_rng(3)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def halves():
    rng = np.random.default_rng(0)
    return [pixel_half((12, 10), rng) for _ in range(3)]


def test_faces_of_the_same_parts_are_predicted(halves):
    pictures, _, _ = blobs(n=60)
    model = fit(pictures[:40], n_components=4, tol=1e-7, max_iter=2000)
    error = held_out_error(model, pictures[40:], halves)
    assert error < 0.05
    assert held_out_error(fit(pictures[:40], n_components=2), pictures[40:], halves) > 2 * error


def test_it_is_what_one_gets_by_hand(halves, model, stack):
    from scipy.optimize import nnls

    X = stack.images[:5].reshape(5, -1) / model.scale
    H = model.components.reshape(3, -1).astype(float)
    lost = norm = 0.0
    for half in halves:
        for seen in (half, ~half):
            for face in X:
                weights, _ = nnls(H[:, seen].T, face[seen])
                lost += ((face[~seen] - weights @ H[:, ~seen]) ** 2).sum()
                norm += (face[~seen] ** 2).sum()
    expected = np.sqrt(lost / norm)
    assert held_out_error(model, stack.images[:5], halves) == pytest.approx(expected, rel=1e-6)


def test_black_faces_are_predicted_perfectly(halves, model):
    assert held_out_error(model, np.zeros((2, 12, 10), np.uint8), halves) == 0


def test_stability_falls_with_each_fit_that_differs():
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 4, 30)) ** 6
    same = stability([one, one[::-1], one])
    mixed = stability([one, one, other])
    assert same == pytest.approx(1)
    assert stability([one, other, other[:, ::-1]]) < mixed < same
