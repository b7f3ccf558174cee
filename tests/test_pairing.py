from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from napari_latent_faces import comparing as pairing
from napari_latent_faces.comparing import iter_pair_most_alike, pair_most_alike
from tests.steps import consume

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
