"""The model file: arrays and a JSON header in one ``.npz``, never pickled.

Anybody's file is read without running code, in no more memory than it has bytes.
"""

from __future__ import annotations

import json
import math
import sys
import zipfile
from contextlib import contextmanager
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from napari_latent_faces.files import open_regular, replacing
from napari_latent_faces.model import LatentFaces, Provenance
from napari_latent_faces.params import params_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from numpy.typing import NDArray

ENDING = ".latent"
"""What a name of a model file ends in: napari writes plain arrays into ``.npz``."""

FORMAT_VERSION = 3  # 3 has colour, 2 other methods and masks; older releases read 1
MAX_HEADER_BYTES = 64 * 2**20  # names of some hundred thousand faces

_FACTORS, _OPTIONAL = ("components", "weights"), ("mean", "mask", "transforms")
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
# what a member may be compressed to before it counts as a bomb; noise does not shrink so far
_BOMB_BYTES, _BOMB_RATIO = 2**20, 200


class ModelFileError(ValueError):
    """A file is not a sound model of latent faces."""


def write_model(model: LatentFaces, path: str | PathLike[str]) -> None:
    """Write `model` to `path`, whole or not at all; see `LatentFaces.save`."""
    also = {name: getattr(model, name) for name in _OPTIONAL}
    is_plain = model.params.method == "nmf" and model.mean is None and model.mask is None
    header = {
        "format": "napari-latent-faces",
        "format_version": 3 if len(model.picture_shape) == 3 else 1 if is_plain else 2,
        "method": model.params.method,
        "error": model.error,
        "scale": model.scale,
        "params": model.params.to_dict(),
        "provenance": asdict(model.provenance),
    }
    text = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass")
    arrays: dict[str, Any] = {
        "header": np.frombuffer(text, np.uint8),
        "components": model.components,
        "weights": model.weights,
        **{name: array for name, array in also.items() if array is not None},
    }
    with replacing(path) as file:
        write_arrays(file, arrays)


