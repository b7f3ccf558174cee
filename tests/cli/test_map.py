from __future__ import annotations

import csv

import numpy as np
import pytest

from napari_latent_faces.explaining import map_faces


@pytest.fixture
def file(model, tmp_path):
    model.save(tmp_path / "model.npz")
    return tmp_path / "model.npz"


@pytest.mark.parametrize("method", ["pca", "mds", "tsne"])
def test_it_writes_where_each_face_is(run, file, model, tmp_path, method):
    out = tmp_path / "map.csv"
    code, printed, _ = run("map", file, "-o", out, "--method", method)
    assert code == 0
    assert ("variance kept: " in printed) == (method == "pca")
    assert f"written to: {out}" in printed
    with out.open(newline="", encoding="utf-8-sig") as table:
        rows = list(csv.DictReader(table))
    assert [row["name"] for row in rows] == list(model.provenance.names)
    assert [row["subject"] for row in rows] == list(model.provenance.subjects)
    places = np.array([[float(row["x"]), float(row["y"])] for row in rows])
    np.testing.assert_array_equal(places, map_faces(model, method).positions)


def test_a_seed_is_kept_and_checked(run, file, model, tmp_path):
    out = tmp_path / "map.csv"
    seed = ["--method", "mds", "--random-state", 7]
    assert run("map", file, "-o", out, *seed)[0] == 0
    with out.open(newline="", encoding="utf-8-sig") as table:
        found = [float(row["x"]) for row in csv.DictReader(table)]
    expected = map_faces(model, "mds", random_state=7).positions
    np.testing.assert_array_equal(found, expected[:, 0])
    code, _, errors = run("map", file, "-o", out, "--force", *seed[:3], -1)
    assert code == 2
    assert "--random-state must be from 0 to 4294967295, got -1" in errors


def test_a_table_that_is_there_is_kept_unless_it_is_said(run, file, tmp_path):
    out = tmp_path / "map.csv"
    out.write_text("mine")
    code, _, errors = run("map", file, "-o", out)
    assert code == 1
    assert "give --force" in errors
    assert out.read_text() == "mine"
    assert run("map", file, "-o", out, "--force")[0] == 0
    assert out.read_text("utf-8-sig").startswith('"name"')
