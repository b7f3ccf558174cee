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
    from napari_latent_faces.explaining import (
        FaceMap,
        compare_models,
        map_faces,
        match_components,
    )
    from napari_latent_faces.export import as_python
    from napari_latent_faces.fitting import FitStep, fit, iter_fit
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.params import (
        AlignOptions,
        ChoiceOptions,
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
    "aligning": "Alignment align_faces align_to iter_align oval_mask",
    "aligning.learning": "AlignStep",
    "choosing": "KChoice choose_k iter_choose_k",
    "estimator": "PictureNMF",
    "explaining": "FaceMap compare_models map_faces match_components",
    "export": "as_python",
    "fitting": "FitStep fit iter_fit",
    "model": "LatentFaces",
    "params": "AlignOptions ChoiceOptions "
    "DictionaryParams ICAParams KMeansParams MiniBatchNMFParams NMFParams PCAParams",
    "reading": "read_faces",
    "reading.beside": "read_points",
    "samples": "sample_faces",
    "stack": "FaceStack ReadReport",
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names.split():
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
