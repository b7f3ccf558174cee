"""The right variable, its labels, and what else a file tells."""

from __future__ import annotations

import bz2
import gzip
import io

import numpy as np
import pytest

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
OWNERS = made.owners(20)
LABELS = tuple(map(str, OWNERS))


def assert_faces(found, labels=LABELS):
    np.testing.assert_array_equal(found.images, FACES)
    assert found.labels == labels


@pytest.mark.parametrize(
    ("faces", "labels"),
    [
        ("fea", "gnd"),
        ("faces", "labels"),
        ("X", "l"),
        ("data", "label"),
        ("images", "y"),
        ("M", "target"),
        ("pixels", "subject"),
        ("train_faces", "train_labels"),
        ("X_train", "y_train"),
        ("im", "im_label"),
        ("ORL", "ORL_label"),
        ("something", "gnd"),
        ("olivetti_faces", "target"),
        ("xTr", "yTr"),
        ("NewTrain_DAT", "trainlabels"),
        ("fea_Train", "gnd_Train"),
        ("Train_DAT", "Train_Labels"),
    ],
)
@pytest.mark.parametrize("container", ["mat", "npz", "hdf5"])
def test_names_that_people_use(faces, labels, container):
    content = getattr(made, container)(**{faces: ROWS, labels: OWNERS})
    name = {"mat": "a.mat", "npz": "a.npz", "hdf5": "a.h5"}[container]
    options = ReadOptions(order="C")
    assert_faces(read_arrays(content, options, name=name))


def test_training_faces_before_others():
    content = made.npz(train_faces=ROWS, test_faces=ROWS[:9], train_nonfaces=ROWS[::-1])
    found = read_arrays(content, name="a.npz")
    assert_faces(found, None)
    assert any("test_faces, train_nonfaces" in note for note in found.notes)
    other = read_arrays(content, ReadOptions(variable="test_faces"), name="a.npz")
    np.testing.assert_array_equal(other.images, FACES[:9])


def test_labels_of_the_same_part():
    test = made.owners(9)
    content = made.npz(
        y_test=test, X_test=ROWS[:9], y_train=OWNERS, X_train=ROWS, y_all=np.arange(20)
    )
    assert_faces(read_arrays(content, name="a.npz"))
    other = read_arrays(content, ReadOptions(variable="X_test"), name="a.npz")
    assert other.labels == tuple(map(str, test))


@pytest.mark.parametrize("name", ["mean_face", "eigenfaces", "nonfaces"])
def test_what_is_made_of_faces_is_not_taken_for_them(name):
    content = made.npz(**{name: ROWS[::-1], "data": ROWS})
    assert_faces(read_arrays(content, name="a.npz"), None)


def test_pairs_with_their_flattened_copy():
    """The pairs of LFW, as scikit-learn keeps them."""
    pairs = FACES.reshape(10, 2, 40, 32)
    content = made.npz(pairs=pairs, data=pairs.reshape(10, -1), target=np.arange(10) % 2)
    assert_faces(read_arrays(content, name="a.npz"), None)


def test_several_that_fit_are_listed():
    content = made.npz(first=ROWS, second=ROWS[::-1], label=np.arange(3))
    with pytest.raises(AmbiguousArraysError, match=r"a.npz.*first \(20 x 1280 uint8\)") as told:
        read_arrays(content, name="a.npz")
    assert [c.name for c in told.value.candidates] == ["first", "second"]
    assert [c.shape for c in candidates(content, name="a.npz")] == [(20, 1280), (20, 1280)]
    chosen = read_arrays(content, ReadOptions(variable="second"), name="a.npz")
    np.testing.assert_array_equal(chosen.images, FACES[::-1])


def test_the_one_that_looks_like_pictures():
    noise = np.random.default_rng(0).random((20, 1024))
    found = read_arrays(made.npz(features=noise, grey=ROWS), name="a.npz")
    assert_faces(found, None)


def test_a_variable_that_is_not_there():
    with pytest.raises(ArraysError, match=r"no variable 'fae', but fea \(20 x 1280"):
        read_arrays(made.npz(fea=ROWS), ReadOptions(variable="fae"), name="a.npz")


def test_the_bunch_of_scikit_learn():
    content = made.npz(images=FACES, data=ROWS, target=OWNERS)
    assert_faces(read_arrays(content, name="a.npz"))


