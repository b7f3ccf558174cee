"""Non-negative matrix factorization of picture stacks: faces ~ weights x components."""

from __future__ import annotations

from napari_latent_faces.nmf.fitting import (
    ConvergenceWarning,
    FitStep,
    PenaltyWarning,
    fit,
    iter_fit,
)
from napari_latent_faces.nmf.params import NMFParams

__all__ = ["ConvergenceWarning", "FitStep", "NMFParams", "PenaltyWarning", "fit", "iter_fit"]
