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

from napari_latent_faces.layers import montage
from napari_latent_faces.model import unit_maximum
from napari_latent_faces.model_file import is_model_file

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["check_export", "export_model"]

_PICTURES = "components"
_FILES = ("model.npz", "components.png", "mean.png", "weights.csv")
_ALL = (*_FILES, _PICTURES)


def export_model(
    model: LatentFaces, folder: str | PathLike[str], *, force: bool = False
) -> Path:
    """Write a model as files that any program reads.

    ==================  ==========================================================
    ``model.npz``       the model, for `LatentFaces.load`
    ``components/``     one 8-bit grey picture a component, ``00.png`` on, 255 at
                        its brightest; where components are signed, 0 is grey (128)
    ``components.png``  all of them in one picture
    ``mean.png``        the mean face, of methods that have one
    ``weights.csv``     a line a face: name, subject if it is known, and the
                        weights, in UTF-8 (what cannot be encoded is escaped)
    ==================  ==========================================================

    They are written aside first and then moved into place: whatever happens on the
    way, `folder` is as it was.

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
    aside = tempfile.mkdtemp(
        prefix=f".{folder.name[:32]}.", suffix=".part", dir=folder if exists else folder.parent
    )
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
    """Move the files in `new` to `folder`, and an earlier export to `old`; all or nothing."""
    arriving = _exported(new)
    made = not (folder / _PICTURES).exists()
    (old / _PICTURES).mkdir(parents=True)
    try:
        (folder / _PICTURES).mkdir(exist_ok=True)
        for name in _exported(folder):
            (folder / name).rename(old / name)
        for name in arriving:
            (new / name).rename(folder / name)
    except BaseException:
        # what was moved is told by the files: an interrupt can come between any two lines
        for name in arriving:
            if not (new / name).exists():
                (folder / name).rename(new / name)
        for name in _exported(old):
            (old / name).rename(folder / name)
        if made:
            with suppress(FileNotFoundError):
                (folder / _PICTURES).rmdir()
        raise


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
    pictures = _grey(model)
    (folder / _PICTURES).mkdir()
    for number, picture in zip(numbers, pictures, strict=True):
        Image.fromarray(picture).save(folder / _PICTURES / f"{number}.png")
    Image.fromarray(_contact_sheet(pictures)).save(folder / "components.png")
    if model.mean is not None:
        mean = np.rint(np.clip(model.mean, 0, 1) * 255).astype(np.uint8)
        Image.fromarray(mean).save(folder / "mean.png")
    _write_weights(model, [f"component_{number}" for number in numbers], folder)


def _grey(model: LatentFaces) -> NDArray[np.uint8]:
    """Return the components as 8-bit pictures."""
    pictures = unit_maximum(model.components)
    if model.is_signed:
        pictures = (pictures + 1 + 1 / 255) / 2  # 0 becomes 128, 1 is 255, -1 at least 1
    grey: NDArray[np.uint8] = np.rint(np.clip(pictures, 0, 1) * 255).astype(np.uint8)
    return grey


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
