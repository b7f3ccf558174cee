from __future__ import annotations

import pytest

from napari_latent_faces.solvers import blocks, multilevel


@pytest.fixture
def small_samples(monkeypatch):
    """Sample a few faces only, and cut the stack in many blocks."""
    monkeypatch.setattr(multilevel, "_SAMPLE_FACES", 50)
    monkeypatch.setattr(multilevel, "_SAMPLE_VALUES", 1)
    monkeypatch.setattr(blocks, "_BLOCK_FACES", (8, 16))
    monkeypatch.setattr(blocks, "_SHARE_VALUES", 1)
