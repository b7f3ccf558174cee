from __future__ import annotations

import ast
import inspect
import re
from dataclasses import fields, replace

import numpy as np
import pytest
from sklearn.decomposition import NMF, PCA, FastICA, MiniBatchDictionaryLearning, MiniBatchNMF

from napari_latent_faces.params import (
    METHODS,
    AlignOptions,
    ChoiceOptions,
    KMeansParams,
    NMFParams,
    PCAParams,
)

KINDS = list(METHODS.values())


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_labelled_and_explained(kind):
    assert kind.title
    assert kind.summary.endswith(".")
    for declared, ours in zip(fields(NMFParams)[:2], fields(kind), strict=False):
        assert (declared.name, declared.default) == (ours.name, ours.default)
        assert declared.metadata == ours.metadata
    for declared in fields(kind):
        assert declared.metadata["label"]
        assert re.fullmatch(rf"{declared.name}: .*\.", declared.metadata["help"])


@pytest.mark.parametrize("kind", [*KINDS, AlignOptions, ChoiceOptions])
def test_docstrings_name_every_parameter_and_its_default(kind):
    text = inspect.getdoc(kind).partition("Parameters\n")[2]
    for declared in fields(kind):
        [line] = re.findall(rf"^(?:.*, )?{declared.name}(?:,.*| : .*)?$", text, re.MULTILINE)
        if "default=" in line:
            assert ast.literal_eval(line.partition("default=")[2]) == declared.default


@pytest.mark.parametrize(
    ("method", "name", "allowed", "values"),
    [
        ("nmf", "n_components", "1 or more", [0]),
        ("nmf", "n_components", "whole number", [2.5, "20", None, True]),
        ("nmf", "max_iter", "1 or more", [-1]),
        ("nmf", "tol", "0.0 or more", [-1e-9, float("inf"), float("nan")]),
        ("nmf", "init", "'nndsvd' or 'nndsvda'", ["best", ["random"]]),
        ("nmf", "solver", "'cd' or 'mu'", [None]),
        ("nmf", "beta_loss", "'kullback-leibler'", ["huber"]),
        ("nmf", "alpha_W", "0.0 or more", [-1]),
        ("nmf", "alpha_H", "'same'", ["other"]),
        ("nmf", "l1_ratio", "from 0.0 to 1.0", [1.1]),
        ("nmf", "random_state", "from 0 to 4294967295 or None", [-1, 2**32]),
        ("pca", "svd_solver", "'incremental'", ["exact"]),
        ("ica", "independent", "'pictures' or 'weights'", [None]),
        ("ica", "tol", "0.0 or more", [-1]),
        ("dictionary", "alpha", "a number", ["much"]),
        ("minibatch-nmf", "forget_factor", "from 0.0 to 1.0", [1.5]),
        ("kmeans", "batch_size", "1 or more", [0]),
    ],
)
def test_a_wrong_value_names_its_field_and_the_range(method, name, allowed, values):
    for value in values:
        with pytest.raises((ValueError, TypeError), match=f"^{name}.*{re.escape(allowed)}"):
            METHODS[method](**{name: value})


def test_what_does_not_apply_is_refused():
    with pytest.raises(TypeError, match="beta_loss"):
        PCAParams(beta_loss="frobenius")
    with pytest.raises(TypeError, match="title"):
        PCAParams(title="PCA")
    for solver in ("multilevel", "cd"):
        with pytest.raises(ValueError, match="choose solver='mu'"):
            NMFParams(beta_loss="kullback-leibler", solver=solver)
    assert replace(NMFParams(solver="mu"), beta_loss="kullback-leibler").solver == "mu"


def test_parameters_cannot_be_changed_in_place_but_replaced():
    with pytest.raises(AttributeError):
        KMeansParams().tol = 1.0
    assert replace(PCAParams(), n_components=3).changed() == {"n_components": 3}
    params = NMFParams(n_components=np.int64(7), tol=np.float32(0.5), alpha_H=0)
    assert type(params.n_components) is int  # NumPy's numbers become plain ones
    assert type(params.tol) is float
    assert params.alpha_H == 0.0


def test_shared_defaults_with_scikit_learn():
    ours, theirs = NMFParams().to_dict(), NMF().get_params()
    assert (ours.pop("n_components"), ours.pop("random_state")) == (20, 42)  # the blog post's
    assert ours.pop("sparseness") is None  # which they do not have
    assert ours.pop("solver") == "multilevel"  # many times faster, for the same objective
    assert ours == {name: theirs[name] for name in ours}
    for ours, theirs, same in (
        (PCAParams(), PCA(), ["svd_solver"]),
        (METHODS["ica"](), FastICA(), ["fun", "tol"]),
        (METHODS["dictionary"](), MiniBatchDictionaryLearning(), ["alpha"]),
        (METHODS["minibatch-nmf"](), MiniBatchNMF(), ["forget_factor"]),
    ):
        for name in same:
            assert getattr(ours, name) == theirs.get_params()[name]
