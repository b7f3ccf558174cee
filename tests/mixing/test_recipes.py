from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces.files import CONTENTS
from napari_latent_faces.mixing.recipes import (
    Recipe,
    number_recipes,
    save_recipes,
    write_generated,
)
from tests.mixing.conftest import correlated_weights, made_model


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


def test_no_name_becomes_a_formula(tmp_path):
    name = "=cmd|' /C calc'!A0"
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


# -- Generated -------------------------------------------------------------------------


@pytest.fixture
def model():
    return made_model(correlated_weights(20, 4) / 4)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def files(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_pictures_and_recipes_belong_together(model, out):
    assert write_generated(model, model.weights, out, made="random") == out
    with (out / "recipes.csv").open(encoding="utf-8-sig", newline="") as file:
        _, *rows = csv.reader(file)
    assert len(rows) == 20
    for name, made, *weights in rows:
        assert made == "random"
        seen = np.asarray(Image.open(out / "faces" / name)).astype(float)
        expected = np.clip(model.blend(np.array(weights, float)), 0, 255)
        np.testing.assert_allclose(seen, expected, atol=0.51)
    assert len(list((out / "faces").iterdir())) == 20


def test_faces_of_other_units_are_8_bit_pictures_too(out):
    from dataclasses import replace

    model = made_model(np.full((1, 3), 0.2), dtype="uint16")
    model = replace(model, scale=65535.0)
    write_generated(model, model.weights, out)
    seen = np.asarray(Image.open(out / "faces" / "00.png"))
    np.testing.assert_allclose(seen, model.reconstruct(0) * 255 / 65535, atol=0.51)


def test_progress_is_told(model, out):
    seen = []
    write_generated(model, model.weights, out, progress=lambda *both: seen.append(both))
    assert seen == [(i + 1, 20) for i in range(20)]


def test_an_existing_folder_is_refused_and_replaced_only_by_force(model, out):
    write_generated(model, model.weights, out)
    before = files(out)
    with pytest.raises(FileExistsError, match=r"holds earlier results.*--force"):
        write_generated(model, model.weights[:3], out)
    assert files(out) == before
    write_generated(model, model.weights[:3], out, force=True)
    assert set(files(out)) == {
        "faces/00.png",
        "faces/01.png",
        "faces/02.png",
        "recipes.csv",
        CONTENTS,
    }
