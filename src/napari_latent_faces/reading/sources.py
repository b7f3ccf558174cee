"""What lies at a path: folder, zip, tar or URL, as named sources of bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import posixpath
import stat
import tarfile
import threading
import zipfile
import zlib
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, Self, cast

from napari_latent_faces.files import CONTENTS, open_regular, read_contents
from napari_latent_faces.reading.arrays import (
    is_array_name,
    looks_like_arrays,
    starts_like_array,
)
from napari_latent_faces.reading.naming import (
    HEAD_BYTES,
    MAX_TABLE_BYTES,
    Judgement,
    is_hidden,
    is_picture_name,
    is_table_name,
    judge_name,
    natural_key,
    starts_like_picture,
)
from napari_latent_faces.reading.urls import (
    explanation,
    is_url,
    list_url,
    open_url,
    read_url,
    shown,
    url_is_folder,
)
from napari_latent_faces.stack import harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from os import PathLike

    Check = Callable[[], None]
    Read = Callable[[int], bytes]

__all__ = [
    "MAX_PICTURE_BYTES",
    "ArchiveError",
    "Entry",
    "Listing",
    "NoFacesError",
    "in_natural_order",
    "list_sources",
    "looks_like_faces",
    "read_file",
    "unpacked",
]

MAX_PICTURE_BYTES = 256 * 2**20  # larger files are no faces


class NoFacesError(ValueError):
    """There is no face picture where some were looked for."""


class ArchiveError(ValueError):
    """An archive cannot be read: damaged, encrypted, or a bomb."""


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
        Takes a number of bytes and returns at most so many from the file's start. It may
        be called on any thread, at any time later, and can be pickled.
    certain : bool
        Whether its name says that it is a picture; else its content decides.
    """

    name: str
    size: int
    read: Read
    certain: bool = True


@dataclass
class Listing:
    """What a folder or archive holds.

    Parameters
    ----------
    entries : list of Entry
        The files that may be pictures.
    arrays : list of Entry
        Files of numbers, which are read only if there is no picture; they are among
        `passed_over` as well.
    tables : list of Entry
        Files of text that may say whose pictures they are; they are elsewhere as well.
    results : list of Entry
        What tells that a folder holds results of ours, and which.
    skipped, passed_over : list of (str, str)
        Names and reasons, as in `ReadReport`.
    close : callable
        Called when nothing is to be read for now; entries can be read all the same later.
    is_one_file : bool
        Whether it is no folder or archive, but a picture of several pages.
    """

    entries: list[Entry] = field(default_factory=list)
    arrays: list[Entry] = field(default_factory=list)
    tables: list[Entry] = field(default_factory=list)
    results: list[Entry] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    close: Callable[[], None] = lambda: None
    is_one_file: bool = False

    def add(self, name: str, size: int, read: Read) -> None:
        """Put a regular file where it belongs, judged by its name and size."""
        base = name.rpartition("/")[2]
        judgement, reason = judge_name(base)
        if size and is_table_name(base) and not is_hidden(base):
            self.tables.append(Entry(name, size, read))
        if base == CONTENTS:
            self.results.append(Entry(name, size, read))
        if size and is_array_name(base) and not is_hidden(base):
            self.arrays.append(Entry(name, size, read))
            self.passed_over.append((name, reason or "a file of numbers among pictures"))
        elif judgement is Judgement.PASS_OVER:
            self.passed_over.append((name, reason))
        elif size == 0:
            self.passed_over.append((name, "empty file"))
        elif judgement is Judgement.SKIP:
            self.skipped.append((name, reason))
        elif size > MAX_PICTURE_BYTES:
            self.leave_out(name, f"larger than {MAX_PICTURE_BYTES >> 20} MiB")
        else:
            self.entries.append(Entry(name, size, read, judgement is Judgement.PICTURE))

    def leave_out(self, name: str, reason: str) -> None:
        """Record a file that is not read: as skipped if its name is that of a picture."""
        wanted = is_picture_name(name.rpartition("/")[2])
        (self.skipped if wanted else self.passed_over).append((name, reason))

    def _leave_out_results(self) -> None:
        """Leave out the pictures of components: they are no faces, though they look alike."""
        for result in self.results:
            kind, files = read_contents(result.read(MAX_TABLE_BYTES))
            if kind != "a fit":
                continue
            folder = result.name.removesuffix(CONTENTS)
            ours = {folder + name for name in files}
            left_out = {entry.name for entry in (*self.entries, *self.arrays)} & ours
            for entries in (self.entries, self.arrays, self.tables):
                entries[:] = [entry for entry in entries if entry.name not in ours]
            self.passed_over = [pair for pair in self.passed_over if pair[0] not in left_out]
            self.passed_over += [(name, _OF_A_FIT) for name in left_out]

    def rename(self, renamed: Callable[[str], str]) -> None:
        """Give everything another name."""
        for entries in (self.entries, self.arrays, self.tables, self.results):
            entries[:] = [
                entry
                if (name := renamed(entry.name)) == entry.name
                else replace(entry, name=name)
                for entry in entries
            ]
        self.skipped = [(renamed(name), why) for name, why in self.skipped]
        self.passed_over = [(renamed(name), why) for name, why in self.passed_over]

    def sort(self) -> None:
        """Sort everything naturally, make all names printable, leave out what is no face."""
        self._leave_out_results()
        for entries in (self.entries, self.arrays, self.tables):
            entries.sort(key=lambda entry: natural_key(entry.name))
        self.skipped = in_natural_order(self.skipped)
        self.passed_over = in_natural_order(self.passed_over)
        self.rename(harmless)


