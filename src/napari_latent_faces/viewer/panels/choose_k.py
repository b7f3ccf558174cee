"""The dock widget that measures numbers of components and suggests one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, Label, LineEdit, PushButton
from qtpy.QtWidgets import QFileDialog

from napari_latent_faces.choosing import iter_choose_k, iter_whole_model
from napari_latent_faces.options import ChoiceOptions, parse_ks
from napari_latent_faces.params import NMFParams
from napari_latent_faces.viewer.jobs import LayerJob
from napari_latent_faces.viewer.layers import FACES_KEY, ROLE_KEY, stack_of
from napari_latent_faces.viewer.panels.form import make_fields, read_fields, wrap
from napari_latent_faces.viewer.panels.panel import Panel
from napari_latent_faces.viewer.panels.plots import CurvesPlot
from napari_latent_faces.viewer.results import ResultLayers, ShowOptions
from napari_latent_faces.viewer.window import can_open_docks, open_dock

if TYPE_CHECKING:
    from napari_latent_faces.choosing import KChoice, KStep
    from napari_latent_faces.model import LatentFaces

__all__ = ["ChooseKWidget"]

_CLICK = "Click a point to show its model."


class ChooseKWidget(Panel):
    """Measures several numbers of components, draws the curves and shows the models.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer whose layers are offered and that the results are added to.
    """

    page = "choose-k"
    start_words = "Start", "Fit all these numbers of components and compare them."
    stop_words = "Stop and keep", "End the search now and keep what was measured."
    cancel_tip = "End the search; what was measured stays (Esc)."

    def _lay_out(self) -> None:
        self.choice: KChoice | None = None
        self.first_look: KChoice | None = None  # at smaller pictures, until more is known
        self._measured: Any = None  # the layer that the choice is about
        faces = self.choose_faces(
            "The stack to look at: an image layer with the axes face, y, x."
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
        self.save_button = PushButton(
            text="Save table...", tooltip="Write the measures as a CSV file.", enabled=False
        )
        self.use_button = PushButton(
            text="Use this k",
            tooltip="Put the suggested number of components into the panel Latent faces.",
            visible=False,
        )
        self.plot = CurvesPlot()
        self.readout, self.words = Label(value=""), Label(value="")
        wrap(self.readout.native, lines=2)
        wrap(self.words.native)
        self.add_form([faces, self.ks, *self.effort.values(), self.random_state])
        self.add(self.update_earlier)
        self.add_controls()
        self.add(self.plot, 1)
        for each in (self.use_button, self.readout, self.words, self.save_button):
            self.add(each)
        self.use_button.changed.connect(self.use_suggested)
        self.save_button.changed.connect(self._ask_where_to_save)
        self.plot.clicked.connect(self.show_model)
        self.plot.hovered.connect(self._read_out)

    # -- the search --------------------------------------------------------------

    def _sync(self, event: Any = None) -> None:
        super()._sync(event)
        self.save_button.enabled = bool(self.choice)

    def _can_stop(self) -> bool:
        return bool(self.choice)

    def _make_job(self) -> LayerJob:
        """Return the search; once it is known to begin, the last one is gone."""
        layer, ks = self.faces.value, parse_ks(self.ks.value)
        options, stack = read_fields(ChoiceOptions, self.effort), stack_of(layer)
        changes = {**vars(options), "random_state": self.random_state.value, "preview": True}
        job = LayerJob(self.viewer, layer, lambda: iter_choose_k(stack, ks, **changes))
        job.returned.connect(self._keep)
        self._measured, self.first_look = layer, None
        self._show_choice(None)
        return job

    def _show_step(self, step: Any) -> None:
        if isinstance(step, tuple):  # the weights of all faces are found
            self.show_progress(*step)
        else:
            self._show_search(step)

    def _show_search(self, step: KStep) -> None:
        self.show_progress(step.done, step.total)
        self.status.value = f"Fit {step.done + 1} of {step.total}: {step.doing}"
        if step.seconds_left is not None:
            self.status.value += f", {_about(step.seconds_left)} left at most"
        if step.is_preview:
            if step.choice and len(step.choice) != len(self.first_look or ()):
                self.first_look = step.choice
                self._show_suggestion()
        elif step.choice and (self.choice is None or len(self.choice) != len(step.choice)):
            self._show_choice(step.choice)
            self._sync()

    def _keep(self, choice: KChoice) -> None:
        if len(choice):
            self.first_look = None
        self._show_choice(choice if len(choice) else None)
        self.status.value = _CLICK if len(choice) else "Stopped before anything was measured."

    def _on_end(self, words: str) -> None:
        kept = " What was measured stays." if self.choice and words else ""
        super()._on_end(words + kept)

    # -- what was found ------------------------------------------------------------

    def _show_choice(self, choice: KChoice | None) -> None:
        """Draw the curves of a choice, and say which k it suggests and why."""
        self.choice = choice
        self._show_suggestion()

    def _show_suggestion(self) -> None:
        """Show what is known best: the first look, until as many k are measured in full."""
        first, shown = self.first_look, self.choice
        self.words.value = "" if shown is None else shown.reason
        if first is not None and len(shown or ()) < len(first):
            shown = first
            self.words.value = (
                f"A first look, at few k and smaller pictures: k = {first.suggested}. The "
                "search goes on."
            )
        self.plot.show_choice(shown)
        self.use_button.visible = shown is not None and can_open_docks(self.viewer)
        if shown is not None:
            self.use_button.text = f"Use this k: {shown.suggested}"

    def use_suggested(self) -> None:
        """Put the suggested number of components into the panel that fits."""
        shown = self.plot.choice
        if shown is None:
            return
        panel = open_dock(self.viewer, "Latent faces")
        panel.method.value = NMFParams.method
        panel.parameters["n_components"].value = shown.suggested
        if self._measured in panel.faces.choices:  # it may be gone
            panel.faces.value = self._measured

    def _read_out(self, k: int | None) -> None:
        """Write the measures of the k under the mouse."""
        choice = self.plot.choice
        if k is None or choice is None:
            self.readout.value = ""
            return
        row = next(row for row in choice.rows() if row["k"] == k)
        whose = f" of the sample of {len(choice.faces)} faces" * choice.is_sample
        self.readout.value = (
            f"k = {k}: error {row['relative_error']:.4f}{whose}, held-out "
            f"{row['held_out_error']:.4f} \N{PLUS-MINUS SIGN} "
            f"{row['standard_error_to_lowest']:.4f}, stability {row['stability']:.2f}"
        )

    def show_model(self, k: int) -> None:
        """Show the model with `k` components in the layers of its faces."""
        choice, layer = self.choice, self._measured
        if choice is None or self.is_working or layer not in self.viewer.layers:
            return
        if k not in choice.models:  # a point of the first look
            return
        self.plot.choose(k)
        model = choice.models[k]
        if not choice.is_sample:
            self._show_layers(model)
            return
        try:
            stack = stack_of(layer)
        except (TypeError, ValueError) as error:
            self.complain(str(error))
            return
        job = LayerJob(self.viewer, layer, lambda: iter_whole_model(model, stack))
        job.returned.connect(self._show_layers)
        self.run(job, f"Finding the weights of all faces for k = {k} ...")

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
            self.complain(str(error))
            return
        self.status.value = (
            f"Shown: k = {model.n_components}, relative error {model.error:.4f} over all "
            f"{len(model.weights)} faces. {_CLICK}"
        )

    def _ask_where_to_save(self) -> None:
        if self.choice is None:
            return
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the measures", "choice.csv", "Table (*.csv)"
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
            self.complain(f"{path} cannot be written: {error.strerror or error}.")
            return
        self.status.value = f"Saved {path}."


def _about(seconds: float) -> str:
    """Return a time as one would say it."""
    if seconds > 90:
        return f"{math.ceil(seconds / 60)} min"
    return f"{10 * math.ceil(max(seconds, 1) / 10)} s"
