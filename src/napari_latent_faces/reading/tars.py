"""What a tar archive holds, read in place; a compressed one from its start, once."""

from __future__ import annotations

import sys
import tarfile
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, Any, cast

from napari_latent_faces.reading.formats import Judgement, judge_name
from napari_latent_faces.reading.members import (
    ArchiveError,
    Members,
    damage_named,
    inner_name,
)
from napari_latent_faces.reading.remote import shown
from napari_latent_faces.reading.sources import (
    MAX_PICTURE_BYTES,
    Listing,
    open_file,
    read_part,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["list_compressed_tar", "list_tar"]

# A compressed tar can only be read from its start, so its pictures stay in memory, as
# compressed as they are themselves.
MAX_TAR_BYTES = 4 * 2**30
MAX_KEPT_BYTES = 2**30

# What a member's name and attributes may take; tarfile searches them in quadratic time, in
# some releases of Python 22 seconds for four times as many.
MAX_HEADER_BYTES = 2**14

_PIECE = 2**24  # skipped between two pulses


def list_tar(path: str, pulse: Callable[[], None]) -> Listing:
    """List what a tar archive holds.

    Parameters
    ----------
    path : str
        The archive.
    pulse : callable
        Called for every member; what it raises ends the listing.

    Raises
    ------
    ArchiveError
        If it is damaged.
    """
    members = Members()
    with open_file(path) as file:
        stream = _Metered(file, path, sys.maxsize)
        for name, info, _ in _regular_members(path, stream, members, pulse):
            read = partial(_read_stored, path, info.offset_data, info.size)
            members.add(name, info.size, read)
    return members.listing()


def _read_stored(path: str, start: int, size: int, limit: int) -> bytes:
    return read_part(path, min(size, limit), start)


def list_compressed_tar(
    opener: Callable[[IO[bytes]], Any], path: str, pulse: Callable[[], None]
) -> Listing:
    """List what a compressed tar holds, and keep its pictures.

    Parameters
    ----------
    opener : callable
        Unpacks a stream.
    path, pulse
        As of `list_tar`; also called many times in a large member.

    Raises
    ------
    ArchiveError
        If it is damaged or a bomb.
    """
    members = Members()
    try:
        with open_file(path) as packed, opener(packed) as file:
            stream = _Metered(_Skipping(file, pulse), path, MAX_TAR_BYTES)
            _keep_pictures(path, stream, members, pulse)
            with damage_named(path):
                stream.seek_end()  # where the checksum is, which tells of changed pictures
    except _PulseEndedError as end:
        raise end.args[0] from None
    return members.listing()


def _keep_pictures(
    path: str, stream: _Metered, members: Members, pulse: Callable[[], None]
) -> None:
    kept = 0
    for name, info, tar in _regular_members(path, stream, members, pulse):
        with damage_named(path):
            content = _content(tar, info, name)
        kept += len(content)
        if kept > MAX_KEPT_BYTES:
            raise ArchiveError(_too_large(path, MAX_KEPT_BYTES))
        members.add(name, info.size, partial(_head_of, content))


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
    with damage_named(path), stream.header():
        tar = tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r:")  # noqa: SIM115
    place = -1
    while True:
        pulse()  # not inside the guard: what it raises is the caller's own
        with damage_named(path), stream.header():
            info = tar.next()
            if info is None:
                stream.check_end()
                return
            if info.size < 0 or tar.offset <= place:
                raise tarfile.ReadError("a member ends before it starts")
            place = tar.offset
        name = inner_name(info.name)
        if info.isdir() or not members.is_wanted(name):
            continue
        if info.isreg() and not info.issparse():
            yield name, info, tar
        else:
            members.leave_out(name, "link or device in the archive")


class _Metered:
    """A tar's content that ends with an error where a bomb would go on."""

    def __init__(self, stream: Any, path: str, limit: int) -> None:
        self._stream = stream
        self._path = path
        self._limit = limit
        self._last = b""
        self._left = MAX_PICTURE_BYTES
        self._in_header = False
        self.tell = stream.tell

    @contextmanager
    def header(self) -> Iterator[None]:
        """Allow no more to be read in the block than a header takes."""
        self._left, self._in_header = MAX_HEADER_BYTES, True
        try:
            yield
        finally:
            self._left, self._in_header = MAX_PICTURE_BYTES, False

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self._left:
            raise tarfile.ReadError(f"{size} bytes where at most {self._left} are allowed")
        if self._in_header:
            self._left -= size
        self._last = self._stream.read(size)
        return self._last

    def seek(self, offset: int) -> int:
        if offset > self._limit:
            raise ArchiveError(_too_large(self._path, self._limit))
        place: int = self._stream.seek(offset)
        return place

    def seek_end(self) -> None:
        """Go to the end, as far as the limit allows."""
        place = -1
        while place < (place := self.tell()):
            self.seek(place + _PIECE)

    def check_end(self) -> None:
        """Raise unless nothing or zeros follow: tarfile takes a damaged header for the end."""
        if self._last.strip(b"\0"):
            raise tarfile.ReadError("unexpected end of data")


class _PulseEndedError(BaseException):
    """What a pulse raised, on its way through code that takes exceptions for damage."""


class _Skipping:
    """A compressed stream in which a long way is gone in steps, with a pulse at each."""

    def __init__(self, stream: IO[bytes], pulse: Callable[[], None]) -> None:
        self._stream = stream
        self._pulse = pulse
        self.tell = stream.tell
        self.read = stream.read

    def seek(self, offset: int) -> int:
        while (place := self.tell()) < offset - _PIECE:
            self._stream.seek(place + _PIECE)
            if self.tell() == place:  # the end
                break
            try:
                self._pulse()
            except BaseException as error:
                raise _PulseEndedError(error) from error
        return self._stream.seek(offset)


def _too_large(path: str, limit: int) -> str:
    return (
        f"The archive {shown(path)} holds more than {limit >> 20} MiB, too much to keep in "
        "memory: unpack it and open the folder, or make a zip archive of it."
    )
