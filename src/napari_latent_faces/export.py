"""A model as a folder of plain files: pictures, a table, and the model itself."""

from __future__ import annotations

import csv
import math
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.files import errors_named, remove_leftovers, temporary_name
from napari_latent_faces.layers import montage
from napari_latent_faces.model import unit_maximum
from napari_latent_faces.model_file import is_model_file

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["check_export", "export_model"]

_PICTURES = "components"
_FILES = ("model.npz", "components.png", "weights.csv")
_ALL = (*_FILES, _PICTURES)


def export_model(
    model: LatentFaces, folder: str | PathLike[str], *, force: bool = False
) -> Path:
    """Write a model as files that any program reads.

    ==================  ==========================================================
    ``model.npz``       the model, for `LatentFaces.load`
    ``components/``     one 8-bit grey picture a component, ``00.png`` on, 255 at
                        its brightest
    ``components.png``  all of them in one picture
    ``weights.csv``     a line a face: name, subject if it is known, and the
                        weights, in UTF-8 (what cannot be encoded is escaped)
    ==================  ==========================================================

    They are written aside first and then moved into place: whatever happens on the
    way, `folder` is as it was. Only a process that is killed while it moves them leaves
    some files of an earlier export beside new ones, each of them whole.

    Parameters
    ----------
    model : LatentFaces
        The model.
    folder : path-like
        Where to. It is made; the folder that it lies in must be there.
    force : bool, default=False
        Write into a folder that exists. The files of an earlier export are replaced,
        all others stay.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError
        If `folder` exists, or with `force`, if it is a file, or holds files of these
        names that are not an earlier export (one has a ``model.npz`` that is a model).
    OSError
        If the files cannot be written.
    """
    folder = Path(folder)
    check_export(folder, force=force)
    exists = os.path.lexists(folder)
    # beside what it will replace, so that moving it is only a change of names
    beside = folder if exists else folder.parent
    with errors_named(folder, beside):
        prefix, suffix = temporary_name(folder)
        aside = tempfile.mkdtemp(suffix, prefix, beside)
        try:
            new = Path(aside, "new")
            new.mkdir()
            _write(model, new)
            if exists:
                _swap(new, folder, Path(aside, "old"))
            else:
                new.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    remove_leftovers(folder, beside)
    return folder


def check_export(folder: str | PathLike[str], *, force: bool = False) -> None:
    """Find out, before the work, whether `export_model` may write to `folder`.

    Parameters
    ----------
    folder, force
        As in `export_model`.

    Raises
    ------
    FileExistsError
        As in `export_model`.
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
        _check_replaceable(folder)
    elif not folder.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {folder.parent} to write {folder.name} into: make it first."
        )
    writable = folder if exists else folder.parent
    if not os.access(writable, os.W_OK | os.X_OK):
        raise PermissionError(f"{writable} may not be written to: check its permissions.")


def _check_replaceable(folder: Path) -> None:
    """Refuse to replace what is not an earlier export."""
    there = [name for name in _ALL if os.path.lexists(folder / name)]
    foreign = [name for name in there if (folder / name).is_dir() != (name == _PICTURES)]
    if not foreign and not is_model_file(folder / "model.npz"):
        foreign = there
    if foreign:
        raise FileExistsError(
            f"{folder / foreign[0]} is not part of an earlier export and is not replaced: "
            "choose another folder."
        )


def _swap(new: Path, folder: Path, old: Path) -> None:
    """Put the files in `new` in the place of an earlier export; all or nothing.

    Each is replaced in one step, so that also a process that is killed here leaves every
    file whole, of the old export or the new one; the model, by which an export is known,
    goes first.
    """
    arriving, leaving = _exported(new), _exported(folder)
    made = not (folder / _PICTURES).exists()
    (old / _PICTURES).mkdir(parents=True)
    for name in leaving:
        _keep(folder / name, old / name)
    try:
        (folder / _PICTURES).mkdir(exist_ok=True)
        for name in arriving:
            (new / name).replace(folder / name)
        for name in leaving:
            if name not in arriving:
                (folder / name).unlink()
    except BaseException:
        # what was moved is told by the files: an interrupt can come between any two lines
        for name in arriving:
            if name not in leaving and not (new / name).exists():
                (folder / name).unlink(missing_ok=True)
        for name in leaving:
            (old / name).replace(folder / name)
        if made:
            with suppress(FileNotFoundError):
                (folder / _PICTURES).rmdir()
        raise


def _keep(path: Path, second: Path) -> None:
    """Give a file a second name, or copy it where the disk knows no such thing."""
    try:
        os.link(path, second, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(path, second, follow_symlinks=False)


def _exported(folder: Path) -> list[Path]:
    """Return the files of an export, relative to its folder; others are left out."""
    files = [folder / name for name in _FILES]
    files += [path for path in (folder / _PICTURES).glob("*.png") if path.stem.isdecimal()]
    return [path.relative_to(folder) for path in files if os.path.lexists(path)]


def _write(model: LatentFaces, folder: Path) -> None:
    """Write all files into an empty folder."""
    from PIL import Image

    model.save(folder / "model.npz")
    numbers = _numbers(model.n_components)
    pictures = np.rint(unit_maximum(model.components) * 255).astype(np.uint8)
    (folder / _PICTURES).mkdir()
    for number, picture in zip(numbers, pictures, strict=True):
        Image.fromarray(picture).save(folder / _PICTURES / f"{number}.png")
    Image.fromarray(_contact_sheet(pictures)).save(folder / "components.png")
    _write_weights(model, [f"component_{number}" for number in numbers], folder)


def _numbers(k: int) -> list[str]:
    """Return 0 to k - 1 as text of one length, two digits at least."""
    digits = max(2, len(str(k - 1)))
    return [f"{i:0{digits}}" for i in range(k)]


def _contact_sheet(pictures: NDArray[Any]) -> NDArray[Any]:
    """Return pictures (k, h, w) in one, about square and with few empty places."""
    k, h, w = pictures.shape
    square = math.sqrt(k * h / w)
    fewest, most = math.ceil(0.75 * square), math.ceil(1.25 * square)

    def empty_then_slender(columns: int) -> tuple[int, float]:
        return -k % columns, abs(columns - square)

    columns = min(range(min(fewest, k), min(most, k) + 1), key=empty_then_slender)
    return montage(pictures, columns)


def _write_weights(model: LatentFaces, columns: list[str], folder: Path) -> None:
    origin = model.provenance
    names = origin.names or tuple(f"face {i}" for i in range(len(model.weights)))
    heads = {"name": names, "subject": origin.subjects}
    known = {head: values for head, values in heads.items() if values is not None}
    # a name that is no text (undecodable bytes) must not make the whole table unreadable
    with (folder / "weights.csv").open(
        "w", encoding="utf-8", errors="backslashreplace", newline=""
    ) as file:
        # all text is quoted: a carriage return alone would not be, and end the line
        table = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        table.writerow([*known, *columns])
        # as Python's floats: their digits give the same number back in any program
        for *face, weights in zip(*known.values(), model.weights, strict=True):
            table.writerow([*face, *weights.tolist()])
