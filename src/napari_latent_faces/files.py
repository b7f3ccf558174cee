"""Files and folders that are whole or not there."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike

__all__ = [
    "Layout",
    "check_folder",
    "errors_named",
    "open_regular",
    "remove_leftovers",
    "replacing",
    "temporary_name",
    "writing_folder",
]

# -- Files: opened without waiting, and written so that no reader ever finds half of one

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


# -- Folders of results that are whole or not there, and replaced only when they are ours

_PICTURES = (".png", ".tif")


@dataclass(frozen=True)
class Layout:
    """What lies in a folder of results.

    Parameters
    ----------
    files : tuple of str
        Names of files; the mark, which a folder of results is known by, goes first.
    pictures : str
        Name of a folder of pictures with numbers for names.
    mark : str
        The file that tells a folder of results from others.
    is_mark : callable
        Tells whether a path is such a file; never raises.
    """

    files: tuple[str, ...]
    pictures: str
    mark: str
    is_mark: Callable[[Path], bool]


@contextmanager
def writing_folder(folder: Path, layout: Layout, *, force: bool = False) -> Iterator[Path]:
    """Give an empty folder to write into, and put its files in place when the block ends well.

    Whatever happens on the way, `folder` is as it was. Only a process that is killed while
    it moves the files leaves some earlier ones beside new ones, each of them whole.

    Parameters
    ----------
    folder : Path
        Where to. It is made; the folder that it lies in must be there.
    layout : Layout
        What will be written.
    force : bool, default=False
        Write into a folder that exists. Earlier results are replaced, other files stay.

    Yields
    ------
    Path
        The empty folder.

    Raises
    ------
    FileExistsError, FileNotFoundError, PermissionError, OSError
        As `check_folder`, or if the files cannot be written.
    """
    check_folder(folder, layout, force=force)
    exists = os.path.lexists(folder)
    # beside what it will replace, so that moving it is only a change of names
    beside = folder if exists else folder.parent
    with errors_named(folder, beside):
        prefix, suffix = temporary_name(folder)
        aside = tempfile.mkdtemp(suffix, prefix, beside)
        try:
            new = Path(aside, "new")
            new.mkdir()
            yield new
            if exists:
                _swap(new, folder, Path(aside, "old"), layout)
            else:
                new.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    remove_leftovers(folder, beside)


def check_folder(folder: Path, layout: Layout, *, force: bool = False) -> None:
    """Find out, before the work, whether results may be written to `folder`.

    Parameters
    ----------
    folder, layout, force
        As in `writing_folder`.

    Raises
    ------
    FileExistsError
        If `folder` exists, or with `force`, if it is a file, or holds files of these
        names that are not earlier results.
    FileNotFoundError
        If the folder that `folder` lies in is missing.
    PermissionError
        If files may not be written there.
    """
    exists = os.path.lexists(folder)
    if exists and not force:
        raise FileExistsError(
            f"{folder} exists already: choose another folder, or replace the results in it "
            "with --force (force=True)."
        )
    if exists and not folder.is_dir():
        raise FileExistsError(f"{folder} is not a folder: choose another name.")
    if exists:
        _check_replaceable(folder, layout)
    elif not folder.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {folder.parent} to write {folder.name} into: make it first."
        )
    writable = folder if exists else folder.parent
    if not os.access(writable, os.W_OK | os.X_OK):
        raise PermissionError(f"{writable} may not be written to: check its permissions.")


def _check_replaceable(folder: Path, layout: Layout) -> None:
    """Refuse to replace what is not an earlier export."""
    there = [
        name for name in (*layout.files, layout.pictures) if os.path.lexists(folder / name)
    ]
    foreign = [name for name in there if (folder / name).is_dir() != (name == layout.pictures)]
    if not foreign and not layout.is_mark(folder / layout.mark):
        foreign = there
    if foreign:
        raise FileExistsError(
            f"{folder / foreign[0]} is not part of an earlier export and is not replaced: "
            "choose another folder."
        )


def _swap(new: Path, folder: Path, old: Path, layout: Layout) -> None:
    """Put the files in `new` in the place of an earlier export; all or nothing.

    Each is replaced in one step, so that also a process that is killed here leaves every
    file whole, of the old export or the new one.
    """
    arriving, leaving = _exported(new, layout), _exported(folder, layout)
    (old / layout.pictures).mkdir(parents=True)
    for name in leaving:
        _keep(folder / name, old / name)
    with ExitStack() as undoing:  # whatever comes between, an interrupt too
        if not (folder / layout.pictures).exists():
            undoing.callback(_remove_folder, folder / layout.pictures)
        undoing.callback(_put_back, new, folder, old, arriving, leaving)
        (folder / layout.pictures).mkdir(exist_ok=True)
        for name in arriving:
            (new / name).replace(folder / name)
        for name in leaving:
            if name not in arriving:
                (folder / name).unlink()
        undoing.pop_all()  # all is done: nothing to undo


def _put_back(
    new: Path, folder: Path, old: Path, arriving: list[Path], leaving: list[Path]
) -> None:
    """Undo a swap that did not end; what was moved is told by the files."""
    for name in arriving:
        if name not in leaving and not (new / name).exists():
            (folder / name).unlink(missing_ok=True)
    for name in leaving:
        (old / name).replace(folder / name)


def _remove_folder(folder: Path) -> None:
    with suppress(FileNotFoundError):
        folder.rmdir()


def _keep(path: Path, second: Path) -> None:
    """Give a file a second name, or copy it where the disk knows no such thing."""
    try:
        os.link(path, second, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(path, second, follow_symlinks=False)


def _exported(folder: Path, layout: Layout) -> list[Path]:
    """Return the files of an export, relative to its folder; others are left out."""
    files = [folder / name for name in layout.files]
    files += [
        path
        for path in (folder / layout.pictures).glob("*")
        if path.stem.isdecimal() and path.suffix in _PICTURES
    ]
    return [path.relative_to(folder) for path in files if os.path.lexists(path)]
