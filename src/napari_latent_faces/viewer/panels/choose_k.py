"""The dock widget that measures numbers of components and suggests one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container, Label, LineEdit, PushButton
from magicgui.widgets import ProgressBar as Progress
from magicgui.widgets.bases import Widget
from napari.utils.notifications import show_error
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QSizePolicy

from napari_latent_faces.choosing.search import iter_choose_k, iter_whole_model
from napari_latent_faces.options import ChoiceOptions, parse_ks
from napari_latent_faces.params import NMFParams
from napari_latent_faces.stack import harmless_lines
from napari_latent_faces.viewer.jobs import LayerJob
from napari_latent_faces.viewer.layers import FACES_KEY, ROLE_KEY, stack_of
from napari_latent_faces.viewer.panels.form import form_of, make_fields, read_fields
from napari_latent_faces.viewer.panels.panel import (
    NO_FACES,
    RemovalWatch,
    face_stacks,
    on_key,
    settle,
    show_progress,
)
from napari_latent_faces.viewer.panels.plots import CurvesPlot
from napari_latent_faces.viewer.results import ResultLayers, ShowOptions
from napari_latent_faces.viewer.session import session_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_latent_faces.choosing.choice import KChoice
    from napari_latent_faces.choosing.search import KStep
    from napari_latent_faces.model import LatentFaces

__all__ = ["ChooseKWidget"]

_CLICK = "Click a point to show its model."


class ChooseKWidget(Container[Widget]):
    """Measures several numbers of components, draws the curves and shows the models.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer whose layers are offered and that the results are added to.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(labels=False)
        self.viewer = napari_viewer
        self.choice: KChoice | None = None
        self._measured: Any = None  # the layer that the choice is about
        self._job: LayerJob | None = None
        self._make_inputs()
        self._make_controls()
        self._lay_out()
        session_of(napari_viewer)  # the names of faces are shown from now on
        layers = napari_viewer.layers
        layers.events.inserted.connect(self._sync)
        layers.events.removed.connect(self._sync)
        self._watch = RemovalWatch(self.native, self.cancel)
        self.native.destroyed.connect(self._abandon)
        self._sync()

    # -- layout ----------------------------------------------------------------

    def _make_inputs(self) -> None:
        self.faces = ComboBox(
            name="faces",
            label="Faces",
            choices=self._stacks,
            tooltip="The stack to look at: an image layer with the axes face, y, x.",
        )
        self.ks = LineEdit(
            name="ks",
            label="Components",
            value="auto",
            tooltip="Which numbers of components to measure: auto (a search), a range such as "
            "5:60:5 (from, to, step), or numbers such as 2,4,8.",
        )
        self.effort = make_fields(ChoiceOptions)
        self.random_state = make_fields(NMFParams)["random_state"]
        self.update_earlier = CheckBox(
            value=True,
            text="Update earlier results",
            tooltip="Show a model in the layers of the last one of the same faces. Off: add "
            "new layers each time.",
        )

    def _make_controls(self) -> None:
        self.start_button = PushButton(text="Start")
        self.cancel_button = PushButton(
            text="Cancel",
            tooltip="End the search; what was measured stays (Esc).",
            visible=False,
        )
        self.save_button = PushButton(
            text="Save table...", tooltip="Write the measures as a CSV file.", enabled=False
        )
        self.progress = Progress(min=0, max=1, value=0, visible=False)
        self.status = Label(value="")
        self.plot = CurvesPlot()
        self.readout = Label(value="")
        self.words = Label(value="")
        for label in (self.status, self.readout, self.words):
            label.native.setWordWrap(True)
            label.native.setAlignment(Qt.AlignmentFlag.AlignTop)
            label.native.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        two_lines = 2 * self.readout.native.fontMetrics().lineSpacing()
        self.readout.native.setMinimumHeight(two_lines + 4)  # so that nothing below jumps
        self.start_button.changed.connect(self._start_or_stop)
        self.cancel_button.changed.connect(self.cancel)
        self.save_button.changed.connect(self._ask_where_to_save)
        self.plot.clicked.connect(self.show_model)
        self.plot.hovered.connect(self._read_out)

    def _lay_out(self) -> None:
        buttons = Container(
            widgets=[self.start_button, self.cancel_button], layout="horizontal", labels=False
        )
        buttons.margins = (0, 0, 0, 0)
        self._inputs = [self.faces, self.ks, *self.effort.values(), self.random_state]
        self.extend([buttons, self.progress, self.status, self.readout, self.words])
        self.extend([self.save_button])
        layout = self.native.layout()
        layout.insertWidget(0, form_of([*self._inputs, self.update_earlier]))
        layout.insertWidget(layout.indexOf(self.readout.native), self.plot, 1)
        on_key(self.native, "Esc", self.cancel)
        settle(self.native)

    # -- state -----------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether a search, or the making of a model for its layers, is running."""
        return self._job is not None

    def _stacks(self, _widget: Any = None) -> list[Image]:
        return face_stacks(self.viewer)

    def _sync(self) -> None:
        """Bring buttons and texts in line with the layers, the choice and the job."""
        self.faces.reset_choices()
        busy, ready = self.is_busy, bool(self._stacks())
        self.start_button.text = "Stop and keep" if busy else "Start"
        self.start_button.tooltip = (
            "End the search now and keep what was measured."
            if busy
            else "Fit all these numbers of components and compare them."
        )
        self.start_button.enabled = bool(self.choice) if busy else ready
        self.cancel_button.visible = self.progress.visible = busy
        self.save_button.enabled = bool(self.choice)
        for each in self._inputs:
            each.enabled = not busy
        if not ready and not busy and not self.choice:
            self.status.value = NO_FACES
        elif self.status.value == NO_FACES:
            self.status.value = ""

    # -- the search --------------------------------------------------------------

    def _start_or_stop(self) -> None:
        if self._job is None:
            self.start()
        else:
            self._job.send("stop")
            self.start_button.enabled = False
            self.status.value = "Stopping ..."

    def start(self) -> None:
        """Start to measure the chosen faces; what is wrong with them is shown in napari."""
        layer = self.faces.value
        if self._job is not None or layer is None:
            return
        try:
            ks = parse_ks(self.ks.value)
            options = read_fields(ChoiceOptions, self.effort)
            stack = stack_of(layer)
        except (TypeError, ValueError) as error:
            show_error(harmless_lines(str(error)))
            return
        changes = {**vars(options), "random_state": self.random_state.value}
        self._measured = layer
        self._show_choice(None)
        job = LayerJob(self.viewer, layer, lambda: iter_choose_k(stack, ks, **changes))
        job.stepped.connect(self._show_step)
        job.returned.connect(self._keep)
        self._begin(job, "Preparing ...")

    def _begin(self, job: LayerJob, text: str) -> None:
        job.ended.connect(self._show_end)
        self._job = job
        self.progress.max = 0  # busy, until the first step
        self.status.value = text
        self._sync()
        job.start()

    def cancel(self) -> None:
        """End what is running; what was measured to the end stays."""
        if self._job is not None:
            self._job.cancel()

    def _show_step(self, step: KStep) -> None:
        show_progress(self.progress.native, step.done, step.total)
        self.status.value = f"Fit {step.done + 1} of {step.total}: {step.doing}"
        if step.choice and (self.choice is None or len(self.choice) != len(step.choice)):
            self._show_choice(step.choice)
            self._sync()

    def _keep(self, choice: KChoice) -> None:
        self._show_choice(choice if len(choice) else None)
        self.status.value = _CLICK if len(choice) else "Stopped before anything was measured."

    def _show_end(self, why: str) -> None:
        self._job = None
        if why:
            kept = " What was measured stays." if self.choice else ""
            self.status.value = why + kept
        self._sync()

    # -- what was found ------------------------------------------------------------

    def _show_choice(self, choice: KChoice | None) -> None:
        """Draw the curves of a choice, and say which k it suggests and why."""
        self.choice = choice
        self.words.value = "" if choice is None else choice.reason
        self.plot.show_choice(choice)

    def _read_out(self, k: int | None) -> None:
        """Write the measures of the k under the mouse."""
        if k is None or self.choice is None:
            self.readout.value = ""
            return
        row = next(row for row in self.choice.rows() if row["k"] == k)
        whose = f" of the sample of {len(self.choice.faces)} faces" * self.choice.is_sample
        self.readout.value = (
            f"k = {k}: error {row['relative_error']:.4f}{whose}, held-out "
            f"{row['held_out_error']:.4f} \N{PLUS-MINUS SIGN} "
            f"{row['standard_error_to_lowest']:.4f}, stability {row['stability']:.2f}"
        )

    def show_model(self, k: int) -> None:
        """Show the model with `k` components in the layers of its faces."""
        choice, layer = self.choice, self._measured
        if choice is None or self._job is not None or layer not in self.viewer.layers:
            return
        self.plot.choose(k)
        model = choice.models[k]
        if not choice.is_sample:
            self._show_layers(model)
            return
        try:
            stack = stack_of(layer)
        except (TypeError, ValueError) as error:
            show_error(harmless_lines(str(error)))
            return
        job = LayerJob(self.viewer, layer, lambda: iter_whole_model(model, stack))
        job.stepped.connect(lambda done: show_progress(self.progress.native, *done))
        job.returned.connect(self._show_layers)
        self._begin(job, f"Finding the weights of all faces for k = {k} ...")

    def _show_layers(self, model: LatentFaces) -> None:
        layer = self._measured
        key = str(layer.unique_id)
        roles = {
            each.metadata[ROLE_KEY]
            for each in self.viewer.layers
            if each.metadata.get(FACES_KEY) == key
        }
        options = ShowOptions(
            slider="components" in roles,
            residual="residual" in roles,
            update=self.update_earlier.value,
        )
        try:
            ResultLayers(self.viewer, layer, options).show_model(model)
        except ValueError as error:  # the faces are no longer those that were measured
            show_error(harmless_lines(str(error)))
            return
        self.status.value = (
            f"Shown: k = {model.n_components}, relative error {model.error:.4f} over all "
            f"{len(model.weights)} faces. {_CLICK}"
        )

    def _ask_where_to_save(self) -> None:
        if self.choice is None:
            return
        path, _ = QFileDialog.getSaveFileName(
            self.native, "Save the measures", "choice.csv", "Table (*.csv)"
        )
        if path:
            self.save(path)

    def save(self, path: str) -> None:
        """Write the measures to a CSV file; what goes wrong is shown in napari."""
        if self.choice is None:
            return
        try:
            self.choice.save_csv(path)
        except OSError as error:
            show_error(harmless_lines(f"{path} cannot be written: {error.strerror or error}."))
            return
        self.status.value = f"Saved {path}."

    def _abandon(self) -> None:
        """Stop working for a window that is gone."""
        if self._job is not None:
            self._job.abandon()
            self._job = None
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.disconnect(self._sync)
