"""A quick look at whether a folder or archive holds pictures."""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections import deque
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from napari_latent_faces.reading.formats import (
    HEAD_BYTES,
    Judgement,
    is_hidden,
    judge_name,
    starts_like_picture,
)
from napari_latent_faces.reading.sources import read_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike

__all__ = ["ARCHIVES", "looks_like_faces"]

ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")

MAX_ENTRIES = 400  # looked at in all
MAX_ENTRIES_AT_TOP = 250  # so that a long folder leaves some for those in it
MAX_ENTRIES_BELOW = 50
MAX_DEPTH = 3
MAX_ARCHIVE_BYTES = 64 * 2**20  # of a tar, which can only be read from its start

_OTHER_FOLDERS = (".zarr", ".n5")
_ZARR_FILES = frozenset({"zarr.json", ".zgroup", ".zattrs", ".zarray"})

Item = tuple[str, "Callable[[int], bytes]"]  # a file's name and what reads its start


def looks_like_faces(path: str | PathLike[str]) -> bool:
    """Tell quickly whether `read_faces` may find pictures at a path.

    At most a few hundred files are looked at, however large the folder or archive, and
    folders at most three deep.

    Parameters
    ----------
    path : path-like
        A folder or archive, or anything else.

    Returns
    -------
    bool
        False for folders of chunked arrays (zarr, n5), and for what is missing or cannot
        be read.
    """
    path = os.fspath(path)
    try:
        items = _items(path)
        return any(_is_picture(*item) for item in islice(items, MAX_ENTRIES))
    except Exception:  # noqa: BLE001 - whatever it is, it is not for us
        return False


def _items(path: str) -> Iterator[Item]:
    lower = path.rstrip("/\\").lower()
    if os.path.isdir(path):  # noqa: PTH112 - also for names that Path refuses
        if not lower.endswith(_OTHER_FOLDERS) and _ZARR_FILES.isdisjoint(_names(path)):
            yield from _in_folder(path)
    elif not lower.endswith(ARCHIVES) or not os.path.isfile(path):  # noqa: PTH113
        return
    elif lower.endswith(".zip"):
        yield from _in_zip(path)
    else:
        yield from _in_tar(path)


def _names(path: str) -> set[str]:
    """Return which of zarr's files a folder has, without listing it."""
    return {name for name in _ZARR_FILES if os.path.exists(os.path.join(path, name))}  # noqa: PTH110, PTH118


def _is_picture(name: str, read: Callable[[int], bytes]) -> bool:
    judgement, _ = judge_name(name)
    if judgement is Judgement.UNKNOWN:
        return starts_like_picture(read(HEAD_BYTES))
    return judgement is Judgement.PICTURE


def _in_folder(root: str) -> Iterator[Item]:
    """Yield the first files of each folder, the upper folders first."""
    folders = deque([(root, 1)])
    left = MAX_ENTRIES
    while folders and left > 0:
        folder, depth = folders.popleft()
        entries = _entries(folder, MAX_ENTRIES_AT_TOP if depth == 1 else MAX_ENTRIES_BELOW)
        left -= len(entries)
        for entry in entries:
            if entry.is_file():
                yield entry.name, partial(read_part, entry.path)
            elif entry.is_dir() and depth < MAX_DEPTH and not is_hidden(entry.name):
                folders.append((entry.path, depth + 1))


def _entries(folder: str, limit: int) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(islice(entries, limit))
    except OSError:
        return []


def _in_zip(path: str) -> Iterator[Item]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()[:MAX_ENTRIES]
        bases = [os.path.basename(member.filename) for member in members]  # noqa: PTH119
        if not _ZARR_FILES.isdisjoint(bases):
            return
        for base, member in zip(bases, members, strict=True):
            if base:
                yield base, partial(_read_zipped, archive, member)


def _read_zipped(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    with archive.open(member) as file:
        return file.read(limit)


def _in_tar(path: str) -> Iterator[Item]:
    with tarfile.open(path) as archive:
        for member in archive:
            base = os.path.basename(member.name)  # noqa: PTH119
            if base in _ZARR_FILES or member.offset_data + member.size > MAX_ARCHIVE_BYTES:
                return
            if member.isreg():
                yield base, partial(_read_tarred, archive, member)


def _read_tarred(archive: tarfile.TarFile, member: tarfile.TarInfo, limit: int) -> bytes:
    file = archive.extractfile(member)
    return file.read(limit) if file else b""
