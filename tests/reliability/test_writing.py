"""A power cut, a full disk and a read-only one: the old file or the new one, whole."""

from __future__ import annotations

import csv
import errno
import gc
import io
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from textwrap import dedent

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces.export import export_model
from napari_latent_faces.files import write_arrays
from napari_latent_faces.model import LatentFaces
from tests.fuzz.targets import a_model
from tests.helpers import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")

# Saves two models in turn, for ever, over the same target; says how long a turn takes here.
WRITER = """
    import itertools, sys, time
    from napari_latent_faces import LatentFaces
    from napari_latent_faces.export import export_model
    what, target, *models = sys.argv[1:]
    models = [LatentFaces.load(path) for path in models]
    for turn in itertools.count():
        start = time.perf_counter()
        for model in models:
            if what == "model":
                model.save(target)
            else:
                export_model(model, target, force=True)
        if not turn:
            print(time.perf_counter() - start, flush=True)
"""


def many_pixels(seed, k=6, n=400):
    """Return a model whose files take several writes: about 1 MB, and telling pixels."""
    rng = np.random.default_rng(seed)
    parts = rng.random((k, 60, 50), np.float32)
    parts /= parts.max(axis=(1, 2), keepdims=True)
    model = a_model()
    names = tuple(f"s{seed}/{i}.png" for i in range(n))
    origin = replace(model.provenance, names=names, subjects=None)
    weights, params = rng.random((n, k), np.float32), replace(model.params, n_components=k)
    return replace(model, components=parts, weights=weights, params=params, provenance=origin)


@pytest.fixture(scope="module")
def two_models():
    # of different numbers of components, so that an export has files that must go
    return many_pixels(1, k=6), many_pixels(2, k=8)


def check_whole(what, target, models):
    """See that every file is there, whole, and that of one of the models."""
    back = LatentFaces.load(target if what == "model" else target / "model.npz")
    factors = [(model.components, model.weights) for model in (back, *models)]
    assert any(all(map(np.array_equal, factors[0], other)) for other in factors[1:])
    if what == "model":
        return
    with (target / "weights.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    ks = {model.n_components for model in models}
    assert len(head) - 1 in ks
    assert [len(row) for row in rows] == [len(head)] * 400
    pictures = sorted((target / "components").glob("*.png"))
    assert min(ks) <= len(pictures) <= max(ks)
    for path in (target / "components.png", *pictures):
        with Image.open(path) as picture:
            picture.load()


def kill_while_writing(*arguments, rng):
    """Start a writer and kill it at a random moment of a turn."""
    command = [sys.executable, "-c", dedent(WRITER), *map(str, arguments)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE)
    with writer.stdout as said:
        turn = float(said.readline())
        # it writes again and again: it does not end before it is killed
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(rng.uniform(0, turn))
        writer.kill()
    assert writer.wait(PATIENCE) == -signal.SIGKILL


@pytest.mark.parametrize("what", ["model", "export"])
@pytest.mark.parametrize("n_kills", [4, pytest.param(120, marks=pytest.mark.stress)])
def test_a_kill_leaves_whole_files(tmp_path, two_models, what, n_kills):
    sources = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for path, model in zip(sources, two_models, strict=True):
        model.save(path)
    target = writing(what, two_models[0], tmp_path / "target")
    rng = np.random.default_rng(n_kills)
    for kill in range(10 * n_kills):
        if kill >= n_kills and any(tmp_path.rglob("*.part")):
            break  # it was killed in the middle of a file
        kill_while_writing(what, target, *sources, rng=rng)
        check_whole(what, target, two_models)
    else:
        pytest.fail("It was never killed in the middle of a file.")
    writing(what, two_models[1], target)  # and the next one works
    fresh = writing(what, two_models[1], tmp_path / "fresh")
    assert files_of(target) == files_of(fresh)


def files_of(place):
    files = [place, *place.rglob("*")]
    return {str(path.relative_to(place)): path.read_bytes() for path in files if path.is_file()}


def writing(what, model, target):
    if what == "model":
        model.save(target)
    else:
        export_model(model, target, force=True)
    return target


# -- a full disk -----------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder on a disk of 1 MiB, where such can be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = [shutil.which("mount") or "false", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def in_child(work, report):
    """Run a function in a child process; return the error that it raised, as text."""
    child = os.fork()
    if not child:
        try:
            work()
            words = ""
        except BaseException as error:  # noqa: BLE001 - told to the parent
            words = f"{type(error).__name__}: {error}"
        report.write_text(words)
        os._exit(0)
    os.waitpid(child, 0)
    return report.read_text()


@pytest.mark.parametrize("what", ["model", "export"])
@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk(small_disk, what, there):
    target = small_disk / "target"
    if there:
        writing(what, a_model(), target)
    before = files_of(small_disk)
    with pytest.raises(OSError, match="No space left") as error:
        writing(what, many_pixels(3, k=120), target)
    assert error.value.errno == errno.ENOSPC
    assert str(target) in str(error.value)
    assert files_of(small_disk) == before
    assert target.exists() == there


@pytest.mark.parametrize("what", ["model", "export"])
@pytest.mark.parametrize("limit", ["size", "rights"])
def test_a_limit_of_the_system(open_path, two_models, what, limit):
    """A limit of file sizes, which ends a write half-way; a read-only target for a user."""
    resource = pytest.importorskip("resource")
    folder, report = open_path / "here", open_path / "report"
    folder.mkdir()
    report.touch()
    report.chmod(0o666)
    target = writing(what, a_model(), folder / "target")
    before = files_of(folder)

    def work():
        if limit == "size":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        elif os.getuid() == 0:  # who may write everywhere
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        writing(what, two_models[0], target)

    if limit == "rights":
        for place in (folder, *folder.rglob("*")):
            place.chmod(0o555 if place.is_dir() else 0o444)
    words = in_child(work, report)
    assert words.startswith("OSError" if limit == "size" else "PermissionError")
    assert str(target if limit == "size" else folder) in words
    assert files_of(folder) == before


@pytest.mark.parametrize("room", [0, 100, 3000])
def test_nothing_is_written_later_when_a_write_has_failed(monkeypatch, room):
    """No archive is left to the garbage collector, which would tell of it, and write on."""
    late = []
    monkeypatch.setattr(sys, "unraisablehook", late.append)

    class Full(io.BytesIO):
        def write(self, data):
            if self.tell() + len(data) > room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    with Full() as file, pytest.raises(OSError, match="No space left"):
        write_arrays(file, {"a": np.zeros(900, np.uint8), "b": np.ones(9000, np.uint8)})
    gc.collect()
    assert not late
