from __future__ import annotations

import csv

import pytest

from napari_latent_faces.export import cell, component_heads, writing_table


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_what_a_spreadsheet_would_calculate_stays_text(text):
    assert cell(text) == f"'{text}"


def test_other_text_stays_as_it_is():
    for text in ("s1/1.pgm", "", "'=", "a=b"):
        assert cell(text) == text


def test_names_and_subjects_are_made_harmless_and_numbers_are_not(tmp_path):
    path = tmp_path / "table.csv"
    list(writing_table(path, ["=cmd()", "b"], ["s1", "@s2"], ["weight"], [[-0.5], [2.0]]))
    assert read(path) == [
        ["name", "subject", "weight"],
        ["'=cmd()", "s1", "-0.5"],
        ["b", "'@s2", "2.0"],
    ]


def test_without_subjects_there_is_no_column_for_them(tmp_path):
    path = tmp_path / "table.csv"
    list(writing_table(path, ["a"], None, ["weight"], [[1.0]]))
    assert read(path) == [["name", "weight"], ["a", "1.0"]]


def test_numbers_of_components_have_one_length():
    assert component_heads(2) == ["component_00", "component_01"]
    assert component_heads(101)[7] == "component_007"


def test_a_long_one_tells_how_far_it_is(tmp_path):
    n = 1000
    names, path = [str(i) for i in range(n)], tmp_path / "table.csv"
    steps = list(writing_table(path, names, None, ["weight"], ([i] for i in range(n))))
    assert steps == sorted(set(steps))
    assert steps[0] == 0
    assert n / 4 < steps[-1] < n
    assert len(read(path)) == n + 1
