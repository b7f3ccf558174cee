"""What napari opens and saves: readers, samples and writer, and their entries of menus."""

from __future__ import annotations

import re
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from magicgui.widgets import ComboBox, Container, LineEdit
from napari.layers import Layer
from napari.utils import cancelable_progress, history, notifications, progress
from qtpy import QtWidgets
from qtpy.QtCore import QSize, Qt, QTimer

from napari_latent_faces.model import ENDING, LatentFaces, is_model_file, model_path
from napari_latent_faces.params import METHODS
from napari_latent_faces.reading import ArraysError, looks_like_faces, read_faces
from napari_latent_faces.reading.arrays import candidates
from napari_latent_faces.samples import read_lfw_subset, read_olivetti, sample_faces
from napari_latent_faces.stack import ReadReport, harmless, harmless_lines
from napari_latent_faces.tiles import montage, shrunk
from napari_latent_faces.viewer import layers
from napari_latent_faces.viewer.canvas import to_fit, to_pixmap
from napari_latent_faces.viewer.jobs import Job, Latest, LayerJob
from napari_latent_faces.viewer.layout import model_layers
from napari_latent_faces.viewer.session import session_of
from napari_latent_faces.viewer.window import settings_of, shown_window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_latent_faces.reading.arrays.files import Variable
    from napari_latent_faces.stack import FaceStack
    from napari_latent_faces.viewer.layers import LayerData

    Read = Callable[[str], list[LayerData]]

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
    return size | ({"memory_budget": budget * 2**20} if budget else {})


def recent_paths() -> list[str]:
    """Return what was opened last as faces and is still there, the newest first."""
    recent = str(getattr(settings_of("reading"), "recent", ""))
    return [path for path in recent.splitlines() if Path(path).exists()]


NO_LAYER: Any = (None,)  # npe2's way to say "read, but there is nothing to add"


def get_faces_reader(path: str | Sequence[str] | None = None) -> Read | None:
    """Return a reader for a folder or archive of faces, None for anything else."""
    return _reader(path, open_folder, looks_like_faces, read_faces_layers)


def get_model_reader(path: str | Sequence[str] | None = None) -> Read | None:
    """Return a reader for a model file of this package, None for other files."""
    return _reader(path, open_model, _is_model, read_model_layers)


def _reader(
    path: str | Sequence[str] | None,
    ask: Callable[[Any], None],
    is_ours: Callable[[str], bool],
    read: Read,
) -> Read | None:
    if path is None:  # from a menu or the command palette
        ask(napari.current_viewer())
        return None
    one, *others = [path] if isinstance(path, str) else path
    return (lambda _: read(one)) if is_ours(one) and not others else None


def _is_model(path: str) -> bool:
    """Tell whether a file is a model, or is named like one: what is wrong is then told."""
    return path.lower().endswith(ENDING) or is_model_file(path)


def _name_faces() -> None:
    """Have the viewer that is opening something name its faces: readers are not told it."""
    viewer = napari.current_viewer()
    if viewer is not None:
        session_of(viewer)


def read_faces_layers(path: str) -> list[LayerData]:
    """Read a folder or archive of faces as one image layer, as napari's preferences say."""
    return _opened(path, shown_window(napari.current_viewer()), reading_options())


def read_model_layers(path: str) -> list[LayerData]:
    """Read a model file as a gallery of components and the reconstructions."""
    _name_faces()
    return model_layers(LatentFaces.load(path), Path(path).stem)


