from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.choosing.search import (
    check_ks,
    further_ks,
    most_faces,
    spread_out,
    start_grid,
)
from napari_latent_faces.options import ChoiceOptions, parse_ks
from tests.choosing.made import choice_of


@pytest.mark.parametrize(
    ("text", "ks"),
    [
        ("auto", None),
        (" Auto ", None),
        ("7", [7]),
        ("2, 4,8", [2, 4, 8]),
        ("5:20:5", [5, 10, 15, 20]),
        ("3:5", [3, 4, 5]),
        ("1,10:30:10", [1, 10, 20, 30]),
    ],
)
def test_a_text_spells_numbers(text, ks):
    assert parse_ks(text) == ks


@pytest.mark.parametrize(
    "text", ["", "two", "5:", "5:1", "1:9:0", "1:2:3:4", "1:999999999", "2;4"]
)
def test_or_is_refused_with_examples(text):
    with pytest.raises(ValueError, match=r"k must be 'auto', .* '5:60:5', got "):
        parse_ks(text)


def test_numbers_are_taken_in_order_and_once():
    assert check_ks([8, 2, np.int64(4), 2], most=8, n_folds=5) == [2, 4, 8]


@pytest.mark.parametrize(
    ("ks", "kind", "words"),
    [
        ([], ValueError, "ks is empty"),
        ([0, 3], ValueError, "k must be from 1 to 8 .*one of 5 parts.* got 0"),
        ([3, 9], ValueError, "got 9"),
        ([2.5], TypeError, "whole numbers"),
    ],
)
def test_wrong_numbers_are_told(ks, kind, words):
    with pytest.raises(kind, match=words):
        check_ks(ks, most=8, n_folds=5)


@settings(deadline=None, max_examples=50)
@given(st.sets(st.integers(1, 200), min_size=1))
def test_an_order_that_shows_the_range_soon_leaves_nothing_out(ks):
    ks = sorted(ks)
    order = spread_out(ks)
    assert sorted(order) == ks
    assert order[0] == ks[0]
    assert ks[-1] in order[:3]


def test_the_grid_ends_where_fits_do():
    assert start_grid(300) == [2, 4, 8, 16, 32, 64]
    assert start_grid(10) == [2, 4, 8]
    assert start_grid(1) == [1]


def test_a_search_ends_next_to_the_minimum():
    true = 23
    ks = start_grid(300)
    for _ in range(20):
        more = further_ks(choice_of(ks, [abs(k - true) / 100 for k in ks]), 300)
        if not more:
            break
        ks = sorted({*ks, *more})
    assert more == []
    assert {true - 1, true, true + 1} <= set(ks)
    assert len(ks) < 16


def test_a_search_goes_beyond_its_grid_where_the_error_still_falls():
    ks = [2, 4, 8, 16, 32, 64]
    falling = [1 / k for k in ks]
    assert further_ks(choice_of(ks, falling), 300) == [128]
    assert further_ks(choice_of(ks, falling), 100) == [100]
    assert further_ks(choice_of([*ks, 128], [*falling, 1 / 128]), 300) != [256]


def test_a_search_tries_a_single_component_where_two_are_enough():
    assert 1 in further_ks(choice_of([2, 4, 8], [0.1, 0.2, 0.3]), 8)


def test_of_large_pictures_fewer_are_held_in_memory():
    options = ChoiceOptions(max_faces=2000)
    assert most_faces(options, 100 * 100) == 2000
    assert most_faces(options, 1024 * 1024) == 256
    assert most_faces(options, 4096 * 4096) == 100
    assert most_faces(ChoiceOptions(max_faces=20), 4096 * 4096) == 20