_OF_A_FIT = "a result of a fit, written by Latent faces: open its model.npz"


def in_natural_order(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return names and reasons in the natural order of the names."""
    return sorted(pairs, key=lambda pair: natural_key(pair[0]))


def list_sources(path: str, check: Check) -> Listing:
    """List the files in a folder or archive, or say why not.

    Parameters
    ----------
    path : str
        A folder or archive, or the URL of one.
    check : callable
        Called for every file; what it raises ends the listing.

    Raises
    ------
    FileNotFoundError, PermissionError, ConnectionError, ModuleNotFoundError, ValueError
        If it cannot be found or read.
    ArchiveError
        If an archive is damaged, encrypted or a bomb.
    NoFacesError
        If it is neither.
    """
    if is_url(path):
        found = _list_url(path, check) if url_is_folder(path) else _list_file(path, check)
    else:
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116 - one look, whatever it is
            is_file = stat.S_ISREG(mode)
            if is_file:
                open_regular(path).close()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(
                f"There is no folder or archive {path}: check the name."
            ) from error
        except PermissionError as error:
            raise PermissionError(
                f"{path} may not be read ({error.strerror}): check its permissions."
            ) from error
        if not is_file and not stat.S_ISDIR(mode):
            raise NoFacesError(f"{path} is neither a folder nor an archive of pictures.")
        found = _list_file(path, check) if is_file else _list_folder(path, check)
    found.sort()
    return found


# -- Folders ---------------------------------------------------------------------------


def _list_folder(root: str, check: Check) -> Listing:
    """List what a folder and the folders in it hold, without recursion: trees may be deep.

    Links to folders are followed once each, after the real folders, and never to a folder
    above `root`.
    """
    found = Listing()
    folders, links = [(root, "")], list[tuple[str, str]]()
    seen = {_identity(folder) for folder in _folders_above(root)}
    while folders or links:
        if not folders:
            links.sort(key=lambda link: natural_key(link[1]))
            folders.append(links.pop(0))
        path, prefix = folders.pop()
        identity = _identity(path)
        if identity in seen:
            found.passed_over.append((prefix, "link to a folder read elsewhere"))
            continue
        seen.add(identity)
        try:
            with os.scandir(path) as items:
                listed = list(items)
        except OSError as error:
            if not prefix:
                raise type(error)(
                    f"The folder {path} cannot be read ({error.strerror}): check its "
                    "permissions."
                ) from error
            found.skipped.append((prefix, f"folder not readable: {error.strerror}"))
            continue
        for item in listed:
            check()
            if _add_item(found, item, prefix + item.name):
                rest = links if item.is_symlink() else folders
                rest.append((item.path, f"{prefix}{item.name}/"))
    return found


def _add_item(found: Listing, item: os.DirEntry[str], name: str) -> bool:
    """Record what is no folder; return whether it is one that is to be looked into."""
    try:
        info = item.stat()
    except OSError as error:
        what = "broken link" if item.is_symlink() else error.strerror
        found.leave_out(name, what or "not readable")
        return False
    if stat.S_ISREG(info.st_mode):
        found.add(name, info.st_size, partial(read_file, item.path))
    elif not stat.S_ISDIR(info.st_mode):
        found.passed_over.append((name, "no regular file"))
    elif is_hidden(item.name):
        found.passed_over.append((f"{name}/", "hidden or system folder"))
    else:
        return True
    return False


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


def read_file(path: str, limit: int, start: int = 0) -> bytes:
    """Return at most `limit` bytes of a regular file or URL, from `start` on."""
    if is_url(path):
        return read_url(path, None, limit, start)
    with open_regular(path, buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if start:
            file.seek(start)
        # a buffer of `limit` bytes would be made otherwise
        return file.read(max(0, min(limit, size - start))) or b""


def _list_url(url: str, check: Check) -> Listing:
    """List what a folder behind a URL and the folders in it hold."""
    members = _Members()
    for name, address, size in list_url(url):
        check()
        # where the server does not say, it may be as large as is allowed
        size = MAX_PICTURE_BYTES if size is None else size  # noqa: PLW2901
        members.add(name, size, partial(read_url, url, address))
    return members.listing()


# -- Archives: nothing is unpacked to disk ---------------------------------------------

_UNPACK: dict[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"\x1f\x8b": cast("Any", gzip.open),
    b"BZh": cast("Any", bz2.open),
    b"\xfd7zXZ\0": cast("Any", lzma.open),
}
_OTHER_ARCHIVES = {
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x1f\x9d": "compressed by compress (.Z)",
    b"RDX": "a file of R",
}
_SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")

# A black picture shrinks a thousandfold as well, but it does not fill this much memory.
BOMB_BYTES = 16 * 2**20
BOMB_RATIO = 200
# Many black pictures are no bomb either, before they fill this much.
BOMB_TOTAL_BYTES = 4 * 2**30
# A compressed tar can only be read from its start, so its pictures stay in memory, as
# compressed as they are themselves.
MAX_KEPT_BYTES = 2**30
# What a member's name and attributes may take; tarfile searches them in quadratic time, in
# some releases of Python 22 seconds for four times as many.
MAX_HEADER_BYTES = 2**14


def unpacked(content: bytes, limit: int = MAX_PICTURE_BYTES) -> bytes:
    """Return what a compressed file holds; anything else stays as it is.

    Raises
    ------
    ValueError
        If that is more than `limit` bytes.
    """
    for magic, opener in _UNPACK.items():
        if content.startswith(magic):
            with opener(io.BytesIO(content)) as file:
                content = file.read(limit + 1)
            if len(content) > limit:
                raise ValueError(f"larger than {limit >> 20} MiB when it is unpacked")
    return content


def _list_file(path: str, check: Check) -> Listing:
    """List an archive, told by its content, or say what else the file is."""
    head = read_file(path, 512)
    opener = next((open_ for magic, open_ in _UNPACK.items() if head.startswith(magic)), None)
    if opener is not None:
        with _open_file(path) as packed, _damage_named(path), opener(packed) as file:
            head = file.read(512)
    # a tar may well end in a stored zip, so that it looks like one
    if (opener and not starts_like_picture(head[:HEAD_BYTES])) or head[257:262] == b"ustar":
        found = _list_tar(path, opener, check)
    elif not opener and (head.startswith(b"PK\3\4") or _is(zipfile.is_zipfile, path)):
        found = _list_zip(path, check)
    elif not opener and _is(tarfile.is_tarfile, path):
        found = _list_tar(path, None, check)
    elif is_picture_name(path) or starts_like_picture(head[:HEAD_BYTES]):
        found = Listing(is_one_file=True)
        found.add(os.path.basename(path), _size(path), partial(read_file, path))  # noqa: PTH119
    else:
        raise _other_file(path, head)
    _drop_common_folder(found)
    return found


def _size(path: str) -> int:
    with _open_file(path) as file:
        return file.seek(0, io.SEEK_END)


def _is(kind: Callable[[IO[bytes]], bool], path: str) -> bool:
    with _open_file(path) as file, _damage_named(path):
        return kind(file)


def _other_file(path: str, head: bytes) -> ValueError:
    """Say what a file is that is no archive."""
    for magic, what in _OTHER_ARCHIVES.items():
        if head.startswith(magic):
            return NoFacesError(f"{shown(path)} is {what}, which is not read: unpack it first.")
    if path.lower().endswith(_SUFFIXES):
        return ArchiveError(f"The archive {shown(path)} is damaged: get it again.")
    return NoFacesError(
        f"{shown(path)} is neither a folder nor a zip or tar archive of pictures, nor a file "
        "of numbers that may be faces (.mat, .npy, .npz, .h5, idx, .csv ...)."
    )


def _open_file(path: str) -> IO[bytes]:
    return open_url(path) if is_url(path) else open_regular(path)


@contextmanager
def _damage_named(path: str) -> Iterator[None]:
    """Turn whatever an archive's decoder raises into an error that names the archive."""
    try:
        yield
    except (ArchiveError, ConnectionError):
        raise
    except MemoryError as error:
        raise ArchiveError(
            f"The archive {shown(path)} asks for more memory than is free: unpack it and open "
            "the folder."
        ) from error
    except Exception as error:  # a hostile file can make a decoder raise anything
        if is_url(path) and not isinstance(error, _DAMAGE):
            raise explanation(path, error) from None  # the way to it broke, not the archive
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise ArchiveError(
            f"The archive {shown(path)} is damaged ({words}): get it again, or unpack what is "
            "left of it and open the folder."
        ) from error


_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile),
    *(EOFError, ValueError, NotImplementedError),
)


