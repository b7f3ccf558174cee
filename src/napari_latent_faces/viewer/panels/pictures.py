"""Small pictures in panels: tables and strips of which only what is seen is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from psygnal import Signal
from qtpy import QtWidgets as QtW
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSize, Qt

from napari_latent_faces.viewer.canvas import (
    component_pixmap,
    show_picture_menu,
    to_fit,
    to_icon,
    to_pixmap,
)
from napari_latent_faces.viewer.panels.form import put

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from qtpy.QtGui import QIcon, QPixmap

    from napari_latent_faces.model import LatentFaces

    Limits = tuple[float, float]  # what is shown black and white

BREAK = "\N{ZERO WIDTH SPACE}"  # lets a long file name go on in the next line
_POLICY = QtW.QSizePolicy.Policy
_ROLES = Qt.ItemDataRole
_NOWHERE = QModelIndex()


class Column(NamedTuple):
    """What the cells of a column say and show, by row, and the numbers that it is sorted by."""

    text: Callable[[int], str]
    head: str = ""
    keys: NDArray[Any] = np.zeros(0)
    picture: Callable[[int], QPixmap | None] = lambda _row: None
    hint: Callable[[int], str | None] = lambda _row: None  # under the mouse
    side: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class Rows(QAbstractTableModel):
    """Sorted rows, of which Qt asks only those that are seen: 200,000 are as fast as 20."""

    def __init__(self, box: QSize, ratio: float) -> None:
        super().__init__()
        self._box, self._ratio = box, ratio  # of pictures
        self._columns: Sequence[Column] = ()
        self._order = np.arange(0)
        self.icons: dict[tuple[int, int], QIcon | None] = {}  # those that were seen

    def put(self, n: int, *columns: Column) -> None:
        self.beginResetModel()
        self._columns, self._order = columns, np.arange(n)
        self.icons.clear()
        self.endResetModel()

    def row_at(self, place: int) -> int:
        return int(self._order[place])

    def place_of(self, row: int) -> int:
        return int(np.flatnonzero(self._order == row)[0])

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: QModelIndex, role: int = _ROLES.DisplayRole) -> Any:
        if not 0 <= index.row() < len(self._order):
            return None
        key = row, place = self.row_at(index.row()), index.column()
        column = self._columns[place]
        if role == _ROLES.DecorationRole:
            if key not in self.icons:
                seen = column.picture(row)
                icon = None if seen is None else to_icon(to_fit(seen, self._box, self._ratio))
                self.icons[key] = icon
            return self.icons[key]
        if role == _ROLES.TextAlignmentRole:
            return int(column.side)
        if role == _ROLES.DisplayRole:
            return column.text(row)
        is_hint = role in {_ROLES.ToolTipRole, _ROLES.AccessibleTextRole}
        return column.hint(row) if is_hint else None

    def headerData(self, section: int, orientation: Any, role: int = _ROLES.DisplayRole) -> Any:
        is_head = role == _ROLES.DisplayRole and orientation == Qt.Orientation.Horizontal
        return self._columns[section].head if is_head else None

    def sort(self, column: int, order: Any = Qt.SortOrder.AscendingOrder) -> None:
        if column >= len(self._columns):
            return
        self.layoutAboutToBeChanged.emit()
        before, keys = self.persistentIndexList(), self._columns[column].keys
        rows = [self.row_at(each.row()) for each in before]
        is_falling = order == Qt.SortOrder.DescendingOrder
        self._order = np.argsort(-keys if is_falling else keys, kind="stable")
        places = [self.place_of(row) for row in rows]
        after = [self.index(at, each.column()) for at, each in zip(places, before, strict=True)]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()


class Table(QtW.QTableView):
    """Rows of one height, of which one is marked; a click on a head sorts by the column."""

    chosen = Signal(int, int)  # row and column that were clicked, or entered by the keyboard

    def __init__(self, tooltip: str, picture: int = 0) -> None:
        super().__init__()
        self.setToolTip(tooltip)
        size = QSize(picture, picture)
        self.rows = Rows(size, self.devicePixelRatioF())
        self.setModel(self.rows)
        self.setIconSize(size)
        self.setSelectionBehavior(QtW.QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QtW.QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QtW.QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setSortingEnabled(True)
        # Tab goes on to the next field, arrow keys through rows
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(False)
        heads: Any = self.verticalHeader()
        heads.hide()
        heads.setSectionResizeMode(QtW.QHeaderView.ResizeMode.Fixed)  # else Qt asks each row
        heads.setDefaultSectionSize(max(picture + 8, self.fontMetrics().height() + 6))
        for signal in (self.clicked, self.activated):  # by mouse, and by Enter
            signal.connect(lambda at: self.chosen.emit(self.rows.row_at(at.row()), at.column()))

    def put(self, n: int, *columns: Column) -> None:
        """Show other rows, sorted down the last column."""
        self.rows.put(n, *columns)
        self.sortByColumn(len(columns) - 1, Qt.SortOrder.DescendingOrder)
        self.scrollToTop()

    def mark(self, row: int | None) -> None:
        """Mark a row, without choosing it, or none."""
        if row is None or not 0 <= row < self.rows.rowCount():
            self.clearSelection()
            return
        place = self.rows.place_of(row)
        if place != self.currentIndex().row() or not self.selectedIndexes():
            self.setCurrentIndex(self.rows.index(place, 0))


class StripItem(NamedTuple):
    """One picture of a strip."""

    key: int  # what it stands for: a face or a component
    pixels: NDArray[Any]
    limits: Limits
    text: str  # below it, in at most two lines
    hint: str = ""  # under the mouse
    is_signed: bool = False  # from -1 to 1, in two colours, whatever the limits

    def pixmap(self) -> QPixmap:
        if self.is_signed:
            return component_pixmap(self.pixels, is_signed=True)
        return to_pixmap(self.pixels, self.limits)


class PictureStrip(QtW.QListView):
    """Small pictures beside one another, to be scrolled sideways and picked from."""

    picked = Signal(int)  # key of the item that was clicked, or entered from the keyboard
    menu_wanted = Signal(int, dict)  # key, and what can be done with it, to be filled in

    def __init__(
        self, name: str, height: int = 64, *, lines: int = 2, has_bar: bool = True
    ) -> None:  # no bar where another strip's bar moves both
        super().__init__()
        self.items: list[StripItem] = []
        self.scroll_bar: Any = self.horizontalScrollBar()
        self._box = QSize(height * 3 // 2, height)  # of a picture, in the screen's own units
        self._room = lines * self.fontMetrics().lineSpacing() + 12
        self._has_bar = has_bar
        self._rows = Rows(self._box, self.devicePixelRatioF())
        self.setAccessibleName(name)
        self.setModel(self._rows)
        self.setViewMode(QtW.QListView.ViewMode.IconMode)
        self.setWrapping(False)
        self.setMovement(QtW.QListView.Movement.Static)
        self.setUniformItemSizes(True)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setIconSize(self._box)
        off = Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        self.setVerticalScrollBarPolicy(off)
        if not has_bar:
            self.setHorizontalScrollBarPolicy(off)
        self.setHorizontalScrollMode(QtW.QListView.ScrollMode.ScrollPerPixel)
        self.setSizePolicy(_POLICY.Ignored, _POLICY.Fixed)
        self._fit_cells(0)
        for signal in (self.clicked, self.activated):
            signal.connect(lambda at: self.picked.emit(self.items[at.row()].key))

    def put(self, items: list[StripItem], marked: int | None = None) -> None:
        """Show other items, that with the key `marked` as chosen; the row does not scroll."""
        if items:
            h, w = items[0].pixels.shape[:2]
            self._fit_cells(min(self._box.width(), round(self._box.height() * w / h)))
        place, self.items = self.scroll_bar.value(), items
        cells = Column(
            lambda row: items[row].text,
            picture=lambda row: items[row].pixmap(),
            hint=lambda row: items[row].hint or items[row].text.replace("\n", ", "),
            side=Qt.AlignmentFlag.AlignHCenter,
        )
        self._rows.put(len(items), cells)
        self.doItemsLayout()  # type: ignore[attr-defined]  # the stubs do not know it
        self.scroll_bar.setValue(place)
        for row, item in enumerate(items):
            if item.key == marked:
                self.setCurrentIndex(self._rows.index(row, 0))

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

    def _fit_cells(self, width: int) -> None:
        """Make room for pictures of a width, and for the lines of words below them."""
        width = max(width, self.fontMetrics().horizontalAdvance("#000 00 %")) + 8
        size = QSize(width, self._box.height() + self._room)
        bar = self.scroll_bar.sizeHint().height() if self._has_bar else 0
        if size != self.gridSize():
            self.setGridSize(size)
            self.setFixedHeight(size.height() + bar + 2 * self.frameWidth() + 2)


def limits_of(layer: Any, model: LatentFaces) -> Limits:
    """Return what is black and white in pictures of a layer, in the units of a model."""
    if layer is None or layer.rgb:
        return 0.0, model.scale
    low, high = layer.contrast_limits
    return float(low), float(high)


class Portrait(QtW.QWidget):
    """Pictures of these names, and a few words."""

    def __init__(self, names: tuple[str, ...], height: int = 92) -> None:
        super().__init__()
        self._names = names
        self.pictures = PictureStrip(" and ".join(names), height, lines=1, has_bar=False)
        self.pictures.setSelectionMode(QtW.QListView.SelectionMode.NoSelection)
        self.pictures.setSizePolicy(_POLICY.Fixed, _POLICY.Fixed)
        self.words = QtW.QLabel()
        self.words.setWordWrap(True)
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.words.setSizePolicy(_POLICY.Ignored, _POLICY.Preferred)
        put(QtW.QHBoxLayout(self), self.pictures, self.words, stretched=self.words)

    def show_pictures(
        self, limits: Limits, *pictures: NDArray[Any] | None, key: int = 0
    ) -> None:
        """Show the pictures that are known, in the same units; `key` is what they stand for."""
        shown = zip(pictures, self._names, strict=True)
        items = [StripItem(key, each, limits, name) for each, name in shown if each is not None]
        self.pictures.put(items)
        width = len(items) * self.pictures.gridSize().width()
        self.pictures.setFixedWidth(width + 2 * self.pictures.frameWidth())

    def show_words(self, lines: list[str]) -> None:
        """Show some lines, the first one as a title."""
        title, *rest = lines
        for mark in "/_-.":
            title = title.replace(mark, mark + BREAK)
        self.words.setText("\n".join([title, *rest]))
