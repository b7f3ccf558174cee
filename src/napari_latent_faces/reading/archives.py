"""What zip and tar archives hold, read in place: nothing is unpacked to disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import posixpath
import stat
import struct
import sys
import tarfile
import threading
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import IO, TYPE_CHECKING, Any, cast

from napari_latent_faces.reading.formats import Judgement, is_hidden, judge_name
from napari_latent_faces.reading.remote import is_url, open_url
from napari_latent_faces.reading.sources import (
    MAX_PICTURE_BYTES,
    Listing,
    open_file,
    read_part,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Lister = Callable[[str, Callable[[], None]], Listing]

__all__ = ["DAMAGE", "ArchiveError", "Members", "archive_lister", "list_archive"]

# A black picture shrinks a thousandfold as well, but it does not fill this much memory.
BOMB_BYTES = 16 * 2**20
BOMB_RATIO = 200

# A compressed tar can only be read from its start, so its pictures stay in memory, as
# compressed as they are themselves.
MAX_TAR_BYTES = 4 * 2**30
MAX_KEPT_BYTES = 2**30

DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
)

_OPENERS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}


class ArchiveError(ValueError):
    """An archive cannot be read: damaged, encrypted, or a bomb."""


def archive_lister(path: str) -> Lister | None:
    """Return what lists an archive, told by its content; None if the file is none.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    head = read_part(path, 512)
    for magic, opener in _OPENERS.items():
        if head.startswith(magic):
            return partial(_list_compressed_tar, opener)
    # a tar may well end in a stored zip, so that it looks like one
    if head[257:262] == b"ustar":
        return _list_tar
    with open_file(path) as file:
        if zipfile.is_zipfile(file):
            return _list_zip
        file.seek(0)
        return _list_tar if tarfile.is_tarfile(file) else None


def list_archive(path: str, lister: Lister, pulse: Callable[[], None]) -> Listing:
    """List what a zip or tar archive holds.

    Folders that all pictures lie in are left out of their names.

    Parameters
    ----------
    path : str
        The archive.
    lister : callable
        That of `archive_lister`.
    pulse : callable
        Called for every member; what it raises ends the listing.

    Raises
    ------
    ArchiveError
        If it is damaged or encrypted.
    """
    found = lister(path, pulse)
    _drop_common_folder(found)
    return found.complete(pulse)


@contextmanager
def _damage_named(path: str) -> Iterator[None]:
    try:
        yield
    except (ArchiveError, ConnectionError):  # the way to it broke, not the archive
        raise
    except DAMAGE as error:
        raise ArchiveError(
            f"The archive {path} is damaged ({error}): get it again, or unpack what is left of "
            "it and open the folder."
        ) from error


def _inner_name(name: str) -> str:
    """Return a member's name as a plain relative path, whatever it claims."""
    parts = name.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in {"", ".", ".."})


class Members:
    """The files of an archive or bucket under their names; of several, the last counts."""

    def __init__(self) -> None:
        self._found = Listing()
        self._files: dict[str, tuple[int, Callable[[int], bytes]]] = {}
        self._hidden: set[str] = set()

    def is_wanted(self, name: str) -> bool:
        """Tell whether a member is to be read; record it if it lies in a hidden folder."""
        *folders, base = name.split("/")
        hidden = next((i for i, folder in enumerate(folders) if is_hidden(folder)), None)
        if hidden is not None:
            self._hidden.add("/".join(folders[: hidden + 1]) + "/")
            return False
        return bool(base)

    def add(self, name: str, size: int, read: Callable[[int], bytes]) -> None:
        """Put a file under its name, in place of an earlier one."""
        if name in self._files:
            self._found.passed_over.append((name, "replaced by a later file of that name"))
        self._files[name] = size, read

    def leave_out(self, name: str, reason: str) -> None:
        """Record a file that is not read."""
        self._found.leave_out(name, reason)

    def listing(self) -> Listing:
        """Return what was found."""
        for name, (size, read) in self._files.items():
            self._found.add(name, size, read)
        for folder in self._hidden:
            self._found.passed_over.append((folder, "hidden or system folder"))
        return self._found


