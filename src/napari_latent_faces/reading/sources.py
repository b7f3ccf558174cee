"""What lies at a path: folder, zip, tar or URL, as named sources of bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import posixpath
import re
import stat
import sys
import tarfile
import threading
import time
import zipfile
from collections import deque
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import unquote

from napari_latent_faces.files import open_regular
from napari_latent_faces.reading.arrays import (
    is_array_name,
    looks_like_arrays,
    starts_like_array,
)
from napari_latent_faces.reading.naming import (
    HEAD_BYTES,
    Judgement,
    is_hidden,
    is_picture_name,
    judge_name,
    natural_key,
    printable,
    starts_like_picture,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
    from os import PathLike

    Lister = Callable[[str, Callable[[], None]], "Listing"]

__all__ = [
    "ARCHIVES",
    "MAX_PICTURE_BYTES",
    "ArchiveError",
    "Entry",
    "Listing",
    "Members",
    "Meter",
    "RemoteFile",
    "archive_lister",
    "damage_named",
    "inner_name",
    "is_url",
    "list_archive",
    "list_compressed_tar",
    "list_folder",
    "list_tar",
    "list_url_folder",
    "list_zip",
    "looks_like_faces",
    "masked",
    "open_file",
    "open_url",
    "read_part",
    "read_url_part",
    "remote_files",
    "remote_kind",
    "run_each",
    "while_waiting",
]

# -- Work on many files in threads, while the caller stays in charge -------------------

Item = TypeVar("Item")
Result = TypeVar("Result")

PERIOD = 0.05  # seconds between two calls of progress

# Where items are done faster than one in so many seconds, more threads would mostly wait for
# the interpreter's lock: small files in the system's cache are mostly Python's work.
FAST = 2e-4
LOOK = 0.01  # seconds between two looks at how fast they are done


class Meter:
    """Tells a progress function, on the calling thread only, how far the work is.

    Parameters
    ----------
    progress : callable or None
        Called with the steps done and their total (0 while that is not known). What it
        raises ends the work.
    """

    def __init__(self, progress: Callable[[int, int], object] | None) -> None:
        self._progress = progress
        self._last = float("-inf")
        self.done = 0
        self.total = 0

    def pulse(self) -> None:
        """Call the progress function, unless it was called just now."""
        if self._progress and time.monotonic() - self._last >= PERIOD:
            self.show()

    def show(self) -> None:
        """Call the progress function."""
        if self._progress:
            self._progress(self.done, self.total)
            self._last = time.monotonic()

    def finish(self) -> None:
        """Say that all is done."""
        self.done = self.total
        self.show()


def n_threads() -> int:
    """Return how many threads decode pictures: more than processors, for slow disks."""
    return min(16, 2 * (os.cpu_count() or 1))


def run_each(
    work: Callable[[Item], Result], items: Sequence[Item], meter: Meter, also: Sized = ()
) -> list[Result]:
    """Do the same work on each item, in threads.

    One thread begins; more join it as long as items are not done fast.

    Parameters
    ----------
    work : callable
        What is done. An exception of it ends everything.
    items : sequence
        Its arguments.
    meter : Meter
        Told of each finished item; what its progress function raises ends everything:
        what is begun is finished, nothing more is begun.
    also : sized, optional
        Grows as the work goes on; its length counts as finished items as well.

    Returns
    -------
    list
        The results, in the order of `items`.
    """
    if not items:
        return []
    results: dict[int, Result] = {}
    stopped = threading.Event()
    lock = threading.Lock()
    places = iter(range(len(items)))

    def next_place() -> int | None:
        with lock:
            return None if stopped.is_set() else next(places, None)

    def work_through() -> None:
        while (place := next_place()) is not None:
            results[place] = work(items[place])

    start = meter.done
    most = min(n_threads(), len(items))
    pace = _Pace()
    with ThreadPoolExecutor(most, "faces") as pool:
        try:
            pending = {pool.submit(work_through)}
            n_begun = 1
            while pending:
                patience = min(PERIOD, LOOK) if n_begun < most else PERIOD
                finished, pending = wait(pending, patience, FIRST_EXCEPTION)
                for future in finished:
                    future.result()
                meter.done = start + len(results) + len(also)
                meter.pulse()
                if pending and n_begun < most and pace.is_slow(len(results)):
                    joining = min(n_begun, most - n_begun)
                    pending |= {pool.submit(work_through) for _ in range(joining)}
                    n_begun += joining
        finally:
            stopped.set()
    return [results[place] for place in range(len(items))]


class _Pace:
    """Tells how fast items are done."""

    def __init__(self) -> None:
        self._looked = time.perf_counter()
        self._done = 0

    def is_slow(self, done: int) -> bool:
        """Tell whether more threads may help, from what is done since the last look."""
        now = time.perf_counter()
        slow = now - self._looked > FAST * (done - self._done)
        self._looked, self._done = now, done
        return slow


# -- What zip and tar archives have in common: names, members, and what damage is ------


class ArchiveError(ValueError):
    """An archive cannot be read: damaged, encrypted, or a bomb."""


@contextmanager
def damage_named(path: str) -> Iterator[None]:
    """Turn whatever an archive's decoder raises into an `ArchiveError` that names it."""
    try:
        yield
    except (ArchiveError, ConnectionError):  # the way to it broke, not the archive
        raise
    except MemoryError as error:
        raise ArchiveError(
            f"The archive {shown(path)} asks for more memory than is free: unpack it and open "
            "the folder."
        ) from error
    except Exception as error:  # a hostile file can make a decoder raise anything
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise ArchiveError(
            f"The archive {shown(path)} is damaged ({words}): get it again, or unpack what is "
            "left of it and open the folder."
        ) from error


