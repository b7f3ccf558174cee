from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from napari_latent_faces.reading import sources
from napari_latent_faces.reading.sources import ArchiveError, list_sources
from tests.pictures import encoded, face, make, packed, people, tarred, zip_of, zipped

PGM = encoded(face(), "pgm")


def listed(path):
    return list_sources(str(path), lambda: None)


def names(path):
    return [entry.name for entry in listed(path).entries]


@pytest.mark.parametrize(
    ("members", "names", "passed_over"),
    [
        ("orl/s1/1.pgm orl/s2/1.pgm orl/x.txt y.txt", "s1/1.pgm s2/1.pgm", "x.txt y.txt"),
        ("Aaron/Aaron_1.pgm Aaron/Aaron_2.pgm", "Aaron_1.pgm Aaron_2.pgm", ""),
        ("1.pgm __MACOSX/._1.pgm __MACOSX/s1/._2.pgm", "1.pgm", "__MACOSX/"),
        ("README.txt", "", "README.txt"),
    ],
)
@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_folders_in_archives(tmp_path, name, members, names, passed_over):
    """Common ones are left out of the names, hidden ones passed over once."""
    folder = make(tmp_path / "files", dict.fromkeys(members.split(), b"content"))
    found = listed(packed(folder, tmp_path / name))
    assert [entry.name for entry in found.entries] == names.split()
    assert [name for name, _ in found.passed_over] == passed_over.split()


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path):
    folder = people(tmp_path / "files", 2, 1)
    zipped(folder, folder / "z.zip", zipfile.ZIP_STORED)
    assert names(tarred(folder, tmp_path / "a.tar")) == ["s1/1.pgm", "s2/1.pgm"]


@pytest.mark.parametrize("length", [4, 100, 1000, None])
def test_a_damaged_zip_is_told_by_its_beginning(tmp_path, length):
    path = zipped(people(tmp_path / "files", 4, 4), tmp_path / "faces.zip")
    path.write_bytes(path.read_bytes().replace(b"PK\x01\x02", b"PK\x01\x03")[:length])
    with pytest.raises(ArchiveError, match=f"The archive {path} is damaged .*: get it"):
        listed(path)


class TestZip:
    def test_encrypted(self, tmp_path):
        path = zipped(people(tmp_path / "files", 2, 1), tmp_path / "a.zip")
        content = bytearray(path.read_bytes())
        content[content.rindex(b"s1/1.pgm") - 38] |= 1  # flags in the list at the end
        path.write_bytes(content)
        assert listed(path).skipped == [("s1/1.pgm", "encrypted")]
        content[content.rindex(b"s2/1.pgm") - 38] |= 1
        path.write_bytes(content)
        with pytest.raises(ArchiveError, match=f"{path} is encrypted: unpack it with"):
            listed(path)

    def test_bombs(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sources, "BOMB_BYTES", 2**20)
        files = {"bomb.bmp": bytes(2**20 + 1), "1.pgm": PGM}
        found = listed(zip_of(tmp_path / "a.zip", files, compression=zipfile.ZIP_DEFLATED))
        assert [entry.name for entry in found.entries] == ["1.pgm"]
        [(name, reason)] = found.skipped
        assert name == "bomb.bmp"
        assert reason.startswith("decompression bomb: 1048577 bytes from ")

    def test_odd_members(self, tmp_path):
        """Names stay inside, links are not followed, and of two of a name the last counts."""
        names = ("../../up.pgm", "/etc/abs.pgm", "./s1//here.pgm", "..", "w\\in.pgm", "1.pgm")
        path = zip_of(tmp_path / "a.zip", dict.fromkeys(names, PGM))
        link = zipfile.ZipInfo("link.pgm")
        link.external_attr = 0o120777 << 16
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(link, "/etc/passwd")
            with pytest.warns(UserWarning, match="Duplicate name"):
                archive.writestr("1.pgm", b"second")
        found = listed(path)
        contents = {entry.name: entry.read(10**4) for entry in found.entries}
        inside = ("etc/abs.pgm", "s1/here.pgm", "up.pgm", "w/in.pgm")
        assert contents == {"1.pgm": b"second", **dict.fromkeys(inside, PGM)}
        assert ("1.pgm", "replaced by a later file of that name") in found.passed_over
        assert found.skipped == [("link.pgm", "link or device in the archive")]

    def test_threads_may_read_at_once(self, tmp_path):
        folder = people(tmp_path / "files", 8, 8)
        entries = listed(zipped(folder, tmp_path / "a.zip")).entries * 4
        with ThreadPoolExecutor(4) as pool:
            read = list(pool.map(lambda entry: entry.read(10**6), entries))
        assert read == [(folder / entry.name).read_bytes() for entry in entries]


class TestTar:
    @pytest.mark.parametrize("mode", ["w", "w:gz"])
    def test_links_and_devices_are_not_followed(self, tmp_path, mode):
        with tarfile.open(tmp_path / "a.tar", mode) as archive:
            for name, kind, content in (
                ("sym.pgm", tarfile.SYMTYPE, b""),
                ("hard.pgm", tarfile.LNKTYPE, b""),
                ("dev.pgm", tarfile.CHRTYPE, b""),
                ("fifo", tarfile.FIFOTYPE, b""),
                ("../1.pgm", tarfile.REGTYPE, PGM),
                ("/2.pgm", tarfile.REGTYPE, PGM),
                ("2.pgm", tarfile.REGTYPE, PGM),
            ):
                info = tarfile.TarInfo(name)
                info.type, info.linkname, info.size = kind, "1.pgm", len(content)
                archive.addfile(info, io.BytesIO(content))
        found = listed(tmp_path / "a.tar")
        assert [entry.name for entry in found.entries] == ["1.pgm", "2.pgm"]
        reason = "link or device in the archive"
        assert found.skipped == [(f"{name}.pgm", reason) for name in ("dev", "hard", "sym")]
        assert found.passed_over == [
            ("2.pgm", "replaced by a later file of that name"),
            ("fifo", reason),
        ]

    @pytest.mark.parametrize("limit", ["MAX_KEPT_BYTES", "BOMB_TOTAL_BYTES"])
    def test_what_is_unpacked_and_kept_is_limited(self, tmp_path, monkeypatch, limit):
        files = {f"{i}.pgm": face() for i in range(4)} | {"x.txt": bytes(10_000)}
        path = tarred(make(tmp_path / "files", files), tmp_path / "a.tar.gz")
        monkeypatch.setattr(sources, limit, 600)  # what is no picture is not kept
        if limit == "MAX_KEPT_BYTES":
            assert len(names(path)) == 4
            monkeypatch.setattr(sources, limit, 500)
        with pytest.raises(ArchiveError, match=f"{path} holds more than .* unpack it"):
            listed(path)

    @pytest.mark.parametrize("kind", ["tar", "tar.gz"])
    def test_a_damaged_header_is_not_the_end(self, tmp_path, kind):
        path = tarred(people(tmp_path / "files"), tmp_path / "a.tar")
        content = path.read_bytes().replace(b"./s3/1.pgm", b"./s3/X.pgm")
        if kind == "tar.gz":
            content = gzip.compress(content)
        path.write_bytes(content)
        with pytest.raises(ArchiveError, match="unexpected end of data"):
            listed(path)
