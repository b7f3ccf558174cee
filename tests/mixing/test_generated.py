from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces.files import CONTENTS
from napari_latent_faces.mixing.recipes import check_generated, write_generated
from tests.mixing.conftest import correlated_weights, made_model


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


@pytest.mark.parametrize("name", ["recipes.csv", "faces/00.png"])
def test_files_of_another_origin_are_never_replaced(model, out, name):
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("mine")
    with pytest.raises(FileExistsError, match="holds other files"):
        check_generated(out, force=True)
    with pytest.raises(FileExistsError):
        write_generated(model, model.weights, out, force=True)
    assert files(out) == {name: b"mine"}


def test_a_failure_leaves_all_as_it_was(model, out, monkeypatch):
    write_generated(model, model.weights[:2], out)
    before = files(out.parent)

    def fail(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        write_generated(model, model.weights, out, force=True)
    assert files(out.parent) == before
