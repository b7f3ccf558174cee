from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_latent_faces.solvers import multilevel as levels
from tests.solvers.test_multilevel import faces, solve


def test_a_fit_begins_with_few_faces_where_there_are_many(small_samples, monkeypatch):
    monkeypatch.setattr(levels, "_FIRST_FACES", 20)
    monkeypatch.setattr(levels, "_FACES_EACH", 5)

    def counts(k):
        steps, _ = solve(faces(200, (61, 47), k), n_components=k)
        return [n for n, _ in itertools.groupby(len(step.W) for step in steps)]

    assert counts(4) == [20, 50, 200]
    assert counts(5) == [25, 50, 200]
    assert counts(6) == [50, 200]  # half of them and more would not be few


def test_the_error_of_few_faces_is_theirs(small_samples, monkeypatch):
    """Of faces that are all the same, that is the error of all."""
    monkeypatch.setattr(levels, "_FIRST_FACES", 20)
    monkeypatch.setattr(levels, "_FACES_EACH", 1)
    images = np.repeat(faces(1, (61, 47)), 200, axis=0)
    steps, end = solve(images, n_components=1)
    at_first = {len(step.W): step.error for step in reversed(steps) if step.level}
    assert list(at_first) == [50, 20]
    assert at_first[20] == pytest.approx(at_first[50], rel=1e-4)
    assert at_first[20] > 0.01 > end.error  # what is lost by halving
