from __future__ import annotations

from dataclasses import fields

import pytest

from napari_latent_faces.params import NMFParams
from napari_latent_faces.viewer.panels.form import make_fields, read_fields

pytestmark = pytest.mark.usefixtures("qapp")


def test_every_default_shown_is_the_default_used():
    assert read_fields(NMFParams, make_fields(NMFParams)) == NMFParams()


def test_every_field_has_an_input_with_label_and_tooltip():
    inputs = make_fields(NMFParams)
    assert list(inputs) == [declared.name for declared in fields(NMFParams)]
    for declared in fields(NMFParams):
        assert inputs[declared.name].label == declared.metadata["label"]
        tooltip = inputs[declared.name].tooltip
        assert " ".join(tooltip.split()) == declared.metadata["help"]
        assert max(map(len, tooltip.splitlines())) < 80


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("n_components", 49, 49),
        ("tol", "0.00012345", 0.00012345),
        ("tol", "5e-3", 5e-3),
        ("alpha_H", "0.25", 0.25),
        ("alpha_H", "same", "same"),
        ("init", None, None),
        ("init", "random", "random"),
        ("l1_ratio", "0.125", 0.125),
    ],
)
def test_what_is_typed_is_used_to_the_last_digit(name, typed, value):
    inputs = make_fields(NMFParams)
    inputs[name].value = typed
    assert getattr(read_fields(NMFParams, inputs), name) == value


def test_what_is_no_number_names_the_field():
    inputs = make_fields(NMFParams)
    inputs["tol"].value = "small"
    with pytest.raises(TypeError, match=r"tol must be a number \(0.0 or more\), got 'small'"):
        read_fields(NMFParams, inputs)
