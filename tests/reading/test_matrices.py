"""Files of numbers as `read_faces` reads them: alone, in folders, archives and at URLs."""

from __future__ import annotations

import gzip
import pickle
from unittest.mock import Mock

import numpy as np
import pytest

from napari_latent_faces import NMFParams, fit, read_faces
from napari_latent_faces.reading import (
    AmbiguousArraysError,
    ArraysError,
    NoFacesError,
    looks_like_faces,
)
from tests.pictures import encoded, face, make, packed
from tests.reading.arrays import made

FACES = made.faces(20, 40, 32)
ROWS = FACES.reshape(20, -1)
OWNERS = made.owners(20)
LABELS = tuple(map(str, OWNERS))
FEA = made.mat(fea=made.LAYOUTS["rows F"](FACES), gnd=OWNERS)
COLOUR = np.stack([FACES, 0.7 * FACES, 255 - 0.5 * FACES], axis=-1).astype(np.uint8)


def test_a_file_becomes_a_stack(tmp_path):
    path = make(tmp_path, {"fea.mat": FEA}) / "fea.mat"
    stack = read_faces(path)
    np.testing.assert_array_equal(stack.images, FACES)
    assert stack.subjects == LABELS
    assert stack.names[:2] + stack.names[-1:] == ("1/1", "1/2", "4/5")
    assert stack.source == str(path)
    assert stack.report.summary() == (
        "20 faces of 40 x 32 (height x width) from the rows of 'fea', MATLAB order (F)"
    )
    assert "Subjects from 'gnd'." in stack.report.notes
    assert stack.images.flags.c_contiguous
    assert read_faces(path, subjects=False).subjects is None
    assert read_faces(path, subjects=r"/(\d)").subjects[:6] == ("1", "2", "3", "4", "5", "1")


def test_options_reach_the_file(tmp_path):
    path = make(tmp_path, {"a.npz": made.npz(one=ROWS, two=ROWS[::-1])}) / "a.npz"
    with pytest.raises(AmbiguousArraysError, match=r"one .*two"):
        read_faces(path)
    options = {"variable": "two", "shape": (40, 32), "faces": "rows", "order": "C"}
    stack = read_faces(path, **options)
    np.testing.assert_array_equal(stack.images, FACES[::-1])
    assert stack.report.options.changed() == options


def kept(tmp_path, place, files):
    """Put files into a folder or archive, and return its path."""
    folder = make(tmp_path / "set", files)
    return folder if place == "folder" else packed(folder, tmp_path / f"set.{place}")


PERSONS = ["anna", "bert", "carl", "dora"]
TABLES = {"faces.csv": made.csv(ROWS), "labels.csv": made.csv(OWNERS[:, np.newaxis])}
FILES = {  # what is kept, the first name, and the subjects
    "one file": ({"set/README.txt": b"Faces.\n", "set/a.mat": FEA}, "1/1", LABELS),
    "a file a person": (
        {f"{who}.npy": made.npy(FACES[i + 1 == OWNERS]) for i, who in enumerate(PERSONS)},
        "anna/1",
        tuple(PERSONS[i - 1] for i in OWNERS),
    ),
    "a file a picture": (
        {f"s{i // 5 + 1}/{i % 5 + 1}.npy": made.npy(each) for i, each in enumerate(FACES)},
        "s1/1",
        tuple(f"s{i}" for i in OWNERS),
    ),
    "labels beside": (
        {"olivetti_faces.npy": made.npy(FACES), "olivetti_faces_target.npy": made.npy(OWNERS)},
        "1/1",
        LABELS,
    ),
    "tables": (TABLES, "1/1", LABELS),
    "a table": ({"fer2013.csv": made.fer2013(FACES, OWNERS)}, "1/1", LABELS),
}


@pytest.mark.parametrize("place", ["folder", "zip", "tar.gz"])
@pytest.mark.parametrize("case", FILES)
def test_files_in_a_place(tmp_path, place, case):
    files, first, subjects = FILES[case]
    path = kept(tmp_path, place, files)
    stack = read_faces(path)
    np.testing.assert_array_equal(stack.images, FACES)
    assert stack.names[0] == first
    assert stack.subjects == subjects
    assert looks_like_faces(path) is ("table" not in case)  # text is mostly something else
    if case == "a file a person":
        assert "from 4 files" in stack.report.summary()


@pytest.mark.parametrize("place", ["folder", "zip", "tar.gz"])
def test_pictures_come_before_numbers(tmp_path, place):
    files = {"1.pgm": encoded(face(), "pgm"), "faces.npy": made.npy(FACES)}
    stack = read_faces(kept(tmp_path, place, files))
    assert stack.names == ("1.pgm",)
    assert "faces.npy" in dict(stack.report.passed_over)


