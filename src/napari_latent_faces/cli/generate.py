"""What the command line says of models and their faces, turned into these."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_latent_faces.model import LatentFaces

__all__ = ["find_face", "load_model"]


def load_model(path: str) -> LatentFaces:
    """Return the model in a file, or in a folder that `fit` wrote.

    Raises
    ------
    FileNotFoundError, ModelFileError
        If there is none.
    """
    from napari_latent_faces.model import LatentFaces

    place = Path(path)
    return LatentFaces.load(place / "model.npz" if place.is_dir() else place)


def find_face(model: LatentFaces, words: str) -> int:
    """Return the face of a model with this name, or else of this number.

    Raises
    ------
    ValueError
        If there is no such face; the message names some that are.
    """
    names = model.provenance.names
    if words in names:
        return names.index(words)
    n = len(model.weights)
    if words.isdecimal() and int(words) < n:
        return int(words)
    some = f", such as {names[0]}" if names else ""
    raise ValueError(
        f"The model has no face {words!r}: give the name of one{some}, or a number from 0 to "
        f"{n - 1}."
    )
