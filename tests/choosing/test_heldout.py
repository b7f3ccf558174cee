from __future__ import annotations

import numpy as np
import pytest

from napari_latent_faces.choosing.search import held_out_error, pixel_halves
from napari_latent_faces.fitting import fit
from tests.conftest import blobs


@pytest.fixture
def halves():
    rng = np.random.default_rng(0)
    return [pixel_halves((12, 10), rng) for _ in range(3)]


def test_faces_of_the_same_parts_are_predicted(halves):
    pictures, _, _ = blobs(n=60)
    model = fit(pictures[:40], n_components=4, tol=1e-7, max_iter=2000)
    error = held_out_error(model, pictures[40:], halves)
    assert error < 0.05
    assert held_out_error(fit(pictures[:40], n_components=2), pictures[40:], halves) > 2 * error


def test_it_is_what_one_gets_by_hand(halves, model, stack):
    from scipy.optimize import nnls

    X = stack.images[:5].reshape(5, -1) / model.scale
    H = model.components.reshape(3, -1).astype(float)
    lost = norm = 0.0
    for half in halves:
        for seen in (half, ~half):
            for face in X:
                weights, _ = nnls(H[:, seen].T, face[seen])
                lost += ((face[~seen] - weights @ H[:, ~seen]) ** 2).sum()
                norm += (face[~seen] ** 2).sum()
    expected = np.sqrt(lost / norm)
    assert held_out_error(model, stack.images[:5], halves) == pytest.approx(expected, rel=1e-6)


def test_black_faces_are_predicted_perfectly(halves, model):
    assert held_out_error(model, np.zeros((2, 12, 10), np.uint8), halves) == 0
