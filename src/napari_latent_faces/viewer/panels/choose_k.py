"""The panel that measures numbers of components and suggests one."""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, LineEdit

from napari_latent_faces.choosing import iter_choose_k
from napari_latent_faces.encoding import iter_whole_model
from napari_latent_faces.params import ChoiceOptions, NMFParams, parse_ks
from napari_latent_faces.viewer.fitting import ResultLayers, ShowOptions
from napari_latent_faces.viewer.jobs import LayerJob
from napari_latent_faces.viewer.layers import ROLE_KEY, results_of, stack_of
from napari_latent_faces.viewer.panels.form import button, make_fields, read_fields, text
from napari_latent_faces.viewer.panels.panel import Panel
from napari_latent_faces.viewer.panels.plots import CurvesPlot
from napari_latent_faces.viewer.window import open_dock

if TYPE_CHECKING:
    from napari_latent_faces.choosing import KChoice, KStep
    from napari_latent_faces.model import LatentFaces

_CLICK = "Click a point to show its model."


class ChooseKWidget(Panel):
    """Measures several numbers of components, draws the curves and shows the models."""

    page = "choose-k"
    start_words = "Start", "Fit all these numbers of components and compare them."
    stop_words = "Stop and keep", "End the search now and keep what was measured."
    cancel_tip = "End the search; what was measured stays (Esc)."

    def _lay_out(self) -> None:
        self.choice: KChoice | None = None
        self.first_look: KChoice | None = None  # at smaller pictures, until more is known
        self._measured: Any = None  # the layer that the choice is about
        faces = self.choose_faces("The stack to look at, with the axes face, y, x.")
        tip = "Which to measure: auto (a search), 5:60:5 (from, to, step), or such as 2,4,8."
        self.ks = LineEdit(label="Components", value="auto", tooltip=tip)
        self.effort = make_fields(ChoiceOptions)
        self.random_state = make_fields(NMFParams, "random_state")["random_state"]
        tip = "Show models in the layers of the last one of the same faces, not in new ones."
        self.update_earlier = CheckBox(value=True, text="Update earlier results", tooltip=tip)
        tip = "Put the suggested number of components into the panel Latent faces."
        self.use_button = button("Use this k", tip, self.use_suggested)
        tip = "Write the measures as a CSV file."
        self.save_button = button("Save table...", tip, self._save)
        self.plot = CurvesPlot("Curves over the number of components")
        self.readout, self.words = text(lines=2), text()
        self.add_form([faces, self.ks, *self.effort.values(), self.random_state])
        self.add(self.update_earlier)
        self.add_controls()
        self.add(self.plot, self.use_button, self.readout, self.words, self.save_button)
        self.plot.clicked.connect(self.show_model)
        self.plot.hovered.connect(self._read_out)

    def _can_stop(self) -> bool:
        return bool(self.choice)

    def _make_job(self) -> LayerJob:
        """Return the search; once it is known to begin, the last one is gone."""
        layer, ks = self.faces.value, parse_ks(self.ks.value)
        options, stack = read_fields(ChoiceOptions, self.effort), stack_of(layer)
        changes = {**vars(options), "random_state": self.random_state.value, "preview": True}
        self._measured, self.choice, self.first_look = layer, None, None
        work = partial(iter_choose_k, stack, ks, **changes)
        return LayerJob(self.viewer, layer, work).then(self._keep)

    def _show_step(self, step: KStep | tuple[int, int]) -> None:
        if isinstance(step, tuple):  # the weights of all faces are found
            self.show_progress(*step)
            return
        self.show_progress(step.done, step.total)
        self.status.value = f"Fit {step.done + 1} of {step.total}: {step.doing}"
        if step.seconds_left is not None:
            self.status.value += f", {_about(step.seconds_left)} left at most"
        known = "first_look" if step.is_preview else "choice"
        if step.choice and len(getattr(self, known) or ()) != len(step.choice):
            setattr(self, known, step.choice)
            self.synchronize()

    def _keep(self, choice: KChoice) -> None:
        self.choice = choice if len(choice) else None
        if self.choice:
            self.first_look = None
        self.status.value = _CLICK if self.choice else "Stopped before anything was measured."

    def _on_end(self, words: str) -> None:
        kept = " What was measured stays." if self.choice and words else ""
        super()._on_end(words + kept)

    def synchronize(self) -> None:
        """Draw what is known best, and say which k it suggests and why.

        That is the first look, until as many k are measured in full.
        """
        super().synchronize()
        shown, words = self.choice, self.choice.reason if self.choice else ""
        if self.first_look is not None and len(shown or ()) < len(self.first_look):
            shown = self.first_look
            words = f"A first look, at few k and smaller pictures: k = {shown.suggested}. "
            words += "The search goes on."
        self.words.value = words
        if shown is not self.plot.choice:
            self.plot.show_choice(shown)
        self.save_button.enabled = bool(self.choice)
        self.use_button.visible = shown is not None
        if shown is not None:
            self.use_button.text = f"Use this k: {shown.suggested}"

    def use_suggested(self) -> None:
        if self.plot.choice is None:
            return
        panel = open_dock(self.viewer, "Latent faces")
        panel.method.value = NMFParams.method
        panel.parameters["n_components"].value = self.plot.choice.suggested
        if self._measured in panel.faces.choices:  # it may be gone
            panel.faces.value = self._measured

    def _read_out(self, k: int | None) -> None:
        choice, self.readout.value = self.plot.choice, ""
        if choice is None or k is None:
            return
        row = next(row for row in choice.rows() if row["k"] == k)
        whose = f" of the sample of {len(choice.faces)} faces" * choice.is_sample
        self.readout.value = (
            f"k = {k}: error {row['relative_error']:.4f}{whose}, held-out "
            f"{row['held_out_error']:.4f} \N{PLUS-MINUS SIGN} "
            f"{row['standard_error_to_lowest']:.4f}, stability {row['stability']:.2f}"
        )

    def show_model(self, k: int) -> None:
        choice, layer = self.choice, self._measured
        is_there = layer in self.viewer.layers and not self.is_working
        if choice is None or not is_there or k not in choice.models:  # of the first look
            return
        self.plot.show_choice(choice, k)
        model = choice.models[k]
        if not choice.is_sample:
            self._show_layers(model)
            return

        def make_job() -> LayerJob:
            work = partial(iter_whole_model, model, stack_of(layer))
            return LayerJob(self.viewer, layer, work).then(self._show_layers)

        self.attempt(make_job, f"Finding the weights of all faces for k = {k} ...")

    def _show_layers(self, model: LatentFaces) -> None:
        shown = {each.metadata[ROLE_KEY] for each in results_of(self.viewer, self._measured)}
        kinds = "components" in shown, "residual" in shown  # as they were
        options = ShowOptions(*kinds, update=self.update_earlier.value)
        try:
            ResultLayers(self.viewer, self._measured, options).show_model(model)
        except ValueError as error:  # the faces are no longer those that were measured
            self.complain(str(error))
        else:
            self.status.value = (
                f"Shown: k = {model.n_components}, relative error {model.error:.4f} over all "
                f"{len(model.weights)} faces. {_CLICK}"
            )

    def _save(self) -> None:
        if self.choice is not None:
            self.save_table("Save the measures", "choice.csv", self.choice.save_csv)


def _about(seconds: float) -> str:
    """Return a time as one would say it."""
    return (
        f"{ceil(seconds / 60)} min" if seconds > 90 else f"{10 * (ceil(seconds / 10) or 1)} s"
    )
