"""Sweeps of a factor, compiled and in NumPy."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_latent_faces import LatentFaces, fit
from napari_latent_faces.solvers import hals
from napari_latent_faces.solvers.blocks import Block, FaceBlocks
from tests.helpers import PATIENCE


@pytest.fixture(params=["c", "numpy"])
def way(request, choose):
    """Sweep in one of the two ways."""
    choose(request.param)
    return request.param


@pytest.fixture
def choose(monkeypatch):
    """Return a function that makes this process choose anew."""

    def anew(name):
        monkeypatch.setenv("LATENT_FACES_BACKEND", name)
        hals._chosen.cache_clear()
        if hals.backend() != name:
            pytest.skip("nothing could be compiled here")

    yield anew
    hals._chosen.cache_clear()


def problem(k, m, seed):
    """Return a factor, a Gram matrix and products, as in a fit."""
    rng = np.random.default_rng(seed)
    other = rng.random((k, 3 * k + 5), np.float32)
    truth = np.maximum(rng.normal(size=(k, m)), 0).astype(np.float32)
    G = other @ other.T
    return rng.random((k, m), np.float32), G, G @ truth


def loss(F, G, C):
    F, G, C = (each.astype(np.float64) for each in (F, G, C))
    return np.vdot(F, G @ F) / 2 - np.vdot(C, F)


def test_components_without_a_diagonal_entry_stay(way):
    F, G, C = problem(6, 40, seed=0)
    dead = [0, 4]
    G[dead] = G[:, dead] = 0
    before, lower = F.copy(), loss(F, G, C)
    hals.sweep(F, G, C)
    np.testing.assert_array_equal(F[dead], before[dead])
    assert loss(F, G, C) < lower
    hals.sweep(F, np.zeros_like(G), C)  # all of them
    assert np.isfinite(F).all()


@given(
    k=st.one_of(st.integers(1, 13), st.integers(95, 103)),
    m=st.integers(0, 300),
    count=st.integers(1, 9),
    seed=st.integers(0, 99),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_row_goes_where_the_others_leave_it(way, k, m, count, seed):
    whole, G, C = problem(k, m + 9, seed)  # some columns of a larger factor
    some = slice(4, m + 4)
    F, C, rest = whole[:, some], C[:, some], np.delete(whole, some, axis=1)
    G += np.eye(k, dtype=np.float32) * k  # else rounding decides
    expected = F.astype(np.float64)
    for _ in range(count):
        for t in range(k):
            step = (C[t] - G[t] @ expected) / G[t, t]
            expected[t] = np.maximum(expected[t] + step, 0)
    size = expected.max(initial=1)
    hals.sweep(F, G, C, count)
    np.testing.assert_allclose(F, expected, atol=2e-4 * size)
    np.testing.assert_array_equal(np.delete(whole, some, axis=1), rest)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@given(
    n=st.integers(1, 150),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    k=st.integers(1, 30),
    seed=st.integers(0, 2**31),
)
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_products_with_pixels_are_those_of_their_definition(way, dtype, n, shape, k, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n + 2, *shape)).astype(dtype)
    H = rng.random((k, 3 + math.prod(shape)), np.float32)[:, 3:]
    W = rng.random((k, n + 5), np.float32)[:, 5:]
    rows = slice(2, n + 2)
    block = Block(FaceBlocks(images, 255), rows, rows, images[rows])
    X = images[rows].reshape(n, -1) / 255
    np.testing.assert_allclose(hals.cross(H, block), H @ X.T, rtol=3e-6)
    np.testing.assert_allclose(hals.combine(W, block), W @ X, rtol=3e-6)


def test_not_a_number_is_not_hidden(way):
    F, G, C = problem(6, 40, seed=0)
    C[2, 3] = np.nan
    hals.sweep(F, G, C)
    assert np.isnan(F[:, 3]).all()
    assert np.isfinite(np.delete(F, 3, axis=1)).all()


def read_only(*shape):
    array = np.zeros(shape, np.float32)
    array.setflags(write=False)
    return array


@pytest.mark.parametrize(
    ("name", "place", "wrong"),
    [
        ("sweep", 0, np.zeros((3, 5))),
        ("sweep", 0, np.zeros((5, 3), np.float32).T),
        ("sweep", 0, np.zeros((4, 5), np.float32)),
        ("sweep", 0, read_only(3, 5)),
        ("sweep", 1, np.zeros((3, 4), np.float32)),
        ("sweep", 2, np.zeros((3, 6), np.float32)),
        ("sweep", 2, np.zeros(3, np.float32)),
        ("sweep", 2, None),
        ("cross", 0, np.zeros((3, 4), np.uint8)),
        ("cross", 0, np.zeros((3, 3), np.float32)),
        ("cross", 1, np.zeros((2, 5), np.float32)),
        ("cross", 2, np.zeros((4, 6), np.float32)),
        ("cross", 2, np.zeros((4, 5))),
        ("cross", 2, np.zeros((4, 10), np.uint8)[:, ::2]),
        ("combine", 2, np.zeros((4, 5), np.float32)),
    ],
)
def test_compiled_code_refuses_what_it_cannot_read_or_write(name, place, wrong):
    compiled = pytest.importorskip("napari_latent_faces.solvers._kernel")
    shapes = {"sweep": ((3, 5), (3, 3), (3, 5)), "cross": ((3, 4), (3, 5), (4, 5))}
    arrays = [np.zeros(shape, np.float32) for shape in shapes.get(name, shapes["cross"])]
    arrays[place] = wrong
    with pytest.raises((TypeError, ValueError, BufferError)):
        getattr(compiled, name)(*arrays, 1)


def test_fits_are_the_same_to_rounding(choose, stack, tmp_path):
    models = {}
    for name in ("c", "numpy"):
        choose(name)
        models[name] = fit(stack, n_components=4, random_state=0, max_iter=12, tol=0)
        models[name].save(tmp_path / "model.npz")
        assert LatentFaces.load(tmp_path / "model.npz").provenance.backend == name
    fast, slow = models.values()
    assert fast.error == pytest.approx(slow.error, rel=1e-4)
    np.testing.assert_allclose(fast.components, slow.components, atol=0.02)


_FITS = """
import logging, sys
import numpy as np
logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
{first}
from napari_latent_faces import fit
images = np.random.default_rng(0).integers(0, 256, (12, 10, 10), np.uint8)
print(fit(images, n_components=2).provenance.backend)
"""


def fit_in_a_new_process(first="", **environment):
    """Return the backend of a fit, and what was logged about the choice."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _FITS.format(first=first)],
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=os.environ | environment,
    )
    return done.stdout.strip(), [
        line for line in done.stderr.splitlines() if line.startswith(hals.__name__)
    ]


