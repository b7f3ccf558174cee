"""Files: opened without waiting, and written so that no reader ever finds half of one."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

__all__ = [
    "errors_named",
    "open_regular",
    "remove_leftovers",
    "replacing",
    "temporary_name",
]

LEFT_SECONDS = 3600.0  # no file takes so long to write


def open_regular(path: str | PathLike[str], buffering: int = -1) -> IO[bytes]:
    """Open a regular file to read; nothing else, and without waiting for anybody.

    Parameters
    ----------
    path : path-like
        The file.
    buffering : int, default=-1
        As for `open`.

    Raises
    ------
    OSError
        If it cannot be read, or is a folder, device, socket or FIFO.
    """
    file = open(path, "rb", buffering, opener=_without_waiting)  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError("no regular file")
    return file


def _without_waiting(path: str, flags: int) -> int:
    # what was a file may have become a FIFO that nobody writes to
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@contextmanager
def replacing(path: str | PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path` and move it there when the block ends well.

    Parameters
    ----------
    path : path-like
        The file to write. Folders above it are not made. A link stays, and the file that
        it leads to is written.

    Yields
    ------
    binary file
        To write to; removed if the block raises.

    Raises
    ------
    OSError
        If the folder cannot be written to, or `path` is there and is neither a file nor a
        folder (a device, say); it names `path`, which is then as it was.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(f"{path} is no regular file: choose another name.")
    with errors_named(path, path.parent), ExitStack() as undoing:
        prefix, suffix = temporary_name(path)
        temporary = path.with_name(f"{prefix}{secrets.token_hex(4)}{suffix}")
        with temporary.open("xb") as file:
            undoing.callback(temporary.unlink, missing_ok=True)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        undoing.pop_all()
    remove_leftovers(path, path.parent)


def temporary_name(path: Path) -> tuple[str, str]:
    """Return how the name of a temporary file beside `path` starts and ends."""
    return f".{path.name[:32]}.", ".part"  # short: a name may only be so long


def remove_leftovers(path: Path, folder: Path) -> None:
    """Remove what a process that was killed while it wrote `path` has left in `folder`.

    Only what is older than an hour: another process may be writing just now.
    """
    prefix, suffix = temporary_name(path)
    with suppress(OSError):
        for item in list(os.scandir(folder)):
            ours = item.name.startswith(prefix) and item.name.endswith(suffix)
            random = item.name[len(prefix) : -len(suffix)]
            if ours and len(random) == 8 and time.time() - item.stat().st_mtime > LEFT_SECONDS:
                _remove(Path(item.path))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def errors_named(path: Path, folder: Path) -> Iterator[None]:
    """Let errors of the system tell of `path` where they tell of a temporary name or none.

    Parameters
    ----------
    path : Path
        What is being written.
    folder : Path
        Where its temporary files are.
    """
    try:
        yield
    except OSError as error:
        told = os.path.abspath(os.fsdecode(error.filename or ""))  # noqa: PTH100
        start = os.path.join(os.path.abspath(folder), temporary_name(path)[0])  # noqa: PTH100, PTH118
        if error.errno and (not error.filename or told.startswith(start)):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise
