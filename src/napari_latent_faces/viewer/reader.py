"""What napari opens and saves: readers, samples and writer, and their entries of menus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from napari_latent_faces.params import METHODS
from napari_latent_faces.samples import read_lfw_subset, read_olivetti, sample_faces
from napari_latent_faces.viewer.window import settings_of, shown_window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari

    from napari_latent_faces.reading.arrays.files import Variable
    from napari_latent_faces.stack import FaceStack
    from napari_latent_faces.viewer.layers import LayerData

    Read = Callable[[str], list[LayerData]]

# -- What the user has set in napari's preferences for this plugin, which napari keeps -

_MEBIBYTE = 2**20
_MOST_RECENT = 8  # paths that are remembered


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
    size = {"size": (height, width) if width else height} if height else {}
    return size | ({"memory_budget": budget * _MEBIBYTE} if budget else {})


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


# -- Readers: a folder or archive of faces, and model files ----------------------------

NO_LAYER: Any = (None,)  # npe2's way to say "read, but there is nothing to add"


def get_faces_reader(path: str | Sequence[str] | None = None) -> Read | None:
    """Return a reader for a folder or archive of faces, None for anything else."""
    from napari_latent_faces.reading.sources import looks_like_faces

    return _reader(path, open_folder, read_faces_layers, looks_like_faces)


def get_model_reader(path: str | Sequence[str] | None = None) -> Read | None:
    """Return a reader for a model file of this package, None for other files."""
    return _reader(path, open_model, read_model_layers, _is_model)


def _reader(
    path: str | Sequence[str] | None,
    ask: Callable[[Any], None],
    read: Read,
    is_ours: Callable[[str], bool],
) -> Read | None:
    """Return a reader for a path that is ours; without a path, let the user choose one.

    napari's menus and its command palette give none.
    """
    if path is None:
        ask(_current_viewer())
        return None
    one = _single(path)
    return read if one is not None and is_ours(one) else None


def _is_model(path: str) -> bool:
    """Tell whether a file is a model, or is named like one: what is wrong is then told."""
    from napari_latent_faces.model import ENDING, is_model_file

    return path.lower().endswith(ENDING) or is_model_file(path)


def _current_viewer() -> Any:
    import napari

    return napari.current_viewer()


def _name_faces() -> None:
    """Have the viewer that is opening something name its faces: readers are not told it."""
    from napari_latent_faces.viewer.session import session_of

    viewer = _current_viewer()
    if viewer is not None:
        session_of(viewer)


def _single(path: str | Sequence[str]) -> str | None:
    """Return the one path of a call, None if there are several."""
    if isinstance(path, (list, tuple)):
        return str(path[0]) if len(path) == 1 else None
    return str(path)


def read_faces_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Read a folder or archive of faces as one image layer, as napari's preferences say.

    The window stays alive and shows a progress bar that can be cancelled.
    """
    one = _single(path)
    if one is None:
        raise ValueError("Open one folder of faces at a time.")
    data = _opened(one, shown_window(_current_viewer()), reading_options())
    if data is None:
        return [NO_LAYER]
    _remember(one)
    _name_faces()
    return [data]


