"""Zips and tars of anybody's: what is sound in them is read, and nothing else happens."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from contextlib import suppress

import numpy as np
import pytest

from napari_latent_faces.reading import (
    ArchiveError,
    NoFacesError,
    looks_like_faces,
    read_faces,
    sources,
)
from tests.fuzz.targets import with_checksums
from tests.helpers import nothing_left_open
from tests.pictures import encoded, face, packed, people, tarred, zip_of
from tests.reliability.hostile import flipped, truncated

PGM = encoded(face(), "pgm")
KINDS = ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"]


def write_zeros(path, name):
    """Write a tar.gz with a member of 2**28 zeros, and one that is empty."""
    info = tarfile.TarInfo(name)
    info.size = 2**28
    with gzip.open(path, "wb", 1) as file:
        file.write(info.tobuf())
        for _ in range(16):
            file.write(bytes(2**24))
        file.write(tarfile.TarInfo("end").tobuf())


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("n", [25, pytest.param(600, id="stress", marks=pytest.mark.stress)])
@pytest.mark.parametrize("way", [truncated, flipped], ids=["cut", "flip"])
def test_damaged_archives(tmp_path, name, n, way):
    """Every one is an error that names it, or a stack in which every face is exact."""
    faces = read_faces(people(tmp_path / "files", 3, 3))
    expected = {image.tobytes() for image in faces.images}
    path = packed(tmp_path / "files", tmp_path / name)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(n):
        path.write_bytes(next(way(whole, rng, 1)))
        assert looks_like_faces(path) in {True, False}
        with suppress(ArchiveError, NoFacesError):
            stack = read_faces(path)
            if not name.endswith(".tar"):  # a tar has no checksums but of its headers
                assert {image.tobytes() for image in stack.images} <= expected


def test_nothing_is_unpacked_to_disk_or_left_open(tmp_path):
    written = []

    def hook(event, args):
        if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR):
            written.append(str(args[0]))

    folder = people(tmp_path / "files", 2, 2)
    paths = [packed(folder, tmp_path / name) for name in KINDS]
    sys.addaudithook(hook)
    for path in paths:
        with nothing_left_open():
            written.clear()
            read_faces(path)
            assert not [name for name in written if name.startswith("/")]
            path.write_bytes(path.read_bytes()[:-700])
            with suppress(ValueError):
                read_faces(path)


def test_bombs_of_many_members(tmp_path, monkeypatch):
    """Each is too small to count alone."""
    monkeypatch.setattr(sources, "BOMB_TOTAL_BYTES", 2**24)
    black = encoded(np.zeros((1000, 1000), np.uint8), "pgm")
    files = {f"{i}.pgm": black for i in range(20)}
    path = zip_of(tmp_path / "a.zip", files, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ArchiveError, match=r"bomb: .* and 20000340 when they"):
        read_faces(path)


def test_bombs_of_overlapping_members(tmp_path):
    """Thousands of names for the same bytes, as in the smallest bombs that are known."""
    path = zip_of(tmp_path / "a.zip", {"0.pgm": os.urandom(20_000)})
    content = path.read_bytes()
    start = content.index(b"PK\1\2")
    entry, end = content[start : start + 51], bytearray(content[start + 51 :])
    entries = b"".join(entry[:46] + b"%05d" % i for i in range(500))
    end[8:12] = (500).to_bytes(2, "little") * 2
    end[12:16] = len(entries).to_bytes(4, "little")
    path.write_bytes(content[:start] + entries + bytes(end))
    with pytest.raises(ArchiveError, match=r"bomb: its members take 10000000 bytes of"):
        read_faces(path)


def test_zips_of_all_kinds(tmp_path):
    files = {f"{i}.pgm": encoded(face(seed=i), "pgm") for i in range(3)}
    paths = [
        zip_of(tmp_path / f"{method}.zip", files, compression=method)
        for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED)
    ]
    paths.append(tmp_path / "64.zip")
    with zipfile.ZipFile(paths[-1], "w") as archive:
        for name, content in files.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as file:
                file.write(content)
    for path in paths:
        np.testing.assert_array_equal(read_faces(path).images, [face(seed=i) for i in range(3)])


def test_a_zip64_of_several_disks_is_an_error(tmp_path):
    """The look whether it is a zip failed on it, outside of all guards."""
    path = zip_of(tmp_path / "a.zip", {"1.pgm": PGM})
    content = path.read_bytes()
    end = content.rindex(b"PK\5\6")
    locator = b"PK\6\7" + bytes(12) + (9).to_bytes(4, "little")
    path.write_bytes(content[:end] + locator + content[end:])
    assert not looks_like_faces(path)
    with pytest.raises(ArchiveError, match=r"span multiple disks|is damaged"):
        read_faces(path)


def test_members_without_a_name_are_left_out(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"X": PGM, "..": PGM, "1.pgm": PGM})
    content = path.read_bytes()
    directory = bytearray(content[content.index(b"PK\1\2") :])
    directory[28:32] = b"\0\0\1\0"  # the one name is none, but a byte of attributes
    path.write_bytes(content[: -len(directory)] + directory)
    stack = read_faces(path)
    assert stack.names == ("1.pgm",)
    assert [reason for _, reason in stack.report.passed_over] == ["it has no name"] * 2


@pytest.mark.parametrize("damage", ["CRC", "compression"])
def test_one_member_that_cannot_be_read_costs_one_face(tmp_path, damage):
    files = {f"{i}.pgm": encoded(face(seed=i), "pgm") for i in range(5)}
    path = zip_of(tmp_path / "a.zip", files)
    content = bytearray(path.read_bytes())
    if damage == "CRC":
        content = content.replace(face().tobytes(), face(seed=9).tobytes())
    else:
        content[content.index(b"PK\1\2") + 10] = content[8] = 97
    path.write_bytes(content)
    stack = read_faces(path)
    assert stack.names == ("1.pgm", "2.pgm", "3.pgm", "4.pgm")
    [(name, reason)] = stack.report.skipped
    assert name == "0.pgm"
    assert damage in reason


def test_names_that_are_not_the_text_they_claim(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"é.pgm": PGM, "1.pgm": PGM})
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xfe"))
    with pytest.raises(ArchiveError, match=r"a.zip is damaged .*utf-8.*: get it"):
        read_faces(path)
    tar = tarred(people(tmp_path / "files", 1, 2), tmp_path / "a.tar")
    plain = tar.read_bytes().replace(b"./s1/1.pgm", b"./s1/\xff.pgm")
    tar.write_bytes(with_checksums(plain))
    assert read_faces(tar).names == ("2.pgm", r"\udcff.pgm")


class TestTar:
    def with_attributes(self, path, attributes, mode="w"):
        with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as archive:
            for name in ("1.pgm", "2.pgm"):
                info = tarfile.TarInfo(name)
                info.size = len(PGM)
                info.pax_headers = attributes if name == "1.pgm" else {}
                archive.addfile(info, io.BytesIO(PGM))
        return path

    @pytest.mark.parametrize("size", ["-512", "-1024", "-100000", "-2048"])
    def test_a_member_that_ends_before_it_starts(self, tmp_path, size):
        """Python's own tarfile read such a header again and again, for ever."""
        path = self.with_attributes(tmp_path / "a.tar", {"comment": "x" * 600})
        content = path.read_bytes()
        text = b"size=" + size.encode()
        record = b"%d %s\n" % (len(text) + 4, text)
        path.write_bytes(content.replace(b"x" * len(record), record, 1))
        path = self.with_attributes(tmp_path / "b.tar", {"size": size})
        # early releases of Python 3.11 take the member for an empty one
        with suppress(ArchiveError):
            read_faces(path)

    @pytest.mark.parametrize("mode", ["w", "w:gz"])
    def test_large_attributes_are_refused_and_others_take_no_time(self, tmp_path, mode):
        """Some releases of Python search them in quadratic time; of processors, not clocks."""
        path = self.with_attributes(tmp_path / "a.tar", {"comment": "9" * 10**6}, mode)
        with pytest.raises(ArchiveError, match=r"bytes where at most \d+ are allowed"):
            read_faces(path)
        digits = "9" * (sources.MAX_HEADER_BYTES - 3000)
        path = self.with_attributes(tmp_path / "a.tar", {"comment": digits}, mode)
        start = time.process_time()
        assert len(read_faces(path)) == 2
        assert time.process_time() - start < 60

    def test_a_sparse_member_is_left_out(self, tmp_path):
        attributes = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.size": "9"}
        path = self.with_attributes(tmp_path / "a.tar", attributes)
        assert read_faces(path).names == ("2.pgm",)

    def test_a_long_way_can_be_cancelled(self, tmp_path):
        """A quarter of a gigabyte of zeros, in a small file."""
        path = tmp_path / "a.tar.gz"
        write_zeros(path, "zeros.txt")
        pulses = []

        def progress(*_):
            pulses.append(1)
            if len(pulses) > 1:  # how many come depends on the machine
                raise KeyError("enough")

        with pytest.raises(KeyError, match="enough"):
            read_faces(path, progress=progress)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
