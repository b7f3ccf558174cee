"""The right variable, its labels, and what else a file tells."""

from __future__ import annotations

import bz2
import gzip
import io
import re

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from napari_latent_faces.reading.arrays import (
    AmbiguousArraysError,
    ArraysError,
    ReadOptions,
    candidates,
    is_array_name,
    read_arrays,
)
from tests.reading.arrays import made

FACES = made.faces(20, 40, 32)
ROWS = FACES.reshape(20, -1)
COLUMNS_F = made.LAYOUTS["columns F"](FACES)
OWNERS = made.owners(20)
LABELS = tuple(map(str, OWNERS))
NAMES = np.array(["anna", "bert", "carla", "dora"])[OWNERS - 1]
NOISE = np.random.default_rng(0).random((20, 1600))
PEOPLE = [FACES[person == OWNERS] for person in (1, 2, 3, 4)]
CELLS = made.cells


def assert_faces(found, labels=LABELS):
    np.testing.assert_array_equal(found.images, FACES)
    assert found.labels == labels


@pytest.mark.parametrize(
    ("faces", "labels"),
    [
        *[("fea", "gnd"), ("faces", "labels"), ("X", "l"), ("data", "label"), ("images", "y")],
        *[("M", "target"), ("pixels", "subject"), ("train_faces", "train_labels")],
        *[("X_train", "y_train"), ("im", "im_label"), ("ORL", "ORL_label"), ("x1", "gnd")],
        *[("olivetti_faces", "target"), ("xTr", "yTr"), ("NewTrain_DAT", "trainlabels")],
        *[("fea_Train", "gnd_Train"), ("Train_DAT", "Train_Labels"), ("something", "gnd")],
    ],
)
@pytest.mark.parametrize("container", ["mat", "npz", "hdf5"])
def test_names_that_people_use(faces, labels, container):
    content = getattr(made, container)(**{faces: ROWS, labels: OWNERS})
    name = {"mat": "a.mat", "npz": "a.npz", "hdf5": "a.h5"}[container]
    assert_faces(read_arrays(content, ReadOptions(order="C"), name=name))


def structs(field):
    """Return an array of structs, one a picture."""
    items = np.empty((1, 20), [(field, object), ("person", object)])
    for i in range(20):
        items[0, i] = (FACES[i], int(OWNERS[i]))
    return items


def big_endian():
    """Return a file as Suns wrote them, made by turning all words round."""
    rows = made.LAYOUTS["rows F"](FACES)
    head = b"MATLAB 5.0 MAT-file, Platform: SOL2".ljust(124) + b"\1\0MI"

    def element(kind, content):
        padding = bytes(-len(content) % 8)
        return kind.to_bytes(4, "big") + len(content).to_bytes(4, "big") + content + padding

    body = element(6, (11).to_bytes(4, "big") + bytes(4))  # uint16
    body += element(5, np.array(rows.shape, ">i4").tobytes()) + element(1, b"fea")
    return head + element(14, body + element(4, rows.astype(">u2").tobytes("F")))


def pandas_table():
    rows = [f"{i},{','.join(map(str, f))},{NAMES[i]}" for i, f in enumerate(ROWS)]
    return "\n".join([",".join(["", *map(str, range(1280)), "subject"]), *rows]).encode()


def quoted_table():
    rows = [f'"{", ".join(map(str, f))}",{o}' for f, o in zip(ROWS, OWNERS, strict=True)]
    return "\n".join(["pixels,label", *rows]).encode()


