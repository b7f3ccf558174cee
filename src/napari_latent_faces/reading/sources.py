"""Where pictures come from: what a folder holds, and how its files are opened."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field, replace
from functools import partial
from typing import IO, TYPE_CHECKING, TypeVar

from napari_latent_faces.files import open_regular
from napari_latent_faces.reading.formats import (
    Judgement,
    is_hidden,
    is_picture_name,
    judge_name,
)
from napari_latent_faces.reading.naming import natural_key, printable
from napari_latent_faces.reading.remote import is_url, open_url, read_url_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["MAX_PICTURE_BYTES", "Entry", "Listing", "list_folder", "open_file", "read_part"]

Item = TypeVar("Item")

MAX_PICTURE_BYTES = 256 * 2**20  # larger files are no faces


@dataclass(frozen=True)
class Entry:
    """A file that may be a picture.

    Parameters
    ----------
    name : str
        Its relative path, with ``/`` between the parts.
    size : int
        Its bytes, as far as the folder or archive says.
    read : callable
        Takes a number of bytes and returns at most so many from the file's start; may
        be called on any thread.
    certain : bool
        Whether its name says that it is a picture; else its content decides.
    """

    name: str
    size: int
    read: Callable[[int], bytes]
    certain: bool = True

    def in_memory(self) -> Entry:
        """Return the same file, read into memory."""
        content = self.read(MAX_PICTURE_BYTES)
        # several times faster than `replace`
        return Entry(self.name, self.size, lambda limit: content[:limit], self.certain)


@dataclass
class Listing:
    """What a folder or archive holds, in natural order once it is complete.

    Parameters
    ----------
    entries : list of Entry
        The files that may be pictures.
    skipped, passed_over : list of (str, str)
        Names and reasons, as in `ReadReport`.
    close : callable
        Called when nothing is to be read for now; entries can be read all the same later.
    """

    entries: list[Entry] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    close: Callable[[], None] = lambda: None

    def add(self, name: str, size: int, read: Callable[[int], bytes]) -> None:
        """Put a regular file where it belongs, judged by its name and size."""
        judgement, reason = judge_name(name.rpartition("/")[2])
        if judgement is Judgement.PASS_OVER:
            self.passed_over.append((name, reason))
        elif size == 0:
            self.passed_over.append((name, "empty file"))
        elif judgement is Judgement.SKIP:
            self.skipped.append((name, reason))
        elif size > MAX_PICTURE_BYTES:
            self.leave_out(name, f"larger than {MAX_PICTURE_BYTES >> 20} MiB")
        else:
            certain = judgement is Judgement.PICTURE
            self.entries.append(Entry(name, size, read, certain))

    def leave_out(self, name: str, reason: str) -> None:
        """Record a file that is not read: as skipped if its name is that of a picture."""
        wanted = is_picture_name(name.rpartition("/")[2])
        (self.skipped if wanted else self.passed_over).append((name, reason))

    def complete(self, pulse: Callable[[], None]) -> Listing:
        """Sort everything naturally and make all names printable."""
        entries = in_natural_order(self.entries, [entry.name for entry in self.entries], pulse)
        self.entries = [
            entry
            if (name := printable(entry.name)) == entry.name
            else replace(entry, name=name)
            for entry in entries
        ]
        for pairs in (self.skipped, self.passed_over):
            ordered = in_natural_order(pairs, [name for name, _ in pairs], pulse)
            pairs[:] = [(printable(name), reason) for name, reason in ordered]
        return self


def in_natural_order(
    items: Iterable[Item], names: Iterable[str], pulse: Callable[[], None] = lambda: None
) -> list[Item]:
    """Return items in the natural order of their names."""
    keyed = []
    for place, (name, item) in enumerate(zip(names, items, strict=True)):
        pulse()  # many names take a while
        keyed.append((natural_key(name), place, item))
    keyed.sort()
    return [item for _, _, item in keyed]


def list_folder(root: str, pulse: Callable[[], None]) -> Listing:
    """List what a folder and the folders in it hold.

    Links to folders are followed once each, after the real folders, and never to a
    folder above `root`.

    Parameters
    ----------
    root : str
        The folder.
    pulse : callable
        Called for every file; what it raises ends the listing.

    Raises
    ------
    PermissionError
        If `root` itself may not be read. Other unreadable folders are reported.
    """
    return _Walk(root, pulse).listing()


class _Walk:
    """One walk through a folder tree, without recursion: trees may be deep."""

    def __init__(self, root: str, pulse: Callable[[], None]) -> None:
        self._pulse = pulse
        self._found = Listing()
        self._folders = [(root, "")]
        self._links: list[tuple[str, str]] = []
        self._seen = {_identity(folder) for folder in _folders_above(root)}

    def listing(self) -> Listing:
        while self._folders or self._links:
            path, name = self._folders.pop() if self._folders else self._next_link()
            identity = _identity(path)
            if identity in self._seen:
                self._found.passed_over.append((name, "link to a folder read elsewhere"))
            else:
                self._seen.add(identity)
                self._look_into(path, name)
        return self._found.complete(self._pulse)

    def _next_link(self) -> tuple[str, str]:
        self._links.sort(key=lambda link: natural_key(link[1]), reverse=True)
        return self._links.pop()

    def _look_into(self, path: str, name: str) -> None:
        try:
            with os.scandir(path) as items:
                listed = list(items)
        except OSError as error:
            if name:
                self._found.skipped.append((name, f"folder not readable: {error.strerror}"))
                return
            raise type(error)(
                f"The folder {path} cannot be read ({error.strerror}): check its permissions."
            ) from error
        for item in listed:
            self._pulse()
            self._sort_in(item, name + item.name)

    def _sort_in(self, item: os.DirEntry[str], name: str) -> None:
        try:
            info = item.stat()
        except OSError as error:
            what = "broken link" if item.is_symlink() else error.strerror
            self._found.leave_out(name, what or "not readable")
            return
        if stat.S_ISREG(info.st_mode):
            self._found.add(name, info.st_size, partial(read_part, item.path))
        elif not stat.S_ISDIR(info.st_mode):
            self._found.passed_over.append((name, "no regular file"))
        elif is_hidden(item.name):
            self._found.passed_over.append((f"{name}/", "hidden or system folder"))
        else:
            rest = self._links if item.is_symlink() else self._folders
            rest.append((item.path, f"{name}/"))


def _identity(path: str) -> tuple[int, int] | str:
    """Return what tells folders apart, however they are reached."""
    try:
        info = os.stat(path)  # noqa: PTH116 - plain paths are several times faster
    except OSError:
        return path
    return info.st_dev, info.st_ino


def _folders_above(root: str) -> list[str]:
    """Return all folders that `root` lies in, but not itself."""
    folders = []
    path = os.path.realpath(root)
    while (above := os.path.dirname(path)) != path:  # noqa: PTH120
        folders.append(above)
        path = above
    return folders


def open_file(path: str) -> IO[bytes]:
    """Open a file, or what a URL leads to, to read anywhere in it.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    return open_url(path) if is_url(path) else open_regular(path)


def read_part(path: str, limit: int, start: int = 0) -> bytes:
    """Return at most `limit` bytes of a regular file or URL, from `start` on.

    Parameters
    ----------
    path : str
        The file, or its URL.
    limit : int
        The most bytes.
    start : int
        The first byte.

    Raises
    ------
    OSError
        If it cannot be read or is no regular file.
    """
    if is_url(path):
        return read_url_part(path, limit, start)
    with open_regular(path, buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if start:
            file.seek(start)
        # a buffer of `limit` bytes would be made otherwise
        return file.read(max(0, min(limit, size - start))) or b""