WRITTEN = {
    "npy": made.npy,
    "csv": lambda array: made.csv(array.reshape(20, -1)),
    "mat": lambda array: made.mat(X=array),
    "gz": lambda array: gzip.compress(made.idx(array)),
    "idx3-ubyte": made.idx,
    "idx1-ubyte": made.idx,
}


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("olivetti_faces.npy", "olivetti_faces_target.npy"),
        ("X_train.npy", "y_train.npy"),
        ("faces.npy", "labels.npy"),
        ("faces.idx3-ubyte", "labels.idx1-ubyte"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
        ("faces.csv", "labels.csv"),
        ("orl_X.mat", "orl_y.mat"),
    ],
)
def test_labels_beside_a_file(tmp_path, name, beside):
    write = WRITTEN[name.rsplit(".")[-1]]
    make(tmp_path, {name: write(FACES), "test_labels.npy": made.npy(OWNERS), "README": b"..."})
    alone = read_faces(tmp_path / name)
    assert alone.subjects is None
    assert alone.names[:2] == ("1", "2")
    make(tmp_path, {beside: write(OWNERS)})
    assert read_faces(tmp_path / name).subjects == LABELS
    make(tmp_path, {beside: write(OWNERS)[:-9]})
    assert read_faces(tmp_path / name).subjects is None


def test_broken_files_are_skipped_with_their_reason(tmp_path):
    files = {"anna.npy": made.npy(FACES), "bert.npy": made.npy(FACES)[:999]}
    stack = read_faces(kept(tmp_path, "folder", files))
    assert len(stack) == 20
    ((name, reason),) = stack.report.skipped
    assert name == "bert.npy"
    assert "cut off" in reason


def test_files_of_several_sizes_are_not_mixed_and_a_readme_is_no_table(tmp_path):
    with pytest.raises(NoFacesError, match="README"):
        read_faces(kept(tmp_path, "folder", {"README.txt": b"no faces here\n"}))
    files = {"a.npy": made.npy(FACES), "b.npy": made.npy(made.faces(20, 32, 32))}
    path = kept(tmp_path, "folder", files)
    with pytest.raises(ArraysError, match=r"40 x 32 in a.npy, 32 x 32 in b.npy"):
        read_faces(path)
    assert read_faces(path, size=(20, 16)).shape == (40, 20, 16)


def test_a_face_a_column_of_text_and_four_persons_of_five_pictures(tmp_path):
    (tmp_path / "a.txt").write_bytes(made.csv(ROWS.T, mark=" "))
    np.testing.assert_array_equal(read_faces(tmp_path / "a.txt").images, FACES)
    people = FACES.reshape(4, 5, 40, 32).swapaxes(0, 1)
    (tmp_path / "a.mat").write_bytes(made.mat(X=np.moveaxis(people, (0, 1), (2, 3))))
    found = read_faces(tmp_path / "a.mat").images  # the four are no transparency
    np.testing.assert_array_equal(found, people.reshape(20, 40, 32))


def test_scaled_as_pictures_are(tmp_path):
    np.save(tmp_path / "a.npy", FACES)
    stack = read_faces(tmp_path / "a.npy", size=20)
    assert stack.shape == (20, 20, 16)
    means = FACES.reshape(20, 20, 2, 16, 2).mean(axis=(2, 4))
    assert np.abs(stack.images - means).mean() < 3
    assert any("Scaled from 32 x 40 to 16 x 20" in note for note in stack.report.notes)


def test_large_ones_are_read_when_they_are_looked_at(tmp_path):
    np.save(tmp_path / "a.npy", FACES.astype(">i2"))  # of another machine
    for size in (None, 20):
        lazy = read_faces(tmp_path / "a.npy", memory_budget=1000, size=size)
        assert lazy.is_lazy
        whole = read_faces(tmp_path / "a.npy", size=size)
        np.testing.assert_array_equal(np.asarray(lazy.images), whole.images)


@pytest.mark.parametrize("layout", ["n h w", "h w n", "columns F", "rows C"])
@pytest.mark.parametrize("container", ["npy", "mat", "mat73"])
def test_lazy_faces_go_to_other_processes_as_their_place(tmp_path, layout, container):
    kept = made.LAYOUTS[layout](FACES)
    path, content = tmp_path / "a.npy", made.npy(kept)
    if container != "npy":
        path, content = tmp_path / "a.mat", getattr(made, container)(packed=False, faces=kept)
    path.write_bytes(content)
    order = "F" if layout.endswith("F") else "C"
    pickled = pickle.dumps(read_faces(path, lazy=True, order=order, shape=(40, 32)))
    assert len(pickled) < FACES.nbytes / 2
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickled).images), FACES)


