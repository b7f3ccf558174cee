"""New faces from a model: by hand, by chance, and between two others."""

from __future__ import annotations

from napari_latent_faces.mixing.mix import (
    Mix,
    MixedPicture,
    as_weights,
    listed,
    mattering,
    mean_weights,
    morph,
    to_pixels,
    weight_ranges,
    weight_units,
)
from napari_latent_faces.mixing.sampling import WeightSampler, sample_weights

__all__ = [
    "Mix",
    "MixedPicture",
    "WeightSampler",
    "as_weights",
    "listed",
    "mattering",
    "mean_weights",
    "morph",
    "sample_weights",
    "to_pixels",
    "weight_ranges",
    "weight_units",
]