def inner_name(name: str) -> str:
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
        if not base:
            self.leave_out(name or "(no name)", "its name is none of a file")
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


# -- Bytes behind URLs, through fsspec: any part of a file, and what a folder holds ----

# "C:" is a drive; chains like "simplecache::s3://bucket/faces" are fsspec's
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]+::)*[a-z][a-z0-9+.-]+://", re.IGNORECASE)

# What is read ahead of an archive: some dozen faces, or a small directory at its end.
_BUFFER_BYTES = 2**18
# A server that knows no ranges sends everything, which is kept if it is no larger.
_WHOLE_BYTES = 2**30

_EXTRA = 'pip install "napari-latent-faces[remote]"'


def is_url(path: str) -> bool:
    """Tell whether a path is a URL, like ``s3://bucket/faces``."""
    return _URL.match(path) is not None


# In any text: the user and password of a URL, and its query, which may be a signature.
_SECRETS = re.compile(
    r"(?P<start>[a-z][a-z0-9+.-]*://)(?P<user>[^/?#\s]*@)?(?P<path>[^?#\s'\"]*)"
    r"(?P<query>\?[^#\s'\"]*)?(?P<end>#[^\s'\"]*)?",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """Return a text with the secrets in its URLs masked.

    Parameters
    ----------
    text : str
        A path, a URL, or a message with URLs in it. What is no URL stays as it is.

    Returns
    -------
    str
        ``https://me:word@host/a.zip?sig=1`` becomes ``https://***@host/a.zip?***``.

    Notes
    -----
    All of the query is masked: each service calls its signature by another name.
    """

    def mask(found: re.Match[str]) -> str:
        user = "***@" if found["user"] else ""
        secret = ("?***" if found["query"] else "") + ("#***" if found["end"] else "")
        return found["start"] + user + found["path"] + secret

    return _SECRETS.sub(mask, text)


def shown(path: str) -> str:
    """Return a path or URL as messages and files may show it: without secrets."""
    return masked(path) if is_url(path) else path


@dataclass(frozen=True)
class RemoteFile:
    """A file of a folder behind a URL.

    Parameters
    ----------
    name : str
        Its path relative to the folder.
    size : int or None
        Its bytes, None where the server does not say.
    read : callable
        Takes a number of bytes and returns at most so many from its start. It can be
        pickled, and called on any thread.
    """

    name: str
    size: int | None
    read: Callable[[int], bytes]


def remote_kind(url: str) -> str:
    """Return what a URL leads to: ``"file"`` or ``"directory"``.

    Raises
    ------
    FileNotFoundError, PermissionError, ConnectionError
        If there is nothing, it may not be read, or nobody answers.
    ModuleNotFoundError
        If a package that the protocol needs is not installed.
    ValueError
        If the protocol is unknown.
    """
    with _explained(url):
        fs, path = _located(url)
        fs.invalidate_cache()  # what was listed before may have changed since
        if path.endswith("/"):
            return "directory"
        info = fs.info(path)
    # a web server shows its folders as pages
    is_folder = info["type"] == "directory" or info.get("mimetype") == "text/html"
    return "directory" if is_folder else "file"


def remote_files(url: str) -> list[RemoteFile]:
    """List the files in a folder and the folders in it, in any order.

    Raises
    ------
    FileNotFoundError, PermissionError, ConnectionError, ModuleNotFoundError, ValueError
        As `remote_kind`.
    """
    with _explained(url):
        fs, root = _located(url)
        found: dict[str, dict[str, Any]] = fs.find(root, detail=True)
        unknown = [path for path, info in found.items() if info["size"] is None]
        sizes = dict(zip(unknown, fs.sizes(unknown), strict=True)) if unknown else {}
    above = root.rstrip("/") + "/"
    readable = unquote if _is_web(fs) else str
    return [
        RemoteFile(
            readable(path.removeprefix(above)),
            sizes.get(path, info["size"]),
            partial(_read_start, fs, path),
        )
        for path, info in found.items()
    ]


def read_url_part(url: str, limit: int, start: int = 0) -> bytes:
    """Return at most `limit` bytes of the file behind a URL, from `start` on.

    Parameters
    ----------
    url : str
        The URL.
    limit : int
        The most bytes.
    start : int
        The first byte.

    Raises
    ------
    FileNotFoundError, PermissionError, ConnectionError, ModuleNotFoundError, ValueError
        As `remote_kind`.
    """
    with _explained(url):
        fs, path = _located(url)
        content = _range(fs, path, start, start + limit)
    return content if len(content) <= limit else content[start : start + limit]


def open_url(url: str) -> IO[bytes]:
    """Open the file behind a URL, to read anywhere in it; only what is read is sent.

    Raises
    ------
    FileNotFoundError, PermissionError, ConnectionError, ModuleNotFoundError, ValueError
        As `remote_kind`; the file's methods raise the same.
    """
    return io.BufferedReader(_RemoteBytes(url), _BUFFER_BYTES)


class _RemoteBytes(io.RawIOBase):
    """A seekable file that asks for each range of bytes by itself."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._place = 0
        self._whole: bytes | None = None
        with _explained(url):
            self._fs, self._path = _located(url)
            size = self._fs.size(self._path)
        if size is None:
            self._whole = self._all()
            size = len(self._whole)
        self._size: int = size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("a place before the start of the file")  # as files on disk do
        self._place = base + offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        end = min(self._place + len(buffer), self._size)
        content = self._part(self._place, end) if end > self._place else b""
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)

    def _part(self, start: int, end: int) -> bytes:
        if self._whole is None:
            with _explained(self._url):
                content = _range(self._fs, self._path, start, end)
            if len(content) <= end - start:
                return content
            self._whole = content
        return self._whole[start:end]

    def _all(self) -> bytes:
        with _explained(self._url):
            return _range(self._fs, self._path, 0, _WHOLE_BYTES)


def _located(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it."""
    from fsspec.core import url_to_fs

    fs, path = url_to_fs(url)
    return fs, path


def _read_start(fs: Any, path: str, limit: int) -> bytes:
    with _explained(path):
        return _range(fs, path, 0, limit)[:limit]


def _range(fs: Any, path: str, start: int, end: int) -> bytes:
    """Return a range of a file's bytes, or all of them if the server knows no ranges."""
    content: bytes = fs.cat_file(path, start=start, end=end)
    return content


def _is_web(fs: Any) -> bool:
    """Tell whether the names of a file system are addresses, with ``%20`` for a blank."""
    return "http" in ([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol)


# -- errors ----------------------------------------------------------------------


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn whatever a file system raises into an error that names the URL and says why."""
    try:
        yield
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{masked(url)} cannot be read: {_reason(error)}. For s3:// and https:// {_EXTRA} "
            "brings what is needed."
        ) from error
    except Exception as error:  # noqa: BLE001 - each protocol has its own
        # not "from error": that one's words, and its traceback, hold the URL as it is
        raise _translated(url, error) from None


def _translated(url: str, error: Exception) -> Exception:
    url = masked(url)
    causes = _causes(error)
    reason = _reason(causes[-1])
    if reason.startswith("Protocol not known"):
        return ValueError(f"{url} cannot be read: no such protocol is known.")
    kinds = " ".join(type(cause).__name__ for cause in causes)
    status = {getattr(cause, "status", None) for cause in causes}
    if status & {401, 403} or "Credential" in kinds or "PermissionError" in kinds:
        return PermissionError(f"{url} may not be read ({reason}): check the credentials.")
    is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
    if 404 in status or (is_missing and len(causes) == 1):
        return FileNotFoundError(f"There is no folder or archive {url}: check the address.")
    return ConnectionError(f"{url} cannot be read ({reason}): try again later.")


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error and what caused it: file systems hide a refusal in a missing file."""
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    return causes


def _reason(error: BaseException) -> str:
    """Say in one line what went wrong."""
    words = str(error).strip() or (
        "no answer in time" if _is_late(error) else "no reason given"
    )
    return " ".join(masked(words).split())[:200].rstrip(".")


def _is_late(error: BaseException) -> bool:
    return isinstance(error, TimeoutError) or "Timeout" in type(error).__name__


# -- Where pictures come from: what a folder holds, and how its files are opened -------


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
    arrays : list of Entry
        Files of numbers, which are read only if there is no picture; they are among
        `passed_over` as well.
    skipped, passed_over : list of (str, str)
        Names and reasons, as in `ReadReport`.
    close : callable
        Called when nothing is to be read for now; entries can be read all the same later.
    """

    entries: list[Entry] = field(default_factory=list)
    arrays: list[Entry] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    close: Callable[[], None] = lambda: None

    def add(self, name: str, size: int, read: Callable[[int], bytes]) -> None:
        """Put a regular file where it belongs, judged by its name and size."""
        base = name.rpartition("/")[2]
        judgement, reason = judge_name(base)
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
            certain = judgement is Judgement.PICTURE
            self.entries.append(Entry(name, size, read, certain))

    def leave_out(self, name: str, reason: str) -> None:
        """Record a file that is not read: as skipped if its name is that of a picture."""
        wanted = is_picture_name(name.rpartition("/")[2])
        (self.skipped if wanted else self.passed_over).append((name, reason))

    def complete(self, pulse: Callable[[], None]) -> Listing:
        """Sort everything naturally and make all names printable."""
        for entries in (self.entries, self.arrays):
            ordered = in_natural_order(entries, [entry.name for entry in entries], pulse)
            entries[:] = [
                entry
                if (name := printable(entry.name)) == entry.name
                else replace(entry, name=name)
                for entry in ordered
            ]
        for pairs in (self.skipped, self.passed_over):
            named = in_natural_order(pairs, [name for name, _ in pairs], pulse)
            pairs[:] = [(printable(name), reason) for name, reason in named]
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


# -- What a folder behind a URL holds, listed as one on disk would be ------------------


def list_url_folder(url: str, pulse: Callable[[], None]) -> Listing:
    """List what a folder behind a URL and the folders in it hold.

    Parameters
    ----------
    url : str
        The folder.
    pulse : callable
        Called many times a second; what it raises ends the listing.

    Raises
    ------
    FileNotFoundError, PermissionError, ConnectionError, ModuleNotFoundError, ValueError
        As `napari_latent_faces.reading.sources.remote_kind`.
    """
    members = Members()
    for file in while_waiting(lambda: remote_files(url), pulse):
        pulse()
        if members.is_wanted(file.name):
            # where the server does not say, it may be as large as is allowed
            size = MAX_PICTURE_BYTES if file.size is None else file.size
            members.add(file.name, size, file.read)
    return members.listing().complete(pulse)


def while_waiting(work: Callable[[], Result], pulse: Callable[[], None]) -> Result:
    """Return what `work` finds in a thread, with `pulse` called on this one meanwhile.

    When `pulse` raises, the work is left to end by itself.
    """
    pool = ThreadPoolExecutor(1, "faces-url")
    try:
        future = pool.submit(work)
        while not wait([future], PERIOD).done:
            pulse()
        return future.result()
    finally:
        pool.shutdown(wait=False)


# -- What a zip archive holds, read in place -------------------------------------------

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


# -- What a tar archive holds, read in place; a compressed one from its start, once ----

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
        if is_array_name(name) and info.size > MAX_KEPT_BYTES - kept:
            members.leave_out(name, "too large a file of numbers to keep in memory")
            continue
        with damage_named(path):
            content = _content(tar, info, name)
        kept += len(content)
        if kept > MAX_KEPT_BYTES:
            raise ArchiveError(_too_large(path, MAX_KEPT_BYTES))
        members.add(name, info.size, partial(_head_of, content))


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo, name: str) -> bytes:
    """Read a member now, if it may be a picture: there is no way back in the stream."""
    base = name.rpartition("/")[2]
    judgement, _ = judge_name(base)
    left_out = judgement in {Judgement.SKIP, Judgement.PASS_OVER}
    if (left_out and not is_array_name(base)) or info.size > MAX_PICTURE_BYTES:
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


# -- What zip and tar archives hold, read in place: nothing is unpacked to disk --------

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
    files = found.entries or found.arrays
    folders = {f"/{entry.name}".rpartition("/")[0] + "/" for entry in files}
    prefix = posixpath.commonpath(folders).strip("/") + "/" if folders else "/"
    if prefix == "/":
        return
    for entries in (found.entries, found.arrays):
        entries[:] = [replace(entry, name=entry.name.removeprefix(prefix)) for entry in entries]
    found.skipped = [(n.removeprefix(prefix), why) for n, why in found.skipped]
    found.passed_over = [(n.removeprefix(prefix) or n, why) for n, why in found.passed_over]


# -- A quick look at whether a folder or archive holds pictures ------------------------

ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")

MAX_ENTRIES = 400  # looked at in all
MAX_ENTRIES_AT_TOP = 250  # so that a long folder leaves some for those in it
MAX_ENTRIES_BELOW = 50
MAX_DEPTH = 3
MAX_ARCHIVE_BYTES = 64 * 2**20  # of a tar, which can only be read from its start

_OTHER_FOLDERS = (".zarr", ".n5")
_ZARR_FILES = frozenset({"zarr.json", ".zgroup", ".zattrs", ".zarray"})

Member = tuple[str, "Callable[[int], bytes]"]  # a file's name and what reads its start


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
        if is_array_name(path) and Path(path).is_file():
            return looks_like_arrays(path)
        items = _items(path)
        return any(_is_picture(*item) for item in islice(items, MAX_ENTRIES))
    except Exception:  # noqa: BLE001 - whatever it is, it is not for us
        return False


def _items(path: str) -> Iterator[Member]:
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
    if is_array_name(name, text=False) and not is_hidden(name):
        return starts_like_array(read(HEAD_BYTES))
    if judgement is Judgement.UNKNOWN:
        return starts_like_picture(read(HEAD_BYTES))
    return judgement is Judgement.PICTURE


def _in_folder(root: str) -> Iterator[Member]:
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


def _in_zip(path: str) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()[:MAX_ENTRIES]
        bases = [os.path.basename(member.filename) for member in members]  # noqa: PTH119
        if not _ZARR_FILES.isdisjoint(bases):
            return
        for base, member in zip(bases, members, strict=True):
            if base:
                yield base, partial(_read_zip_head, archive, member)


def _read_zip_head(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    with archive.open(member) as file:
        return file.read(limit)


def _in_tar(path: str) -> Iterator[Member]:
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
