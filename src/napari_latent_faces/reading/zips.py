"""What a zip archive holds, read in place."""

from __future__ import annotations

import io
import stat
import threading
import zipfile
from functools import partial
from typing import TYPE_CHECKING

from napari_latent_faces.reading.members import (
    ArchiveError,
    Members,
    damage_named,
    inner_name,
)
from napari_latent_faces.reading.remote import is_url, open_url, shown
from napari_latent_faces.reading.sources import Listing, open_file

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["list_zip"]

# A black picture shrinks a thousandfold as well, but it does not fill this much memory.
BOMB_BYTES = 16 * 2**20
BOMB_RATIO = 200
# Many black pictures are no bomb either, before they fill this much.
BOMB_TOTAL_BYTES = 4 * 2**30


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


def list_zip(path: str, pulse: Callable[[], None]) -> Listing:
    """List what a zip archive holds.

    Parameters
    ----------
    path : str
        The archive.
    pulse : callable
        Called for every member; what it raises ends the listing.

    Raises
    ------
    ArchiveError
        If it is damaged, encrypted or a bomb.
    """
    archive = _Zip(path)
    members = Members()
    encrypted = 0
    try:
        with damage_named(path):
            infos = [info for info in archive.members() if info.filename[-1:] != "/"]
            _check_total(path, infos)
        for info in infos:
            pulse()
            name = inner_name(info.filename)
            if not members.is_wanted(name):
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
            f"The archive {shown(path)} is encrypted: unpack it with its password and open the "
            "folder."
        )
    found.close = archive.close
    return found


def _check_total(path: str, infos: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive that is small only because its members overlap or hold nothing."""
    with open_file(path) as file:
        there = file.seek(0, io.SEEK_END)
    packed = sum(info.compress_size for info in infos)
    unpacked = sum(info.file_size for info in infos)
    if packed > there:
        raise ArchiveError(
            f"The archive {shown(path)} is damaged or a decompression bomb: its members take "
            f"{packed} bytes of {there}. Get it again from a source that you trust."
        )
    if unpacked > max(BOMB_TOTAL_BYTES, BOMB_RATIO * there):
        raise ArchiveError(
            f"The archive {shown(path)} is a decompression bomb: {unpacked} bytes from "
            f"{there}. If you trust it, unpack it and open the folder."
        )


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