class _Members:
    """The files of an archive or bucket under their names; of several, the last counts."""

    def __init__(self) -> None:
        self._found = Listing()
        self._files: dict[str, tuple[int, Read]] = {}
        self._hidden: set[str] = set()

    def add(self, name: str, size: int, read: Read | None, reason: str = "") -> None:
        """Record a file under its name, or why it is not read."""
        # a plain relative path, whatever it claims
        parts = name.replace("\\", "/").split("/")
        *folders, base = [part for part in parts if part not in {"", ".", ".."}] or [""]
        name = "/".join((*folders, base))
        hidden = next((i for i, folder in enumerate(folders) if is_hidden(folder)), None)
        if hidden is not None:
            self._hidden.add("/".join(folders[: hidden + 1]) + "/")
        elif not base:
            self._found.leave_out("(no name)", "it has no name")
        elif read is None:
            self._found.leave_out(name, reason)
        else:
            if name in self._files:
                self._found.passed_over.append((name, "replaced by a later file of that name"))
            self._files[name] = size, read

    def listing(self) -> Listing:
        """Return what was found."""
        for name, (size, read) in self._files.items():
            self._found.add(name, size, read)
        self._found.passed_over += [(name, "hidden or system folder") for name in self._hidden]
        return self._found


def _drop_common_folder(found: Listing) -> None:
    """Leave the folders that all pictures lie in out of all names."""
    # with the slash that commonpath takes away for one folder and for none
    files = found.entries or found.arrays
    folders = {f"/{entry.name}".rpartition("/")[0] + "/" for entry in files}
    prefix = posixpath.commonpath(folders).strip("/") + "/" if folders else "/"
    if prefix != "/":
        found.rename(lambda name: name.removeprefix(prefix) or name)


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


