"""The panel that mixes new faces from components."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt
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

from napari_latent_faces.mixing import Mix, listed, weight_ranges, weight_units
from napari_latent_faces.viewer.canvas import to_fit, to_pixmap
from napari_latent_faces.viewer.mixing import MixingDesk, open_desk
from napari_latent_faces.viewer.panels.form import Section, button, in_a_row
from napari_latent_faces.viewer.panels.panel import NO_MODEL, Panel, timer
from napari_latent_faces.viewer.panels.weights import JumpSlider, WeightList

if TYPE_CHECKING:
    from collections.abc import Callable

# -- The parts of the mixer: where a mix starts, the nearest face, chance, and morphs ----

_PICTURE = 64  # pixels
_LARGEST = 2**31 - 1
_MOST_FACES = 10_000
_WAY = 200  # steps of the morph's slider


def _button(text: str, tip: str, pressed: Callable[..., object]) -> QPushButton:
    made: QPushButton = button(text, tip, pressed).native
    return made


def _count(low: int, high: int, value: int, tip: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(low, high)
    box.setValue(value)
    box.setToolTip(tip)
    return box


def _choice(tip: str, *entries: tuple[str, str]) -> QComboBox:
    box = QComboBox()
    box.setToolTip(tip)
    for words, value in entries:
        box.addItem(words, value)
    return box


def _on_mix(desk: MixingDesk, action: Callable[[Mix], object]) -> Callable[..., None]:
    """Return what does something with the mix, if there is one."""

    def act(*_: Any) -> None:
        if desk.mix is not None:
            action(desk.mix)

    return act


class StepsPart(QWidget):
    """Buttons that start a mix, and take its steps back and again."""

    def __init__(self, desk: MixingDesk) -> None:
        super().__init__()
        self._desk = desk
        self.undo, self.redo = _on_mix(desk, Mix.undo), _on_mix(desk, Mix.redo)
        self.starts = [
            _button(words, tip, lambda _checked, what=what: desk.start_from(what))
            for what, words, tip in (
                ("face", "Current face", "Start from the face under the slider."),
                ("mean", "Mean face", "Start from the mean of all faces."),
                ("nothing", "Nothing", "Start from black."),
            )
        ]
        self.undo_button = _button("Undo", "Take the last step back (Ctrl+Z).", self.undo)
        self.redo_button = _button("Redo", "Take it again (Ctrl+Shift+Z).", self.redo)
        self.reset_button = _button(
            "Reset", "Go back to where the mix started.", _on_mix(desk, Mix.reset)
        )
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(QLabel("Start from"), 0, 0, 1, 3)
        steps = (self.undo_button, self.redo_button, self.reset_button)
        for row, buttons in enumerate((self.starts, steps), 1):  # as Tab goes through them
            for column, each in enumerate(buttons):
                grid.addWidget(each, row, column)

    def sync(self) -> None:
        mix = self._desk.mix
        for each in (*self.starts, self.reset_button):
            each.setEnabled(mix is not None)
        # where all weights of 0 are the mean face, there is no black to start from
        self.starts[-1].setHidden(mix is not None and mix.model.mean is not None)
        self.undo_button.setEnabled(mix is not None and mix.can_undo)
        self.redo_button.setEnabled(mix is not None and mix.can_redo)


class NearestPart(QWidget):
    """Shows the real face that is nearest to the mixed one, and how near it is."""

    def __init__(self, desk: MixingDesk) -> None:
        super().__init__()
        self._desk = desk
        self._face: int | None = None
        self.picture, self.text = QLabel(), QLabel()
        self.picture.setFixedSize(_PICTURE, _PICTURE)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.text.setWordWrap(True)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.picture)
        layout.addWidget(self.text, 1)
        self.setToolTip(
            "The face of the model whose reconstruction differs least from the mixed face: "
            "root of the mean squared difference of their pixels. Click to go to it."
        )

    def look(self) -> None:
        mix, found = self._desk.mix, self._desk.nearest()
        if mix is None or found is None:
            return
        if found.face != self._face:
            self._face = found.face
            picture = to_pixmap(*self._desk.face_picture(found.face))
            box, ratio = self.picture.size(), self.devicePixelRatioF()
            self.picture.setPixmap(to_fit(picture, box, ratio))
        lines = [f"Nearest real face: {self._desk.face_name(found.face)}"]
        if mix.model.provenance.subjects:
            lines.append(f"Subject {mix.model.provenance.subjects[found.face]}")
        lines.append(f"{_short(found.distance)} grey values away")
        if math.isfinite(found.usual):
            lines.append(f"(real faces from each other: {_short(found.usual)})")
        self.text.setText("\n".join(lines))

    def clear(self) -> None:
        self._face = None
        self.picture.clear()
        self.text.setText("Nearest real face: ...")

    def mousePressEvent(self, event: Any) -> None:
        super().mousePressEvent(event)
        if self._face is not None:
            self._desk.session.go_to_face(self._face)


def _short(distance: float) -> str:
    """Return a distance in about three digits, nearly nothing as 0."""
    return "0" if distance < 1e-4 else f"{distance:.3g}"


class RandomPart(QWidget):
    """Seed, number, and what random faces stay close to."""

    def __init__(self, desk: MixingDesk) -> None:
        super().__init__()
        self._desk = desk
        self.seed = _count(0, _LARGEST, 0, "The same seed gives the same faces.")
        self.near = _choice(
            "Whose weights the random ones resemble: nobody's, those of the face under the "
            "slider, or those of the mixed face.",
            ("no face", ""),
            ("the current face", "face"),
            ("the mixed face", "mix"),
        )
        self.strength = QDoubleSpinBox()
        self.strength.setRange(0, 1)
        self.strength.setSingleStep(0.05)
        self.strength.setValue(0.7)
        self.strength.setToolTip("0: any face; 1: that face itself.")
        strength = self.strength
        strength.setEnabled(False)
        self.near.currentIndexChanged.connect(lambda row: strength.setEnabled(row > 0))
        self.count = _count(1, _MOST_FACES, 20, "How many faces Generate makes.")
        self.random_button = _button(
            "Random face", "Draw a face, and start from it.", self._draw
        )
        self.generate_button = _button(
            "Generate", "Add so many random faces to the generated ones.", self._generate
        )
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Stay close to", self.near)
        form.addRow("How close", self.strength)
        form.addRow("Seed", in_a_row(self.seed, self.random_button))
        form.addRow("Faces", in_a_row(self.count, self.generate_button))

    @property
    def choice(self) -> tuple[int, str, float]:
        return self.seed.value(), str(self.near.currentData()), self.strength.value()

    def _draw(self) -> None:
        self._desk.random_face(*self.choice)
        self.seed.setValue((self.seed.value() + 1) % _LARGEST)  # another face the next time

    def _generate(self) -> None:
        self._desk.generate(self.count.value(), *self.choice)


class MorphPart(QWidget):
    """Two faces, a slider between them, and the number of frames of a stack."""

    def __init__(self, desk: MixingDesk) -> None:
        super().__init__()
        self._desk = desk
        tip = "Number of the face on the face slider."
        self.faces = _count(0, 0, 0, tip), _count(0, 0, 0, tip)
        self.labels = QLabel(), QLabel()
        self.way = JumpSlider(Qt.Orientation.Horizontal)
        self.way.setRange(0, _WAY)
        self.way.setToolTip("How far the mix is from the first face to the second.")
        self.frames = _count(
            2, _MOST_FACES, 30, "How many faces the morph has, both ends included."
        )
        self.stack_button = _button(
            "Add frames", "Add the faces between the two as a layer.", self._add_frames
        )
        here = [
            _button(
                "Current",
                "The face under the slider.",
                lambda _checked, box=box: self._set_current(box),
            )
            for box in self.faces
        ]
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        for title, box, current, label in zip(
            ("From", "To"), self.faces, here, self.labels, strict=True
        ):
            box.valueChanged.connect(self._show_names)
            form.addRow(title, in_a_row(box, current))
            form.addRow("", label)
        form.addRow("Mix", self.way)
        form.addRow("Frames", in_a_row(self.frames, self.stack_button))
        self.way.valueChanged.connect(self._on_way)

    def take_model(self) -> None:
        """Begin with the first and the last face of another model."""
        last = len(self._desk.mix.model.weights) - 1 if self._desk.mix is not None else 0
        for box, value in zip(self.faces, (0, last), strict=True):
            with QSignalBlocker(box):
                box.setRange(0, last)
                box.setValue(value)
        with QSignalBlocker(self.way):
            self.way.setValue(0)
        self._show_names()

    def _set_current(self, box: QSpinBox) -> None:
        if self._desk.session.face is not None:
            box.setValue(self._desk.session.face)

    def _show_names(self) -> None:
        for box, label in zip(self.faces, self.labels, strict=True):
            label.setText(self._desk.face_name(box.value()))

    def _on_way(self, step: int) -> None:
        a, b = (box.value() for box in self.faces)
        self._desk.show_morph(a, b, step / _WAY)

    def _add_frames(self) -> None:
        a, b = (box.value() for box in self.faces)
        self._desk.add_morph(a, b, self.frames.value())


# -- The dock widget -------------------------------------------------------------------

_PAUSE = 60  # milliseconds without a change before the nearest face is looked for


class MixerWidget(Panel):
    """Sliders for the components of a model; the mixed face is a layer."""

    page = "mix-faces"
    cancel_tip = "Make no more faces (Esc)."

    def _lay_out(self) -> None:
        self.desk = desk = open_desk(self.viewer)
        self.at_end(desk.close)
        self._was_shown = False
        self._marked: int | None = None  # the component that is set off
        self.which = _choice(
            "What matters: the fewest components that carry nine tenths of the face that "
            "the mix started from.",
            ("What matters here", "matter"),
            ("What is used here", "used"),
            ("All components", "all"),
        )
        self.numbers = QLineEdit()
        self.numbers.setPlaceholderText("3, 10-20")
        self.numbers.setClearButtonEnabled(True)
        self.numbers.setToolTip("List only these components, counted from 0.")
        self.listed = QLabel()
        self.weights = WeightList()
        self.keep_button = _button(
            "Keep", "Add the mixed face to the layer of generated faces.", desk.keep
        )
        self.save_button = _button(
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
        self.steps, self.nearest = StepsPart(desk), NearestPart(desk)
        self.random, self.morph = RandomPart(desk), MorphPart(desk)
        self.sections = [Section("Random faces", self.random), Section("Morph", self.morph)]
        only = QLabel("Only numbers")
        only.setBuddy(self.numbers)
        self.add(self.steps)
        self.add(in_a_row(self.which, self.listed, stretched=self.which))
        self.add(in_a_row(only, self.numbers))
        self.add(self.weights, 1)
        for each in (self.nearest, *self.sections):
            self.add(each)
        self.add_controls(self.keep_button, self.save_button, self.on_slider)
        self._look_soon = timer(self, self.nearest.look, _PAUSE)

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        if not self._was_shown:  # all faces into view, once it has its part of the window
            self._was_shown = True
            if self.desk.mix is not None:
                timer(self, self.session.show_all).start()

    def _connect(self) -> None:
        super()._connect()
        desk = self.desk
        for signal, slot in (  # other panels may share the desk, which outlives this one
            (desk.mix_replaced, self._take_mix),
            (desk.mix_changed, self._show_weights),
            (desk.making_began, self._begin_making),
            (desk.made_progress, self.show_progress),
            (desk.making_ended, self.synchronize),
            (desk.told, self._tell),
            (desk.nearest_ready, self.nearest.look),
        ):
            self.listen(signal, slot)
        self.weights.moved.connect(self._set_weight)
        self.weights.clicked.connect(self.session.select_component)
        begin = _on_mix(desk, Mix.begin)
        for began, ended in (
            (self.weights.began, self.weights.ended),
            (self.morph.way.sliderPressed, self.morph.way.sliderReleased),
        ):
            began.connect(begin)
            ended.connect(self._end)
        self.which.currentIndexChanged.connect(self._list)
        self.numbers.textChanged.connect(self._list)
        self.on_slider.toggled.connect(self._show_as_stack)
        self.on_key(QKeySequence.StandardKey.Undo, self.steps.undo)
        self.on_key(QKeySequence.StandardKey.Redo, self.steps.redo)
        self._take_mix()

    @property
    def is_working(self) -> bool:
        """Whether faces are being made in a thread."""
        return self.desk.is_making

    def cancel(self) -> None:
        self.desk.cancel()

    def _what_is_missing(self) -> str:
        return NO_MODEL if self.desk.mix is None else ""

    # -- following -------------------------------------------------------------

    def _take_mix(self) -> None:
        """Show the sliders of another mix, or say that there is none."""
        mix = self.desk.mix
        self.nearest.clear()
        if mix is None:
            self.weights.set_model(np.empty((0, 1, 1)), np.empty((0, 2)))
        else:
            model = mix.model
            self.weights.set_model(model.components, weight_ranges(model), weight_units(model))
            self.morph.take_model()
            self._list()
            self.weights.mark(self._marked)
        self._show_weights()
        self.synchronize()

    def _list(self) -> None:
        mix = self.desk.mix
        if mix is not None:
            which = str(self.which.currentData())
            found = listed(mix.model, mix.weights, which, self.numbers.text())
            self.weights.list_components(found)
            self.listed.setText(f"{len(found)} of {mix.model.n_components}")

    def _show_weights(self, _component: int | None = None) -> None:
        if self.desk.mix is not None:
            self.weights.set_weights(self.desk.mix.weights)
            self._look_soon.start()
        self.steps.sync()

    def synchronize(self) -> None:
        super().synchronize()
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
        if self.session.component != self._marked:
            self._marked = self.session.component
            self.weights.mark(self._marked)
        with QSignalBlocker(self.on_slider):
            self.on_slider.setChecked(self.desk.as_stack)
        self.steps.sync()

    # -- what the user does ----------------------------------------------------

    def _set_weight(self, component: int, weight: float) -> None:
        if self.desk.mix is not None:
            self.desk.mix.set_weight(component, weight)

    def _end(self) -> None:
        if self.desk.mix is not None:
            self.desk.mix.end()
        self.steps.sync()

    def _begin_making(self) -> None:
        self.show_progress(0, 1)
        self._tell("")
        self.synchronize()

    def _tell(self, text: str) -> None:
        self.status.value = text

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
