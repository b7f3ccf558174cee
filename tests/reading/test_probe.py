from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from napari_latent_faces.reading import sources as probe
from napari_latent_faces.reading.sources import looks_like_faces
from tests.pictures import (
    encoded,
    face,
    make,
    needs_real_data,
    oversized_png,
    people,
    real_data,
    tarred,
    zipped,
)


@pytest.mark.parametrize(
    "files",
    [
        {"1_1.jpg": face()},
        {"s1/1.pgm": face()},
        {"Aaron_Eckhart/Aaron_Eckhart_0001.JPG": face()},
        {"sets/orl/1.pgm": face()},
        {"subject01.glasses": encoded(face(), "gif")},
        {"README.txt": b"Read me", "Thumbs.db": b"...", "1.png": face()},
        {"broken.png": b"..."},
    ],
)
def test_folders_of_faces(tmp_path, files):
    make(tmp_path, files)
    assert looks_like_faces(tmp_path)
    assert looks_like_faces(str(tmp_path) + os.sep)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"README.txt": b"Read me", "table.csv": b"1,2"},
        {"README": b"Read me"},
        {"1.png.txt": encoded(face(), "png")},
        {".hidden.png": face(), ".git/1.png": face(), "__MACOSX/._1.png": b"..."},
        {"a/b/c/too_deep.png": face()},
        {"zarr.json": b"{}", "preview.png": face()},
        {".zgroup": b"{}", "preview.png": face()},
        {".zattrs": b"{}", "0/preview.png": face()},
        {"notes.bad": b"..."},
    ],
)
def test_other_folders(tmp_path, files):
    make(tmp_path, files)
    assert not looks_like_faces(tmp_path)


@pytest.mark.parametrize("name", ["faces.zarr", "faces.ZARR", "faces.n5", "faces.ome.zarr"])
def test_folders_of_chunked_arrays(tmp_path, name):
    folder = people(tmp_path / name)
    assert not looks_like_faces(folder)
    assert not looks_like_faces(f"{folder}/")


@pytest.mark.parametrize("name", ["a.zip", "a.ZIP", "a.tar", "a.tar.gz", "a.tgz", "a.tar.xz"])
def test_archives(tmp_path, name):
    pack = zipped if name.lower().endswith("zip") else tarred
    without = make(tmp_path / "without", {"README.txt": b"Read me", "README": b"Read me"})
    assert not looks_like_faces(pack(without, tmp_path / name))
    by_content = make(tmp_path / "gif", {"subject01.glasses": encoded(face(), "gif")})
    assert looks_like_faces(pack(by_content, tmp_path / name))
    assert looks_like_faces(pack(people(tmp_path / "orl"), tmp_path / name))
    zarr = make(tmp_path / "zarr", {"zarr.json": b"{}", "~.png": face()})
    assert not looks_like_faces(pack(zarr, tmp_path / name))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x1f\x8b\x08\0", b"text" * 999])
def test_damaged_archives(tmp_path, name, content):
    make(tmp_path, {name: content})
    assert not looks_like_faces(tmp_path / name)


def test_what_is_not_ours(tmp_path, monkeypatch):
    make(tmp_path, {"1.png": face(), "bomb.png": oversized_png(), "model.npz": b"PK\x03\x04"})
    for name in ("1.png", "model.npz", "nowhere", "nowhere.zip", "nul\0.zip"):
        assert not looks_like_faces(tmp_path / name)


def test_unreadable_folders(tmp_path, monkeypatch):
    people(tmp_path)

    def scandir(_):
        raise PermissionError

    monkeypatch.setattr(probe.os, "scandir", scandir)
    assert not looks_like_faces(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="needs FIFOs")
def test_fifos_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "1.png")
    os.mkfifo(tmp_path / "2")
    os.mkfifo(tmp_path / "3.zip")
    assert not looks_like_faces(tmp_path)
    assert not looks_like_faces(tmp_path / "3.zip")


def test_huge_trees_are_not_walked(tmp_path, monkeypatch):
    taken = []

    class Entry:
        name = "x"

        def __init__(self, folder):
            self._folder = folder
            self.path = f"/nowhere/{len(taken)}"

        def stat(self):
            return (tmp_path if self._folder else Path(__file__)).stat()

        def is_symlink(self):
            return False

    class Endless:
        def __enter__(self):
            while True:
                taken.append(1)
                yield Entry(folder=len(taken) % 2 == 0)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(probe.os, "scandir", lambda _: Endless())
    monkeypatch.setattr(probe, "read_file", lambda *_: b"no picture")
    assert not looks_like_faces(tmp_path)
    assert len(taken) <= 2 * probe.MAX_STEPS


def test_long_folders_leave_some_for_those_in_them(tmp_path):
    people(tmp_path, n_people=probe.MAX_ENTRIES, n_pictures=1)
    assert looks_like_faces(tmp_path)


def test_archives_of_large_other_files_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "MAX_STEPS", 20)
    folder = make(tmp_path / "files", {"a.txt": bytes(500_000), "b.png": face()})
    assert not looks_like_faces(tarred(folder, tmp_path / "a.tar.gz"))


@needs_real_data
@pytest.mark.parametrize("name", ["orl", "archive"])
def test_real_faces(name):
    assert looks_like_faces(real_data / name)