def _list_zip(path: str, check: Check) -> Listing:
    archive = _Zip(path)
    members = _Members()
    encrypted = 0
    try:
        with _damage_named(path):
            infos = [info for info in archive.members() if info.filename[-1:] != "/"]
            _check_zip(path, infos)
        for info in infos:
            check()
            reason = _zip_fault(info)
            encrypted += reason == "encrypted"
            read = None if reason else partial(archive.read, info)
            members.add(info.filename, info.file_size, read, reason)
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


def _check_zip(path: str, infos: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive that is small only because its members overlap or hold nothing."""
    with _open_file(path) as file:
        there = file.seek(0, io.SEEK_END)
    packed = sum(info.compress_size for info in infos)
    unpacked_bytes = sum(info.file_size for info in infos)
    if packed > there:
        raise ArchiveError(
            f"The archive {shown(path)} is damaged or a decompression bomb: its members take "
            f"{packed} bytes of {there}. Get it again from a source that you trust."
        )
    if unpacked_bytes > max(BOMB_TOTAL_BYTES, BOMB_RATIO * there):
        raise ArchiveError(
            f"The archive {shown(path)} is a decompression bomb: {unpacked_bytes} bytes from "
            f"{there}. If you trust it, unpack it and open the folder."
        )


def _zip_fault(info: zipfile.ZipInfo) -> str:
    """Say why a member is not read, if so."""
    if stat.S_IFMT(info.external_attr >> 16) not in {0, stat.S_IFREG}:
        return "link or device in the archive"
    if info.flag_bits & 1:
        return "encrypted"
    if info.file_size > BOMB_BYTES and info.file_size > BOMB_RATIO * info.compress_size:
        return f"decompression bomb: {info.file_size} bytes from {info.compress_size}"
    return ""


def _list_tar(
    path: str, opener: Callable[[IO[bytes]], IO[bytes]] | None, check: Check
) -> Listing:
    """List what a tar archive holds; the pictures of a compressed one are kept in memory."""
    members = _Members()
    kept, last = 0, -1
    with _open_file(path) as file, _damage_named(path):
        stream = _Stream(opener(file), path, check) if opener else None
        tar = tarfile.open(  # noqa: SIM115
            fileobj=cast("IO[bytes]", stream or file),
            mode="r|" if stream else "r:",
            tarinfo=_Member,
        )
        while (info := tar.next()) is not None:
            check()
            if info.size < 0 or tar.offset <= last:
                raise tarfile.ReadError("a member ends before it starts")
            last = tar.offset
            if info.isdir():
                continue
            if not info.isreg() or info.issparse():
                members.add(info.name, 0, None, "link or device in the archive")
            elif stream is None:
                read = partial(_read_stored, path, info.offset_data, info.size)
                members.add(info.name, info.size, read)
            else:
                content = b""
                if is_array_name(info.name) and info.size > MAX_KEPT_BYTES - kept:
                    reason = "too large a file of numbers to keep in memory"
                    members.add(info.name, 0, None, reason)
                    continue
                if _may_be_faces(info) and (member := tar.extractfile(info)):
                    content = member.read()
                    kept += len(content)
                if kept > MAX_KEPT_BYTES:
                    raise ArchiveError(_too_large(path, MAX_KEPT_BYTES))
                members.add(info.name, info.size, partial(_start_of, content))
        while stream and stream.read(2**16):
            pass  # to the end, where the checksum is that tells of changed pictures
    return members.listing()


def _may_be_faces(info: tarfile.TarInfo) -> bool:
    base = info.name.rpartition("/")[2]
    wanted = judge_name(base)[0] in {Judgement.PICTURE, Judgement.UNKNOWN}
    is_table = (is_table_name(base) or base == CONTENTS) and info.size <= MAX_TABLE_BYTES
    return info.size <= MAX_PICTURE_BYTES and (wanted or is_table or is_array_name(base))


def _read_stored(path: str, start: int, size: int, limit: int) -> bytes:
    return read_file(path, min(size, limit), start)


def _start_of(content: bytes, limit: int) -> bytes:
    return content[:limit]


class _Stream:
    """A decompressed stream that ends with an error where a bomb would go on."""

    def __init__(self, file: IO[bytes], path: str, check: Check) -> None:
        self._file, self._path, self._check = file, path, check
        self._left = BOMB_TOTAL_BYTES

    def read(self, size: int) -> bytes:
        self._check()
        content = self._file.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise ArchiveError(_too_large(self._path, BOMB_TOTAL_BYTES))
        return content


class _Member(tarfile.TarInfo):
    """A member of a tar whose header is sound."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf.strip(b"\0"):  # tarfile would take it for the end
                raise tarfile.ReadError("unexpected end of data") from error
            raise
        if info.type in _LONG_HEADERS and info.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(
                f"a header of {info.size} bytes where at most {MAX_HEADER_BYTES} are allowed"
            )
        return info


_LONG_HEADERS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)


