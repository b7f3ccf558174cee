"""How generated faces were made, and their folders."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.export import cell, component_heads, numbers
from napari_latent_faces.files import check_folder, replacing, writing_folder
from napari_latent_faces.mixing.mix import to_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = [
    "Recipe",
    "check_generated",
    "number_recipes",
    "recipe_table",
    "save_recipes",
    "write_generated",
]


@dataclass(frozen=True)
class Recipe:
    """What a generated face is called, how it was made in words, and its k weights."""

    name: str
    made: str
    weights: tuple[float, ...]


def number_recipes(
    weights: NDArray[Any], made: str, name: str = "generated", first: int = 0
) -> tuple[Recipe, ...]:
    """Return recipes of faces with weights (m, k), numbered from `first` on."""
    return tuple(
        Recipe(f"{name} {i}", made, tuple(row.tolist()))
        for i, row in enumerate(weights, start=first)
    )


def recipe_table(recipes: Sequence[Recipe]) -> str:
    """Return recipes as comma-separated values, a line each below a header.

    Weights are written so that reading them gives the same numbers. A text that a
    spreadsheet program would take for a formula gets an apostrophe before it.
    """
    lengths = {len(recipe.weights) for recipe in recipes}
    if len(lengths) > 1:
        raise ValueError("The recipes are of models with different numbers of components.")
    k = max(lengths, default=0)
    text = io.StringIO()
    # all text is quoted: a carriage return alone would not be, and end the line
    table = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
    table.writerow(["name", "made", *component_heads(k)])
    for recipe in recipes:
        table.writerow([cell(recipe.name), cell(recipe.made), *recipe.weights])
    return text.getvalue()


def save_recipes(path: str | PathLike[str], recipes: Sequence[Recipe]) -> None:
    """Write recipes as a CSV file, whole or not at all.

    It is UTF-8 with a byte order mark, without which some spreadsheet programs take it
    for another encoding. What cannot be encoded is escaped.
    """
    content = recipe_table(recipes).encode("utf-8-sig", "backslashreplace")
    with replacing(path) as file:
        file.write(content)


# -- Generated faces as a folder of plain files: pictures, and a table of their recipes

_TABLE, _PICTURES = "recipes.csv", "faces"


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
        Replace faces that were generated there earlier; a folder that holds anything else
        is refused.
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
    from PIL import Image

    names = [f"{number}.png" for number in numbers(len(weights))]
    recipes = [
        Recipe(name, made, tuple(row.tolist()))
        for name, row in zip(names, weights, strict=True)
    ]
    white = 255 / model.scale
    folder = Path(folder)
    with writing_folder(folder, "generated faces", force=force) as new:
        (new / _PICTURES).mkdir()
        for done, (name, row) in enumerate(zip(names, weights, strict=True), start=1):
            picture = to_pixels(model.blend(row) * white, np.uint8)
            Image.fromarray(picture).save(new / _PICTURES / name)
            if progress is not None:
                progress(done, len(weights))
        save_recipes(new / _TABLE, recipes)
    return folder


def check_generated(folder: str | PathLike[str], *, force: bool = False) -> None:
    """Refuse, before the work, a folder that `write_generated` may not write to."""
    check_folder(Path(folder), "generated faces", force=force)
