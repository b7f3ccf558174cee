"""What lies at a path, as named sources of bytes.

Folders, archives and URLs are each walked by a generator of files; a `Listing` judges them.
"""

from __future__ import annotations

import gzip
import heapq
import io
import lzma
import os
import re
import stat
import tarfile
import threading
import zipfile
import zlib
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, cast
from urllib.parse import unquote

from napari_latent_faces import files
from napari_latent_faces.reading import naming
from napari_latent_faces.reading.arrays import (
    is_array_name,
    looks_like_arrays,
    starts_like_array,
)
from napari_latent_faces.reading.naming import Entry, Listing, judge_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike

    Check = Callable[[], object]


class NoFacesError(ValueError):
    """There is no face picture where some were looked for."""


class ArchiveError(ValueError):
    """An archive cannot be read: damaged, encrypted, or a bomb."""


def list_sources(path: str, check: Check) -> Listing:
    """List the files in a folder or archive, or behind the URL of one; `check` may end it."""
    found = Listing()
    if is_url(path):
        is_folder = url_is_folder(path)
    else:
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116 - one look, whatever it is
        except (FileNotFoundError, NotADirectoryError):
            words = f"There is no folder or archive {path}: check the name."
            raise FileNotFoundError(words) from None
        is_folder = stat.S_ISDIR(mode)
        if not is_folder and not stat.S_ISREG(mode):
            raise NoFacesError(f"{path} is neither a folder nor an archive of pictures.")
    if is_folder:
        entries = _in_url(path, check) if is_url(path) else _in_folder(path, found, check)
    else:
        entries = _in_file(path, found, check)
    found.gather(entries, common_folder=not is_folder)
    if not found.entries and _ENCRYPTED in dict(found.skipped + found.passed_over).values():
        words = "is encrypted: unpack it with its password and open the folder."
        raise ArchiveError(f"The archive {masked(path)} {words}")
    return found


def _in_folder(
    root: str, found: Listing, check: Check, most: int | None = None
) -> Iterator[Entry]:
    """Walk a folder, the upper folders first, then links, and each of them once."""
    seen = set(map(str, Path(os.path.realpath(root)).parents))
    folders = [(False, 0, ("", ""), root, "")]  # a heap of what ranks them, path, and name
    while folders:
        *_, path, prefix = heapq.heappop(folders)
        identity = os.path.realpath(path)
        try:
            with os.scandir(path) as items:
                listed = list(islice(items, most))
        except OSError as error:
            if not prefix:
                raise
            found.leave_out(prefix, f"folder not readable: {error.strerror}", is_missed=True)
            continue
        if identity in seen:
            found.leave_out(prefix, "link to a folder read elsewhere")
            continue
        seen.add(identity)
        for item in listed:
            check()
            name, is_link = prefix + item.name, item.is_symlink()
            try:
                info = item.stat()
            except OSError as error:
                broken = "broken link" if is_link else error.strerror
                found.leave_out(name, broken or "not readable")
                continue
            if stat.S_ISREG(info.st_mode):
                yield Entry(name, info.st_size, partial(read_file, item.path))
            elif not stat.S_ISDIR(info.st_mode):
                found.leave_out(name, "no regular file", is_missed=False)
            elif naming.is_hidden(item.name):
                found.leave_out(f"{name}/", "")
            else:
                rank = is_link, 0 if is_link else name.count("/"), naming.natural_key(name)
                heapq.heappush(folders, (*rank, item.path, f"{name}/"))


def read_file(
    path: str, limit: int, start: int = 0, *, size: int | None = None, inside: str | None = None
) -> bytes:
    """Return at most `limit` bytes of a file, or a part of one, at a path or `inside` a URL."""
    limit = limit if size is None else min(limit, size)
    if is_url(path):
        with _located(path, inside) as (fs, place):
            content: bytes = fs.cat_file(place, start=start, end=start + limit)
        # a server that cannot send a part sends everything
        return content if len(content) <= limit else content[start : start + limit]
    with files.open_regular(path, buffering=0) as file:
        file.seek(start)
        # a buffer of `limit` bytes would be made otherwise
        left = os.fstat(file.fileno()).st_size - start
        return file.read(max(0, min(limit, left))) or b""


# Archives: nothing is unpacked to disk.

_SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")

BOMB_BYTES = 16 * 2**20  # what a member may unpack to without being taken for a bomb
BOMB_TOTAL_BYTES = 4 * 2**30  # and a whole archive
MAX_KEPT_BYTES = (
    2**30
)  # of the files in a compressed tar, which can only be read from its start
MAX_HEADER_BYTES = 2**14  # of a member's attributes, which tarfile searches in quadratic time