def test_nothing_in_it():
    with pytest.raises(ArraysError, match="none of its variables looks like faces"):
        read_arrays(made.mat(depth=np.arange(99.0), gamma=np.arange(99.0)), name="a.mat")


def test_a_shape_that_fits_none_is_told_with_its_pixels():
    with pytest.raises(ArraysError, match=r"fea \(20 x 1280.*30 x 30 is 900 pixels"):
        read_arrays(made.npz(fea=ROWS, gnd=OWNERS), ReadOptions(shape=(30, 30)), name="a.npz")


# -- structs and cells -------------------------------------------------------------------


def test_fields_of_a_struct():
    content = made.mat(faces={"data": ROWS, "labels": OWNERS, "comment": "made"})
    assert_faces(read_arrays(content, ReadOptions(order="C"), name="a.mat"))


def test_fields_of_a_struct_of_version_7_3():
    content = made.mat73(faces={"data": ROWS, "labels": OWNERS, "comment": "made"})
    assert_faces(read_arrays(content, ReadOptions(order="C"), name="a.mat"))


@pytest.mark.parametrize("field", ["Image", "pixels"])
def test_a_struct_a_picture(field):
    kind = np.dtype([(field, object), ("person", object)])
    structs = np.empty((1, 20), kind)
    for i in range(20):
        structs[0, i] = (FACES[i], int(OWNERS[i]))
    assert_faces(read_arrays(made.mat(people=structs), name="a.mat"))


def test_cells_of_pictures():
    found = read_arrays(made.mat(imgs=made.cells(FACES), label=OWNERS), name="a.mat")
    assert_faces(found)
    assert "from the 20 cells of 'imgs'" in found.decided
    assert_faces(read_arrays(made.mat(imgs=made.cells(FACES)), name="a.mat"), None)


def test_cells_of_version_7_3():
    assert_faces(read_arrays(made.mat73(imgs=list(FACES), label=OWNERS), name="a.mat"))


@pytest.mark.parametrize("kind", ["h w n", "columns", "rows", "nested"])
def test_a_cell_a_person(kind):
    people = [FACES[person == OWNERS] for person in (1, 2, 3, 4)]
    items = {
        "h w n": [np.moveaxis(p, 0, 2) for p in people],
        "columns": [made.LAYOUTS["columns F"](p) for p in people],
        "rows": [made.LAYOUTS["rows F"](p) for p in people],
        "nested": [made.cells(p) for p in people],
    }[kind]
    assert_faces(read_arrays(made.mat(facedat=made.cells(items)), name="a.mat"))


def test_people_with_different_numbers_of_pictures():
    people = [FACES[:3], FACES[3:10], FACES[10:]]
    items = made.cells([np.moveaxis(p, 0, 2) for p in people])
    labels = ("1",) * 3 + ("2",) * 7 + ("3",) * 10
    assert_faces(read_arrays(made.mat(facedat=items), name="a.mat"), labels)


def test_cells_of_vectors_with_a_size():
    vectors = made.cells([face.ravel(order="F")[:, np.newaxis] for face in FACES])
    content = made.mat(faces=vectors, imSize=np.array([40, 32]))
    assert_faces(read_arrays(content, name="a.mat"), None)


def test_views_of_the_same_faces():
    features = np.random.default_rng(0).random((20, 1600))
    content = made.mat(X=made.cells([features, made.LAYOUTS["rows F"](FACES)]), Y=OWNERS)
    assert_faces(read_arrays(content, name="a.mat"))


def test_cells_of_several_sizes_are_told():
    items = made.cells([FACES[0], FACES[1, 1:], FACES[2]])
    with pytest.raises(ArraysError, match="several sizes"):
        read_arrays(made.mat(faces=items), name="a.mat")


# -- labels ----------------------------------------------------------------------------------


def test_words_as_labels():
    names = np.array(["anna", "bert", "carla", "dora"])[OWNERS - 1]
    assert read_arrays(made.npz(faces=ROWS, person=names), name="a.npz").labels == tuple(names)
    content = made.mat(faces=FACES, person=made.cells(list(names)))
    assert read_arrays(content, name="a.mat").labels == tuple(names)


def test_labels_of_another_length_are_none():
    assert read_arrays(made.npz(faces=ROWS, label=OWNERS[1:]), name="a.npz").labels is None


def test_numbers_that_are_no_labels():
    content = made.npz(faces=ROWS, y=np.linspace(0, 1, 20))
    assert read_arrays(content, name="a.npz").labels is None


