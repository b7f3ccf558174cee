"""A face beside its reconstruction, with what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from napari_latent_faces._widgets.pictures import to_pixmap

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Portrait"]

_HEIGHT = 92  # of a picture, in the screen's own units
_BREAK = "\N{ZERO WIDTH SPACE}"  # lets a long file name go on in the next line


class Portrait(QWidget):
    """Two pictures and a few words."""

    def __init__(self) -> None:
        super().__init__()
        self.face, self.built, self.words = QLabel(), QLabel(), QLabel()
        self.face.setToolTip("The face.")
        self.built.setToolTip("What the model builds of it.")
        self.words.setWordWrap(True)
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for column, label in enumerate((self.face, self.built)):
            label.setMinimumHeight(_HEIGHT)
            layout.addWidget(label, 0, column, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.words, 0, 2)
        layout.setColumnStretch(2, 1)

    def show_pictures(
        self,
        face: NDArray[Any] | None,
        built: NDArray[Any],
        limits: tuple[float, float],
    ) -> None:
        """Show a face, if it is known, and its reconstruction, in the same units."""
        self.face.setVisible(face is not None)
        if face is not None:
            self._show(self.face, face, limits)
        self._show(self.built, built, limits)

    def show_words(self, lines: list[str]) -> None:
        """Show some lines, the first one as a title."""
        title, *rest = lines
        for mark in "/_-.":
            title = title.replace(mark, mark + _BREAK)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.words.setText("\n".join([title, *rest]))

    def _show(self, label: QLabel, pixels: NDArray[Any], limits: tuple[float, float]) -> None:
        ratio = self.devicePixelRatioF()
        pixmap = to_pixmap(pixels, limits).scaledToHeight(
            round(_HEIGHT * ratio), Qt.TransformationMode.SmoothTransformation
        )
        pixmap.setDevicePixelRatio(ratio)
        label.setPixmap(pixmap)
