"""Components that are as sparse as asked for."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_latent_faces import fit, iter_fit, sample_faces
from napari_latent_faces.params import NMFParams, PCAParams
from napari_latent_faces.solvers.hals import nearest_sparse
from tests.solvers.conftest import faces as smooth_faces
from tests.solvers.conftest import lost

faces = partial(smooth_faces, noise=0.2)


def sparseness(components, hidden=None):
    """Return Hoyer's measure of each component, from its definition."""
    rows = components.reshape(len(components), -1).astype(float)
    if hidden is not None:
        rows = rows[:, ~np.broadcast_to(hidden, components.shape[1:]).reshape(-1)]
    root = math.sqrt(rows.shape[1])
    return (root - rows.sum(axis=1) / np.linalg.norm(rows, axis=1)) / (root - 1)


def bisected(row, cells, ratio):
    """Return the nearest sparse row by bisection of the threshold, in float64."""
    x = np.maximum(row.astype(float), 0)

    def exceeds(v):
        return cells @ v > ratio * np.linalg.norm(v)

    if not exceeds(x):
        return x
    low, high = 0.0, (x / cells).max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if exceeds(np.maximum(x - middle * cells, 0)) else (low, middle)
        )
    left = np.maximum(x - low * cells, 0)
    return left * (left @ x) / (left @ left)


@given(
    row=arrays(np.float64, st.integers(2, 40), elements=st.floats(-2, 4, width=16)),
    kind=st.sampled_from([1, 2, 3]),
    share=st.floats(0.01, 0.99),
    begin=st.floats(0, 3),
    seed=st.integers(0, 1000),
)
@settings(max_examples=300, deadline=None)
def test_the_nearest_sparse_row_is_that_of_a_slow_search(row, kind, share, begin, seed):
    cells = np.random.default_rng(seed).integers(1, kind + 1, len(row)).astype(float)
    low, high = cells.max() * 1.01, np.linalg.norm(cells)
    ratio = low + share * max(high - low, 0)
    found, _ = nearest_sparse(row, cells, ratio, begin)
    assert (found >= 0).all()
    assert cells @ found <= ratio * np.linalg.norm(found) * (1 + 1e-6)
    # where many entries are the largest, there are many nearest rows: any will do
    expected = bisected(row + 1e-8 * cells * np.arange(len(row)), cells, ratio)
    near, best = np.linalg.norm(found - row), np.linalg.norm(expected - row)
    assert near**2 <= best**2 + 1e-4 * (row @ row)
    top = np.sort(row / cells)
    if top[-1] - top[-2] > 1e-3:
        np.testing.assert_allclose(found, bisected(row, cells, ratio), atol=1e-5)


@pytest.mark.parametrize("asked", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("size", [(46, 37), (61, 47, 3), (9, 7)])
def test_every_component_is_as_sparse_as_asked_for(asked, size):
    images = faces(size=size[:2])
    if size[2:]:
        images = images[..., None] * np.float32([1, 0.8, 0.5])
    model = fit(images, n_components=5, sparseness=asked)
    assert model.components.any(axis=tuple(range(1, images.ndim))).all()
    assert (sparseness(model.components) >= asked).all()
    plain = fit(images, n_components=5)
    assert plain.error <= model.error < 1
    assert model.error == pytest.approx(lost(images, model), rel=1e-5)


@pytest.mark.parametrize(
    "changes", [{}, {"alpha_W": 1e-4, "l1_ratio": 0.5}, {"init": "random"}]
)
def test_the_error_never_rises(changes):
    steps = list(
        iter_fit(
            faces(size=(61, 47)), n_components=6, sparseness=0.6, tol=0, max_iter=150, **changes
        )
    )
    assert steps[0].factors.level > 0
    for each in steps:
        assert (sparseness(each.factors.pictures()) >= 0.6).all()
    errors = [each.error for each in steps]
    if "alpha_W" not in changes:
        assert all(b <= a * (1 + 1e-6) for a, b in itertools.pairwise(errors))
    assert errors[-1] < errors[0]


@pytest.mark.parametrize("each", [False, True])
def test_hidden_pixels_do_not_count(each):
    images = faces()
    hidden = np.zeros(images.shape[1:], bool)
    hidden[:, 25:] = not each
    images[:, hidden] = np.nan
    mask = np.random.default_rng(0).random(images.shape) < 0.1 if each else hidden
    model = fit(images, n_components=4, sparseness=0.5, mask=mask)
    assert (model.components[:, hidden] == 0).all()
    assert (sparseness(model.components, hidden) >= 0.5).all()
    assert (sparseness(model.components, hidden) < 0.52).any()


def test_flat_pictures_and_a_start_that_is_not_sparse_or_empty_become_so():
    flat = fit(np.full((5, 20, 20), 100, np.uint8), n_components=2, sparseness=0.6)
    assert (sparseness(flat.components[flat.weights.any(axis=0)]) >= 0.6).all()
    images = faces(n=12)
    images[6:] = images[:6]
    plain = fit(images, n_components=4)
    W, H = np.ones((12, 3), np.float32), np.zeros((3, *images.shape[1:]), np.float32)
    W[:, 1:] = 0
    H[0] = images.mean(axis=0)  # no face uses the others
    for k, start, max_iter in ((4, plain, 1), (3, (W, H), 200)):
        options = {"n_components": k, "sparseness": 0.6, "max_iter": max_iter}
        model = fit(images, start=start, tol=0 if max_iter == 1 else 1e-4, **options)
        assert (sparseness(model.components) >= 0.6).all()
        assert model.components.any(axis=(1, 2)).all()


def test_0_asks_for_nothing():
    images = faces()
    plain, asked = fit(images, n_components=4), fit(images, n_components=4, sparseness=0)
    np.testing.assert_array_equal(plain.components, asked.components)
    assert asked.params == plain.params
    # and less than there is, too, changes little: the way there differs
    little = fit(images, n_components=4, sparseness=0.01)
    assert little.error == pytest.approx(plain.error, rel=0.02)


def test_parts_are_of_one_piece_and_not_of_scattered_pixels():
    """Of what is lit, hardly a pixel has no lit neighbour, as in a fit without sparseness."""
    model = fit(sample_faces(), n_components=16, sparseness=0.7)
    lit = np.pad(model.components > 0.1, ((0, 0), (1, 1), (1, 1)))
    shifts = [s for s in itertools.product((-1, 0, 1), repeat=2) if s != (0, 0)]
    neighbours = sum(np.roll(lit, shift, axis=(1, 2)).astype(int) for shift in shifts)
    assert (lit & (neighbours == 0)).sum() < 0.005 * lit.sum()


def test_what_cannot_take_it_says_what_can():
    with pytest.raises(ValueError, match=r"choose solver=.multilevel. for sparseness=0\.5"):
        NMFParams(sparseness=0.5, solver="cd")
    with pytest.raises(TypeError, match=r"sparseness does not apply to PCA.*: choose NMF"):
        iter_fit(faces(), PCAParams(n_components=3), sparseness=0.5)
    with pytest.raises(ValueError, match=r"sparseness must be from 0\.0 to 0\.95 or None"):
        NMFParams(sparseness=1.5)
