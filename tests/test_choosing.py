"""How many components: which k are measured, what is measured, and what it speaks for."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import pairwise

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from napari_latent_faces.choosing import (
    KChoice,
    choose_k,
    face_folds,
    further_ks,
    held_out_error,
    iter_choose_k,
    pixel_half,
    spread_out,
    stability,
)
from napari_latent_faces.encoding import iter_whole_model
from napari_latent_faces.fitting import fit
from napari_latent_faces.params import NMFParams, parse_ks
from napari_latent_faces.stack import FaceStack
from tests.conftest import blobs
from tests.helpers import Watched, consume, lost, rows_in


def made_faces(k, seed, *, n=300, size=(24, 24), noise=0.2):
    """Return 8-bit faces that are sums of `k` non-negative parts, and noise.

    One part is as wide as the face, and in all of them; the others are spots, each in half of
    the faces, one in a cell of a grid. `noise` is in standard deviations of the pixels.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    wide = np.exp(-(((y / size[0] - 0.5) / 0.6) ** 2) - ((x / size[1] - 0.5) / 0.6) ** 2)
    cells = int(np.ceil(np.sqrt(k - 1)))
    places = np.argwhere(np.ones((cells, cells)))[rng.permutation(cells**2)[: k - 1]]
    centres = (places + rng.uniform(0.25, 0.75, (k - 1, 2))) * np.array(size) / cells
    centres = centres[..., None, None]
    widths = rng.uniform(1.2, 2.5, (k - 1, 2))[..., None, None]
    spots = np.exp(
        -(((y - centres[:, 0]) / widths[:, 0]) ** 2 + ((x - centres[:, 1]) / widths[:, 1]) ** 2)
        / 2
    )
    weights = rng.exponential(0.5, (n, k)) * (rng.random((n, k)) < 0.5)
    weights[:, 0] = rng.uniform(0.6, 1.4, n)
    clean = np.tensordot(weights, np.concatenate([wide[None], spots]), 1)
    grain = rng.standard_normal(clean.shape)
    noisy = np.maximum(clean + noise * clean.std() * grain / grain.std(), 0)
    return np.round(noisy / noisy.max() * 255).astype(np.uint8)


def choice_of(ks, held_out, *, spread=0.0, stabilities=None, n_faces=50, faces=50):
    """Return a `KChoice` with these measures, and no models.

    `spread` is the standard error of all differences to the lowest held-out error.
    """
    held_out = np.asarray(held_out, float)
    wobble = np.array([-1.0, 1.0]) * spread
    folds = held_out[:, None] + wobble * (np.arange(len(ks)) != held_out.argmin())[:, None]
    return KChoice(
        ks=np.array(ks),
        errors=held_out / 2,
        fold_errors=folds,
        stabilities=np.full(len(ks), 0.9) if stabilities is None else np.array(stabilities),
        unconverged=np.zeros(len(ks), int),
        models={},
        faces=np.arange(faces),
        n_faces=n_faces,
    )


# -- Which k are measured --------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ks"),
    [
        ("auto", None),
        (" Auto ", None),
        ("7", [7]),
        ("2, 4,8", [2, 4, 8]),
        ("3:5", [3, 4, 5]),
        ("1,10:30:10", [1, 10, 20, 30]),
    ],
)
def test_a_text_spells_numbers(text, ks):
    assert parse_ks(text) == ks
    for wrong in ["", "two", "5:", "5:1", "1:9:0", "1:2:3:4", "1:999999999", "2;4"]:
        with pytest.raises(ValueError, match=r"k must be 'auto', .* '5:60:5', got "):
            parse_ks(wrong)


@settings(deadline=None, max_examples=50)
@given(st.sets(st.integers(1, 200), min_size=1))
def test_an_order_that_shows_the_range_soon_leaves_nothing_out(ks):
    order = spread_out(sorted(ks))
    assert sorted(order) == sorted(ks)
    assert order[0] == min(ks)
    assert max(ks) in order[:3]


