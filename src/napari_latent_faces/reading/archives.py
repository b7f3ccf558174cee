"""What zip and tar archives hold, read in place: nothing is unpacked to disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import posixpath
import tarfile
import zipfile
from dataclasses import replace
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from napari_latent_faces.reading.members import ArchiveError, damage_named
from napari_latent_faces.reading.sources import Listing, open_file, read_part
from napari_latent_faces.reading.tars import list_compressed_tar, list_tar
from napari_latent_faces.reading.zips import list_zip

if TYPE_CHECKING:
    from collections.abc import Callable

    Lister = Callable[[str, Callable[[], None]], Listing]

__all__ = ["ArchiveError", "archive_lister", "list_archive"]

_OPENERS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}


def archive_lister(path: str) -> Lister | None:
    """Return what lists an archive, told by its content; None if the file is none.

    Raises
    ------
    OSError
        If the file cannot be read.
    ArchiveError
        If it is damaged where its kind is told.
    """
    head = read_part(path, 512)
    for magic, opener in _OPENERS.items():
        if head.startswith(magic):
            return partial(list_compressed_tar, opener)
    # a tar may well end in a stored zip, so that it looks like one
    if head[257:262] == b"ustar":
        return list_tar
    # looking is reading: it fails on damage as reading does
    with open_file(path) as file, damage_named(path):
        # one whose end is damaged or missing is told by its beginning
        if head.startswith(b"PK\3\4") or zipfile.is_zipfile(file):
            return list_zip
        file.seek(0)
        return list_tar if tarfile.is_tarfile(file) else None


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
