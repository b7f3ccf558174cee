"""Arrays in ``.npz`` files; anybody's are read without code, in no more memory than bytes."""

from __future__ import annotations

import json
import math
import sys
import zipfile
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
from numpy.lib import format as npy

from napari_latent_faces.files import open_regular, replacing
from napari_latent_faces.model import LatentFaces, Provenance
from napari_latent_faces.params import params_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from numpy.typing import NDArray

    from napari_latent_faces.model import StopReason

__all__ = [
    "ENDING",
    "FORMAT_VERSION",
    "ModelFileError",
    "is_model_file",
    "model_path",
    "opened_npz",
    "read_array",
    "read_model",
    "write_arrays",
    "write_model",
]

# -- Arrays in ``.npz`` files; anybody's are read without code, in no more memory than bytes

# What a member may be compressed to before it counts as a bomb; noise does not shrink so far.
BOMB_BYTES = 2**20
BOMB_RATIO = 200

_PIECE = 2**20
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


@contextmanager
def opened_npz(path: str | PathLike[str]) -> Iterator[zipfile.ZipFile]:
    """Open an ``.npz`` file, without waiting for what is no regular file.

    Parameters
    ----------
    path : path-like
        The file.

    Yields
    ------
    zipfile.ZipFile
        For `read_array`.

    Raises
    ------
    Exception
        Of nearly any kind, if the file is damaged or no such file.
    """
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        yield archive


def read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Read one array, if the file really holds as many bytes as it declares.

    `numpy.load` makes room for whatever size an array declares, and unpacks whatever is
    compressed, before it knows what is there.

    Parameters
    ----------
    archive : zipfile.ZipFile
        That of `opened_npz`.
    name : str
        The array's.

    Returns
    -------
    array
        In the machine's byte order.

    Raises
    ------
    ValueError
        If it is pickled, a bomb, or of another size than declared.
    Exception
        Of nearly any kind, if its bytes are damaged.
    """
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > BOMB_BYTES and info.file_size > BOMB_RATIO * info.compress_size:
        raise ValueError(
            f"its {name} are a decompression bomb, {info.file_size} bytes from "
            f"{info.compress_size}"
        )
    with archive.open(info) as file:
        shape, fortran, dtype = _array_header(file)
        if dtype.hasobject:
            raise ValueError(f"its {name} are pickled Python objects, which are never loaded")
        declared = math.prod(shape) * dtype.itemsize
        there = info.file_size - file.tell()
        if min(shape, default=0) < 0 or declared != there:
            raise ValueError(
                f"its {name} declare {_times(shape)} numbers of type {dtype}, but {there} "
                f"bytes are there instead of {declared}"
            )
        numbers = _read_bytes(file, there).view(dtype)
    array = numbers.reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def write_arrays(file: IO[bytes], arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays as `numpy.savez` does, but close the archive whatever happens.

    `numpy.savez` of NumPy 2.0 leaves that to the garbage collector, which then writes to a
    file that may be gone.

    Parameters
    ----------
    file : binary file
        Open for writing; it stays open.
    arrays : dict of str to array
        The arrays by their names.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, np.asanyarray(array), allow_pickle=False)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "1"


def _array_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"arrays of version {version} are not read")
    shape, fortran, dtype = _HEADERS[version](file)
    return shape, fortran, dtype


def _read_bytes(file: IO[bytes], size: int) -> NDArray[np.uint8]:
    """Read to the end, whose checksum is looked at there, into an array of `size`."""
    array = np.empty(size, np.uint8)
    filled = 0
    while piece := file.read(_PIECE):
        array[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
    if filled != size:
        raise ValueError(f"{filled} bytes are there instead of {size}")
    return array


# -- The model file: one ``.npz`` with a JSON header, never pickled --------------------

ENDING = ".latent"
"""What a name of a model file ends in: napari writes plain arrays into ``.npz``."""

FORMAT_VERSION = 3  # 3 has colour, 2 other methods and masks; older releases read 1
MAX_HEADER_BYTES = 64 * 2**20  # names of some hundred thousand faces
_FACTORS, _OPTIONAL = ("components", "weights"), ("mean", "mask", "transforms")
_MEMBERS = ("header", *_FACTORS)


class ModelFileError(ValueError):
    """A file is not a sound model of latent faces."""


def write_model(model: LatentFaces, path: str | PathLike[str]) -> None:
    """Write `model` to `path`, whole or not at all; see `LatentFaces.save`."""
    also = {name: getattr(model, name) for name in _OPTIONAL}
    is_plain = model.params.method == "nmf" and model.mean is None and model.mask is None
    version = 3 if len(model.picture_shape) == 3 else 1 if is_plain else 2
    header = {
        "format": "napari-latent-faces",
        "format_version": version,
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
    }
    arrays |= {name: array for name, array in also.items() if array is not None}
    with replacing(path) as file:
        write_arrays(file, arrays)


def model_path(path: str | PathLike[str]) -> Path:
    """Return `path`, with the ending of model files if it has neither that nor ``.npz``."""
    path = Path(path)
    known = path.suffix.lower() in (ENDING, ".npz")
    return path if known else path.with_name(path.name + ENDING)


def is_model_file(path: str | PathLike[str]) -> bool:
    """Tell by a quick look whether `path` could be a model file; never raises or waits."""
    try:
        with opened_npz(path) as archive:
            return {f"{name}.npy" for name in _MEMBERS} <= set(archive.namelist())
    except Exception:  # noqa: BLE001 - a hostile file can make a decoder raise anything
        return False


def read_model(path: str | PathLike[str]) -> LatentFaces:
    """Read the model at `path` and check that it is sound; see `LatentFaces.load`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no model file {str(path)!r}.")
    if not is_model_file(path):
        raise ModelFileError(f"{path} is not a model file of napari-latent-faces{_what(path)}.")
    try:
        with opened_npz(path) as archive:
            header = _header(archive)
            names = {*_FACTORS, *_OPTIONAL} & {n[:-4] for n in archive.namelist()}
            return _model(header, **{name: read_array(archive, name) for name in names})
    except ModelFileError as error:
        raise ModelFileError(f"{path} cannot be used: {error}") from error
    except Exception as error:  # a hostile file can make a decoder raise anything
        raise ModelFileError(
            f"{path} is damaged or not a model file: {_in_words(error)}"
        ) from error


