"""What the command line names, turned into faces and models."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from napari_latent_faces.cli.options import chosen
from napari_latent_faces.cli.parser import PROGRAM
from napari_latent_faces.cli.progress import progress, write_line
from napari_latent_faces.reading.options import ReadOptions
from napari_latent_faces.report import harmless, in_one_line

if TYPE_CHECKING:
    import argparse

    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.stack import FaceStack

__all__ = [
    "CommandError",
    "check_apart",
    "find_face",
    "load_model",
    "read",
    "warn_of_skipped",
]


class CommandError(Exception):
    """A command cannot do its work; the message is for its user."""


def read(path: str, args: argparse.Namespace) -> FaceStack:
    """Read a folder of faces as the options say, with progress."""
    options = asdict(chosen(ReadOptions, args))
    with progress(f"reading {in_one_line(path)}") as show:
        from napari_latent_faces.folder import read_faces

        return read_faces(path, **options, progress=show)


def warn_of_skipped(faces: FaceStack, folder: str) -> None:
    """Say how many files of a folder were no faces, and how to list them."""
    if skipped := len(faces.report.skipped):
        where = f"{PROGRAM} info {in_one_line(folder)}"
        write_line(f"{PROGRAM}: warning: {skipped} skipped, listed by {where}")


def check_apart(folder: str, out: str) -> None:
    """Refuse to write among the faces, where the next read would find the components.

    Raises
    ------
    CommandError
        If `out` lies in `folder`.
    """
    place = folder.removeprefix("file://")
    if Path(out).resolve().is_relative_to(Path(place).resolve()):
        raise CommandError(
            f"{out} lies in {folder}, where the components would be read as faces: choose a "
            "folder elsewhere."
        )


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
    if harmless(words) in names:
        return names.index(harmless(words))
    n = len(model.weights)
    if words.isdecimal() and int(words) < n:
        return int(words)
    some = f", such as {names[0]}" if names else ""
    raise ValueError(
        f"The model has no face {words!r}: give the name of one{some}, or a number from 0 to "
        f"{n - 1}."
    )
