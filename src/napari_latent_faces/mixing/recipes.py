"""How generated faces were made, kept beside their pictures and written as a table."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_latent_faces.files import replacing
from napari_latent_faces.tables import component_heads, harmless

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Recipe", "is_recipe_table", "number_recipes", "recipe_table", "save_recipes"]


@dataclass(frozen=True)
class Recipe:
    """What a generated face is made of.

    Parameters
    ----------
    name : str
        Its name.
    made : str
        How it came about, in words.
    weights : tuple of float, length k
        How much of each component.
    """

    name: str
    made: str
    weights: tuple[float, ...]


def number_recipes(
    weights: NDArray[Any], made: str, name: str = "generated", first: int = 0
) -> tuple[Recipe, ...]:
    """Return recipes of faces, numbered.

    Parameters
    ----------
    weights : array of shape (m, k)
        A row for each face.
    made : str
        How the faces came about, in words.
    name : str
        What they are called before their number.
    first : int
        Number of the first one.
    """
    return tuple(
        Recipe(f"{name} {i}", made, tuple(row.tolist()))
        for i, row in enumerate(weights, start=first)
    )


def recipe_table(recipes: Sequence[Recipe]) -> str:
    """Return recipes as comma-separated values, a line each below a header.

    Weights are written so that reading them gives the same numbers. A text that a
    spreadsheet program would take for a formula gets an apostrophe before it.

    Raises
    ------
    ValueError
        If the recipes have different numbers of weights.
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
        table.writerow([harmless(recipe.name), harmless(recipe.made), *recipe.weights])
    return text.getvalue()


def save_recipes(path: str | PathLike[str], recipes: Sequence[Recipe]) -> None:
    """Write recipes as a CSV file, whole or not at all.

    It is UTF-8 with a byte order mark, without which some spreadsheet programs take it
    for another encoding. What cannot be encoded is escaped.

    Raises
    ------
    OSError
        If it cannot be written.
    ValueError
        As `recipe_table`.
    """
    content = recipe_table(recipes).encode("utf-8-sig", "backslashreplace")
    with replacing(path) as file:
        file.write(content)


def is_recipe_table(path: Path) -> bool:
    """Tell whether a file begins as those of `save_recipes` do."""
    head = '"name","made"'.encode("utf-8-sig")
    try:
        with path.open("rb") as file:
            return file.read(len(head)) == head
    except OSError:
        return False