@pytest.mark.parametrize("kind", ["xz", "zip", "gz"])
def test_memory_of_bombs_is_bounded(tmp_path, kind):
    """Within 1 GiB more of address space: what asks for more is an error, not a crash."""
    path = tmp_path / f"a.tar.{kind}" if kind != "zip" else tmp_path / "a.zip"
    if kind == "xz":  # a dictionary of 1.5 GiB
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 2**20}]
        content = bytearray(lzma.compress(bytes(10**4), filters=filters))
        # the byte that tells the size of the dictionary, and the checksum behind it
        size = content[12]
        header = content[12 : 12 + (size + 1) * 4]
        header[header.index(b"\x21\x01") + 2] = 40
        header[-4:] = zlib.crc32(header[:-4]).to_bytes(4, "little")
        content[12 : 12 + len(header)] = header
        path.write_bytes(content)
    elif kind == "zip":
        files = {f"{i}.pgm": encoded(np.zeros((3000, 3000), np.uint8), "pgm") for i in range(4)}
        zip_of(path, files, compression=zipfile.ZIP_DEFLATED)
    else:
        write_zeros(path, "bomb.pgm")
    work = (
        "import json, resource, sys; from napari_latent_faces import read_faces\n"
        "import numpy, PIL.Image, psutil, napari_latent_faces.reading\n"
        "most = psutil.Process().memory_info().vms + 2**30\n"
        "resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
        "try: print(json.dumps(len(read_faces(sys.argv[1], size=(12, 10)))))\n"
        "except (ValueError, MemoryError) as error: print(json.dumps(str(error)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", work, str(path)],
        capture_output=True,
        text=True,
        check=False,
        # the allocator sets addresses aside for each thread, thus for each processor
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer == 4 if kind == "zip" else str(path) in answer
