"""Drawn faces, and files that keep them as people do."""

from __future__ import annotations

import io
import struct

import h5py
import numpy as np
import scipy.io


def faces(n: int = 20, h: int = 40, w: int = 32, *, people: int = 4, seed: int = 0):
    """Return (n, h, w) drawn faces, nearly symmetric, those of a person in a row."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    traits = rng.uniform(-1, 1, (people, 6))
    pictures = np.empty((n, h, w))
    for i in range(n):
        t = traits[i * people // n] + rng.normal(0, 0.25, 6)
        dx, dy = rng.normal(0, 0.04, 2)
        u, v = x - dx, y - dy

        def spot(cx, cy, rx, ry, u=u, v=v):
            return np.exp(-(((u - cx) / rx) ** 2 + ((v - cy) / ry) ** 2))

        inside = 1 / (1 + np.exp(12 * (np.hypot(u / (0.75 + 0.1 * t[0]), v / 0.95) - 1)))
        hair = inside / (1 + np.exp(14 * (v + 0.55 + 0.1 * t[1])))
        eyes = spot(0.32, -0.12, 0.15, 0.09) + spot(-0.32, -0.12, 0.15, 0.09)
        mouth = spot(0, 0.5, 0.28 + 0.08 * t[2], 0.08 + 0.03 * t[3])
        nose = spot(0.02 * t[4], 0.15, 0.08, 0.2)
        picture = 40 + (130 + 20 * t[5]) * inside - (110 + 20 * t[1]) * hair
        pictures[i] = picture - 70 * eyes - 60 * mouth + 25 * nose + 10 * v
    return np.clip(np.round(pictures), 0, 255).astype(np.uint8)


def owners(n: int = 20, people: int = 4) -> np.ndarray:
    """Return the numbers, from 1, of the persons of `faces`."""
    return np.arange(n) * people // n + 1


LAYOUTS = {
    "rows C": lambda f: f.reshape(len(f), -1),
    "rows F": lambda f: f.swapaxes(1, 2).reshape(len(f), -1),
    "columns C": lambda f: f.reshape(len(f), -1).T,
    "columns F": lambda f: f.swapaxes(1, 2).reshape(len(f), -1).T,
    "n h w": lambda f: f,
    "h w n": lambda f: np.moveaxis(f, 0, 2),
}


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def mat(*, packed: bool = True, version: str = "5", **variables) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, variables, do_compression=packed and version == "5", format=version)
    return file.getvalue()


def mat73(*, packed: bool = True, **variables) -> bytes:
    """Return what MATLAB writes with ``-v7.3``: HDF5, in which all axes are turned round."""
    file = io.BytesIO()
    with h5py.File(file, "w", userblock_size=512) as h5:
        for name, value in variables.items():
            _put(h5, name, value, packed=packed)
    content = bytearray(file.getvalue())
    content[:128] = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM"
    return bytes(content)


def _put(h5, name, value, *, packed=True):
    if isinstance(value, dict):
        group = h5.create_group(name)
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        for key, inner in value.items():
            _put(group, key, inner)
    elif isinstance(value, list):
        held = h5.require_group("/#refs#")
        references = []
        for item in value:
            key = f"c{len(held)}"
            _put(held, key, item)
            references.append(held[key].ref)
        data = np.array(references, dtype=h5py.ref_dtype).reshape(-1, 1)
        h5.create_dataset(name, data=data).attrs["MATLAB_class"] = np.bytes_("cell")
    elif isinstance(value, str):
        data = np.array([[ord(c)] for c in value], np.uint16)
        h5.create_dataset(name, data=data).attrs["MATLAB_class"] = np.bytes_("char")
    else:
        array = np.atleast_2d(value).T
        chunked = {"compression": "gzip"} if packed and array.size > 100 else {}
        kind = {"float64": "double", "float32": "single"}.get(
            array.dtype.name, array.dtype.name
        )
        h5.create_dataset(name, data=array, **chunked).attrs["MATLAB_class"] = np.bytes_(kind)


def hdf5(**arrays) -> bytes:
    """Return a file as h5py writes it."""
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        for name, array in arrays.items():
            h5[name] = array
    return file.getvalue()


def idx(array) -> bytes:
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def csv(table, titles=None, mark=",") -> bytes:
    rows = [mark.join(map(str, row)) for row in table]
    if titles is not None:
        rows.insert(0, mark.join(titles))
    return ("\n".join(rows) + "\n").encode()


def fer2013(pictures, emotions) -> bytes:
    rows = []
    for i, (picture, emotion) in enumerate(zip(pictures, emotions, strict=True)):
        usage = "Training" if i % 2 else "PublicTest"
        rows.append(f"{emotion},{' '.join(map(str, picture.ravel()))},{usage}")
    return "\n".join(["emotion,pixels,Usage", *rows, ""]).encode()


def cbcl(pictures, labels) -> bytes:
    rows = [
        " ".join(f"{p / 255:.6f}" for p in picture.ravel()) + f" {label}"
        for picture, label in zip(pictures, labels, strict=True)
    ]
    return "\n".join([str(len(pictures)), str(pictures[0].size), *rows, ""]).encode()


def cells(items) -> np.ndarray:
    array = np.empty((1, len(items)), object)
    for i, item in enumerate(items):
        array[0, i] = item
    return array


def files(faces) -> dict[str, bytes]:
    """Return files of every kind that keep faces, in numbers that are not packed."""
    columns = LAYOUTS["columns F"](faces)
    return {
        "a.npy": npy(faces),
        "a.mat": mat(packed=False, faces=columns),
        "a73.mat": mat73(packed=False, faces=columns),
        "a.h5": hdf5(faces=faces),
        "a-idx3-ubyte": idx(faces),
        "a.npz": npz(faces=faces),
        "a.csv": csv(faces.reshape(len(faces), -1)),
    }
