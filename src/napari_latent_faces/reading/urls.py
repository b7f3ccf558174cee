"""Bytes behind URLs, through fsspec."""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "explained",
    "explanation",
    "is_url",
    "list_url",
    "masked",
    "open_url",
    "read_url",
    "shown",
    "url_is_folder",
]

# "C:" is a drive; chains like "simplecache::s3://bucket/faces" are fsspec's
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]+::)*[a-z][a-z0-9+.-]+://", re.IGNORECASE)

# The user and password of a URL, and its query, which may be a signature, in any text.
_SECRETS = re.compile(
    r"(?P<start>[a-z][a-z0-9+.-]*://)(?P<user>[^/?#\s]*@)?(?P<path>[^?#\s'\"]*)"
    r"(?P<query>\?[^#\s'\"]*)?(?P<end>#[^\s'\"]*)?",
    re.IGNORECASE,
)

BUFFER_BYTES = 2**18  # asked for at once: some dozen faces, or a small archive's directory

_EXTRA = 'pip install "napari-latent-faces[remote]"'


def is_url(path: str) -> bool:
    """Tell whether a path is a URL, like ``s3://bucket/faces``."""
    return _URL.match(path) is not None


def masked(text: str) -> str:
    """Return a text with the secrets in its URLs masked.

    ``https://me:word@host/a.zip?sig=1`` becomes ``https://***@host/a.zip?***``: all of the
    query, since each service calls its signature by another name.
    """

    def mask(found: re.Match[str]) -> str:
        user = "***@" if found["user"] else ""
        secret = ("?***" if found["query"] else "") + ("#***" if found["end"] else "")
        return found["start"] + user + found["path"] + secret

    return _SECRETS.sub(mask, text)


def shown(path: str) -> str:
    """Return a path or URL as messages and files may show it: without secrets."""
    return masked(path) if is_url(path) else path


def url_is_folder(url: str) -> bool:
    """Tell whether a URL leads to a folder.

    Raises
    ------
    FileNotFoundError, PermissionError, ConnectionError
        If there is nothing, it may not be read, or nobody answers.
    ModuleNotFoundError
        If a package that the protocol needs is not installed.
    ValueError
        If the protocol is unknown.
    """
    with explained(url):
        fs, path = _located(url)
        fs.invalidate_cache()  # what was listed before may have changed since
        if path.endswith("/"):
            return True
        info = fs.info(path)
    # a web server shows its folders as pages
    return bool(info["type"] == "directory" or info.get("mimetype") == "text/html")


def list_url(url: str) -> list[tuple[str, str, int | None]]:
    """List the files in a folder and the folders in it.

    Returns
    -------
    list of (name, address, size)
        Names are relative to the folder, addresses are for `read_url`; the size is None
        where the server does not say.

    Raises
    ------
    FileNotFoundError, PermissionError, ConnectionError, ModuleNotFoundError, ValueError
        As `url_is_folder`.
    """
    with explained(url):
        fs, root = _located(url)
        found: dict[str, dict[str, Any]] = fs.find(root, detail=True)
        unknown = [path for path, info in found.items() if info["size"] is None]
        sizes = dict(zip(unknown, fs.sizes(unknown), strict=True)) if unknown else {}
    above = root.rstrip("/") + "/"
    is_web = "http" in ([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol)
    readable = unquote if is_web else str  # "%20" is a blank
    return [
        (readable(path.removeprefix(above)), path, sizes.get(path, info["size"]))
        for path, info in found.items()
    ]


def read_url(url: str, path: str | None, limit: int, start: int = 0) -> bytes:
    """Return at most `limit` bytes of a file, from `start` on.

    Parameters
    ----------
    url : str
        The URL of the file, or of a folder.
    path : str or None
        The file's address in that folder, as `list_url` tells it.
    limit, start : int
        How many bytes, and the first of them.

    Raises
    ------
    FileNotFoundError, PermissionError, ConnectionError, ModuleNotFoundError, ValueError
        As `url_is_folder`.
    """
    with explained(path or url):
        fs, own = _located(url)
        content: bytes = fs.cat_file(path or own, start=start, end=start + limit)
    # a server that cannot send a part sends everything
    return content if len(content) <= limit else content[start : start + limit]


def open_url(url: str) -> IO[bytes]:
    """Open the file behind a URL, to read anywhere in it.

    Raises
    ------
    FileNotFoundError, PermissionError, ConnectionError, ModuleNotFoundError, ValueError
        As `url_is_folder`. What the file's methods raise is not explained yet.
    """
    with explained(url):
        fs, path = _located(url)
        start = fs.cat_file(path, start=0, end=1)
        if len(start) > 1 or fs.size(path) is None:  # this server cannot send a part
            return io.BytesIO(start if len(start) > 1 else fs.cat_file(path))
        return cast("IO[bytes]", fs.open(path, "rb", block_size=BUFFER_BYTES))


def _located(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it."""
    from fsspec.core import url_to_fs

    fs, path = url_to_fs(url)
    return fs, path


# -- Errors, which each protocol has its own of ----------------------------------------


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn whatever a file system raises into an error that names the URL and says why."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see `explanation`
        # not "from error": that one's words, and its traceback, hold the URL as it is
        raise explanation(url, error) from None


def explanation(url: str, error: Exception) -> Exception:
    """Return an error that names a URL and says what went wrong there."""
    url = masked(url)
    if isinstance(error, ImportError):
        return ModuleNotFoundError(
            f"{url} cannot be read: {_reason(error)}. For s3:// and https:// {_EXTRA} brings "
            "what is needed."
        )
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
    late = isinstance(error, TimeoutError) or "Timeout" in type(error).__name__
    words = str(error).strip() or ("no answer in time" if late else "no reason given")
    return " ".join(masked(words).split())[:200].rstrip(".")
