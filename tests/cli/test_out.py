"""Where commands write: all or nothing, over earlier results only, not among the faces."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.cli.conftest import QUICK

MORE = {
    "fit": QUICK,
    "align": ["-k", 2],
    "encode": [],
    "mend": ["--mask", "mask.png"],
    "generate": ["--count", 2],
}


@pytest.fixture(params=MORE)
def command(request):
    return request.param


@pytest.fixture
def write(run, command, folder, file, mask, monkeypatch):
    """Return how to run a command that writes to a folder."""
    monkeypatch.chdir(mask.parent)

    def write(out, *options, model=file, faces=folder):
        models = [model] if command in {"encode", "mend", "generate"} else []
        places = models if command == "generate" else [*models, faces]
        return run(command, *places, "-o", out, *MORE[command], *options)

    return write


def test_other_files_are_refused_before_anything_is_read(write, out):
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    code, printed, errors = write(out, model="none.npz", faces="missing")
    assert (code, printed) == (1, "")
    assert errors.startswith(f"latent-faces: error: {out} holds other files")
    assert "--force" not in errors


def test_earlier_results_are_replaced_when_asked_and_nothing_else(write, out):
    assert write(out)[0] == 0
    code, _, errors = write(out)
    assert code == 1
    assert "--force" in errors
    assert write(out, "--force")[0] == 0
    (out / "notes.txt").write_text("mine")
    code, _, errors = write(out, "--force")
    assert code == 1
    assert "notes.txt, which was not written" in errors
    assert (out / "notes.txt").read_text() == "mine"


def test_results_do_not_go_among_the_faces(write, command, folder):
    if command == "generate":
        pytest.skip("reads no faces")
    for out in (folder / "out", folder):
        code, _, errors = write(out, "--force")
        assert code == 1
        assert "would be read as faces" in errors
    assert not (folder / "out").exists()


def test_an_interrupt_leaves_nothing(write, out, monkeypatch):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupt)
    code, printed, errors = write(out)
    assert (code, printed) == (130, "")
    assert errors.endswith("interrupted, nothing was written\n")
    assert not out.exists()
    assert not list(out.parent.glob(".out*"))
