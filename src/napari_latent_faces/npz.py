"""Arrays in ``.npz`` files; anybody's are read without code, in no more memory than bytes."""

from __future__ import annotations

import math
import zipfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from napari_latent_faces.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from numpy.typing import NDArray

__all__ = ["opened_npz", "read_array", "write_arrays"]

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
        shape, fortran, dtype = _header(file)
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


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
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
