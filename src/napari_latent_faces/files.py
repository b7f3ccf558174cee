"""Files and folders that are whole or not there."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import stat
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from zipfile import ZipFile

import numpy as np

from napari_latent_faces.stack import harmless, in_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike

    from numpy.typing import NDArray


CONTENTS = ".latent-faces.json"
"""The file of a folder of results that says what was written there."""

# How files that are packed by themselves, such as 1.pgm.gz, end and start, and are opened.
PACKED: dict[str, tuple[bytes, Callable[[IO[bytes]], Any]]] = {
    ".gz": (b"\x1f\x8b", gzip.open),
    ".bz2": (b"BZh", bz2.open),
    ".xz": (b"\xfd7zXZ\0", lzma.open),
}


def open_regular(path: str | PathLike[str], buffering: int = -1) -> IO[bytes]:
    """Open a regular file to read; nothing else, and without waiting for anybody."""
    at_once = getattr(os, "O_NONBLOCK", 0)  # a FIFO may have come, which nobody writes to
    file = open(path, "rb", buffering, opener=lambda p, flags: os.open(p, flags | at_once))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError("no regular file")
    return file


def write_arrays(file: IO[bytes], arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays as `numpy.savez` does, which in NumPy 2.0 need not close its archive."""
    with ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def opener_of(head: bytes) -> Callable[[IO[bytes]], Any] | None:
    """Return what unpacks a file that starts so, if it is packed by itself."""
    return next((opener for start, opener in PACKED.values() if head.startswith(start)), None)


def unpacked_name(name: str) -> str:
    """Return the name that a packed file has when it is unpacked."""
    stem, dot, end = name.rpartition(".")
    return stem if stem and dot + end.lower() in PACKED else name


def most_unpacked(packed: int, free: int = 2**26) -> int:
    """Return to how many bytes so many may unpack; `free` in any case, as black pictures do."""
    return max(free, 200 * packed)  # zeros shrink a thousandfold, faces do not


def unpacked(source: str | bytes, most: int) -> bytes | None:
    """Return what is in a packed file of a path or content, None if it is not packed."""
    with io.BytesIO(source) if isinstance(source, bytes) else open_regular(source) as file:
        opener = opener_of(file.read(8))
        if opener is None:
            return None
        file.seek(0)
        content = bytearray()
        with opener(file) as stream:
            while piece := stream.read(2**20):  # not all at once: room is made for that
                content += piece
                if len(content) > most:
                    raise ValueError(f"a bomb, larger than {most >> 20} MiB when unpacked")
    return bytes(content)


_WORDS = {
    "FileNotFoundError": "vanished while it was being read",
    "MemoryError": "too large for the memory that is free",
    "UnidentifiedImageError": "damaged, or no picture of a known format in spite of its name",
}


def in_words(error: BaseException) -> str:
    """Say in one line what a library raises, on the bytes of anybody's file."""
    ours = (_WORDS.get(kind.__name__) for kind in type(error).__mro__)
    words = next(filter(None, ours), None) or getattr(error, "strerror", None) or str(error)
    return in_one_line(" ".join((words or type(error).__name__).split())[:200].rstrip("."))


@contextmanager
def replacing(path: str | PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`, and move it there when the block ends well."""
    path = Path(os.path.realpath(path))  # of a link, the file that it leads to
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(f"{path} is no regular file: choose another name.")
    with _errors_named(path), ExitStack() as undoing:
        temporary = path.with_name(f"{_prefix(path)}{os.urandom(4).hex()}.part")
        with temporary.open("xb") as file:
            undoing.callback(temporary.unlink, missing_ok=True)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        undoing.pop_all()


@contextmanager
def writing_folder(folder: Path, kind: str, *, force: bool = False) -> Iterator[Path]:
    """Give an empty folder to write into, and put it in place when the block ends well."""
    check_folder(folder, kind, force=force)
    folder = Path(os.path.realpath(folder))
    with _errors_named(folder):
        aside = Path(tempfile.mkdtemp(".part", _prefix(folder), folder.parent))
        try:
            new = aside / "new"
            new.mkdir()
            yield new
            files = [path for path in sorted(new.rglob("*")) if path.is_file()]
            written = {path.relative_to(new).as_posix(): _digest(path) for path in files}
            contents = json.dumps({"kind": kind, "files": written}, indent=1)
            (new / CONTENTS).write_text(f"{contents}\n", "utf-8")
            try:
                if folder.exists():
                    check_folder(folder, kind, force=force)  # it may have changed
                    folder.rename(aside / "old")
                new.rename(folder)
            finally:  # whatever came between, an interrupt too
                if not folder.exists():
                    with suppress(FileNotFoundError):
                        (aside / "old").rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def check_folder(folder: Path, kind: str, *, force: bool = False) -> None:
    """Refuse a folder, before the work, unless it can be made or is empty.

    With `force`, it may hold results of this kind (``"a fit"``), exactly as they were written.
    """
    folder = Path(os.path.realpath(folder))
    if not folder.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {folder.parent}: make it first.")
    if not os.access(folder.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder.parent} may not be written to: check its permissions.")
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is not a folder: choose another name.")
    there = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")  # all but folders that hold things
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    }
    if not there:
        return
    found, written = read_contents(b"")
    with suppress(OSError), open_regular(folder / CONTENTS) as file:
        found, written = read_contents(file.read())
    if found != kind:
        holds = f"the results of {found}" if found else "other files"
        raise FileExistsError(f"{folder} holds {holds}: choose another folder.")
    for name in sorted(there - {CONTENTS}):
        path = folder / name
        if name not in written or path.is_symlink() or _digest(path) != written[name]:
            words = "which was not written with its results, or was changed since: move it"
            raise FileExistsError(f"{folder} holds {harmless(name)}, {words} away.")
    if not force:
        words = "choose another folder, or replace them with --force (force=True)."
        raise FileExistsError(f"{folder} holds earlier results: {words}")


def read_contents(text: bytes) -> tuple[str, dict[str, str]]:
    """Return the kind of results, "" for none, and their files with their digests."""
    try:
        contents = json.loads(text)
        kind, files = contents["kind"], contents["files"]
        is_ours = isinstance(kind, str) and all(isinstance(v, str) for v in files.values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "", {}
    return (harmless(kind), files) if is_ours else ("", {})


def _digest(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _prefix(path: Path) -> str:
    """Return how the name of a temporary file beside `path` starts."""
    return f".{path.name[:32]}."  # short: a name may only be so long


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """Let errors of the system tell of `path` where they tell of a temporary name or none."""
    try:
        yield
    except OSError as error:
        told = os.path.abspath(os.fsdecode(error.filename or ""))  # noqa: PTH100
        is_ours = told.startswith(str(path.parent / _prefix(path)))
        if error.errno and (is_ours or not error.filename):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise
