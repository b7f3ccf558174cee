from __future__ import annotations

import threading
import warnings

import dask.array as da
import numpy as np
import pytest

from napari_latent_faces.choosing.search import choose_k, iter_choose_k, iter_whole_model
from napari_latent_faces.fitting import fit
from napari_latent_faces.params import NMFParams
from napari_latent_faces.stack import FaceStack
from tests.choosing.made import made_faces
from tests.conftest import blobs


def drained(steps, stop_at=None):
    """Return the steps and the choice; ask to stop after a number of fits."""
    seen, message = [], None
    while True:
        try:
            step = steps.send(message)
        except StopIteration as end:
            return seen, end.value
        seen.append(step)
        message = "stop" if stop_at is not None and step.done >= stop_at else None


@pytest.fixture(scope="module")
def choice():
    """Return what is measured of pictures of four parts."""
    return choose_k(blobs(n=60)[0], [2, 3, 4, 5, 6], n_folds=3, n_starts=2)


def test_the_number_of_parts_is_found(choice):
    assert choice.suggested == 4
    assert choice.ks.tolist() == [2, 3, 4, 5, 6]
    assert (np.diff(choice.errors[:3]) < 0).all()
    assert choice.held_out[2] < 0.5 * choice.held_out[1]
    assert (choice.held_out > choice.errors).all()
    assert choice.fold_errors.shape == (5, 3)
    assert (choice.stabilities <= 1).all()


def test_the_models_are_those_of_a_fit_or_better(choice):
    pictures = blobs(n=60)[0]
    for k, model in choice.models.items():
        alone = fit(pictures, n_components=k)
        assert model.n_components == k
        assert model.shape == (60, 12, 10)
        assert model.error <= alone.error
        assert (np.diff(model.shares) <= 1e-12).all()
        np.testing.assert_allclose(model.components.max(axis=(1, 2)), 1, rtol=1e-6)
    assert choice.model is choice.models[4]


@pytest.mark.parametrize(("k", "seed"), [(5, 3), (5, 4), (10, 3), (10, 4), (25, 11)])
def test_known_numbers_of_parts_are_found_under_noise(k, seed):
    ks = {k // 2, k - 2, k - 1, k, k + 1, k + 2, k + 4, 2 * k}
    choice = choose_k(made_faces(k, seed), ks, n_starts=2)
    assert abs(choice.suggested - k) <= 1


def test_a_search_finds_them_by_itself():
    choice = choose_k(made_faces(5, 0, n=200, size=(16, 16)), n_folds=3, n_starts=2)
    assert abs(choice.suggested - 5) <= 1
    assert {choice.suggested - 1, choice.suggested + 1} <= set(choice.ks.tolist())


def test_steps_tell_how_far_it_is_and_curves_grow():
    steps, choice = drained(
        iter_choose_k(blobs()[0], [2, 3, 4], n_starts=2, n_folds=2, max_iter=20)
    )
    done = [step.done for step in steps]
    assert sorted(done) == done
    assert done[0] == 0
    assert set(done) <= set(range(12))
    assert {step.total for step in steps} == {12}
    grown = [len(step.choice) for step in steps]
    assert sorted(grown) == grown
    assert choice.ks.tolist() == [2, 3, 4]
    assert steps[1].doing.startswith("k = 2, fit ")


def test_a_search_for_k_never_needs_more_fits_than_it_said():
    faces = made_faces(5, 0, n=60, size=(12, 12))
    steps, choice = drained(iter_choose_k(faces, n_folds=2, n_starts=2, max_iter=20))
    totals = [step.total for step in steps]
    assert sorted(totals, reverse=True) == totals
    assert 4 * len(choice) <= totals[-1]


def test_a_first_look_comes_before_the_search_and_changes_nothing_of_it():
    faces = made_faces(4, 0, n=60, size=(96, 80))
    effort = {"ks": [2, 4, 8], "n_starts": 2, "n_folds": 2, "max_iter": 30, "random_state": 0}
    steps, choice = drained(iter_choose_k(faces, preview=True, **effort))
    first = [step for step in steps if step.is_preview]
    assert steps[: len(first) + 1][1:] == first  # after the faces are read
    assert first[-1].choice.ks.tolist() == [2, 4, 8]
    assert first[-1].choice.models[2].shape == (60, 48, 40)
    assert len({step.total for step in steps}) == 1
    done = [step.done for step in steps]
    assert sorted(done) == done
    assert steps[-1].seconds_left is not None
    np.testing.assert_array_equal(choice.errors, choose_k(faces, **effort).errors)
    small, _ = drained(iter_choose_k(faces[:, ::2, ::2], preview=True, **effort))
    assert not any(step.is_preview for step in small)
    _, nothing = drained(iter_choose_k(faces, preview=True, **effort), stop_at=1)
    assert not nothing


def test_a_stop_keeps_what_is_measured():
    pictures = blobs()[0]
    _, choice = drained(iter_choose_k(pictures, range(1, 16), n_starts=2, n_folds=2), stop_at=8)
    assert 0 < len(choice) < 15
    steps, nothing = drained(iter_choose_k(pictures, [2, 3]), stop_at=0)
    assert not nothing
    assert len(steps) == 1


def test_a_long_fit_lets_its_caller_look_in_and_ends_when_asked():
    steps = iter_choose_k(blobs()[0], [3], max_iter=10**6, tol=0)
    seen = [next(steps) for _ in range(4)]
    assert seen[-1].done == 0
    steps.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("choose-k")]


def test_what_is_measured_does_not_depend_on_the_number_of_processors(stack, monkeypatch):
    first = choose_k(stack, [2, 3], n_starts=2, n_folds=3)
    monkeypatch.setattr("napari_latent_faces.choosing.search.processors", lambda: 1)
    second = choose_k(stack, [2, 3], n_starts=2, n_folds=3)
    np.testing.assert_array_equal(first.fold_errors, second.fold_errors)
    np.testing.assert_array_equal(first.errors, second.errors)


def test_the_same_seed_gives_the_same_measures(stack):
    first, second, other = (
        choose_k(stack, [2, 3], n_starts=2, n_folds=3, random_state=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.fold_errors, second.fold_errors)
    np.testing.assert_array_equal(first.stabilities, second.stabilities)
    assert (first.fold_errors != other.fold_errors).all()


def test_a_lazy_stack_gives_the_same_as_one_in_memory(stack):
    lazy = FaceStack(
        da.from_array(stack.images, chunks=(7, -1, -1)), stack.names, stack.subjects
    )
    first, second = (choose_k(each, [2, 3], n_starts=2, n_folds=3) for each in (stack, lazy))
    np.testing.assert_array_equal(first.fold_errors, second.fold_errors)


class Huge:
    """A stack of 200,000 faces that notes which are read."""

    ndim, dtype, shape = 3, np.dtype(np.uint8), (200_000, 12, 10)

    def __init__(self):
        self.read = set()

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, faces):
        wanted = range(self.shape[0])[faces]
        self.read.update(wanted)
        pictures = [np.random.default_rng(i).integers(0, 256, (12, 10)) for i in wanted]
        return np.array(pictures, np.uint8)


def test_of_a_huge_stack_only_a_sample_is_read():
    images = Huge()
    choice = choose_k(images, [1, 2], n_starts=2, n_folds=2, max_faces=40)
    assert images.read == set(choice.faces.tolist())
    assert len(choice.faces) == 40
    assert choice.is_sample
    assert "a random sample of 40 of 200000 faces" in choice.reason
    assert choice.models[2].shape == (40, 12, 10)
    assert choice.models[2].provenance.names == tuple(f"face {i}" for i in choice.faces)


