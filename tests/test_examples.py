"""The examples run as they are; those that need a window are tested in tests/window."""

from __future__ import annotations

import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs an example in an empty folder and returns its names."""
    monkeypatch.chdir(tmp_path)

    def run(name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # small sets need not converge
            return runpy.run_path(str(EXAMPLES / f"{name}.py"))

    return run


def test_the_blog_post(run, tmp_path):
    model = run("blog_post")["model"]
    assert model.components.min() >= 0
    assert (tmp_path / "model.npz").is_file()
    assert (tmp_path / "latent" / "components.png").is_file()


def test_nmf_leaves_more_of_the_face_alone_than_eigenfaces(run):
    names = run("nmf_and_eigenfaces")
    assert names["untouched"](names["nmf"]) > 1.5 * names["untouched"](names["pca"])
    assert names["pca"].error < names["nmf"].error


def test_choosing_k(run, tmp_path):
    choice = run("choosing_k")["choice"]
    assert choice.suggested in choice.ks
    assert len((tmp_path / "choice.csv").read_text("utf-8").splitlines()) == 5


def test_mending_beats_the_mean_face(run):
    names = run("mending")
    bar, missed = names["bar"], names["missed"]
    assert missed(names["mended"]) < missed(names["known"].images.mean(axis=0))
    np.testing.assert_array_equal(names["mended"][:, ~bar], names["strangers"].images[:, ~bar])


def test_new_faces_are_no_copies(run, tmp_path):
    names = run("new_faces")
    assert names["distances"].min() > 1  # grey values
    assert names["frames"].shape == (20, 112, 92)
    assert len(list((tmp_path / "new" / "faces").glob("*.png"))) == 12
