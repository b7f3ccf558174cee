"""Encoded and mended faces as folders of plain files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.encoding import encoded_model
from napari_latent_faces.folders import Layout, writing_folder
from napari_latent_faces.lazy import LazyReconstruction
from napari_latent_faces.pixels import as_pixels
from napari_latent_faces.tables import component_heads, numbers, write_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from napari_latent_faces.encoding import Encoding
    from napari_latent_faces.mending import MendedFaces
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.stack import FaceStack

    Progress = Callable[[int, int], object]

__all__ = ["ENCODED_LAYOUT", "MENDED_LAYOUT", "export_encoded", "export_mended", "read_mask"]


def _is_table(path: Path, heads: tuple[str, ...]) -> bool:
    """Tell whether a file is a table that was written here, by its heads."""
    try:
        with path.open("rb") as file:
            line = file.readline(200).decode("utf-8", "replace").strip()
    except OSError:
        return False
    ours = [f'"{head}"' for head in heads]
    return line in {",".join(['"name"', *ours]), ",".join(['"name"', '"subject"', *ours])}


_ERROR_HEADS = ("error", "picture")
_MENDED_HEADS = ("error of the rest", "picture")

# a fit's folder has no errors.csv: it is not taken for an earlier result and replaced
ENCODED_LAYOUT = Layout(
    ("errors.csv", "weights.csv", "model.npz"),
    "reconstructions",
    "errors.csv",
    lambda path: _is_table(path, _ERROR_HEADS),
)
MENDED_LAYOUT = Layout(
    ("mended.csv",), "mended", "mended.csv", lambda path: _is_table(path, _MENDED_HEADS)
)


def export_encoded(
    model: LatentFaces,
    stack: FaceStack,
    encoding: Encoding,
    folder: str | PathLike[str],
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write what a model makes of faces as files that any program reads.

    ====================  ========================================================
    ``errors.csv``        a line a face: name, subject if it is known, relative
                          error, file of the reconstruction
    ``weights.csv``       a line a face with its weights
    ``reconstructions/``  a picture a face, in the type of the faces (floats as TIFF)
    ``model.npz``         the components with these weights, for `LatentFaces.load`
    ====================  ========================================================

    Parameters
    ----------
    model : LatentFaces
        The model.
    stack : FaceStack
        The faces.
    encoding : Encoding
        What was found for them.
    folder : path-like
        Where to; all is there in the end, or nothing has changed.
    force : bool, default=False
        Replace the files of an earlier call; others stay.
    progress : callable, optional
        Told how many pictures are written, and how many there are.

    Raises
    ------
    FileExistsError, FileNotFoundError, PermissionError, OSError
        As `napari_latent_faces.folders.writing_folder`.
    """
    folder = Path(folder)
    other = encoded_model(model, stack, encoding)
    columns = component_heads(model.n_components)
    with writing_folder(folder, ENCODED_LAYOUT, force=force) as new:
        pictures = _write_pictures(
            LazyReconstruction(other), stack.dtype, new / ENCODED_LAYOUT.pictures, progress
        )
        errors = zip(encoding.errors.tolist(), pictures, strict=True)
        write_table(new / "errors.csv", stack.names, stack.subjects, _ERROR_HEADS, errors)
        rows = (weights.tolist() for weights in other.weights)
        write_table(new / "weights.csv", stack.names, stack.subjects, columns, rows)
        other.save(new / "model.npz")
    return folder


def export_mended(
    mended: MendedFaces,
    stack: FaceStack,
    errors: Any,
    folder: str | PathLike[str],
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write mended faces as files that any program reads.

    ``mended/`` holds a picture a face, in the type of the faces (floats as TIFF), and
    ``mended.csv`` a line a face: name, subject if it is known, relative error over the
    pixels that were not replaced, and the file of the picture.

    Parameters
    ----------
    mended : MendedFaces
        The mended faces.
    stack : FaceStack
        Names and subjects.
    errors : array of shape (n,)
        Relative errors.
    folder, force, progress
        As in `export_encoded`.

    Raises
    ------
    FileExistsError, FileNotFoundError, PermissionError, OSError
        As `napari_latent_faces.folders.writing_folder`.
    """
    folder = Path(folder)
    with writing_folder(folder, MENDED_LAYOUT, force=force) as new:
        pictures = _write_pictures(mended, stack.dtype, new / MENDED_LAYOUT.pictures, progress)
        rows = zip(np.asarray(errors).tolist(), pictures, strict=True)
        write_table(new / "mended.csv", stack.names, stack.subjects, _MENDED_HEADS, rows)
    return folder


def read_mask(path: str | PathLike[str], size: tuple[int, int]) -> Any:
    """Read a picture as a mask: what is not black is to be ignored.

    Parameters
    ----------
    path : path-like
        The picture.
    size : tuple of int
        Height and width that it must have.

    Returns
    -------
    bool array of shape (h, w)

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no picture, has another size, or is black.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("L"))
    except UnidentifiedImageError as error:
        raise ValueError(f"The mask {path} is no picture that can be read.") from error
    if pixels.shape != tuple(size):
        (h, w), (own_h, own_w) = pixels.shape, size
        raise ValueError(
            f"The mask {path} has {w} x {h} pixels, the faces have {own_w} x {own_h}: draw it "
            "on a picture of that size."
        )
    if not pixels.any():
        raise ValueError(f"The mask {path} is black: white marks what is to be ignored.")
    return pixels != 0


def _write_pictures(
    images: Any, dtype: np.dtype[Any], folder: Path, progress: Progress | None
) -> list[str]:
    """Write pictures one by one; return their names relative to the folder above."""
    from PIL import Image

    folder.mkdir()
    suffix = ".tif" if dtype.kind == "f" else ".png"
    names = [f"{number}{suffix}" for number in numbers(len(images))]
    for done, name in enumerate(names):
        pixels = as_pixels(np.asarray(images[done]), dtype)
        if dtype.kind == "f":
            pixels = pixels.astype(np.float32)  # the only floats that Pillow writes
        Image.fromarray(pixels).save(folder / name)
        if progress is not None:
            progress(done + 1, len(names))
    return [f"{folder.name}/{name}" for name in names]