def test_people_are_held_out_as_a_whole():
    """Twelve people without anything in common: who is held out cannot be predicted."""
    pictures = np.kron(np.eye(12), np.ones((4, 20))).reshape(48, 12, 20)
    pictures *= np.random.default_rng(0).uniform(0.5, 1, (48, 1, 1))
    names = tuple(map(str, range(48)))
    people = FaceStack(pictures, names, tuple(f"s{i // 4}" for i in range(48)))
    apart, mixed = (
        choose_k(each, [8], n_starts=2, n_folds=3, max_iter=100).held_out[0]
        for each in (people, FaceStack(pictures, names))
    )
    assert apart == pytest.approx(1)
    assert mixed < 0.9


def test_pictures_in_colour_are_measured():
    grey = blobs()[0]
    colour = grey[..., None] * np.array([1.0, 0.8, 0.5])
    choice = choose_k(colour, [2, 4], n_starts=2, n_folds=2)
    assert choice.suggested == 4
    assert choice.model.components.shape == (4, 12, 10, 3)


def test_fits_that_do_not_converge_are_counted_and_do_not_warn(stack):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        choice = choose_k(stack, [3], n_starts=2, n_folds=2, max_iter=3, tol=1e-9)
    assert choice.unconverged.tolist() == [4]
    assert choice.models[3].provenance.stop_reason == "max_iter"
    assert "did not converge" in choice.reason


@pytest.mark.parametrize("solver", ["cd", "mu"])
def test_scikit_learns_solvers_can_be_measured(solver, pictures):
    params = NMFParams(solver=solver, max_iter=200)
    choice = choose_k(pictures, [2, 4], params, n_starts=2, n_folds=2)
    assert choice.suggested == 4
    assert choice.models[4].params.solver == solver


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"ks": [29]}, ValueError, "k must be from 1 to 24"),
        ({"n_folds": 16}, ValueError, "n_folds=16 needs at least 32 faces, got 30"),
        ({"n_folds": 1}, ValueError, "n_folds must be from 2 to 100, got 1"),
        ({"n_starts": 2.5}, TypeError, "n_starts must be a whole number"),
        ({"max_faces": 3}, ValueError, "max_faces must be 10 or more, got 3"),
        ({"tol": -1}, ValueError, "tol must be"),
        ({"n_fold": 3}, TypeError, "n_fold"),
    ],
)
def test_what_is_wrong_is_told_before_the_first_step(pictures, arguments, kind, words):
    with pytest.raises(kind, match=words):
        iter_choose_k(pictures, **arguments)


def test_a_bad_pixel_is_told_with_the_name_of_its_face(pictures):
    pictures[7, 3, 3] = np.nan
    with pytest.raises(ValueError, match="'face 7' has NaN"):
        choose_k(pictures, [2])


def test_a_model_of_a_sample_becomes_one_of_all_faces(stack):
    part = fit(stack[::3], n_components=3, tol=1e-6, max_iter=2000)
    steps = iter_whole_model(part, stack)
    seen, whole = [], None
    while whole is None:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            whole = end.value
    assert seen[-1] == (30, 30)
    assert whole.shape == stack.shape
    assert whole.provenance.names == stack.names
    lost = np.linalg.norm(stack.images - whole.reconstruct())
    assert whole.error == pytest.approx(lost / np.linalg.norm(stack.images.astype(float)))
    weights = part.encode(stack)
    np.testing.assert_allclose(np.sort(whole.weights), np.sort(weights), rtol=1e-5, atol=1e-7)
    assert (np.diff(whole.shares) <= 1e-12).all()


def test_orl_says_something_sensible(data):
    from napari_latent_faces.reading import read_faces

    faces = read_faces(data / "orl", size=(28, 23))
    choice = choose_k(faces, [2, 8, 20], n_starts=2, n_folds=3, max_faces=200)
    assert len(choice.faces) == 200
    assert (np.diff(choice.errors) < 0).all()
    assert choice.held_out[0] > choice.held_out[1]
    assert (choice.held_out > choice.errors).all()
