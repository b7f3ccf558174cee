"""The example that opens a window."""

from __future__ import annotations

import runpy
from pathlib import Path

import napari

EXAMPLE = Path(__file__).parents[2] / "examples" / "napari_script.py"


def test_napari_from_a_script(viewer, qtbot, monkeypatch):
    ran = []
    monkeypatch.setattr(napari, "Viewer", lambda: viewer)
    monkeypatch.setattr(napari, "run", lambda: ran.append(True))
    names = runpy.run_path(str(EXAMPLE))
    assert ran
    qtbot.waitUntil(lambda: not names["widget"].is_working)
    assert names["session"].model.n_components == 12
    assert "latent faces [drawn]" in viewer.layers