_ENCRYPTED = "encrypted"
_LINK = "link or device in the archive"

_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile),
    *(EOFError, MemoryError, NotImplementedError, ValueError),
)


def _in_file(path: str, found: Listing, check: Check) -> Iterator[Entry]:
    """Walk an archive, told by its content, or say what else the file is."""
    is_zip = False
    with _open_file(path) as file, _damage_named(path):
        head = file.read(512)
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        if opener := files.opener_of(head):
            with opener(file) as stream:
                head = stream.read(512)
        is_picture = naming.starts_like_picture(head)
        is_tar = (opener and not is_picture) or head[257:262] == b"ustar"
        # a tar may well end in a stored zip, so that it looks like one
        if not opener and not is_tar:
            is_zip = head.startswith(b"PK\3\4") or zipfile.is_zipfile(file)
            file.seek(0)
            is_tar = not is_zip and tarfile.is_tarfile(file)
    if is_zip:
        return _in_zip(path, size, found, check)
    if is_tar:
        return _in_tar(path, opener, found, check)
    base = os.path.basename(path)  # noqa: PTH119 - of URLs, too
    if is_picture or naming.is_picture_name(base):
        found.is_one_file = True
        return iter([Entry(base, size, partial(read_file, path))])
    if path.lower().endswith(_SUFFIXES):
        raise ArchiveError(f"The archive {masked(path)} is damaged: get it again.")
    reason, is_wanted = judge_name(base)
    if reason and is_wanted:
        raise NoFacesError(f"{masked(path)}: {reason}.")
    words = "neither a folder nor a zip or tar archive of pictures, nor a file of numbers"
    raise NoFacesError(f"{masked(path)} is {words} (.mat, .npy, .npz, .h5, idx, .csv ...).")


@contextmanager
def _damage_named(path: str) -> Iterator[None]:
    """Turn whatever an archive's decoder raises into an error that names the archive."""
    try:
        yield
    except (ArchiveError, ConnectionError):
        raise
    except Exception as error:  # a hostile file can make a decoder raise anything
        if is_url(path) and not isinstance(error, _DAMAGE):
            raise _explanation(path, error) from None  # the way to it broke, not the archive
        words = f"is damaged ({files.in_words(error)}): get it again, or unpack what is left"
        raise ArchiveError(
            f"The archive {masked(path)} {words} and open the folder."
        ) from error


def _plain(name: str) -> str:
    """Return the name of a member as a relative path, whatever it claims."""
    parts = name.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in {"", ".", ".."})