def _what(path: Path) -> str:
    """Say what napari's own Save makes of a layer, if that is what a file is."""
    try:
        with opened_npz(path) as archive:
            is_plain = archive.namelist() == ["arr_0.npy"]
    except Exception:  # noqa: BLE001 - a hostile file can make a decoder raise anything
        is_plain = path.suffix.lower() in (".tif", ".tiff", ".png")
    if not is_plain:
        return ""
    return (
        ": it holds the pictures of one layer, as napari saves them, without the weights and "
        f"parameters of the fit. Save the model as {ENDING} (Save model...)"
    )


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
    raw = read_array(archive, "header")
    header = json.loads(raw.tobytes().decode("utf-8", "surrogatepass"))
    version = header["format_version"]
    if not isinstance(version, int) or version < 1:
        raise ModelFileError(f"its format version {_short(version)} is none.")
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"it has format version {_short(version)}, this package reads up to "
            f"{FORMAT_VERSION}; update napari-latent-faces."
        )
    return dict(header)


def _model(
    header: dict[str, Any],
    components: NDArray[Any],
    weights: NDArray[Any],
    mean: NDArray[Any] | None = None,
    mask: NDArray[Any] | None = None,
    transforms: NDArray[Any] | None = None,
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
    if mask is not None and (mask.dtype != bool or mask.shape != components.shape[1:3]):
        raise ModelFileError(
            f"its mask is of type {mask.dtype} and shape {mask.shape}, not of booleans and "
            f"shape {components.shape[1:3]}."
        )
    provenance = _provenance(header["provenance"])
    _check_alignment(transforms, provenance.frame, len(weights), components.shape[1:3])
    for what in filter(None, (provenance.names, provenance.subjects)):
        if len(what) != len(weights):
            raise ModelFileError(
                f"it names {len(what)} faces but has weights for {len(weights)}."
            )
    if params.n_components != len(components):
        raise ModelFileError(
            f"its parameters say {params.n_components} components, but it holds "
            f"{len(components)}."
        )
    error, scale = _number(header, "error"), _number(header, "scale")
    if scale == 0:
        raise ModelFileError("its scale is 0: no pixel would be seen.")
    return LatentFaces(
        components, weights, error, scale, params, provenance, mean, mask, transforms
    )


def _provenance(origin: dict[str, Any]) -> Provenance:
    subjects = origin["subjects"]
    versions = dict(origin["versions"])
    return Provenance(
        names=_texts(origin["names"], "names"),
        subjects=None if subjects is None else _texts(subjects, "subjects"),
        source=_text(origin, "source"),
        dtype=_text(origin, "dtype"),
        n_iter=int(_number(origin, "n_iter")),
        stop_reason=cast("StopReason", _text(origin, "stop_reason")),
        versions=dict(zip(versions, _texts([*versions.values()], "versions"), strict=True)),
        encoded_from=(
            None if origin.get("encoded_from") is None else _text(origin, "encoded_from")
        ),
        reading=_read_options(origin.get("reading")),
        n_missing=int(_number(origin, "n_missing")) if "n_missing" in origin else 0,
        missing=_text(origin, "missing") if "missing" in origin else "",
        backend=_text(origin, "backend") if "backend" in origin else "",
        frame=_frame(origin.get("frame")),
    )


def _frame(values: Any) -> tuple[int, int, int, int] | None:
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != 4:
        raise ModelFileError(f"its frame is {_short(values)}, not four whole numbers.")
    numbers = [int(_number({"frame": value}, "frame")) for value in values]
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _read_options(values: Any) -> dict[str, Any] | None:
    """Return the options of `read_faces` as they were: JSON has no tuples."""
    if values is None:
        return None
    if not isinstance(values, dict):
        raise ModelFileError(f"its reading is {_short(values)}, no table of options.")
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
    }


