"""npe2's readers, and the menu entry that opens a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from napari_latent_faces.params import METHODS
from napari_latent_faces.viewer.window import settings_of, shown_window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari

    from napari_latent_faces.reading.arrays import Candidate
    from napari_latent_faces.stack import FaceStack
    from napari_latent_faces.viewer.layers import LayerData

__all__ = [
    "NO_LAYER",
    "Cancelled",
    "ReadProgress",
    "default_method",
    "get_faces_reader",
    "get_model_reader",
    "make_grey",
    "open_again",
    "open_file",
    "open_folder",
    "open_model",
    "open_path",
    "read_faces_layers",
    "read_model_layers",
    "reading_options",
    "recent_paths",
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


def get_faces_reader(
    path: str | Sequence[str] | None = None,
) -> Callable[..., list[LayerData]] | None:
    """Return a reader for a folder or archive of faces, None for anything else.

    napari's menus and its command palette give no path: then the user is asked for one.
    """
    from napari_latent_faces.reading.sources import looks_like_faces

    if path is None:
        open_folder(_current_viewer())
        return None
    one = _single(path)
    return read_faces_layers if one is not None and looks_like_faces(one) else None


def get_model_reader(
    path: str | Sequence[str] | None = None,
) -> Callable[..., list[LayerData]] | None:
    """Return a reader for a model file of this package, None for other files.

    napari's menus and its command palette give no path: then the user is asked for one.
    """
    if path is None:
        open_model(_current_viewer())
        return None
    one = _single(path)
    return read_model_layers if one is not None and _is_model(one) else None


def _is_model(path: str) -> bool:
    """Tell whether a file is a model, or is named like one: what is wrong is then told."""
    from napari_latent_faces.model_file import ENDING, is_model_file

    return path.lower().endswith(ENDING) or is_model_file(path)


def _current_viewer() -> Any:
    import napari

    return napari.current_viewer()


def read_faces_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Read a folder or archive of faces as one image layer.

    The window stays alive and shows a progress bar that can be cancelled. The size of
    the pictures and the memory budget are those of napari's preferences.

    Raises
    ------
    FileNotFoundError, PermissionError, ValueError
        As `napari_latent_faces.read_faces`.
    """
    from napari_latent_faces.viewer.session import session_of_opening_viewer

    one = _single(path)
    if one is None:
        raise ValueError("Open one folder of faces at a time.")
    data = _opened(one, shown_window(_current_viewer()), reading_options())
    if data is None:
        return [NO_LAYER]
    _remember(one)
    session_of_opening_viewer()  # it shows the names of faces
    return [data]


def _opened(path: str, window: Any, options: dict[str, Any]) -> LayerData | None:
    """Read faces; where a file does not tell how they lie in it, ask in the window."""
    from napari.utils.notifications import show_info

    from napari_latent_faces.reading import ArraysError, read_faces
    from napari_latent_faces.stack import harmless
    from napari_latent_faces.viewer.layers import faces_layer

    name = Path(path).name
    try:
        with ReadProgress(f"reading {harmless(name)}") as progress:
            stack = read_faces(path, progress=progress, **options)
    except Cancelled:
        show_info("Reading was cancelled; nothing was opened.")
        return None
    except ArraysError as error:
        several = getattr(error, "candidates", ())
        known = several or _candidates(path)
        if window is None or not known or "variable" in options:
            raise
        why = (
            f"Several variables of {harmless(name)} may be the faces."
            if several
            else str(error)
        )
        answers = _ask(path, known, why, {}, window)
        if answers is None:
            show_info("Nothing was opened.")
            return None
        return _opened(path, window, {"variable": None, **options, **answers})
    told = [stack.report.summary()]
    told += [_IF_WRONG] if stack.report.decided else []
    told += [_IN_COLOUR] if stack.in_colour else []
    show_info(". ".join(told))
    return faces_layer(stack, name)


_IF_WRONG = "If they look wrong: Layers > Data > Open faces again otherwise"
_IN_COLOUR = (
    "In colour: a fit takes about three times as long as in grey, which Layers > Data > Make "
    "grey of faces in colour makes of it"
)


def _candidates(path: str) -> tuple[Candidate, ...]:
    """Return the variables that may be faces, none if it is no file of numbers."""
    from napari_latent_faces.reading.arrays import ArraysError, candidates

    try:
        return candidates(path) if Path(path).is_file() else ()
    except (ArraysError, OSError):
        return ()


def _ask(
    path: str, known: Sequence[Candidate], why: str, options: dict[str, Any], window: Any
) -> dict[str, Any] | None:
    """Ask how faces lie in a file; None if the user does not want to tell."""
    from napari_latent_faces.viewer.matrix_dialog import MatrixDialog

    dialog = MatrixDialog(path, known, why, options, window)
    try:
        return dialog.options() if dialog.exec() else None
    finally:
        dialog.deleteLater()


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


# -- Opening with this plugin, without asking which ------------------------------------

_MOST_RECENT = 8  # folders that are remembered