class _Zip:
    """A zip file that any thread may read from, opened when it is needed; it can be pickled."""

    def __init__(self, path: str) -> None:
        self._path, self._lock = path, threading.Lock()

    def __reduce__(self) -> tuple[type[_Zip], tuple[str]]:
        return type(self), (self._path,)

    @cached_property
    def file(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(open_url(self._path) if is_url(self._path) else self._path)

    def read(self, member: zipfile.ZipInfo, limit: int) -> bytes:
        with self._lock, self.file.open(member) as file:
            return file.read(limit)


def _in_zip(path: str, there: int, found: Listing, check: Check) -> Iterator[Entry]:
    """Walk a zip; one that is small only as its members overlap or hold nothing is refused."""
    archive = _Zip(path)
    with _damage_named(path):
        infos = [info for info in archive.file.infolist() if info.filename[-1:] != "/"]
    packed = sum(info.compress_size for info in infos)
    n_bytes = sum(info.file_size for info in infos)
    if packed > there or n_bytes > files.most_unpacked(there, BOMB_TOTAL_BYTES):
        sizes = f"take {packed} bytes of {there}, and {n_bytes} when they are unpacked"
        words = f"is damaged or a decompression bomb: its members {sizes}. If you trust it"
        raise ArchiveError(
            f"The archive {masked(path)} {words}, unpack it and open the folder."
        )
    for info in infos:
        check()
        name, size = _plain(info.filename), info.file_size
        if stat.S_IFMT(info.external_attr >> 16) not in {0, stat.S_IFREG}:
            found.leave_out(name, _LINK)
        elif info.flag_bits & 1:
            found.leave_out(name, _ENCRYPTED)
        elif size > files.most_unpacked(info.compress_size, BOMB_BYTES):
            found.leave_out(name, f"decompression bomb: {size} bytes from {info.compress_size}")
        else:
            yield Entry(name, size, partial(archive.read, info))


def _in_tar(
    path: str, opener: Callable[[IO[bytes]], Any] | None, found: Listing, check: Check
) -> Iterator[Entry]:
    """Walk a tar archive; the pictures of a compressed one are kept in memory."""
    left, last = MAX_KEPT_BYTES, -1
    with _open_file(path) as file, _damage_named(path):
        stream: Any = _Stream(opener(file), path, check) if opener else None
        mode: Any = "r|" if stream else "r:"
        tar = tarfile.open(fileobj=stream or file, mode=mode, tarinfo=_Member)  # noqa: SIM115
        while (info := tar.next()) is not None:
            check()
            if info.size < 0 or tar.offset <= last:
                raise tarfile.ReadError("a member ends before it starts")
            last = tar.offset
            if info.isdir():
                continue
            name, size, content = _plain(info.name), info.size, b""
            if not info.isreg() or info.issparse():
                found.leave_out(name, _LINK)
            elif stream is None:
                read = partial(read_file, path, start=info.offset_data, size=size)
                yield Entry(name, size, read)
            elif is_array_name(name) and size > min(left, naming.MAX_PICTURE_BYTES):
                found.leave_out(name, "too large a file of numbers to keep in memory")
            else:
                base = name.rpartition("/")[2]
                is_wanted = (
                    is_array_name(base)
                    or base.lower().endswith((*naming.TABLES, files.CONTENTS))
                    or not judge_name(base)[0]
                ) and size <= naming.MAX_PICTURE_BYTES
                if is_wanted and (member := tar.extractfile(info)):
                    left -= size
                    if left < 0:
                        raise ArchiveError(_too_large(path, MAX_KEPT_BYTES))
                    content = member.read()
                yield Entry(name, size, partial(_start_of, content))
        while stream and stream.read(2**16):
            pass  # to the end, where the checksum is that tells of changed pictures


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


def _too_large(path: str, limit: int) -> str:
    words = "too much to keep in memory: unpack it and open the folder, or make a zip of it."
    return f"The archive {masked(path)} holds more than {limit >> 20} MiB, {words}"


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
        # of types that hold names and attributes
        if info.type in b"gxXKL" and info.size > MAX_HEADER_BYTES:
            words = f"where at most {MAX_HEADER_BYTES} are allowed"
            raise tarfile.ReadError(f"a header of {info.size} bytes {words}")
        return info


# A quick look, however large a folder or archive is, at so many
MAX_ENTRIES = 400  # files of each folder, and pictures and other files in all
MAX_STEPS = 2000  # files, folders, and pieces of a compressed archive
MAX_DEPTH = 3

_ZARR_FILES = frozenset({"zarr.json", ".zgroup", ".zattrs", ".zarray"})


def looks_like_faces(path: str | PathLike[str]) -> bool:
    """Tell quickly whether `read_faces` may find pictures at a path.

    Folders of chunked arrays (zarr, n5) are not ours, nor is what cannot be read.
    """
    path, entries = os.fspath(path), cast("Iterator[Entry]", iter(()))
    check = ([None] * MAX_STEPS).pop  # which fails when they are used up
    with suppress(Exception):  # whatever it is, it is not for us
        if os.path.isdir(path):  # noqa: PTH112 - also for names that Path refuses
            is_zarr = path.rstrip("/\\").lower().endswith((".zarr", ".n5"))
            if not is_zarr and not any(Path(path, name).exists() for name in _ZARR_FILES):
                entries = _in_folder(path, Listing(), check, MAX_ENTRIES)
        elif not os.path.isfile(path):  # noqa: PTH113
            return False
        elif is_array_name(path):
            return looks_like_arrays(path)
        elif path.lower().endswith(_SUFFIXES):
            entries = _in_file(path, Listing(), check)
        for entry in islice(entries, MAX_ENTRIES):
            *folders, base = entry.name.split("/")
            if base in _ZARR_FILES or len(folders) >= MAX_DEPTH:
                return False
            if _is_face(entry, base):
                return True
    return False


def _is_face(entry: Entry, base: str) -> bool:
    if naming.is_hidden(entry.name):
        return False
    if is_array_name(base, text=False):
        return starts_like_array(entry.read(naming.HEAD_BYTES))
    reason, is_wanted = judge_name(base)
    if reason or is_wanted:
        return not reason
    return naming.starts_like_picture(entry.read(naming.HEAD_BYTES))


# URLs are those of fsspec, with chains like "simplecache::s3://bucket/faces"; "C:" is a drive
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]+::)*[a-z][a-z0-9+.-]+://", re.IGNORECASE)

