"""The panel that measures numbers of components and suggests one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from magicgui.widgets import CheckBox, Label, LineEdit
from psygnal import Signal
from qtpy.QtCore import QEvent, QPointF, QSize, Qt
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QFileDialog

from napari_latent_faces.choosing import iter_choose_k
from napari_latent_faces.encoding import iter_whole_model
from napari_latent_faces.params import ChoiceOptions, NMFParams, parse_ks
from napari_latent_faces.viewer.canvas import picture_actions
from napari_latent_faces.viewer.fitting import ResultLayers, ShowOptions
from napari_latent_faces.viewer.jobs import LayerJob
from napari_latent_faces.viewer.layers import FACES_KEY, ROLE_KEY, stack_of
from napari_latent_faces.viewer.panels.form import button, make_fields, read_fields, wrap
from napari_latent_faces.viewer.panels.panel import Panel
from napari_latent_faces.viewer.window import can_open_docks, open_dock

if TYPE_CHECKING:
    from napari_latent_faces.choosing import KChoice, KStep
    from napari_latent_faces.model import LatentFaces

# -- Curves over the number of components ------------------------------------------------

# what is drawn above, and below: name, symbol, and Okabe and Ito's colours, told apart by
# colour-blind people, on a dark and on a light background
_CURVES = (
    {
        "held_out": ("held-out error", "o", "#e69f00", "#b45f00"),
        "errors": ("relative error", "s", "#56b4e9", "#0072b2"),
    },
    {"stabilities": ("stability", "d", "#2fc29b", "#00795a")},
)
_MARKS = {
    "o": "\N{BLACK CIRCLE}",
    "s": "\N{BLACK SQUARE}",
    "d": "\N{BLACK DIAMOND}",
}
_LONG_RANGE = 20  # largest over smallest k from which the axis is logarithmic


class CurvesPlot(pg.GraphicsLayoutWidget):  # type: ignore[misc]  # pyqtgraph is not typed
    """The errors of a choice above its stability, over k.

    The nearest k follows the mouse; a click chooses it. The menu of the right button zooms,
    copies and saves pictures, and exports tables.
    """

    clicked = Signal(int)  # the k of the nearest point
    hovered = Signal(object)  # the k under the mouse, or None
    choice: KChoice | None = None  # whose curves are shown
    hovered_k: int | None = None
    _chosen: int | None = None
    _plots: tuple[Any, ...] = ()  # none yet while Qt sets the palette of a new widget

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(240, 230)
        self.setAccessibleName("Curves over the number of components")
        upper, lower = self._plots = tuple(self.addPlot(row=row, col=0) for row in (0, 1))
        self.ci.layout.setRowStretchFactor(0, 2)
        self.ci.layout.setRowStretchFactor(1, 1)
        lower.setXLink(upper)
        lower.setLabel("bottom", "number of components k")
        for plot in self._plots:
            plot.getAxis("left").setWidth(52)
            plot.setMouseEnabled(x=True, y=False)
        self.scene().contextMenu += picture_actions(
            "curves", lambda: self.grab().toImage(), self
        )
        self.scene().sigMouseMoved.connect(self._on_moved)
        self.scene().sigMouseClicked.connect(self._on_clicked)
        self._draw()

    def show_choice(self, choice: KChoice | None) -> None:
        self.choice = choice
        if choice is None or self._chosen not in choice.ks:
            self._chosen = None
        self._draw()

    def choose(self, k: int | None) -> None:
        """Ring the points of one k, or of none."""
        self._chosen = k
        self._draw()

    def point(self, k: int) -> QPointF:
        """Return where the held-out error of a k is drawn, in the widget's pixels."""
        assert self.choice is not None
        value = self.choice.held_out[list(self.choice.ks).index(k)]
        scene = self._plots[0].vb.mapViewToScene(QPointF(self._place(k), value))
        return QPointF(self.mapFromScene(scene))

    def sizeHint(self) -> QSize:
        return QSize(320, 320)

    def leaveEvent(self, event: Any) -> None:
        self._hover(None)
        super().leaveEvent(event)

    def changeEvent(self, event: Any) -> None:
        if event.type() == QEvent.Type.PaletteChange:  # another theme
            self._draw()
        super().changeEvent(event)

    # -- drawing ---------------------------------------------------------------

    @property
    def _ks(self) -> Any:
        return np.zeros(0, int) if self.choice is None else np.asarray(self.choice.ks)

    @property
    def _is_log(self) -> bool:
        return len(self._ks) > 0 and bool(self._ks.max() > _LONG_RANGE * self._ks.min())

    def _place(self, k: Any) -> Any:
        return np.log10(k) if self._is_log else k

    def _draw(self) -> None:
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        self.setBackground(self.palette().color(QPalette.ColorRole.Window))
        self._hover_lines: list[Any] = []
        ticks = None
        if self._is_log:  # numbers below it that do not cover one another
            powers = range(int(self._ks.max()).bit_length())
            ticks = [[(math.log10(2**i), str(2**i)) for i in powers]]
        for plot, curves in zip(self._plots, _CURVES, strict=False):
            plot.clear()
            plot.setLogMode(x=self._is_log, y=False)
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(ink)
                plot.getAxis(side).setTextPen(ink)
            plot.getAxis("bottom").setTicks(ticks)
            plot.setVisible(len(self._ks) > 0)
            titles = []  # above the curves, where none runs through the words
            if self.choice is not None and len(self._ks):
                for name, (words, symbol, *colours) in curves.items():
                    colour = QColor(colours[ink.lightness() <= 127])
                    self._draw_curve(plot, self.choice, name, symbol, colour, ink)
                    mark = f'<span style="color: {colour.name()}">{_MARKS[symbol]}</span>'
                    titles.append(f"{mark} {words}")
                plot.setTitle(" &nbsp; ".join(titles), color=ink, size="9pt")
                self._draw_lines(plot, self.choice.suggested, ink)
                plot.enableAutoRange()

    def _draw_curve(
        self,
        plot: Any,
        choice: KChoice,
        name: str,
        symbol: str,
        colour: QColor,
        ink: QColor,
    ) -> None:
        values = np.asarray(getattr(choice, name), float)
        ring = pg.mkPen(ink, width=2)
        plot.plot(
            self._ks,
            values,
            pen=pg.mkPen(colour, width=2),
            symbol=symbol,
            symbolBrush=colour,
            symbolPen=[ring if k == self._chosen else pg.mkPen(colour) for k in self._ks],
            symbolSize=[13 if k == self._chosen else 7 for k in self._ks],
            antialias=True,
        )
        if name == "held_out":
            height = 2 * np.asarray(choice.spread, float)
            x, pen = self._place(self._ks), pg.mkPen(colour)
            plot.addItem(pg.ErrorBarItem(x=x, y=values, height=height, pen=pen))

    def _draw_lines(self, plot: Any, suggested: int | None, ink: QColor) -> None:
        if suggested is not None:
            line = pg.InfiniteLine(
                self._place(suggested),
                pen=pg.mkPen(ink, style=Qt.PenStyle.DashLine),
                label=f"{suggested} suggested" if plot is self._plots[0] else None,
                labelOpts={
                    "color": ink,
                    "position": 0.08,  # errors fall: the place is free
                    "anchors": [(-0.1, 0.5), (1.1, 0.5)],  # beside the point, not on it
                },
            )
            plot.addItem(line, ignoreBounds=True)
        faint = QColor(ink)
        faint.setAlpha(90)
        line = pg.InfiniteLine(pen=faint)
        line.setVisible(False)
        plot.addItem(line, ignoreBounds=True)
        self._hover_lines.append(line)

    # -- the mouse -------------------------------------------------------------

    def _nearest(self, place: QPointF) -> int | None:
        """Return the k that is nearest to a place of the scene in one of the plots."""
        is_inside = any(plot.sceneBoundingRect().contains(place) for plot in self._plots)
        if not len(self._ks) or not is_inside:
            return None
        x = self._plots[0].vb.mapSceneToView(place).x()
        return int(self._ks[np.argmin(np.abs(self._place(self._ks) - x))])

    def _on_moved(self, place: QPointF) -> None:
        self._hover(self._nearest(place))

    def _on_clicked(self, event: Any) -> None:
        k = self._nearest(event.scenePos())
        if event.button() == Qt.MouseButton.LeftButton and k is not None:
            self.clicked.emit(k)

    def _hover(self, k: int | None) -> None:
        if k == self.hovered_k:
            return
        self.hovered_k = k
        for line in self._hover_lines:
            line.setVisible(k is not None)
            if k is not None:
                line.setValue(self._place(k))
        self.hovered.emit(k)