class _Zip:
    """A zip file that any thread may read from, opened when it is needed."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file: zipfile.ZipFile | None = None

    def __reduce__(self) -> tuple[type[_Zip], tuple[str]]:
        return type(self), (self._path,)

    def members(self) -> list[zipfile.ZipInfo]:
        with self._lock:
            return self._opened().infolist()

    def read(self, member: zipfile.ZipInfo, limit: int) -> bytes:
        with self._lock, self._opened().open(member) as file:
            return file.read(limit)

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _opened(self) -> zipfile.ZipFile:
        if self._file is None:
            path = self._path
            self._file = zipfile.ZipFile(open_url(path) if is_url(path) else path)
        return self._file


def _list_zip(path: str, pulse: Callable[[], None]) -> Listing:
    archive = _Zip(path)
    members = Members()
    encrypted = 0
    try:
        with _damage_named(path):
            infos = archive.members()
        for info in infos:
            pulse()
            name = _inner_name(info.filename)
            if info.is_dir() or not members.is_wanted(name):
                continue
            reason = _zip_fault(info)
            if reason:
                members.leave_out(name, reason)
                encrypted += reason == "encrypted"
            else:
                members.add(name, info.file_size, partial(_read_zipped, archive, info))
    finally:
        archive.close()
    found = members.listing()
    if encrypted and not found.entries:
        raise ArchiveError(
            f"The archive {path} is encrypted: unpack it with its password and open the folder."
        )
    found.close = archive.close
    return found


def _read_zipped(archive: _Zip, member: zipfile.ZipInfo, limit: int) -> bytes:
    return archive.read(member, limit)


def _zip_fault(info: zipfile.ZipInfo) -> str:
    """Say why a member is not read, if so."""
    if stat.S_IFMT(info.external_attr >> 16) not in {0, stat.S_IFREG}:
        return "link or device in the archive"
    if info.flag_bits & 1:
        return "encrypted"
    if info.file_size > BOMB_BYTES and info.file_size > BOMB_RATIO * info.compress_size:
        return f"decompression bomb: {info.file_size} bytes from {info.compress_size}"
    return ""


def _list_tar(path: str, pulse: Callable[[], None]) -> Listing:
    members = Members()
    with open_file(path) as file:
        stream = _Metered(file, path, sys.maxsize)
        for name, info, _ in _regular_members(path, stream, members, pulse):
            read = partial(_read_stored, path, info.offset_data, info.size)
            members.add(name, info.size, read)
    return members.listing()


def _read_stored(path: str, start: int, size: int, limit: int) -> bytes:
    return read_part(path, min(size, limit), start)


def _list_compressed_tar(
    opener: Callable[[IO[bytes]], Any], path: str, pulse: Callable[[], None]
) -> Listing:
    members = Members()
    kept = 0
    with open_file(path) as packed, opener(packed) as file:
        stream = _Metered(file, path, MAX_TAR_BYTES)
        for name, info, tar in _regular_members(path, stream, members, pulse):
            with _damage_named(path):
                content = _content(tar, info, name)
            kept += len(content)
            if kept > MAX_KEPT_BYTES:
                raise ArchiveError(_too_large(path, MAX_KEPT_BYTES))
            members.add(name, info.size, partial(_head_of, content))
    return members.listing()


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo, name: str) -> bytes:
    """Read a member now, if it may be a picture: there is no way back in the stream."""
    judgement, _ = judge_name(name.rpartition("/")[2])
    if judgement in {Judgement.SKIP, Judgement.PASS_OVER} or info.size > MAX_PICTURE_BYTES:
        return b""
    file = tar.extractfile(info)
    return file.read() if file else b""


def _head_of(content: bytes, limit: int) -> bytes:
    return content[:limit]


def _regular_members(
    path: str, stream: _Metered, members: Members, pulse: Callable[[], None]
) -> Iterator[tuple[str, tarfile.TarInfo, tarfile.TarFile]]:
    with _damage_named(path):
        tar = tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r:")  # noqa: SIM115
    while True:
        pulse()  # not inside the guard: what it raises is the caller's own
        with _damage_named(path):
            info = tar.next()
            if info is None:
                stream.check_end()
                return
        name = _inner_name(info.name)
        if info.isdir() or not members.is_wanted(name):
            continue
        if info.isreg() and not info.issparse():
            yield name, info, tar
        else:
            members.leave_out(name, "link or device in the archive")


class _Metered:
    """A tar's content that ends with an error where a bomb would go on."""

    def __init__(self, stream: IO[bytes], path: str, limit: int) -> None:
        self._stream = stream
        self._path = path
        self._limit = limit
        self._last = b""
        self.tell = stream.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_PICTURE_BYTES:
            raise ArchiveError(_too_large(self._path, MAX_PICTURE_BYTES))
        self._last = self._stream.read(size)
        return self._last

    def seek(self, offset: int) -> int:
        if offset > self._limit:
            raise ArchiveError(_too_large(self._path, self._limit))
        return self._stream.seek(offset)

    def check_end(self) -> None:
        """Raise unless nothing or zeros follow: tarfile takes a damaged header for the end."""
        if self._last.strip(b"\0"):
            raise tarfile.ReadError("unexpected end of data")


def _too_large(path: str, limit: int) -> str:
    return (
        f"The archive {path} holds more than {limit >> 20} MiB, too much to keep in memory: "
        "unpack it and open the folder, or make a zip archive of it."
    )


def _drop_common_folder(found: Listing) -> None:
    """Leave the folders that all pictures lie in out of all names."""
    # with the slash that commonpath takes away for one folder and for none
    folders = {f"/{entry.name}".rpartition("/")[0] + "/" for entry in found.entries}
    prefix = posixpath.commonpath(folders).strip("/") + "/" if folders else "/"
    if prefix == "/":
        return
    found.entries = [
        replace(entry, name=entry.name.removeprefix(prefix)) for entry in found.entries
    ]
    found.skipped = [(n.removeprefix(prefix), why) for n, why in found.skipped]
    found.passed_over = [(n.removeprefix(prefix) or n, why) for n, why in found.passed_over]
