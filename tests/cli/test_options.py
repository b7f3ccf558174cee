"""Options made from parameters: each field has one, and says what is wrong by its name."""

from __future__ import annotations

from dataclasses import fields

import pytest
from PIL import Image

from napari_latent_faces.cli.parser import chosen, command_parser, option, spelled
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.params import METHODS, NMFParams, ReadOptions
from tests.cli.conftest import QUICK

METHOD_OPTIONS = {
    "nmf": ["--max-iter", "5", "--tol", "0"],
    "pca": [],
    "ica": ["--tol", "0.1"],
    "dictionary": ["--max-iter", "2", "--tol", "0", "--alpha", "0.5"],
    "minibatch-nmf": ["--max-iter", "2", "--tol", "0"],
    "kmeans": ["--max-iter", "2", "--tol", "0"],
}


def words_of_help(run, *argv):
    code, text, _ = run(*argv, "--help")
    assert code == 0
    return " ".join(text.split())


def is_told(declared, words):
    """Tell whether a help explains a field and its default."""
    told = declared.metadata["help"].removeprefix(f"{declared.name}: ").replace("None", "none")
    default = "none" if declared.default is None else declared.default
    # lines are broken at hyphens, too
    told = f"{told} (default: {default})".replace(" ", "")
    return f"{option(declared.name)} " in words and told in words.replace(" ", "")


@pytest.mark.parametrize("kind", [NMFParams, ReadOptions])
def test_every_field_has_one_with_its_default(kind, run):
    words = words_of_help(run, "fit")
    given = command_parser().parse_args(["fit", "F", "-o", "O"])
    for declared in fields(kind):
        assert getattr(chosen(kind, given), declared.name) == declared.default
        assert is_told(declared, words)


@pytest.mark.parametrize("method", METHODS)
def test_help_shows_the_options_of_the_method_and_no_others(method, run):
    words = words_of_help(run, "fit", "--method", method)
    own = {declared.name for declared in fields(METHODS[method])}
    for kind in METHODS.values():
        for declared in fields(kind):
            if kind is METHODS[method]:
                assert is_told(declared, words)
            elif declared.name not in own:
                assert f" {option(declared.name)} " not in words


@pytest.mark.parametrize(
    ("kind", "argv", "name", "value"),
    [
        (NMFParams, ["-k", "7"], "n_components", 7),
        (NMFParams, ["--n-components=7"], "n_components", 7),
        (NMFParams, ["--random-state", "none"], "random_state", None),
        (NMFParams, ["--tol", "1e-6"], "tol", 1e-6),
        (NMFParams, ["--init", "random"], "init", "random"),
        (NMFParams, ["--init", "none"], "init", None),
        (NMFParams, ["--alpha-H", "same"], "alpha_H", "same"),
        (NMFParams, ["--alpha-H", "2"], "alpha_H", 2.0),
        (ReadOptions, ["--size", "64"], "size", 64),
        (ReadOptions, ["--size", "64,48"], "size", (64, 48)),
        (ReadOptions, ["--size", "none"], "size", None),
        (ReadOptions, ["--subjects", r"_(\d+)\."], "subjects", r"_(\d+)\."),
        (ReadOptions, ["--subjects", "none"], "subjects", "none"),
        (ReadOptions, ["--no-subjects"], "subjects", False),
        (ReadOptions, ["--lazy"], "lazy", True),
        (ReadOptions, ["--no-lazy"], "lazy", False),
        (ReadOptions, ["--shape", "112,92"], "shape", (112, 92)),
        (ReadOptions, ["--no-colour"], "colour", False),
    ],
)
def test_they_take_what_the_field_takes(kind, argv, name, value):
    found = getattr(
        chosen(kind, command_parser().parse_args(["fit", "F", "-o", "O", *argv])), name
    )
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["-k", "0"], "--n-components must be"),
        (["-k", "two"], "--n-components must be a whole number (1 or more), got 'two'"),
        (["--tol", "nan"], "--tol must be"),
        (["--solver", "fast"], "--solver must be"),
        (["--beta-loss", "kullback-leibler"], "choose --solver='mu' for --beta-loss="),
        (["--size", "64x48"], "--size must be"),
        (["--size", "6,4,8"], "--size must be"),
        (["--subjects", "("], "--subjects must be"),
        (["--memory-budget", "1G"], "--memory-budget must be"),
        (["--method", "kmeans", "--batch-size", "0"], "--batch-size must be 1 or more"),
        (["--method=pca", "--solver", "cd"], "for --method pca; choose --method nmf"),
        (["--batch-size", "2", "--method", "pca"], "--batch-size: not for --method pca"),
        (["--method", "svd"], "--method"),
        (["--method"], "--method"),
        (["--ma", "3"], "unrecognized arguments: --ma 3"),
        (["align", "--max-scale", "9"], "--max-scale must be from 1 to 4"),
        (["align", "--crop", "big"], "argument --crop: invalid height_and_width value: 'big'"),
        (["align", "--transform", "warp"], "--transform must be 'similarity' or 'affine'"),
    ],
)
def test_they_refuse_what_the_field_refuses(run, folder, out, argv, words):
    command, *options = argv if argv[0] == "align" else ["fit", *argv]
    code, printed, errors = run(command, folder, "-o", out, *options)
    assert (code, printed) == (2, "")
    assert words in errors
    assert errors.startswith("usage: latent-faces")
    assert not out.exists()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("n_components must be 1", "--n-components must be 1"),
        ("Choose resize='crop' or 'pad'.", "Choose --resize='crop' or 'pad'."),
        ("read them with lazy=True, or", "read them with --lazy, or"),
        ("its height and width with shape=(h, w).", "its height and width with --shape=h,w."),
        ("subjects='(' is found in no name", "--subjects='(' is found in no name"),
        ("The size of resized faces", "The size of resized faces"),
        ("Raise max_iter, or tol if", "Raise --max-iter, or --tol if"),
        ("In max_iter.png is --tol", "In max_iter.png is --tol"),
    ],
)
def test_messages_of_the_library_name_them(message, expected):
    assert spelled(message, NMFParams, ReadOptions) == expected


@pytest.mark.parametrize("argv", [[], ["fit"], ["fit", "F"], ["tell"]])
def test_wrong_usage_is_code_2(run, argv):
    code, printed, errors = run(*argv)
    assert (code, printed) == (2, "")
    assert errors.startswith("usage: latent-faces")


@pytest.mark.parametrize("method", METHODS)
def test_each_method_writes_its_model(method, run, folder, out):
    argv = [*QUICK[:2], "--method", method, *METHOD_OPTIONS[method]]
    code, printed, errors = run("fit", folder, "-o", out, *argv)
    assert code == 0, errors
    model = LatentFaces.load(out / "model.npz")
    assert type(model.params) is METHODS[method]
    assert model.params.n_components == 3
    assert model.params.random_state == METHODS[method]().random_state
    assert f"relative error: {model.error:.6f}" in printed
    assert (out / "mean.png").exists() == (model.mean is not None)
    with Image.open(out / "components" / "00.png") as picture:
        assert picture.size == (10, 12)
    for told in (printed, run("info", out)[1]):
        assert (f"method: {method}" in told) == (method != "nmf")
