"""Folders of files that are written whole, or not at all, and replaced only when ours."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

__all__ = ["Contents", "check_folder", "write_folder"]


@dataclass(frozen=True)
class Contents:
    """What is written into a folder.

    Parameters
    ----------
    files : tuple of str
        Names of single files.
    pictures : str
        Name of a folder inside, of pictures ``0.png``, ``1.png`` and so on.
    is_ours : callable
        Tells from a folder whether what is of these names there was written by us.
    """

    files: tuple[str, ...]
    pictures: str
    is_ours: Callable[[Path], bool]

    def found(self, folder: Path) -> list[Path]:
        """Return the files in a folder, relative to it; those of others are left out."""
        files = [folder / name for name in self.files]
        files += [p for p in (folder / self.pictures).glob("*.png") if p.stem.isdecimal()]
        return [path.relative_to(folder) for path in files if os.path.lexists(path)]


def write_folder(
    folder: str | PathLike[str],
    contents: Contents,
    write: Callable[[Path], None],
    *,
    force: bool = False,
) -> Path:
    """Write files aside first, and then move them into place.

    Whatever happens on the way, the folder is as it was.

    Parameters
    ----------
    folder : path-like
        Where to. It is made; the folder that it lies in must be there.
    contents : Contents
        What is written.
    write : callable
        Writes all files into an empty folder.
    force : bool, default=False
        Write into a folder that exists. Earlier files of ours are replaced, all others
        stay.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError, FileNotFoundError, PermissionError
        As `check_folder`.
    OSError
        If the files cannot be written.
    """
    folder = Path(folder)
    check_folder(folder, contents, force=force)
    exists = os.path.lexists(folder)
    # beside what it will replace, so that moving it is only a change of names
    aside = tempfile.mkdtemp(
        prefix=f".{folder.name[:32]}.", suffix=".part", dir=folder if exists else folder.parent
    )
    try:
        new = Path(aside, "new")
        new.mkdir()
        write(new)
        if exists:
            _swap(new, folder, Path(aside, "old"), contents)
        else:
            new.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def check_folder(
    folder: str | PathLike[str], contents: Contents, *, force: bool = False
) -> None:
    """Find out, before the work, whether `write_folder` may write to `folder`.

    Raises
    ------
    FileExistsError
        If `folder` exists, or with `force`, if it is a file, or holds files of these
        names that are not ours.
    FileNotFoundError
        If the folder that `folder` lies in is missing.
    PermissionError
        If files may not be written there.
    """
    folder = Path(folder)
    exists = os.path.lexists(folder)
    if exists and not force:
        raise FileExistsError(
            f"{folder} exists already: choose another folder, or replace the results in it "
            "with --force (force=True)."
        )
    if exists and not folder.is_dir():
        raise FileExistsError(f"{folder} is not a folder: choose another name.")
    if exists:
        _check_replaceable(folder, contents)
    elif not folder.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {folder.parent} to write {folder.name} into: make it first."
        )
    writable = folder if exists else folder.parent
    if not os.access(writable, os.W_OK | os.X_OK):
        raise PermissionError(f"{writable} may not be written to: check its permissions.")


def _check_replaceable(folder: Path, contents: Contents) -> None:
    """Refuse to replace what is not ours."""
    names = (*contents.files, contents.pictures)
    there = [name for name in names if os.path.lexists(folder / name)]
    foreign = [n for n in there if (folder / n).is_dir() != (n == contents.pictures)]
    if not foreign and not contents.is_ours(folder):
        foreign = there
    if foreign:
        raise FileExistsError(
            f"{folder / foreign[0]} is not part of an earlier export and is not replaced: "
            "choose another folder."
        )


def _swap(new: Path, folder: Path, old: Path, contents: Contents) -> None:
    """Move the files in `new` to `folder`, and earlier ones to `old`; all or nothing."""
    arriving, pictures = contents.found(new), contents.pictures
    made = not (folder / pictures).exists()
    (old / pictures).mkdir(parents=True)
    try:
        (folder / pictures).mkdir(exist_ok=True)
        for name in contents.found(folder):
            (folder / name).rename(old / name)
        for name in arriving:
            (new / name).rename(folder / name)
    except BaseException:
        # what was moved is told by the files: an interrupt can come between any two lines
        for name in arriving:
            if not (new / name).exists():
                (folder / name).rename(new / name)
        for name in contents.found(old):
            (old / name).rename(folder / name)
        if made:
            with suppress(FileNotFoundError):
                (folder / pictures).rmdir()
        raise
