"""Generated faces as a folder of plain files: pictures, and a table of their recipes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.folders import Layout, check_folder, writing_folder
from napari_latent_faces.mixing.picture import to_pixels
from napari_latent_faces.mixing.recipes import Recipe, is_recipe_table, save_recipes
from napari_latent_faces.tables import numbers

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["check_generated", "write_generated"]

_TABLE, _PICTURES = "recipes.csv", "faces"
_LAYOUT = Layout((_TABLE,), _PICTURES, _TABLE, is_recipe_table)


def write_generated(
    model: LatentFaces,
    weights: NDArray[Any],
    folder: str | PathLike[str],
    *,
    made: str = "",
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write mixed faces as files that any program reads.

    ===============  =============================================================
    ``faces/``       one 8-bit grey picture a face, ``00.png`` on; what is 1 in the
                     fit is white, and what is brighter too
    ``recipes.csv``  a line a face: the name of its picture, how it was made, and
                     its weights
    ===============  =============================================================

    They are written aside first and then moved into place: whatever happens on the
    way, `folder` is as it was.

    Parameters
    ----------
    model : LatentFaces
        What the faces are made from.
    weights : array of shape (m, k)
        How much of each component.
    folder : path-like
        Where to. It is made; the folder that it lies in must be there.
    made : str
        How the faces came about, in words, for the table.
    force : bool, default=False
        Write into a folder that exists. Faces that were generated earlier are replaced,
        other files stay.
    progress : callable, optional
        Is told how many faces are written, of how many.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError, FileNotFoundError, PermissionError
        As `check_generated`.
    OSError
        If the files cannot be written.
    """
    folder = Path(folder)
    with writing_folder(folder, _LAYOUT, force=force) as new:
        _write(model, weights, made, progress, new)
    return folder


def check_generated(folder: str | PathLike[str], *, force: bool = False) -> None:
    """Find out, before the work, whether `write_generated` may write to `folder`.

    Raises
    ------
    FileExistsError
        If `folder` exists, or with `force`, if it is a file, or holds ``recipes.csv`` or
        ``faces`` that were not written by `write_generated`.
    FileNotFoundError
        If the folder that `folder` lies in is missing.
    PermissionError
        If files may not be written there.
    """
    check_folder(Path(folder), _LAYOUT, force=force)


def _write(
    model: LatentFaces,
    weights: NDArray[Any],
    made: str,
    progress: Callable[[int, int], None] | None,
    folder: Path,
) -> None:
    """Write all files into an empty folder."""
    from PIL import Image

    names = [f"{number}.png" for number in numbers(len(weights))]
    (folder / _PICTURES).mkdir()
    white = 255 / model.scale
    for done, (name, row) in enumerate(zip(names, weights, strict=True), start=1):
        picture = to_pixels(model.blend(row) * white, np.uint8)
        Image.fromarray(picture).save(folder / _PICTURES / name)
        if progress is not None:
            progress(done, len(weights))
    recipes = [
        Recipe(name, made, tuple(row.tolist()))
        for name, row in zip(names, weights, strict=True)
    ]
    save_recipes(folder / _TABLE, recipes)