def open_folder(viewer: napari.components.ViewerModel) -> None:
    """Ask for a folder, beginning where the last one was, and open it as a stack of faces."""
    from napari.utils.history import get_open_history
    from qtpy.QtWidgets import QApplication, QFileDialog

    folder = QFileDialog.getExistingDirectory(
        QApplication.activeWindow(), "Open folder of faces", get_open_history()[0]
    )
    if folder:
        open_path(viewer, folder)


def open_model(viewer: napari.components.ViewerModel) -> None:
    """Ask for a model file, beginning where the last file was, and open it."""
    from napari.utils.history import get_open_history
    from qtpy.QtWidgets import QApplication, QFileDialog

    from napari_latent_faces.model_file import ENDING

    path, _ = QFileDialog.getOpenFileName(
        QApplication.activeWindow(),
        "Open a model of latent faces",
        get_open_history()[0],
        f"Models of latent faces (*{ENDING} *.npz);;All files (*)",
    )
    if path:
        open_path(viewer, path, read_model_layers)


def open_file(viewer: napari.Viewer) -> None:
    """Ask for a file of numbers or an archive, and open it as a stack of faces."""
    from napari.utils.history import get_open_history
    from qtpy.QtWidgets import QFileDialog

    path, _ = QFileDialog.getOpenFileName(
        shown_window(viewer), "Open file of faces", get_open_history()[0]
    )
    if path:
        open_path(viewer, path, read_faces_layers)


def open_path(
    viewer: napari.components.ViewerModel,
    path: str,
    read: Callable[[str], list[LayerData]] | None = None,
) -> bool:
    """Add faces or a model to `viewer`, or tell there what goes wrong; return whether it did.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where to.
    path : str
        A folder, an archive, a matrix or a model.
    read : callable, optional
        Reads the layers; by default, that is found out.
    """
    from napari.layers import Layer
    from napari.utils.history import update_open_history
    from napari.utils.notifications import show_error

    from napari_latent_faces.stack import harmless_lines
    from napari_latent_faces.viewer.session import session_of

    session_of(viewer)
    if read is None:
        read = read_model_layers if _is_model(path) else read_faces_layers
    try:
        found = read(path)
    except (OSError, ValueError, MemoryError) as error:
        show_error(
            harmless_lines(str(error)) or "There is not enough memory to read these faces."
        )
        return False
    if Path(path).exists():  # not a URL
        update_open_history(path)
    added = [data for data in found if data is not NO_LAYER]
    for data in added:
        viewer.add_layer(Layer.create(*data))
    return bool(added)


def open_again(viewer: napari.Viewer) -> None:
    """Ask how the chosen layer's faces lie in their file, and open them so in its place.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose active layer it is; given by napari.
    """
    from napari.utils.notifications import show_info

    from napari_latent_faces.stack import ReadReport

    layer = viewer.layers.selection.active
    known = {} if layer is None else layer.metadata
    report, path = known.get("report"), known.get("source", "")
    if not isinstance(report, ReadReport) or not report.decided:
        show_info("Choose a layer of faces that were read from a file of numbers.")
        return
    read = {} if report.options is None else report.options.changed()
    how = {name: read.pop(name, None) for name in ("variable", "shape", "faces", "order")}
    why = f"Now: {report.decided}."
    answers = _ask(path, _candidates(path), why, how, shown_window(viewer))
    if answers is None:
        return

    def read_again(path: str) -> list[LayerData]:
        data = _opened(path, None, {"variable": None, **read, **answers})
        return [NO_LAYER if data is None else data]

    if open_path(viewer, path, read_again):
        viewer.layers.remove(layer)


def make_grey(viewer: napari.Viewer) -> None:
    """Add the chosen layer's faces in grey, which a fit takes a third of the time for.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose active layer it is; given by napari.
    """
    from napari.layers import Layer
    from napari.utils.notifications import show_info

    from napari_latent_faces.viewer.jobs import LayerJob
    from napari_latent_faces.viewer.layers import (
        FacesView,
        faces_layer,
        stack_of,
        why_not_faces,
    )

    layer: Any = viewer.layers.selection.active
    if layer is None or why_not_faces(layer) or not layer.rgb:
        show_info("Choose a layer of faces in colour.")
        return
    view, name = FacesView.of(layer), f"{layer.name} (grey)"
    job = LayerJob(viewer, layer, stack_of(layer).to_grey)

    def add(stack: FaceStack) -> None:
        data, kwargs, kind = faces_layer(stack, name)
        viewer.add_layer(Layer.create(data, kwargs | view.at(3), kind))

    job.returned.connect(add)
    job.start()


def recent_paths() -> list[str]:
    """Return what was opened last as faces and is still there, the newest first."""
    recent = str(getattr(settings_of("reading"), "recent", ""))
    return [path for path in recent.splitlines() if Path(path).exists()]


def _remember(path: str) -> None:
    """Put a path before the others that were opened, where napari keeps settings."""
    reading = settings_of("reading")
    if reading is not None and Path(path).exists():  # not a URL
        path = str(Path(path).resolve())
        others = [each for each in recent_paths() if each != path]
        reading.recent = "\n".join([path, *others][:_MOST_RECENT])
