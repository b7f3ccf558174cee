"""Latent faces: non-negative matrix factorization of face pictures, in napari and beside it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_latent_faces.choosing import ChoiceOptions, KChoice, choose_k, iter_choose_k
    from napari_latent_faces.compare import compare_models, match_components
    from napari_latent_faces.estimator import PictureNMF
    from napari_latent_faces.fitting import fit, iter_fit
    from napari_latent_faces.folder import read_faces
    from napari_latent_faces.methods import (
        DictionaryParams,
        ICAParams,
        KMeansParams,
        MiniBatchNMFParams,
        PCAParams,
    )
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.nmf import FitStep, NMFParams
    from napari_latent_faces.report import ReadReport
    from napari_latent_faces.script import as_python
    from napari_latent_faces.stack import FaceStack
    from napari_latent_faces.synthetic import draw_faces

__version__ = "0.1.0.dev0"

__all__ = [
    "ChoiceOptions",
    "DictionaryParams",
    "FaceStack",
    "FitStep",
    "ICAParams",
    "KChoice",
    "KMeansParams",
    "LatentFaces",
    "MiniBatchNMFParams",
    "NMFParams",
    "PCAParams",
    "PictureNMF",
    "ReadReport",
    "__version__",
    "as_python",
    "choose_k",
    "compare_models",
    "draw_faces",
    "fit",
    "iter_choose_k",
    "iter_fit",
    "match_components",
    "read_faces",
]

# Importing the package costs nothing: each name is loaded when it is first used.
_HOMES = {
    "ChoiceOptions": "choosing",
    "DictionaryParams": "methods",
    "FaceStack": "stack",
    "FitStep": "nmf",
    "ICAParams": "methods",
    "KChoice": "choosing",
    "KMeansParams": "methods",
    "LatentFaces": "model",
    "MiniBatchNMFParams": "methods",
    "NMFParams": "nmf",
    "PCAParams": "methods",
    "PictureNMF": "estimator",
    "ReadReport": "report",
    "as_python": "script",
    "choose_k": "choosing",
    "compare_models": "compare",
    "draw_faces": "synthetic",
    "fit": "fitting",
    "iter_choose_k": "choosing",
    "iter_fit": "fitting",
    "match_components": "compare",
    "read_faces": "folder",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return __all__