def read_model_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Read a model file as a gallery of components and the reconstructions."""
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.viewer.layout import model_layers

    one = _single(path)
    if one is None:
        raise ValueError("Open one model file at a time.")
    _name_faces()
    return model_layers(LatentFaces.load(one), Path(one).stem)


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
        why = f"Several variables of {harmless(name)} may be the faces."
        answers = _ask(path, known, why if several else str(error), {}, window)
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


def _candidates(path: str) -> tuple[Variable, ...]:
    """Return the variables that may be faces, none if it is no file of numbers."""
    from napari_latent_faces.reading import ArraysError
    from napari_latent_faces.reading.arrays import candidates

    try:
        return candidates(path) if Path(path).is_file() else ()
    except (ArraysError, OSError):
        return ()


def _ask(
    path: str, known: Sequence[Variable], why: str, options: dict[str, Any], window: Any
) -> dict[str, Any] | None:
    """Ask how faces lie in a file; None if the user does not want to tell."""
    from napari_latent_faces.viewer.matrix_dialog import MatrixDialog

    dialog = MatrixDialog(path, known, why, options, window)
    try:
        return dialog.options() if dialog.exec() else None
    finally:
        dialog.deleteLater()


class Cancelled(Exception):  # noqa: N818
    """The user pressed Cancel."""


class ReadProgress:
    """Passes a read's progress to napari's activity dock, and its Cancel button back."""

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


def open_folder(viewer: napari.components.ViewerModel) -> None:
    """Ask for a folder, and open it as a stack of faces."""
    open_path(
        viewer, _chosen("getExistingDirectory", "Open folder of faces"), read_faces_layers
    )


def open_file(viewer: napari.Viewer) -> None:
    """Ask for a file of numbers or an archive, and open it as a stack of faces."""
    open_path(viewer, _chosen("getOpenFileName", "Open file of faces"), read_faces_layers)


def open_model(viewer: napari.components.ViewerModel) -> None:
    """Ask for a model file, and open it."""
    from napari_latent_faces.model import ENDING

    kinds = f"Models of latent faces (*{ENDING} *.npz);;All files (*)"
    path = _chosen("getOpenFileName", "Open a model of latent faces", kinds)
    open_path(viewer, path, read_model_layers)


def _chosen(how: str, title: str, *kinds: str) -> str:
    """Ask for a path, beginning where the last one was."""
    from napari.utils.history import get_open_history
    from qtpy.QtWidgets import QApplication, QFileDialog

    begin = get_open_history()[0]
    found = getattr(QFileDialog, how)(QApplication.activeWindow(), title, begin, *kinds)
    return str(found if isinstance(found, str) else found[0])


def open_path(
    viewer: napari.components.ViewerModel, path: str, read: Read | None = None
) -> bool:
    """Add faces or a model to `viewer`, or tell there what goes wrong; return whether it did.

    Without `read`, which reads the layers, it is found out what it is; "" is no path.
    """
    from napari.layers import Layer
    from napari.utils.history import update_open_history
    from napari.utils.notifications import show_error

    from napari_latent_faces.stack import harmless_lines
    from napari_latent_faces.viewer.session import session_of

    if not path:
        return False
    session_of(viewer)
    if read is None:
        read = read_model_layers if _is_model(path) else read_faces_layers
    try:
        found = [data for data in read(path) if data is not NO_LAYER]
    except (OSError, ValueError, MemoryError) as error:
        show_error(
            harmless_lines(str(error)) or "There is not enough memory to read these faces."
        )
        return False
    if Path(path).exists():  # not a URL
        update_open_history(path)
    for data in found:
        viewer.add_layer(Layer.create(*data))
    return bool(found)


def open_again(viewer: napari.Viewer) -> None:
    """Ask how the chosen layer's faces lie in their file, and open them so in its place."""
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
    """Add the chosen layer's faces in grey, which a fit takes a third of the time for."""
    from napari.layers import Layer
    from napari.utils.notifications import show_info

    from napari_latent_faces.viewer import layers
    from napari_latent_faces.viewer.jobs import LayerJob

    layer: Any = viewer.layers.selection.active
    if layer is None or layers.why_not_faces(layer) or not layer.rgb:
        show_info("Choose a layer of faces in colour.")
        return
    view, name = layers.FacesView.of(layer), f"{layer.name} (grey)"
    job = LayerJob(viewer, layer, layers.stack_of(layer).to_grey)

    def add(stack: FaceStack) -> None:
        data, kwargs, kind = layers.faces_layer(stack, name)
        viewer.add_layer(Layer.create(data, kwargs | view.at(3), kind))

    job.returned.connect(add)
    job.start()