def _too_large(path: str, limit: int) -> str:
    return (
        f"The archive {shown(path)} holds more than {limit >> 20} MiB, too much to keep in "
        "memory: unpack it and open the folder, or make a zip archive of it."
    )


# -- A quick look at whether a folder or archive holds pictures ------------------------

MAX_ENTRIES = 400  # looked at in all
MAX_ENTRIES_AT_TOP = 250  # so that a long folder leaves some for those in it
MAX_ENTRIES_BELOW = 50
MAX_DEPTH = 3
MAX_ARCHIVE_BYTES = 64 * 2**20  # of a tar, which can only be read from its start

_ZARR_FILES = frozenset({"zarr.json", ".zgroup", ".zattrs", ".zarray"})


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
    lower = path.rstrip("/\\").lower()
    try:
        if is_array_name(path) and os.path.isfile(path):  # noqa: PTH113
            return looks_like_arrays(path)
        if os.path.isdir(path):  # noqa: PTH112 - also for names that Path refuses
            first = _first_in_folder(path) if not lower.endswith((".zarr", ".n5")) else ()
        elif not lower.endswith(_SUFFIXES) or not os.path.isfile(path):  # noqa: PTH113
            return False
        else:
            first = _first_in_zip(path) if lower.endswith(".zip") else _first_in_tar(path)
        return any(_is_picture(*item) for item in islice(first, MAX_ENTRIES))
    except Exception:  # noqa: BLE001 - whatever it is, it is not for us
        return False