def test_labels_without_a_name():
    """As numpy.savez(path, faces, labels) keeps them; running numbers are none."""
    for labels in (OWNERS, np.array(list("abcd"))[OWNERS - 1]):
        found = read_arrays(made.npz(arr_0=ROWS, arr_1=labels), name="a.npz")
        assert_faces(found, tuple(map(str, labels)))
        assert "Subjects from 'arr_1'." in found.notes
    for others in ({"arr_1": np.arange(20)}, {"arr_1": OWNERS, "arr_2": OWNERS % 2}):
        assert_faces(read_arrays(made.npz(arr_0=ROWS, **others), name="a.npz"), None)


def test_names_of_files_are_no_people():
    names = np.array([f"picture{i}.png" for i in range(20)])
    assert read_arrays(made.npz(faces=ROWS, names=names), name="a.npz").labels is None


def test_counts_of_each_person():
    content = made.mat(faces=made.LAYOUTS["columns F"](FACES), nfaces=np.array([12, 8]))
    assert read_arrays(content, name="a.mat").labels == ("1",) * 12 + ("2",) * 8


# -- other containers ---------------------------------------------------------------------


def test_fer2013_takes_emotions_not_usage():
    assert_faces(read_arrays(made.fer2013(FACES, OWNERS), name="fer2013.csv"))


def test_lists_of_pixels_in_quotes():
    rows = [
        f'"{", ".join(map(str, f.ravel()))}",{o}' for f, o in zip(FACES, OWNERS, strict=True)
    ]
    content = "\n".join(["pixels,label", *rows]).encode()
    assert_faces(read_arrays(content, name="a.csv"))


def test_cbcl():
    found = read_arrays(made.cbcl(FACES, [1] * 15 + [-1] * 5), name="svm.train.normgrey")
    np.testing.assert_allclose(found.images, FACES / 255, atol=1e-6)
    assert found.labels == ("1",) * 15 + ("-1",) * 5


@pytest.mark.parametrize("mark", [",", ";", "\t", " "])
@pytest.mark.parametrize("titled", [False, True])
def test_tables(mark, titled):
    titles = [str(i) for i in range(1280)] if titled else None
    assert_faces(read_arrays(made.csv(ROWS, titles, mark), name="a.txt"), None)


@pytest.mark.parametrize("place", [0, 1280])
@pytest.mark.parametrize("title", ["label", "target", None])
def test_tables_with_a_column_of_labels(place, title):
    table = np.insert(ROWS.astype(int), place, OWNERS, axis=1)
    titles = None
    if title:
        titles = [f"pixel{i}" for i in range(1280)]
        titles.insert(place, title)
    found = read_arrays(made.csv(table, titles), name="a.csv")
    assert found.images.dtype == np.uint8
    assert_faces(found)


def test_a_missing_value_is_a_hole_in_its_place():
    table = ROWS.astype(str)
    for i in range(1, 20):
        table[i, i] = ""
    found = read_arrays(made.csv(table), name="a.csv")
    expected = ROWS.astype(float)
    expected[range(1, 20), range(1, 20)] = np.nan
    np.testing.assert_array_equal(found.images.reshape(20, -1), expected)
    assert "Some pixels are NaN or infinite." in found.notes


def test_tables_of_pandas_with_an_index_and_names():
    rows = [
        f"{i},{','.join(map(str, face))},person {owner}"
        for i, (face, owner) in enumerate(zip(ROWS, OWNERS, strict=True))
    ]
    titles = ",".join(["", *map(str, range(1280)), "subject"])
    found = read_arrays("\n".join([titles, *rows]).encode(), name="a.csv")
    assert_faces(found, tuple(f"person {owner}" for owner in OWNERS))


def test_text_among_numbers():
    table = np.column_stack([OWNERS.astype(str), ROWS.astype(str)])
    table[:, 0] = np.array(["anna", "bert", "carla", "dora"])[OWNERS - 1]
    for content, name in ((made.npy(table), "faces.npy"), (made.csv(table), "faces.csv")):
        assert_faces(read_arrays(content, name=name), tuple(table[:, 0]))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("name", ["a.npy", "a.mat", "a-idx3-ubyte", "a.npz", "a.csv"])
def test_packed(pack, name):
    content = {
        "a.npy": made.npy(FACES),
        "a.mat": made.mat(faces=made.LAYOUTS["h w n"](FACES)),
        "a-idx3-ubyte": made.idx(FACES),
        "a.npz": made.npz(faces=FACES),
        "a.csv": made.csv(ROWS),
    }[name]
    end = ".gz" if pack is gzip.compress else ".bz2"
    assert_faces(read_arrays(pack(content), name=name + end), None)


