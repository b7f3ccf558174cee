from __future__ import annotations

import inspect
from dataclasses import fields, replace

import pytest

from napari_latent_faces.params import METHODS, KMeansParams, NMFParams, PCAParams, params_of

KINDS = list(METHODS.values())


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_labelled_and_explained(kind):
    assert kind.title
    assert kind.summary.endswith(".")
    for declared in fields(kind):
        assert declared.metadata["label"]
        assert f"({declared.name})" in declared.metadata["help"]
        assert f"    {declared.name} : " in inspect.getdoc(kind).replace("\n", "\n    ")


@pytest.mark.parametrize("kind", KINDS)
def test_all_have_components_and_a_seed(kind):
    first = fields(NMFParams)[:2]
    for declared, ours in zip(first, fields(kind), strict=False):
        assert (declared.name, declared.default) == (ours.name, ours.default)
        assert declared.metadata == ours.metadata


@pytest.mark.parametrize(
    ("method", "name", "value", "allowed"),
    [
        ("pca", "svd_solver", "exact", "'incremental'"),
        ("ica", "independent", None, "'pictures' or 'weights'"),
        ("ica", "tol", -1, "0.0 or more"),
        ("dictionary", "alpha", "much", "a number"),
        ("minibatch-nmf", "forget_factor", 1.5, "from 0.0 to 1.0"),
        ("kmeans", "batch_size", 0, "1 or more"),
        ("kmeans", "n_components", 2.5, "whole number"),
    ],
)
def test_a_wrong_value_names_its_field_and_the_range(method, name, value, allowed):
    with pytest.raises((ValueError, TypeError), match=f"^{name}.*{allowed}"):
        params_of(method, **{name: value})


def test_what_does_not_apply_is_refused():
    with pytest.raises(ValueError, match="beta_loss is no parameter of the method 'pca'"):
        params_of("pca", beta_loss="frobenius")
    with pytest.raises(ValueError, match="title is no parameter"):
        params_of("pca", title="PCA")
    with pytest.raises(ValueError, match=r"method must be one of nmf, pca, .*, got 'svd'"):
        params_of("svd")


def test_parameters_cannot_be_changed_in_place_but_replaced():
    with pytest.raises(AttributeError):
        KMeansParams().tol = 1.0
    assert replace(PCAParams(), n_components=3).changed() == {"n_components": 3}


def test_shared_defaults_with_scikit_learn():
    from sklearn.decomposition import PCA, FastICA, MiniBatchDictionaryLearning, MiniBatchNMF

    for ours, theirs, same in (
        (PCAParams(), PCA(), ["svd_solver"]),
        (params_of("ica"), FastICA(), ["fun", "tol"]),
        (params_of("dictionary"), MiniBatchDictionaryLearning(), ["alpha"]),
        (params_of("minibatch-nmf"), MiniBatchNMF(), ["forget_factor"]),
    ):
        for name in same:
            assert getattr(ours, name) == theirs.get_params()[name]
