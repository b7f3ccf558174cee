"""Damaged and dishonest files get a message that names them, in no more memory than bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import pickle
import struct
import zipfile

import h5py
import numpy as np
import pytest

from napari_latent_faces.reading.arrays import ArraysError, read_arrays
from tests.helpers import peak_memory
from tests.reading.arrays import made

FACES = made.faces(20, 40, 32)
MEBIBYTE = 2**20


class Trap:
    """What a pickle could do."""

    def __reduce__(self):
        return (os.putenv, ("TRAPPED", "yes"))


def refused(content, name, match):
    with pytest.raises(ArraysError, match=match) as told:
        read_arrays(content, name=name)
    assert str(told.value).startswith(f"{name}: ")


def npy_header(shape, descr="|u1"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", ["faces.pkl", "faces.dat", "faces.npy", "faces.pickle.gz"])
def test_pickles_are_never_loaded(name, protocol):
    content = pickle.dumps(Trap(), protocol)
    if name.endswith(".gz"):
        content = gzip.compress(content)
    refused(content, name, "pickle")


def test_object_arrays_are_never_loaded():
    objects = np.array([Trap()] * 3, dtype=object)
    refused(made.npy(objects), "a.npy", "never loaded")
    refused(made.npz(faces=objects), "a.npz", "never loaded")
    fine = read_arrays(made.npz(faces=FACES, other=objects), name="a.npz")
    np.testing.assert_array_equal(fine.images, FACES)
    assert any("other" in note for note in fine.notes)


@pytest.mark.parametrize(
    "shape", [(10**6, 10**6), (10**18,), (2**63, 2**63), (10**4, 100, 100)]
)
def test_arrays_that_claim_more_than_is_there(shape):
    content = npy_header(shape) + b"\1" * 100
    peak = peak_memory(lambda: refused(content, "a.npy", "cut off|damaged"))
    assert peak < 10 * MEBIBYTE


def test_idx_that_claims_more_than_is_there():
    content = struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**31, 2**31)
    assert peak_memory(lambda: refused(content, "a-idx3-ubyte", "cut off")) < MEBIBYTE


@pytest.mark.parametrize(("pack", "end"), [(gzip.compress, "gz"), (bz2.compress, "bz2")])
def test_bombs(pack, end):
    content = pack(npy_header((400 * MEBIBYTE,)) + bytes(400 * MEBIBYTE))
    assert peak_memory(lambda: refused(content, f"a.npy.{end}", "bomb")) < 150 * MEBIBYTE


def test_bombs_in_npz():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("faces.npy", npy_header((4000, 100, 1000)) + bytes(400 * MEBIBYTE))
    assert peak_memory(lambda: refused(file.getvalue(), "a.npz", "bomb")) < 20 * MEBIBYTE


def test_bombs_in_matlab_files():
    content = made.mat(faces=np.zeros((1000, 400_000), np.uint8))
    assert len(content) < MEBIBYTE
    assert peak_memory(lambda: refused(content, "a.mat", "bomb")) < 40 * MEBIBYTE


def test_datasets_that_were_never_written():
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        h5.create_dataset("faces", (10**6, 1000, 1000), "f8", chunks=(1, 1000, 1000))
    assert peak_memory(lambda: refused(file.getvalue(), "a.h5", "never written")) < MEBIBYTE


def test_datasets_in_other_files(tmp_path):
    np.save(tmp_path / "secret.npy", FACES)
    with h5py.File(tmp_path / "a.h5", "w") as h5:
        outside = [(str(tmp_path / "secret.npy"), 128, FACES.nbytes)]
        h5.create_dataset("faces", FACES.shape, "u1", external=outside)
        h5["linked"] = h5py.ExternalLink("secret.h5", "/faces")
    with pytest.raises(ArraysError, match="another file"):
        read_arrays(tmp_path / "a.h5")


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.mat", "a73.mat", "a-idx3-ubyte", "a.h5"])
def test_files_that_were_cut_off(name):
    content = {
        "a.npy": made.npy(FACES),
        "a.npz": made.npz(faces=FACES),
        "a.mat": made.mat(faces=FACES),
        "a73.mat": made.mat73(faces=FACES),
        "a-idx3-ubyte": made.idx(FACES),
        "a.h5": made.hdf5(faces=FACES),
    }[name]
    for part in (0.3, 0.6, 0.95):
        refused(content[: int(part * len(content))], name, ".")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "empty"),
        (b"\0" * 99, "damaged|binary"),
        (b"name,age\nanna,3\nbert,4\n", "."),
        (b"1,2,3\n\n4,5\n", "line 3 has 2 values, but the first row has 3: mend"),
        (b"1 2 3\n# more\n4 5 a\n", "line 3 has 'a' where a number should be: mend"),
        (b"one two three\nfour five six\n", "no numbers"),
        (b"alone", "no rows"),
        (b"emotion,pixels,Usage\n", "no rows"),
        (b"20\n1280\n1 2 3\n", "1280"),
    ],
)
def test_text_that_is_none(content, match):
    refused(content, "a.csv", match)


@pytest.mark.parametrize(
    ("content", "name", "match"),
    [
        (b"not an array at all, but text", "a.npy", "not what its name says"),
        (b"not an array at all, but text" * 20, "a.mat", "damaged"),
        (b"PAR1" + b"\0" * 40, "train.parquet", "pandas.read_parquet"),
        (gzip.compress(b"RDX2\nX\n" + b"\0" * 40), "faces.rda", "write.csv"),
        (gzip.compress(b"X\n\0\0\0\2"), "faces.rds", "write.csv"),
    ],
)
def test_what_is_no_file_of_numbers(content, name, match):
    refused(content, name, match)


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "gone.npy")
    with pytest.raises(ArraysError, match="no file"):
        read_arrays(tmp_path)
