"""What panels that work on one layer have in common: buttons, progress, and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, Label, ProgressBar, PushButton
from magicgui.widgets.bases import Widget
from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSizePolicy

from napari_latent_faces._focus import focus_of
from napari_latent_faces._labels import label_faces
from napari_latent_faces._widgets.keys import on_key
from napari_latent_faces._widgets.model_choice import ModelChoice
from napari_latent_faces._widgets.parts import settle, show_progress
from napari_latent_faces._widgets.removal import RemovalWatch
from napari_latent_faces.layers import ROLE_KEY
from napari_latent_faces.report import harmless_lines

if TYPE_CHECKING:
    import napari

    from napari_latent_faces._layer_job import FacesJob

__all__ = ["JobPanel"]


class JobPanel(Container[Widget]):
    """A panel with faces, a model, and work that runs in a thread.

    A subclass lays itself out, makes the job, and says what is missing.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer.
    title : str
        What the button says.
    help_text : str
        What it does.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, title: str, help_text: str) -> None:
        super().__init__(labels=False)
        self.viewer = napari_viewer
        self._job: FacesJob | None = None
        self._opening = ""  # the name of the model file that is being read
        self.model_choice = ModelChoice(napari_viewer)
        self.faces = ComboBox(name="faces", label="Faces", choices=self._pictures)
        self.start_button = PushButton(text=title, tooltip=help_text)
        self.cancel_button = PushButton(
            text="Cancel", tooltip="End the work and drop it (Esc).", visible=False
        )
        self.progress = ProgressBar(min=0, max=0, value=0, visible=False)
        self.status = Label(value="")
        self._missing = ""
        self._lay_out()
        label_faces(napari_viewer)
        self._connect()
        self._sync()

    def _lay_out(self) -> None:
        raise NotImplementedError

    def _make_job(self) -> FacesJob:
        """Return the job that the fields spell; it is not started yet."""
        raise NotImplementedError

    def _what_is_missing(self) -> str:
        """Say what must be there before the work can begin; nothing if all is."""
        if not self.faces.choices:
            return "No faces yet: open some with File > IO Utilities > Open folder of faces..."
        if self._opening:
            return f"Opening {self._opening} ..."
        if self.model_choice.model is None:
            return "No model yet: fit one with Plugins > Latent faces, or open a file."
        return ""

    def _show_result(self, job: FacesJob) -> None:
        """Show more of a result than its text."""

    def _is_offered(self, layer: Any) -> bool:
        """Tell whether a layer's pictures can be worked on."""
        is_image = isinstance(layer, Image) and layer.ndim in {2, 3}
        return is_image and ROLE_KEY not in layer.metadata

    # -- wiring ----------------------------------------------------------------

    def _connect(self) -> None:
        text = self.status.native
        text.setWordWrap(True)
        text.setAlignment(Qt.AlignmentFlag.AlignTop)
        text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        self.start_button.changed.connect(self.start)
        self.cancel_button.changed.connect(self.cancel)
        self.model_choice.chosen.connect(self._sync)
        self.model_choice.opening.connect(self._on_opening)
        for event in self._events():
            event.connect(self._sync)
        self._watch = RemovalWatch(self.native, self.cancel)
        self.native.destroyed.connect(self._abandon)
        on_key(self.native, "Esc", self.cancel)
        settle(self.native)

    def _events(self) -> tuple[Any, ...]:
        layers = self.viewer.layers
        models_changed = focus_of(self.viewer).models_changed
        return layers.events.inserted, layers.events.removed, models_changed

    def _pictures(self, _widget: Any = None) -> list[Image]:
        return [layer for layer in self.viewer.layers if self._is_offered(layer)]

    @property
    def is_working(self) -> bool:
        """Whether a job is running."""
        return self._job is not None

    def _on_opening(self, name: str) -> None:
        self._opening = name
        self.progress.max = 0  # busy: how far it is, is not known
        self._sync()

    def _inputs(self) -> list[Any]:
        """Return what cannot be changed during the work."""
        return [self.faces, self.model_choice]

    def _sync(self, _event: Any = None) -> None:
        """Bring fields, buttons and texts in line with the layers and the running job."""
        if not self.is_working:
            self.faces.reset_choices()
            self.model_choice.refresh()
        missing = self._what_is_missing()
        self.start_button.enabled = not (missing or self.is_working)
        is_busy = self.is_working or bool(self._opening)
        self.cancel_button.visible = self.progress.visible = is_busy
        for each in self._inputs():
            each.enabled = not is_busy
        if missing and not self.is_working:
            self.status.value = missing
        elif self.status.value == self._missing:
            self.status.value = ""
        self._missing = missing

    def start(self) -> FacesJob | None:
        """Start the work; what is wrong with the fields is shown in napari.

        Returns
        -------
        FacesJob or None
            The running job, or None if it could not be started.
        """
        if self.is_working or self._what_is_missing():
            return None
        try:
            job = self._make_job()
        except (TypeError, ValueError) as error:
            show_error(harmless_lines(str(error)))
            self.status.value = str(error)
            return None
        job.progressed.connect(self._show_progress)
        job.ended.connect(self._show_end)
        self._job = job
        self.progress.max = 0  # busy, until the first step
        self.status.value = "Working ..."
        self._sync()
        job.start()
        return job

    def cancel(self) -> None:
        """End the running job, or the reading of a model, and drop it."""
        self.model_choice.cancel()
        if self._job is not None:
            self._job.cancel()

    def _show_progress(self, done: int, total: int) -> None:
        show_progress(self.progress.native, done, total)
        self.status.value = f"{done} of {total} faces"

    def _show_end(self, text: str) -> None:
        job, self._job = self._job, None
        self.status.value = text
        self._sync()
        if job is not None and job.result is not None:
            self._show_result(job)

    def _abandon(self) -> None:
        """Stop working for a window that is gone."""
        self.model_choice.abandon()
        if self._job is not None:
            self._job.abandon()
            self._job = None
        for event in self._events():
            event.disconnect(self._sync)
