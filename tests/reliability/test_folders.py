"""Folders as the world has them: names, depths, numbers, and what is no file at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import unicodedata
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.reading import read_faces
from tests.helpers import PATIENCE, measured
from tests.pictures import encoded, face, make

pytestmark = pytest.mark.skipif(os.name != "posix", reason="names and files of POSIX")

PGM = encoded(face(), "pgm")
ODD_NAMES = [unicodedata.normalize(form, "é.pgm") for form in ("NFC", "NFD")]
ODD_NAMES += [
    "ﬁ.pgm",
    "😀👩\u200d🦰.pgm",
    "وجه\u202e.pgm",
    "\udcff\udc80.pgm",
    "面" * 83 + ".pgm",
]
ODD_NAMES += ["two\nlines.pgm", "a b.pgm", " .pgm", "back\rto\tand\x1b[31mred.pgm"]
ODD_NAMES += ["--help.pgm", "-rf.pgm", "$(reboot).pgm", "a'\"b.pgm", "*?[].pgm", "\\back.pgm"]
ODD_NAMES += ["Case.pgm", "case.pgm", "n" * 251 + ".pgm"]


def test_names_of_any_kind(tmp_path):
    make(tmp_path, {name: face(seed=i) for i, name in enumerate(ODD_NAMES)})
    stack = read_faces(tmp_path)
    assert len(stack) == len(ODD_NAMES)
    details = stack.report.details()
    "\n".join([details, *stack.names]).encode()  # every name can be written
    assert "\x1b" not in details
    expected = {face(seed=i).tobytes() for i in range(len(ODD_NAMES))}
    assert {image.tobytes() for image in stack.images} == expected
    lazy = read_faces(tmp_path, lazy=True)
    np.testing.assert_array_equal(np.asarray(lazy.images), stack.images)


LETTERS = st.characters(exclude_characters="/\0", exclude_categories=())
PARTS = st.text(LETTERS, min_size=1, max_size=20).map(
    lambda text: text.encode("utf-8", "replace").decode() + "x"
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(PARTS, min_size=1, max_size=4), min_size=1, max_size=5))
def test_trees_of_any_names(tmp_path_factory, trees):
    root, files = tmp_path_factory.mktemp("tree"), {}
    for i, parts in enumerate(trees):
        folders = [f"{i}{part}"[:60] for part in parts]
        files["/".join([*folders[:-1], f"{i}.pgm"])] = face(seed=i)
    make(root, files)
    stack = read_faces(root)
    assert len(stack) == len(files)
    assert {image.tobytes() for image in stack.images} == {*map(bytes, files.values())}


AS_NOBODY = """
import heapq, json, os, sys
# imported before: nobody may not be allowed to read the environment either
import numpy
import PIL.PngImagePlugin
import PIL.Image
from napari_latent_faces import read_faces
import PIL.PpmImagePlugin, PIL.BmpImagePlugin, PIL.GifImagePlugin
import PIL.JpegImagePlugin, PIL.WebPImagePlugin
import napari_latent_faces.reading, psutil
if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)
skipped = read_faces(sys.argv[1]).report.skipped
try: read_faces(sys.argv[1] + "/no")
except PermissionError as error: print(json.dumps([skipped, str(error)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="drops the rights of root")
def test_what_may_not_be_read_is_named(open_path):
    make(open_path, dict.fromkeys(["1.pgm", "2.pgm", "no/3.pgm", "blind/4.pgm"], PGM))
    # of the one folder, names can be seen, but no files
    for name, rights in (("2.pgm", 0), ("no", 0), ("blind", 0o444)):
        (open_path / name).chmod(rights)
    command = [sys.executable, "-c", AS_NOBODY, str(open_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for name in ("no", "blind"):
        (open_path / name).chmod(0o755)
    assert done.returncode == 0, done.stderr
    report, words = json.loads(done.stdout)
    assert report == [
        ["2.pgm", "Permission denied"],
        ["blind/4.pgm", "Permission denied"],
        ["no/", "folder not readable: Permission denied"],
    ]
    assert words == f"[Errno 13] Permission denied: '{open_path}/no'"


@pytest.mark.parametrize("change", ["vanish", "shrink", "empty", "text", "fifo", "folder"])
@pytest.mark.parametrize("lazy", [False, True])
def test_files_that_change_while_they_are_read(tmp_path, change, lazy):
    """Each of these happens to a file between its listing and its reading."""
    make(tmp_path, {f"{i}.pgm": face(seed=i) for i in range(20)})
    victim, changed = tmp_path / "7.pgm", []

    def progress(done, total):
        if not changed and total:
            changed.append(True)
            victim.unlink()
            if change == "fifo":
                os.mkfifo(victim)
            elif change == "folder":
                victim.mkdir()
            elif change != "vanish":
                victim.write_bytes({"shrink": PGM[:40], "empty": b"", "text": b"text"}[change])

    stack = read_faces(tmp_path, lazy=lazy, progress=progress)
    assert changed
    is_told = lazy and "7.pgm" in stack.names
    words = r"7.pgm cannot be decoded .* shown black"
    with pytest.warns(UserWarning, match=words) if is_told else nullcontext():
        images = np.asarray(stack.images)
    for name, image in zip(stack.names, images, strict=True):
        if name != "7.pgm":
            np.testing.assert_array_equal(image, face(seed=int(name[:-4])))
    named = {name for name, _ in stack.report.skipped}
    assert len(stack) + len(named) == 20
    assert named <= {"7.pgm"}


def test_files_that_are_rewritten_all_the_time(tmp_path):
    """What is read is one of the pictures that were there, or is named."""
    make(tmp_path, {f"{i}.pgm": face(seed=i) for i in range(10)})
    stop = threading.Event()

    def rewrite():
        rng = np.random.default_rng(0)
        while not stop.is_set():
            i = int(rng.integers(5))
            (tmp_path / f"{i}.pgm").write_bytes(encoded(face(seed=i + 100), "pgm"))

    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        stacks = [read_faces(tmp_path) for _ in range(10)]
    finally:
        stop.set()
        thread.join(PATIENCE)
    for stack in stacks:
        out = {name for name, _ in (*stack.report.skipped, *stack.report.passed_over)}
        assert len(stack) + len(out) == 10
        for name, image in zip(stack.names, stack.images, strict=True):
            i = int(name[:-4])
            assert image.tobytes() in {face(seed=i).tobytes(), face(seed=i + 100).tobytes()}


@pytest.mark.skipif(sys.platform != "linux", reason="measures of Linux")
@pytest.mark.parametrize(
    "n", [1000, pytest.param(100_000, id="stress", marks=pytest.mark.stress)]
)
@pytest.mark.parametrize("way", ["now", "lazy"])
def test_many_files_in_one_folder(tmp_path, n, way, capsys):
    make(tmp_path, {f"{i}.pgm": PGM for i in range(n)})
    read, seconds, mebibytes = measured(
        "from napari_latent_faces import read_faces",
        "result = len(read_faces(sys.argv[1], lazy=sys.argv[2] == 'lazy'))",
        tmp_path,
        way,
    )
    if n == 100_000:  # the figures of docs/reliability.md
        with capsys.disabled():
            sys.stdout.write(f" {n} files, {way}: {seconds:.1f} s, {mebibytes:.0f} MiB ")
    assert read == n
    assert mebibytes < 150 + n / 200  # some kilobytes a file
