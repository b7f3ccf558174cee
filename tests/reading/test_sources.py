from __future__ import annotations

import errno
import os
import socket
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_latent_faces import fit, read_faces
from napari_latent_faces.export import iter_export
from napari_latent_faces.reading import NoFacesError, sources
from napari_latent_faces.reading.naming import MAX_PICTURE_BYTES, Entry, Listing
from napari_latent_faces.reading.sources import list_sources, looks_like_faces, read_file
from napari_latent_faces.steps import consume
from tests.pictures import encoded, face, make, oversized_png, packed, people, tarred

unix = pytest.mark.skipif(sys.platform == "win32", reason="needs a Unix file system")


def listed(root):
    return list_sources(str(root), lambda: None)


def refuse(monkeypatch, folder):
    """Let one folder be unreadable, for root as well."""
    scandir = os.scandir

    def guarded(path):
        if os.fspath(path) == str(folder):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(sources.os, "scandir", guarded)


def test_listing_order_does_not_matter(tmp_path, monkeypatch):
    people(tmp_path, n_people=5, n_pictures=5)
    (tmp_path / "link").symlink_to(tmp_path / "s2", target_is_directory=True)
    expected = listed(tmp_path)

    scandir = os.scandir
    monkeypatch.setattr(sources.os, "scandir", lambda p: nullcontext([*scandir(p)][::-1]))
    backwards = listed(tmp_path)
    assert [e.name for e in backwards.entries] == [e.name for e in expected.entries]
    assert backwards.passed_over == expected.passed_over


def test_files_are_sorted_by_what_they_are(tmp_path):
    make(
        tmp_path,
        {
            "1.pgm": face(),
            "no extension": face().tobytes(),
            "2.pgm.bad": face().tobytes(),
            "3.heic": b"...",
            "empty.pgm": b"",
            "empty": b"",
            "README.txt": b"Read me",
            "Thumbs.db": b"...",
            ".DS_Store": b"...",
            "__MACOSX/._1.pgm": b"...",
            ".git/1.pgm": face(),
            "d/" * 100 + "1.pgm": face(),
        },
    )
    found = listed(tmp_path)
    certain = [("1.pgm", True), ("d/" * 100 + "1.pgm", True)]
    assert [(e.name, e.certain) for e in found.entries] == [*certain, ("no extension", False)]
    assert [name for name, _ in found.skipped] == ["2.pgm.bad", "3.heic"]
    assert dict(found.passed_over) == {
        "empty.pgm": "empty file",
        "empty": "empty file",
        "README.txt": "no picture (.txt)",
        "Thumbs.db": "no picture (.db)",
        ".DS_Store": "hidden or system file",
        "__MACOSX/": "hidden or system folder",
        ".git/": "hidden or system folder",
    }


def test_files_that_are_too_large():
    found = Listing()
    for name in ("large.tif", "large"):
        found.add(Entry(name, MAX_PICTURE_BYTES + 1, bytes))
    assert found.skipped == [("large.tif", "larger than 256 MiB")]
    assert found.passed_over == [("large", "larger than 256 MiB")]


@unix
def test_nothing_but_regular_files_is_opened(tmp_path, monkeypatch):
    make(tmp_path, {"1.pgm": face()})
    os.mkfifo(tmp_path / "2.pgm")
    os.mkfifo(tmp_path / "3")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the names of sockets must be short
        server.bind("4.pgm")
        (tmp_path / "5.pgm").symlink_to("/dev/zero")
        found = listed(tmp_path)
    assert [entry.name for entry in found.entries] == ["1.pgm"]
    assert found.passed_over == [
        (name, "no regular file") for name in ("2.pgm", "3", "4.pgm", "5.pgm")
    ]


@unix
def test_a_file_that_became_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "1.pgm")
    with pytest.raises(OSError, match="no regular file"):
        read_file(str(tmp_path / "1.pgm"), 10)


@unix
def test_links(tmp_path):
    root = people(tmp_path / "root", n_people=2, n_pictures=1)
    people(tmp_path / "elsewhere", n_people=1, n_pictures=1)
    (root / "again").symlink_to(root / "s1")
    (root / "s1" / "loop").symlink_to(root)
    (root / "s2" / "above").symlink_to(tmp_path)
    (root / "a").symlink_to(tmp_path / "elsewhere")
    (root / "s3.pgm").symlink_to(root / "s1" / "1.pgm")
    (root / "broken.pgm").symlink_to(root / "nowhere")
    (root / "self").symlink_to(root / "self")
    found = listed(root)
    assert [e.name for e in found.entries] == ["a/s1/1.pgm", "s1/1.pgm", "s2/1.pgm", "s3.pgm"]
    assert found.skipped == [("broken.pgm", "broken link")]
    assert found.passed_over == [
        ("again/", "link to a folder read elsewhere"),
        ("s1/loop/", "link to a folder read elsewhere"),
        ("s2/above/", "link to a folder read elsewhere"),
        ("self", "broken link"),
    ]