def test_a_search_ends_next_to_the_minimum():
    true = 23
    ks = [2, 4, 8, 16, 32, 64]
    for _ in range(20):
        more = further_ks(choice_of(ks, [abs(k - true) / 100 for k in ks]), 300)
        if not more:
            break
        ks = sorted({*ks, *more})
    assert more == []
    assert {true - 1, true, true + 1} <= set(ks)
    assert len(ks) < 16


def test_a_search_goes_beyond_its_grid_to_both_sides():
    assert 1 in further_ks(choice_of([2, 4, 8], [0.1, 0.2, 0.3]), 8)
    ks = [2, 4, 8, 16, 32, 64]
    falling = [1 / k for k in ks]
    assert further_ks(choice_of(ks, falling), 300) == [128]
    assert further_ks(choice_of(ks, falling), 100) == [100]
    assert further_ks(choice_of([*ks, 128], [*falling, 1 / 128]), 300) != [256]


# -- What is suggested -----------------------------------------------------------------


EQUALS = [0.203, 0.2, 0.204, 0.4]  # but for the last


@pytest.mark.parametrize(
    ("ks", "held_out", "options", "suggested", "words"),
    [
        ([2, 4, 6], [0.5, 0.2, 0.3], {}, 4, "k = 4 has the lowest held-out error, 0.2000."),
        # of a flat minimum the smallest, and it is said to be flat
        (
            [2, 4, 6, 8, 9],
            [0.5, 0.206, 0.2, 0.204, 0.4],
            {"spread": 0.01},
            4,
            "of the lowest (0.2000, at k = 6). The data does not tell it from k = 6, 8.",
        ),
        # one standard error is that of the difference
        ([4, 6, 7], [0.206, 0.2, 0.3], {"spread": 0.0059}, 6, ""),
        ([4, 6, 7], [0.206, 0.2, 0.3], {"spread": 0.0061}, 4, ""),
        # two percent, and what rounding leaves, are not worth more components
        ([4, 6, 7], [0.2039, 0.2, 0.3], {}, 4, ""),
        ([4, 6, 7], [0.2041, 0.2, 0.3], {}, 6, ""),
        ([2, 4, 6], [0.2, 9e-5, 1e-5], {}, 4, ""),
        ([2, 4, 6], [0.2, 1.2e-4, 1e-5], {}, 6, ""),
        # a lone good value among bad ones is chance
        ([2, 3, 4, 5], [0.203, 0.25, 0.2, 0.3], {"spread": 0.01}, 4, ""),
        # among equals a clearly more stable one wins
        ([4, 5, 6, 7], EQUALS, {"spread": 0.01, "stabilities": [0.8, 0.84, 0.84, 0.99]}, 4, ""),
        (
            [4, 5, 6, 7],
            EQUALS,
            {"spread": 0.01, "stabilities": [0.8, 0.84, 0.9, 0.99]},
            6,
            "more stable (0.90) than those of the smallest such k, 4",
        ),
        # what speaks against it
        ([2, 4], [0.5, 0.2], {}, 4, "at the largest k tried: try larger"),
        ([2, 4], [0.2, 0.5], {}, 2, "the smallest k tried: try smaller"),
        ([1, 2], [0.1, 0.3], {}, 1, "k = 1 has the lowest held-out error, 0.1000."),
        ([7], [0.2], {}, 7, "k = 7 is the only one measured: held-out error 0.2000."),
        ([2, 4, 6], [3, 1, 2], {"stabilities": [0.5] * 3}, 4, "(stability 0.50)"),
        ([2], [1], {"n_faces": 9000}, 2, "a random sample of 50 of 9000 faces"),
    ],
)
def test_what_is_suggested_and_why(ks, held_out, options, suggested, words):
    choice = choice_of(ks, held_out, **options)
    assert choice.suggested == suggested
    assert words in choice.reason
    assert choice.as_good[ks.index(suggested)]
    # faces that are hard for every k do not blur the difference
    hard = choice.fold_errors + np.array([-0.1, 0.1])
    spread = replace(choice, fold_errors=hard).spread
    np.testing.assert_allclose(spread, choice.spread, atol=1e-12)


