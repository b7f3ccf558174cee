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
from tests.pictures import zip_of
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


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", ["faces.pkl", "faces.dat", "faces.npy", "faces.pickle.gz"])
def test_pickles_are_never_loaded(name, protocol):
    content = pickle.dumps(Trap(), protocol)
    refused(gzip.compress(content) if name.endswith(".gz") else content, name, "pickle")


def test_object_arrays_are_never_loaded():
    objects = np.array([Trap()] * 3, dtype=object)
    refused(made.npy(objects), "a.npy", "never loaded")
    refused(made.npz(faces=objects), "a.npz", "never loaded")
    fine = read_arrays(made.npz(faces=FACES, other=objects), name="a.npz")
    np.testing.assert_array_equal(fine.images, FACES)
    assert any("other" in note for note in fine.notes)


def claimed(*shape, content=b"\1" * 100):
    """Return an .npy file of so many bytes, whatever its header says."""
    file, header = io.BytesIO(), {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


def large():
    return claimed(4000, 100, 1000, content=bytes(400 * MEBIBYTE))


def large_npz():
    file = io.BytesIO()
    zip_of(file, {"faces.npy": large()}, compression=zipfile.ZIP_DEFLATED)
    return file.getvalue()


def never_written():
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        h5.create_dataset("faces", (10**6, 1000, 1000), "f8", chunks=(1, 1000, 1000))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "make", "match", "most"),
    [
        ("a.npy", lambda: claimed(10**6, 10**6), "cut off", 10),
        ("a.npy", lambda: claimed(10**18), "cut off", 10),
        ("a.npy", lambda: claimed(2**63, 2**63), "cut off", 10),
        ("a.npy", lambda: claimed(10**4, 100, 100), "cut off", 10),
        ("a-idx3-ubyte", lambda: struct.pack(">HBB3I", 0, 8, 3, *[2**31] * 3), "cut off", 1),
        ("a.npy.gz", lambda: gzip.compress(large()), "bomb", 150),
        ("a.npy.bz2", lambda: bz2.compress(large()), "bomb", 150),
        ("a.npz", large_npz, "bomb", 20),
        ("a.mat", lambda: made.mat(faces=np.zeros((1000, 400_000), np.uint8)), "bomb", 40),
        ("a.h5", never_written, "never written", 1),
    ],
)
def test_what_claims_more_than_is_there_takes_no_memory(name, make, match, most):
    content = make()
    assert peak_memory(lambda: refused(content, name, match)) < most * MEBIBYTE


def test_datasets_in_other_files(tmp_path):
    np.save(tmp_path / "secret.npy", FACES)
    with h5py.File(tmp_path / "a.h5", "w") as h5:
        outside = [(str(tmp_path / "secret.npy"), 128, FACES.nbytes)]
        h5.create_dataset("faces", FACES.shape, "u1", external=outside)
        h5["linked"] = h5py.ExternalLink("secret.h5", "/faces")
    with pytest.raises(ArraysError, match="another file"):
        read_arrays(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(item for item in made.files(FACES).items() if item[0] != "a.csv"),
        ("a.mat", made.mat(faces=FACES)),
        ("a73.mat", made.mat73(faces=FACES)),
    ],
)
def test_files_that_were_cut_off(name, content):
    for part in (0.3, 0.6, 0.95):
        refused(content[: int(part * len(content))], name, ".")


@pytest.mark.parametrize(
    ("content", "name", "match"),
    [
        (b"", "a.csv", "empty"),
        (b"\0" * 99, "a.csv", "damaged|binary"),
        (b"name,age\nanna,3\nbert,4\n", "a.csv", "."),
        (b"1,2,3\n\n4,5\n", "a.csv", "line 3 has 2 values, but the first row has 3: mend"),
        (b"1 2 3\n# more\n4 5 a\n", "a.csv", "line 3 has 'a' where a number should be: mend"),
        (b"a 2 3\n4 5 6\n7 8 9\n", "a.csv", "line 1 has 'a' where a number should be: mend"),
        (b"one two three\nfour five six\n", "a.csv", "no numbers"),
        (b"alone", "a.csv", "no rows"),
        (b"emotion,pixels,Usage\n", "a.csv", "no rows"),
        (b"20\n1280\n1 2 3\n", "a.csv", "1280"),
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
