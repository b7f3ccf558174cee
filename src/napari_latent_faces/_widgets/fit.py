"""The dock widget that fits latent faces to a stack."""

from __future__ import annotations

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
from napari.layers import Layer
from napari.utils.notifications import show_error
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSizePolicy
from superqt import QCollapsible

from napari_latent_faces._labels import label_faces
from napari_latent_faces._preferences import default_method
from napari_latent_faces._results import ShowOptions
from napari_latent_faces._session import IGNORE, FitSession
from napari_latent_faces._warm_up import WarmUp
from napari_latent_faces._widgets.actions import ResultActions
from napari_latent_faces._widgets.first_run import FirstRun
from napari_latent_faces._widgets.form import (
    form_of,
    make_method_fields,
    read_fields,
    show_rows,
)
from napari_latent_faces._widgets.keys import on_key
from napari_latent_faces._widgets.parts import (
    NO_FACES,
    face_stacks,
    fill_section,
    mark_layers,
    settle,
    show_progress,
)
from napari_latent_faces._widgets.removal import RemovalWatch
from napari_latent_faces.layers import faces_layer
from napari_latent_faces.methods import METHODS
from napari_latent_faces.report import harmless_lines

if TYPE_CHECKING:
    import napari
    from magicgui.widgets.bases import ValueWidget
    from napari.layers import Image

    from napari_latent_faces.nmf import FitStep
    from napari_latent_faces.stack import FaceStack

__all__ = ["FitWidget"]

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
        self._warm_up = WarmUp(self.native)
        self._make_inputs()
        self._make_controls()
        self._lay_out()
        label_faces(napari_viewer)
        layers = napari_viewer.layers
        layers.events.inserted.connect(self._sync)
        layers.events.removed.connect(self._sync)
        self.method.changed.connect(self._show_method)
        self._watch = RemovalWatch(self.native, self.cancel)
        self.native.destroyed.connect(self._abandon)
        self._show_method()
        self._sync()
        self._warm_up.start()

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
        self.first_run.began.connect(self._begin_drawing)
        self.first_run.progressed.connect(self._show_drawing)
        self.first_run.drawn.connect(self._show_drawn)
        self.first_run.ended.connect(self._show_end)
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
        fitting, drawing = session is not None, self.first_run.is_drawing
        self.fit_button.text = "Stop and &keep" if fitting else "F&it"
        self.fit_button.tooltip = (
            "End the fit now and keep what was reached."
            if fitting
            else "Find the components that these faces are made of (Alt+I; Esc cancels)."
        )
        free = ready and not drawing
        self.fit_button.enabled = session.has_stepped if session is not None else free
        self.cancel_button.visible = self.progress.visible = fitting or drawing
        self.first_run.offer(sample=not (ready or fitting or drawing))
        for each in (
            self.faces,
            self.method,
            *self._basic,
            *self._rest,
            self.ignore,
            *self.checks,
        ):
            each.enabled = not fitting
        if not (ready or fitting or drawing):
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
        self.first_run.cancel()
        self.actions.cancel()

    # -- the first run ---------------------------------------------------------

    def _begin_drawing(self) -> None:
        self.progress.max = 0
        self.status.value = "Drawing 400 faces of people who do not exist ..."
        self._sync()

    def _show_drawing(self, done: int, total: int) -> None:
        self.progress.max, self.progress.value = total, done

    def _show_drawn(self, stack: FaceStack) -> None:
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
        self._warm_up.stop()
        self.first_run.abandon()
        if self._session is not None:
            self._session.abandon()
            self._session = None
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.disconnect(self._sync)
