from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import non_negative_factorization

from napari_latent_faces import NMFParams
from napari_latent_faces.nmf.start import initial_factors


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
