from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from napari_latent_faces import comparing as pairing
from napari_latent_faces.comparing import (
    compare_models,
    iter_compare,
    iter_pair_most_alike,
    match_components,
    pair_most_alike,
)
from napari_latent_faces.fitting import fit
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.params import PCAParams
from tests.steps import consume


def made(components, params=None):
    k = len(components)
    return LatentFaces(components, np.ones((2, k)), 0.5, 1.0, params, None)


@given(st.integers(1, 5), st.integers(1, 5), st.booleans(), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_no_other_pairing_is_better(k, other_k, signed, seed):
    rng = np.random.default_rng(seed)
    draw = rng.standard_normal if signed else rng.random
    params = PCAParams() if signed else None
    a, b = (made(draw((each, 3, 4)), params) for each in (k, other_k))
    matching = match_components(a, b)
    rows = [m.components.reshape(len(m.components), -1) for m in (a, b)]
    unit = [r / np.linalg.norm(r, axis=1, keepdims=True) for r in rows]
    cosines = np.abs(unit[0] @ unit[1].T) if signed else unit[0] @ unit[1].T
    m = min(k, other_k)
    if k <= other_k:
        sums = [cosines[range(m), some].sum() for some in permutations(range(other_k), m)]
    else:
        sums = [cosines[some, range(m)].sum() for some in permutations(range(k), m)]
    assert matching.similarity.sum() == pytest.approx(max(sums))
    np.testing.assert_allclose(cosines[tuple(matching.pairs.T)], matching.similarity)
    assert (np.diff(matching.similarity) <= 0).all()
    for side, each in enumerate((k, other_k)):
        everyone = [*matching.pairs[:, side], *matching.unmatched[side]]
        assert sorted(everyone) == list(range(each))


def test_a_model_is_itself_in_any_order(model):
    order = [2, 0, 1]
    other = replace(model, components=model.components[order], weights=model.weights[:, order])
    matching = match_components(model, other)
    np.testing.assert_allclose(matching.similarity, 1, rtol=1e-5)
    assert {tuple(pair) for pair in matching.pairs} == {(2, 0), (0, 1), (1, 2)}


def test_the_sign_of_a_signed_component_does_not_count(stack):
    pca = fit(stack, PCAParams(n_components=3))
    turned = replace(pca, components=-pca.components, weights=-pca.weights)
    np.testing.assert_allclose(match_components(pca, turned).similarity, 1, rtol=1e-5)


def test_an_empty_component_is_like_nothing(model):
    components = model.components.copy()
    components[1] = 0
    matching = match_components(model, replace(model, components=components))
    assert matching.similarity[-1] == 0


def test_what_cannot_be_compared_is_told(stack, model):
    other = fit(stack.images[:, :10], n_components=2, max_iter=3, tol=0)
    with pytest.raises(ValueError, match="10 x 12 pixels and 10 x 10 pixels"):
        match_components(model, other)
    with pytest.raises(ValueError, match="different faces"):
        next(iter_compare(model, other))
    fewer = fit(stack[:20], n_components=2, max_iter=3, tol=0)
    with pytest.raises(ValueError, match="different faces"):
        compare_models(model, fewer)


def test_steps_come_to_the_same_as_a_comparison_at_once(stack, model, monkeypatch):
    pca = fit(stack, PCAParams(n_components=4))
    whole = compare_models(model, pca)
    monkeypatch.setattr(pairing, "_AT_A_TIME", 1)
    steps, comparison = consume(iter_compare(model, pca))
    assert steps == [(done, 120) for done in range(121)]
    assert comparison.errors == whole.errors
    assert comparison.is_fair == whole.is_fair
    np.testing.assert_array_equal(comparison.matching.pairs, whole.matching.pairs)
    np.testing.assert_allclose(
        comparison.matching.similarity, whole.matching.similarity, rtol=1e-5
    )


def test_errors_are_compared_at_equal_k_only(stack, model):
    pca = fit(stack, PCAParams(n_components=3))
    comparison = compare_models(model, pca)
    assert comparison.errors == (model.error, pca.error)
    assert comparison.is_fair
    assert "the right one is" in comparison.summary()
    assert "the left one is" in compare_models(pca, model).summary()
    more = fit(stack, PCAParams(n_components=5))
    assert not compare_models(model, more).is_fair
    assert "not at equal k" in compare_models(model, more).summary()
    assert compare_models(model, model).summary().endswith("at equal k.")


# -- Pairing ---------------------------------------------------------------------------


ROUNDING = 20  # last digits of the pictures' type


@pytest.fixture
def at_a_time(monkeypatch):
    """Return how to say how many pixels of 6 and 8 pictures one step takes."""

    def say(pixels):
        monkeypatch.setattr(pairing, "_AT_A_TIME", pixels * 7 * 9)

    return say


def drawn(is_signed, dtype=np.float64):
    rng = np.random.default_rng(0)
    draw = rng.standard_normal if is_signed else rng.random
    return [draw((k, 12, 8)).astype(dtype) for k in (6, 8)]


def in_one_product(first, second, is_signed):
    rows = [each.reshape(len(each), -1) for each in (first, second)]
    norms = [np.linalg.norm(each, axis=1) for each in rows]
    cosines = rows[0] @ rows[1].T / np.outer(*norms)
    cosines = np.abs(cosines) if is_signed else cosines
    pairs = linear_sum_assignment(cosines, maximize=True)
    return *pairs, cosines[pairs]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("pixels", [1, 5, 96, 1000])
def test_steps_come_to_the_same_as_one_product(pixels, is_signed, dtype, at_a_time):
    first, second = drawn(is_signed, dtype)
    at_a_time(pixels)
    steps, (of_first, of_second, cosines) = consume(
        iter_pair_most_alike(first, second, is_signed=is_signed)
    )
    wanted = in_one_product(first, second, is_signed)
    np.testing.assert_array_equal(of_first, wanted[0])
    np.testing.assert_array_equal(of_second, wanted[1])
    rounding = ROUNDING * np.finfo(dtype).eps
    np.testing.assert_allclose(cosines, wanted[2], rtol=0, atol=rounding)
    assert {total for _, total in steps} == {96}
    assert (steps[0][0], steps[-1][0]) == (0, 96)
    widths = [after - before for (before, _), (after, _) in pairwise(steps)]
    assert max(widths) == min(pixels, 96)
    assert min(widths) > 0


def test_at_once_is_all_steps(at_a_time):
    first, second = drawn(is_signed=False)
    at_a_time(5)
    _, wanted = consume(iter_pair_most_alike(first, second))
    for found, each in zip(pair_most_alike(first, second), wanted, strict=True):
        np.testing.assert_array_equal(found, each)


def test_many_pictures_are_still_compared_a_pixel_at_a_time(monkeypatch):
    monkeypatch.setattr(pairing, "_AT_A_TIME", 1)  # less than the products of one pixel
    first, second = drawn(is_signed=False)
    steps, _ = consume(iter_pair_most_alike(first, second))
    assert [done for done, _ in steps] == list(range(97))


def test_only_what_is_asked_for_is_read(at_a_time):
    read = []

    class Watched(np.ndarray):
        def __getitem__(self, key):
            read.append(key[1])
            return super().__getitem__(key)

    at_a_time(5)
    steps = iter_pair_most_alike(*(each.view(Watched) for each in drawn(is_signed=False)))
    for _ in range(3):
        next(steps)
    steps.close()
    assert read == 2 * [slice(0, 5)] + 2 * [slice(5, 10)]
