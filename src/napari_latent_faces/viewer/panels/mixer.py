"""The panel that mixes new faces from components."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_latent_faces.mixing import listed, weight_ranges, weight_units
from napari_latent_faces.viewer.mixing import MixingDesk
from napari_latent_faces.viewer.panels.form import Section, in_a_row
from napari_latent_faces.viewer.panels.panel import NO_MODEL, Panel, on_key
from napari_latent_faces.viewer.panels.pictures import to_fit, to_pixmap
from napari_latent_faces.viewer.panels.weights import JumpSlider, WeightList

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtGui import QShowEvent

__all__ = ["MixerWidget", "MorphPart", "NearestPart", "RandomPart", "StepsPart", "button"]

# -- The parts of the mixer below its sliders: the nearest face, chance, and morphs ----

_PICTURE = 64  # pixels
_LARGEST = 2**31 - 1
_MOST_FACES = 10_000
_WAY = 200  # steps of the morph's slider


def button(text: str, tip: str, pressed: Any) -> QPushButton:
    """Return a button that does something.

    `pressed` is connected as it is: around a panel's method, a function would keep the panel
    alive with PySide when it is closed.
    """
    made = QPushButton(text)
    made.setToolTip(tip)
    made.clicked.connect(pressed)
    return made


class NearestPart(QWidget):
    """Shows the real face that is nearest to the mixed one, and how near it is."""

    clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.picture, self.text = QLabel(), QLabel()
        self.picture.setFixedSize(_PICTURE, _PICTURE)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.picture)
        layout.addWidget(self.text, 1)
        self.setToolTip(
            "The face of the model whose reconstruction differs least from the mixed face: "
            "root of the mean squared difference of their pixels. Click to go to it."
        )

    def show_face(self, pixels: NDArray[Any], limits: tuple[float, float]) -> None:
        """Show the picture of a face, shape (h, w)."""
        box, ratio = self.picture.size(), self.devicePixelRatioF()
        self.picture.setPixmap(to_fit(to_pixmap(pixels, limits), box, ratio))

    def show_distance(
        self, name: str, subject: str | None, distance: float, usual: float
    ) -> None:
        """Say which face it is, and how near."""
        lines = [f"Nearest real face: {name}"]
        if subject:
            lines.append(f"Subject {subject}")
        lines.append(f"{_short(distance)} grey values away")
        if math.isfinite(usual):
            lines.append(f"(real faces from each other: {_short(usual)})")
        self.text.setText("\n".join(lines))

    def clear(self) -> None:
        """Show nothing."""
        self.picture.clear()
        self.text.setText("Nearest real face: ...")

    def mousePressEvent(self, event: Any) -> None:
        """Tell of a click."""
        super().mousePressEvent(event)
        self.clicked.emit()


def _short(distance: float) -> str:
    """Return a distance in about three digits, nearly nothing as 0."""
    return "0" if distance < 1e-4 else f"{distance:.3g}"


class RandomPart(QWidget):
    """Seed, number, and what random faces stay close to."""

    random_wanted = Signal()
    generate_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.seed = QSpinBox()
        self.seed.setRange(0, _LARGEST)
        self.seed.setToolTip("The same seed gives the same faces.")
        self.near = QComboBox()
        for words, value in (
            ("no face", ""),
            ("the current face", "face"),
            ("the mixed face", "mix"),
        ):
            self.near.addItem(words, value)
        self.near.setToolTip(
            "Whose weights the random ones resemble: nobody's, those of the face under the "
            "slider, or those of the mixed face."
        )
        self.strength = QDoubleSpinBox()
        self.strength.setRange(0, 1)
        self.strength.setSingleStep(0.05)
        self.strength.setValue(0.7)
        self.strength.setToolTip("0: any face; 1: that face itself.")
        self.near.currentIndexChanged.connect(self._sync)
        self.count = QSpinBox()
        self.count.setRange(1, _MOST_FACES)
        self.count.setValue(20)
        self.count.setToolTip("How many faces Generate makes.")
        self.random_button = button(
            "Random face", "Draw a face, and start from it.", self._draw_next
        )
        self.generate_button = button(
            "Generate",
            "Add so many random faces to the generated ones.",
            self.generate_wanted,
        )
        self._lay_out()
        self._sync()

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Stay close to", self.near)
        form.addRow("How close", self.strength)
        form.addRow("Seed", in_a_row(self.seed, self.random_button))
        form.addRow("Faces", in_a_row(self.count, self.generate_button))

    @property
    def choice(self) -> tuple[int, str, float]:
        """Seed, what to stay close to, and how close."""
        return self.seed.value(), str(self.near.currentData()), self.strength.value()

    def _draw_next(self) -> None:
        self.random_wanted.emit()
        self.seed.setValue((self.seed.value() + 1) % _LARGEST)  # another face the next time

    def _sync(self) -> None:
        self.strength.setEnabled(bool(self.near.currentData()))


class MorphPart(QWidget):
    """Two faces, a slider between them, and the number of frames of a stack."""

    moved = Signal(int, int, float)  # faces, and how far from one to the other
    began = Signal()
    ended = Signal()
    stack_wanted = Signal(int, int, int)  # faces and frames

    def __init__(self) -> None:
        super().__init__()
        self._names: tuple[str, ...] = ()
        self._current: int | None = None
        self.faces = QSpinBox(), QSpinBox()
        self.labels = QLabel(), QLabel()
        self.way = JumpSlider(Qt.Orientation.Horizontal)
        self.way.setRange(0, _WAY)
        self.way.setToolTip("How far the mix is from the first face to the second.")
        self.frames = QSpinBox()
        self.frames.setRange(2, _MOST_FACES)
        self.frames.setValue(30)
        self.frames.setToolTip("How many faces the morph has, both ends included.")
        self.stack_button = button(
            "Add frames", "Add the faces between the two as a layer.", self._want_stack
        )
        self._lay_out()
        for box, label in zip(self.faces, self.labels, strict=True):
            box.setToolTip("Number of the face on the face slider.")
            label.setTextFormat(Qt.TextFormat.PlainText)
            box.valueChanged.connect(self._show_names)
        self.way.valueChanged.connect(self._on_way)
        self.way.sliderPressed.connect(self.began)
        self.way.sliderReleased.connect(self.ended)

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        for title, box, label in zip(("From", "To"), self.faces, self.labels, strict=True):
            here = button(
                "Current",
                "The face under the slider.",
                lambda _checked, box=box: self._set_current(box),
            )
            form.addRow(title, in_a_row(box, here))
            form.addRow("", label)
        form.addRow("Mix", self.way)
        form.addRow("Frames", in_a_row(self.frames, self.stack_button))

    def set_faces(self, n: int, names: tuple[str, ...]) -> None:
        """Take the faces of another model."""
        self._names = names
        for box, value in zip(self.faces, (0, n - 1), strict=True):
            with QSignalBlocker(box):
                box.setRange(0, max(0, n - 1))
                box.setValue(value)
        with QSignalBlocker(self.way):
            self.way.setValue(0)
        self._show_names()

    def set_current(self, face: int | None) -> None:
        """Remember the face under the slider."""
        self._current = face

    def _set_current(self, box: QSpinBox) -> None:
        if self._current is not None:
            box.setValue(self._current)

    def _show_names(self) -> None:
        for box, label in zip(self.faces, self.labels, strict=True):
            face = box.value()
            label.setText(self._names[face] if face < len(self._names) else f"face {face}")

    def _on_way(self, step: int) -> None:
        a, b = (box.value() for box in self.faces)
        self.moved.emit(a, b, step / _WAY)

    def _want_stack(self) -> None:
        a, b = (box.value() for box in self.faces)
        self.stack_wanted.emit(a, b, self.frames.value())


# -- The part of the mixer above its sliders: where a mix starts, and the way back -----


class StepsPart(QWidget):
    """Buttons that start a mix, and take its steps back and again.

    Parameters
    ----------
    desk : MixingDesk
        Has the mix.
    """

    def __init__(self, desk: MixingDesk) -> None:
        super().__init__()
        self._desk = desk
        self.starts = [
            button(words, tip, lambda _checked, what=what: desk.start_from(what))
            for what, words, tip in (
                ("face", "Current face", "Start from the face under the slider."),
                ("mean", "Mean face", "Start from the mean of all faces."),
                ("nothing", "Nothing", "Start from black."),
            )
        ]
        self.undo_button = button("Undo", "Take the last step back (Ctrl+Z).", self.undo)
        self.redo_button = button("Redo", "Take it again (Ctrl+Shift+Z).", self.redo)
        self.reset_button = button("Reset", "Go back to where the mix started.", self._reset)
        self._lay_out()

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(QLabel("Start from"), 0, 0, 1, 3)
        for at, each in enumerate(self.starts):
            grid.addWidget(each, 1, at)
        for at, each in enumerate((self.undo_button, self.redo_button, self.reset_button)):
            grid.addWidget(each, 2, at)

    def sync(self) -> None:
        """Bring the buttons in line with what can be done."""
        mix = self._desk.mix
        for each in (*self.starts, self.reset_button):
            each.setEnabled(mix is not None)
        # where all weights of 0 are the mean face, there is no black to start from
        self.starts[-1].setHidden(mix is not None and mix.model.mean is not None)
        self.undo_button.setEnabled(mix is not None and mix.can_undo)
        self.redo_button.setEnabled(mix is not None and mix.can_redo)

    def undo(self) -> None:
        """Take the last step back."""
        if self._desk.mix is not None:
            self._desk.mix.undo()

    def redo(self) -> None:
        """Take it again."""
        if self._desk.mix is not None:
            self._desk.mix.redo()

    def _reset(self) -> None:
        if self._desk.mix is not None:
            self._desk.mix.reset()


# -- The dock widget that mixes new faces from components ------------------------------

_PAUSE = 60  # milliseconds without a change before the nearest face is looked for


class MixerWidget(Panel):
    """Sliders for the components of a model; the mixed face is a layer.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer whose model is mixed from.
    """

    page = "mix-faces"
    cancel_tip = "Make no more faces (Esc)."

    def _lay_out(self) -> None:
        self.desk = MixingDesk(self.viewer)
        self.at_end(self.desk.close)
        self._nearest_face: int | None = None
        self._was_shown = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PAUSE)
        self._timer.timeout.connect(self._show_nearest)
        self._make_list()
        self._make_end()
        self.steps = StepsPart(self.desk)
        self.nearest, self.random, self.morph = NearestPart(), RandomPart(), MorphPart()
        self.sections = [Section("Random faces", self.random), Section("Morph", self.morph)]
        self.add(self.steps)
        self.add(in_a_row(self.which, self.listed, stretched=self.which))
        only = QLabel("Only numbers")
        only.setBuddy(self.numbers)
        self.add(in_a_row(only, self.numbers))
        self.add(self.weights, 1)
        for each in (self.nearest, *self.sections):
            self.add(each)
        self.add_controls(self.keep_button, self.save_button, self.on_slider)

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

    def _make_end(self) -> None:
        self.keep_button = button(
            "Keep", "Add the mixed face to the layer of generated faces.", self.desk.keep
        )
        self.save_button = button(
            "Save recipes...",
            "Write the weights of the selected stack of generated faces, or of the last one, "
            "as a table (CSV). The pictures are saved as any layer.",
            self._save_recipes,
        )
        self.on_slider = QCheckBox("On the slider")
        self.on_slider.setToolTip(
            "Show generated faces and morphs one behind another on the face slider, not all at "
            "once on a sheet."
        )
        self.on_slider.toggled.connect(self._show_as_stack)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Bring all faces into view, once the panel has taken its part of the window."""
        super().showEvent(event)
        if not self._was_shown:
            self._was_shown = True
            QTimer.singleShot(0, self.desk.bring_into_view)

    def _connect(self) -> None:
        super()._connect()
        desk = self.desk
        desk.mix_replaced.connect(self._take_mix)
        desk.mix_changed.connect(self._show_weights)
        desk.made_progress.connect(self.show_progress)
        desk.making_ended.connect(self._sync)
        desk.told.connect(self._tell)
        desk.component_changed.connect(self.weights.mark)
        desk.face_changed.connect(self.morph.set_current)
        desk.nearest_ready.connect(self._show_nearest)
        self.weights.moved.connect(self._set_weight)
        self.weights.clicked.connect(self.focus.select_component)
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
        standard = QKeySequence.StandardKey
        on_key(self, standard.Undo, self.steps.undo)
        on_key(self, standard.Redo, self.steps.redo)
        self._take_mix()

    @property
    def is_working(self) -> bool:
        """Whether faces are being made in a thread."""
        return self.desk.is_making

    def cancel(self) -> None:
        """Make no more faces."""
        self.desk.cancel()

    def _what_is_missing(self) -> str:
        return NO_MODEL if self.desk.mix is None else ""

    # -- following -------------------------------------------------------------

    def _take_mix(self) -> None:
        """Show the sliders of another mix, or say that there is none."""
        mix, focus = self.desk.mix, self.focus
        self.nearest.clear()
        self._nearest_face = None
        self.morph.set_current(focus.face)
        if mix is None:
            self.weights.set_model(np.empty((0, 1, 1)), np.empty((0, 2)))
        else:
            model = mix.model
            self.weights.set_model(model.components, weight_ranges(model), weight_units(model))
            self.morph.set_faces(len(model.weights), model.provenance.names)
            self._list()
            self.weights.mark(focus.component)
        self._show_weights()
        self._sync()

    def _list(self) -> None:
        """List the components that are asked for."""
        mix = self.desk.mix
        if mix is None:
            return
        which = str(self.which.currentData())
        found = listed(mix.model, mix.weights, which, self.numbers.text())
        self.weights.list_components(found)
        self.listed.setText(f"{len(found)} of {mix.model.n_components}")

    def _show_weights(self, _component: int | None = None) -> None:
        if self.desk.mix is not None:
            self.weights.set_weights(self.desk.mix.weights)
            self._timer.start()
        self.steps.sync()

    def _show_nearest(self) -> None:
        """Say which real face is nearest to the mixed one."""
        mix, found = self.desk.mix, self.desk.nearest()
        if mix is None or found is None:
            return
        if found.face != self._nearest_face:
            self._nearest_face = found.face
            self.nearest.show_face(*self.desk.face_picture(found.face))
        subjects = mix.model.provenance.subjects
        self.nearest.show_distance(
            self.desk.face_name(found.face),
            subjects[found.face] if subjects else None,
            found.distance,
            found.usual,
        )

    def _sync(self, event: Any = None) -> None:
        super()._sync(event)
        has_model = self.desk.mix is not None
        for each in (self.keep_button, self.save_button, *self.sections):
            each.setEnabled(has_model)
        for each in (
            self.random.random_button,
            self.random.generate_button,
            self.morph.stack_button,
        ):
            each.setEnabled(has_model and not self.is_working)
        self.nearest.setVisible(has_model)
        self.steps.sync()

    # -- what the user does ----------------------------------------------------

    def _set_weight(self, component: int, weight: float) -> None:
        if self.desk.mix is not None:
            self.desk.mix.set_weight(component, weight)

    def _begin(self) -> None:
        if self.desk.mix is not None:
            self.desk.mix.begin()

    def _end(self) -> None:
        if self.desk.mix is not None:
            self.desk.mix.end()
        self.steps.sync()

    def _draw(self) -> None:
        self.desk.random_face(*self.random.choice)
        self._begin_making()

    def _generate(self) -> None:
        self.desk.generate(self.random.count.value(), *self.random.choice)
        self._begin_making()

    def _add_morph(self, a: int, b: int, frames: int) -> None:
        self.desk.add_morph(a, b, frames)
        self._begin_making()

    def _begin_making(self) -> None:
        self.show_progress(0, 1)
        self._tell("")
        self._sync()

    def _tell(self, text: str) -> None:
        self.status.value = text

    def _go_to_nearest(self) -> None:
        if self._nearest_face is not None:
            self.focus.go_to_face(self._nearest_face)

    def _show_as_stack(self, as_stack: bool) -> None:
        self.desk.as_stack = as_stack

    def _save_recipes(self) -> None:
        if not self.desk.recipes:
            self._tell("There are no generated faces yet: press Keep or Generate.")
            return
        path, _ = QFileDialog.getSaveFileName(
            self, "Save recipes", "recipes.csv", "Tables (*.csv)"
        )
        if not path:
            return
        try:
            n = self.desk.save_recipes(path if path.endswith(".csv") else f"{path}.csv")
        except (OSError, ValueError) as error:
            self.complain(f"The recipes were not saved: {error}")
        else:
            self._tell(f"Saved {n} recipe{'s' * (n != 1)}.")
