from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from psygnal import Signal

from napari_latent_faces.cli import main
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer import demo as _demo
from tests.helpers import PATIENCE


@pytest.fixture
def folder(tmp_path):
    """Return a folder of four drawn faces."""
    faces = sample_faces(2, 2, shape=(56, 46))
    place = tmp_path / "drawn"
    for name, image in zip(faces.names, faces.images, strict=True):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / name)
    return place


def run(*argv):
    start = [sys.executable, "-m", "napari_latent_faces", "demo", *map(str, argv)]
    return subprocess.run(start, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.mark.window
class TestInAWindow:
    def test_saves_a_picture_of_the_fitted_faces(self, folder, tmp_path):
        picture = tmp_path / "demo.png"
        ran = run(folder, "--max-iter", 5, "--screenshot", picture)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout == f"written to: {picture}\n"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.png", "drawn"]
        with Image.open(picture) as shown:
            assert shown.size == (1400, 880)
            grey = np.asarray(shown.convert("L"), float)
        # the canvas holds faces, the dock beside it nothing below its form
        canvas, dock = grey[60:700, 340:1040], grey[570:700, 1080:1380]
        assert len(np.unique(canvas)) > 30
        assert canvas.std() > 3 * dock.std()

    def test_a_fit_that_fails_is_an_error(self, folder, tmp_path):
        picture = tmp_path / "demo.png"
        ran = run(folder, "-k", 5, "--screenshot", picture)
        assert (ran.returncode, ran.stdout) == (1, "")
        last = ran.stderr.splitlines()[-1]
        assert last.startswith("latent-faces: error: The fit failed: ")
        assert "from 1 to 4 (the number of faces), got 5" in last
        assert not picture.exists()


class TestBeforeTheWindow:
    def test_a_missing_folder_is_an_error(self, tmp_path, capsys):
        assert main(["demo", str(tmp_path / "missing")]) == 1
        assert "error: There is no folder" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("name", "words"), [("", "is a folder"), ("missing/demo.png", "No picture can be")]
    )
    def test_a_picture_that_cannot_be_written_is_an_error(self, tmp_path, capsys, name, words):
        assert main(["demo", "--screenshot", str(tmp_path / name)]) == 1
        assert words in capsys.readouterr().err

    def test_without_qt_says_how_to_get_it(self, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "qtpy", None)
        assert main(["demo"]) == 1
        assert 'pip install "napari-latent-faces[all]"' in capsys.readouterr().err

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems always have one")
    def test_without_a_screen_says_how_to_get_one(self, monkeypatch, capsys):
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
            monkeypatch.delenv(name, raising=False)
        assert main(["demo"]) == 1
        assert "xvfb-run latent-faces demo --screenshot" in capsys.readouterr().err

    def test_wrong_parameters_are_wrong_usage(self, capsys):
        with pytest.raises(SystemExit, match="2"):
            main(["demo", "-k", "0"])
        assert "--n-components must be" in capsys.readouterr().err


class Session:
    """Stands in for a fit."""

    ended = Signal(str)

    def __init__(self, faces=None, model=None):
        self.layer, self.model = SimpleNamespace(data=faces), model


class Viewer:
    """Stands in for a window."""

    def __init__(self):
        self.closed = False
        self.dims = SimpleNamespace(set_current_step=lambda *_: None)

    def close(self):
        self.closed = True


@pytest.mark.usefixtures("qapp")
class TestPhotographer:
    @pytest.fixture
    def photographer(self, tmp_path):
        return _demo._Photographer(Viewer(), Session(), tmp_path / "demo.png")

    def test_closes_after_a_failed_fit_and_says_why(self, photographer):
        photographer._session.ended.emit("The fit failed: no memory")
        assert photographer._viewer.closed
        assert str(photographer.failure) == "The fit failed: no memory"

    def test_does_not_wait_forever(self, qtbot, tmp_path, monkeypatch):
        monkeypatch.setattr(_demo, "_PATIENCE", 0)
        photographer = _demo._Photographer(Viewer(), Session(), tmp_path / "demo.png")
        qtbot.waitUntil(lambda: photographer._viewer.closed)
        assert "not done after" in str(photographer.failure)

    def test_tells_of_a_picture_that_cannot_be_written(self, photographer, monkeypatch):
        monkeypatch.setattr(
            photographer._viewer, "screenshot", lambda **_: np.zeros((2, 2, 4), np.uint8),
            raising=False,
        )  # fmt: skip
        photographer._target = photographer._target / "missing" / "demo.png"
        photographer._take()
        assert photographer._viewer.closed
        assert isinstance(photographer.failure, OSError)

    def test_a_window_closed_before_is_a_failure(self, photographer):
        assert "closed before" in str(photographer.failure)
        photographer._timer.stop()


def test_the_face_shown_is_built_better_than_most(stack, model):
    face = _demo._well_built_face(stack.images, model)
    missed = np.linalg.norm(stack.images - model.reconstruct(), axis=(1, 2))
    relative = missed / np.linalg.norm(stack.images.astype(float), axis=(1, 2))
    rank = int((relative < relative[face]).sum())
    assert rank == len(stack) // 4
