from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import non_negative_factorization

from napari_latent_faces.params import NMFParams
from napari_latent_faces.solvers.multilevel import initial_factors


@pytest.mark.parametrize("init", [None, "nndsvd", "nndsvda", "nndsvdar", "random"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_starts_are_those_of_scikit_learn(pictures, init, dtype):
    X = pictures.reshape(30, -1).astype(dtype)
    W, H = initial_factors(X, NMFParams(n_components=4, init=init), 42)
    assert W.dtype == H.dtype == dtype
    options = {"solver": "cd", "max_iter": 1, "tol": 0, "random_state": 42}
    theirs = non_negative_factorization(X, n_components=4, init=init, **options)
    ours = non_negative_factorization(X, W, H, 4, init="custom", **options)
    for a, b in zip(ours[:2], theirs[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3 if dtype == np.float32 else 1e-9, atol=1e-6)


def test_a_stack_of_low_rank_starts_without_nan():
    X = np.outer(np.arange(1.0, 7.0), np.arange(1.0, 9.0))
    W, H = initial_factors(X, NMFParams(n_components=4, init="nndsvd"), 0)
    assert np.isfinite(W).all()
    assert np.isfinite(H).all()


def test_more_components_than_pixels_start_at_random_or_say_so():
    X = np.random.default_rng(0).random((9, 4))
    W, H = initial_factors(X, NMFParams(n_components=6), 0)
    assert (W.shape, H.shape) == ((9, 6), (6, 4))
    with pytest.raises(ValueError, match=r"init='nndsvd' needs n_components <= 4"):
        initial_factors(X, NMFParams(n_components=6, init="nndsvd"), 0)


@pytest.mark.parametrize("shape", [(30, 200), (200, 30), (60, 60)])
def test_the_start_finds_the_first_singular_vectors(shape):
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(np.abs(rng.normal(size=(side, 5)))).Q for side in shape)
    X = np.abs(U * [50, 20, 10, 5, 2] @ V.T)
    W, H = initial_factors(X, NMFParams(n_components=1, init="nndsvd"), 3)
    U, S, Vt = np.linalg.svd(X, full_matrices=False)
    np.testing.assert_allclose(W @ H, S[0] * np.abs(np.outer(U[:, 0], Vt[0])), rtol=1e-6)


def test_a_start_is_the_same_bits_for_a_seed():
    X = np.random.default_rng(0).random((50, 80), np.float32)
    params = NMFParams(n_components=5)
    (W, H), (again_W, again_H) = (initial_factors(X, params, 7) for _ in range(2))
    assert W.tobytes() == again_W.tobytes()
    assert H.tobytes() == again_H.tobytes()
    assert initial_factors(X, params, 8)[1].tobytes() != H.tobytes()