def test_the_table_holds_every_measure(tmp_path):
    choice = choice_of([2, 4, 6], [0.5, 0.1 + 0.2, 0.4], spread=0.01)
    choice.save_csv(tmp_path / "choice.csv")
    head, *rows = rows_in(tmp_path / "choice.csv")
    columns = dict(zip(head, np.array(rows, float).T, strict=True))
    for name, values in {
        "k": [2, 4, 6],
        "suggested": [0, 1, 0],
        "held_out_error_1": choice.fold_errors[:, 0],
        "held_out_error_2": choice.fold_errors[:, 1],
        "stability": choice.stabilities,
    }.items():
        np.testing.assert_array_equal(columns[name], values)


# -- Held-out error and stability ------------------------------------------------------


seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 6), min_size=6, max_size=30), st.booleans(), seeds)
def test_parts_are_all_faces_once_and_no_subject_is_in_two(counts, are_known, seed):
    subjects = [f"s{i}" for i, count in enumerate(counts) for _ in range(count)]
    n, known = len(subjects), subjects if are_known else None
    folds = face_folds(n, known, 3, np.random.default_rng(seed))
    assert sorted(np.concatenate(folds)) == list(range(n))
    sizes = [len(fold) for fold in folds]
    assert max(sizes) - min(sizes) <= (max(counts) if are_known else 1)
    if are_known:
        owners = [{subjects[i] for i in fold} for fold in folds]
        assert sum(map(len, owners)) == len(counts)
    # too few subjects are dealt out face by face
    folds = face_folds(20, ["a"] * 10 + ["b"] * 10, 5, np.random.default_rng(seed))
    assert [len(fold) for fold in folds] == [4] * 5


def test_halves_are_made_of_tiles_that_are_not_always_the_same():
    rng = np.random.default_rng(0)
    halves = [pixel_half((112, 92), rng).reshape(112, 92) for _ in range(20)]
    for half in halves:
        assert 0.35 < half.mean() < 0.65
        alike = (half[:, 1:] == half[:, :-1]).mean()
        assert alike > 0.9  # few edges: neighbours are mostly on the same side
    assert 0.4 < np.mean([a == b for a, b in pairwise(halves)]) < 0.6
    for size in [(2, 1), (2, 60), (60, 1), (7, 30)]:  # none of them is empty
        half, colour = (pixel_half((*size, *c), np.random.default_rng(0)) for c in ((), (3,)))
        assert 0 < half.sum() < half.size == size[0] * size[1]
        np.testing.assert_array_equal(colour, half.repeat(3))


def test_the_held_out_error_is_what_one_gets_by_hand(model, stack):
    rng = np.random.default_rng(0)
    halves = [pixel_half((12, 10), rng) for _ in range(3)]
    X = stack.images[:5].reshape(5, -1) / model.scale
    H = model.components.reshape(3, -1).astype(float)
    left = norm = 0.0
    for half in halves:
        for seen in (half, ~half):
            for face in X:
                weights, _ = nnls(H[:, seen].T, face[seen])
                left += ((face[~seen] - weights @ H[:, ~seen]) ** 2).sum()
                norm += (face[~seen] ** 2).sum()
    expected = np.sqrt(left / norm)
    assert held_out_error(model, stack.images[:5], halves) == pytest.approx(expected, rel=1e-6)
    assert held_out_error(model, np.zeros((2, 12, 10), np.uint8), halves) == 0


def test_stability_falls_with_each_fit_that_differs():
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 4, 30)) ** 6
    same = stability([one, one[::-1], one])
    mixed = stability([one, one, other])
    assert same == pytest.approx(1)
    assert stability([one, other, other[:, ::-1]]) < mixed < same