STRUCT = {"data": ROWS, "labels": OWNERS, "comment": "made"}
PAIRS = FACES.reshape(10, 2, 40, 32)
VECTORS = [face.ravel(order="F")[:, np.newaxis] for face in FACES]
VIEWS = CELLS([NOISE, made.LAYOUTS["rows F"](FACES)])
UNEVEN = CELLS([np.moveaxis(p, 0, 2) for p in (FACES[:3], FACES[3:10], FACES[10:])])
ONE_ALONE = CELLS([np.moveaxis(FACES[:19], 0, 2), FACES[19]])
TEXT = np.column_stack([NAMES, ROWS.astype(str)])
MOST_BLACK = np.where(ROWS < 60, 0, ROWS)
FILES = made.files(FACES)
IN_C = {"order": "C"}
CASES = {  # file, its content, whose faces, and options
    "scikit-learn's": ("a.npz", made.npz(images=FACES, data=ROWS, target=OWNERS), LABELS),
    "pairs and their copy": ("a.npz", made.npz(pairs=PAIRS, data=PAIRS.reshape(10, -1)), None),
    "pictures, not features": ("a.npz", made.npz(features=NOISE[:, :1024], grey=ROWS), None),
    "struct": ("a.mat", made.mat(faces=STRUCT), LABELS, IN_C),
    "struct of 7.3": ("a.mat", made.mat73(faces=STRUCT), LABELS, IN_C),
    "structs, Image": ("a.mat", made.mat(people=structs("Image")), LABELS),
    "structs, pixels": ("a.mat", made.mat(people=structs("pixels")), LABELS),
    "cells": ("a.mat", made.mat(imgs=CELLS(FACES), label=OWNERS), LABELS),
    "cells alone": ("a.mat", made.mat(imgs=CELLS(FACES)), None),
    "cells of 7.3": ("a.mat", made.mat73(imgs=list(FACES), label=OWNERS), LABELS),
    "cells of vectors": ("a.mat", made.mat(a=CELLS(VECTORS), imSize=np.array([40, 32])), None),
    "views": ("a.mat", made.mat(X=VIEWS, Y=OWNERS), LABELS),
    "uneven": ("a.mat", made.mat(facedat=UNEVEN), ("1",) * 3 + ("2",) * 7 + ("3",) * 10),
    "one picture of the last": ("a.mat", made.mat(f=ONE_ALONE), ("1",) * 19 + ("2",)),
    "words": ("a.npz", made.npz(faces=ROWS, person=NAMES), tuple(NAMES)),
    "words in cells": ("a.mat", made.mat(faces=FACES, person=CELLS(list(NAMES))), tuple(NAMES)),
    "labels too few": ("a.npz", made.npz(faces=ROWS, label=OWNERS[1:]), None),
    "no labels": ("a.npz", made.npz(faces=ROWS, y=np.linspace(0, 1, 20)), None),
    "running numbers": ("a.npz", made.npz(arr_0=ROWS, arr_1=np.arange(20)), None),
    "numbers without a name": ("a.npz", made.npz(arr_0=ROWS, arr_1=OWNERS), LABELS),
    "words without a name": ("a.npz", made.npz(arr_0=ROWS, arr_1=NAMES), tuple(NAMES)),
    "two may be labels": ("a.npz", made.npz(arr_0=ROWS, arr_1=OWNERS, arr_2=OWNERS % 2), None),
    "files' names": ("a.npz", made.npz(faces=ROWS, names=np.arange(20).astype("U")), None),
    "counts": ("a.mat", made.mat(faces=COLUMNS_F, nfaces=[12, 8]), ("1",) * 12 + ("2",) * 8),
    "fer2013, not Usage": ("fer2013.csv", made.fer2013(FACES, OWNERS), LABELS),
    "lists in quotes": ("a.csv", quoted_table(), LABELS),
    "table of pandas": ("a.csv", pandas_table(), tuple(NAMES)),
    "all as text": ("faces.npy", made.npy(TEXT), tuple(NAMES)),
    "names in a table": ("faces.csv", made.csv(TEXT), tuple(NAMES)),
    "MATLAB 4": ("a.mat", made.mat(version="4", faces=COLUMNS_F * 1.0, gnd=OWNERS), LABELS),
    "MATLAB 5": ("a.mat", made.mat(version="5", faces=COLUMNS_F, gnd=OWNERS), LABELS),
    "big-endian": ("a.mat", big_endian(), None),
}
for _mark in (",", ";", "\t", " "):
    CASES[f"table, {_mark!r}"] = ("a.txt", made.csv(ROWS, None, _mark), None)
    CASES[f"titles, {_mark!r}"] = ("a.txt", made.csv(ROWS, map(str, range(1280)), _mark), None)
for _title in ("label", "target", None):
    for _place in (0, 1280):
        _titles = [f"pixel{i}" for i in range(1280)]
        _titles.insert(_place, str(_title))
        _table = made.csv(
            np.insert(ROWS.astype(int), _place, OWNERS, axis=1), _titles if _title else None
        )
        CASES[f"{_title} at {_place}"] = ("a.csv", _table, LABELS)
for _name, _content in FILES.items():
    CASES[f"{_name}.gz"] = (f"{_name}.gz", gzip.compress(_content), None)
    CASES[f"{_name}.bz2"] = (f"{_name}.bz2", bz2.compress(_content), None)
for _kind, _items in {
    "h w n": [np.moveaxis(p, 0, 2) for p in PEOPLE],
    "columns": [made.LAYOUTS["columns F"](p) for p in PEOPLE],
    "rows": [made.LAYOUTS["rows F"](p) for p in PEOPLE],
    "nested": [CELLS(p) for p in PEOPLE],
}.items():
    CASES[f"a cell a person, {_kind}"] = ("a.mat", made.mat(facedat=CELLS(_items)), LABELS)
for _what in ("mean_face", "eigenfaces", "nonfaces"):
    _content = made.npz(**{_what: ROWS[::-1], "data": ROWS})
    CASES[f"{_what} beside"] = ("a.npz", _content, None)


@pytest.mark.parametrize("case", CASES)
def test_faces_come_back_with_whose_they_are(case):
    name, content, labels, *options = CASES[case]
    found = read_arrays(content, ReadOptions(**dict(*options)), name=name)
    assert_faces(found, labels)
    if case == "cells":
        assert "from the 20 cells of 'imgs'" in found.decided
    if case == "big-endian":
        assert found.images.dtype == np.uint16


