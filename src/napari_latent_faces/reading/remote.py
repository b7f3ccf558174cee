"""Bytes behind URLs, through fsspec: any part of a file, and what a folder holds."""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "RemoteFile",
    "is_url",
    "masked",
    "open_url",
    "read_url_part",
    "remote_files",
    "remote_kind",
]

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