def _opened(path: str, window: Any, options: dict[str, Any]) -> list[LayerData]:
    """Read faces; where a file does not tell how they lie in it, ask in the window."""
    name = Path(path).name

    def show(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if bar.is_canceled:
            raise CancelledError

    try:
        with cancelable_progress(total=0, desc=f"reading {harmless(name)}") as bar:
            stack = read_faces(path, progress=show, **options)
    except CancelledError:
        notifications.show_info("Reading was cancelled; nothing was opened.")
        return [NO_LAYER]
    except ArraysError as error:
        several = getattr(error, "candidates", ())
        known = several or _candidates(path)
        if window is None or not known or "variable" in options:
            raise
        why = f"Several variables of {harmless(name)} may be the faces."
        answers = _ask(path, known, why if several else str(error), {}, window)
        if answers is None:
            notifications.show_info("Nothing was opened.")
            return [NO_LAYER]
        return _opened(path, window, {"variable": None, **options, **answers})
    told = [stack.report.summary()]
    if stack.report.decided:
        told.append("If they look wrong: Layers > Data > Open faces again otherwise")
    if stack.in_colour:
        told.append(
            "In colour: a fit takes about three times as long as in grey, which "
            "Layers > Data > Make grey of faces in colour makes of it"
        )
    notifications.show_info(". ".join(told))
    reading, newest = settings_of("reading"), str(Path(path).resolve())
    if reading is not None and Path(path).exists():  # not a URL
        paths = dict.fromkeys([newest, *recent_paths()])
        reading.recent = "\n".join([*paths][:_MOST_RECENT])
    _name_faces()
    return [layers.faces_layer(stack, name)]


def _candidates(path: str) -> Sequence[Variable]:
    """Return the variables that may be faces, none if it is no file of numbers."""
    try:
        return candidates(path) if Path(path).is_file() else ()
    except (ArraysError, OSError):
        return ()


def open_folder(viewer: ViewerModel) -> None:
    """Ask for a folder, and open it as a stack of faces."""
    _open(viewer, read_faces_layers, "getExistingDirectory", "Open folder of faces")


def open_file(viewer: napari.Viewer) -> None:
    """Ask for a file of numbers or an archive, and open it as a stack of faces."""
    _open(viewer, read_faces_layers, "getOpenFileName", "Open file of faces")


def open_model(viewer: ViewerModel) -> None:
    """Ask for a model file, and open it."""
    kinds = f"Models of latent faces (*{ENDING} *.npz);;All files (*)"
    _open(viewer, read_model_layers, "getOpenFileName", "Open a model of latent faces", kinds)


def _open(viewer: ViewerModel, read: Read, how: str, title: str, *kinds: str) -> None:
    ask, window = getattr(QtWidgets.QFileDialog, how), QtWidgets.QApplication.activeWindow()
    found = ask(window, title, history.get_open_history()[0], *kinds)
    open_path(viewer, found if isinstance(found, str) else found[0], read)


def open_path(viewer: ViewerModel, path: str, read: Read | None = None) -> bool:
    """Add faces or a model to `viewer`, or tell there what is wrong; return whether it did."""
    if not path:  # none was chosen
        return False
    session_of(viewer)
    if read is None:
        read = read_model_layers if _is_model(path) else read_faces_layers
    try:
        found = [data for data in read(path) if data is not NO_LAYER]
    except (OSError, ValueError, MemoryError) as error:
        words = harmless_lines(str(error))
        notifications.show_error(words or "There is not enough memory to read these faces.")
        return False
    if Path(path).exists():  # not a URL
        history.update_open_history(path)
    for data in found:
        viewer.add_layer(Layer.create(*data))
    return bool(found)


def open_again(viewer: napari.Viewer) -> None:
    """Ask how the chosen layer's faces lie in their file, and open them so in its place."""
    layer = viewer.layers.selection.active
    known = {} if layer is None else layer.metadata
    report, path = known.get("report"), known.get("source", "")
    if not isinstance(report, ReadReport) or not report.decided:
        words = "Choose a layer of faces that were read from a file of numbers."
        notifications.show_info(words)
        return
    read = {} if report.options is None else report.options.changed()
    how = {name: read.pop(name, None) for name in ("variable", "shape", "faces", "order")}
    why = f"Now: {report.decided}."
    answers = _ask(path, _candidates(path), why, how, shown_window(viewer))
    if answers is not None:
        again = {"variable": None, **read, **answers}
        if open_path(viewer, path, lambda path: _opened(path, None, again)):
            viewer.layers.remove(layer)


def make_grey(viewer: napari.Viewer) -> None:
    """Add the chosen layer's faces in grey, which a fit takes a third of the time for."""
    layer: Any = viewer.layers.selection.active
    if layer is None or layers.why_not_faces(layer) or not layer.rgb:
        notifications.show_info("Choose a layer of faces in colour.")
        return
    view, name = layers.FacesView.of(layer), f"{layer.name} (grey)"

    def add(stack: FaceStack) -> None:
        data, kwargs, kind = layers.faces_layer(stack, name)
        viewer.add_layer(Layer.create(data, kwargs | view.at(3), kind))

    LayerJob(viewer, layer, layers.stack_of(layer).to_grey).then(add).start()


_ROWS, _COLUMNS = 2, 6
_PREVIEW = QSize(480, 220)
_PAUSE = 150  # milliseconds
_FOUND_OUT: tuple[str, Any] = ("found out", None)
_FACES = [_FOUND_OUT, ("rows, or first axis", "rows"), ("columns, or last axis", "columns")]
_ORDERS = [_FOUND_OUT, ("row by row (C, NumPy)", "C"), ("column by column (F, MATLAB)", "F")]


def _ask(path: str, *about: Any) -> dict[str, Any] | None:
    dialog = MatrixDialog(path, *about)
    try:
        return dialog.options() if dialog.exec() else None
    finally:
        dialog.deleteLater()


class MatrixDialog(QtWidgets.QDialog):
    """Asks for variable, shape, axis and order of faces, and shows some as they come out."""

    def __init__(
        self,
        path: str,
        known: Sequence[Variable],
        why: str,
        options: Mapping[str, Any],
        parent: QtWidgets.QWidget,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Faces in {harmless(Path(path).name)}")
        self._path = path
        self._looking = Latest(returned=self._show, failed=self._tell)
        self._chosen: dict[str, Any] | None = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._look)
        names = [(str(each), each.name) for each in known if each.name] or [_FOUND_OUT]
        fields: list[Any] = [
            ComboBox(name="variable", label="Variable", choices=names),
            LineEdit(name="shape", label="Height x width"),
            ComboBox(name="faces", label="Faces are", choices=_FACES),
            ComboBox(name="order", label="Pixels come", choices=_ORDERS),
        ]
        fields[0].visible = names != [_FOUND_OUT]
        fields[1].native.setPlaceholderText(_FOUND_OUT[0])
        self.inputs = Container(widgets=fields)
        begin = {**options, "shape": " x ".join(map(str, options.get("shape") or ()))}
        if begin.get("variable") not in fields[0].choices:
            begin.pop("variable", None)
        self.inputs.update(begin)
        self.inputs.changed.connect(self._on_choice)
        self.preview, self.words = QtWidgets.QLabel(), QtWidgets.QLabel()
        self.preview.setMinimumSize(_PREVIEW)
        self.preview.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.words.setMinimumHeight(3 * self.fontMetrics().lineSpacing())
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        kinds = QtWidgets.QDialogButtonBox.StandardButton
        self.buttons = QtWidgets.QDialogButtonBox(kinds.Open | kinds.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self._open: Any = self.buttons.button(kinds.Open)
        self.finished.connect(self._stop)
        reason, layout = QtWidgets.QLabel(why), QtWidgets.QVBoxLayout(self)
        for label in (reason, self.words):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
        for part in (reason, self.inputs.native, self.preview, self.words, self.buttons):
            layout.addWidget(part, stretch=int(part is self.preview))
        self._on_choice()

    def options(self) -> dict[str, Any]:
        """Return what was chosen, as `read_faces` takes it; what is found out is not in it."""
        chosen = self.inputs.asdict()
        chosen["shape"] = tuple(map(int, re.findall(r"\d+", chosen["shape"]))) or None
        return {name: value for name, value in chosen.items() if value is not None}

    def _on_choice(self) -> None:
        if self.options() != self._chosen:  # so that Enter in a number opens the faces
            self._chosen = self.options()
            self._stop()
            self._open.setEnabled(False)
            self.words.setText("Reading ...")
            self._soon.start(_PAUSE)  # a number is typed digit by digit

    def _look(self) -> None:
        """Read some faces in a thread, in place of those that were read for other choices."""
        if len(self.options().get("shape", "hw")) == 2:
            self._looking.start(_some_faces, self._path, self.options())
        else:
            self._tell("Give both height and width, or neither.")

    def _show(self, found: tuple[NDArray[Any], tuple[float, float], str]) -> None:
        pictures, limits, words = found
        box = self.preview.size().expandedTo(_PREVIEW)
        picture = to_pixmap(pictures, limits)
        self.preview.setPixmap(to_fit(picture, box, self.devicePixelRatioF()))
        self.words.setText(words)
        self._open.setEnabled(True)

    def _tell(self, why: str) -> None:
        self.preview.clear()
        self.words.setText(why)

    def _stop(self) -> None:
        self._soon.stop()
        self._looking.stop()


def _some_faces(
    path: str, options: Mapping[str, Any]
) -> tuple[NDArray[Any], tuple[float, float], str]:
    """Return some faces beside one another, what is black and white, and what was decided."""
    stack = read_faces(path, lazy=True, **options)
    count = min(len(stack), _ROWS * _COLUMNS)
    chosen = np.linspace(0, len(stack) - 1, count).astype(int)
    pictures = np.stack([np.asarray(stack.images[int(i)]) for i in chosen])
    limits = layers.faces_layer(stack, "")[1]["contrast_limits"]
    small = shrunk(pictures, 160, in_colour=stack.in_colour)
    return montage(small, min(count, _COLUMNS), limits[0]), limits, f"{stack.report.decided}."


def _sample(read: Callable[[], FaceStack], name: str) -> list[LayerData]:
    _name_faces()
    return [layers.faces_layer(read(), name)]


def _olivetti() -> FaceStack:
    """Return the Olivetti faces; the first time they are downloaded."""
    try:
        return read_olivetti(download=False)
    except FileNotFoundError:
        notifications.show_info("Downloading the Olivetti faces (about 4 MB, only this once).")
        with progress(total=0, desc="downloading the Olivetti faces"):
            return read_olivetti()


# what File > Open Sample offers
drawn_faces = partial(_sample, sample_faces, "drawn faces")
_in_colour = partial(sample_faces, colour=True)
drawn_faces_in_colour = partial(_sample, _in_colour, "drawn faces in colour")
lfw_faces = partial(_sample, read_lfw_subset, "LFW faces")
olivetti_faces = partial(_sample, _olivetti, "Olivetti faces")


def write_model_layers(
    path: str | None = None, chosen: Sequence[LayerData] = ()
) -> list[str] | None:
    """Write the model that all the layers belong to; add ``.latent`` where it is missing."""
    if path is None:  # as from the command palette
        save_model(napari.current_viewer())
        return None
    models = {}
    for _data, kwargs, _kind in chosen:
        known = kwargs.get("metadata", {})
        model = known.get(layers.MODEL_KEY)
        if model is not None:
            models[id(model)] = model
        elif known.get(layers.ROLE_KEY) != layers.CAPTIONS:  # they are when all are selected
            raise ValueError(
                f"The layer {kwargs.get('name')!r} is no result of a fit: select only latent "
                "faces, reconstruction or residual to save their model, or choose another type "
                "of file for pictures."
            )
    if len(models) != 1:
        raise ValueError("The layers are results of different fits: save one fit at a time.")
    target = model_path(path)
    models.popitem()[1].save(target)
    return [str(target)]


def save_model(viewer: ViewerModel | None, tell: Callable[[str], object] | None = None) -> None:
    """Ask for a file and save the model that the viewer is about; `tell` shows what is said."""
    say = tell or notifications.show_info
    session = None if viewer is None else session_of(viewer)
    if session is None or session.model is None:
        say("There is no model to save yet: fit one first.")
        return
    faces, model = session.faces, session.model
    of = Path(faces.name if faces is not None else model.provenance.source or "faces").name
    name = f"{of} {model.params.method} {model.n_components}{ENDING}"
    target, _ = QtWidgets.QFileDialog.getSaveFileName(
        QtWidgets.QApplication.activeWindow(),
        "Save the model",
        str(Path(history.get_save_history()[0], name)),
        f"Model of latent faces (*{ENDING} *.npz)",
    )
    if target:
        path = model_path(target)
        history.update_save_history(str(path))
        Job(model.save, path).then(lambda _: say(f"Saved {path}.")).start()
