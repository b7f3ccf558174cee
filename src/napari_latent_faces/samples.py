"""Faces to try things with: drawn ones that are bundled, and two well-known sets."""

from __future__ import annotations

import zlib
from importlib.resources import as_file, files
from pickle import UnpicklingError
from typing import TYPE_CHECKING

from napari_latent_faces.solvers.blocks import importing
from napari_latent_faces.stack import FaceStack, ReadReport

if TYPE_CHECKING:
    from collections.abc import Sequence

_DRAWN, _LFW, _OLIVETTI = "sample faces", "LFW subset of scikit-image", "Olivetti faces"

_REMEDY = "Check the network connection, or open others: File > Open folder of faces..."


def sample_faces(
    n_subjects: int = 40,
    n_pictures: int = 10,
    *,
    shape: tuple[int, int] = (112, 92),
    colour: bool = False,
) -> FaceStack:
    """Read the bundled sample faces: drawn people who do not exist.

    Parameters
    ----------
    n_subjects, n_pictures : int
        How many of the 40 people, and of the 10 pictures of each.
    shape : (int, int), default=(112, 92)
        Height and width in pixels that the pictures are scaled to.
    colour : bool, default=False
        Whether they are in colour.

    Examples
    --------
    >>> sample_faces(2, 3, shape=(56, 46))
    FaceStack(6 faces of 46 x 56 pixels, uint8, 'sample faces')
    """
    from napari_latent_faces.reading import read_faces

    for name, value, most in (("n_subjects", n_subjects, 40), ("n_pictures", n_pictures, 10)):
        if value not in range(1, most + 1):
            raise ValueError(f"{name} must be a whole number from 1 to {most}, got {value!r}.")
    with as_file(files(__package__) / "samples.zip") as archive:
        size = None if tuple(shape) == (112, 92) else shape
        stack = read_faces(archive, size=size, colour=colour)
    few = stack[[10 * s + p for s in range(n_subjects) for p in range(n_pictures)]]
    return FaceStack(few.images, few.names, few.subjects, ReadReport(n_read=len(few)), _DRAWN)


def sample_call(source: str, names: Sequence[str] | None, shape: tuple[int, ...]) -> str:
    """Return the call that reads the sample faces of a stack again, "" if they are others."""
    if source == _LFW and shape == (100, 25, 25):
        return "read_lfw_subset()"
    if source == _OLIVETTI and shape == (400, 64, 64):
        return "read_olivetti()"
    stems = [name.rpartition(".")[0] for name in names or ()]
    n_subjects = len({stem.partition("/")[0] for stem in stems})
    n_pictures = len(stems) // max(1, n_subjects)
    drawn = [f"s{s + 1:02}/{p + 1:02}" for s in range(n_subjects) for p in range(n_pictures)]
    if source != _DRAWN or len(shape) != 3 or not stems or stems != drawn:
        return ""
    return f"sample_faces({n_subjects}, {n_pictures}, shape={shape[1:]})"


def read_lfw_subset() -> FaceStack:
    """Read the 100 faces of 25 x 25 pixels, floats to 1, that scikit-image has of LFW."""
    import numpy as np
    from skimage.data import lfw_subset

    try:
        pictures = lfw_subset()  # type: ignore[no-untyped-call]
    except (OSError, ModuleNotFoundError) as error:  # not bundled; offline or without pooch
        words = "The LFW faces of scikit-image could not be read"
        raise OSError(f"{words}: {error} {_REMEDY}") from error
    faces = pictures[:100].astype(np.float32)  # the second hundred shows no faces
    names = tuple(f"{i:03}.png" for i in range(1, 101))
    return FaceStack(faces, names, None, ReadReport(n_read=100), _LFW)


def read_olivetti(*, download: bool = True) -> FaceStack:
    """Read the 400 ORL faces as scikit-learn keeps them: 64 x 64 pixels, floats to 1.

    FileNotFoundError is raised where they are not there and not to be downloaded.
    """
    with importing():
        from sklearn.datasets import fetch_olivetti_faces, get_data_home

    try:
        bunch = fetch_olivetti_faces(download_if_missing=download, n_retries=1)
    except (EOFError, ValueError, KeyError, UnpicklingError, zlib.error) as error:
        words = "is damaged, perhaps by an interrupted download: remove it (olivetti*.pkz)."
        raise OSError(f"The file of Olivetti faces in {get_data_home()} {words}") from error
    except OSError as error:
        if not download:
            told = "The Olivetti faces have not been downloaded yet."
            raise FileNotFoundError(told) from error
        words = f"The Olivetti faces could not be downloaded: {error}."
        raise OSError(f"{words} {_REMEDY}") from error
    subjects = tuple(f"s{int(subject) + 1:02}" for subject in bunch.target)
    pictures = [f"{subjects[: i + 1].count(who):02}.png" for i, who in enumerate(subjects)]
    names = tuple(map("/".join, zip(subjects, pictures, strict=True)))
    return FaceStack(bunch.images, names, subjects, ReadReport(n_read=len(names)), _OLIVETTI)
