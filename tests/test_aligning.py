"""Faces that are brought onto one another: what was done to them is undone, and said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_latent_faces import FaceStack, LatentFaces, fit, read_faces, sample_faces
from napari_latent_faces.aligning import align_faces, align_to, iter_align, oval_mask
from napari_latent_faces.export import as_python
from napari_latent_faces.params import NMFParams, PCAParams
from napari_latent_faces.samples import read_lfw_subset
from napari_latent_faces.steps import consume
from tests.helpers import Watched

SIZE = (92, 76)
TOP, LEFT = 10, 8
CROP = np.s_[:, TOP : TOP + 92, LEFT : LEFT + 76]


def similarities(n: int, seed: int, shift: float = 3, turn: float = 0.08, scale: float = 0.06):
    """Return random similarity transforms about the middle of a 112 x 92 picture."""
    rng = np.random.default_rng(seed)
    spread = np.array([shift, shift, scale, turn])
    p = (rng.standard_normal((n, 4)) * spread).clip(-2 * spread, 2 * spread)
    p -= p.mean(0)
    s, a = np.exp(p[:, 2]), p[:, 3]
    T = identities(n)
    T[:, 0, 0] = T[:, 1, 1] = s * np.cos(a)
    T[:, 1, 0] = s * np.sin(a)
    T[:, 0, 1] = -T[:, 1, 0]
    middle = np.array([55.5, 45.5])
    T[:, :2, 2] = middle + p[:, :2] - T[:, :2, :2] @ middle
    return T


def moved(images: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Return pictures that show at (y, x) what lay at the transformed place."""
    pairs = zip(images, transforms, strict=True)
    return np.stack([ndimage.affine_transform(p, T, order=1, mode="nearest") for p, T in pairs])


def apart(found: np.ndarray, expected: np.ndarray, *, alike: bool = True) -> np.ndarray:
    """Return how far transforms differ, in pixels; unless told, once all are moved alike."""
    if alike:
        found = found @ np.linalg.lstsq(np.vstack(found), np.vstack(expected), rcond=None)[0]
    y, x = np.meshgrid(np.linspace(TOP, 101, 7), np.linspace(LEFT, 83, 7), indexing="ij")
    places = np.stack([y.ravel(), x.ravel(), np.ones(y.size)])
    away = ((found - expected) @ places)[:, :2]
    return np.linalg.norm(away, axis=1).mean(1)


@pytest.fixture(scope="module")
def faces() -> FaceStack:
    return sample_faces(40, 5)


@pytest.fixture(scope="module")
def found(faces):
    return consume(iter_align(faces, size=SIZE))


@pytest.fixture(scope="module")
def result(faces, found):
    return found.apply(faces)


@pytest.fixture(scope="module")
def aligned(faces, found):
    """Return whole pictures of aligned faces."""
    return moved(faces.images, found.transforms)


def seen_at(picture, place):
    """Return the interpolated pixel of a picture at a homogeneous place."""
    return ndimage.map_coordinates(picture.astype(float), place[:2, None], order=1)[0]


def identities(n):
    return np.tile(np.eye(3), (n, 1, 1))


def sharpness(images):
    return np.hypot(*np.gradient(np.asarray(images, float).mean(0))).var()


def test_known_transforms_are_undone(faces, found, aligned):
    known = similarities(len(faces), seed=1)
    again = consume(iter_align(moved(faces.images, known), size=SIZE))
    expected = np.linalg.inv(known) @ found.transforms
    before = apart(found.transforms, expected)
    after = apart(again.transforms, expected)
    assert np.median(before) > 4
    assert np.median(after) < 0.5
    # aligned ones stay where they are
    found = consume(iter_align(aligned, size=SIZE))
    assert np.median(apart(found.transforms, identities(len(aligned)))) < 0.5
    # as do faces that are all alike
    alike = np.stack([faces.images[0] * light for light in np.linspace(0.5, 1, 12)])
    places = align_faces(alike, size=SIZE).transforms @ np.array([10.0, 8, 1])
    np.testing.assert_allclose(places[:, :2], [[10, 8]] * 12, atol=0.1)


