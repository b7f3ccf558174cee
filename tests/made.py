"""Models with weights of known distributions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_latent_faces.model import LatentFaces, Provenance
from napari_latent_faces.params import NMFParams, PCAParams


def canonical(W, H, size):
    """Return the model of two factors."""
    about = {"error": 0.1, "scale": 255.0, "params": NMFParams(), "provenance": None}
    return LatentFaces.from_factors(W, H, size, **about)


def made_model(weights, size=(6, 5), *, dtype="uint8", seed=0, names=None):
    """Return a model with given weights (n, k) and random components with maximum 1."""
    weights = np.asarray(weights, np.float32)
    n, k = weights.shape
    components = np.random.default_rng(seed).random((k, *size), np.float32)
    components /= components.max(axis=(1, 2), keepdims=True)
    names = tuple(f"s{i}/1.png" for i in range(n)) if names is None else names
    return LatentFaces(
        components,
        weights,
        0.1,
        255.0,
        NMFParams(n_components=k),
        Provenance(names, tuple(f"s{i}" for i in range(n)), "made", dtype, 1, "converged"),
    )


def signed_model(weights, size=(6, 5), *, seed=0):
    """Return a model as of PCA: components with light and dark, added to a mean face."""
    model = made_model(weights, size, seed=seed)
    rng = np.random.default_rng(seed)
    components = rng.uniform(-1, 1, model.components.shape).astype(np.float32)
    mean = rng.uniform(0.3, 0.6, size).astype(np.float32)
    params = PCAParams(n_components=model.n_components)
    return replace(model, components=components, mean=mean, params=params)


def correlated_weights(n, k, seed=0, zeros=0.4):
    """Return weights (n, k) with skew distributions, zeros, and correlations of two signs."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(k, max(2, k // 2)))
    z = rng.normal(size=(n, mixing.shape[1])) @ mixing.T + 0.3 * rng.normal(size=(n, k))
    z /= z.std(axis=0)
    cut = rng.uniform(-1.5, 2 * zeros - 0.6, k)
    return np.maximum(np.exp(z) - np.exp(cut), 0)
