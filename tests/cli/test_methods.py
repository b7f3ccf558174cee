"""Other methods than NMF on the command line."""

from __future__ import annotations

from dataclasses import fields

import pytest
from PIL import Image

from napari_latent_faces.cli.parser import option
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.params import METHODS, KMeansParams, PCAParams

QUICK = {
    "nmf": ["--max-iter", "5", "--tol", "0"],
    "pca": [],
    "ica": ["--tol", "0.1"],
    "dictionary": ["--max-iter", "2", "--tol", "0", "--alpha", "0.5"],
    "minibatch-nmf": ["--max-iter", "2", "--tol", "0"],
    "kmeans": ["--max-iter", "2", "--tol", "0"],
}


@pytest.mark.parametrize("method", METHODS)
def test_each_writes_its_model(method, run, faces_folder, tmp_path):
    out = tmp_path / "out"
    code, printed, errors = run(
        "fit", faces_folder, "-o", out, "-k", "3", "--method", method, *QUICK[method]
    )
    assert code == 0, errors
    model = LatentFaces.load(out / "model.npz")
    assert type(model.params) is METHODS[method]
    assert model.params.n_components == 3
    assert f"relative error: {model.error:.6f}" in printed
    assert (f"method: {method}" in printed) == (method != "nmf")
    assert (out / "mean.png").exists() == (model.mean is not None)
    with Image.open(out / "components" / "00.png") as picture:
        assert picture.size == (10, 12)
    _, told, _ = run("info", out)
    assert (f"method: {method}" in told) == (method != "nmf")


@pytest.mark.parametrize("method", METHODS)
def test_help_shows_the_options_of_the_method_and_no_others(method, run):
    code, text, _ = run("fit", "--method", method, "--help")
    assert code == 0
    words = " ".join(text.split())
    names = {declared.name for kind in METHODS.values() for declared in fields(kind)}
    for declared in fields(METHODS[method]):
        assert f"{option(declared.name)} " in words
        names.discard(declared.name)
        default = "none" if declared.default is None else declared.default
        assert f"(default: {default})" in words
    for name in names:
        assert f" {option(name)} " not in words


@pytest.mark.parametrize("form", [["--method", "pca"], ["--method=pca"]])
@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["--solver", "cd"], "--solver"),
        (["--max-iter", "5"], "--max-iter"),
        (["--alpha", "2"], "--alpha"),
        (["--batch-size", "2"], "--batch-size"),
    ],
)
def test_an_option_that_does_not_apply_is_named(form, argv, named, run, faces_folder, tmp_path):
    out = tmp_path / "out"
    code, printed, errors = run("fit", faces_folder, "-o", out, *argv, *form)
    assert (code, printed) == (2, "")
    assert f"{named} does not apply to --method pca." in errors
    assert not out.exists()


def test_an_option_of_another_method_needs_it(run, faces_folder, tmp_path):
    code, _, errors = run("fit", faces_folder, "-o", tmp_path / "o", "--svd-solver", "full")
    assert code == 2
    assert "--svd-solver does not apply to --method nmf." in errors


@pytest.mark.parametrize("argv", [["--method", "svd"], ["--method"]])
def test_an_unknown_method_is_wrong_usage(argv, run, faces_folder, tmp_path):
    code, _, errors = run("fit", faces_folder, "-o", tmp_path / "out", *argv)
    assert code == 2
    assert "--method" in errors


def test_a_wrong_value_names_the_option(run, faces_folder, tmp_path):
    start = ["fit", faces_folder, "-o", tmp_path / "out"]
    code, _, errors = run(*start, "--method", "kmeans", "--batch-size", "0")
    assert code == 2
    assert "--batch-size must be 1 or more" in errors
    code, _, errors = run(*start, "--method", "pca", "-k", "30")
    assert code == 1
    assert "--n-components must be from 1 to 29" in errors


def test_defaults_are_those_of_the_method(run, faces_folder, tmp_path):
    for method, kind in (("pca", PCAParams), ("kmeans", KMeansParams)):
        out = tmp_path / method
        assert run("fit", faces_folder, "-o", out, "-k", "3", "--method", method)[0] == 0
        assert LatentFaces.load(out / "model.npz").params == kind(n_components=3)
