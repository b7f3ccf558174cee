"""Axes and orders are found out, and options have the last word."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_latent_faces.reading.arrays import ArraysError, ReadOptions, read_arrays
from tests.reading.arrays import made

SIZES = [(40, 32), (32, 32), (24, 30), (28, 20), (56, 46)]


def read(content, name, images=None, **options):
    """Read faces, and look whether they are these."""
    found = read_arrays(content, ReadOptions(**options), name=name)
    if images is not None:
        np.testing.assert_array_equal(found.images, images)
    return found


def test_containers_know_their_order_and_tell_it():
    faces = made.faces(30, 40, 32)
    found = read(made.mat(faces=made.LAYOUTS["columns F"](faces)), "a.mat")
    assert found.decided == (
        "30 faces of 40 x 32 (height x width) from the columns of 'faces', MATLAB order (F)"
    )
    assert "shape" in found.notes[0]  # what to say if it is wrong
    square = made.faces(30, 32, 32)
    found = read(made.mat(fea=made.LAYOUTS["rows C"](square)), "a.mat", images=square)
    assert "row by row (C)" in found.decided


def test_labels_tell_the_axis_where_both_would_do():
    """400 faces of 400 pixels, but for the labels a coin toss."""
    faces = made.faces(400, 20, 20)
    square = made.LAYOUTS["rows C"](faces)
    assert square.shape == (400, 400)
    read(
        made.npz(images=square[:361], labels=np.arange(361) // 10), "a.npz", images=faces[:361]
    )


@pytest.mark.parametrize(
    ("hint", "counts"),
    [
        ({"imSize": np.array([40, 32])}, True),
        ({"height": 40, "width": 32}, True),
        ({"n": 40, "m": 32}, True),
        ({"h": np.int64(40), "w": np.int64(32)}, True),
        ({"n": 12, "m": 7}, False),  # sizes of something else
    ],
)
def test_sizes_in_the_file(hint, counts):
    faces = made.faces(12, 40, 32)
    found = read(
        made.mat(faces=made.LAYOUTS["columns F"](faces), **hint), "a.mat", images=faces
    )
    assert any("The size is that of" in note for note in found.notes) is counts


def said_of(layout, shape):
    """Return all that options can say of a layout."""
    faces = "columns" if layout.startswith(("columns", "h w")) else "rows"
    return {"shape": shape, "faces": faces, "order": "F" if layout.endswith("F") else "C"}


@given(
    n=st.integers(1, 9),
    h=st.integers(1, 12),
    w=st.integers(1, 12),
    layout=st.sampled_from(list(made.LAYOUTS)),
    container=st.sampled_from(["npy", "npz", "mat", "mat73", "hdf5", "csv"]),
    dtype=st.sampled_from(["u1", "u2", "f4", "f8", ">i2"]),
    fortran=st.booleans(),
    seed=st.integers(0, 99),
)
def test_whatever_is_said_is_done(n, h, w, layout, container, dtype, fortran, seed):
    """With all options given, any numbers come back as they were put in."""
    pictures = np.random.default_rng(seed).integers(0, 256, (n, h, w)).astype(dtype)
    if n in {1, h * w, 3 * h * w} or (n == 1 or h == 1 or w == 1):
        return  # one row may be one picture
    kept = np.asarray(made.LAYOUTS[layout](pictures), order="F" if fortran else "C")
    if container == "csv":
        if kept.ndim == 3:
            return
        content, name = gzip.compress(made.csv(kept)), "a.csv.gz"
    elif container == "npy":
        content, name = made.npy(kept), "a.npy"
    else:
        name = {"mat": "a.mat", "mat73": "a.mat", "npz": "a.npz", "hdf5": "a.h5"}[container]
        content = getattr(made, container)(v=kept)
    read(content, name, **said_of(layout, (h, w)), images=pictures)


@given(
    n=st.integers(5, 60),
    size=st.sampled_from(SIZES),
    layout=st.sampled_from(list(made.LAYOUTS)),
    kind=st.sampled_from(["npz", "mat", "mat73"]),
    packed=st.booleans(),
    labelled=st.booleans(),
    said=st.sets(st.sampled_from(["shape", "faces", "order"])),
    seed=st.integers(0, 999),
)
def test_drawn_faces_come_back(n, size, layout, kind, packed, labelled, said, seed):
    """Whatever is said of them or not."""
    faces, owners = made.faces(n, *size, seed=seed), made.owners(n)
    variables = {"fea": made.LAYOUTS[layout](faces)} | ({"gnd": owners} if labelled else {})
    options = {option: said_of(layout, size)[option] for option in said}
    if kind == "npz":
        found = read(made.npz(**variables), "a.npz", faces, **options)
    else:
        content = getattr(made, kind)(packed=packed, **variables)
        found = read(content, "a.mat", faces, **options)
    assert found.labels == (tuple(map(str, owners)) if labelled else None)


def in_colour(noise=0):
    grey = made.faces(12, 40, 32).astype(float)
    grain = np.random.default_rng(0).normal(0, noise, (12, 40, 32, 3))
    return np.stack([grey, 0.7 * grey, 0.5 * grey], axis=-1) + grain


@pytest.mark.parametrize("options", [{}, {"shape": (40, 32)}])
@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2), (0, 3, 2, 1)])
def test_flattened_colour(axes, options):
    """Pixel by pixel, plane by plane as CIFAR, and so from MATLAB."""
    colour = in_colour(noise=4)
    rows = colour.transpose(axes).reshape(12, -1)
    matrices = rows.reshape(12, 3, -1) if axes[1] == 3 else rows.reshape(12, -1, 3)
    for kept in (rows, rows.T, matrices):
        found = read(made.npy(kept), "a.npy", **options, images=colour)
    assert "colours by " + ("planes" if axes[1] == 3 else "pixels") in found.decided


def test_few_faces_are_no_channels():
    noise = np.random.default_rng(0).normal(0, 12, (12, 40, 32))  # the drawn ones are too alike
    faces = made.faces(12, 40, 32, people=12) + noise
    read(made.npy(faces.reshape(4, 3, 40, 32)), "a.npy", images=faces)
    for n in (3, 4):
        faces = made.faces(n, 40, 32, people=n) + noise[:n]
        read(made.mat(person=np.moveaxis(faces, 0, 2)), "a.mat", images=faces)


def test_one_picture_is_one_face():
    face = made.faces(1, 40, 32)[0]
    read(made.npy(face), "a.npy", face[np.newaxis])
    read(made.npy(face.ravel()), "a.npy", face[np.newaxis], shape=(40, 32))
    around = (np.hypot(*np.mgrid[-1:1:40j, -1:1:32j]) < 1) * 255
    picture = np.stack([face, 0.7 * face, 0.5 * face, around], axis=-1).astype(np.uint8)
    read(made.npy(picture[..., :3]), "a.npy", picture[np.newaxis, ..., :3])
    found = read(made.npy(picture), "a.npy", picture[np.newaxis, ..., :3])
    assert "transparency" in found.decided


def test_more_channels_than_colours_are_no_side_of_a_picture():
    faces = made.faces(12, 40, 32)
    bands = np.stack([faces - faces % (2 + i) for i in range(5)], axis=-1)
    read(made.npy(bands), "a.npy", images=np.moveaxis(bands, -1, 1).reshape(60, 40, 32))


@pytest.mark.parametrize("layout", ["rows C", "rows F", "columns F"])
def test_centred_faces_stand_upright(layout):
    faces = made.faces(40, 40, 32).astype(float)
    faces -= faces.mean(axis=0)
    found = read(made.npy(made.LAYOUTS[layout](faces)), "a.npy")
    np.testing.assert_allclose(found.images, faces)
    assert any("centred" in note for note in found.notes)


def test_a_shape_alone_tells_the_sides():
    faces = made.faces(20, 40, 32)
    read(made.npy(faces.swapaxes(1, 2)), "a.npy", faces, shape=(40, 32))


def test_shapes_that_cannot_be_are_told():
    content = made.npy(made.LAYOUTS["rows C"](made.faces(20, 40, 32)))
    with pytest.raises(ArraysError, match=r"20 x 1280.*41 x 32 has 1312 pixels"):
        read(content, "a.npy", shape=(41, 32))
    with pytest.raises(ArraysError, match=r"shape=\(h, w\)"):
        read(made.npy(np.ones((20, 1283))), "a.npy")


def test_noisy_faces_are_faces():
    rng = np.random.default_rng(0)
    faces = made.faces(60, 40, 32) + rng.normal(0, 60, (60, 40, 32))
    read(made.mat(fea=made.LAYOUTS["rows F"](faces)), "a.mat", images=faces)


def test_what_is_no_picture_is_refused_unless_asked_for():
    noise = np.random.default_rng(0).random((30, 1024))
    with pytest.raises(ArraysError, match="does not look like pictures"):
        read(made.npy(noise), "a.npy")
    found = read(made.npy(noise), "a.npy", shape=(32, 32))
    assert found.images.shape == (30, 32, 32)
    assert any("no pictures" in note for note in found.notes)
