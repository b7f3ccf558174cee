from __future__ import annotations

import numpy as np
import pytest

from napari_latent_faces.solvers import blocks, multilevel
from tests.conftest import blobs


def faces(n=40, size=(46, 37), k=6, seed=0, noise=0.05):
    """Return pictures with enough pixels for coarse levels, with some noise."""
    pictures, _, _ = blobs(n, k, size, seed)
    pictures = pictures + noise * np.random.default_rng(seed).random(pictures.shape)
    return (pictures / (1 + noise)).astype(np.float32)


def lost(stack, model, hidden=False):
    """Return the relative error of a model over what is not hidden, from its definition."""
    X = np.asarray(getattr(stack, "images", stack), np.float64)
    left = np.where(hidden, 0, X - model.reconstruct())
    return np.linalg.norm(left) / np.linalg.norm(np.where(hidden, 0, X))


@pytest.fixture
def small_samples(monkeypatch):
    """Sample a few faces only, and cut the stack in many blocks."""
    monkeypatch.setattr(multilevel, "_SAMPLE_FACES", 50)
    monkeypatch.setattr(multilevel, "_SAMPLE_VALUES", 1)
    monkeypatch.setattr(blocks, "_BLOCK_FACES", (8, 16))
    monkeypatch.setattr(blocks, "_SHARE_VALUES", 1)