def _texts(values: Any, what: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ModelFileError(f"its {what} are no list of texts.")
    return tuple(values)


def _text(values: dict[str, Any], what: str) -> str:
    if not isinstance(value := values[what], str):
        raise ModelFileError(f"its {what} is {_short(value)}, no text.")
    return value


def _number(values: dict[str, Any], what: str) -> float:
    """Return a number that is finite and not negative."""
    value = values[what]
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


def _check_factors(components: NDArray[Any], weights: NDArray[Any]) -> None:
    """Refuse arrays that are no factors of a stack of pictures."""
    is_picture = components.ndim == 3 or components.shape[3:] == (3,)
    if not is_picture or weights.ndim != 2 or components.shape[0] != weights.shape[1]:
        raise ModelFileError(
            f"components of shape {components.shape} and weights of shape {weights.shape} "
            "do not belong together."
        )


def _check_alignment(
    transforms: NDArray[Any] | None,
    frame: tuple[int, int, int, int] | None,
    n: int,
    size: tuple[int, ...],
) -> None:
    if transforms is not None:
        _check_values("transforms", transforms, signed=True)
        if transforms.shape != (n, 3, 3):
            raise ModelFileError(
                f"its transforms have the shape {transforms.shape}, not {(n, 3, 3)}."
            )
    if frame is not None and (frame[0] + size[0] > frame[2] or frame[1] + size[1] > frame[3]):
        raise ModelFileError(f"its faces, {size[1]} x {size[0]}, do not fit its frame {frame}.")


def _check_values(name: str, factor: NDArray[Any], *, signed: bool) -> None:
    if factor.dtype.kind != "f":
        raise ModelFileError(f"its {name} are of type {factor.dtype}, not floats.")
    if not factor.size:
        raise ModelFileError(f"its {name} are empty, of shape {factor.shape}.")
    if not (np.isfinite(factor) & (signed | (factor >= 0))).all():
        wanted = "finite" if signed else "finite and non-negative"
        raise ModelFileError(f"its {name} are not all {wanted}.")