# -- File > Open Sample ------------------------------------------------------------------


def drawn_faces() -> list[LayerData]:
    """Return 400 drawn faces of 40 people as an image layer."""
    return _sample(sample_faces(), "drawn faces")


def drawn_faces_in_colour() -> list[LayerData]:
    """Return the 400 drawn faces in colour as an image layer."""
    return _sample(sample_faces(colour=True), "drawn faces in colour")


def lfw_faces() -> list[LayerData]:
    """Return the 100 real faces that come with scikit-image as an image layer."""
    return _sample(read_lfw_subset(), "LFW faces")


def olivetti_faces() -> list[LayerData]:
    """Return the 400 Olivetti faces as an image layer; the first time they are downloaded."""
    from napari.utils import progress
    from napari.utils.notifications import show_info

    try:
        stack = read_olivetti(download=False)
    except FileNotFoundError:
        show_info("Downloading the Olivetti faces (about 4 MB, only this once).")
        with progress(total=0, desc="downloading the Olivetti faces"):
            stack = read_olivetti()
    return _sample(stack, "Olivetti faces")


def _sample(stack: FaceStack, name: str) -> list[LayerData]:
    from napari_latent_faces.viewer.layers import faces_layer

    _name_faces()
    return [faces_layer(stack, name)]


# -- The model behind a result layer, saved ----------------------------------------------


def write_model_layers(
    path: str | None = None, layers: Sequence[LayerData] = ()
) -> list[str] | None:
    """Write the model that all the layers belong to; ``.latent`` is added where it is missing.

    Without a path, as from the command palette, the user is asked for one.
    """
    from napari_latent_faces.model import model_path
    from napari_latent_faces.viewer.layers import MODEL_KEY, ROLE_KEY
    from napari_latent_faces.viewer.layout import CAPTIONS

    if path is None:
        save_model(_current_viewer())
        return None
    models = {}
    for _data, kwargs, _kind in layers:
        known = kwargs.get("metadata", {})
        if known.get(ROLE_KEY) == CAPTIONS:  # when all are selected
            continue
        if known.get(MODEL_KEY) is None:
            raise ValueError(
                f"The layer {kwargs.get('name')!r} is no result of a fit: select only latent "
                "faces, reconstruction or residual to save their model, or choose another type "
                "of file for pictures."
            )
        models[id(known[MODEL_KEY])] = known[MODEL_KEY]
    if len(models) != 1:
        raise ValueError("The layers are results of different fits: save one fit at a time.")
    target = model_path(path)
    models.popitem()[1].save(target)
    return [str(target)]


def save_model(
    viewer: napari.components.ViewerModel | None, tell: Callable[[str], object] | None = None
) -> None:
    """Ask for a file and save the model that the viewer is about, in a thread.

    `tell` shows the user a text; by default, napari does.
    """
    from napari.utils.history import get_save_history, update_save_history
    from napari.utils.notifications import show_info
    from qtpy.QtWidgets import QApplication, QFileDialog

    from napari_latent_faces.model import ENDING, model_path
    from napari_latent_faces.viewer.jobs import Job
    from napari_latent_faces.viewer.session import session_of

    tell = tell or show_info
    session = None if viewer is None else session_of(viewer)
    if session is None or session.model is None:
        tell("There is no model to save yet: fit one first.")
        return
    faces, model = session.faces, session.model
    of = Path(faces.name if faces is not None else model.provenance.source or "faces").name
    name = f"{of} {model.params.method} {model.n_components}{ENDING}"
    chosen, _ = QFileDialog.getSaveFileName(
        QApplication.activeWindow(),
        "Save the model",
        str(Path(get_save_history()[0], name)),
        f"Model of latent faces (*{ENDING} *.npz)",
    )
    if chosen:
        path = model_path(chosen)
        update_save_history(str(path))
        job = Job(model.save, path)
        job.returned.connect(lambda _: tell(f"Saved {path}."))
        job.start()
