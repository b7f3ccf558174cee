"""Latent faces: non-negative matrix factorization of face pictures, in napari and beside it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_latent_faces.aligning import Alignment as Alignment
    from napari_latent_faces.aligning import align_faces as align_faces
    from napari_latent_faces.aligning import align_to as align_to
    from napari_latent_faces.aligning import iter_align as iter_align
    from napari_latent_faces.aligning import oval_mask as oval_mask
    from napari_latent_faces.aligning.learning import AlignStep as AlignStep
    from napari_latent_faces.choosing import KChoice as KChoice
    from napari_latent_faces.choosing import choose_k as choose_k
    from napari_latent_faces.choosing import iter_choose_k as iter_choose_k
    from napari_latent_faces.estimator import PictureNMF as PictureNMF
    from napari_latent_faces.explaining import FaceMap as FaceMap
    from napari_latent_faces.explaining import compare_models as compare_models
    from napari_latent_faces.explaining import map_faces as map_faces
    from napari_latent_faces.explaining import match_components as match_components
    from napari_latent_faces.export import as_python as as_python
    from napari_latent_faces.fitting import FitStep as FitStep
    from napari_latent_faces.fitting import fit as fit
    from napari_latent_faces.fitting import iter_fit as iter_fit
    from napari_latent_faces.model import LatentFaces as LatentFaces
    from napari_latent_faces.params import AlignOptions as AlignOptions
    from napari_latent_faces.params import ChoiceOptions as ChoiceOptions
    from napari_latent_faces.params import DictionaryParams as DictionaryParams
    from napari_latent_faces.params import ICAParams as ICAParams
    from napari_latent_faces.params import KMeansParams as KMeansParams
    from napari_latent_faces.params import MiniBatchNMFParams as MiniBatchNMFParams
    from napari_latent_faces.params import NMFParams as NMFParams
    from napari_latent_faces.params import PCAParams as PCAParams
    from napari_latent_faces.reading import read_faces as read_faces
    from napari_latent_faces.reading.beside import read_points as read_points
    from napari_latent_faces.samples import sample_faces as sample_faces
    from napari_latent_faces.stack import FaceStack as FaceStack
    from napari_latent_faces.stack import ReadReport as ReadReport

__version__ = "0.1.0.dev0"

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
__all__ = ["__version__", *" ".join(_HOMES.values()).split()]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names.split():
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