def test_parts_of_a_set():
    """Training faces come before others, each with the labels of its part."""
    test = made.owners(9)
    parts = {"y_test": test, "X_test": ROWS[:9], "y_train": OWNERS, "X_train": ROWS}
    content = made.npz(**parts, y_all=np.arange(20), train_nonfaces=ROWS[::-1])
    found = read_arrays(content, name="a.npz")
    assert_faces(found)
    assert any("X_test, train_nonfaces" in note for note in found.notes)
    other = read_arrays(content, ReadOptions(variable="X_test"), name="a.npz")
    np.testing.assert_array_equal(other.images, FACES[:9])
    assert other.labels == tuple(map(str, test))


def test_several_that_fit_are_listed():
    content = made.npz(first=ROWS, second=ROWS[::-1], label=np.arange(3))
    with pytest.raises(AmbiguousArraysError, match=r"a.npz.*first \(20 x 1280 uint8\)") as told:
        read_arrays(content, name="a.npz")
    assert [c.name for c in told.value.candidates] == ["first", "second"]
    assert [c.shape for c in candidates(content, name="a.npz")] == [(20, 1280), (20, 1280)]
    chosen = read_arrays(content, ReadOptions(variable="second"), name="a.npz")
    np.testing.assert_array_equal(chosen.images, FACES[::-1])


def matlab_object():
    """Return a file with an object of MATLAB."""
    file, fields = io.BytesIO(), np.array([(1.0,)], dtype=[("a", object)])
    scipy.io.savemat(file, {"thing": scipy.io.matlab.MatlabObject(fields, classname="inline")})
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "options", "match"),
    [
        ("a.npz", made.npz(fea=ROWS), {"variable": "fae"}, "no variable 'fae', but fea (20 x"),
        ("a.mat", made.mat(depth=np.arange(99.0)), {}, "none of its variables looks like face"),
        ("a.npz", made.npz(fea=ROWS, gnd=OWNERS), {"shape": (30, 30)}, "30 x 30 is 900 pixels"),
        ("a.mat", made.mat(f=CELLS([FACES[0], FACES[1, 1:]])), {}, "several sizes"),
        ("a.mat", matlab_object(), {}, "thing"),
    ],
)
def test_what_is_not_there_is_told(name, content, options, match):
    with pytest.raises(ArraysError, match=re.escape(match)):
        read_arrays(content, ReadOptions(**options), name=name)


def test_cbcl():
    found = read_arrays(made.cbcl(FACES, [1] * 15 + [-1] * 5), name="svm.train.normgrey")
    np.testing.assert_allclose(found.images, FACES / 255, atol=1e-6)
    assert found.labels == ("1",) * 15 + ("-1",) * 5


def test_a_missing_value_is_a_hole_in_its_place():
    table, expected = ROWS.astype(str), ROWS.astype(float)
    for i in range(1, 20):
        table[i, i], expected[i, i] = "", np.nan
    found = read_arrays(made.csv(table), name="a.csv")
    np.testing.assert_array_equal(found.images.reshape(20, -1), expected)
    assert "Some pixels are NaN or infinite." in found.notes


@pytest.mark.parametrize("dtype", [float, bool])
def test_sparse_matrices(dtype):
    black = MOST_BLACK.astype(dtype)
    content = made.mat(fea=scipy.sparse.csc_array(black))
    found = read_arrays(content, ReadOptions(order="C"), name="a.mat")
    np.testing.assert_array_equal(found.images.reshape(20, -1), black)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8", ">f8", ">i2", "i8"])
def test_the_type_stays(dtype):
    found = read_arrays(made.npy(FACES.astype(dtype)), name="a.npy")
    assert found.images.dtype == np.dtype(dtype).newbyteorder("=")
    assert_faces(found, None)


def test_odd_values_are_told_and_negative_zeros_of_rounding_are_none():
    centred = read_arrays(made.npy(FACES - FACES.mean(axis=0)), name="a.npy")
    assert any("centred" in note for note in centred.notes)
    rounded = read_arrays(made.npy(FACES / 255.0 - 1e-12 * (FACES < 30)), name="a.npy")
    assert rounded.images.min() >= 0
    assert not any("centred" in note for note in rounded.notes)


@pytest.mark.parametrize("name", ["a.npy", "a.mat", "a73.mat", "a.h5", "a-idx3-ubyte"])
def test_large_arrays_stay_on_disk(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    found = read_arrays(tmp_path / name)
    assert_faces(found, None)
    base = found.images
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert base is not None


def test_which_names_are_arrays():
    yes = "ORL_32x32.mat faces.npy.gz train-images-idx3-ubyte faces.PKL labels.csv"
    yes += " train-images.idx3-ubyte.gz svm.train.normgrey"
    assert all(map(is_array_name, yes.split()))
    assert not any(map(is_array_name, ["1.pgm", "1.pgm.gz", "faces.zip"]))
    assert not is_array_name("labels.csv", text=False)  # beside pictures
