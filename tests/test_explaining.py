"""What builds a face, who is near, and two models side by side."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from napari_latent_faces import explaining as explain
from napari_latent_faces.explaining import (
    Explainer,
    NearestFaces,
    build_up,
    compare_models,
    face_error,
    iter_map_faces,
    map_faces,
    match_components,
    prominence,
)
from napari_latent_faces.fitting import fit
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.params import NMFParams, PCAParams
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.solvers import blocks
from napari_latent_faces.steps import consume as run
from tests.made import made_model, signed_model


def made(n, k, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    W = rng.exponential(1, (n, k)) * (rng.random((n, k)) < 0.6)
    about = made_model(W)
    components = (rng.random((k, 6, 5)) ** 3).astype(dtype)
    components /= components.max(axis=(1, 2), keepdims=True)
    return replace(about, components=components, weights=W.astype(dtype))


some_models = st.builds(
    made,
    st.integers(1, 40),
    st.integers(1, 12),
    st.integers(0, 2**16),
    st.sampled_from([np.float32, np.float64]),
)


@given(some_models, st.data())
def test_the_parts_of_a_face_are_all_of_it_the_largest_first_and_build_it_up(model, data):
    face = data.draw(st.integers(0, len(model.weights) - 1))
    parts = Explainer(model).parts(face)
    pictures = model.weights[face][:, None, None] * model.components.astype(float)
    sums = pictures.sum(axis=(1, 2))
    assert set(parts.components) == set(np.flatnonzero(sums > 0))
    assert (np.diff(parts.shares) <= 0).all()
    np.testing.assert_array_equal(parts.weights, model.weights[face][parts.components])
    before = model.components.copy()
    steps = build_up(model.components[parts.components], parts.weights)
    np.testing.assert_array_equal(model.components, before)
    assert steps.dtype == model.components.dtype
    some = np.zeros(model.n_components)
    for i, step in enumerate(steps):
        some[parts.components[i]] = parts.weights[i]
        np.testing.assert_allclose(step * model.scale, model.blend(some), 1e-4, 1e-3)
    if len(parts):
        assert parts.shares.sum() == pytest.approx(1)
        np.testing.assert_allclose(parts.shares, sums[parts.components] / sums.sum(), 1e-5)
        np.testing.assert_allclose(steps[-1] * model.scale, model.reconstruct(face), 1e-4, 1e-3)


@given(some_models)
def test_uses_count_the_faces_that_list_a_component_as_used(model):
    explainer = Explainer(model)
    counts = np.zeros(model.n_components, int)
    for face in range(len(model.weights)):
        parts = explainer.parts(face)
        counts[parts.components[: parts.used]] += 1
        assert (parts.shares[: parts.used] >= explainer.least_share).all()
        assert (parts.shares[parts.used :] < explainer.least_share).all()
    np.testing.assert_array_equal(explainer.uses, counts)
    np.testing.assert_allclose(explainer.shares, model.shares)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_LOSS_BLOCK_VALUES", 50)
        np.testing.assert_array_equal(Explainer(model).uses, counts)


@given(some_models, st.integers(1, 50), st.data())
def test_the_users_of_a_component_are_those_with_the_largest_weights(model, count, data):
    component = data.draw(st.integers(0, model.n_components - 1))
    faces, weights = Explainer(model).users(component, count)
    column = model.weights[:, component]
    assert len(set(faces)) == len(faces) == min(count, np.count_nonzero(column))
    np.testing.assert_array_equal(weights, np.sort(column)[::-1][: len(faces)])
    np.testing.assert_array_equal(column[faces], weights)


def test_black_faces_captions_and_what_is_not_there():
    model = made(4, 3)
    black = np.zeros(model.shape[1:])
    assert face_error(model, 0, black) == np.inf
    model.weights[0] = 0
    assert face_error(model, 0, black) == 0
    parts = Explainer(model).parts(0)
    assert len(parts) == parts.used == 0
    assert 0 not in Explainer(model).users(0, 4)[0]
    with pytest.raises(ValueError, match=r"shapes \(2,2\) \(6,5\)"):
        face_error(model, 0, np.zeros((2, 2)))
    explainer = Explainer(model)
    words = explainer.caption(1, face=3)
    assert words.startswith(f"component 1  |  {100 * model.shares[1]:.1f} % of the")
    assert f"used by {explainer.uses[1]} of 4 faces" in words
    assert words.endswith(f"weight {model.weights[3, 1]:.3g} in this face")
    assert words.startswith(explainer.caption(1))
    with pytest.raises(IndexError, match="out of bounds"):
        explainer.parts(4)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=9))
def test_prominence_grows_with_the_weight_from_none_to_the_most(weights):
    found = prominence(np.array(weights))
    assert ((found >= 0) & (found <= 1)).all()
    order = np.argsort(weights)
    assert (np.diff(found[order]) >= 0).all()
    assert (found[np.equal(weights, 0)] == 0).all()
    assert found.max() == (1 if max(weights) > 0 else 0)


def test_of_signed_models_what_is_taken_away_counts_as_what_is_added():
    weights = np.random.default_rng(1).normal(size=(12, 5))
    weights[3] = [0, -4, 0.5, 0, 1]
    model = signed_model(weights)
    explainer = Explainer(model)
    parts = explainer.parts(3)
    squares = np.square(model.weights[3][:, None, None] * model.components.astype(float))
    sums = squares.sum(axis=(1, 2))
    assert (parts.components[0], parts.weights[0]) == (1, -4)
    assert set(parts.components) == {1, 2, 4}
    np.testing.assert_allclose(parts.shares, sums[parts.components] / sums.sum(), 1e-5)
    # the sum starts from the mean face
    steps = build_up(model.components[parts.components], parts.weights, model.mean)
    np.testing.assert_allclose(steps[-1] * model.scale, model.reconstruct(3), 1e-4, 1e-3)
    first = model.mean + parts.weights[0] * model.components[parts.components[0]]
    np.testing.assert_allclose(steps[0], first, 1e-5, 1e-6)
    # users are those farthest from the mean to either side
    faces, found = explainer.users(1, 4)
    assert (faces[0], found[0]) == (3, -4)
    assert (np.diff(np.abs(found)) <= 0).all()
    assert "% of the variance" in explainer.caption(0)
    np.testing.assert_allclose(prominence(np.array([-4.0, 1.0, 0.0])), [1, 0.5, 0])


# -- The faces that look most like given weights ---------------------------------------


def by_pixels(model, weights):
    """Return the distances of all faces from the pictures themselves."""
    apart = model.reconstruct().astype(float) - model.blend(weights).astype(float)
    return np.sqrt((apart**2).mean(axis=(1, 2)))


@given(some_models, st.integers(1, 100), st.integers(0, 2**16))
def test_they_are_those_whose_pictures_differ_least(model, count, seed):
    n, k = model.weights.shape
    weights = np.random.default_rng(seed).exponential(1, k)
    found, distances = NearestFaces(model).find(weights, count)
    apart = by_pixels(model, weights)
    assert len(set(found)) == len(found) == min(count, n)
    np.testing.assert_allclose(distances, np.sort(apart)[:count], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(distances, apart[found], rtol=1e-3, atol=1e-3)
    itself, distances = NearestFaces(model).find(model.weights[seed % n], 3)
    assert distances[0] == 0
    np.testing.assert_array_equal(model.weights[itself[0]], model.weights[seed % n])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_LOSS_BLOCK_VALUES", 2 * n)  # several at once, two in a block
        several = np.stack([weights, 2 * weights, weights])
        again_found = NearestFaces(model).find(several, count)
        for one, again in zip((found, apart[found]), again_found, strict=True):
            assert again.shape == (3, len(found))
            np.testing.assert_allclose(again[0], one, rtol=1e-3, atol=1e-3)
            np.testing.assert_array_equal(again[0], again[2])


def test_faces_that_differ_by_a_hair_are_still_told_apart():
    """The squares alone would be lost in float32: 1e-4 beside 1."""
    model = made(40, 3)
    close = model.weights[:1] * (1 + 1e-4 * np.arange(40, dtype=np.float32)[:, None])
    turned = np.random.default_rng(0).permutation(40)
    near = replace(model, weights=np.ascontiguousarray(close[turned]))
    found, _ = NearestFaces(near).find(close[0], 8)
    np.testing.assert_array_equal(turned[found], np.arange(8))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_units_may_be_as_small_or_large_as_floats_are(scale):
    model = made(30, 4, dtype=np.float64)
    far = replace(model, scale=scale)
    found, distances = NearestFaces(far).find(far.weights[0], 5)
    usual, usual_distances = NearestFaces(model).find(model.weights[0], 5)
    np.testing.assert_array_equal(found, usual)
    np.testing.assert_allclose(distances / scale, usual_distances / model.scale)
    pixels = far.reconstruct(0) * 0.5
    assert face_error(far, 0, pixels) == pytest.approx(1.0)


def test_who_is_left_out_is_not_found_and_what_cannot_be_looked_for_is_told():
    model = made(12, 3)
    nearest_faces = NearestFaces(model)
    everyone, _ = nearest_faces.find(model.weights[3], 12)
    for exclude in (3, [3, 3, 7], np.array([0, 3]), range(12)):
        others = [each for each in everyone if each not in np.atleast_1d(exclude)]
        found, distances = nearest_faces.find(model.weights[3], 12, exclude)
        np.testing.assert_array_equal(found, others)
        assert found.shape == distances.shape
    for weights, count, words in (
        (np.ones(4), 1, r"\(3,\) or \(m, 3\); got the shape \(4,\)"),
        (np.ones((1, 1, 3)), 1, "got the shape"),
        ([1, np.nan, 1], 1, "finite"),
    ):
        with pytest.raises(ValueError, match=words):
            nearest_faces.find(weights, count)


# -- All faces on a plane --------------------------------------------------------------


@pytest.fixture(scope="module")
def people():
    """Return a model of drawn people, whose faces go by the name of their subject."""
    return fit(sample_faces(8, 6), n_components=10)


def distances_on(found):
    """Return the distances of all faces on a map."""
    return np.linalg.norm(found.positions[:, None] - found.positions[None], axis=-1)


def own_neighbours(found):
    """Return the share of faces whose nearest face on the map is of the same subject."""
    apart = distances_on(found)
    np.fill_diagonal(apart, np.inf)
    subjects = np.array(found.model.provenance.subjects)
    return (subjects[apart.argmin(axis=1)] == subjects).mean()


COLOURED = np.random.default_rng(0).random((40, 6, 5, 3))


@pytest.mark.parametrize(
    "model",
    [
        made(40, 6),
        fit(COLOURED, n_components=6),
        fit(COLOURED, PCAParams(n_components=6)),  # the first two of which are its map
    ],
    ids=["grey", "colour", "eigenfaces"],
)
def test_pca_is_that_of_the_reconstructions_up_to_signs(model):
    found = map_faces(model)
    pixels = model.reconstruct().reshape(40, -1).astype(float)
    pca = PCA(2)
    expected = pca.fit_transform(pixels) / np.sqrt(pixels.shape[1])
    signs = np.sign((expected * found.positions).sum(axis=0))
    np.testing.assert_allclose(found.positions, expected * signs, atol=1e-4 * model.scale)
    assert found.kept == pytest.approx(pca.explained_variance_ratio_.sum(), rel=1e-4)
    np.testing.assert_array_equal(map_faces(replace(model)).positions, found.positions)


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
    found = run(iter_map_faces(people, method), steps.append)
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
    monkeypatch.setattr(explain, "_MOST_MDS", 30)
    part = map_faces(people, "mds")
    assert part.positions.shape == (48, 2)
    assert own_neighbours(part) > 0.5
    assert len(np.unique(part.positions, axis=0)) == 48
    assert np.isfinite(part.positions).all()
    assert not np.array_equal(whole.positions, part.positions)
    # the distances of all are those of the faces
    _, distances = NearestFaces(people).find(people.weights, 48)
    apart = distances_on(whole)
    assert np.corrcoef(np.sort(apart).ravel(), distances.ravel())[0, 1] > 0.9
    assert np.median(apart) == pytest.approx(np.median(distances), rel=0.2)
    with pytest.raises(ValueError, match="one of pca, tsne, mds, got 'umap'"):
        map_faces(people, "umap")


equal = made(20, 3)
equal.weights[:] = equal.weights[0]


@pytest.mark.parametrize("method", ["pca", "tsne", "mds"])
@pytest.mark.parametrize(
    "model",
    [
        *(made(n, k) for n, k in [(1, 1), (3, 2), (5, 1), (6, 3)]),
        equal,
        signed_model(np.random.default_rng(1).normal(size=(12, 5))),
    ],
)
def test_few_equal_and_signed_faces_have_places_too(method, model):
    found = map_faces(model, method)
    assert found.positions.shape == (len(model.weights), 2)
    assert np.isfinite(found.positions).all()
    assert np.isfinite(found.project(model.weights[0] * 2)).all()


# -- Two models side by side -----------------------------------------------------------


def bare(components, params):
    k = len(components)
    return LatentFaces(components, np.ones((2, k)), 0.5, 1.0, params, None)


@given(st.integers(1, 5), st.integers(1, 5), st.booleans(), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_no_other_explain_is_better(k, other_k, signed, seed):
    rng = np.random.default_rng(seed)
    draw = rng.standard_normal if signed else rng.random
    params = PCAParams() if signed else NMFParams()
    a, b = (bare(draw((each, 3, 4)), params) for each in (k, other_k))
    matching = match_components(a, b)
    rows = [m.components.reshape(len(m.components), -1) for m in (a, b)]
    unit = [r / np.linalg.norm(r, axis=1, keepdims=True) for r in rows]
    cosines = np.abs(unit[0] @ unit[1].T) if signed else unit[0] @ unit[1].T
    wide = cosines if k <= other_k else cosines.T
    m, n = wide.shape
    sums = [wide[range(m), some].sum() for some in permutations(range(n), m)]
    assert matching.similarity.sum() == pytest.approx(max(sums))
    np.testing.assert_allclose(cosines[tuple(matching.pairs.T)], matching.similarity)
    assert (np.diff(matching.similarity) <= 0).all()
    for side, each in enumerate((k, other_k)):
        everyone = [*matching.pairs[:, side], *matching.unmatched[side]]
        assert sorted(everyone) == list(range(each))


def test_neither_order_nor_sign_counts_and_an_empty_component_is_like_nothing(model, stack):
    order = [2, 0, 1]
    other = replace(model, components=model.components[order], weights=model.weights[:, order])
    matching = match_components(model, other)
    np.testing.assert_allclose(matching.similarity, 1, rtol=1e-5)
    assert {tuple(pair) for pair in matching.pairs} == {(2, 0), (0, 1), (1, 2)}
    pca = fit(stack, PCAParams(n_components=3))
    turned = replace(pca, components=-pca.components, weights=-pca.weights)
    np.testing.assert_allclose(match_components(pca, turned).similarity, 1, rtol=1e-5)
    other.components[1] = 0
    assert match_components(model, other).similarity[-1] == 0


def test_errors_are_compared_at_equal_k_only_and_are_made_up_by_those_of_the_faces(
    stack, model
):
    images = stack.images.astype(float)
    missed = [face_error(model, i, x) * np.linalg.norm(x) for i, x in enumerate(images)]
    error = np.linalg.norm(missed) / np.linalg.norm(images)
    assert error == pytest.approx(model.error, rel=1e-3)
    pca, more = (fit(stack, PCAParams(n_components=k)) for k in (3, 5))
    comparison = compare_models(model, pca)
    assert comparison.errors == (model.error, pca.error)
    assert comparison.is_fair
    assert not compare_models(model, more).is_fair
    for first, second, words in (
        (model, pca, "the right one is"),
        (pca, model, "the left one is"),
        (model, more, "not at equal k"),
        (model, model, "at equal k."),
    ):
        assert words in compare_models(first, second).summary()


def test_what_cannot_be_compared_is_told(stack, model):
    other = fit(stack.images[:, :10], n_components=2, max_iter=3, tol=0)
    with pytest.raises(ValueError, match="10 x 12 pixels and 10 x 10 pixels"):
        match_components(model, other)
    for each in (other, fit(stack[:20], n_components=2, max_iter=3, tol=0)):
        with pytest.raises(ValueError, match="different faces"):
            compare_models(model, each)