def test_the_choice_is_logged_once():
    backend, [line] = fit_in_a_new_process()
    assert backend == hals.backend()
    assert ("Compiled" in line) == (backend == "c")
    backend, [line] = fit_in_a_new_process(LATENT_FACES_BACKEND="numpy")
    assert backend == "numpy"
    assert "NumPy" in line


@pytest.mark.parametrize(
    "module",
    [
        "None",  # missing
        "SimpleNamespace()",  # of another version
        "MagicMock()",  # it does nothing
        "SimpleNamespace(sweep=lambda F: None)",  # in need of other arguments
    ],
)
def test_where_the_compiled_part_is_of_no_use_numpy_works(module):
    backend, lines = fit_in_a_new_process(
        "from types import SimpleNamespace\n"
        "from unittest.mock import MagicMock\n"
        "import napari_latent_faces.solvers as solvers\n"
        f"solvers._kernel = sys.modules[solvers.__name__ + '._kernel'] = {module}\n"
    )
    assert backend == "numpy"
    assert len(lines) == 1


@pytest.mark.parametrize("content", [b"", b"\x7fELF no library", b"not even that"])
def test_a_damaged_file_of_the_compiled_part_means_numpy(tmp_path, content):
    suffix = ".pyd" if sys.platform == "win32" else ".abi3.so"
    copy = tmp_path / "napari_latent_faces"
    shutil.copytree(
        Path(hals.__file__).parents[1],
        copy,
        ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyd"),
    )
    (copy / "solvers" / f"_kernel{suffix}").write_bytes(content)
    backend, lines = fit_in_a_new_process(PYTHONPATH=str(tmp_path))
    assert backend == "numpy"
    assert "_kernel" in lines[0]
    assert len(lines) == 1