# -- The dock widget -------------------------------------------------------------------

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
        faces = self.choose_faces(
            "The stack to look at: an image layer with the axes face, y, x."
        )
        self.ks = LineEdit(
            label="Components",
            value="auto",
            tooltip="Which numbers of components to measure: auto (a search), a range such as "
            "5:60:5 (from, to, step), or numbers such as 2,4,8.",
        )
        self.effort = make_fields(ChoiceOptions)
        self.random_state = make_fields(NMFParams, "random_state")["random_state"]
        self.update_earlier = CheckBox(
            value=True,
            text="Update earlier results",
            tooltip="Show a model in the layers of the last one of the same faces. Off: add "
            "new layers each time.",
        )
        self.save_button = button(
            "Save table...", "Write the measures as a CSV file.", self._ask_where_to_save
        )
        self.use_button = button(
            "Use this k",
            "Put the suggested number of components into the panel Latent faces.",
            self.use_suggested,
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
        self.plot.clicked.connect(self.show_model)
        self.plot.hovered.connect(self._read_out)

    # -- the search --------------------------------------------------------------

    def synchronize(self) -> None:
        super().synchronize()
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

    def _show_step(self, step: KStep | tuple[int, int]) -> None:
        if isinstance(step, tuple):  # the weights of all faces are found
            self.show_progress(*step)
            return
        self.show_progress(step.done, step.total)
        self.status.value = f"Fit {step.done + 1} of {step.total}: {step.doing}"
        if step.seconds_left is not None:
            self.status.value += f", {_about(step.seconds_left)} left at most"
        if not step.choice:
            return
        known = self.first_look if step.is_preview else self.choice
        if known is None or len(known) != len(step.choice):
            if step.is_preview:
                self.first_look = step.choice
            self._show_choice(self.choice if step.is_preview else step.choice)
            self.synchronize()

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
        """Draw what is known best, and say which k it suggests and why.

        That is the first look, until as many k are measured in full.
        """
        first, shown, self.choice = self.first_look, choice, choice
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

        def make_job() -> LayerJob:
            stack = stack_of(layer)
            job = LayerJob(self.viewer, layer, lambda: iter_whole_model(model, stack))
            job.returned.connect(self._show_layers)
            return job

        self.attempt(make_job, f"Finding the weights of all faces for k = {k} ...")

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