# The user and password of a URL, all its query (each service calls its signature by another
# name), and what follows.
_SECRETS = {
    r"([a-z0-9+.-]://)[^/?#\s]*@": r"\1***@",
    r"([a-z0-9+.-]://[^?#\s'\"]*)\?[^#\s'\"]*": r"\1?***",
    r"([a-z0-9+.-]://[^#\s'\"]*)#[^\s'\"]*": r"\1#***",
}

BUFFER_BYTES = 2**18  # asked for at once: some dozen faces, or a small archive's directory


def is_url(path: str) -> bool:
    """Tell whether a path is a URL, like ``s3://bucket/faces``."""
    return _URL.match(path) is not None


def masked(text: str) -> str:
    """Return a text with the secrets in its URLs masked."""
    for secret, mask in _SECRETS.items():
        text = re.sub(secret, mask, text, flags=re.IGNORECASE)
    return text


def url_is_folder(url: str) -> bool:
    """Tell whether a URL leads to a folder."""
    with _located(url) as (fs, path):
        fs.invalidate_cache()  # what was listed before may have changed since
        if path.endswith("/"):
            return True
        info = fs.info(path)
    # a web server shows its folders as pages
    return bool(info["type"] == "directory" or info.get("mimetype") == "text/html")


def _in_url(url: str, check: Check) -> Iterator[Entry]:
    """Walk the folder behind a URL."""
    with _located(url) as (fs, root):
        found: dict[str, dict[str, Any]] = fs.find(root, detail=True)
        unknown = [path for path, info in found.items() if info["size"] is None]
        sizes = dict(zip(unknown, fs.sizes(unknown), strict=True)) if unknown else {}
    above = root.rstrip("/") + "/"
    is_web = "http" in ([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol)
    for path, info in found.items():
        check()
        name = path.removeprefix(above)
        size = sizes.get(path, info["size"])
        yield Entry(
            _plain(unquote(name) if is_web else name),  # "%20" is a blank
            # where the server does not say, it may be as large as is allowed
            naming.MAX_PICTURE_BYTES if size is None else size,
            partial(read_file, url, inside=path),
        )


def _open_file(path: str) -> IO[bytes]:
    return open_url(path) if is_url(path) else files.open_regular(path)


def open_url(url: str) -> IO[bytes]:
    """Open the file behind a URL, to read anywhere in it."""
    with _located(url) as (fs, path):
        start = fs.cat_file(path, start=0, end=1)
        if len(start) > 1 or fs.size(path) is None:  # this server cannot send a part
            return io.BytesIO(start if len(start) > 1 else fs.cat_file(path))
        return cast("IO[bytes]", fs.open(path, "rb", block_size=BUFFER_BYTES))


@contextmanager
def _located(url: str, inside: str | None = None) -> Iterator[tuple[Any, str]]:
    """Give the file system of a URL and the path in it; errors name it and say why."""
    try:
        from fsspec.core import url_to_fs

        fs, path = url_to_fs(url)
        yield fs, inside or path
    except Exception as error:  # noqa: BLE001 - each protocol has errors of its own
        # not "from error": that one's words, and its traceback, hold the URL as it is
        raise _explanation(inside or url, error) from None


def _explanation(url: str, error: Exception) -> Exception:
    url = masked(url)
    causes: list[BaseException] = [error]  # file systems hide a refusal in a missing file
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    kinds = " ".join(type(cause).__name__ for cause in causes)
    status = {getattr(cause, "status", None) for cause in causes}
    last = error if isinstance(error, ImportError) else causes[-1]
    words = masked(str(last)).strip() or type(last).__name__
    reason = " ".join(words.split())[:200].rstrip(".")
    if isinstance(error, ImportError):
        words = 'For s3:// and https:// pip install "napari-latent-faces[remote]" brings it.'
        return ModuleNotFoundError(f"{url} cannot be read: {reason}. {words}")
    if reason.startswith("Protocol not known"):
        return ValueError(f"{url} cannot be read: no such protocol is known.")
    if status & {401, 403} or "Credential" in kinds or "PermissionError" in kinds:
        return PermissionError(f"{url} may not be read ({reason}): check the credentials.")
    is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
    if 404 in status or (is_missing and len(causes) == 1):
        return FileNotFoundError(f"There is no folder or archive {url}: check the address.")
    return ConnectionError(f"{url} cannot be read ({reason}): try again later.")
