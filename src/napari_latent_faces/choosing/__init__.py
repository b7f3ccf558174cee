"""How many components: fits for several k, what they leave out, and a suggestion."""

from __future__ import annotations

from napari_latent_faces.choosing.candidates import parse_ks
from napari_latent_faces.choosing.choice import KChoice
from napari_latent_faces.choosing.matching import pair_pictures
from napari_latent_faces.choosing.options import ChoiceOptions
from napari_latent_faces.choosing.search import KStep, choose_k, iter_choose_k
from napari_latent_faces.choosing.whole import iter_whole_model

__all__ = [
    "ChoiceOptions",
    "KChoice",
    "KStep",
    "choose_k",
    "iter_choose_k",
    "iter_whole_model",
    "pair_pictures",
    "parse_ks",
]
