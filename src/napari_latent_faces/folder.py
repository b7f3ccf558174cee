"""A folder, zip or tar of face pictures becomes a stack."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Literal

from napari_latent_faces.reading.archives import ArchiveError, archive_lister, list_archive
from napari_latent_faces.reading.bucket import list_url_folder, while_waiting
from napari_latent_faces.reading.formats import is_picture_name
from napari_latent_faces.reading.ondemand import BrokenFaceWarning
from napari_latent_faces.reading.options import ReadOptions
from napari_latent_faces.reading.parallel import Meter
from napari_latent_faces.reading.probe import ARCHIVES, looks_like_faces
from napari_latent_faces.reading.remote import is_url, remote_kind, shown
from napari_latent_faces.reading.sources import Listing, list_folder
from napari_latent_faces.reading.steps import NoFacesError, Reading

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from napari_latent_faces.reading.archives import Lister
    from napari_latent_faces.reading.options import Channel, Resize
    from napari_latent_faces.stack import FaceStack

__all__ = [
    "ArchiveError",
    "BrokenFaceWarning",
    "NoFacesError",
    "looks_like_faces",
    "read_faces",
]


def read_faces(
    path: str | PathLike[str],
    *,
    channel: Channel = "luminance",
    size: int | tuple[int, int] | None = None,
    resize: Resize = "crop",
    subjects: str | Literal[False] | None = None,
    lazy: bool | None = None,
    memory_budget: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> FaceStack:
    """Read the face pictures of a folder or archive into one stack.

    All pictures in the folder, and in the folders in it, are read: PNG, JPEG, GIF, TIFF,
    BMP, WebP and PNM, told by their extension or, where that is unknown, by their
    content. Colour becomes grey (see `channel`) and transparency is ignored. 8-bit and
    16-bit pictures stay so, 32-bit integers become float; in a folder of several depths
    all pictures are brought to the deepest, white to white (for floats white is 1). Of
    animations and files of several pages the first picture is taken; EXIF rotation is
    applied.

    Parameters
    ----------
    path : path-like
        A folder, or a zip or tar archive (also .tar.gz, .tar.bz2, .tar.xz). Nothing is
        unpacked to disk; the pictures in a compressed tar are kept in memory, as
        compressed as they are. Or the URL of either, of any protocol that fsspec knows
        (``s3://bucket/faces``, ``https://host/faces.zip``, ``memory://faces``); some
        need the extra ``remote``.
    channel : {"luminance", "red", "green", "blue"}, default="luminance"
        What is taken of a colour picture.
    size : int or (int, int), optional
        Height, or height and width, in pixels, that all pictures are scaled to.
    resize : {"crop", "pad", "stretch", "error"}, default="crop"
        What is done with pictures of another size than most.
    subjects : str or False, optional
        Regular expression that finds the subject in a relative name; False for none.
        By default the subjects are found out from the names: see `find_subjects`.
    lazy : bool, optional
        Whether pictures are decoded only when they are looked at; only their headers
        are read now. By default when the stack is larger than `memory_budget`. A
        picture that proves broken later is black, with a `BrokenFaceWarning`.
    memory_budget : int, optional
        Bytes; by default a quarter of the free memory, at most 512 MiB.
    progress : callable, optional
        Called on this thread, many times a second, with the steps done and their
        total, which is 0 while files are still being listed. What it raises ends the
        read and is passed on.

    Returns
    -------
    FaceStack
        Faces in natural order (``s2`` before ``s10``), with names, subjects and report.

    Raises
    ------
    FileNotFoundError, PermissionError
        If `path` is missing or may not be read.
    ConnectionError, ModuleNotFoundError
        If nobody answers at a URL, or its protocol needs a package that is not installed.
    ArchiveError
        If an archive is damaged or encrypted.
    NoFacesError
        If there is no picture that can be read.
    ValueError
        If an option is not allowed, if pictures differ in size and
        ``resize="error"``, or if `subjects` is found in no name.
    MemoryError
        If ``lazy=False`` and the stack would not fit in the memory that is free.

    Notes
    -----
    All options are fields of `ReadOptions`, with their labels and limits.

    Examples
    --------
    >>> stack = read_faces("orl")  # doctest: +SKIP
    >>> stack.images.shape, stack.names[0], stack.subjects[0]  # doctest: +SKIP
    ((400, 112, 92), 's1/1.pgm', 's1')
    """
    options = ReadOptions(channel, size, resize, subjects, lazy, memory_budget)
    meter = Meter(progress)
    meter.show()
    path = os.fsdecode(path)
    found = _listing(path, meter.pulse)
    try:
        return Reading(shown(path), found, options, meter).stack()
    finally:
        found.close()


def _listing(path: str, pulse: Callable[[], None]) -> Listing:
    """List a folder or archive, whichever it is, or say why not."""
    if is_url(path):
        return _listing_of_url(path, pulse)
    lister = None
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - one look, whatever it is
        if stat.S_ISREG(mode):
            lister = archive_lister(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(
            f"There is no folder or archive {path}: check the name."
        ) from error
    except PermissionError as error:
        raise PermissionError(
            f"{path} may not be read ({error.strerror}): check its permissions."
        ) from error
    if stat.S_ISDIR(mode):
        return list_folder(path, pulse)
    return _listing_of_file(path, lister, pulse)


def _listing_of_url(url: str, pulse: Callable[[], None]) -> Listing:
    """List what a URL leads to; a server may take its time to answer."""
    if while_waiting(lambda: remote_kind(url), pulse) == "directory":
        return list_url_folder(url, pulse)
    lister = while_waiting(lambda: archive_lister(url), pulse)
    return _listing_of_file(url, lister, pulse)


def _listing_of_file(path: str, lister: Lister | None, pulse: Callable[[], None]) -> Listing:
    """List an archive, or say what else the file is."""
    if lister is not None:
        return list_archive(path, lister, pulse)
    if is_picture_name(path):
        raise NoFacesError(f"{shown(path)} is a single picture: open the folder that holds it.")
    if path.lower().endswith(ARCHIVES):
        raise ArchiveError(f"The archive {shown(path)} is damaged: get it again.")
    raise NoFacesError(
        f"{shown(path)} is neither a folder nor a zip or tar archive of pictures."
    )
