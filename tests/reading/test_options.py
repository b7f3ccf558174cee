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


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("channel", "hue", "channel must be 'luminance' or 'red' .*, got 'hue'"),
        ("channel", None, "channel must be"),
        ("resize", "shrink", "resize must be 'crop' or 'pad' .*, got 'shrink'"),
        ("size", 0, r"size must be a height or \(height, width\) from 1 to 16384 .*, got 0"),
        ("size", -1, "size must be"),
        ("size", 2.5, "size must be"),
        ("size", float("nan"), "size must be"),
        ("size", "64", "size must be"),
        ("size", True, "size must be"),
        ("size", (64,) * 3, "size must be"),
        ("size", (), "size must be"),
        ("size", (64, 0), "size must be"),
        ("size", 10**9, "size must be"),
        ("subjects", True, "subjects must be a regular expression or False or None, got True"),
        (
            "subjects",
            "(",
            r"subjects must be a regular expression; '\(' is not one: missing \)",
        ),
        ("lazy", "yes", "lazy must be True or False or None, got 'yes'"),
        ("memory_budget", -1, "memory_budget must be 0 or more or None, got -1"),
        ("memory_budget", "1 GB", "memory_budget must be"),
        ("memory_budget", 0.5, "memory_budget must be"),
        ("variable", 3, "variable must be the name of a variable or None, got 3"),
        ("shape", 64, r"shape must be \(height, width\) from 1 to 16384 .*, got 64"),
        ("shape", (64,), "shape must be"),
        ("shape", (64, 0), "shape must be"),
        ("faces", "row", "faces must be 'rows' or 'columns' or None, got 'row'"),
        ("order", "f", "order must be 'C' or 'F' or None, got 'f'"),
    ],
)
def test_options_that_are_not_allowed(option, value, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ReadOptions(**{option: value})


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        (None, (112, 92)),
        (56, (56, 46)),
        (np.int64(56), (56, 46)),
        ((10, 20), (10, 20)),
        ([10, 20], (10, 20)),
        (1, (1, 1)),
    ],
)
def test_frame(size, shape):
    assert ReadOptions(size=size).frame((112, 92)) == shape


def test_frame_of_strips_stays_in_its_limits():
    assert ReadOptions(size=100).frame((1, 5000)) == (100, 16384)
    assert ReadOptions(size=100).frame((5000, 1)) == (100, 1)


def test_budget():
    assert ReadOptions(memory_budget=7).budget() == 7
    assert 0 < ReadOptions().budget() <= 512 * 2**20
