"""Files: opened without waiting, and written so that no reader ever finds half of one."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

__all__ = ["open_regular", "replacing"]


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
        The file to write. Folders above it are not made.

    Yields
    ------
    binary file
        To write to; removed if the block raises.

    Raises
    ------
    OSError
        If the folder cannot be written to; `path` is then as it was.
    """
    path = Path(path)
    short = path.name[:32]  # whose temporary name is no longer than a name may be
    handle, name = tempfile.mkstemp(prefix=f".{short}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner may read
        os.chmod(name, 0o666 & ~_umask())  # noqa: PTH101
        os.replace(name, path)  # noqa: PTH105
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
