"""Files of numbers as `read_faces` reads them: alone, in folders, archives and at URLs."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest

from napari_latent_faces import read_faces
from napari_latent_faces.reading import (
    AmbiguousArraysError,
    ArraysError,
    NoFacesError,
    looks_like_faces,
)
from napari_latent_faces.reading.matrices import labels_beside
from tests.pictures import encoded, face
from tests.reading.arrays import made

FACES = made.faces(20, 40, 32)
OWNERS = made.owners(20)
LABELS = tuple(map(str, OWNERS))


def test_a_file_becomes_a_stack(tmp_path):
    path = tmp_path / "fea.mat"
    path.write_bytes(made.mat(fea=made.LAYOUTS["rows F"](FACES), gnd=OWNERS))
    stack = read_faces(path)
    np.testing.assert_array_equal(stack.images, FACES)
    assert stack.subjects == LABELS
    assert stack.names[:2] == ("1/1", "1/2")
    assert stack.names[-1] == "4/5"
    assert stack.source == str(path)
    assert stack.report.summary() == (
        "20 faces of 40 x 32 (height x width) from the rows of 'fea', MATLAB order (F)"
    )
    assert "Subjects from 'gnd'." in stack.report.notes
    assert stack.images.flags.c_contiguous


def test_without_labels_faces_are_numbered(tmp_path):
    np.save(tmp_path / "faces.npy", FACES)
    stack = read_faces(tmp_path / "faces.npy")
    assert stack.names[:2] == ("1", "2")
    assert stack.subjects is None


def test_options_reach_the_file(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(made.npz(one=FACES.reshape(20, -1), two=FACES[::-1].reshape(20, -1)))
    with pytest.raises(AmbiguousArraysError, match=r"one .*two"):
        read_faces(path)
    stack = read_faces(path, variable="two", shape=(40, 32), faces="rows", order="C")
    np.testing.assert_array_equal(stack.images, FACES[::-1])
    assert stack.report.options.changed() == {
        "variable": "two",
        "shape": (40, 32),
        "faces": "rows",
        "order": "C",
    }


def test_subjects_can_be_left_out(tmp_path):
    (tmp_path / "a.npz").write_bytes(made.npz(images=FACES, labels=OWNERS))
    assert read_faces(tmp_path / "a.npz", subjects=False).subjects is None
    rule = read_faces(tmp_path / "a.npz", subjects=r"/(\d)")
    assert rule.subjects[:6] == ("1", "2", "3", "4", "5", "1")


def zipped(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(files):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def kept(tmp_path, place, files):
    """Put files into a folder or archive, and return its path."""
    if place == "folder":
        root = tmp_path / "set"
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        return root
    path = tmp_path / ("set.zip" if place == "zip" else "set.tar.gz")
    path.write_bytes(zipped(files) if place == "zip" else tarred(files))
    return path


PLACES = pytest.mark.parametrize("place", ["folder", "zip", "tar"])


@PLACES
def test_one_file_in_a_place(tmp_path, place):
    content = made.mat(fea=made.LAYOUTS["rows F"](FACES), gnd=OWNERS)
    path = kept(tmp_path, place, {"set/README.txt": b"Faces.\n", "set/a.mat": content})
    stack = read_faces(path)
    np.testing.assert_array_equal(stack.images, FACES)
    assert stack.subjects == LABELS
    assert looks_like_faces(path)


@PLACES
def test_a_file_a_person(tmp_path, place):
    files = {
        f"{name}.npy": made.npy(FACES[i + 1 == OWNERS])
        for i, name in enumerate(["anna", "bert", "carl", "dora"])
    }
    stack = read_faces(kept(tmp_path, place, files))
    np.testing.assert_array_equal(stack.images, FACES)
    assert stack.names[0] == "anna/1"
    assert stack.subjects == tuple(name.partition("/")[0] for name in stack.names)
    assert set(stack.subjects) == {"anna", "bert", "carl", "dora"}
    assert "from 4 files" in stack.report.summary()


@PLACES
def test_a_file_a_picture(tmp_path, place):
    files = {f"s{i // 5 + 1}/{i % 5 + 1}.npy": made.npy(f) for i, f in enumerate(FACES)}
    stack = read_faces(kept(tmp_path, place, files))
    np.testing.assert_array_equal(stack.images, FACES)
    assert stack.names[0] == "s1/1"
    assert set(stack.subjects) == {"s1", "s2", "s3", "s4"}


@PLACES
def test_labels_in_a_file_beside(tmp_path, place):
    files = {
        "olivetti_faces.npy": made.npy(FACES),
        "olivetti_faces_target.npy": made.npy(OWNERS),
    }
    stack = read_faces(kept(tmp_path, place, files))
    np.testing.assert_array_equal(stack.images, FACES)
    assert stack.subjects == LABELS


def test_labels_beside(tmp_path):
    np.save(tmp_path / "olivetti_faces.npy", FACES)
    np.save(tmp_path / "olivetti_faces_target.npy", OWNERS)
    assert read_faces(tmp_path / "olivetti_faces.npy").subjects == LABELS
    (tmp_path / "faces-idx3-ubyte").write_bytes(made.idx(FACES))
    (tmp_path / "labels-idx1-ubyte").write_bytes(made.idx(OWNERS))
    assert read_faces(tmp_path / "faces-idx3-ubyte").subjects == LABELS
    (tmp_path / "olivetti_faces_target.npy").write_bytes(made.npy(OWNERS)[:-9])
    assert read_faces(tmp_path / "olivetti_faces.npy").subjects is None


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("olivetti_faces.npy", "olivetti_faces_target.npy"),
        ("X_train.npy", "y_train.npy"),
        ("faces.npy", "labels.npy"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
        ("faces.csv", "labels.csv"),
        ("orl_X.mat", "orl_y.mat"),
        ("faces.npy", None),
    ],
)
def test_names_of_labels(name, beside):
    others = ["README", name, *([beside] if beside else [])]
    assert labels_beside(name, others) == beside


@PLACES
def test_tables_of_pixels_and_of_labels(tmp_path, place):
    rows, owners = made.csv(FACES.reshape(20, -1)), made.csv(OWNERS[:, np.newaxis])
    path = kept(tmp_path, place, {"faces.csv": rows, "labels.csv": owners})
    stack = read_faces(path)
    np.testing.assert_array_equal(stack.images, FACES)
    assert stack.subjects == LABELS


def test_a_face_a_column_of_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(made.csv(FACES.reshape(20, -1).T, mark=" "))
    np.testing.assert_array_equal(read_faces(tmp_path / "a.txt").images, FACES)


def test_four_persons_are_no_transparency(tmp_path):
    persons = np.moveaxis(FACES.reshape(4, 5, 40, 32), (0, 1), (3, 2))
    (tmp_path / "a.mat").write_bytes(made.mat(X=persons))
    found = read_faces(tmp_path / "a.mat").images
    np.testing.assert_array_equal(
        found, FACES.reshape(4, 5, 40, 32).swapaxes(0, 1).reshape(20, 40, 32)
    )


@PLACES
def test_a_table_alone(tmp_path, place):
    stack = read_faces(kept(tmp_path, place, {"fer2013.csv": made.fer2013(FACES, OWNERS)}))
    np.testing.assert_array_equal(stack.images, FACES)


@PLACES
def test_pictures_come_before_numbers(tmp_path, place):
    files = {"1.pgm": encoded(face(), "pgm"), "faces.npy": made.npy(FACES)}
    stack = read_faces(kept(tmp_path, place, files))
    assert stack.names == ("1.pgm",)
    assert "faces.npy" in dict(stack.report.passed_over)


def test_broken_files_are_skipped_with_their_reason(tmp_path):
    files = {"anna.npy": made.npy(FACES), "bert.npy": made.npy(FACES)[:999]}
    stack = read_faces(kept(tmp_path, "folder", files))
    assert len(stack) == 20
    ((name, reason),) = stack.report.skipped
    assert name == "bert.npy"
    assert "cut off" in reason


def test_files_of_several_sizes_are_not_mixed(tmp_path):
    files = {"a.npy": made.npy(FACES), "b.npy": made.npy(made.faces(20, 32, 32))}
    path = kept(tmp_path, "folder", files)
    with pytest.raises(ArraysError, match=r"40 x 32 in a.npy, 32 x 32 in b.npy"):
        read_faces(path)
    assert read_faces(path, size=(20, 16)).shape == (40, 20, 16)


def test_a_readme_is_no_table(tmp_path):
    with pytest.raises(NoFacesError, match="README"):
        read_faces(kept(tmp_path, "folder", {"README.txt": b"no faces here\n"}))


def test_scaled_as_pictures_are(tmp_path):
    np.save(tmp_path / "a.npy", FACES)
    stack = read_faces(tmp_path / "a.npy", size=20)
    assert stack.shape == (20, 20, 16)
    means = FACES.reshape(20, 20, 2, 16, 2).mean(axis=(2, 4))
    assert np.abs(stack.images - means).mean() < 3
    assert any("Scaled from 32 x 40 to 16 x 20" in note for note in stack.report.notes)


def test_large_ones_are_read_when_they_are_looked_at(tmp_path):
    np.save(tmp_path / "a.npy", FACES)
    stack = read_faces(tmp_path / "a.npy", memory_budget=1000)
    assert stack.is_lazy
    np.testing.assert_array_equal(np.asarray(stack.images[3]), FACES[3])
    scaled = read_faces(tmp_path / "a.npy", memory_budget=1000, size=20)
    assert scaled.is_lazy
    whole = read_faces(tmp_path / "a.npy", size=20)
    np.testing.assert_array_equal(np.asarray(scaled.images), whole.images)


@pytest.mark.parametrize("layout", ["n h w", "h w n", "columns F", "rows C"])
@pytest.mark.parametrize("container", ["npy", "mat", "mat73"])
def test_lazy_faces_go_to_other_processes_as_their_place(tmp_path, layout, container):
    kept = made.LAYOUTS[layout](FACES)
    if container == "npy":
        path, content = tmp_path / "a.npy", made.npy(kept)
    else:
        path, content = tmp_path / "a.mat", getattr(made, container)(packed=False, faces=kept)
    path.write_bytes(content)
    options = {"order": "F" if layout.endswith("F") else "C", "shape": (40, 32)}
    stack = read_faces(path, lazy=True, **options)
    pickled = pickle.dumps(stack)
    assert len(pickled) < FACES.nbytes / 2
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickled).images), FACES)


def test_lazy_numbers_of_other_machines(tmp_path):
    np.save(tmp_path / "a.npy", FACES.astype(">i2"))
    np.testing.assert_array_equal(
        np.asarray(read_faces(tmp_path / "a.npy", lazy=True).images), FACES
    )


def test_progress_is_told_and_can_end_the_read(tmp_path):
    np.save(tmp_path / "a.npy", FACES)
    steps = []
    read_faces(tmp_path / "a.npy", progress=lambda done, total: steps.append((done, total)))
    assert steps[-1][0] == steps[-1][1]

    def cancel(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_faces(tmp_path / "a.npy", progress=cancel)


def test_behind_a_url(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/numbers/faces.npy.gz", gzip.compress(made.npy(FACES)))
    stack = read_faces("memory://numbers/faces.npy.gz")
    np.testing.assert_array_equal(stack.images, FACES)
    np.testing.assert_array_equal(read_faces("memory://numbers").images, FACES)


COLOUR = np.stack([FACES, 0.7 * FACES, 255 - 0.5 * FACES], axis=-1).astype(np.uint8)
IN_COLOUR = {
    "n h w 3": ("a.npy", made.npy(COLOUR)),
    "n 3 h w": ("a.npy", made.npy(np.moveaxis(COLOUR, 3, 1))),
    "h w 3 n": ("a.mat", made.mat(images=np.moveaxis(COLOUR, 0, 3))),
    "h w 3 n, 7.3": ("a.mat", made.mat73(images=np.moveaxis(COLOUR, 0, 3))),
    "npz": ("a.npz", made.npz(images=COLOUR, labels=OWNERS)),
    "transparent": ("a.npy", made.npy(np.insert(COLOUR, 3, 255, axis=3))),
    "cells": ("a.mat", made.mat(faces=made.cells(list(COLOUR)))),
    "cells of persons": (
        "a.mat",
        made.mat(faces=made.cells(list(COLOUR.reshape(4, 5, 40, 32, 3)))),
    ),
}


@pytest.mark.parametrize("kept_as", IN_COLOUR)
def test_in_colour(tmp_path, kept_as):
    name, content = IN_COLOUR[kept_as]
    path = tmp_path / name
    path.write_bytes(content)
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


def test_equal_channels_are_no_colour(tmp_path):
    np.save(tmp_path / "a.npy", np.repeat(FACES[..., None], 3, axis=3))
    np.testing.assert_array_equal(read_faces(tmp_path / "a.npy").images, FACES)
    assert read_faces(tmp_path / "a.npy", colour=True).in_colour


def test_grey_files_among_colour(tmp_path):
    files = {"a.npy": made.npy(COLOUR[:12]), "b.npy": made.npy(FACES[12:])}
    path = kept(tmp_path, "folder", files)
    stack = read_faces(path)
    np.testing.assert_array_equal(stack.images[:12], COLOUR[:12])
    np.testing.assert_array_equal(stack.images[12:], np.repeat(FACES[12:, ..., None], 3, 3))
    assert "8 of 20 are grey, among colour." in stack.report.notes
    assert read_faces(path, colour=False).shape == (20, 40, 32)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.mat", made.mat(fea=FACES.reshape(20, -1)), True),
        ("a.mat", made.mat(depth=np.arange(9.0)), False),
        ("a.npy", made.npy(FACES), True),
        ("a.npy", made.npy(np.random.default_rng(0).random((20, 50, 40))), False),
        ("a.npy", made.npy(np.arange(9.0)), False),
        ("a.npz", made.npz(images=FACES), True),
        ("a.csv", made.csv(FACES.reshape(20, -1)), True),
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
    from napari_latent_faces import NMFParams, fit

    path = tmp_path / "model.npz"
    fit(FACES, NMFParams(n_components=3, max_iter=5, tol=0)).save(path)
    assert not looks_like_faces(path)
    with pytest.raises(ArraysError, match=r"LatentFaces\.load"):
        read_faces(path)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i8", "f4", "f8"])
def test_faces_of_any_type_can_be_fitted(tmp_path, dtype):
    from napari_latent_faces import NMFParams, fit

    np.save(tmp_path / "a.npy", FACES.astype(dtype))
    model = fit(read_faces(tmp_path / "a.npy"), NMFParams(n_components=5, max_iter=50))
    assert 0 < model.error < 0.2