@pytest.mark.parametrize("real", [False, True], ids=["sample", "orl"])
def test_fewer_components_explain_more_and_the_mean_face_is_sharper(faces, request, real):
    if real:
        faces = read_faces(request.getfixturevalue("data") / "orl", lazy=False)
    steps = []
    aligned = align_faces(faces, size=SIZE, progress=steps.append)
    before, after = (fit(each, n_components=20).error for each in (faces.images[CROP], aligned))
    assert after < (0.121 if real else 0.8 * before)  # 0.120 but for rounding elsewhere
    assert not real or before == pytest.approx(0.1568, abs=0.001)
    assert sharpness(aligned) > 2 * sharpness(faces.images[CROP])
    # progress grows to the end and shows the mean face
    shares = [step.done for step in steps]
    assert shares == sorted(shares)
    assert shares[0] == 0 < shares[1] < 0.1
    assert shares[-1] <= 1
    assert sharpness(steps[-1].mean[None]) > 0
    assert len(steps) > 20


def test_photographs_of_all_kinds_get_sharper():
    small = read_lfw_subset().images  # 25 x 25 pixels: bilinear steps would be all there is
    images = np.stack([ndimage.zoom(face, 3, order=3) for face in small]).clip(0)
    found = consume(iter_align(images))
    assert found.error[1] < 0.95 * found.error[0]
    assert found.sharpness > 1.1
    scales = np.sqrt(np.linalg.det(found.transforms[:, :2, :2]))
    assert scales.std() < 0.1


def test_the_mean_transform_is_the_identity_and_limits_hold(result):
    T = result.transforms
    np.testing.assert_allclose(T.mean(0), np.eye(3), atol=1e-9)
    scales = np.sqrt(np.linalg.det(T[:, :2, :2]))
    assert 1.3 > scales.max() > 1.02
    np.testing.assert_allclose(T[:, 0, 0], T[:, 1, 1])
    np.testing.assert_allclose(T[:, 0, 1], -T[:, 1, 0])


def test_transforms_say_where_each_pixel_comes_from_and_stay_with_their_faces(faces, result):
    assert result.frame[:2] == (TOP, LEFT)
    assert result.shape == (200, *SIZE)
    y, x = 30, 50
    for face in (0, 77, 199):
        value = seen_at(faces.images[face], result.transforms[face] @ [y + TOP, x + LEFT, 1])
        assert result.images[face, y, x] == pytest.approx(value, abs=0.6)
    part = result[[3, 150]]
    assert part.names == (faces.names[3], faces.names[150])
    assert part.subjects == (faces.subjects[3], faces.subjects[150])
    np.testing.assert_array_equal(part.transforms, result.transforms[[3, 150]])
    assert part.frame == result.frame
    assert "200 faces aligned: error of 20 components" in result.report.details()


def test_by_default_no_picture_is_stretched_at_its_edge(faces):
    result = align_faces(faces)
    (top, left), (h, w) = result.frame[:2], result.size
    corners = [(y, x, 1.0) for y in (top, top + h - 1) for x in (left, left + w - 1)]
    places = (result.transforms @ np.array(corners).T)[:, :2]
    assert places.min() >= -0.5
    assert (places <= np.array([111.5, 91.5])[:, None]).all()
    assert h * w > 0.3 * 112 * 92


def test_pictures_that_do_not_belong_stay_put_and_are_named(faces):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:112, :92]
    noise, waves = rng.integers(0, 255, (112, 92)), 127 + 120 * np.sin(y / 3 + x / 9)
    strange = np.stack([0 * y, noise, waves, 2 * y]).astype("u1")
    images = np.concatenate([faces.images, strange])
    names = (*faces.names, "black", "noise", "waves", "dusk")
    result = align_faces(FaceStack(images, names), size=SIZE)
    np.testing.assert_array_equal(result.transforms[-4:], identities(4))
    np.testing.assert_array_equal(result.images[-4:], strange[CROP])
    (told,) = (note for note in result.report.notes if note.startswith("Not aligned: "))
    assert {"black", "noise", "waves", "dusk"} <= set(told[13:].split(", "))
    assert len(told.split(", ")) < 4 + 0.03 * len(faces)


