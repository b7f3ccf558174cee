"""Fits that begin where others of the same faces, with other k, have ended."""

from __future__ import annotations

import numpy as np
import pytest

from napari_latent_faces.choosing import search as searching
from napari_latent_faces.choosing.search import choose_k, iter_choose_k, nearest_fit, warm_start
from napari_latent_faces.fitting import fit
from napari_latent_faces.params import NMFParams
from napari_latent_faces.stack import as_stack
from tests.choosing.made import made_faces


@pytest.fixture
def some(stack):
    return fit(stack, n_components=3, tol=1e-6)


def error_of(start, stack):
    X = stack.matrix / 255
    return np.linalg.norm(X - start[0] @ start[1]) / np.linalg.norm(X)


def test_the_nearest_fit_is_taken_and_of_two_the_smaller():
    fits = {2: "two", 8: "eight", 20: "twenty"}
    found = [nearest_fit(fits, k) for k in (1, 5, 6, 8, 14, 15, 99)]
    assert found == ["two", "two", "eight", "eight", "eight", "twenty", "twenty"]
    assert nearest_fit({}, 3) is None


def test_what_adds_least_is_dropped(some, stack):
    W, H = warm_start(some, stack, NMFParams(n_components=2))
    assert W.shape == (30, 2)
    assert H.shape == (2, 120)
    rows = some.components.reshape(3, -1)
    lost = [
        error_of((np.delete(some.weights, i, 1), np.delete(rows, i, 0)), stack)
        for i in range(3)
    ]
    assert error_of((W, H), stack) == pytest.approx(min(lost), rel=1e-5)


@pytest.mark.filterwarnings("ignore:Not converged")
@pytest.mark.parametrize("solver", ["multilevel", "cd", "mu"])
def test_what_is_missing_is_found_in_the_residual(some, stack, solver):
    params = NMFParams(n_components=4, solver=solver)
    start = W, H = warm_start(some, stack, params)
    np.testing.assert_array_equal(W[:, :3], some.weights)
    np.testing.assert_array_equal(H[:3], some.components.reshape(3, -1))
    assert (W >= 0).all()
    assert (H >= 0).all()
    assert W[:, 3].any()
    assert H[3].any()
    if solver == "mu":
        assert (H[3] > 0).all()  # it could not move zeros
    further = fit(stack, params, start=start)
    assert further.error < 0.8 * some.error


def test_more_components_than_pixels_begin_at_random():
    pictures = np.random.default_rng(0).random((30, 3, 3))
    model = fit(pictures, n_components=2)
    W, H = warm_start(model, as_stack(pictures), NMFParams(20))
    assert W.shape == (30, 20)
    assert H.shape == (20, 9)


@pytest.mark.parametrize("is_warm", [False, True])
def test_only_fits_with_a_part_held_out_begin_from_others(stack, monkeypatch, is_warm):
    begun = []

    def watched(faces, params, *, start=None):
        begun.append((len(faces), params.n_components, start is not None))
        return iter_fit(faces, params, start=start)

    iter_fit = searching.iter_fit
    monkeypatch.setattr(searching, "iter_fit", watched)
    choose_k(stack, [2, 3, 4], n_starts=2, n_folds=2, warm_start=is_warm)
    whole = [warm for n, _, warm in begun if n == 30]
    parts = [(k, warm) for n, k, warm in begun if n < 30]
    assert whole == [False] * 6
    assert parts == [(2, False)] * 2 + [(4, is_warm)] * 2 + [(3, is_warm)] * 2


@pytest.mark.parametrize("seed", [3, 4])
def test_both_ways_find_the_number_of_parts_and_nearly_the_same_errors(seed):
    faces = made_faces(5, seed, n=150)
    cold, warm = (
        choose_k(faces, [2, 3, 4, 5, 6, 7, 10], n_starts=2, n_folds=3, warm_start=each)
        for each in (False, True)
    )
    assert abs(cold.suggested - 5) <= 1
    assert abs(warm.suggested - 5) <= 1
    np.testing.assert_array_equal(warm.stabilities, cold.stabilities)
    np.testing.assert_array_equal(warm.errors, cold.errors)
    np.testing.assert_allclose(warm.held_out, cold.held_out, rtol=0.06)
    assert (warm.fold_errors != cold.fold_errors).any()


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"warm_start": 1}, TypeError, "warm_start must be True or False, got 1"),
        (
            {"warm_start": True, "init": "nndsvd"},
            ValueError,
            "init='nndsvd' and warm_start=True both say where fits begin",
        ),
    ],
)
def test_what_is_wrong_is_told_before_the_first_step(stack, changes, kind, words):
    with pytest.raises(kind, match=words):
        iter_choose_k(stack, [2], **changes)
