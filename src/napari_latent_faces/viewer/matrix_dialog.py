"""A dialog that asks where the faces are in a file of numbers, and shows what comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_latent_faces.params import LARGEST_SIDE
from napari_latent_faces.reading import read_faces
from napari_latent_faces.stack import harmless
from napari_latent_faces.tiles import montage, shrunk
from napari_latent_faces.viewer.canvas import to_fit, to_pixmap
from napari_latent_faces.viewer.jobs import QuietJob
from napari_latent_faces.viewer.layers import faces_layer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.reading.arrays.files import Variable

_ROWS, _COLUMNS = 2, 6
_PREVIEW = QSize(480, 220)
_PAUSE = 150  # milliseconds
_FOUND_OUT = "found out"
_ROWS_OR_COLUMNS = {"rows, or first axis": "rows", "columns, or last axis": "columns"}
_ORDERS = {"row by row (C, NumPy)": "C", "column by column (F, MATLAB)": "F"}


class MatrixDialog(QDialog):
    """Asks for variable, shape, axis and order, with some faces as they come out.

    It begins with `options`, and offers the `candidates` that may hold the faces.
    """

    def __init__(
        self,
        path: str,
        candidates: Sequence[Variable],
        why: str = "",
        options: Mapping[str, Any] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Faces in {harmless(Path(path).name)}")
        options = options or {}
        self._path = path
        self._job: QuietJob | None = None
        self._chosen: dict[str, Any] | None = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_PAUSE)
        self._soon.timeout.connect(self._look)
        variables = {str(each): each.name for each in candidates if each.name}
        self.variable = _choice(variables, options.get("variable"), found_out=not variables)
        self.sides = [_side(n) for n in options.get("shape") or (0, 0)]
        self.faces = _choice(_ROWS_OR_COLUMNS, options.get("faces"))
        self.order = _choice(_ORDERS, options.get("order"))
        self.preview = QLabel()
        self.preview.setMinimumSize(_PREVIEW)
        self.preview.setAlignment(Qt.AlignmentFlag.AlignCenter)
        reason, self.words = _text(why), _text("")
        reason.setVisible(bool(why))
        self.words.setMinimumHeight(3 * self.fontMetrics().lineSpacing())
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        buttons = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(buttons.Open | buttons.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)

        sides = QHBoxLayout()
        for widget in (self.sides[0], QLabel("x"), self.sides[1]):
            sides.addWidget(widget)
        form = QFormLayout()
        if variables:
            form.addRow("Variable", self.variable)
        form.addRow("Height x width", sides)
        form.addRow("Faces are", self.faces)
        form.addRow("Pixels come", self.order)
        layout = QVBoxLayout(self)
        layout.addWidget(reason)
        layout.addLayout(form)
        layout.addWidget(self.preview, 1)
        layout.addWidget(self.words)
        layout.addWidget(self.buttons)
        for box in (self.variable, self.faces, self.order):
            box.currentIndexChanged.connect(self._on_choice)
        for side in self.sides:
            side.valueChanged.connect(self._on_choice)
        self.finished.connect(self._stop)
        self._on_choice()

    def options(self) -> dict[str, Any]:
        """Return what was chosen, as `read_faces` takes it; what is found out is not in it."""
        shape = tuple(side.value() for side in self.sides)
        chosen = {
            "variable": self.variable.currentData(),
            "shape": shape if any(shape) else None,
            "faces": self.faces.currentData(),
            "order": self.order.currentData(),
        }
        return {name: value for name, value in chosen.items() if value is not None}

    def _on_choice(self) -> None:
        if self.options() == self._chosen:  # so that Enter in a number opens the faces
            return
        self._chosen = self.options()
        self._stop()
        self._allow(False)
        self.words.setText("Reading ...")
        self._soon.start()  # a number is typed digit by digit

    def _look(self) -> None:
        """Read some faces in a thread, in place of those that were read for other choices."""
        if 0 in self.options().get("shape", ()):
            self._tell("Give both height and width, or neither.")
            return
        self._job = QuietJob(_some_faces, self._path, self.options())
        self._job.returned.connect(self._show)
        self._job.failed.connect(self._tell)
        self._job.start()

    def _show(self, found: tuple[NDArray[Any], tuple[float, float], str]) -> None:
        pictures, limits, words = found
        picture = to_pixmap(pictures, limits)
        box = self.preview.size().expandedTo(_PREVIEW)
        self.preview.setPixmap(to_fit(picture, box, self.devicePixelRatioF()))
        self.words.setText(words)
        self._allow(True)

    def _tell(self, why: str) -> None:
        self.preview.clear()
        self.words.setText(why)

    def _allow(self, opening: bool) -> None:
        button = self.buttons.button(QDialogButtonBox.StandardButton.Open)
        assert button is not None
        button.setEnabled(opening)

    def _stop(self) -> None:
        self._soon.stop()
        if self._job is not None:
            self._job.abandon()
            self._job = None


def _side(value: int) -> QSpinBox:
    side = QSpinBox()
    side.setRange(0, LARGEST_SIDE)
    side.setSpecialValueText(_FOUND_OUT)
    side.setValue(value)
    side.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return side


def _choice(words: Mapping[str, str], value: str | None, found_out: bool = True) -> QComboBox:
    box = QComboBox()
    if found_out:
        box.addItem(_FOUND_OUT, None)
    for label, each in words.items():
        box.addItem(label, each)
    box.setCurrentIndex(max(0, box.findData(value)))
    return box


def _text(words: str) -> QLabel:
    label = QLabel(words)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    return label


def _some_faces(
    path: str, options: Mapping[str, Any]
) -> tuple[NDArray[Any], tuple[float, float], str]:
    """Return some faces beside one another, what is black and white, and what was decided."""
    stack = read_faces(path, lazy=True, **options)
    count = min(len(stack), _ROWS * _COLUMNS)
    chosen = np.linspace(0, len(stack) - 1, count).astype(int)
    pictures = np.stack([np.asarray(stack.images[int(i)]) for i in chosen])
    limits = faces_layer(stack, "")[1]["contrast_limits"]
    small = shrunk(pictures, 160, in_colour=stack.in_colour)
    return montage(small, min(count, _COLUMNS), limits[0]), limits, f"{stack.report.decided}."
