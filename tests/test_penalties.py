"""Penalties that leave nothing: a result with a warning, as scikit-learn has it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_latent_faces.fitting import PenaltyWarning, fit


@pytest.mark.parametrize("solver", ["multilevel", "cd", "mu"])
@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler"])
def test_an_empty_model_is_a_result_with_a_warning(pictures, solver, beta_loss):
    if beta_loss != "frobenius" and solver != "mu":
        pytest.skip("has one loss")
    with pytest.warns(PenaltyWarning, match=r"\(alpha_W\) is so strong"):
        model = fit(
            pictures,
            n_components=3,
            alpha_W=50.0,
            l1_ratio=1.0,
            solver=solver,
            beta_loss=beta_loss,
        )
    if beta_loss == "frobenius":
        assert not model.reconstruct().any()
        assert model.error == 1
    assert np.isfinite(model.error)


def test_weak_penalties_warn_of_nothing(pictures):
    assert fit(pictures, n_components=3, alpha_W=1e-5, l1_ratio=1.0, max_iter=500).error < 1


def test_no_penalty_warns_of_nothing_where_components_are_too_many():
    model = fit(np.full((6, 8, 7), 130, np.uint8), n_components=4)
    assert model.error < 3e-2
