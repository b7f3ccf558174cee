"""The model file: one ``.npz`` with a JSON header, never pickled."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.files import replacing
from napari_latent_faces.model import LatentFaces, Provenance
from napari_latent_faces.nmf.params import NMFParams

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

__all__ = ["FORMAT_VERSION", "ModelFileError", "is_model_file", "read_model", "write_model"]

FORMAT_VERSION = 1
_MEMBERS = ("header", "components", "weights")


class ModelFileError(ValueError):
    """A file is not a sound model of latent faces."""


def write_model(model: LatentFaces, path: str | PathLike[str]) -> None:
    """Write `model` to `path`, whole or not at all; see `LatentFaces.save`."""
    header = {
        "format": "napari-latent-faces",
        "format_version": FORMAT_VERSION,
        "error": model.error,
        "scale": model.scale,
        "params": model.params.to_dict(),
        "provenance": asdict(model.provenance),
    }
    text = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass")
    with replacing(path) as file:
        np.savez(
            file,
            header=np.frombuffer(text, np.uint8),
            components=model.components,
            weights=model.weights,
        )


def is_model_file(path: str | PathLike[str]) -> bool:
    """Tell by a quick look whether `path` could be a model file; never raises."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {f"{name}.npy" for name in _MEMBERS} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def read_model(path: str | PathLike[str]) -> LatentFaces:
    """Read the model at `path` and check that it is sound; see `LatentFaces.load`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no model file {str(path)!r}.")
    if not is_model_file(path):
        raise ModelFileError(f"{path} is not a model file of napari-latent-faces.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            header = _header(archive["header"])
            return _model(header, archive["components"], archive["weights"])
    except ModelFileError as error:
        raise ModelFileError(f"{path} cannot be used: {error}") from error
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise ModelFileError(f"{path} is damaged or not a model file: {error}") from error


def _header(raw: NDArray[Any]) -> dict[str, Any]:
    header = json.loads(raw.tobytes().decode("utf-8", "surrogatepass"))
    version = header["format_version"]
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"it has format version {version}, this package reads up to {FORMAT_VERSION}; "
            "update napari-latent-faces."
        )
    return dict(header)


def _model(
    header: dict[str, Any], components: NDArray[Any], weights: NDArray[Any]
) -> LatentFaces:
    _check_factors(components, weights)
    origin = header["provenance"]
    subjects = origin["subjects"]
    provenance = Provenance(
        names=tuple(origin["names"]),
        subjects=None if subjects is None else tuple(subjects),
        source=origin["source"],
        dtype=origin["dtype"],
        n_iter=origin["n_iter"],
        stop_reason=origin["stop_reason"],
        versions=dict(origin["versions"]),
        encoded_from=origin.get("encoded_from"),
    )
    for what in filter(None, (provenance.names, provenance.subjects)):
        if len(what) != len(weights):
            raise ModelFileError(
                f"it names {len(what)} faces but has weights for {len(weights)}."
            )
    return LatentFaces(
        components,
        weights,
        float(header["error"]),
        float(header["scale"]),
        NMFParams(**header["params"]),
        provenance,
    )


def _check_factors(components: NDArray[Any], weights: NDArray[Any]) -> None:
    """Refuse arrays that are no non-negative factors of a stack of pictures."""
    if components.ndim != 3 or weights.ndim != 2 or components.shape[0] != weights.shape[1]:
        raise ModelFileError(
            f"components of shape {components.shape} and weights of shape {weights.shape} "
            "do not belong together."
        )
    for name, factor in (("components", components), ("weights", weights)):
        if factor.dtype.kind != "f":
            raise ModelFileError(f"its {name} are of type {factor.dtype}, not floats.")
        if not (np.isfinite(factor) & (factor >= 0)).all():
            raise ModelFileError(f"its {name} are not all finite and non-negative.")
