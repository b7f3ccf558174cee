"""What kind of file it is: NumPy, idx, MATLAB, HDF5, text, packed or not, or refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import struct
import zipfile
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from napari_latent_faces.reading.arrays.evidence import LEAST_PIXELS
from napari_latent_faces.reading.arrays.hdf5 import read_hdf5
from napari_latent_faces.reading.arrays.matlab import read_mat
from napari_latent_faces.reading.arrays.text import read_text
from napari_latent_faces.reading.arrays.variables import (
    NUMBERS,
    PIECE,
    ArraysError,
    Container,
    Variable,
    bomb,
    damage_named,
    head_of,
    is_bomb,
    mapped,
    opened,
    size_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_BINARY = (".mat", ".npy", ".npz", ".h5", ".hdf5", ".idx")


_TEXT = (".csv", ".tsv", ".txt", ".dat", ".data", ".normgrey")


_PACKED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


_IDX = re.compile(r"[-.]idx\d[-.]u?(byte|int|short|float|double)$")


_REFUSED = {
    ".pkl": "pickle",
    ".pickle": "pickle",
    ".pkz": "pickle",
    ".p": "pickle",
    ".joblib": "pickle",
    ".parquet": "parquet",
    ".rda": "rda",
    ".rdata": "rda",
    ".rds": "rda",
}


_ADVICE = {
    "pickle": "it is a pickle, which can run any program when it is loaded, so it never is. "
    "Load it where you trust it, and save the arrays with numpy.savez",
    "parquet": "it is a Parquet table, which is not read. Convert it: "
    "pandas.read_parquet(path), then save the pictures as PNG files, or the pixels with "
    "numpy.savez(images=..., labels=...)",
    "rda": "it is a file of R, which is not read. Convert it in R: load it, then "
    "write.csv(faces, 'faces.csv', row.names=FALSE), or R.matlab::writeMat",
}


def is_array_name(name: str, *, text: bool = True) -> bool:
    """Tell whether a file's name ends like that of a file of numbers.

    Parameters
    ----------
    name : str
        The file's name, with or without its folder; ``.gz``, ``.bz2`` and ``.xz`` may follow.
    text : bool, default=True
        Whether text files (``.csv``, ``.txt`` ...) count. They often lie beside pictures and
        hold something else.

    Returns
    -------
    bool
        True also for what is recognized but refused with advice (Parquet, pickles, R).
    """
    lower = _unpacked_name(name.lower())
    endings = (*_BINARY, *_REFUSED, *(_TEXT if text else ()))
    return lower.endswith(endings) or _IDX.search(lower) is not None


def starts_like_array(head: bytes) -> bool:
    """Tell whether a file that starts with these bytes is a binary file of numbers."""
    return head.startswith((b"\x93NUMPY", b"MATLAB 5", b"MATLAB 7", b"\x89HDF", b"PK\3\4"))


def starts_like_table(head: bytes) -> bool:
    """Tell whether a text that starts with these bytes holds rows of many numbers."""
    if b"\0" in head:
        return False
    rows = head.decode("utf-8", "replace").splitlines()[:4]
    counts = [len(re.findall(r"(?<![\w.])[-+]?\d[\w.+-]*", row)) for row in rows]
    return max(counts, default=0) >= LEAST_PIXELS


def open_container(source: str | os.PathLike[str] | bytes, name: str = "") -> Container:
    """Look into a file of numbers; what is large is not read yet.

    Parameters
    ----------
    source : path-like or bytes
        The file, or its content.
    name : str
        What messages call it, and whose ending counts for bytes; by default the path.

    Returns
    -------
    Container

    Raises
    ------
    ArraysError
        If it is none that is read, damaged, a bomb, or refused (pickles).
    OSError
        If a path cannot be opened.
    """
    if not isinstance(source, bytes):
        source = os.fspath(source)
        if not Path(source).is_file():  # neither a folder nor a pipe, which might never end
            Path(source).stat()  # says so if nothing is there
            raise ArraysError(f"{name or source}: it is no file.")
    name = name or (source if isinstance(source, str) else "the file")
    with damage_named(name):
        packed = _packing(head_of(source))
        if packed is not None:
            source, name = _unpack(source, packed), _unpacked_name(name)
        return _reader(head_of(source), name)(source, name)


def _reader(  # noqa: PLR0911 - a list of kinds
    head: bytes, name: str
) -> Callable[[str | bytes, str], Container]:
    """Find by content, else by name, what reads a file."""
    lower = name.lower()
    if head.startswith(b"\x93NUMPY"):
        return _read_npy
    if b"\x89HDF\r\n\x1a\n" in {head[:8], head[512:520]}:  # MATLAB's begins with a text
        return read_hdf5
    if head.startswith(b"MATLAB 5"):
        return read_mat
    if head.startswith(b"PK") and lower.endswith((".npz", ".npy")):
        return _read_npz
    refused = _refused(head, lower)
    if refused:
        raise ArraysError(f"{_ADVICE[refused]}.")
    if _idx_header(head) is not None and (_IDX.search(lower) or not lower.endswith(_TEXT)):
        return _read_idx
    if lower.endswith(".mat"):
        return read_mat
    if lower.endswith((*_BINARY,)) or _IDX.search(lower):
        raise ArraysError("its content is not what its name says. Save it again, or rename it.")
    if b"\0" in head:
        raise ArraysError(
            "it is binary, without a header that tells sizes and types. Load it with "
            "numpy.fromfile, and save it with numpy.save."
        )
    return read_text


def _refused(head: bytes, lower: str) -> str | None:
    if head.startswith((b"PAR1",)):
        return "parquet"
    if head.startswith((b"RDX", b"RDA", b"RDB")):
        return "rda"
    if re.match(rb"\x80[\x02-\x05]", head):
        return "pickle"
    return next((why for end, why in _REFUSED.items() if lower.endswith(end)), None)


def _packing(head: bytes) -> str | None:
    if head.startswith(b"\x1f\x8b"):
        return ".gz"
    if re.match(rb"BZh[1-9]1AY&SY", head):
        return ".bz2"
    if head.startswith(b"\xfd7zXZ\0"):
        return ".xz"
    return None


def _unpacked_name(name: str) -> str:
    return next((name[: -len(end)] for end in _PACKED if name.lower().endswith(end)), name)


def _unpack(source: str | bytes, packing: str) -> bytes:
    packed = size_of(source)
    unpacked = bytearray()
    unpack: Any = _PACKED[packing]
    with opened(source) as file, unpack(file, "rb") as stream:
        while piece := stream.read(PIECE):
            unpacked += piece
            if is_bomb(packed, len(unpacked)):
                raise bomb(packed)
    return bytes(unpacked)


_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ArraysError(f"arrays of version {version} are not read")
    shape, fortran, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ArraysError(
            "it holds Python objects (a pickle), which are never loaded: save one array of "
            "numbers, such as numpy.save(path, numpy.stack(list_of_faces))"
        )
    if dtype.names is not None or dtype.kind not in NUMBERS + "US" or min(shape, default=0) < 0:
        raise ArraysError(f"an array of {dtype} and shape {shape} holds no pictures")
    return shape, fortran, dtype


def _npy_array(source: str | bytes) -> NDArray[Any]:
    """Map an array into memory, if the file really holds as many bytes as it declares."""
    with opened(source) as file:
        shape, fortran, dtype = _npy_header(file)
        offset = file.tell()
    return mapped(source, dtype, shape, offset, order="F" if fortran else "C")


def _read_npy(source: str | bytes, name: str) -> Container:
    with opened(source) as file:
        shape, _, dtype = _npy_header(file)
    return Container(name, (Variable("", shape, dtype, partial(_npy_array, source)),))


def _read_npz(source: str | bytes, name: str) -> Container:
    variables, notes = [], []
    with opened(source) as file, zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            key = info.filename.removesuffix(".npy")
            try:
                with archive.open(info) as member:
                    shape, _, dtype = _npy_header(member)
            except (ValueError, NotImplementedError, RuntimeError) as error:
                notes.append(f"'{key}' is left out: {error}")
                continue
            load = partial(_npz_member, source, info.filename)
            variables.append(Variable(key, shape, dtype, load))
    if not variables and notes:
        raise ArraysError("; ".join(notes[:3]))
    return Container(name, tuple(variables), notes=tuple(notes))


def _npz_member(source: str | bytes, key: str) -> NDArray[Any]:
    with opened(source) as file, zipfile.ZipFile(file) as archive:
        info = archive.getinfo(key)
        if info.compress_size > size_of(source) or is_bomb(info.compress_size, info.file_size):
            raise bomb(info.compress_size)
        return _npy_array(archive.read(info))


_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def _idx_header(head: bytes) -> tuple[tuple[int, ...], np.dtype[Any], int] | None:
    if (
        len(head) < 8
        or head[:2] != b"\0\0"
        or head[2] not in _IDX_TYPES
        or not 1 <= head[3] <= 4
    ):
        return None
    end = 4 + 4 * head[3]
    if len(head) < end:
        return None
    return struct.unpack(f">{head[3]}I", head[4:end]), np.dtype(_IDX_TYPES[head[2]]), end


def _read_idx(source: str | bytes, name: str) -> Container:
    header = _idx_header(head_of(source))
    if header is None:
        raise ArraysError("its header is none of an idx file")
    shape, dtype, offset = header
    load = partial(mapped, source, dtype, shape, offset)
    load()  # tells what was cut off
    return Container(name, (Variable("", shape, dtype, load),))
