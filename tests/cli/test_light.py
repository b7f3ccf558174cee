"""What a command imports: that, not the fit, is what one waits for."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

HEAVY = {
    "dask",
    "fsspec",
    "h5py",
    "napari",
    "numba",
    "pandas",
    "qtpy",
    "scipy",
    "skimage",
    "sklearn",
    "tifffile",
}
RUN = """
import sys
from napari_latent_faces.cli import main
code = main(sys.argv[1:])
print("loaded:", *{name.partition(".")[0] for name in sys.modules})
sys.exit(code)
"""


@pytest.fixture
def folder(tmp_path):
    """Return a folder of faces, in the formats that most folders have."""
    place = tmp_path / "faces"
    place.mkdir()
    rng = np.random.default_rng(0)
    for i, kind in enumerate(("png", "jpg", "pgm", "bmp") * 5):
        Image.fromarray(rng.integers(0, 256, (24, 20), np.uint8)).save(place / f"{i}.{kind}")
    return place


def loaded_by(*arguments):
    """Run a command in a fresh process; return the packages that are loaded at its end."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_a_fit_loads_nothing_heavy(folder, tmp_path):
    assert not HEAVY & loaded_by("fit", folder, "-k", "3", "-o", tmp_path / "out")
    assert len(list((tmp_path / "out" / "components").iterdir())) == 3


def test_a_model_is_told_without_anything_for_pictures(folder, tmp_path):
    loaded_by("fit", folder, "-k", "3", "-o", tmp_path / "out")
    assert not (HEAVY | {"PIL", "psutil"}) & loaded_by("info", tmp_path / "out")
