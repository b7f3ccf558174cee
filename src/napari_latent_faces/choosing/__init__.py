"""How many components: fits for several k, what they leave out, and a suggestion."""

from __future__ import annotations

from napari_latent_faces.choosing.choice import KChoice
from napari_latent_faces.choosing.search import (
    KStep,
    choose_k,
    iter_choose_k,
    iter_whole_model,
)

__all__ = ["KChoice", "KStep", "choose_k", "iter_choose_k", "iter_whole_model"]
