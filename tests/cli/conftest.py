"""What tests of commands share: faces to read, a place to write to, and the commands."""

from __future__ import annotations

import pytest
from PIL import Image

from napari_latent_faces.cli import main


@pytest.fixture
def folder(stack, tmp_path):
    """Return a folder of 30 pictures of six people."""
    place = tmp_path / "some faces"
    for name, image in zip(stack.names, stack.images, strict=True):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / name)
    return place


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


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