def test_unreadable_folders_inside_are_reported(tmp_path, monkeypatch):
    people(tmp_path, n_people=2, n_pictures=1)
    refuse(monkeypatch, tmp_path / "s1")
    found = listed(tmp_path)
    assert [entry.name for entry in found.entries] == ["s2/1.pgm"]
    assert found.skipped == [("s1/", "folder not readable: Permission denied")]


def test_a_file_that_vanishes_is_reported(tmp_path, monkeypatch):
    make(tmp_path, {"1.pgm": face()})

    def stat():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    gone = SimpleNamespace(name="2.pgm", stat=stat, is_symlink=lambda: False)
    scandir = os.scandir
    monkeypatch.setattr(sources.os, "scandir", lambda p: nullcontext([*scandir(p), gone]))
    found = listed(tmp_path)
    assert found.skipped == [("2.pgm", "No such file or directory")]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tgz"])
def test_components_that_a_fit_has_written_are_no_faces(tmp_path, kind):
    model = fit(np.stack([face(seed=i) for i in range(6)]), n_components=2, max_iter=2, tol=0)
    folder = tmp_path / "in" / "work"
    folder.mkdir(parents=True)
    consume(iter_export(model, folder / "fitted"))

    def place():
        return folder if kind == "folder" else packed(folder.parent, tmp_path / f"a.{kind}")

    with pytest.raises(NoFacesError, match=r"and 4 more: a result of a fit, .* its model\.npz"):
        read_faces(place())
    make(folder, {"anna.png": face()})
    assert read_faces(place()).names == ("anna.png",)


# -- The quick look --------------------------------------------------------------------


ARCHIVES = ["a.zip", "a.ZIP", "a.tar", "a.tar.gz", "a.tgz", "a.tar.xz"]


@pytest.mark.parametrize(
    ("expected", "files"),
    [
        (True, {"1_1.jpg": face()}),
        (True, {"Aaron_Eckhart/Aaron_Eckhart_0001.JPG": face()}),
        (True, {"sets/orl/1.pgm": face()}),
        (True, {"subject01.glasses": encoded(face(), "gif")}),
        (True, {"README.txt": b"Read me", "Thumbs.db": b"...", "1.png": face()}),
        (True, {"broken.png": b"..."}),
        (False, {}),
        (False, {"README": b"Read me", "table.csv": b"1,2", "notes.bad": b"..."}),
        (False, {"1.png.txt": encoded(face(), "png")}),
        (False, {".hidden.png": face(), ".git/1.png": face(), "__MACOSX/._1.png": b"..."}),
        (False, {"a/b/c/too_deep.png": face()}),
        (False, {"zarr.json": b"{}", "preview.png": face()}),
        (False, {"zarr.json": b"{}", "zebra.png": face()}),
        (False, {".zattrs": b"{}", "0/preview.png": face()}),
    ],
)
def test_what_looks_like_faces(tmp_path, expected, files):
    folder = tmp_path / "files"
    folder.mkdir()
    make(folder, files)
    assert looks_like_faces(folder) == expected
    assert looks_like_faces(str(folder) + os.sep) == expected
    for name in ARCHIVES if "preview.png" not in files else ():  # their order counts
        assert looks_like_faces(packed(folder, tmp_path / name)) == expected


def test_what_is_not_ours(tmp_path, monkeypatch):
    make(tmp_path, {"1.png": face(), "bomb.png": oversized_png(), "model.npz": b"PK\x03\x04"})
    for name in ("faces.zarr", "faces.ZARR", "faces.n5", "faces.ome.zarr"):
        people(tmp_path / name)
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "fifo.zip")
    there = [path.name for path in tmp_path.iterdir()]
    for name in (*there, "faces.zarr/", "nowhere", "nowhere.zip", "nul\0.zip"):
        assert not looks_like_faces(f"{tmp_path}/{name}")
    refuse(monkeypatch, tmp_path)
    assert not looks_like_faces(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x1f\x8b\x08\0", b"text" * 999])
@pytest.mark.parametrize("name", ARCHIVES)
def test_damaged_archives_do_not_look_like_faces(tmp_path, name, content):
    assert not looks_like_faces(make(tmp_path, {name: content}) / name)


def test_huge_trees_are_not_walked(tmp_path, monkeypatch):
    taken = []

    def endless(_):
        while True:
            taken.append(1)
            like = tmp_path if len(taken) % 2 else Path(__file__)
            path = f"/nowhere/{len(taken)}"
            yield SimpleNamespace(name="x", path=path, stat=like.stat, is_symlink=lambda: False)

    monkeypatch.setattr(sources.os, "scandir", lambda _: nullcontext(endless(_)))
    monkeypatch.setattr(sources, "read_file", lambda *_: b"no picture")
    assert not looks_like_faces(tmp_path)
    assert len(taken) <= 2 * sources.MAX_STEPS


def test_long_folders_leave_some_for_those_in_them(tmp_path):
    people(tmp_path, n_people=sources.MAX_ENTRIES, n_pictures=1)
    assert looks_like_faces(tmp_path)


def test_archives_of_large_other_files_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_STEPS", 20)
    folder = make(tmp_path / "files", {"a.txt": bytes(500_000), "b.png": face()})
    assert not looks_like_faces(tarred(folder, tmp_path / "a.tar.gz"))
