"""What is fuzzed: one function of bytes for each way in, and the promise it must keep.

A target raises where a promise is broken: an exception of a kind that is not declared, or a
result that is not sound. Seeds are made here; no file of anybody else is used.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse
from PIL import Image

from napari_latent_faces.model import LatentFaces, Provenance, is_model_file
from napari_latent_faces.params import NMFParams, PCAParams
from napari_latent_faces.reading.arrays import ArraysError, read_arrays
from napari_latent_faces.reading.formats import DEPTHS, BrokenPictureError
from napari_latent_faces.reading.naming import Entry
from napari_latent_faces.reading.pictures import (
    Frame,
    NotAPictureError,
    open_picture,
    pixels_of,
)
from napari_latent_faces.reading.sources import (
    ArchiveError,
    NoFacesError,
    list_sources,
    looks_like_faces,
)
from tests.helpers import peak_memory
from tests.pictures import coloured, encoded, face, turned, zip_of
from tests.reading.arrays import made
from tests.reliability import hostile

if TYPE_CHECKING:
    from collections.abc import Callable

# Speed alone: larger pictures are the business of the tests of memory.
MOST_PIXELS = 2**18
_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None


@dataclass(frozen=True)
class Target:
    """A promise about bytes, and bytes to start from."""

    keeps_promise: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def a_model() -> LatentFaces:
    """Return a model of two components and three faces, made without a fit."""
    rng = np.random.default_rng(0)
    names = ("s1/1.png", "s1/2.png", "é.png")
    origin = Provenance(names, ("s1", "s1", ""), "faces", "uint8", 7, "converged", {"a": "1"})
    parts = rng.random((2, 4, 3), np.float32)
    return LatentFaces(
        parts, rng.random((3, 2), np.float32), 0.25, 255.0, NMFParams(n_components=2), origin
    )


def a_signed_model() -> LatentFaces:
    """Return a model with a mean face and components of both signs, made without a fit."""
    model, rng = a_model(), np.random.default_rng(1)
    return replace(
        model,
        components=rng.standard_normal((2, 4, 3)).astype(np.float32),
        weights=rng.standard_normal((3, 2)).astype(np.float32),
        mean=rng.random((4, 3), np.float32),
        params=PCAParams(n_components=2),
        provenance=replace(model.provenance, reading={"size": (4, 3)}),
    )


def a_colour_model() -> LatentFaces:
    """Return a model in colour, with a mask, made without a fit."""
    model, rng = a_model(), np.random.default_rng(2)
    return replace(
        model, components=rng.random((2, 4, 3, 3), np.float32), mask=rng.random((4, 3)) < 0.2
    )


# -- pictures --------------------------------------------------------------------


def a_picture(content: bytes) -> None:
    """Decode bytes as the reader does: pixels of the promised shape, or a reason."""
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    entry = Entry("face", len(content), lambda limit: content[:limit])
    try:
        header = open_picture(entry)
        frame = Frame(header.shape, header.depth)
        pixels = [pixels_of(header, frame, page) for page in range(min(header.n_pages, 3))]
    except (BrokenPictureError, NotAPictureError):
        return
    assert min(header.shape) > 0
    assert header.depth in DEPTHS
    for page in pixels:
        assert page.shape == header.shape
        assert page.dtype == header.depth


def picture_seeds() -> list[bytes]:
    turned_ones = [turned(coloured(), 6, ext) for ext in ("jpg", "png", "webp", "tif")]
    return [*hostile.whole_pictures().values(), *turned_ones]


# -- archives --------------------------------------------------------------------


def an_archive(content: bytes) -> None:
    """List bytes as an archive and read its members: declared errors only."""
    with tempfile.NamedTemporaryFile(suffix=".zip", dir=_FOLDER) as file:
        file.write(with_checksums(content))
        file.flush()
        assert looks_like_faces(file.name) in {True, False}
        with suppress(ArchiveError, NoFacesError):
            found = list_sources(file.name, lambda: None)
            for entry in found.entries:
                assert not entry.name.startswith("/")
                assert ".." not in entry.name.split("/")
                with suppress(BrokenPictureError, NotAPictureError):
                    open_picture(entry)


def with_checksums(content: bytes) -> bytes:
    """Return a tar in which the checksum of every changed header is right again."""
    blocks = bytearray(content)
    for start in range(0, len(blocks) - 511, 512):
        if blocks[start + 257 : start + 262] == b"ustar":
            blocks[start + 148 : start + 156] = b" " * 8
            total = sum(blocks[start : start + 512])
            blocks[start + 148 : start + 156] = b"%06o\0 " % total
    return bytes(blocks)


def archive_seeds() -> list[bytes]:
    files = {f"s{i}/{i}.pgm": encoded(face(4, 3, seed=i), "pgm") for i in range(3)}
    files |= {"é面.png": encoded(face(), "png"), "no.txt": b"text" * 40}
    seeds = [
        zip_of(io.BytesIO(), files, compression=method).getvalue() for method in (0, 8, 12, 14)
    ]
    seeds += [_tar(files, kind, "w") for kind in (0, 1, 2)]
    seeds += [_tar(files, 1, mode) for mode in ("w:gz", "w:bz2", "w:xz")]
    long = {"d" * 120 + "/" + "n" * 150 + ".pgm": b"P5 1 1 255\n0"}
    return seeds + [_tar(long, kind, "w") for kind in (1, 2)]


def _tar(files: dict[str, bytes], kind: int, mode: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, format=kind) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            with suppress(ValueError):  # a name too long for the oldest format
                archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


# -- model files -----------------------------------------------------------------


def a_model_file(content: bytes) -> None:
    """Read bytes as a model: a sound one, or the one declared error."""
    with tempfile.NamedTemporaryFile(suffix=".npz", dir=_FOLDER) as file:
        file.write(content)
        file.flush()
        assert is_model_file(file.name) in {True, False}
        with suppress(ValueError):
            assert_sound(LatentFaces.load(file.name))


def assert_sound(model: LatentFaces) -> None:
    for factor in (model.components, model.weights):
        assert factor.dtype.kind == "f"
        assert factor.size
        assert np.isfinite(factor).all()
        assert model.is_signed or (factor >= 0).all()
    assert model.weights.shape[1] == len(model.components)
    assert 0 < model.scale < np.inf
    assert model.error >= 0
    assert all(isinstance(name, str) for name in model.provenance.names)
    json.dumps(model.params.to_dict())
    repr(model)


SEPARATOR = b"\n--next member--\n"


def members_of_a_model(content: bytes) -> None:
    """As `a_model_file`, with the bytes of the members in a zip file that is sound."""
    parts = content.split(SEPARATOR)
    names = ("header.npy", "components.npy", "weights.npy")
    members = dict(zip(names, parts, strict=False))
    a_model_file(zip_of(io.BytesIO(), members).getvalue())


def model_seeds() -> list[bytes]:
    with tempfile.TemporaryDirectory(dir=_FOLDER) as folder:
        path = Path(folder, "model.npz")
        a_model().save(path)
        whole = path.read_bytes()
        with np.load(path) as arrays:
            np.savez_compressed(path, **arrays)
        return [whole, path.read_bytes()]


def member_seeds() -> list[bytes]:
    seeds = []
    for content in model_seeds():
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            seeds.append(SEPARATOR.join(map(archive.read, archive.namelist())))
    return seeds


# -- arrays ----------------------------------------------------------------------


def arrays(content: bytes) -> None:
    """Read bytes as a file of numbers: pictures, or the one declared error, in few bytes."""
    for name in ("a.mat", "a.npz", "a.csv"):  # the others are known by how they start
        with suppress(ArraysError):
            peak = peak_memory(partial(_assert_faces, content, name))
            assert peak < 2**28, f"{peak} bytes from {len(content)}"


def _assert_faces(content: bytes, name: str) -> None:
    found = read_arrays(content, name=name)
    assert found.images.ndim in {3, 4}
    assert found.images.size
    assert found.images.dtype.kind in "uif"
    assert found.labels is None or len(found.labels) == len(found.images)
    assert all(isinstance(note, str) for note in found.notes)


def array_seeds() -> list[bytes]:
    faces, owners = made.faces(8, 12, 10), made.owners(8)
    rows = made.LAYOUTS["rows F"](faces)
    people = np.array([(face, 1) for face in faces], [("image", object), ("id", object)])
    seeds = [made.mat(packed=packed, fea=rows, gnd=owners) for packed in (False, True)]
    seeds += [
        made.mat(version="4", faces=rows.T.astype(float)),
        made.mat(packed=False, a=made.cells(list(faces)), names=made.cells(["a", "bc"])),
        made.mat(packed=False, s={"images": faces, "label": owners, "text": "text"}),
        made.mat(packed=False, people=people),
        made.mat(packed=False, v=scipy.sparse.csc_array(rows.astype(float))),
    ]
    seeds += [made.npy(faces), made.npy(np.asfortranarray(rows.T)), made.npy(rows.astype(str))]
    seeds += [made.npz(images=faces, labels=owners), made.idx(faces), gzip.compress(rows)]
    seeds += [made.csv(rows), made.csv(rows, [f"p{i}" for i in range(120)], ";")]
    return [*seeds, made.fer2013(faces, owners), made.cbcl(faces, owners)]


TARGETS = {
    "pictures": Target(a_picture, picture_seeds),
    "archives": Target(an_archive, archive_seeds),
    "models": Target(a_model_file, model_seeds),
    "members": Target(members_of_a_model, member_seeds),
    "arrays": Target(arrays, array_seeds),  # without HDF5, which a library in C reads
}
