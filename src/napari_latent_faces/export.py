"""A model as a folder of plain files: pictures, a table, and the model itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.canonical import unit_maximum
from napari_latent_faces.folders import Layout, check_folder, writing_folder
from napari_latent_faces.model_file import is_model_file
from napari_latent_faces.steps import drain
from napari_latent_faces.tables import component_heads, numbers, writing_table
from napari_latent_faces.tiles import montage

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from os import PathLike

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

    Exporting = Generator[tuple[int, int], None, Path]

__all__ = ["check_export", "export_model", "iter_export"]

_PICTURES = "components"
_LAYOUT = Layout(
    ("model.npz", "components.png", "mean.png", "weights.csv"),
    _PICTURES,
    "model.npz",
    is_model_file,
)


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
    return drain(iter_export(model, folder, force=force))


def iter_export(
    model: LatentFaces, folder: str | PathLike[str], *, force: bool = False
) -> Exporting:
    """Do what `export_model` does, step by step.

    Parameters
    ----------
    model, folder, force
        As in `export_model`.

    Yields
    ------
    (int, int)
        How much is written, and how much there is to write. Close the generator to end
        the export: `folder` is then as it was.

    Returns
    -------
    Path
        The folder, as the value of ``StopIteration``.

    Raises
    ------
    FileExistsError, OSError
        As in `export_model`.
    """
    folder = Path(folder)
    total = model.n_components + len(model.weights)
    with writing_folder(folder, _LAYOUT, force=force) as new:
        for done in _written(model, new):
            yield done, total
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
    check_folder(Path(folder), _LAYOUT, force=force)


def _written(model: LatentFaces, folder: Path) -> Iterator[int]:
    """Write all files into an empty folder; yield how many pictures and faces are."""
    from PIL import Image

    model.save(folder / "model.npz")
    pictures = _grey(model)
    (folder / _PICTURES).mkdir()
    for i, (number, picture) in enumerate(zip(numbers(len(pictures)), pictures, strict=True)):
        yield i
        Image.fromarray(picture).save(folder / _PICTURES / f"{number}.png")
    Image.fromarray(_contact_sheet(pictures)).save(folder / "components.png")
    if model.mean is not None:
        mean = np.rint(np.clip(model.mean, 0, 1) * 255).astype(np.uint8)
        Image.fromarray(mean).save(folder / "mean.png")
    for faces in _writing_weights(model, folder):
        yield len(pictures) + faces


def _grey(model: LatentFaces) -> NDArray[np.uint8]:
    """Return the components as 8-bit pictures."""
    pictures = unit_maximum(model.components)
    if model.is_signed:
        pictures = (pictures + 1 + 1 / 255) / 2  # 0 becomes 128, 1 is 255, -1 at least 1
    grey: NDArray[np.uint8] = np.rint(np.clip(pictures, 0, 1) * 255).astype(np.uint8)
    return grey


def _contact_sheet(pictures: NDArray[Any]) -> NDArray[Any]:
    """Return pictures (k, h, w) in one, about square and with few empty places."""
    k, h, w = pictures.shape
    square = math.sqrt(k * h / w)
    fewest, most = math.ceil(0.75 * square), math.ceil(1.25 * square)

    def empty_then_slender(columns: int) -> tuple[int, float]:
        return -k % columns, abs(columns - square)

    columns = min(range(min(fewest, k), min(most, k) + 1), key=empty_then_slender)
    return montage(pictures, columns)


def _writing_weights(model: LatentFaces, folder: Path) -> Iterator[int]:
    # as Python's floats: their digits give the same number back in any program
    rows = (weights.tolist() for weights in model.weights)
    origin = model.provenance
    names = origin.names or tuple(f"face {i}" for i in range(len(model.weights)))
    columns = component_heads(model.n_components)
    return writing_table(folder / "weights.csv", names, origin.subjects, columns, rows)
