"""Small pictures in panels, and rows of which only those that are seen are made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, QSize, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHeaderView,
    QLabel,
    QListView,
    QSizePolicy,
    QTableView,
    QWidget,
)

from napari_latent_faces.viewer.canvas import (
    component_pixmap,
    show_picture_menu,
    to_fit,
    to_icon,
    to_pixmap,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from qtpy.QtGui import QIcon, QPixmap

    from napari_latent_faces.model import LatentFaces

# -- Rows of words and pictures ----------------------------------------------------------

_ROLES = Qt.ItemDataRole
_NOWHERE = QModelIndex()


class Rows(QAbstractTableModel):
    """Sorted rows, of which Qt asks only those that are seen: 200,000 are as fast as 20."""

    heads: ClassVar[tuple[str, ...]] = ("",)

    def __init__(self, picture_size: QSize | None = None, ratio: float = 1.0) -> None:
        super().__init__()
        self._picture_size, self._ratio = picture_size or QSize(), ratio
        self._order = np.arange(0)
        self.icons: dict[tuple[int, int], QIcon | None] = {}  # those that were seen

    # -- what a subclass knows of its rows ---------------------------------------

    def cell(self, row: int, column: int, role: int) -> Any:
        raise NotImplementedError

    def picture(self, row: int, column: int) -> QPixmap | None:  # noqa: ARG002
        return None

    def keys(self, column: int) -> NDArray[Any]:
        """Return the numbers that rows are sorted by."""
        raise NotImplementedError

    # -- what a view asks --------------------------------------------------------

    def put(self, n: int) -> None:
        self.beginResetModel()
        self._order = np.arange(n)
        self.icons.clear()
        self.endResetModel()

    def row_at(self, place: int) -> int:
        return int(self._order[place])

    def place_of(self, row: int) -> int:
        return int(np.flatnonzero(self._order == row)[0])

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self.heads)

    def data(self, index: QModelIndex, role: int = _ROLES.DisplayRole) -> Any:
        if not 0 <= index.row() < len(self._order):
            return None
        key = row, column = self.row_at(index.row()), index.column()
        if role != _ROLES.DecorationRole:
            return self.cell(row, column, role)
        if key not in self.icons:
            picture = self.picture(row, column)
            if picture is not None:
                picture = to_fit(picture, self._picture_size, self._ratio)
            self.icons[key] = None if picture is None else to_icon(picture)
        return self.icons[key]

    def headerData(self, section: int, orientation: Any, role: int = _ROLES.DisplayRole) -> Any:
        is_head = role == _ROLES.DisplayRole and orientation == Qt.Orientation.Horizontal
        return self.heads[section] if is_head else None

    def sort(self, column: int, order: Any = Qt.SortOrder.AscendingOrder) -> None:
        self.layoutAboutToBeChanged.emit()
        chosen = self.persistentIndexList()
        rows = [self.row_at(each.row()) for each in chosen]
        keys = self.keys(column)
        keys = -keys if order == Qt.SortOrder.DescendingOrder else keys
        self._order = np.argsort(keys, kind="stable")
        moved = [
            self.index(self.place_of(row), each.column())
            for row, each in zip(rows, chosen, strict=True)
        ]
        self.changePersistentIndexList(chosen, moved)
        self.layoutChanged.emit()


class RowsView(QTableView):
    """A table of rows of one height, of which one is chosen; a click on a head sorts."""

    def __init__(self, height: int) -> None:
        super().__init__()
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setSortingEnabled(True)
        # Tab goes on to the next field, arrow keys through rows
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(False)
        rows: Any = self.verticalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)  # else Qt asks each row
        rows.setDefaultSectionSize(height)


# -- A row of small pictures with a word below each, of which one can be picked ----------

_HEIGHT = 64  # of a picture, in the screen's own units
_WIDEST = 96


@dataclass(frozen=True, eq=False)
class StripItem:
    """One picture of a strip."""

    key: int  # what it stands for: a face or a component
    pixels: NDArray[Any]
    limits: tuple[float, float]  # what is shown black and white
    text: str  # below it, in at most two lines
    hint: str = ""  # under the mouse
    is_signed: bool = False  # from -1 to 1, in two colours, whatever the limits

    def pixmap(self) -> QPixmap:
        if self.is_signed:
            return component_pixmap(self.pixels, is_signed=True)
        return to_pixmap(self.pixels, self.limits)


class _Items(Rows):
    items: Sequence[StripItem] = ()

    def cell(self, row: int, column: int, role: int) -> Any:  # noqa: ARG002
        item = self.items[row]
        known = {
            _ROLES.DisplayRole: item.text,
            _ROLES.ToolTipRole: item.hint or item.text.replace("\n", ", "),
            _ROLES.AccessibleTextRole: item.hint or item.text,
            _ROLES.TextAlignmentRole: int(Qt.AlignmentFlag.AlignHCenter),
        }
        return known.get(_ROLES(role))

    def picture(self, row: int, column: int) -> QPixmap:  # noqa: ARG002
        return self.items[row].pixmap()


class PictureStrip(QListView):
    """Small pictures beside one another, to be scrolled sideways and picked from.

    `name` is for screen readers. It has no bar where another strip's bar moves both.
    """

    picked = Signal(int)  # key of the item that was clicked, or entered from the keyboard
    menu_wanted = Signal(int, dict)  # key, and what can be done with it, to be filled in

    def __init__(self, name: str, *, has_bar: bool = True) -> None:
        super().__init__()
        self._has_bar = has_bar
        self.setAccessibleName(name)
        self._model = _Items(QSize(_WIDEST, _HEIGHT), self.devicePixelRatioF())
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
        self.clicked.connect(self._pick)
        self.activated.connect(self._pick)

    @property
    def items(self) -> Sequence[StripItem]:
        return self._model.items

    @property
    def scroll_bar(self) -> Any:
        return self.horizontalScrollBar()

    def put(self, items: Sequence[StripItem]) -> None:
        """Show other items; the row does not scroll."""
        if items:
            h, w = items[0].pixels.shape[:2]
            self._fit_cells(min(_WIDEST, round(_HEIGHT * w / h)))
        place = self.scroll_bar.value()
        self._model.items = list(items)
        self._model.put(len(items))
        self.doItemsLayout()  # type: ignore[attr-defined]  # the stubs do not know it
        self.scroll_bar.setValue(place)

    def put_pixels(self, key: int, pixels: NDArray[Any]) -> None:
        """Show another picture for what a key stands for, if it is in the strip."""
        for row, item in enumerate(self.items):
            if item.key == key:
                self._model.items[row] = replace(item, pixels=pixels)  # type: ignore[index]
                self._model.icons.pop((row, 0), None)
                here = self._model.index(row, 0)
                self._model.dataChanged.emit(here, here, [_ROLES.DecorationRole])

    def mark(self, key: int | None) -> None:
        """Mark the item with a key as the current one, or none."""
        rows = [row for row, item in enumerate(self.items) if item.key == key]
        chosen: Any = self.selectionModel()
        chosen.clear()
        if rows:
            flags = QItemSelectionModel.SelectionFlag.ClearAndSelect
            chosen.setCurrentIndex(self._model.index(rows[0], 0), flags)

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self.scrollTo(self.currentIndex())  # else a narrower strip cuts what is marked

    def contextMenuEvent(self, event: Any) -> None:
        index = self.indexAt(event.pos())
        if index.isValid():
            item = self.items[index.row()]
            pictures = {
                item.text.partition("\n")[0] or "picture": lambda: item.pixmap().toImage(),
                "this row": lambda: self.grab().toImage(),
            }
            more: dict[str, Callable[[], object]] = {}
            self.menu_wanted.emit(item.key, more)
            show_picture_menu(self, event.globalPos(), pictures, more)

    def _pick(self, index: QModelIndex) -> None:
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


def limits_of(layer: Any, model: LatentFaces) -> tuple[float, float]:
    """Return what is black and white in pictures of a layer, in the units of a model."""
    if layer is None or layer.rgb:
        return 0.0, model.scale
    low, high = layer.contrast_limits
    return float(low), float(high)


# -- A face beside its reconstruction, with what is known of it --------------------------

_BREAK = "\N{ZERO WIDTH SPACE}"  # lets a long file name go on in the next line


class Portrait(QWidget):
    """Two pictures and a few words."""

    def __init__(
        self,
        height: int = 92,
        tips: tuple[str, str] = ("The face.", "What the model builds of it."),
    ) -> None:
        super().__init__()
        self._box = QSize(8 * height, height)
        self.face, self.built, self.words = QLabel(), QLabel(), QLabel()
        self.words.setWordWrap(True)
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for column, (label, tip) in enumerate(zip((self.face, self.built), tips, strict=True)):
            label.setToolTip(tip)
            label.setMinimumHeight(height)
            layout.addWidget(label, 0, column, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.words, 0, 2)
        layout.setColumnStretch(2, 1)

    def show_pictures(
        self, face: NDArray[Any] | None, built: NDArray[Any], limits: tuple[float, float]
    ) -> None:
        """Show a face, if it is known, and its reconstruction, in the same units."""
        self.face.setVisible(face is not None)
        for label, pixels in ((self.face, face), (self.built, built)):
            if pixels is not None:
                ratio = self.devicePixelRatioF()
                label.setPixmap(to_fit(to_pixmap(pixels, limits), self._box, ratio))

    def show_words(self, lines: list[str]) -> None:
        """Show some lines, the first one as a title."""
        title, *rest = lines
        for mark in "/_-.":
            title = title.replace(mark, mark + _BREAK)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.words.setText("\n".join([title, *rest]))

    def contextMenuEvent(self, event: Any) -> None:
        labels = {"face": self.face, "reconstruction": self.built}
        pictures = {
            what: lambda label=label: label.pixmap().toImage()
            for what, label in labels.items()
            if not label.isHidden()
        }
        show_picture_menu(self, event.globalPos(), pictures, {})