def test_a_lazy_stack_stays_lazy_and_gives_the_same_faces(faces, result):
    import dask.array

    read = []

    def look(block):
        read.append(len(block))
        return block

    images = dask.array.from_array(faces.images, (20, -1, -1))
    counted = images.map_blocks(look, dtype=images.dtype, meta=np.empty((0, 0, 0), "u1"))
    lazy = align_faces(replace(faces, images=counted), size=SIZE)
    assert lazy.is_lazy
    read.clear()
    one = np.asarray(lazy.images[33])
    assert sum(read) <= 20
    np.testing.assert_array_equal(one, result.images[33])
    np.testing.assert_array_equal(np.asarray(lazy[60:70].images), result.images[60:70])
    some = np.s_[5:9, 4:20, 7]
    np.testing.assert_array_equal(np.asarray(lazy.images[some]), result.images[some])
    # pictures that only slice are enough
    sliced = align_faces(FaceStack(Watched(faces.images), faces.names), size=SIZE)
    assert sliced.is_lazy
    np.testing.assert_array_equal(np.asarray(sliced.images[150]), result.images[150])


def test_many_faces_are_learnt_from_a_sample_and_colour_is_moved_as_grey_is(
    faces, result, monkeypatch
):
    grey = faces.images
    colour = align_faces(np.stack([grey, grey, grey], -1), size=SIZE)
    assert colour.shape == (200, *SIZE, 3)
    assert np.median(apart(colour.transforms, result.transforms)) < 0.01
    for channel in range(3):
        np.testing.assert_allclose(colour.images[..., channel], result.images, atol=1)
    monkeypatch.setattr("napari_latent_faces.aligning._LEARNT_FROM", 120)
    part = align_faces(faces, size=SIZE)
    assert np.median(apart(part.transforms, result.transforms)) < 1
    np.testing.assert_allclose(part.transforms.mean(0), np.eye(3), atol=1e-9)


def test_aligning_twice_tells_the_way_back_to_the_first_pictures(faces):
    once = align_faces(faces)
    twice = align_faces(once, size=(once.size[0] - 8, once.size[1] - 8))
    y, x, face = 30, 25, 60
    place = twice.transforms[face] @ [y + twice.frame[0], x + twice.frame[1], 1]
    value = seen_at(faces.images[face], place)
    assert twice.images[face, y, x] == pytest.approx(value, abs=12)  # interpolated twice


def test_affine_transforms_undo_shear(aligned):
    rng = np.random.default_rng(3)
    known = identities(len(aligned))
    known[:, :2, :2] += rng.normal(0, 0.05, (len(aligned), 2, 2))
    known[:, :2, 2] = np.array([55.5, 45.5]) - known[:, :2, :2] @ [55.5, 45.5]
    images = moved(aligned, known)
    affine = consume(iter_align(images, size=SIZE, transform="affine"))
    similar = consume(iter_align(images, size=SIZE))
    away = np.median(apart(affine.transforms, np.linalg.inv(known)))
    assert away < 0.7 * np.median(apart(similar.transforms, np.linalg.inv(known)))
    assert affine.error[1] < 0.97 * similar.error[1]


# -- points ------------------------------------------------------------------------


def eyes(transforms):
    """Return where points of aligned faces lie in the pictures that were moved."""
    places = np.array([[40.0, 30, 1], [40, 60, 1], [80, 46, 1]]).T
    return np.swapaxes((transforms @ places)[:, :2], 1, 2)


@pytest.mark.parametrize("transform", ["similarity", "affine"])
@pytest.mark.parametrize("as_rows", [False, True])
def test_points_are_brought_onto_one_another(faces, transform, as_rows):
    known = similarities(len(faces), seed=2)
    if transform == "affine":
        known[:, :2] += np.random.default_rng(0).normal(0, 0.03, (len(faces), 2, 3))
    known = known @ np.linalg.inv(known.mean(0))
    points = eyes(known)
    if as_rows:  # as of a Points layer
        points = [(face, *point) for face, each in enumerate(points) for point in each]
    result = align_faces(faces, points, size=SIZE, transform=transform)
    np.testing.assert_allclose(result.transforms, known, atol=1e-9)


def test_faces_without_points_follow_those_that_have_some(aligned):
    known = similarities(len(aligned), seed=5)
    points = eyes(np.linalg.inv(known))
    points[::2] = np.nan
    found = consume(iter_align(moved(aligned, known), points, size=SIZE))
    away = apart(found.transforms, np.linalg.inv(known))
    assert away[1::2].max() < 0.1
    assert np.median(away[::2]) < 0.8


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((4, 2)), r"shape \(m, 3\)"),
        ([[0, 1, 1], [0, 2, 2], [1, 1, 1]], "Face 1 has 1 points and others 2|Face 0 has 2"),
        ([[0, 1, 1], [1, 1, 1]], "two points or more"),
        ([[0, 1, 1], [900, 1, 1]], "face 900"),
        ([[0, 1, 1], [0, 5, 5], [1, 2, 2], [1, 2, 2]], "face 1 lie on one another"),
        (np.full((200, 2, 2), np.nan), "two faces need points"),
    ],
)
def test_points_that_do_not_fit_are_refused(faces, points, message):
    with pytest.raises(ValueError, match=message):
        align_faces(faces, points)


