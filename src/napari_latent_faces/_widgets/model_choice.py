"""A field that chooses a model: of a layer, or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

from magicgui.widgets import ComboBox, Container, PushButton
from magicgui.widgets.bases import Widget
from psygnal import Signal
from qtpy.QtWidgets import QFileDialog, QSizePolicy

from napari_latent_faces._job import Job
from napari_latent_faces._widgets.long_names import allow_long_names
from napari_latent_faces.layers import MODEL_KEY
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.report import harmless

if TYPE_CHECKING:
    import napari

__all__ = ["ModelChoice"]

_NOTHING = object()  # what a layer without a model carries


class ModelChoice(Container[Widget]):
    """Offers the models that layers of a viewer carry, and opens others.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    """

    chosen = Signal(object)
    opening = Signal(str)  # the name of the file that is read; empty when it no longer is

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
        self._viewer = viewer
        self._opened: dict[str, LatentFaces] = {}
        self._carrier: Any = None  # weakly, the layer whose model is chosen
        self._job: Job | None = None
        self.combo = ComboBox(
            label="Model",
            choices=self._models,
            nullable=False,
            tooltip="The model: of a layer that shows one, or opened from a file.",
        )
        self.open_button = PushButton(
            text="Open...", tooltip="Open a model file (.npz) that was saved earlier."
        )
        super().__init__(
            widgets=[self.combo, self.open_button],
            layout="horizontal",
            labels=False,
            label="Model",
            tooltip=self.combo.tooltip,
        )
        self.margins = (0, 0, 0, 0)
        # the names of models need the room
        allow_long_names(self.combo.native)
        policy = QSizePolicy.Policy
        self.combo.native.setSizePolicy(policy.Expanding, policy.Fixed)
        self.open_button.native.setSizePolicy(policy.Maximum, policy.Fixed)
        self.combo.changed.connect(self._on_chosen)
        self.open_button.changed.connect(self._ask)

    @property
    def model(self) -> LatentFaces | None:
        """The chosen model, or None if there is none."""
        model: LatentFaces | None = self.combo.value
        return model

    def refresh(self) -> None:
        """Look at the layers again; where the chosen one was fitted anew, choose that fit."""
        layer = None if self._carrier is None else self._carrier()
        self.combo.reset_choices()
        if layer is not None and layer in self._viewer.layers and MODEL_KEY in layer.metadata:
            components = layer.metadata[MODEL_KEY].components
            offered = (each for _, each in self._models() if each.components is components)
            self.combo.value = next(offered)  # once for all layers that share them
        self._remember()

    def _on_chosen(self, model: LatentFaces | None) -> None:
        self._remember()
        self.chosen.emit(model)

    def _remember(self) -> None:
        """Note which layer carries the chosen model; none if it was opened from a file."""
        carriers = [
            ref(layer)
            for layer in reversed(self._viewer.layers)
            if layer.metadata.get(MODEL_KEY, _NOTHING) is self.model
        ]
        self._carrier = carriers[0] if carriers else None

    @property
    def is_opening(self) -> bool:
        """Whether a file is being read."""
        return self._job is not None

    def open_file(self, path: str) -> Job:
        """Read a model file in a thread and choose it; what is wrong is shown in napari.

        Parameters
        ----------
        path : str
            The file. One that is still being read is dropped.

        Returns
        -------
        Job
            The running job; it returns the model.
        """
        self.abandon()
        name = harmless(Path(path).name)
        job = self._job = Job(LatentFaces.load, path)
        job.returned.connect(lambda model: self._take(name, model))
        job.ended.connect(self._end)
        self.opening.emit(name)
        job.start()
        return job

    def cancel(self) -> None:
        """Drop the file that is being read."""
        if self._job is not None:
            self._job.cancel()

    def abandon(self) -> None:
        """Drop it without a word, for a window that is gone."""
        if self._job is not None:
            self._job.abandon()
            self._job = None

    def _take(self, name: str, model: LatentFaces) -> None:
        self._opened[name] = model
        self.refresh()
        self.combo.value = model

    def _end(self, _text: str) -> None:
        self._job = None
        self.opening.emit("")

    def _ask(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self.native, "Open a model", "", "Models of latent faces (*.npz)"
        )
        if path:
            self.open_file(path)

    def _models(self, _widget: Any = None) -> list[tuple[str, LatentFaces]]:
        """Return models with their names, each once: encoded faces share components."""
        named = [
            (layer.name, layer.metadata[MODEL_KEY])
            for layer in reversed(self._viewer.layers)
            if MODEL_KEY in layer.metadata
        ]
        named += self._opened.items()
        # a fit before what was encoded with it
        named.sort(key=lambda each: each[1].provenance.encoded_from is not None)
        found: dict[int, tuple[str, LatentFaces]] = {}
        for name, model in named:
            found.setdefault(id(model.components), (_words(name, model), model))
        return list(found.values())


def _words(name: str, model: LatentFaces) -> str:
    _, height, width = model.shape
    return f"{name}: {model.n_components} of {width} x {height}"
