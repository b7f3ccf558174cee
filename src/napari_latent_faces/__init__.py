"""Latent faces: non-negative matrix factorization of face pictures, in napari and beside it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_latent_faces.aligning import (
        Alignment,
        align_faces,
        align_to,
        iter_align,
        oval_mask,
    )
    from napari_latent_faces.aligning.learning import AlignStep
    from napari_latent_faces.choosing import KChoice, choose_k, iter_choose_k
    from napari_latent_faces.estimator import PictureNMF
    from napari_latent_faces.explaining import compare_models, match_components
    from napari_latent_faces.export import as_python
    from napari_latent_faces.fitting import FitStep, fit, iter_fit
    from napari_latent_faces.mapping import FaceMap, map_faces
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.options import AlignOptions, ChoiceOptions
    from napari_latent_faces.params import (
        DictionaryParams,
        ICAParams,
        KMeansParams,
        MiniBatchNMFParams,
        NMFParams,
        PCAParams,
    )
    from napari_latent_faces.reading import read_faces
    from napari_latent_faces.reading.beside import read_points
    from napari_latent_faces.samples import sample_faces
    from napari_latent_faces.stack import FaceStack, ReadReport

__version__ = "0.1.0.dev0"

__all__ = [
    "AlignOptions",
    "AlignStep",
    "Alignment",
    "ChoiceOptions",
    "DictionaryParams",
    "FaceMap",
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
    "align_faces",
    "align_to",
    "as_python",
    "choose_k",
    "compare_models",
    "fit",
    "iter_align",
    "iter_choose_k",
    "iter_fit",
    "map_faces",
    "match_components",
    "oval_mask",
    "read_faces",
    "read_points",
    "sample_faces",
]

# Importing the package costs nothing: each name is loaded when it is first used.
_HOMES = {
    "AlignOptions": "options",
    "AlignStep": "aligning.learning",
    "Alignment": "aligning",
    "align_faces": "aligning",
    "align_to": "aligning",
    "iter_align": "aligning",
    "oval_mask": "aligning",
    "read_points": "reading.beside",
    "ChoiceOptions": "options",
    "DictionaryParams": "params",
    "FaceMap": "mapping",
    "FaceStack": "stack",
    "FitStep": "fitting",
    "ICAParams": "params",
    "KChoice": "choosing",
    "KMeansParams": "params",
    "LatentFaces": "model",
    "MiniBatchNMFParams": "params",
    "NMFParams": "params",
    "PCAParams": "params",
    "PictureNMF": "estimator",
    "ReadReport": "stack",
    "as_python": "export",
    "choose_k": "choosing",
    "compare_models": "explaining",
    "sample_faces": "samples",
    "draw_faces": "samples",  # deprecated
    "fit": "fitting",
    "iter_choose_k": "choosing",
    "iter_fit": "fitting",
    "map_faces": "mapping",
    "match_components": "explaining",
    "read_faces": "reading",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return __all__
