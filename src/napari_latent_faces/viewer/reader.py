"""npe2's readers, and the menu entry that opens a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from napari_latent_faces.params import METHODS
from napari_latent_faces.viewer.window import settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari

    from napari_latent_faces.viewer.layers import LayerData

__all__ = [
    "NO_LAYER",
    "Cancelled",
    "ReadProgress",
    "add_faces",
    "default_method",
    "get_faces_reader",
    "get_model_reader",
    "open_faces_folder",
    "read_faces_layers",
    "read_model_layers",
    "reading_options",
]

# -- What the user has set in napari's preferences for this plugin, which napari keeps -

_MEBIBYTE = 2**20


def default_method() -> str:
    """Return the name of the method that the fit panel begins with."""
    method = getattr(settings_of("fitting"), "method", "")
    return method if method in METHODS else next(iter(METHODS))


def reading_options() -> dict[str, Any]:
    """Return the options of `read_faces` that the user has set; others are found out."""
    reading = settings_of("reading")
    height, width, budget = (
        int(getattr(reading, name, 0)) for name in ("height", "width", "memory_budget")
    )
    options: dict[str, Any] = {}
    if height:
        options["size"] = (height, width) if width else height
    if budget:
        options["memory_budget"] = budget * _MEBIBYTE
    return options


# -- Readers: a folder or archive of faces, and model files ----------------------------

NO_LAYER: Any = (None,)  # npe2's way to say "read, but there is nothing to add"


def get_faces_reader(path: str | Sequence[str]) -> Callable[..., list[LayerData]] | None:
    """Return a reader for a folder or archive of faces, None for anything else."""
    from napari_latent_faces.reading.sources import looks_like_faces

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

    from napari_latent_faces.reading import read_faces
    from napari_latent_faces.stack import harmless
    from napari_latent_faces.viewer.layers import faces_layer
    from napari_latent_faces.viewer.session import session_of_opening_viewer

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
    session_of_opening_viewer()  # it shows the names of faces
    return [faces_layer(stack, Path(one).name)]


def read_model_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Read a model file as a gallery of components and the reconstructions.

    Raises
    ------
    FileNotFoundError, ModelFileError
        As `LatentFaces.load`.
    """
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.viewer.layout import model_layers
    from napari_latent_faces.viewer.session import session_of_opening_viewer

    one = _single(path)
    if one is None:
        raise ValueError("Open one model file at a time.")
    session_of_opening_viewer()
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
        """Show how far the read is; raise `Cancelled` once the bar was cancelled."""
        if self._bar.total != total:
            self._bar.total = total
        self._bar.update(done - self._bar.n)
        if self._bar.is_canceled:
            raise Cancelled


# -- The menu entry that opens a folder of faces with this plugin, without asking which


def open_faces_folder(viewer: napari.Viewer) -> None:
    """Ask for a folder and open it as a stack of faces.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to; given by napari.
    """
    from qtpy.QtWidgets import QApplication, QFileDialog

    folder = QFileDialog.getExistingDirectory(
        QApplication.activeWindow(), "Open folder of faces"
    )
    if folder:
        add_faces(viewer, folder)


def add_faces(viewer: napari.components.ViewerModel, path: str) -> None:
    """Add the faces of a folder or archive to `viewer`; what goes wrong is shown there."""
    from napari.layers import Layer
    from napari.utils.notifications import show_error

    from napari_latent_faces.stack import harmless_lines
    from napari_latent_faces.viewer.session import session_of

    session_of(viewer)
    try:
        found = read_faces_layers(path)
    except (OSError, ValueError, MemoryError) as error:
        show_error(
            harmless_lines(str(error)) or "There is not enough memory to read these faces."
        )
        return
    for data in found:
        if data is not NO_LAYER:
            viewer.add_layer(Layer.create(*data))
