"""Fixtures shared by all tests; pictures are made, real faces are optional."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

# before napari is imported: its test fixtures wipe the settings they find
os.environ["NAPARI_CONFIG"] = ""

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from napari_latent_faces.stack import FaceStack

# The same examples each time, however slow the machine is: what fails is what was changed.
# `--hypothesis-profile explore` looks at others.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("steady"), derandomize=False)
settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    """Make a screen where there is none, and one for each process of a parallel run.

    A screen has one mouse, one keyboard focus and one clipboard.
    """
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    only_hands_out = not is_worker and config.getoption("dist", "no") != "no"
    has_screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if only_hands_out or (has_screen and not is_worker) or not shutil.which("Xvfb"):
        return
    answer, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1400x900x24"]
    command += ["-nolisten", "tcp"]
    screen = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    atexit.register(screen.kill)
    os.close(write)
    with os.fdopen(answer) as number:
        os.environ["DISPLAY"] = f":{int(number.read())}"
    os.environ["QT_QPA_PLATFORM"] = "xcb"  # Qt's offscreen platform draws no OpenGL


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name files by their argument: in some stands when they were made, and names must last."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_finish() -> None:
    """Let collections of garbage, of which there are many, pass over all that is imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of real faces, which lies outside the project."""
    folder = os.environ.get("LATENT_FACES_DATA")
    if not folder:
        pytest.skip("LATENT_FACES_DATA is not set")
    return Path(folder)


def blobs(n: int = 30, k: int = 4, size: tuple[int, int] = (12, 10), seed: int = 0):
    """Return pictures made of `k` soft spots, with the spots and their weights."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    centres = rng.uniform((0, 0), size, (k, 2))
    parts = np.exp(-((y - centres[:, :1, None]) ** 2 + (x - centres[:, 1:, None]) ** 2) / 6)
    weights = rng.exponential(1.0, (n, k)) * (rng.random((n, k)) < 0.7)
    pictures = np.tensordot(weights, parts, 1)
    return pictures / pictures.max(), parts, weights


@pytest.fixture
def pictures() -> np.ndarray:
    """Return 30 pictures of 12 x 10 pixels from 0 to 1, of rank 4."""
    return blobs()[0]


@pytest.fixture
def stack(pictures) -> FaceStack:
    """Return the pictures as 8-bit faces of six people."""
    images = np.round(pictures * 255).astype(np.uint8)
    names = tuple(f"s{i // 5 + 1}/{i % 5 + 1}.png" for i in range(30))
    return FaceStack(images, names, tuple(name[:2] for name in names), source="made/faces")


@pytest.fixture
def model(stack):
    """Return a model of the stack with three components."""
    from napari_latent_faces.fitting import fit

    return fit(stack, n_components=3, max_iter=60, tol=0)


@pytest.fixture
def faces_folder(stack, tmp_path) -> Path:
    """Return a folder with the pictures of the stack and a README."""
    root = tmp_path / "my faces"
    for picture, name in zip(stack.images, stack.names, strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(root / name)
    (root / "README.txt").write_text("hello")
    return root


@pytest.fixture
def open_path():
    """Return a folder that every user may enter, unlike pytest's."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def notes(monkeypatch):
    """Collect what napari would show."""
    from napari.utils.notifications import notification_manager

    found = []
    monkeypatch.setattr(
        notification_manager,
        "dispatch",
        lambda note: found.append(f"{note.severity}: {note.message}"),
    )
    return found


@pytest.fixture
def qtbot(qapp, request):
    """Return pytest-qt's, with more patience."""
    from tests.jobs import PatientBot

    return PatientBot(request)


@pytest.fixture
def empty_viewer(qapp):
    """Return a viewer without a window; the threads that worked for it end before the test."""
    from napari.components import ViewerModel

    from tests.jobs import end_all_work

    yield ViewerModel()
    end_all_work()
    qapp.processEvents()