def test_progress_is_told_and_can_end_the_read(tmp_path):
    np.save(tmp_path / "a.npy", FACES)
    steps = []
    read_faces(tmp_path / "a.npy", progress=lambda *step: steps.append(step))
    assert steps[-1][0] == steps[-1][1]
    with pytest.raises(KeyboardInterrupt):
        read_faces(tmp_path / "a.npy", progress=Mock(side_effect=KeyboardInterrupt))


def test_behind_a_url(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/numbers/faces.npy.gz", gzip.compress(made.npy(FACES)))
    stack = read_faces("memory://numbers/faces.npy.gz")
    np.testing.assert_array_equal(stack.images, FACES)
    np.testing.assert_array_equal(read_faces("memory://numbers").images, FACES)


PEOPLE = list(COLOUR.reshape(4, 5, 40, 32, 3))
OPAQUE = np.insert(COLOUR, 3, 255, axis=3)
IN_COLOUR = {
    "n h w 3": ("a.npy", made.npy(COLOUR)),
    "n 3 h w": ("a.npy", made.npy(np.moveaxis(COLOUR, 3, 1))),
    "h w 3 n": ("a.mat", made.mat(images=np.moveaxis(COLOUR, 0, 3))),
    "h w 3 n, 7.3": ("a.mat", made.mat73(images=np.moveaxis(COLOUR, 0, 3))),
    "npz": ("a.npz", made.npz(images=COLOUR, labels=OWNERS)),
    "transparent": ("a.npy", made.npy(OPAQUE)),
    "cells": ("a.mat", made.mat(faces=made.cells(list(COLOUR)))),
    "transparent cells": ("a.mat", made.mat(faces=made.cells(list(OPAQUE)))),
    "cells of persons": ("a.mat", made.mat(faces=made.cells(PEOPLE))),
}


@pytest.mark.parametrize("kept_as", IN_COLOUR)
def test_in_colour(tmp_path, kept_as):
    name, content = IN_COLOUR[kept_as]
    path = make(tmp_path, {name: content}) / name
    stack = read_faces(path)
    np.testing.assert_array_equal(stack.images, COLOUR)
    assert "20 colour faces of 40 x 32" in stack.report.summary()
    np.testing.assert_array_equal(read_faces(path, channel="blue").images, COLOUR[..., 2])
    grey = read_faces(path, colour=False)
    assert grey.shape == (20, 40, 32)
    assert np.abs(grey.images - COLOUR @ [0.299, 0.587, 0.114]).max() < 1
    small = read_faces(path, size=20, memory_budget=1000)
    assert small.is_lazy
    assert small.shape == (20, 20, 16, 3)
    np.testing.assert_array_equal(np.asarray(small.images), read_faces(path, size=20).images)


def test_grey_files_among_colour_and_equal_channels(tmp_path):
    files = {"a.npy": made.npy(COLOUR[:12]), "b.npy": made.npy(FACES[12:])}
    path = kept(tmp_path, "folder", files)
    stack = read_faces(path)
    np.testing.assert_array_equal(stack.images[:12], COLOUR[:12])
    np.testing.assert_array_equal(stack.images[12:], np.repeat(FACES[12:, ..., None], 3, 3))
    assert "8 of 20 are grey, among colour." in stack.report.notes
    assert read_faces(path, colour=False).shape == (20, 40, 32)
    np.save(tmp_path / "equal.npy", np.repeat(FACES[..., None], 3, axis=3))
    np.testing.assert_array_equal(read_faces(tmp_path / "equal.npy").images, FACES)
    assert read_faces(tmp_path / "equal.npy", colour=True).in_colour


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.mat", made.mat(fea=ROWS), True),
        ("a.mat", made.mat(depth=np.arange(9.0)), False),
        ("a.npy", made.npy(FACES), True),
        ("a.npy", made.npy(np.random.default_rng(0).random((20, 50, 40))), False),
        ("a.npy", made.npy(np.arange(9.0)), False),
        ("a.npz", made.npz(images=FACES), True),
        ("a.csv", made.csv(ROWS), True),
        ("a.csv", made.fer2013(FACES, OWNERS), True),
        ("a.csv", b"name,age\nanna,3\n", False),
        ("a.txt", b"Read me.\n", False),
        ("a.pkl", b"\x80\x04N.", False),
        ("a-idx3-ubyte", made.idx(FACES), True),
        ("a.mat", b"nothing", False),
    ],
)
def test_a_quick_look(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    assert looks_like_faces(tmp_path / name) is expected


def test_models_are_no_faces(tmp_path):
    path = tmp_path / "model.npz"
    fit(FACES, NMFParams(n_components=3, max_iter=5, tol=0)).save(path)
    assert not looks_like_faces(path)
    with pytest.raises(ArraysError, match=r"LatentFaces\.load"):
        read_faces(path)
