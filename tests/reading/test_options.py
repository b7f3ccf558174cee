from __future__ import annotations

import inspect
from dataclasses import fields

import numpy as np
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


@pytest.mark.parametrize(
    ("size", "commonest", "shape"),
    [
        (None, (112, 92), (112, 92)),
        (56, (112, 92), (56, 46)),
        (np.int64(56), (112, 92), (56, 46)),
        ([10, 20], (112, 92), (10, 20)),
        (1, (112, 92), (1, 1)),
        (100, (1, 5000), (100, 16384)),
        (100, (5000, 1), (100, 1)),
    ],
)
def test_frame(size, commonest, shape):
    assert ReadOptions(size=size).frame(commonest) == shape


def test_budget():
    assert ReadOptions(memory_budget=7).budget() == 7
    assert 0 < ReadOptions().budget() <= 512 * 2**20
