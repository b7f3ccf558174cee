from __future__ import annotations

import csv

import numpy as np
import pytest

from napari_latent_faces import files
from napari_latent_faces.mixing.recipes import Recipe, number_recipes, save_recipes


def table(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_the_table_gives_the_same_weights_back(tmp_path):
    weights = np.random.default_rng(0).random((12, 101)).astype(np.float32)
    save_recipes(tmp_path / "r.csv", number_recipes(weights, "random, seed 3", first=5))
    head, *rows = table(tmp_path / "r.csv")
    assert head[:3] == ["name", "made", "component_000"]
    assert head[-1] == "component_100"
    assert [row[0] for row in rows] == [f"generated {i}" for i in range(5, 17)]
    assert {row[1] for row in rows} == {"random, seed 3"}
    read = np.array([row[2:] for row in rows], np.float32)
    np.testing.assert_array_equal(read, weights)


def test_spreadsheets_are_told_the_encoding(tmp_path):
    save_recipes(tmp_path / "r.csv", [Recipe("é/面.png", "", (1.0,))])
    assert (tmp_path / "r.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert table(tmp_path / "r.csv")[1][0] == "é/面.png"


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_name_becomes_a_formula(tmp_path, name):
    save_recipes(tmp_path / "r.csv", [Recipe(name, name, (-1.0,))])
    _, [found, made, weight] = table(tmp_path / "r.csv")
    assert found == made == f"'{name}"
    assert weight == "-1.0"


@pytest.mark.parametrize("name", ['a,"b"', "two\nlines", "a=b", "\udcff"])
def test_names_of_any_kind_stay_in_their_cell(tmp_path, name):
    save_recipes(tmp_path / "r.csv", [Recipe(name, "", (1.0,))])
    escaped = name.encode("utf-8", "backslashreplace").decode()
    assert table(tmp_path / "r.csv")[1] == [escaped, "", "1.0"]


def test_recipes_of_different_models_are_refused(tmp_path):
    with pytest.raises(ValueError, match="different numbers of components"):
        save_recipes(tmp_path / "r.csv", [Recipe("a", "", (1.0,)), Recipe("b", "", (1.0, 2.0))])
    assert not list(tmp_path.iterdir())


def test_an_earlier_table_stays_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "r.csv"
    path.write_text("mine")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        save_recipes(path, [Recipe("a", "", (1.0,))])
    assert path.read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1