# -- The search ------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["multilevel", "cd", "mu"])
@pytest.mark.parametrize("colour", [(), (1.0, 0.8, 0.5)], ids=["grey", "colour"])
def test_the_number_of_parts_is_found_with_models_of_a_fit_or_better(solver, colour):
    pictures = np.multiply.outer(blobs(n=60)[0], np.array(colour)) if colour else blobs(60)[0]
    params = NMFParams(solver=solver, max_iter=200)
    ks = [2, 3, 4, 5, 6] if solver == "multilevel" else [2, 3, 4]
    choice = choose_k(pictures, ks, params, n_folds=3, n_starts=2)
    assert choice.suggested == 4
    assert choice.ks.tolist() == ks
    assert (np.diff(choice.errors[:3]) < 0).all()
    assert choice.held_out[2] < 0.5 * choice.held_out[1]
    assert (choice.held_out > choice.errors)[:3].all()
    assert choice.fold_errors.shape == (len(ks), 3)
    assert (choice.stabilities <= 1).all()
    assert choice.model is choice.models[4]
    for k, model in choice.models.items():
        assert model.shape[:3] == (60, 12, 10)
        assert model.picture_shape == pictures.shape[1:]
        assert model.params.solver == solver
        assert (np.diff(model.shares) <= 1e-12).all()
        np.testing.assert_allclose(model.components.reshape(k, -1).max(axis=1), 1, rtol=1e-6)
        if solver == "multilevel":
            assert model.error <= fit(pictures, n_components=k).error


@pytest.mark.parametrize(("k", "seed"), [(5, 3), (5, 4), (10, 3), (10, 4), (25, 11)])
def test_known_numbers_of_parts_are_found_under_noise(k, seed):
    ks = {k // 2, k - 2, k - 1, k, k + 1, k + 2, k + 4, 2 * k}
    choice = choose_k(made_faces(k, seed), ks, n_starts=2)
    assert abs(choice.suggested - k) <= 1


def test_a_search_finds_them_by_itself_with_no_more_fits_than_it_said():
    faces = made_faces(5, 0, n=200, size=(16, 16))
    steps, choice = consume(iter_choose_k(faces, n_folds=3, n_starts=2))
    assert abs(choice.suggested - 5) <= 1
    assert {choice.suggested - 1, choice.suggested + 1} <= set(choice.ks.tolist())
    totals = [step.total for step in steps]
    assert sorted(totals, reverse=True) == totals
    assert 5 * len(choice) <= totals[-1]


def test_steps_tell_how_far_it_is_and_curves_grow():
    search = iter_choose_k(blobs()[0], [2, 3, 4], n_starts=2, n_folds=2, max_iter=20)
    steps, choice = consume(search)
    for told in ([step.done for step in steps], [len(step.choice) for step in steps]):
        assert sorted(told) == told
    assert steps[0].done == 0
    assert {step.done for step in steps} <= set(range(12))
    assert {step.total for step in steps} == {12}
    assert choice.ks.tolist() == [2, 3, 4]
    assert steps[1].doing.startswith("k = 2, fit ")


def test_a_first_look_comes_before_the_search_and_changes_nothing_of_it():
    faces = made_faces(4, 0, n=60, size=(96, 80))
    effort = {"ks": [2, 4, 8], "n_starts": 2, "n_folds": 2, "max_iter": 30, "random_state": 0}
    steps, choice = consume(iter_choose_k(faces, preview=True, **effort))
    first = [step for step in steps if step.is_preview]
    assert steps[: len(first) + 1][1:] == first  # after the faces are read
    assert first[-1].choice.ks.tolist() == [2, 4, 8]
    assert first[-1].choice.models[2].shape == (60, 48, 40)
    assert len({step.total for step in steps}) == 1
    done = [step.done for step in steps]
    assert sorted(done) == done
    assert steps[-1].seconds_left is not None
    np.testing.assert_array_equal(choice.errors, choose_k(faces, **effort).errors)
    small, _ = consume(iter_choose_k(faces[:, ::2, ::2], preview=True, **effort))
    assert not any(step.is_preview for step in small)
    _, nothing = consume(iter_choose_k(faces, preview=True, **effort), lambda s: s.done >= 1)
    assert not nothing


def test_a_stop_keeps_what_is_measured_and_closing_ends_a_long_fit(tmp_path):
    pictures = blobs()[0]
    search = iter_choose_k(pictures, range(1, 16), n_starts=2, n_folds=2)
    _, choice = consume(search, lambda step: step.done >= 8)
    assert 0 < len(choice) < 15
    steps, nothing = consume(iter_choose_k(pictures, [2, 3]), stop_after=1)
    assert not nothing
    assert len(steps) == 1
    assert not steps[0].choice
    for ask in (lambda: nothing.suggested, lambda: nothing.save_csv(tmp_path / "c.csv")):
        with pytest.raises(ValueError, match="No number of components"):
            ask()
    assert not list(tmp_path.iterdir())
    steps = iter_choose_k(pictures, [3], max_iter=10**6, tol=0)
    assert [next(steps).done for _ in range(4)] == [0] * 4  # a long fit lets look in
    steps.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("choose-k")]