def write_arrays(file: IO[bytes], arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays as `numpy.savez` does, but close the archive whatever happens.

    `numpy.savez` of NumPy 2.0 leaves that to the garbage collector, which then writes to a
    file that may be gone.
    """
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, np.asanyarray(array), allow_pickle=False)


def model_path(path: str | PathLike[str]) -> Path:
    """Return `path`, with the ending of model files if it has neither that nor ``.npz``."""
    path = Path(path)
    known = path.suffix.lower() in (ENDING, ".npz")
    return path if known else path.with_name(path.name + ENDING)


def is_model_file(path: str | PathLike[str]) -> bool:
    """Tell by a quick look whether `path` could be a model file; never raises or waits."""
    return {"header", *_FACTORS} <= set(_members(path))


def read_model(path: str | PathLike[str]) -> LatentFaces:
    """Read the model at `path` and check that it is sound; see `LatentFaces.load`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no model file {str(path)!r}.")
    if not is_model_file(path):
        what = ""
        if _members(path) == ["arr_0"] or path.suffix.lower() in (".tif", ".tiff", ".png"):
            what = (
                ": it holds the pictures of one layer, as napari saves them, without the "
                f"weights and parameters of the fit. Save the model as {ENDING} (Save model...)"
            )
        raise ModelFileError(f"{path} is not a model file of napari-latent-faces{what}.")
    try:
        with _opened(path) as archive:
            header = _header(archive)
            names = {*_FACTORS, *_OPTIONAL} & set(_names(archive))
            return _model(header, {name: _read_array(archive, name) for name in names})
    except ModelFileError as error:
        raise ModelFileError(f"{path} cannot be used: {error}") from error
    except Exception as error:  # a hostile file can make a decoder raise anything
        raise ModelFileError(
            f"{path} is damaged or not a model file: {_in_words(error)}"
        ) from error


@contextmanager
def _opened(path: str | PathLike[str]) -> Iterator[zipfile.ZipFile]:
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        yield archive


def _names(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist()]


def _members(path: str | PathLike[str]) -> list[str]:
    """Return what the arrays of a file are called, nothing if it is no archive."""
    try:
        with _opened(path) as archive:
            return _names(archive)
    except Exception:  # noqa: BLE001 - a hostile file can make a decoder raise anything
        return []


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Read one array, if the file really holds as many bytes as it declares.

    `numpy.load` makes room for whatever size an array declares, and unpacks whatever is
    compressed, before it knows what is there.
    """
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > _BOMB_BYTES and info.file_size > _BOMB_RATIO * info.compress_size:
        raise ValueError(
            f"its {name} are a decompression bomb, {info.file_size} bytes from "
            f"{info.compress_size}"
        )
    with archive.open(info) as file:
        version = npy.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"arrays of version {version} are not read")
        shape, _, dtype = _HEADERS[version](file)
        if dtype.hasobject:
            raise ValueError(f"its {name} are pickled Python objects, which are never loaded")
        declared = math.prod(shape) * dtype.itemsize
        there = info.file_size - file.tell()
        if min(shape, default=0) < 0 or declared != there:
            raise ValueError(
                f"its {name} declare {' x '.join(map(str, shape)) or 1} numbers of type "
                f"{dtype}, but {there} bytes are there instead of {declared}"
            )
    with archive.open(info) as file:
        array = npy.read_array(file, allow_pickle=False)
        file.read()  # to the end, where the checksum is looked at
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _in_words(error: Exception) -> str:
    """Say in one line what is wrong with a file."""
    if isinstance(error, RecursionError):
        return "its header is nested too deeply."
    if isinstance(error, MemoryError):
        return "it needs more memory than is free."
    words = f"{error}" if str(error) else type(error).__name__
    if isinstance(error, KeyError):
        words = f"its header lacks {words}"
    return " ".join(words.split())[:300].rstrip(".") + "."


def _header(archive: zipfile.ZipFile) -> dict[str, Any]:
    if archive.getinfo("header.npy").file_size > MAX_HEADER_BYTES:
        raise ModelFileError(f"its header is larger than {MAX_HEADER_BYTES >> 20} MiB.")
    raw = _read_array(archive, "header")
    header = json.loads(raw.tobytes().decode("utf-8", "surrogatepass"))
    version = header["format_version"]
    if not isinstance(version, int) or version < 1:
        raise ModelFileError(f"its format version {_short(version)} is not a number from 1 on.")
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"it has format version {_short(version)}, this package reads up to "
            f"{FORMAT_VERSION}; update napari-latent-faces."
        )
    return dict(header)


def _model(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> LatentFaces:
    # files of format version 1 need not name their method
    params = params_of(header.get("method", "nmf"), **header["params"])
    for fault in _faults_of_arrays(arrays, is_signed=params.is_signed):
        raise ModelFileError(fault)
    error, scale = (_number(header[name], name) for name in ("error", "scale"))
    model = LatentFaces(
        error=error,
        scale=scale,
        params=params,
        provenance=_provenance(header["provenance"]),
        **arrays,
    )
    for fault in _faults(model):
        raise ModelFileError(fault)
    return model


def _faults_of_arrays(arrays: dict[str, NDArray[Any]], *, is_signed: bool) -> Iterator[str]:
    """Say what is wrong with arrays of a model."""
    components, weights = (arrays[name] for name in _FACTORS)
    is_picture = components.ndim == 3 or components.shape[3:] == (3,)
    if not is_picture or weights.ndim != 2 or components.shape[0] != weights.shape[1]:
        yield (
            f"components of shape {components.shape} and weights of shape {weights.shape} do "
            "not belong together."
        )
    for name, array in arrays.items():
        if name == "mask":
            continue
        can_be_negative = is_signed or name == "transforms"
        if array.dtype.kind != "f":
            yield f"its {name} are of type {array.dtype}, not floats."
        if not array.size:
            yield f"its {name} are empty, of shape {array.shape}."
        if not (np.isfinite(array) & (can_be_negative | (array >= 0))).all():
            wanted = "finite" if can_be_negative else "finite and non-negative"
            yield f"its {name} are not all {wanted}."


def _faults(model: LatentFaces) -> Iterator[str]:
    """Say what does not fit together in a model."""
    n, h, w, *_ = model.shape
    mean, mask, transforms = model.mean, model.mask, model.transforms
    origin, frame = model.provenance, model.provenance.frame
    if mean is not None and mean.shape != model.picture_shape:
        yield f"its mean has the shape {mean.shape}, its components {model.picture_shape}."
    if mask is not None and (mask.dtype != bool or mask.shape != (h, w)):
        yield (
            f"its mask is of type {mask.dtype} and shape {mask.shape}, not of booleans and "
            f"shape {(h, w)}."
        )
    if transforms is not None and transforms.shape != (n, 3, 3):
        yield f"its transforms have the shape {transforms.shape}, not {(n, 3, 3)}."
    if frame is not None and (frame[0] + h > frame[2] or frame[1] + w > frame[3]):
        yield f"its faces, {w} x {h}, do not fit its frame {frame}."
    for what in filter(None, (origin.names, origin.subjects)):
        if len(what) != n:
            yield f"it names {len(what)} faces but has weights for {n}."
    if model.params.n_components != model.n_components:
        yield (
            f"its parameters say {model.params.n_components} components, but it holds "
            f"{model.n_components}."
        )
    if model.scale == 0:
        yield "its scale is 0: no pixel would be seen."


def _provenance(origin: dict[str, Any]) -> Provenance:
    parts = {
        each.name: _of_type(str(each.type), origin[each.name], each.name)
        for each in fields(Provenance)
        if each.default is MISSING or each.name in origin  # else it is of an older release
    }
    return Provenance(**parts)


def _of_type(hint: str, value: Any, what: str) -> Any:
    """Return what JSON has made of a value of some type as that again, if it is sound."""
    found = value
    if value is None and "None" in hint:
        return None
    if hint == "int":
        found = int(_number(value, what))
    elif hint == "dict[str, str]":
        found = dict(zip(value, _texts([*value.values()], what), strict=True))
    elif hint.startswith("tuple[str"):
        found = _texts(value, what)
    elif hint.startswith("tuple[int"):
        if not isinstance(value, list) or len(value) != 4:
            raise ModelFileError(f"its {what} is {_short(value)}, not four whole numbers.")
        found = tuple(int(_number(each, what)) for each in value)
    elif hint.startswith("dict"):  # options, with a tuple or two
        if not isinstance(value, dict):
            raise ModelFileError(f"its {what} is {_short(value)}, no table of options.")
        found = {name: tuple(x) if isinstance(x, list) else x for name, x in value.items()}
    elif not isinstance(value, str):
        raise ModelFileError(f"its {what} is {_short(value)}, no text.")
    return found


def _texts(values: Any, what: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise ModelFileError(f"its {what} are no list of texts.")
    return tuple(values)


def _number(value: Any, what: str) -> float:
    """Return a number that is finite and not negative."""
    sound = isinstance(value, (int, float)) and 0 <= value <= sys.float_info.max
    if not sound or isinstance(value, bool):
        raise ModelFileError(f"its {what} is {_short(value)}, no number from 0 on.")
    return float(value)


def _short(value: Any) -> str:
    """Return how a value is written, its start if that is long."""
    try:
        words = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, a deep list
        return "too large"
    return words if len(words) <= 60 else f"{words[:60]}..."
