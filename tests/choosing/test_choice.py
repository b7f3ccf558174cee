from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from tests.choosing.made import choice_of


def test_a_clear_minimum_is_suggested():
    choice = choice_of([2, 4, 6, 8], [0.5, 0.2, 0.3, 0.4], spread=0.01)
    assert choice.suggested == 4
    assert choice.reason == "k = 4 has the lowest held-out error, 0.2000."


def test_of_a_flat_minimum_the_smallest_is_suggested_and_said_to_be_flat():
    choice = choice_of([2, 4, 6, 8, 9], [0.5, 0.206, 0.2, 0.204, 0.4], spread=0.01)
    assert choice.as_good.tolist() == [False, True, True, True, False]
    assert choice.suggested == 4
    assert "within one standard error or 2 % of the lowest (0.2000, at k = 6)" in choice.reason
    assert "does not tell it from k = 6, 8." in choice.reason


def test_one_standard_error_is_that_of_the_difference():
    held_out = [0.206, 0.2]
    assert choice_of([4, 6], held_out, spread=0.0059).suggested == 6
    assert choice_of([4, 6], held_out, spread=0.0061).suggested == 4
    np.testing.assert_allclose(choice_of([4, 6], held_out, spread=0.0061).spread, [0.0061, 0])


def test_two_percent_are_not_worth_more_components():
    assert choice_of([4, 6], [0.2039, 0.2]).suggested == 4
    assert choice_of([4, 6], [0.2041, 0.2]).suggested == 6


def test_what_rounding_leaves_is_not_worth_more_components():
    assert choice_of([2, 4, 6], [0.2, 9e-5, 1e-5]).suggested == 4
    assert choice_of([2, 4, 6], [0.2, 1.2e-4, 1e-5]).suggested == 6


def test_faces_that_are_hard_for_every_k_do_not_blur_the_difference():
    choice = choice_of([4, 6], [0.206, 0.2], spread=0.001)
    hard = choice.fold_errors + np.array([-0.1, 0.1])
    np.testing.assert_allclose(replace(choice, fold_errors=hard).spread, choice.spread)


def test_a_lone_good_value_among_bad_ones_is_chance():
    choice = choice_of([2, 3, 4, 5], [0.203, 0.25, 0.2, 0.3], spread=0.01)
    assert choice.suggested == 4


def test_among_equals_a_clearly_more_stable_one_wins():
    held_out, spread = [0.203, 0.2, 0.204, 0.4], 0.01
    near = choice_of([4, 5, 6, 7], held_out, spread=spread, stabilities=[0.8, 0.84, 0.84, 0.99])
    assert near.suggested == 4
    clear = choice_of([4, 5, 6, 7], held_out, spread=spread, stabilities=[0.8, 0.84, 0.9, 0.99])
    assert clear.suggested == 6
    assert "more stable (0.90) than those of the smallest such k, 4" in clear.reason


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (choice_of([2, 4], [0.5, 0.2]), "at the largest k tried: try larger"),
        (choice_of([2, 4], [0.2, 0.5]), "the smallest k tried: try smaller"),
        (choice_of([7], [0.2]), "k = 7 is the only one measured: held-out error 0.2000."),
        (choice_of([2, 4, 6], [3, 1, 2], stabilities=[0.5] * 3), "(stability 0.50)"),
        (choice_of([2], [1], n_faces=9000), "a random sample of 50 of 9000 faces"),
        (
            replace(choice_of([2, 4], [0.5, 0.2]), unconverged=np.array([0, 3])),
            "3 of its fits did not converge: raise max_iter or tol",
        ),
    ],
)
def test_what_speaks_against_it_is_said(choice, words):
    assert words in choice.reason


def test_one_component_is_as_small_as_can_be():
    assert "smaller" not in choice_of([1, 2], [0.1, 0.3]).reason


def test_the_table_holds_every_measure(tmp_path):
    choice = choice_of([2, 4, 6], [0.5, 0.1 + 0.2, 0.4], spread=0.01)
    path = tmp_path / "choice.csv"
    choice.save_csv(path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["k"]) for row in rows] == [2, 4, 6]
    assert [int(row["suggested"]) for row in rows] == [0, 1, 0]
    columns = ("held_out_error_1", "held_out_error_2")
    folds = [[float(row[column]) for column in columns] for row in rows]
    np.testing.assert_array_equal(folds, choice.fold_errors)
    assert [float(row["stability"]) for row in rows] == choice.stabilities.tolist()


def test_nothing_measured_suggests_nothing(tmp_path):
    choice = choice_of([2], [1])
    empty = replace(
        choice,
        ks=choice.ks[:0],
        errors=choice.errors[:0],
        fold_errors=choice.fold_errors[:0],
        stabilities=choice.stabilities[:0],
    )
    assert not empty
    assert empty.rows() == []
    for ask in (lambda: empty.suggested, lambda: empty.save_csv(tmp_path / "c.csv")):
        with pytest.raises(ValueError, match="No number of components"):
            ask()
    assert not list(tmp_path.iterdir())