def test_what_is_measured_depends_on_the_seed_and_not_on_processors(stack, monkeypatch):
    effort = {"ks": [2, 3], "n_starts": 2, "n_folds": 3}
    first, other = (choose_k(stack, **effort, random_state=seed) for seed in (1, 2))
    monkeypatch.setattr("napari_latent_faces.choosing.processors", lambda: 1)
    again = choose_k(stack, **effort, random_state=1)
    for name in ("fold_errors", "errors", "stabilities"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert (first.fold_errors != other.fold_errors).all()
    # fits that do not converge are counted and do not warn
    choice = choose_k(stack, [3], n_starts=2, n_folds=2, max_iter=3, tol=1e-9)
    assert choice.unconverged.tolist() == [4]
    assert choice.models[3].provenance.stop_reason == "max_iter"
    assert "did not converge" in choice.reason
    lazy = replace(stack, images=da.from_array(stack.images, chunks=(7, -1, -1)))
    again = choose_k(lazy, **effort, random_state=1)
    np.testing.assert_array_equal(first.fold_errors, again.fold_errors)


def test_of_a_huge_stack_only_a_sample_is_read():
    images = Watched(np.broadcast_to(blobs()[0][0], (200_000, 12, 10)))
    choice = choose_k(images, [1, 2], n_starts=2, n_folds=2, max_faces=40)
    assert sorted(images.seen) == choice.faces.tolist()
    assert len(choice.faces) == 40
    assert choice.is_sample
    assert "a random sample of 40 of 200000 faces" in choice.reason
    assert choice.models[2].shape == (40, 12, 10)
    assert choice.models[2].provenance.names == tuple(f"face {i}" for i in choice.faces)
    # of large pictures fewer are held in memory
    for side, options, n in ((100, {}, 2000), (1024, {}, 256), (2048, {"max_faces": 20}, 20)):
        images = da.zeros((3000, side, side), np.uint8, chunks=(1, -1, -1))
        assert len(next(iter_choose_k(images, [2], **options)).choice.faces) == n


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


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"ks": []}, ValueError, r"k must be from 1 to 24 .*, got \[\]"),
        ({"ks": [3, 0]}, ValueError, r"one of 5 parts is held out\), got \[0, 3\]"),
        ({"ks": [3, 29]}, ValueError, r"got \[3, 29\]"),
        ({"ks": [2.5]}, TypeError, "integer"),
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
    pictures[7, 3, 3] = np.nan
    with pytest.raises(ValueError, match="'face 7' has NaN"):
        choose_k(pictures, [2], solver="cd")


def test_a_model_of_a_sample_becomes_one_of_all_faces(stack):
    part = fit(stack[::3], n_components=3, tol=1e-6, max_iter=2000)
    seen, whole = consume(iter_whole_model(part, stack))
    assert seen[-1] == (30, 30)
    assert whole.shape == stack.shape
    assert whole.provenance.names == stack.names
    assert whole.error == pytest.approx(lost(stack, whole))
    weights = part.encode(stack)
    np.testing.assert_allclose(np.sort(whole.weights), np.sort(weights), rtol=1e-5, atol=1e-7)
    assert (np.diff(whole.shares) <= 1e-12).all()
