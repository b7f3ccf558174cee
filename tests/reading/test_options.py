from __future__ import annotations

import inspect
from dataclasses import fields

import pytest

from napari_latent_faces.params import ReadOptions
from napari_latent_faces.reading import read_faces


def test_read_faces_takes_every_option_with_the_same_default():
    parameters = inspect.signature(read_faces).parameters
    options = {declared.name: declared.default for declared in fields(ReadOptions)}
    taken = {name: parameters[name].default for name in parameters if name in options}
    assert taken == options
    assert set(parameters) - set(options) == {"path", "progress"}


SIZES = r"\(height, width\) from 1 to 16384"


@pytest.mark.parametrize(
    ("option", "allowed", "values"),
    [
        ("channel", "'luminance' or 'red' .*, got", ["hue", None]),
        ("resize", "'crop' or 'pad' .*, got", ["shrink"]),
        ("size", f"a height or {SIZES} .*, got", [0, -1, 2.5, float("nan"), "64", True]),
        ("size", f"a height or {SIZES} .*, got", [(64,) * 3, (), (64, 0), 10**9]),
        ("subjects", "a regular expression or False or None, got", [True]),
        ("subjects", r"a regular expression; '\(' is not one: missing \)", ["("]),
        ("lazy", "True or False or None, got", ["yes"]),
        ("memory_budget", "", [-1, "1 GB", 0.5]),
        ("variable", "the name of a variable or None, got", [3]),
        ("shape", f"{SIZES} .*, got", [64, (64,), (64, 0)]),
        ("faces", "'rows' or 'columns' or None, got", ["row"]),
        ("order", "'C' or 'F' or None, got", ["f"]),
    ],
)
def test_options_that_are_not_allowed(option, allowed, values):
    for value in values:
        with pytest.raises((TypeError, ValueError), match=f"{option} must be {allowed}"):
            ReadOptions(**{option: value})