def _is_picture(name: str, read: Read) -> bool:
    judgement, _ = judge_name(name)
    if is_array_name(name, text=False) and not is_hidden(name):
        return starts_like_array(read(HEAD_BYTES))
    if judgement is Judgement.UNKNOWN:
        return starts_like_picture(read(HEAD_BYTES))
    return judgement is Judgement.PICTURE


def _first_in_folder(root: str) -> Iterator[tuple[str, Read]]:
    """Yield the first files of each folder, the upper folders first."""
    if any(os.path.exists(os.path.join(root, name)) for name in _ZARR_FILES):  # noqa: PTH110, PTH118
        return
    folders = deque([(root, 1)])
    left = MAX_ENTRIES
    while folders and left > 0:
        folder, depth = folders.popleft()
        try:
            with os.scandir(folder) as items:
                limit = MAX_ENTRIES_AT_TOP if depth == 1 else MAX_ENTRIES_BELOW
                listed = list(islice(items, limit))
        except OSError:
            continue
        left -= len(listed)
        for item in listed:
            if item.is_file():
                yield item.name, partial(read_file, item.path)
            elif item.is_dir() and depth < MAX_DEPTH and not is_hidden(item.name):
                folders.append((item.path, depth + 1))


def _first_in_zip(path: str) -> Iterator[tuple[str, Read]]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()[:MAX_ENTRIES]
        bases = [member.filename.rpartition("/")[2] for member in members]
        if _ZARR_FILES.isdisjoint(bases):
            for base, member in zip(bases, members, strict=True):
                if base:
                    yield base, partial(_read_member, archive.open, member)


def _first_in_tar(path: str) -> Iterator[tuple[str, Read]]:
    with tarfile.open(path) as archive:
        for member in archive:
            base = member.name.rpartition("/")[2]
            if base in _ZARR_FILES or member.offset_data + member.size > MAX_ARCHIVE_BYTES:
                return
            if member.isreg():
                yield base, partial(_read_member, archive.extractfile, member)


def _read_member(opener: Callable[[Any], Any], member: Any, limit: int) -> bytes:
    with opener(member) as file:
        content: bytes = file.read(limit)
    return content
