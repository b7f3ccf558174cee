from __future__ import annotations

import gzip
import io
import tarfile
import threading
import zipfile

import pytest

from napari_latent_faces.reading import sources
from napari_latent_faces.reading.sources import ArchiveError, list_sources
from tests.helpers import PATIENCE
from tests.pictures import encoded, face, make, people, tarred, zipped

KINDS = ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"]


def packed(folder, path):
    return (zipped if path.suffix == ".zip" else tarred)(folder, path)


def listed(path):
    return list_sources(str(path), lambda: None)


def names(path):
    return [entry.name for entry in listed(path).entries]


@pytest.fixture(params=KINDS)
def archive(request, tmp_path):
    """Return the way to pack files into an archive of each kind."""

    def pack(files, **options):
        folder = make(tmp_path / "files", files)
        path = tmp_path / f"faces.{request.param}"
        return (zipped if request.param == "zip" else tarred)(folder, path, **options)

    return pack


def test_members_are_those_of_the_folder(archive):
    files = {
        f"s{s}/{i}.pgm": encoded(face(seed=s + i), "pgm") for s in (1, 2, 10) for i in (1, 10)
    }
    found = listed(
        archive(files | {"README.txt": b"Read me", "3.pgm.bad": b"P5", "0.pgm": b""})
    )
    assert [entry.name for entry in found.entries] == list(files)
    assert [entry.read(10**6) for entry in found.entries] == list(files.values())
    assert [entry.read(2) for entry in found.entries] == [b"P5"] * 6
    assert found.entries[0].size == len(files["s1/1.pgm"])
    assert [name for name, _ in found.skipped] == ["3.pgm.bad"]
    assert dict(found.passed_over) == {"0.pgm": "empty file", "README.txt": "no picture (.txt)"}


def test_hidden_folders_are_passed_over_once(archive):
    files = {"1.pgm": face(), "__MACOSX/._1.pgm": b"1", "__MACOSX/s1/._2.pgm": b"2"}
    assert listed(archive(files)).passed_over == [("__MACOSX/", "hidden or system folder")]


def test_common_folders_are_left_out_of_the_names(archive):
    files = {
        "sets/orl/s1/1.pgm": face(),
        "sets/orl/s2/1.pgm": face(),
        "sets/orl/x.txt": b"x",
        "sets/y.txt": b"y",
    }
    found = listed(archive(files))
    assert [entry.name for entry in found.entries] == ["s1/1.pgm", "s2/1.pgm"]
    assert [name for name, _ in found.passed_over] == ["sets/y.txt", "x.txt"]


def test_one_person_has_no_folder(archive):
    files = {"Aaron/Aaron_0001.pgm": face(), "Aaron/Aaron_0002.pgm": face()}
    assert names(archive(files)) == ["Aaron_0001.pgm", "Aaron_0002.pgm"]


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path):
    folder = people(tmp_path / "files", 2, 1)
    zipped(folder, folder / "z.zip", zipfile.ZIP_STORED)
    assert names(tarred(folder, tmp_path / "a.tar")) == ["s1/1.pgm", "s2/1.pgm"]


@pytest.mark.parametrize("length", [4, 100, 1000])
def test_a_zip_that_has_lost_its_end_is_told_by_its_beginning(tmp_path, length):
    path = zipped(people(tmp_path / "files", 4, 4), tmp_path / "faces.zip")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ArchiveError, match=f"The archive {path} is damaged .*: get it"):
        listed(path)


def test_a_zip_with_a_damaged_directory(tmp_path):
    path = zipped(people(tmp_path / "files"), tmp_path / "faces.zip")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"PK\x01\x02", b"PK\x01\x03"))
    with pytest.raises(ArchiveError, match="is damaged"):
        listed(path)


