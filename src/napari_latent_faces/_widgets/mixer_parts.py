"""The parts of the mixer below its sliders: the nearest face, chance, and morphs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import (  # type: ignore[attr-defined]
    QSignalBlocker,
    Qt,
    Signal,
)
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QSpinBox,
    QWidget,
)

from napari_latent_faces._widgets.pictures import to_fit, to_pixmap

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MorphPart", "NearestPart", "RandomPart", "button"]

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


def _row(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for each in widgets:
        layout.addWidget(each)
    return row


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

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802
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
        form.addRow("Seed", _row(self.seed, self.random_button))
        form.addRow("Faces", _row(self.count, self.generate_button))

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
        self.way = QSlider(Qt.Orientation.Horizontal)
        self.way.setRange(0, _WAY)
        self.way.setToolTip("How far the mix is from the first face to the second.")
        self.frames = QSpinBox()
        self.frames.setRange(2, _MOST_FACES)
        self.frames.setValue(30)
        self.frames.setToolTip("How many faces the stack has, both ends included.")
        self.stack_button = button(
            "Add as stack", "Add the faces between the two as a layer.", self._want_stack
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
            form.addRow(title, _row(box, here))
            form.addRow("", label)
        form.addRow("Mix", self.way)
        form.addRow("Frames", _row(self.frames, self.stack_button))

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
