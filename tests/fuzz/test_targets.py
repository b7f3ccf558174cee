"""A short, seeded run of every fuzz target, without a fuzzer."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

from tests.fuzz.targets import TARGETS

N_RUNS = {"pictures": 1500, "archives": 400, "models": 400, "members": 800, "arrays": 600}
WORDS = [b"", b"\0", b"\xff" * 4, b"\xff" * 8, b"\0\0\0\x80", b"-1", b"9" * 30, b"[" * 3000]


def mutated(seed: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes that differ from `seed` in one to eight places."""
    content = bytearray(seed)
    for _ in range(rng.integers(1, 9)):
        start = int(rng.integers(0, len(content) + 1))
        end = start + int(rng.integers(0, 9))
        match rng.integers(4):
            case 0:
                content[start:end] = rng.bytes(end - start)
            case 1:
                content[start:end] = WORDS[rng.integers(len(WORDS))]
            case 2:
                del content[start : start + int(rng.integers(0, 200))]
            case _:
                content[start:start] = content[-int(rng.integers(1, 100)) :]
    return bytes(content)


@pytest.fixture
def _pillows_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # a target sets its own


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.usefixtures("_pillows_limit")
def test_promises_are_kept(name):
    target, rng = TARGETS[name], np.random.default_rng(0)
    seeds = target.seeds()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy tells of headers that Python 2 wrote
        for seed in seeds:
            target.keeps_promise(seed)
        for run in range(N_RUNS[name]):
            target.keeps_promise(mutated(seeds[run % len(seeds)], rng))


def test_seeds_are_sound():
    """A target that refuses everything would keep any promise."""
    from napari_latent_faces.reading.naming import Entry
    from napari_latent_faces.reading.pictures import open_picture

    for seed in TARGETS["pictures"].seeds():
        assert min(open_picture(Entry("", len(seed), lambda n, c=seed: c[:n])).shape) > 1
