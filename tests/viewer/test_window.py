from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces.cli import main
from napari_latent_faces.samples import sample_faces
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
