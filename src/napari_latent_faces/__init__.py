"""Latent faces: non-negative matrix factorization of face pictures, in napari and beside it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_latent_faces.choosing import ChoiceOptions, KChoice, choose_k, iter_choose_k
    from napari_latent_faces.estimator import PictureNMF
    from napari_latent_faces.folder import read_faces
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.nmf import FitStep, NMFParams, fit, iter_fit
    from napari_latent_faces.report import ReadReport
    from napari_latent_faces.stack import FaceStack
    from napari_latent_faces.synthetic import draw_faces

__version__ = "0.1.0.dev0"

__all__ = [
    "ChoiceOptions",
    "FaceStack",
    "FitStep",
    "KChoice",
    "LatentFaces",
    "NMFParams",
    "PictureNMF",
    "ReadReport",
    "__version__",
    "choose_k",
    "draw_faces",
    "fit",
    "iter_choose_k",
    "iter_fit",
    "read_faces",
]

# Importing the package costs nothing: each name is loaded when it is first used.
_HOMES = {
    "ChoiceOptions": "choosing",
    "FaceStack": "stack",
    "FitStep": "nmf",
    "KChoice": "choosing",
    "LatentFaces": "model",
    "NMFParams": "nmf",
    "PictureNMF": "estimator",
    "ReadReport": "report",
    "choose_k": "choosing",
    "draw_faces": "synthetic",
    "fit": "nmf",
    "iter_choose_k": "choosing",
    "iter_fit": "nmf",
    "read_faces": "folder",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return __all__
