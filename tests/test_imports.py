"""What imports what, and when: that, not the fit, is what one waits for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import run_python

WINDOW = {"napari", "qtpy", "PyQt6", "PySide6", "superqt", "magicgui", "pyqtgraph", "vispy"}
HEAVY = WINDOW | {
    *("dask", "fsspec", "h5py", "numba", "pandas", "scipy", "skimage", "sklearn", "tifffile")
}
COMMAND = """
from napari_latent_faces.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
assert not code, code
"""
NAPARI_STARTS = """
import warnings
warnings.simplefilter("default")  # npe2 itself is told of what will go
import npe2
npe2.PluginManager.instance().discover(include_npe1=False)
npe2.PluginManager.instance().get_manifest("napari-latent-faces")
before |= set(sys.modules)
import napari_latent_faces.samples
"""


def loaded_by(code, *arguments):
    """Run code in a fresh process; return the packages that it has loaded."""
    start = f"import sys\nbefore = set()\n{code}\n"
    told = 'print("loaded:", *{name.partition(".")[0] for name in set(sys.modules) - before})'
    printed = run_python(start + told, *arguments, PYTHONWARNINGS="error")
    return set(printed.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    ("code", "arguments", "more"),
    [
        ("import napari_latent_faces", [], {"numpy", "PIL"}),
        (COMMAND, ["--version"], {"numpy", "PIL"}),
        (COMMAND, ["fit", "--help"], {"numpy", "PIL"}),
        (NAPARI_STARTS, [], {"PIL"}),
        ("import napari_latent_faces.viewer.window", [], set()),
    ],
)
def test_a_start_loads_nothing_heavy(code, arguments, more):
    assert not (HEAVY | more) & loaded_by(code, *arguments)


@pytest.fixture
def folder(tmp_path):
    """Return a folder of faces, in the formats that most folders have."""
    place = tmp_path / "faces"
    place.mkdir()
    rng = np.random.default_rng(0)
    for i, kind in enumerate(("png", "jpg", "pgm", "bmp") * 5):
        Image.fromarray(rng.integers(0, 256, (24, 20), np.uint8)).save(place / f"{i}.{kind}")
    return place


def test_a_fit_and_its_use_load_nothing_heavy_and_it_is_told_without_pictures(folder, tmp_path):
    fit = ["fit", folder, "-k", 3, "--max-iter", 500, "-o", tmp_path / "out"]
    assert not HEAVY & loaded_by(COMMAND, *fit)
    assert len(list((tmp_path / "out" / "components").iterdir())) == 3
    encode = ["encode", tmp_path / "out", folder, "-o", tmp_path / "encoded"]
    assert not HEAVY & loaded_by(COMMAND, *encode)
    info = loaded_by(COMMAND, "info", tmp_path / "out")
    assert not (HEAVY | {"PIL", "psutil"}) & info


WITHOUT_QT = """
import sys
class NoQt:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"PyQt5", "PyQt6", "PySide2", "PySide6"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NoQt())
from napari_latent_faces.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_command_line_works_where_no_qt_is_installed(faces_folder, tmp_path):
    """napari is there, as the package requires it, but no binding for its window."""

    fit = ["fit", faces_folder, "-k", 3, "--out", tmp_path / "out"]
    run_python(WITHOUT_QT, *fit, PYTHONWARNINGS="error")
    info = run_python(WITHOUT_QT, "info", tmp_path / "out", PYTHONWARNINGS="error")
    assert "30" in info


# -- Imports go in one direction, and only the viewer knows napari and Qt: see pyproject.toml


ROOT = Path(__file__).parents[1]

LINT = (
    "from importlinter.cli import lint_imports as lint; raise SystemExit(lint(no_cache=True))"
)


def test_imports_keep_to_the_rooms():
    told = run_python(LINT, cwd=ROOT, PYTHONPATH=str(ROOT / "src"), COLUMNS="100")
    assert "3 kept, 0 broken" in told
