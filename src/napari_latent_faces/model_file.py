"""The model file: one ``.npz`` with a JSON header, never pickled."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.files import replacing
from napari_latent_faces.methods import params_of
from napari_latent_faces.model import LatentFaces, Provenance

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

__all__ = ["FORMAT_VERSION", "ModelFileError", "is_model_file", "read_model", "write_model"]

FORMAT_VERSION = 2
_NMF_VERSION = 1  # what older releases read as well
_MEMBERS = ("header", "components", "weights")


class ModelFileError(ValueError):
    """A file is not a sound model of latent faces."""


def write_model(model: LatentFaces, path: str | PathLike[str]) -> None:
    """Write `model` to `path`, whole or not at all; see `LatentFaces.save`."""
    is_plain = model.params.method == "nmf" and model.mean is None
    header = {
        "format": "napari-latent-faces",
        "format_version": _NMF_VERSION if is_plain else FORMAT_VERSION,
        "method": model.params.method,
        "error": model.error,
        "scale": model.scale,
        "params": model.params.to_dict(),
        "provenance": asdict(model.provenance),
    }
    text = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass")
    arrays: dict[str, Any] = {"components": model.components, "weights": model.weights}
    if model.mean is not None:
        arrays["mean"] = model.mean
    with replacing(path) as file:
        np.savez(file, header=np.frombuffer(text, np.uint8), **arrays)


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
            mean = archive.get("mean")
            return _model(header, archive["components"], archive["weights"], mean)
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
    header: dict[str, Any],
    components: NDArray[Any],
    weights: NDArray[Any],
    mean: NDArray[Any] | None,
) -> LatentFaces:
    # files of format version 1 need not name their method
    params = params_of(header.get("method", "nmf"), **header["params"])
    _check_factors(components, weights)
    signed = params.is_signed
    for name, factor in (("components", components), ("weights", weights), ("mean", mean)):
        if factor is not None:
            _check_values(name, factor, signed=signed)
    if mean is not None and mean.shape != components.shape[1:]:
        raise ModelFileError(
            f"its mean has the shape {mean.shape}, its components {components.shape[1:]}."
        )
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
        reading=_read_options(origin.get("reading")),
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
        params,
        provenance,
        mean,
    )


def _read_options(values: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the options of `read_faces` as they were: JSON has no tuples."""
    if values is None:
        return None
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
    }


def _check_factors(components: NDArray[Any], weights: NDArray[Any]) -> None:
    """Refuse arrays that are no factors of a stack of pictures."""
    if components.ndim != 3 or weights.ndim != 2 or components.shape[0] != weights.shape[1]:
        raise ModelFileError(
            f"components of shape {components.shape} and weights of shape {weights.shape} "
            "do not belong together."
        )


def _check_values(name: str, factor: NDArray[Any], *, signed: bool) -> None:
    if factor.dtype.kind != "f":
        raise ModelFileError(f"its {name} are of type {factor.dtype}, not floats.")
    if not (np.isfinite(factor) & (signed | (factor >= 0))).all():
        wanted = "finite" if signed else "finite and non-negative"
        raise ModelFileError(f"its {name} are not all {wanted}.")
