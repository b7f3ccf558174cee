"""Readers: a folder or archive of faces, and model files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_latent_faces.views import LayerData

__all__ = [
    "NO_LAYER",
    "Cancelled",
    "ReadProgress",
    "get_faces_reader",
    "get_model_reader",
    "read_faces_layers",
    "read_model_layers",
]

NO_LAYER: Any = (None,)  # npe2's way to say "read, but there is nothing to add"


def get_faces_reader(path: str | Sequence[str]) -> Callable[..., list[LayerData]] | None:
    """Return a reader for a folder or archive of faces, None for anything else."""
    from napari_latent_faces.folder import looks_like_faces

    one = _single(path)
    return read_faces_layers if one is not None and looks_like_faces(one) else None


def get_model_reader(path: str | Sequence[str]) -> Callable[..., list[LayerData]] | None:
    """Return a reader for a model file of this package, None for other ``.npz`` files."""
    from napari_latent_faces.model_file import is_model_file

    one = _single(path)
    return read_model_layers if one is not None and is_model_file(one) else None


def read_faces_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Read a folder or archive of faces as one image layer.

    The window stays alive and shows a progress bar that can be cancelled. The size of
    the pictures and the memory budget are those of napari's preferences.

    Raises
    ------
    FileNotFoundError, PermissionError, ValueError
        As `napari_latent_faces.read_faces`.
    """
    from napari.utils.notifications import show_info

    from napari_latent_faces._labels import label_current_viewer
    from napari_latent_faces._preferences import reading_options
    from napari_latent_faces.folder import read_faces
    from napari_latent_faces.layers import faces_layer
    from napari_latent_faces.report import harmless

    one = _single(path)
    if one is None:
        raise ValueError("Open one folder of faces at a time.")
    try:
        with ReadProgress(f"reading {harmless(Path(one).name)}") as progress:
            stack = read_faces(one, progress=progress, **reading_options())
    except Cancelled:
        show_info("Reading was cancelled; nothing was opened.")
        return [NO_LAYER]
    show_info(stack.report.summary())
    label_current_viewer()
    return [faces_layer(stack, Path(one).name)]


def read_model_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Read a model file as a gallery of components and the reconstructions.

    Raises
    ------
    FileNotFoundError, ModelFileError
        As `LatentFaces.load`.
    """
    from napari_latent_faces._gallery import watch_current_viewer
    from napari_latent_faces._labels import label_current_viewer
    from napari_latent_faces.layers import model_layers
    from napari_latent_faces.model import LatentFaces

    one = _single(path)
    if one is None:
        raise ValueError("Open one model file at a time.")
    label_current_viewer()
    watch_current_viewer()
    return model_layers(LatentFaces.load(one), Path(one).stem)


def _single(path: str | Sequence[str]) -> str | None:
    """Return the one path of a call, None if there are several."""
    if isinstance(path, (list, tuple)):
        return str(path[0]) if len(path) == 1 else None
    return str(path)


class Cancelled(Exception):  # noqa: N818
    """The user pressed Cancel."""


class ReadProgress:
    """Passes a read's progress to napari's activity dock, and its Cancel button back.

    Parameters
    ----------
    what : str
        What is going on, for the dock.
    """

    def __init__(self, what: str) -> None:
        from napari.utils import cancelable_progress

        self._bar: Any = cancelable_progress(total=0, desc=what)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def __call__(self, done: int, total: int) -> None:
        if self._bar.total != total:
            self._bar.total = total
        self._bar.update(done - self._bar.n)
        if self._bar.is_canceled:
            raise Cancelled
