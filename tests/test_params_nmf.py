from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from napari_latent_faces.params import NMFParams


def test_defaults_but_the_solver_are_those_of_scikit_learn_and_of_the_blog_post():
    from sklearn.decomposition import NMF

    theirs = NMF().get_params()
    ours = NMFParams().to_dict()
    assert (ours.pop("n_components"), ours.pop("random_state")) == (20, 42)
    assert ours.pop("solver") == "multilevel"  # many times faster, for the same objective
    assert ours == {name: theirs[name] for name in ours}


def test_every_field_is_labelled_and_explained():
    for declared in fields(NMFParams):
        assert declared.metadata["label"]
        assert declared.name in declared.metadata["help"]


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("n_components", 0, "1 or more"),
        ("n_components", 2.5, "whole number"),
        ("n_components", "20", "whole number"),
        ("n_components", None, "whole number"),
        ("n_components", True, "whole number"),
        ("max_iter", -1, "1 or more"),
        ("tol", -1e-9, "0.0 or more"),
        ("tol", float("nan"), "number"),
        ("tol", float("inf"), "0.0 or more"),
        ("init", "best", "'nndsvd' or 'nndsvda'"),
        ("init", ["random"], "'nndsvd' or 'nndsvda'"),
        ("solver", None, "'cd' or 'mu'"),
        ("beta_loss", "huber", "'kullback-leibler'"),
        ("alpha_W", -1, "0.0 or more"),
        ("alpha_H", "other", "'same'"),
        ("l1_ratio", 1.1, "from 0.0 to 1.0"),
        ("random_state", -1, "from 0 to 4294967295 or None"),
        ("random_state", 2**32, "from 0 to 4294967295"),
    ],
)
def test_a_wrong_value_names_its_field_and_the_range(field, value, allowed):
    with pytest.raises((ValueError, TypeError)) as error:
        NMFParams(**{field: value})
    assert str(error.value).startswith(field)
    assert allowed in str(error.value)


def test_numpy_numbers_become_plain_ones():
    params = NMFParams(n_components=np.int64(7), tol=np.float32(0.5), alpha_H=0)
    assert type(params.n_components) is int
    assert type(params.tol) is float
    assert params.alpha_H == 0.0


def test_only_mu_minimises_other_losses():
    for solver in ("multilevel", "cd"):
        with pytest.raises(ValueError, match="choose solver='mu'"):
            NMFParams(beta_loss="kullback-leibler", solver=solver)
    assert replace(NMFParams(solver="mu"), beta_loss="kullback-leibler").solver == "mu"


def test_parameters_cannot_be_changed_in_place():
    with pytest.raises(AttributeError):
        NMFParams().tol = 1.0
