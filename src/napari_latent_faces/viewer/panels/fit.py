"""The panel that fits latent faces to a stack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container, Label, ProgressBar, PushButton
from magicgui.widgets.bases import Widget
from napari.layers import Layer
from napari.utils.notifications import show_error
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox, QSizePolicy
from superqt import QCollapsible

from napari_latent_faces.export import as_python, check_export, iter_export
from napari_latent_faces.files import CONTENTS
from napari_latent_faces.params import METHODS
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.stack import harmless_lines
from napari_latent_faces.viewer.fitting import IGNORE, FitSession
from napari_latent_faces.viewer.jobs import Job
from napari_latent_faces.viewer.layers import faces_layer
from napari_latent_faces.viewer.panels.form import (
    form_of,
    make_method_fields,
    read_fields,
    show_rows,
)
from napari_latent_faces.viewer.panels.panel import (
    NO_FACES,
    RemovalWatch,
    face_stacks,
    fill_section,
    mark_layers,
    on_key,
    settle,
    show_progress,
)
from napari_latent_faces.viewer.reader import default_method
from napari_latent_faces.viewer.results import ShowOptions
from napari_latent_faces.viewer.session import session_of
from napari_latent_faces.viewer.window import can_open_docks, open_dock

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from magicgui.widgets.bases import ValueWidget
    from napari.layers import Image

    from napari_latent_faces.fitting import FitStep
    from napari_latent_faces.stack import FaceStack

__all__ = ["FirstRun", "FitWidget", "ResultActions"]

# -- What can be done with a result: a script that makes it again, files ---------------


class ResultActions(Container[Widget]):
    """Buttons for the model that the viewer is about.

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
        super().__init__(labels=False, layout="horizontal")
        self._tell = tell
        self._focus = session_of(viewer).focus
        self._export: Job | None = None
        self.copy_button = PushButton(text="Copy as Python")
        self.export_button = PushButton(text="Export...")
        self.margins = (0, 0, 0, 0)
        self.extend([self.copy_button, self.export_button])
        self.copy_button.changed.connect(self.copy)
        self.export_button.changed.connect(self._export_or_cancel)
        self._focus.model_changed.connect(self._sync)
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
        self.copy_button.enabled = model is not None
        self.export_button.enabled = model is not None or self.is_exporting
        self.export_button.text = "Cancel export" if self.is_exporting else "Export..."
        about = f" ({model.params.title}, {model.n_components})" if model is not None else ""
        self.copy_button.tooltip = f"A script that makes this result again{about}."
        self.export_button.tooltip = (
            "End the export; the folder stays as it was (Esc)."
            if self.is_exporting
            else f"Model, pictures of the components and weights as files{about}."
        )

    def _abandon(self) -> None:
        """Stop listening for a widget that is gone."""
        self._focus.model_changed.disconnect(self._sync)
        if self._export is not None:
            # it goes on, since it was asked for, but there is nobody left to tell
            self._export.stepped.disconnect(self._on_step)
            self._export.returned.disconnect(self._on_written)
            self._export.failed.disconnect(self._on_failed)


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

_NO_FACES = f"{NO_FACES} New here? Press Show me."


def _wrap(label: Label) -> None:
    """Let a text take the width that there is, in as many lines as it needs."""
    label.native.setWordWrap(True)
    label.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)


