"""The dock widget that fits latent faces to a stack."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    Label,
    ProgressBar,
    PushButton,
)
from magicgui.widgets.bases import Widget
from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import Qt
from superqt import QCollapsible

from napari_latent_faces._labels import label_faces
from napari_latent_faces._results import ShowOptions
from napari_latent_faces._session import FitSession
from napari_latent_faces._widgets.form import form_of, make_fields, read_fields
from napari_latent_faces._widgets.removal import RemovalWatch
from napari_latent_faces.layers import ROLE_KEY
from napari_latent_faces.nmf import NMFParams

if TYPE_CHECKING:
    import napari

    from napari_latent_faces.nmf import FitStep

__all__ = ["FitWidget"]

_NO_FACES = (
    "No stack of faces yet. Open one with File > IO Utilities > Open folder of faces..., or "
    "a sample with File > Open Sample > Latent faces."
)


class FitWidget(Container[Widget]):
    """Fits NMF to a stack of faces and shows components and reconstructions.

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
        label_faces(napari_viewer)
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
            tooltip="The stack to factorize: an image layer with the axes face, y, x.",
        )
        self.parameters = make_fields(NMFParams)
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
            tooltip="Put the results into the layers of the last fit of the same faces. "
            "Off: add new layers each time.",
        )

    def _make_controls(self) -> None:
        self.fit_button = PushButton(text="Fit")
        self.cancel_button = PushButton(
            text="Cancel", tooltip="End the fit and drop it.", visible=False
        )
        self.progress = ProgressBar(min=0, max=1, value=0, visible=False)
        self.status = Label(value="")
        self.status.native.setWordWrap(True)
        self.status.native.setAlignment(Qt.AlignmentFlag.AlignTop)
        two_lines = 2 * self.status.native.fontMetrics().lineSpacing()
        self.status.native.setMinimumHeight(two_lines + 4)  # so that nothing below jumps
        self.fit_button.changed.connect(self._fit_or_stop)
        self.cancel_button.changed.connect(self.cancel)

    def _lay_out(self) -> None:
        advanced = {f.name for f in fields(NMFParams) if f.metadata.get("advanced")}
        basic = [each for name, each in self.parameters.items() if name not in advanced]
        rest = [each for name, each in self.parameters.items() if name in advanced]
        self.advanced = QCollapsible(
            "Advanced",
            expandedIcon="\N{BLACK DOWN-POINTING TRIANGLE}",
            collapsedIcon="\N{BLACK RIGHT-POINTING TRIANGLE}",
        )
        self.checks = [self.slider, self.residual, self.update_earlier]
        self.advanced.addWidget(form_of([*rest, *self.checks]))
        buttons = Container(
            widgets=[self.fit_button, self.cancel_button], layout="horizontal", labels=False
        )
        buttons.margins = (0, 0, 0, 0)
        self.extend([buttons, self.progress, self.status])
        self.native.layout().insertWidget(0, form_of([self.faces, *basic]))
        self.native.layout().insertWidget(1, self.advanced)
        self.native.setMinimumWidth(300)

    # -- state -----------------------------------------------------------------

    @property
    def is_fitting(self) -> bool:
        """Whether a fit is running."""
        return self._session is not None

    def _stacks(self, _widget: Any = None) -> list[Image]:
        """Return the layers that can be factorized."""
        return [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, Image)
            and layer.ndim == 3
            and not layer.rgb
            and ROLE_KEY not in layer.metadata
        ]

    def _sync(self) -> None:
        """Bring buttons and texts in line with the layers and the running fit."""
        self.faces.reset_choices()
        session, ready = self._session, bool(self._stacks())
        fitting = session is not None
        self.fit_button.text = "Stop and keep" if fitting else "Fit"
        self.fit_button.tooltip = (
            "End the fit now and keep what was reached."
            if fitting
            else "Find the components that these faces are made of."
        )
        self.fit_button.enabled = session.has_stepped if session is not None else ready
        self.cancel_button.visible = fitting
        self.progress.visible = fitting
        for each in (self.faces, *self.parameters.values(), *self.checks):
            each.enabled = not fitting
        if not ready and not fitting:
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
            params = read_fields(NMFParams, self.parameters)
            session = FitSession(self.viewer, self.faces.value, params, options)
        except (TypeError, ValueError) as error:
            show_error(str(error))
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

    def _show_step(self, step: FitStep) -> None:
        if self._session is None:
            return
        if self.progress.max != step.max_iter:
            self.progress.max = step.max_iter
            self._sync()
        bar = self.progress.native
        bar.setUpdatesEnabled(False)  # else Qt would draw the whole window before it returns
        self.progress.value = step.iteration
        bar.setUpdatesEnabled(True)
        self.status.value = (
            f"Iteration {step.iteration} of {step.max_iter}, relative error "
            f"{step.error:.4f}, {self._session.elapsed:.1f} s"
        )

    def _show_end(self, text: str) -> None:
        self._session = None
        self.status.value = text
        self._sync()

    def _abandon(self) -> None:
        """Stop working for a window that is gone."""
        if self._session is not None:
            self._session.abandon()
            self._session = None
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.disconnect(self._sync)
