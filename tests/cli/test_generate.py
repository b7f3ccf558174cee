from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces.cli import find_face
from napari_latent_faces.export import export_model


@pytest.fixture
def file(model, tmp_path):
    model.save(tmp_path / "model.npz")
    return tmp_path / "model.npz"


def pictures(folder):
    return [np.asarray(Image.open(path)) for path in sorted((folder / "faces").iterdir())]


def test_writes_faces_and_says_so(run, file, tmp_path):
    code, printed, _ = run("generate", file, "-o", tmp_path / "out", "--count", 5)
    assert code == 0
    assert "faces: 5" in printed
    assert f"written to: {tmp_path / 'out'}" in printed
    found = pictures(tmp_path / "out")
    assert len(found) == 5
    assert {picture.shape for picture in found} == {(12, 10)}
    assert np.std(found, axis=0).max() > 0


def test_a_seed_gives_the_same_faces(run, file, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("generate", file, "-o", tmp_path / name, "--count", 3, "--random-state", seed)
    a, b, c = (pictures(tmp_path / name) for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_takes_the_folder_that_fit_wrote(run, model, tmp_path):
    export_model(model, tmp_path / "fitted")
    code, _, _ = run("generate", tmp_path / "fitted", "-o", tmp_path / "out", "--count", 2)
    assert code == 0


@pytest.mark.parametrize("near", ["s2/3.png", "7"])
def test_all_the_way_near_a_face_is_its_reconstruction(run, file, model, tmp_path, near):
    out = tmp_path / "out"
    code, printed, _ = run(
        "generate", file, "-o", out, "--count", 2, "--near", near, "--strength", 1
    )
    assert code == 0
    assert f"1 close to {near}" in printed
    for picture in pictures(out):
        np.testing.assert_allclose(picture, np.clip(model.reconstruct(7), 0, 255), atol=0.51)


def test_a_name_goes_before_a_number(model):
    from dataclasses import replace

    names = ("1", "0", *map(str, range(2, 30)))
    renamed = replace(model, provenance=replace(model.provenance, names=names))
    assert find_face(renamed, "1") == 0
    nameless = replace(model, provenance=replace(model.provenance, names=()))
    assert find_face(nameless, "1") == 1
    with pytest.raises(
        ValueError, match=r"no face '30': give the name of one, or a number from"
    ):
        find_face(nameless, "30")


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["--near", "nobody"], 1, "no face 'nobody': give the name of one, such as s1/1.png"),
        (["--near", "30"], 1, "a number from 0 to 29"),
        (["--strength", "0.5"], 2, "--strength is for --near"),
        (["--near", "1", "--strength", "2"], 2, "--strength must be from 0 to 1, got 2.0"),
        (["--near", "1", "--strength", "nan"], 2, "--strength must be a number (from 0 to 1)"),
        (["--count", "0"], 2, "--count must be 1 or more, got 0"),
        (["--random-state", "-1"], 2, "--random-state"),
    ],
)
def test_what_makes_no_sense_is_told(run, file, tmp_path, argv, code, words):
    found, _, errors = run("generate", file, "-o", tmp_path / "out", *argv)
    assert found == code
    assert words in errors
    assert not (tmp_path / "out").exists()


def test_a_missing_model_is_an_error(run, tmp_path):
    code, _, errors = run("generate", tmp_path / "none.npz", "-o", tmp_path / "out")
    assert code == 1
    assert "none.npz" in errors
