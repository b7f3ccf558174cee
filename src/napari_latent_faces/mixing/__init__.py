"""New faces from a model: by hand, by chance, and between two others."""

from napari_latent_faces.mixing.amounts import (
    as_weights,
    listed,
    mattering,
    mean_weights,
    morph,
    weight_ranges,
    weight_units,
)
from napari_latent_faces.mixing.mix import Mix
from napari_latent_faces.mixing.picture import MixedPicture, to_pixels
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