@pytest.mark.parametrize("version", ["4", "5"])
def test_old_matlab(version):
    kept = made.LAYOUTS["columns F"](FACES).astype(float)
    found = read_arrays(made.mat(version=version, faces=kept, gnd=OWNERS), name="a.mat")
    assert_faces(found)


def test_matrices_of_other_machines():
    """Big-endian, as Suns wrote them; made by turning all words round."""
    rows = made.LAYOUTS["rows F"](FACES)
    head = b"MATLAB 5.0 MAT-file, Platform: SOL2".ljust(124) + b"\1\0MI"

    def element(kind, content):
        padding = bytes(-len(content) % 8)
        return kind.to_bytes(4, "big") + len(content).to_bytes(4, "big") + content + padding

    body = element(6, (11).to_bytes(4, "big") + bytes(4))  # uint16
    body += element(5, np.array(rows.shape, ">i4").tobytes()) + element(1, b"fea")
    body += element(4, rows.astype(">u2").tobytes("F"))
    found = read_arrays(head + element(14, body), name="a.mat")
    assert_faces(found, None)
    assert found.images.dtype == np.uint16


def test_objects_of_matlab_are_named():
    import scipy.io

    file = io.BytesIO()
    table = scipy.io.matlab.MatlabObject(
        np.array([(1.0,)], dtype=[("a", object)]), classname="inline"
    )
    scipy.io.savemat(file, {"thing": table})
    with pytest.raises(ArraysError, match="thing"):
        read_arrays(file.getvalue(), name="a.mat")


def test_sparse_matrices():
    import scipy.sparse

    black = np.where(ROWS < 60, 0, ROWS)
    content = made.mat(fea=scipy.sparse.csc_array(black.astype(float)))
    found = read_arrays(content, ReadOptions(order="C"), name="a.mat")
    np.testing.assert_array_equal(found.images.reshape(20, -1), black)


# -- pixels -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8", ">f8", ">i2", "i8"])
def test_the_type_stays(dtype):
    found = read_arrays(made.npy(FACES.astype(dtype)), name="a.npy")
    assert found.images.dtype == np.dtype(dtype).newbyteorder("=")
    assert_faces(found, None)


def test_centred_pixels_are_told():
    found = read_arrays(made.npy(FACES - FACES.mean(axis=0)), name="a.npy")
    assert any("centred" in note for note in found.notes)


def test_rounding_is_no_negative_pixel():
    found = read_arrays(made.npy(FACES / 255.0 - 1e-12 * (FACES < 30)), name="a.npy")
    assert found.images.min() >= 0
    assert not any("centred" in note for note in found.notes)


def test_holes_are_told():
    holed = FACES.astype(float)
    holed[3, 4, 5] = np.nan
    found = read_arrays(made.npy(holed), name="a.npy")
    assert any("NaN" in note for note in found.notes)


def on_disk(array):
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array is not None


@pytest.mark.parametrize("name", ["a.npy", "a.mat", "a73.mat", "a.h5", "a-idx3-ubyte"])
def test_large_arrays_stay_on_disk(tmp_path, name):
    columns = made.LAYOUTS["columns F"](FACES)
    content = {
        "a.npy": made.npy(FACES),
        "a.mat": made.mat(packed=False, faces=columns),
        "a73.mat": made.mat73(packed=False, faces=columns),
        "a.h5": made.hdf5(faces=FACES),
        "a-idx3-ubyte": made.idx(FACES),
    }[name]
    (tmp_path / name).write_bytes(content)
    found = read_arrays(tmp_path / name)
    assert_faces(found, None)
    assert on_disk(found.images)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ORL_32x32.mat", True),
        ("faces.npy.gz", True),
        ("train-images-idx3-ubyte", True),
        ("train-images.idx3-ubyte.gz", True),
        ("svm.train.normgrey", True),
        ("faces.PKL", True),
        ("1.pgm", False),
        ("1.pgm.gz", False),
        ("faces.zip", False),
    ],
)
def test_which_names_are_arrays(name, expected):
    assert is_array_name(name) is expected


def test_text_beside_pictures_does_not_count():
    assert is_array_name("labels.csv")
    assert not is_array_name("labels.csv", text=False)
