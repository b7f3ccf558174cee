"""The panel that fits latent faces to a stack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container, Label, PushButton
from magicgui.widgets.bases import Widget
from napari.layers import Layer
from napari.utils.notifications import show_error
from psygnal import Signal
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QMenu,
    QMessageBox,
    QPushButton,
    QWidget,
)

from napari_latent_faces.export import as_python, check_export, iter_export
from napari_latent_faces.files import CONTENTS
from napari_latent_faces.params import METHODS
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.stack import harmless_lines
from napari_latent_faces.viewer.fitting import IGNORE, FitSession
from napari_latent_faces.viewer.jobs import Job
from napari_latent_faces.viewer.layers import faces_layer, model_words
from napari_latent_faces.viewer.marks import own_mask
from napari_latent_faces.viewer.panels.form import (
    Section,
    form_of,
    make_method_fields,
    read_fields,
    show_rows,
    wrap,
)
from napari_latent_faces.viewer.panels.panel import Panel, mark_layers
from napari_latent_faces.viewer.reader import (
    default_method,
    open_folder,
    open_model,
    open_path,
    recent_paths,
)
from napari_latent_faces.viewer.results import ShowOptions
from napari_latent_faces.viewer.session import session_of
from napari_latent_faces.viewer.window import can_open_docks, open_dock
from napari_latent_faces.viewer.writer import save_model

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from magicgui.widgets.bases import ValueWidget
    from qtpy.QtGui import QAction  # type: ignore[attr-defined]

    from napari_latent_faces.fitting import FitStep
    from napari_latent_faces.stack import FaceStack

__all__ = ["FirstRun", "FitWidget", "ResultActions"]

# -- What can be done with a result: a script that makes it again, files ---------------


class ResultActions(Container[Widget]):
    """Buttons for the model that the viewer is about, below what that is.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer whose focus is followed.
    tell : callable
        Shows the user a text.
    """

    def __init__(
        self, viewer: napari.components.ViewerModel, tell: Callable[[str], object]
    ) -> None:
        super().__init__(labels=False)
        self._tell, self._session = tell, session_of(viewer)
        self._focus = self._session.focus
        self._export: Job | None = None
        self.about = Label(value="")
        wrap(self.about.native)
        self.save_button = PushButton(
            text="Save model...", tooltip="Write the model to one file that opens here again."
        )
        self.export_button = PushButton(text="Export...")
        self.copy_button = PushButton(
            text="Copy as Python", tooltip="A script that makes this result again."
        )
        self.undo_button = PushButton(
            text="Undo",
            tooltip="Show what was there before the last result; again, that result (Ctrl+Z "
            "on the canvas).",
        )
        self.margins = (0, 0, 0, 0)
        rows = [(self.save_button, self.export_button), (self.copy_button, self.undo_button)]
        self.append(self.about)
        for row in rows:
            part = Container(widgets=row, layout="horizontal", labels=False)
            part.margins = (0, 0, 0, 0)
            self.append(part)
        self.save_button.changed.connect(lambda: save_model(viewer, tell))
        self.copy_button.changed.connect(self.copy)
        self.export_button.changed.connect(self._export_or_cancel)
        self.undo_button.changed.connect(self._session.undo)
        self._focus.model_changed.connect(self._sync)
        self._session.undo_changed.connect(self._sync)
        self.native.destroyed.connect(self._abandon)
        self._sync()

    @property
    def is_exporting(self) -> bool:
        """Whether files are being written."""
        return self._export is not None

    def copy(self) -> None:
        """Put a script that makes the model again on the clipboard."""
        model, clipboard = self._focus.model, QApplication.clipboard()
        if model is not None and clipboard is not None:
            clipboard.setText(as_python(model))
            self._tell("Copied: paste it into a file or a notebook.")

    def _export_or_cancel(self) -> None:
        if self.is_exporting:
            self.cancel()
        else:
            self.ask_and_export()

    def cancel(self) -> None:
        """End the export that is going on, and leave the folder as it was."""
        if self._export is not None:
            self._export.abandon()
            self._end("The export was cancelled.")

    def ask_and_export(self) -> None:
        """Ask for a folder and write the model there as plain files."""
        if self._focus.model is None:
            return
        chosen = QFileDialog.getExistingDirectory(
            self.native, "Export into this folder: model, pictures and weights"
        )
        if chosen and self._may_replace(Path(chosen)):
            self.export(Path(chosen))

    def export(self, folder: Path) -> None:
        """Write the model to a folder; what goes wrong is shown in napari."""
        if self._focus.model is None or self.is_exporting:
            return
        replace = folder.exists()
        try:
            check_export(folder, force=replace)
        except OSError as error:
            show_error(harmless_lines(str(error)))
            return
        self._export = Job(iter_export, self._focus.model, folder, force=replace)
        self._export.stepped.connect(self._on_step)
        self._export.returned.connect(self._on_written)
        self._export.failed.connect(self._on_failed)
        self._sync()
        self._tell("Writing ...")
        self._export.start()

    def _may_replace(self, folder: Path) -> bool:
        if not (folder / CONTENTS).is_file():
            return True
        question = f"{folder} holds an earlier export. Replace it?"
        buttons = QMessageBox.StandardButton
        answer = QMessageBox.question(self.native, "Export", question)
        return bool(answer == buttons.Yes)

    def _on_step(self, step: tuple[int, int]) -> None:
        done, total = step
        self._tell(f"Writing: {done / total:.0%} ...")

    def _on_written(self, folder: Path) -> None:
        self._end(f"Written to {folder}.")

    def _on_failed(self, why: str) -> None:
        self._end(f"The export failed: {why}")

    def _end(self, text: str) -> None:
        self._export = None
        self._tell(text)
        self._sync()

    def _sync(self) -> None:
        """Bring the buttons in line with the model."""
        model = self._focus.model
        self.about.visible = model is not None
        self.about.value = "" if model is None else f"{model_words(model)}:"
        self.save_button.enabled = self.copy_button.enabled = model is not None
        self.export_button.enabled = model is not None or self.is_exporting
        self.export_button.text = "Cancel export" if self.is_exporting else "Export..."
        self.export_button.tooltip = (
            "End the export; the folder stays as it was (Esc)."
            if self.is_exporting
            else "The model, pictures of the components and weights as files."
        )
        self.undo_button.enabled = self._session.can_undo

    def _abandon(self) -> None:
        """Stop listening for a widget that is gone."""
        self._focus.model_changed.disconnect(self._sync)
        self._session.undo_changed.disconnect(self._sync)
        if self._export is not None:
            # it goes on, since it was asked for, but there is nobody left to tell
            self._export.stepped.disconnect(self._on_step)
            self._export.returned.disconnect(self._on_written)
            self._export.failed.disconnect(self._on_failed)


# -- What is opened --------------------------------------------------------------------


class OpenPart(QWidget):
    """Buttons that open a folder of faces, or one of the last ones, and a model.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where to.
    """

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.folder_button = QPushButton("Open folder...")
        self.recent_button = QPushButton("Recent")
        self.model_button = QPushButton("Open model...")
        self.recent = QMenu(self)
        self.recent_button.setMenu(self.recent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for each, tip in (
            (self.folder_button, "Open a folder of faces."),
            (self.recent_button, "Open what was opened last again."),
            (self.model_button, "Open a model that was saved earlier."),
        ):
            each.setToolTip(tip)
            row.addWidget(each)
        self.folder_button.clicked.connect(self._open_folder)
        self.model_button.clicked.connect(self._open_model)
        self.recent.aboutToShow.connect(self._list_recent)
        self.recent.triggered.connect(self._open_recent)

    def _open_folder(self) -> None:
        open_folder(self._viewer)

    def _open_model(self) -> None:
        open_model(self._viewer)

    def _list_recent(self) -> None:
        self.recent.clear()
        for path in recent_paths():
            action = self.recent.addAction(path.replace("&", "&&"))
            assert action is not None
            action.setData(path)
        if not self.recent.actions():
            self.recent.addAction("nothing yet")

    def _open_recent(self, action: QAction) -> None:
        if action.data():
            open_path(self._viewer, action.data())


# -- What a new user is offered: a sample at first, and what to try after a fit --------

_NEXT = {
    "What builds this face?": "Show which components make the face under the slider, and who "
    "else uses them.",
    "Mix faces": "Move sliders to mix faces that do not exist.",
}


class FirstRun(Container[Widget]):
    """A button that shows a sample while there are no faces, and links after a fit.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose window the links open panels in; without a window there are none.
    """

    opened = Signal(object)  # the FaceStack of the sample

    def __init__(self, viewer: Any) -> None:
        super().__init__(labels=False)
        self._viewer = viewer
        self.margins = (0, 0, 0, 0)
        self.sample_button = PushButton(
            text="&Show me",
            tooltip="Open 400 drawn faces of people who do not exist, and fit them (Alt+S).",
        )
        self.sample_button.changed.connect(lambda: self.opened.emit(sample_faces()))
        self.next_label = Label(value="Next:", visible=False)
        self.next_buttons = {name: self._link(name, tip) for name, tip in _NEXT.items()}
        links = Container(
            widgets=[*self.next_buttons.values()], layout="horizontal", labels=False
        )
        links.margins = (0, 0, 0, 0)
        self.links = links
        links.visible = False
        self.extend([self.sample_button, self.next_label, links])

    def offer(self, *, sample: bool) -> None:
        """Offer the sample, or no more."""
        self.sample_button.visible = sample

    def point_on(self) -> None:
        """Point at the panels to try next, where there is a window for them."""
        self.next_label.visible = self.links.visible = can_open_docks(self._viewer)

    def _link(self, name: str, tip: str) -> PushButton:
        link = PushButton(text=name, tooltip=tip)
        link.changed.connect(lambda: open_dock(self._viewer, name))
        return link


# -- The dock widget that fits latent faces to a stack ---------------------------------


class FitWidget(Panel):
    """Fits NMF, or another method, to faces and shows components and reconstructions.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer whose layers are offered and that the results are added to.
    """

    page = "latent-faces"
    start_words = (
        "F&it",
        "Find the components that these faces are made of (Alt+I; Esc cancels).",
    )
    stop_words = "Stop and &keep", "End the fit now and keep what was reached."
    cancel_tip = "End the fit and drop it (Esc)."

    def _lay_out(self) -> None:
        self.open_part = OpenPart(self.viewer)
        self.add(self.open_part)
        faces = self.choose_faces(
            "The stack to factorize: an image layer with the axes face, y, x."
        )
        self._make_inputs()
        self._basic, self._rest = self._sorted_inputs()
        self._form = self.add_form([faces, self.method, self.summary, *self._basic])
        hidden = [*self._rest, self.ignore, self.slider, self.residual, self.update_earlier]
        self._advanced_form = form_of(hidden)
        self._fields += hidden
        self.advanced = Section("Advanced", self._advanced_form)
        self.add(self.advanced)
        self.add_controls()
        self.first_run = FirstRun(self.viewer)
        self.first_run.opened.connect(self._fit_sample)
        self.add(self.first_run)
        self.result_actions = ResultActions(self.viewer, self._tell)
        self.add(self.result_actions)
        self.method.changed.connect(self._show_method)
        faces.changed.connect(self._sync)
        self._show_method()

    def _make_inputs(self) -> None:
        self.method = ComboBox(
            name="method",
            value=default_method(),
            label="Method",
            choices=[(kind.title, name) for name, kind in METHODS.items()],
            tooltip="How the faces are taken apart. Only NMF and mini-batch NMF find parts "
            "that add up; the others are there for comparison.",
        )
        self.summary = Label(value="")
        wrap(self.summary.native)
        self._inputs = make_method_fields(METHODS)
        self._own_mask: Any = None  # that of the faces, which is chosen unless another is
        self.ignore = ComboBox(
            name="ignore",
            label=IGNORE,
            choices=self._marks,
            tooltip="Labels or shapes over pixels that the fit shall not see, such as the "
            "background: with the axes y, x in all faces alike; with face, y, x in single "
            "ones.",
        )
        self.slider = CheckBox(
            text="Components with a slider of their own",
            tooltip="One component at a time, as a stack, instead of all in one picture.",
        )
        self.residual = CheckBox(
            text="Add the residual",
            tooltip="A layer of faces minus reconstructions: what the parts do not explain.",
        )
        self.update_earlier = CheckBox(
            value=True,
            text="Update earlier results",
            tooltip="Put the results into the layers of the last fit of the same faces by the "
            "same method, and hide those of other methods. Off: add new layers each time.",
        )

    def _sorted_inputs(self) -> tuple[list[ValueWidget[Any]], list[ValueWidget[Any]]]:
        """Return the inputs of all methods, each once: the basic ones, and the advanced."""
        basic: dict[int, ValueWidget[Any]] = {}
        rest: dict[int, ValueWidget[Any]] = {}
        for method, inputs in self._inputs.items():
            declared = METHODS[method].__dataclass_fields__
            for name, each in inputs.items():
                some = rest if declared[name].metadata.get("advanced") else basic
                some[id(each)] = each
        return list(basic.values()), list(rest.values())

    # -- state -----------------------------------------------------------------

    @property
    def parameters(self) -> dict[str, ValueWidget[Any]]:
        """The inputs of the chosen method by the names of its parameters."""
        return self._inputs[self.method.value]

    def _show_method(self) -> None:
        """Show the fields of the chosen method only; the others keep what was typed."""
        shown = list(self.parameters.values())
        show_rows(self._form, self._basic, shown)
        method = METHODS[self.method.value]
        shown += [self.ignore] * method.takes_mask
        show_rows(self._advanced_form, [*self._rest, self.ignore], shown)
        self.summary.value = method.summary

    def _marks(self, _widget: Any = None) -> list[tuple[str, Any]]:
        layers = mark_layers(self.viewer)
        return [("nothing", None), *((layer.name, layer) for layer in layers)]

    def _what_is_missing(self) -> str:
        missing = super()._what_is_missing()
        return f"{missing} New here? Press Show me." if missing else ""

    def _sync(self, event: Any = None) -> None:
        self.ignore.reset_choices()
        super()._sync(event)
        faces = self.faces.value
        own = None if faces is None else own_mask(self.viewer, faces)
        if own is not self._own_mask and self.ignore.value in (None, self._own_mask):
            self.ignore.value = own
        self._own_mask = own
        self.first_run.offer(sample=self.faces.value is None and not self.is_working)

    # -- the fit ---------------------------------------------------------------

    def fit(self) -> FitSession | None:
        """Start a fit of the chosen faces; what is wrong with them is shown in napari.

        Returns
        -------
        FitSession or None
            The running fit, or None if it could not be started.
        """
        session: FitSession | None = self.start()
        return session

    def _make_job(self) -> FitSession:
        options = ShowOptions(self.slider.value, self.residual.value, self.update_earlier.value)
        params = read_fields(METHODS[self.method.value], self.parameters)
        ignore = self.ignore.value if params.takes_mask else None  # else it is hidden
        return FitSession(self.viewer, self.faces.value, params, options, ignore)

    def _show_step(self, step: FitStep) -> None:
        assert isinstance(self.job, FitSession)
        self.show_progress(step.iteration, step.max_iter)
        self.status.value = (
            "Stopping, and sharpening what was reached to full size ..."
            if self._is_stopping
            else self.job.words(step)
        )

    def _show_result(self, job: FitSession) -> None:
        if job.model is not None:
            self.first_run.point_on()

    def cancel(self) -> None:
        """End the running fit, or the export of files, and drop it."""
        super().cancel()
        self.result_actions.cancel()

    def _fit_sample(self, stack: FaceStack) -> None:
        """Fit the sample, as a click on Fit would."""
        layer = self.viewer.add_layer(Layer.create(*faces_layer(stack, "drawn faces")))
        self.faces.value = layer
        self.fit()

    def _tell(self, text: str) -> None:
        self.status.value = text
