"""What tests of commands share: a model's file, a mask, a place to write to, the commands."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces.cli import main

QUICK = ["-k", "3", "--max-iter", "5", "--tol", "0"]


@pytest.fixture
def folder(faces_folder):
    """Return a folder of 30 pictures of six people, whose name has a space."""
    (faces_folder / "README.txt").unlink()
    return faces_folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def file(model, tmp_path):
    """Return the file of a model."""
    model.save(tmp_path / "m.npz")
    return tmp_path / "m.npz"


@pytest.fixture
def mask(tmp_path):
    """Return a picture of the faces' size in which a box is white."""
    marked = np.zeros((12, 10), np.uint8)
    marked[3:6, 2:8] = 255
    Image.fromarray(marked).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


@pytest.fixture
def run(capsys):
    """Return a function that runs a command line and gives code, output and errors."""

    def run(*argv):
        try:
            code = main([str(each) for each in argv])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return run


def table(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def pixels(path):
    return np.asarray(Image.open(path))
