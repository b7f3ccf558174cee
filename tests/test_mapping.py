"""The faces of a model on a plane."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from napari_latent_faces import mapping
from napari_latent_faces.explaining import NearestFaces
from napari_latent_faces.fitting import fit
from napari_latent_faces.mapping import iter_map_faces, map_faces, pictured
from napari_latent_faces.params import PCAParams
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.steps import consume
from tests.made import signed_model
from tests.test_explaining import made


@pytest.fixture(scope="module")
def people():
    """Return a model of drawn people, whose faces go by the name of their subject."""
    return fit(sample_faces(8, 6), n_components=10)


def own_neighbours(found):
    """Return the share of faces whose nearest face on the map is of the same subject."""
    apart = np.linalg.norm(found.positions[:, None] - found.positions[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    subjects = np.array(found.model.provenance.subjects)
    return (subjects[apart.argmin(axis=1)] == subjects).mean()


@pytest.mark.parametrize("colour", [False, True])
def test_pca_is_that_of_the_reconstructions_up_to_signs(colour):
    model = made(40, 6, size=(6, 5))
    if colour:
        model = fit(np.random.default_rng(0).random((40, 6, 5, 3)), n_components=6)
    found = map_faces(model)
    pixels = model.reconstruct().reshape(40, -1).astype(float)
    pca = PCA(2)
    expected = pca.fit_transform(pixels) / np.sqrt(pixels.shape[1])
    signs = np.sign((expected * found.positions).sum(axis=0))
    np.testing.assert_allclose(found.positions, expected * signs, atol=1e-4 * model.scale)
    assert found.kept == pytest.approx(pca.explained_variance_ratio_.sum(), rel=1e-4)
    again = map_faces(made(40, 6, size=(6, 5)) if not colour else model)
    np.testing.assert_array_equal(again.positions, found.positions)


def test_the_map_of_eigenfaces_are_its_first_two(stack):
    model = fit(stack, PCAParams(n_components=4))
    found = map_faces(model)
    for axis in range(2):
        correlation = np.corrcoef(found.positions[:, axis], model.weights[:, axis])[0, 1]
        assert abs(correlation) == pytest.approx(1, abs=1e-5)


@given(st.integers(2, 30), st.integers(1, 8), st.integers(0, 2**16))
def test_faces_are_never_farther_apart_on_the_plane_than_they_are(n, k, seed):
    model = made(n, k, seed)
    found = map_faces(model)
    faces, distances = NearestFaces(model).find(model.weights[0], n)
    apart = np.linalg.norm(found.positions[faces] - found.positions[0], axis=1)
    assert (apart <= distances + 1e-3).all()
    if k <= 2:
        np.testing.assert_allclose(apart, distances, atol=1e-2)
        assert found.kept == pytest.approx(1)


@pytest.mark.parametrize("method", ["tsne", "mds"])
def test_people_lie_together_and_a_seed_gives_the_same_map(people, method):
    steps = []
    found = consume(iter_map_faces(people, method), steps.append)
    assert own_neighbours(found) >= own_neighbours(map_faces(people))
    assert own_neighbours(found) > 0.6
    done, total, last = steps[-1]
    assert [step[0] for step in steps] == list(range(1, done + 1))
    assert done <= total
    np.testing.assert_array_equal(last, found.positions)
    np.testing.assert_array_equal(map_faces(people, method).positions, last)


@pytest.mark.parametrize("method", ["pca", "tsne", "mds"])
def test_known_faces_are_projected_where_they_are_and_others_between(people, method):
    found = map_faces(people, method)
    np.testing.assert_allclose(
        found.project(people.weights), found.positions, atol=1e-3 * np.ptp(found.positions)
    )
    one, other = people.weights[:2].astype(float)
    way = found.project(one + (other - one) * 1e-4)
    np.testing.assert_allclose(way, found.positions[0], atol=1e-2 * np.ptp(found.positions))
    assert (found.project(people.weights.mean(axis=0)) < found.positions.max(axis=0)).all()


def test_of_many_faces_mds_places_some_and_the_others_between(people, monkeypatch):
    whole = map_faces(people, "mds")
    monkeypatch.setattr(mapping, "_MOST_MDS", 30)
    part = map_faces(people, "mds")
    assert part.positions.shape == (48, 2)
    assert own_neighbours(part) > 0.5
    assert len(np.unique(part.positions, axis=0)) == 48
    assert np.isfinite(part.positions).all()
    assert not np.array_equal(whole.positions, part.positions)


def test_the_distances_of_mds_are_those_of_the_faces(people):
    found = map_faces(people, "mds")
    _, distances = NearestFaces(people).find(people.weights, 48)
    apart = np.linalg.norm(found.positions[:, None] - found.positions[None], axis=-1)
    assert np.corrcoef(np.sort(apart).ravel(), distances.ravel())[0, 1] > 0.9
    assert np.median(apart) == pytest.approx(np.median(distances), rel=0.2)


@pytest.mark.parametrize("method", ["pca", "tsne", "mds"])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 2), (5, 1), (6, 3)])
def test_few_faces_and_components_have_places_too(method, n, k):
    found = map_faces(made(n, k), method)
    assert found.positions.shape == (n, 2)
    assert np.isfinite(found.positions).all()


@pytest.mark.parametrize("method", ["pca", "tsne", "mds"])
def test_equal_faces_lie_on_one_another_or_side_by_side(method):
    model = made(20, 3)
    model.weights[:] = model.weights[0]
    found = map_faces(model, method)
    assert np.isfinite(found.positions).all()
    assert np.isfinite(found.project(model.weights[0] * 2)).all()


def test_signed_models_have_a_map():
    model = signed_model(np.random.default_rng(1).normal(size=(12, 5)))
    assert np.isfinite(map_faces(model).positions).all()


def test_an_unknown_method_is_refused(people):
    with pytest.raises(ValueError, match="one of pca, tsne, mds, got 'umap'"):
        map_faces(people, "umap")


# -- which are drawn as pictures ---------------------------------------------------


def conflicts(positions, cell):
    apart = np.abs(positions[:, None] - positions[None])
    return ((apart < cell).all(axis=-1)).sum() - len(positions)


@given(st.integers(1, 400), st.floats(0.02, 3), st.floats(0.02, 3), st.integers(0, 2**16))
def test_pictures_never_overlap_and_lone_faces_have_one(n, width, height, seed):
    positions = np.random.default_rng(seed).normal(size=(n, 2))
    found = pictured(positions, (width, height), (-9, -9), (9, 9))
    assert len(set(found.tolist())) == len(found)
    assert conflicts(positions[found], (width, height)) == 0
    apart = np.abs(positions[:, None] - positions[None])
    alone = np.flatnonzero((apart < (width, height)).all(axis=-1).sum(axis=1) == 1)
    assert set(alone) <= set(found)
    assert 0 in found  # the first always goes first


@given(st.integers(0, 2**16), st.tuples(st.floats(-1, 1), st.floats(-1, 1)))
def test_the_same_faces_have_a_picture_wherever_the_window_is(seed, low):
    positions = np.random.default_rng(seed).normal(size=(600, 2))
    cell, high = (0.1, 0.14), (low[0] + 1, low[1] + 1)
    everywhere = pictured(positions, cell, (-9, -9), (9, 9))
    seen = pictured(positions, cell, low, high)
    place = positions[everywhere]
    half = np.array(cell) / 2
    is_inside = ((place > low - half) & (place < high + half)).all(axis=1)
    assert set(seen) == set(everywhere[is_inside])


def test_a_finer_map_keeps_the_pictures_of_a_coarser_one():
    positions = np.random.default_rng(1).normal(size=(3000, 2))
    coarse = pictured(positions, (0.4, 0.4), (-9, -9), (9, 9))
    fine = pictured(positions, (0.2, 0.2), (-9, -9), (9, 9))
    assert len(fine) > 1.8 * len(coarse)
    assert len(set(coarse) & set(fine)) > 0.8 * len(coarse)