# -- strangers ---------------------------------------------------------------------


@pytest.mark.parametrize("params", [NMFParams(n_components=30), PCAParams(n_components=10)])
def test_strangers_are_brought_onto_a_model(aligned, params):
    known = similarities(20, seed=7)
    model = fit(aligned[:-20][CROP], params)
    strangers = moved(aligned[-20:], known)
    result = align_to(model, strangers)
    assert result.size == SIZE
    away = apart(result.transforms, np.linalg.inv(known), alike=False)
    assert np.median(away) < 1
    landscape = np.tile(np.arange(112, dtype="u1")[:, None], (1, 92))
    alone = align_to(model, landscape[None])
    np.testing.assert_array_equal(alone.transforms[0], np.eye(3))
    assert "Not aligned: face 0" in alone.report.notes


@pytest.mark.parametrize("hides_corners", [False, True])
def test_a_moved_stranger_is_explained_as_well_as_an_aligned_one(aligned, hides_corners):
    people = align_faces(aligned[:-20], size=SIZE)
    mask = oval_mask(SIZE) if hides_corners else None
    if hides_corners:
        assert mask[[0, 0, -1, -1], [0, -1, 0, -1]].all()
        assert not mask[SIZE[0] // 2, SIZE[1] // 2]
        assert not mask[0, SIZE[1] // 2 - 1 : SIZE[1] // 2 + 1].any()
        assert mask.mean() == pytest.approx(1 - np.pi / 4, abs=0.02)
    model = fit(people, n_components=30, mask=mask)
    strangers = aligned[-20:]
    still = model.encoded(strangers, align=True).error
    moved_ones = moved(strangers, similarities(20, seed=7, shift=5, turn=0.12))
    cropped = moved_ones[CROP]
    assert model.encoded(moved_ones, align=True).error < 1.08 * still
    assert model.encoded(cropped).error > 1.3 * still
    one = model.encode(moved_ones[3], align=True)
    np.testing.assert_allclose(one, model.encode(moved_ones, align=True)[3], atol=2e-3)


def test_a_model_and_its_file_know_how_the_faces_were_aligned(faces, tmp_path):
    aligned = align_faces(faces)
    model = fit(aligned, n_components=5, max_iter=10, tol=1)
    model.save(tmp_path / "model.npz")
    model = LatentFaces.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(model.transforms, aligned.transforms)
    script = as_python(
        replace(model, provenance=replace(model.provenance, source="sample faces"))
    )
    assert "These faces were aligned (align_faces)" in script
    assert model.provenance.frame == aligned.frame == (*aligned.frame[:2], 112, 92)
    stranger = align_to(model, faces[7:9])
    assert stranger.frame == aligned.frame
    np.testing.assert_allclose(
        stranger.transforms @ [50, 40, 1], aligned.transforms[7:9] @ [50, 40, 1], atol=1.5
    )
    with pytest.raises(ValueError, match=r"92 x 112 pixels before.*size=\(112, 92\)"):
        align_to(model, np.zeros((1, 60, 50)))


# -- what is refused, and the mask ---------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (200, 10)}, "does not fit into pictures of 92 x 112"),
        ({"size": (4, 4)}, "too few"),
        ({"max_scale": 0.5}, "max_scale must be from 1 to 4"),
    ],
)
def test_bad_parameters_are_refused_at_once(faces, change, message):
    with pytest.raises(ValueError, match=message):
        iter_align(faces, **change)
    with pytest.raises(ValueError, match="at least two faces"):
        iter_align(faces[:1])
    running = iter_align(faces)  # which can be cancelled
    next(running)
    running.close()
    with pytest.raises(StopIteration):
        next(running)
    images = faces.images[:6].astype(float)
    images[4, 3, 3] = np.nan
    with pytest.raises(ValueError, match=r"s01/05.*NaN"):
        align_faces(replace(faces[:6], images=images))