class FitWidget(Container[Widget]):
    """Fits NMF, or another method, to faces and shows components and reconstructions.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer whose layers are offered and that the results are added to.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(labels=False)
        self.viewer = napari_viewer
        self._session: FitSession | None = None
        self._make_inputs()
        self._make_controls()
        self._lay_out()
        session_of(napari_viewer)  # the names of faces are shown from now on
        layers = napari_viewer.layers
        layers.events.inserted.connect(self._sync)
        layers.events.removed.connect(self._sync)
        self.method.changed.connect(self._show_method)
        self._watch = RemovalWatch(self.native, self.cancel)
        self.native.destroyed.connect(self._abandon)
        self._show_method()
        self._sync()

    # -- layout ----------------------------------------------------------------

    def _make_inputs(self) -> None:
        self.faces = ComboBox(
            name="faces",
            label="Faces",
            choices=self._stacks,
            tooltip="The stack to factorize: an image layer with the axes face, y, x.",
        )
        self.method = ComboBox(
            name="method",
            value=default_method(),
            label="Method",
            choices=[(kind.title, name) for name, kind in METHODS.items()],
            tooltip="How the faces are taken apart. Only NMF and mini-batch NMF find parts "
            "that add up; the others are there for comparison.",
        )
        self.summary = Label(value="")
        _wrap(self.summary)
        self._inputs = make_method_fields(METHODS)
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

    def _make_controls(self) -> None:
        self.fit_button = PushButton(text="F&it")
        self.cancel_button = PushButton(
            text="Cancel", tooltip="End the fit and drop it (Esc).", visible=False
        )
        self.first_run = FirstRun(self.viewer)
        self.first_run.opened.connect(self._fit_sample)
        self.progress = ProgressBar(min=0, max=1, value=0, visible=False)
        self.status = Label(value="")
        _wrap(self.status)
        self.status.native.setAlignment(Qt.AlignmentFlag.AlignTop)
        two_lines = 2 * self.status.native.fontMetrics().lineSpacing()
        self.status.native.setMinimumHeight(two_lines + 4)  # so that nothing below jumps
        self.fit_button.changed.connect(self._fit_or_stop)
        self.cancel_button.changed.connect(self.cancel)

    def _lay_out(self) -> None:
        self._basic, self._rest = self._sorted_inputs()
        self._form = form_of([self.faces, self.method, self.summary, *self._basic])
        self.checks = [self.slider, self.residual, self.update_earlier]
        self._advanced_form = form_of([*self._rest, self.ignore, *self.checks])
        self.advanced = QCollapsible("Advanced")
        fill_section(self.advanced, self._advanced_form)
        buttons = Container(
            widgets=[self.fit_button, self.cancel_button], layout="horizontal", labels=False
        )
        buttons.margins = (0, 0, 0, 0)
        self.actions = ResultActions(self.viewer, self._tell)
        self.extend([buttons, self.progress, self.status, self.first_run, self.actions])
        on_key(self.native, "Esc", self.cancel)
        self.native.layout().insertWidget(0, self._form)
        self.native.layout().insertWidget(1, self.advanced)
        settle(self.native)

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

    @property
    def is_fitting(self) -> bool:
        """Whether a fit is running."""
        return self._session is not None

    def _stacks(self, _widget: Any = None) -> list[Image]:
        return face_stacks(self.viewer)

    def _marks(self, _widget: Any = None) -> list[tuple[str, Any]]:
        layers = mark_layers(self.viewer)
        return [("nothing", None), *((layer.name, layer) for layer in layers)]

    def _sync(self) -> None:
        """Bring buttons and texts in line with the layers and the running fit."""
        self.faces.reset_choices()
        self.ignore.reset_choices()
        session, ready = self._session, bool(self._stacks())
        fitting = session is not None
        self.fit_button.text = "Stop and &keep" if fitting else "F&it"
        self.fit_button.tooltip = (
            "End the fit now and keep what was reached."
            if fitting
            else "Find the components that these faces are made of (Alt+I; Esc cancels)."
        )
        self.fit_button.enabled = session.has_stepped if session is not None else ready
        self.cancel_button.visible = self.progress.visible = fitting
        self.first_run.offer(sample=not (ready or fitting))
        for each in (
            self.faces,
            self.method,
            *self._basic,
            *self._rest,
            self.ignore,
            *self.checks,
        ):
            each.enabled = not fitting
        if not (ready or fitting):
            self.status.value = _NO_FACES
        elif self.status.value == _NO_FACES:
            self.status.value = ""

    # -- the fit ---------------------------------------------------------------

    def _fit_or_stop(self) -> None:
        if self._session is None:
            self.fit()
        else:
            self._session.stop()
            self.fit_button.enabled = False
            self.status.value = "Stopping after this iteration ..."

    def fit(self) -> FitSession | None:
        """Start a fit of the chosen faces; what is wrong with them is shown in napari.

        Returns
        -------
        FitSession or None
            The running fit, or None if it could not be started.
        """
        if self._session is not None or self.faces.value is None:
            return None
        options = ShowOptions(self.slider.value, self.residual.value, self.update_earlier.value)
        try:
            params = read_fields(METHODS[self.method.value], self.parameters)
            ignore = self.ignore.value if params.takes_mask else None  # else it is hidden
            session = FitSession(self.viewer, self.faces.value, params, options, ignore)
        except (TypeError, ValueError) as error:
            show_error(harmless_lines(str(error)))
            return None
        session.stepped.connect(self._show_step)
        session.ended.connect(self._show_end)
        self._session = session
        self.progress.max = 0  # busy, until the first step
        self.status.value = "Preparing ..."
        self._sync()
        session.start()
        return session

    def cancel(self) -> None:
        """End the running fit and drop it."""
        if self._session is not None:
            self._session.cancel()
        self.actions.cancel()

    # -- the first run ---------------------------------------------------------

    def _fit_sample(self, stack: FaceStack) -> None:
        """Fit the sample, as a click on Fit would."""
        layer = self.viewer.add_layer(Layer.create(*faces_layer(stack, "drawn faces")))
        self.faces.value = layer
        self.fit()

    def _show_step(self, step: FitStep) -> None:
        if self._session is None:
            return
        is_first = self.progress.max != step.max_iter
        show_progress(self.progress.native, step.iteration, step.max_iter)
        if is_first:  # there is something to stop and keep
            self._sync()
        self.status.value = self._session.words(step)

    def _tell(self, text: str) -> None:
        self.status.value = text

    def _show_end(self, text: str) -> None:
        session, self._session = self._session, None
        self.status.value = text
        if session is not None and session.model is not None:
            self.first_run.point_on()
        self._sync()

    def _abandon(self) -> None:
        """Stop working for a window that is gone."""
        if self._session is not None:
            self._session.abandon()
            self._session = None
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.disconnect(self._sync)
