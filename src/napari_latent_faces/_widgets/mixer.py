"""The dock widget that mixes new faces from components."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.utils.notifications import show_error
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_latent_faces._mixing import MixingDesk
from napari_latent_faces._widgets.keys import on_key
from napari_latent_faces._widgets.mixer_parts import (
    MorphPart,
    NearestPart,
    RandomPart,
    button,
)
from napari_latent_faces._widgets.mixer_steps import StepsPart
from napari_latent_faces._widgets.parts import fill_section, settle, show_progress
from napari_latent_faces._widgets.weight_list import WeightList
from napari_latent_faces.mixing import listed, weight_ranges, weight_units
from napari_latent_faces.report import harmless_lines

if TYPE_CHECKING:
    import napari
    from qtpy.QtGui import QShowEvent

__all__ = ["MixerWidget"]

_NO_MODEL = "No model yet. Fit one with Plugins > Latent faces, or open a model file (.npz)."
_PAUSE = 60  # milliseconds without a change before the nearest face is looked for


class MixerWidget(QWidget):
    """Sliders for the components of a model; the mixed face is a layer.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer whose model is mixed from.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._desk = MixingDesk(napari_viewer)
        self._nearest_face: int | None = None
        self._was_shown = False
        self._make_start()
        self._make_list()
        self._make_parts()
        self._make_end()
        self._lay_out()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PAUSE)
        self._timer.timeout.connect(self._show_nearest)
        self._connect()
        self.destroyed.connect(self._desk.close)
        self._take_mix()

    # -- layout ----------------------------------------------------------------

    def _make_start(self) -> None:
        self.steps = StepsPart(self._desk)
        for keys, do in (
            (QKeySequence.StandardKey.Undo, self.steps.undo),
            (QKeySequence.StandardKey.Redo, self.steps.redo),
        ):
            on_key(self, keys, do)
        on_key(self, "Esc", self._desk.cancel)

    def _make_list(self) -> None:
        self.which = QComboBox()
        for words, value in (
            ("What matters here", "matter"),
            ("What is used here", "used"),
            ("All components", "all"),
        ):
            self.which.addItem(words, value)
        self.which.setToolTip(
            "What matters: the fewest components that carry nine tenths of the face that "
            "the mix started from."
        )
        self.numbers = QLineEdit()
        self.numbers.setPlaceholderText("3, 10-20")
        self.numbers.setClearButtonEnabled(True)
        self.numbers.setToolTip("List only these components, counted from 0.")
        self.listed = QLabel()
        self.weights = WeightList()

    def _make_parts(self) -> None:
        self.nearest = NearestPart()
        self.random = RandomPart()
        self.morph = MorphPart()
        self.sections = [QCollapsible("Random faces"), QCollapsible("Morph")]
        for section, part in zip(self.sections, (self.random, self.morph), strict=True):
            fill_section(section, part)
        one, other = self.sections  # both at once are higher than small screens
        one.toggled.connect(lambda is_open: other.collapse(animate=False) if is_open else None)
        other.toggled.connect(lambda is_open: one.collapse(animate=False) if is_open else None)

    def _make_end(self) -> None:
        self.keep_button = button(
            "Keep", "Add the mixed face to the layer of generated faces.", self._desk.keep
        )
        self.save_button = button(
            "Save recipes...",
            "Write the weights of the selected stack of generated faces, or of the last one, "
            "as a table (CSV). The pictures are saved as any layer.",
            self._save_recipes,
        )
        self.cancel_button = button("Cancel", "Make no more faces (Esc).", self._desk.cancel)
        self.progress = QProgressBar()
        self.status = QLabel()
        self.status.setWordWrap(True)
        self.status.setTextFormat(Qt.TextFormat.PlainText)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.addWidget(self.steps)
        column.addLayout(_in_a_row(self.which, self.listed, stretched=self.which))
        only = QLabel("Only numbers")
        only.setBuddy(self.numbers)
        column.addLayout(_in_a_row(only, self.numbers))
        column.addWidget(self.weights, 1)
        column.addWidget(self.nearest)
        for section in self.sections:
            column.addWidget(section)
        column.addLayout(_in_a_row(self.keep_button, self.save_button))
        column.addLayout(_in_a_row(self.progress, self.cancel_button))
        column.addWidget(self.status)
        settle(self)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Bring all faces into view, once the panel has taken its part of the window."""
        super().showEvent(event)
        if not self._was_shown:
            self._was_shown = True
            QTimer.singleShot(0, self._desk.bring_into_view)

    def _connect(self) -> None:
        desk, focus = self._desk, self._desk.focus
        desk.mix_replaced.connect(self._take_mix)
        desk.mix_changed.connect(self._show_weights)
        desk.made_progress.connect(self._show_progress)
        desk.making_ended.connect(self._sync)
        desk.told.connect(self._tell)
        desk.component_changed.connect(self.weights.mark)
        desk.face_changed.connect(self.morph.set_current)
        desk.nearest_ready.connect(self._show_nearest)
        self.weights.moved.connect(self._set_weight)
        self.weights.clicked.connect(focus.select_component)
        for part in (self.weights, self.morph):
            part.began.connect(self._begin)
            part.ended.connect(self._end)
        self.which.currentIndexChanged.connect(self._list)
        self.numbers.textChanged.connect(self._list)
        self.nearest.clicked.connect(self._go_to_nearest)
        self.random.random_wanted.connect(self._draw)
        self.random.generate_wanted.connect(self._generate)
        self.morph.moved.connect(desk.show_morph)
        self.morph.stack_wanted.connect(self._add_morph)

    # -- following -------------------------------------------------------------

    def _take_mix(self) -> None:
        """Show the sliders of another mix, or say that there is none."""
        mix, focus = self._desk.mix, self._desk.focus
        self.nearest.clear()
        self._nearest_face = None
        self.morph.set_current(focus.face)
        if mix is None:
            self.weights.set_model(np.empty((0, 1, 1)), np.empty((0, 2)))
            self.status.setText(_NO_MODEL)
        else:
            model = mix.model
            self.weights.set_model(model.components, weight_ranges(model), weight_units(model))
            self.morph.set_faces(len(model.weights), model.provenance.names)
            self.status.setText("")
            self._list()
            self.weights.mark(focus.component)
        self._show_weights()
        self._sync()

    def _list(self) -> None:
        """List the components that are asked for."""
        mix = self._desk.mix
        if mix is None:
            return
        which = str(self.which.currentData())
        found = listed(mix.model, mix.weights, which, self.numbers.text())
        self.weights.list_components(found)
        self.listed.setText(f"{len(found)} of {mix.model.n_components}")

    def _show_weights(self, _component: int | None = None) -> None:
        if self._desk.mix is not None:
            self.weights.set_weights(self._desk.mix.weights)
            self._timer.start()
        self.steps.sync()

    def _show_nearest(self) -> None:
        """Say which real face is nearest to the mixed one."""
        mix, found = self._desk.mix, self._desk.nearest()
        if mix is None or found is None:
            return
        if found.face != self._nearest_face:
            self._nearest_face = found.face
            self.nearest.show_face(*self._desk.face_picture(found.face))
        subjects = mix.model.provenance.subjects
        self.nearest.show_distance(
            self._desk.face_name(found.face),
            subjects[found.face] if subjects else None,
            found.distance,
            found.usual,
        )

    def _sync(self) -> None:
        """Bring buttons in line with what can be done."""
        has_model, is_making = self._desk.mix is not None, self._desk.is_making
        for each in (self.keep_button, self.save_button):
            each.setEnabled(has_model)
        for section in self.sections:
            section.setEnabled(has_model)
        for each in (
            self.random.random_button,
            self.random.generate_button,
            self.morph.stack_button,
        ):
            each.setEnabled(has_model and not is_making)
        self.progress.setVisible(is_making)
        self.cancel_button.setVisible(is_making)
        self.nearest.setVisible(has_model)
        self.steps.sync()

    # -- what the user does ----------------------------------------------------

    def _set_weight(self, component: int, weight: float) -> None:
        if self._desk.mix is not None:
            self._desk.mix.set_weight(component, weight)

    def _begin(self) -> None:
        if self._desk.mix is not None:
            self._desk.mix.begin()

    def _end(self) -> None:
        if self._desk.mix is not None:
            self._desk.mix.end()
        self.steps.sync()

    def _draw(self) -> None:
        self._desk.random_face(*self.random.choice)
        self._begin_making()

    def _generate(self) -> None:
        self._desk.generate(self.random.count.value(), *self.random.choice)
        self._begin_making()

    def _add_morph(self, a: int, b: int, frames: int) -> None:
        self._desk.add_morph(a, b, frames)
        self._begin_making()

    def _begin_making(self) -> None:
        self.progress.setRange(0, 0)  # busy, until the first faces are made
        self.status.setText("")
        self._sync()

    def _show_progress(self, done: int, total: int) -> None:
        show_progress(self.progress, done, total)

    def _tell(self, text: str) -> None:
        self.status.setText(text)

    def _go_to_nearest(self) -> None:
        if self._nearest_face is not None:
            self._desk.focus.go_to_face(self._nearest_face)

    def _save_recipes(self) -> None:
        if not self._desk.recipes:
            self.status.setText("There are no generated faces yet: press Keep or Generate.")
            return
        path, _ = QFileDialog.getSaveFileName(
            self, "Save recipes", "recipes.csv", "Tables (*.csv)"
        )
        if not path:
            return
        try:
            n = self._desk.save_recipes(path if path.endswith(".csv") else f"{path}.csv")
        except (OSError, ValueError) as error:
            show_error(harmless_lines(f"The recipes were not saved: {error}"))
        else:
            self.status.setText(f"Saved {n} recipe{'s' * (n != 1)}.")


def _in_a_row(*widgets: QWidget, stretched: QWidget | None = None) -> QHBoxLayout:
    row = QHBoxLayout()
    for each in widgets:
        row.addWidget(each, int(each is stretched))
    return row
