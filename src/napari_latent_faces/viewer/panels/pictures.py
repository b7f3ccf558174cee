"""Small pictures in panels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QAbstractListModel, QItemSelectionModel, QModelIndex, QSize, Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QListView, QSizePolicy, QWidget

from napari_latent_faces.viewer.images import (
    component_pixmap,
    to_fit,
    to_icon,
    to_image,
    to_pixmap,
)
from napari_latent_faces.viewer.menus import show_picture_menu

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from qtpy.QtGui import QContextMenuEvent, QIcon, QPixmap

__all__ = [
    "PictureStrip",
    "Portrait",
    "StripItem",
    "component_pixmap",
    "to_fit",
    "to_icon",
    "to_image",
    "to_pixmap",
]

# -- A row of small pictures with a word below each, of which one can be picked --------

_HEIGHT = 64  # of a picture, in the screen's own units
_WIDEST = 96
_ROLES = Qt.ItemDataRole
_NOWHERE = QModelIndex()


@dataclass(frozen=True, eq=False)
class StripItem:
    """One picture of a strip.

    Parameters
    ----------
    key : int
        What it stands for: a face or a component.
    pixels : array of shape (h, w)
        The picture.
    limits : tuple of float
        What is shown black and white.
    text : str
        Words below it, in at most two lines.
    hint : str
        Words shown under the mouse.
    is_signed : bool
        Whether it is from -1 to 1, in the two colours of signed components; `limits` are
        of no account then.
    """

    key: int
    pixels: NDArray[Any]
    limits: tuple[float, float]
    text: str
    hint: str = ""
    is_signed: bool = False

    def pixmap(self) -> QPixmap:
        """Return the picture to be drawn."""
        if self.is_signed:
            return component_pixmap(self.pixels, is_signed=True)
        return to_pixmap(self.pixels, self.limits)


class _StripModel(QAbstractListModel):
    """The items of a strip; a picture is drawn when it is first seen."""

    def __init__(self, size: QSize, ratio: float) -> None:
        super().__init__()
        self.items: list[StripItem] = []
        self._icons: dict[int, QIcon] = {}
        self._size = size
        self._ratio = ratio

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self.items)

    def data(self, index: QModelIndex, role: int = _ROLES.DisplayRole) -> Any:
        """Return text, picture or hint of an item."""
        if not 0 <= index.row() < len(self.items):
            return None
        item = self.items[index.row()]
        if role == _ROLES.DecorationRole:
            return self._icon(index.row())
        known = {
            _ROLES.DisplayRole: item.text,
            _ROLES.ToolTipRole: item.hint or item.text.replace("\n", ", "),
            _ROLES.AccessibleTextRole: item.hint or item.text,
            _ROLES.TextAlignmentRole: int(Qt.AlignmentFlag.AlignHCenter),
        }
        return known.get(_ROLES(role))

    def put(self, items: Sequence[StripItem]) -> None:
        """Replace all items; rows that stay keep their place, so that nothing scrolls."""
        old, new = len(self.items), len(items)
        self._icons.clear()
        if new > old:
            self.beginInsertRows(_NOWHERE, old, new - 1)
            self.items = list(items)
            self.endInsertRows()
        elif new < old:
            self.beginRemoveRows(_NOWHERE, new, old - 1)
            self.items = list(items)
            self.endRemoveRows()
        self.items = list(items)
        if new:
            self.dataChanged.emit(self.index(0), self.index(new - 1))

    def put_pixels(self, row: int, pixels: NDArray[Any]) -> None:
        """Replace the picture of one item."""
        self.items[row] = replace(self.items[row], pixels=pixels)
        self._icons.pop(row, None)
        self.dataChanged.emit(self.index(row), self.index(row), [_ROLES.DecorationRole])

    def _icon(self, row: int) -> QIcon:
        if row not in self._icons:
            item = self.items[row]
            pixmap = to_fit(item.pixmap(), self._size, self._ratio)
            self._icons[row] = to_icon(pixmap)
        return self._icons[row]


class PictureStrip(QListView):
    """Small pictures beside one another, to be scrolled sideways and picked from.

    However many there are, only those that are seen are drawn.

    Parameters
    ----------
    name : str
        What the strip shows, for screen readers.
    has_bar : bool
        Whether a scroll bar is shown; not needed where another strip's bar moves both.
    """

    picked = Signal(int)  # key of the item that was clicked, or entered from the keyboard
    menu_wanted = Signal(int, dict)  # key, and what can be done with it, to be filled in

    def __init__(self, name: str, *, has_bar: bool = True) -> None:
        super().__init__()
        self._has_bar = has_bar
        self.setAccessibleName(name)
        self._model = _StripModel(QSize(_WIDEST, _HEIGHT), self.devicePixelRatioF())
        self.setModel(self._model)
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(False)
        self.setMovement(QListView.Movement.Static)
        self.setResizeMode(QListView.ResizeMode.Fixed)
        self.setUniformItemSizes(True)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setIconSize(QSize(_WIDEST, _HEIGHT))
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        if not has_bar:
            self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._fit_cells(_WIDEST // 2)
        self.clicked.connect(self._on_activated)
        self.activated.connect(self._on_activated)

    @property
    def items(self) -> list[StripItem]:
        """The items that are shown."""
        return self._model.items

    @property
    def scroll_bar(self) -> Any:
        """The bar below the pictures."""
        return self.horizontalScrollBar()

    def put(self, items: Sequence[StripItem]) -> None:
        """Show other items; the row does not scroll."""
        if items:
            h, w = items[0].pixels.shape[:2]
            self._fit_cells(min(_WIDEST, round(_HEIGHT * w / h)))
        self._model.put(items)

    def put_pixels(self, key: int, pixels: NDArray[Any]) -> None:
        """Show another picture for what a key stands for, if it is in the strip."""
        for row, item in enumerate(self.items):
            if item.key == key:
                self._model.put_pixels(row, pixels)

    def mark(self, key: int | None) -> None:
        """Mark the item with a key as the current one, or none."""
        rows = [row for row, item in enumerate(self.items) if item.key == key]
        chosen: Any = self.selectionModel()
        if not rows:
            chosen.clear()
        else:
            index = self._model.index(rows[0])
            chosen.setCurrentIndex(index, QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def contextMenuEvent(self, event: QContextMenuEvent | None) -> None:
        """Show the menu of the picture under the mouse."""
        if event is not None and (index := self.indexAt(event.pos())).isValid():
            item = self.items[index.row()]
            pictures = {
                item.text.partition("\n")[0] or "picture": lambda: item.pixmap().toImage(),
                "this row": lambda: self.grab().toImage(),
            }
            more: dict[str, Callable[[], object]] = {}
            self.menu_wanted.emit(item.key, more)
            show_picture_menu(self, event.globalPos(), pictures, more)

    def _on_activated(self, index: QModelIndex) -> None:
        self.picked.emit(self.items[index.row()].key)

    def _fit_cells(self, width: int) -> None:
        """Make room for pictures of a width, and for two lines of words below them."""
        letters = self.fontMetrics()
        width = max(width, letters.horizontalAdvance("#000 00 %")) + 8
        size = QSize(width, _HEIGHT + 2 * letters.lineSpacing() + 12)
        if size != self.gridSize():
            self.setGridSize(size)
            bar = self.scroll_bar.sizeHint().height() if self._has_bar else 0
            self.setFixedHeight(size.height() + bar + 2 * self.frameWidth() + 2)


# -- A face beside its reconstruction, with what is known of it ------------------------

_PORTRAIT_HEIGHT = 92  # of a picture, in the screen's own units
_BREAK = "\N{ZERO WIDTH SPACE}"  # lets a long file name go on in the next line


class Portrait(QWidget):
    """Two pictures and a few words."""

    def __init__(self, height: int = _PORTRAIT_HEIGHT) -> None:
        super().__init__()
        self._height = height
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
            label.setMinimumHeight(height)
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

    def contextMenuEvent(self, event: QContextMenuEvent | None) -> None:
        """Show the menu of the pictures."""
        labels = {"face": self.face, "reconstruction": self.built}
        pictures = {
            what: lambda label=label: label.pixmap().toImage()
            for what, label in labels.items()
            if not label.isHidden()
        }
        if event is not None:
            show_picture_menu(self, event.globalPos(), pictures, {})

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
            round(self._height * ratio), Qt.TransformationMode.SmoothTransformation
        )
        pixmap.setDevicePixelRatio(ratio)
        label.setPixmap(pixmap)