class TestZip:
    def encrypt(self, path, names):
        """Mark members as encrypted; their content does not matter."""
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if info.filename in names]
            starts = [info.header_offset for info in infos]
        content = bytearray(path.read_bytes())
        for info, start in zip(infos, starts, strict=True):
            content[start + 6] |= 1
            entry = content.index(info.filename.encode(), start + 60) - 46
            content[entry + 8] |= 1
        path.write_bytes(content)

    def test_encrypted(self, tmp_path):
        folder = people(tmp_path / "files", 2, 1)
        path = zipped(folder, tmp_path / "a.zip")
        self.encrypt(path, {"s1/1.pgm"})
        assert listed(path).skipped == [("s1/1.pgm", "encrypted")]
        self.encrypt(path, {"s2/1.pgm"})
        with pytest.raises(ArchiveError, match=f"{path} is encrypted: unpack it with"):
            listed(path)

    def test_bombs(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sources, "BOMB_BYTES", 2**20)
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("bomb.bmp", bytes(2**20 + 1))
            archive.writestr("1.pgm", encoded(face(), "pgm"))
        found = listed(path)
        assert [entry.name for entry in found.entries] == ["1.pgm"]
        assert found.skipped[0][0] == "bomb.bmp"
        assert found.skipped[0][1].startswith("decompression bomb: 1048577 bytes from ")

    def test_names_stay_inside(self, tmp_path):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("../../up.pgm", "/etc/abs.pgm", "./s1//here.pgm", "..", "w\\in.pgm"):
                archive.writestr(name, encoded(face(), "pgm"))
        assert names(path) == ["etc/abs.pgm", "s1/here.pgm", "up.pgm", "w/in.pgm"]

    def test_of_two_members_with_a_name_the_last_counts(self, tmp_path):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("1.pgm", b"first")
            with pytest.warns(UserWarning, match="Duplicate name"):
                archive.writestr("1.pgm", b"second")
        found = listed(path)
        assert [entry.read(10) for entry in found.entries] == [b"second"]
        assert found.passed_over == [("1.pgm", "replaced by a later file of that name")]

    def test_links_are_not_followed(self, tmp_path):
        path = tmp_path / "a.zip"
        link = zipfile.ZipInfo("link.pgm")
        link.external_attr = 0o120777 << 16
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(link, "/etc/passwd")
        assert listed(path).skipped == [("link.pgm", "link or device in the archive")]

    def test_threads_may_read_at_once(self, tmp_path):
        folder = people(tmp_path / "files", 8, 8)
        found = listed(zipped(folder, tmp_path / "a.zip"))
        expected = [(folder / entry.name).read_bytes() for entry in found.entries]
        read = {}

        def work(thread):
            read[thread] = [entry.read(10**6) for entry in found.entries]

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert [read[i] for i in range(4)] == [expected] * 4


class TestTar:
    def odd_members(self, path, mode):
        with tarfile.open(path, mode) as archive:
            for name, kind, target in (
                ("sym.pgm", tarfile.SYMTYPE, "/etc/passwd"),
                ("hard.pgm", tarfile.LNKTYPE, "1.pgm"),
                ("dev.pgm", tarfile.CHRTYPE, ""),
                ("fifo", tarfile.FIFOTYPE, ""),
            ):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, target
                archive.addfile(info)
            content = encoded(face(), "pgm")
            for name in ("../1.pgm", "/2.pgm", "2.pgm"):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))

    @pytest.mark.parametrize("mode", ["w", "w:gz"])
    def test_links_and_devices_are_not_followed(self, tmp_path, mode):
        self.odd_members(tmp_path / "a.tar", mode)
        found = listed(tmp_path / "a.tar")
        assert [entry.name for entry in found.entries] == ["1.pgm", "2.pgm"]
        reason = "link or device in the archive"
        assert found.skipped == [(f"{name}.pgm", reason) for name in ("dev", "hard", "sym")]
        assert found.passed_over == [
            ("2.pgm", "replaced by a later file of that name"),
            ("fifo", reason),
        ]

    def test_what_is_kept_in_memory_is_limited(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sources, "MAX_KEPT_BYTES", 500)
        folder = make(tmp_path / "files", {f"{i}.pgm": face() for i in range(5)})
        path = tarred(folder, tmp_path / "a.tar.gz")
        with pytest.raises(ArchiveError, match=f"{path} holds more than .* unpack it"):
            listed(path)

    def test_bombs(self, tmp_path, monkeypatch):
        folder = make(tmp_path / "files", {"a.txt": bytes(2**20), "b.txt": b"b"})
        path = tarred(folder, tmp_path / "a.tar.gz")
        monkeypatch.setattr(sources, "BOMB_TOTAL_BYTES", 100)
        with pytest.raises(ArchiveError, match=f"{path} holds more than .* unpack it"):
            listed(path)

    def test_what_is_no_picture_is_not_kept(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sources, "MAX_KEPT_BYTES", 500)
        files = {"1.pgm": face(), "x.txt": bytes(10_000)}
        path = tarred(make(tmp_path / "files", files), tmp_path / "a.tar.gz")
        assert names(path) == ["1.pgm"]

    @pytest.mark.parametrize("kind", ["tar", "tar.gz"])
    def test_a_damaged_header_is_not_the_end(self, tmp_path, kind):
        path = tarred(people(tmp_path / "files"), tmp_path / "a.tar")
        content = path.read_bytes().replace(b"./s3/1.pgm", b"./s3/X.pgm")
        if kind == "tar.gz":
            content = gzip.compress(content)
        path.write_bytes(content)
        with pytest.raises(ArchiveError, match="unexpected end of data"):
            listed(path)
