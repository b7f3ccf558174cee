"""Commands about a model or about k: generate, map and choose-k."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_latent_faces import choosing
from napari_latent_faces.cli import find_face
from napari_latent_faces.explaining import map_faces
from napari_latent_faces.export import export_model
from tests.cli.conftest import pixels, table

FEW = ["--n-starts", "2", "--n-folds", "2"]


def pictures(folder):
    return [pixels(path) for path in sorted((folder / "faces").iterdir())]


class TestGenerate:
    def test_a_seed_gives_the_same_faces(self, run, file, model, tmp_path):
        export_model(model, tmp_path / "fitted")
        for name, source, seed in (
            ("a", file, 1),
            ("b", tmp_path / "fitted", 1),
            ("c", file, 2),
        ):
            options = ["--count", 3, "--random-state", seed]
            code, printed, _ = run("generate", source, "-o", tmp_path / name, *options)
            assert code == 0
            assert printed.splitlines() == [
                "faces: 3",
                f"made: random, seed {seed}",
                f"written to: {tmp_path / name}",
            ]
        a, b, c = (pictures(tmp_path / name) for name in "abc")
        assert {picture.shape for picture in a} == {(12, 10)}
        assert np.std(a, axis=0).max() > 0
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)

    @pytest.mark.parametrize("near", ["s2/3.png", "7"])
    def test_all_the_way_near_a_face_is_its_reconstruction(self, run, file, model, out, near):
        options = ["--count", 2, "--near", near, "--strength", 1]
        code, printed, _ = run("generate", file, "-o", out, *options)
        assert code == 0
        assert f"1 close to {near}" in printed
        for picture in pictures(out):
            np.testing.assert_allclose(picture, model.reconstruct(7).clip(0, 255), atol=0.51)

    def test_a_name_goes_before_a_number(self, model):
        def named(names):
            return replace(model, provenance=replace(model.provenance, names=names))

        assert find_face(named(("1", "0", *map(str, range(2, 30)))), "1") == 0
        assert find_face(named(()), "1") == 1
        with pytest.raises(ValueError, match="no face '30': give the name of one, or a"):
            find_face(named(()), "30")

    @pytest.mark.parametrize(
        ("argv", "code", "words"),
        [
            (["--near", "nobody"], 1, "no face 'nobody': give the name of one, such as s1/1"),
            (["--near", "30"], 1, "a number from 0 to 29"),
            (["--strength", "0.5"], 2, "--strength is for --near"),
            (["--near", "1", "--strength", "2"], 2, "--strength must be from 0 to 1, got 2.0"),
            (
                ["--near", "1", "--strength", "nan"],
                2,
                "--strength must be from 0 to 1, got nan",
            ),
            (["--count", "0"], 2, "--count must be 1 or more, got 0"),
            (["--random-state", "-1"], 2, "--random-state"),
        ],
    )
    def test_what_makes_no_sense_is_told(self, run, file, out, argv, code, words):
        found, _, errors = run("generate", file, "-o", out, *argv)
        assert found == code
        assert words in errors
        assert not out.exists()


class TestMap:
    @pytest.mark.parametrize("method", ["pca", "mds", "tsne"])
    def test_it_writes_where_each_face_is(self, run, file, model, out, method):
        code, printed, _ = run("map", file, "-o", out, "--method", method, "--random-state", 7)
        assert code == 0
        assert ("variance kept: " in printed) == (method == "pca")
        assert f"written to: {out}" in printed
        rows = table(out)
        assert [row["name"] for row in rows] == list(model.provenance.names)
        assert [row["subject"] for row in rows] == list(model.provenance.subjects)
        places = np.array([[float(row["x"]), float(row["y"])] for row in rows])
        expected = map_faces(model, method, random_state=7).positions
        np.testing.assert_array_equal(places, expected)

    def test_a_seed_is_checked(self, run, file, out):
        code, _, errors = run("map", file, "-o", out, "--random-state", -1)
        assert code == 2
        assert "--random-state must be from 0 to 4294967295, got -1" in errors


class TestChooseK:
    def test_it_prints_the_measures_and_writes_them(self, run, folder, out):
        code, printed, errors = run("choose-k", folder, "--k", "2:6:2", "--out", out, *FEW)
        assert code == 0
        head, *lines = printed.splitlines()
        assert head.split() == ["k", "error", "held-out", "+-", "stability"]
        assert [int(line.split()[0]) for line in lines[:3]] == [2, 4, 6]
        assert [line.endswith(" *") for line in lines[:3]] == [False, True, False]
        assert lines[3].startswith("k = 4 ")
        assert lines[4] == f"written to: {out}"
        assert errors.splitlines()[1] == "measuring numbers of components ..."
        for row, line in zip(table(out), lines, strict=False):
            assert f"{float(row['held_out_error']):.4f}" == line.split()[2]

    @pytest.mark.parametrize("measured", [0, 1])
    def test_ctrl_c_writes_what_is_there(self, run, folder, out, monkeypatch, measured):
        iter_choose_k = choosing.iter_choose_k

        def interrupted(*args, **changes):
            for step in iter_choose_k(*args, **changes):
                if measured:
                    yield step
                if len(step.choice) == measured:
                    raise KeyboardInterrupt

        monkeypatch.setattr(choosing, "iter_choose_k", interrupted)
        code, printed, errors = run("choose-k", folder, "-k", "2,3,4", "-o", out, *FEW)
        if measured:
            assert code == 0
            assert [line.split(",")[0] for line in out.read_text().splitlines()] == ['"k"', "2"]
            assert "k = 2" in printed
        else:
            assert (code, printed) == (130, "")
            assert "interrupted" in errors
            assert not out.exists()

    @pytest.mark.parametrize(
        ("argv", "code", "words"),
        [
            (["-k", "5:"], 2, "k must be 'auto'"),
            (["--n-folds", "1"], 2, "--n-folds must be from 2 to 100"),
            (["--tol", "-1"], 2, "--tol must be"),
            (["-k", "99"], 1, "k must be from 1 to 24"),
            (["-o", "none/c.csv"], 1, "make it first"),
        ],
    )
    def test_what_is_wrong_is_told(self, run, folder, argv, code, words):
        found, printed, errors = run("choose-k", folder, *argv)
        assert (found, printed) == (code, "")
        assert words in errors


@pytest.mark.parametrize("command", ["map", "choose-k"])
def test_a_table_that_is_there_is_kept_unless_it_is_said(run, command, file, folder, out):
    argv = ["map", file] if command == "map" else ["choose-k", folder, "-k", "2", *FEW]
    out.write_text("mine")
    code, _, errors = run(*argv, "-o", out)
    assert code == 1
    assert "give --force" in errors
    assert out.read_text() == "mine"
    assert run(*argv, "-o", out, "--force")[0] == 0
    assert table(out)
