from __future__ import annotations

import pytest

from napari_latent_faces.fitting import fit, iter_fit
from napari_latent_faces.params import NMFParams, PCAParams


def test_nmf_is_the_default(stack):
    params = NMFParams(n_components=3, max_iter=5, tol=0)
    for model in (fit(stack, params), fit(stack, n_components=3, max_iter=5, tol=0)):
        assert model.params == params
        assert model.mean is None
        assert not model.is_signed


def test_the_type_of_the_parameters_is_the_method(stack):
    model = fit(stack, PCAParams(), n_components=2)
    assert model.params == PCAParams(n_components=2)
    assert model.is_signed


def test_what_is_wrong_is_told_before_the_first_step(stack):
    for params in (None, PCAParams()):
        with pytest.raises(ValueError, match="n_components must be from 1 to 30"):
            iter_fit(stack, params, n_components=31)
        with pytest.raises(TypeError, match="alpha"):
            iter_fit(stack, params, alpha=1)
