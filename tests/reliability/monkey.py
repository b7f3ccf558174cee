"""A user who does anything that the window lets them do, in no order; seeded."""

from __future__ import annotations

import ctypes
import os
from collections import Counter
from pathlib import Path

import numpy as np
from napari.layers import Layer
from napari.layers._layer_actions import _duplicate_layer
from qtpy.QtCore import QEvent, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QTableView,
    QWidget,
)

from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.layers import faces_layer
from napari_latent_faces.viewer.panels.fit import FitWidget
from napari_latent_faces.viewer.session import session_of
from napari_latent_faces.viewer.window import open_dock
from tests.reliability.truth import lies, panel_lies
from tests.viewer.test_layout import overlaps

PLUGIN = "napari-latent-faces"
PANELS = ("Latent faces", "Align faces", "Mix faces", "What builds this face?", "Map of faces")
PANELS += ("New faces", "Mend faces", "Choose k", "Compare models")
KINDS = (QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit, QTableView)
# Small numbers: the work is to stay short.
TEXTS = ("", "3", "2, 4", "0", "-", "-1", "1e-3", "0.5", "12", "nothing", "2-5")
MOST_LAYERS = 25
_LOOK = 10  # things that are done from one close look at all panels to the next

STACKS = [sample_faces(4 + i, 4, shape=(24, 20)) for i in range(3)]


class Monkey:
    """Does one thing after another with a viewer that is shown, as a generator decides."""

    def __init__(self, viewer, rng, qtbot):
        self.viewer, self.rng, self.qtbot = viewer, rng, qtbot
        self.done: Counter[str] = Counter()
        self.last: list[str] = []
        self._weights = [
            (1, self.duplicate_layer), (1, self.turn_axes), (2, self.hide_or_show_panel),
            (3, self.open_faces), (3, self.close_panel), (3, self.remove_layer),
            (3, self.rename_layer), (3, self.undo), (3, self.hide_or_show_layer),
            (4, self.select_layers), (4, self.choose_component), (6, self.fit),
            (6, self.open_panel), (8, self.move_slider), (14, self.wait),
            (40, self.touch_a_panel), (0.7, self.start_again),
        ]  # fmt: skip

    def act(self, n=1):
        """Do `n` things; let Qt have its turn after each."""
        weights = np.array([weight for weight, _ in self._weights])
        for i in range(n):
            _, action = self._weights[self.rng.choice(len(weights), p=weights / weights.sum())]
            self.note(action.__name__)
            action()
            settle()
            assert not (told := lies(self.viewer)), f"{told}, after {self.last}"
            if i % _LOOK == 0:
                self.look_around()

    def look_around(self):
        """See that all panels follow, as soon as nothing is left to do."""

        def is_true():
            told = [*panel_lies(self.viewer), *overlaps(self.viewer), *too_large(self.viewer)]
            assert not told, f"{told}, after {self.last}"

        self.qtbot.waitUntil(is_true)

    def note(self, what):
        self.done[what] += 1
        self.last = [*self.last[-7:], what]

    def open_faces(self):
        session_of(self.viewer)  # as the reader does
        if len(self.viewer.layers) < MOST_LAYERS:
            self.viewer.add_layer(Layer.create(*faces_layer(self._any(STACKS), "faces")))

    def remove_layer(self):
        if layer := self._any_layer():
            self.viewer.layers.remove(layer)

    def rename_layer(self):
        if layer := self._any_layer():
            layer.name = str(self.rng.choice(["faces", "a", "faces [a]", "\N{GRINNING FACE}"]))

    def select_layers(self):
        some = [layer for layer in self.viewer.layers if self.rng.random() < 0.3]
        self.viewer.layers.selection = set(some)
        if some:
            self.viewer.layers.selection.active = some[0]

    def hide_or_show_layer(self):
        if layer := self._any_layer():
            layer.visible = not layer.visible

    def duplicate_layer(self):
        """As the menu of the layer list does."""
        if self._any_layer() and len(self.viewer.layers) < MOST_LAYERS:
            self.viewer.layers.selection.active = self._any_layer()
            _duplicate_layer(self.viewer.layers)

    def turn_axes(self):
        """Look at other axes, at three of them, or as before."""
        dims = self.viewer.dims
        what = self.rng.integers(4)
        if what == 0:
            dims.roll()
        elif what == 1:
            dims.ndisplay = 5 - dims.ndisplay
        else:
            dims.ndisplay = 2
            dims.order = tuple(range(dims.ndim))

    def start_again(self):
        self.viewer.layers.clear()
        self.open_faces()

    def _any(self, things):
        return things[int(self.rng.integers(len(things)))] if things else None

    def _any_layer(self):
        return self._any(self.viewer.layers)

    def move_slider(self):
        dims = self.viewer.dims
        if dims.ndim > 2:
            dims.set_point(0, int(self.rng.integers(dims.nsteps[0])))

    def choose_component(self):
        focus = session_of(self.viewer)
        if focus.model is not None:
            focus.select_component(int(self.rng.integers(focus.model.n_components)))

    def undo(self):
        session_of(self.viewer).undo()

    def open_panel(self):
        name = str(self.rng.choice(PANELS))
        self.note(f"open {name}")
        window = self.viewer.window
        if f"{name} (Latent faces)" in window.dock_widgets:  # as the menus call it
            open_dock(self.viewer, name)
        else:
            window.add_plugin_dock_widget(PLUGIN, name)

    def close_panel(self):
        if dock := self._any(self._docks()):
            dock.destroyOnClose()

    def hide_or_show_panel(self):
        if dock := self._any(self._docks()):
            dock.setVisible(not dock.isVisible())

    def wait(self):
        """Let the window and its threads go on for a while."""
        for _ in range(int(self.rng.integers(1, 60))):
            QApplication.processEvents()

    def _docks(self):
        window = self.viewer.window
        return [window._wrapped_dock_widgets[name] for name in window.dock_widgets]

    def fit(self):
        """Press Fit, or stop the fit that is running."""
        for widget in self.viewer.window.dock_widgets.values():
            if isinstance(widget, FitWidget):
                widget.start_button.native.click()

    def touch_a_panel(self):
        """Use one of the things that can be used in one of the panels."""
        dock = self._any(self._docks())
        usable = dock and [
            each
            for kind in KINDS
            for each in inside(dock.widget())
            if isinstance(each, kind) and each.isEnabled() and each.isVisible()
        ]
        if widget := self._any(usable):
            words = getattr(widget, "text", str)()
            self.note(f"{dock.name}: {type(widget).__name__} {words}")
            self._use(widget)

    def _use(self, widget):
        rng = self.rng
        if isinstance(widget, QAbstractButton):
            widget.click()
        elif isinstance(widget, QComboBox):
            items = widget.model()
            if rows := [row for row in range(widget.count()) if items.item(row).isEnabled()]:
                widget.setCurrentIndex(int(rng.choice(rows)))
        elif isinstance(widget, QAbstractSlider):
            widget.setValue(int(rng.integers(widget.minimum(), widget.maximum() + 1)))
        elif isinstance(widget, (QAbstractSpinBox, QLineEdit)):
            if not isinstance(widget.parent(), QAbstractSpinBox):
                self._type(widget)
        elif isinstance(widget, QTableView) and widget.model().rowCount():
            rows = widget.model().rowCount()
            widget.clicked.emit(widget.model().index(int(rng.integers(rows)), 0))

    def _type(self, field):
        field.selectAll()
        QTest.keyClick(field, Qt.Key.Key_Delete)
        QTest.keyClicks(field, str(self.rng.choice(TEXTS)))
        QTest.keyClick(field, Qt.Key.Key_Return)

    def tidy_up(self):
        """Close every panel and remove every layer, as a user does before going home."""
        for dock in self._docks():
            dock.destroyOnClose()
        self.viewer.layers.clear()
        settle()


def too_large(viewer):
    """Say so if the window is larger than the screen, or would have to be."""
    window = viewer.window._qt_window
    room, least = window.screen().availableGeometry(), window.minimumSizeHint()
    for what, size in (("is", window), ("must be", least)):
        if size.width() > room.width() or size.height() > room.height():
            yield f"the window {what} {size.width()} x {size.height()} on {room}"


def inside(widget):
    """Yield all widgets in a widget.

    `findChildren` would have PySide take `widget` for their owner, which keeps closed panels.
    """
    for child in widget.children():
        if isinstance(child, QWidget):
            yield child
            yield from inside(child)


def settle():
    """Let Qt do what waits to be done, and delete what is to be deleted."""
    QApplication.processEvents()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def resident():
    """Return the memory that this process holds, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def in_use():
    """Return the memory that was asked for and not given back, in MiB.

    Unlike what the process holds, it has no gaps between what is in use.
    """
    tell = ctypes.CDLL(None).mallinfo2
    tell.restype = _Numbers
    told = tell().numbers
    return (told[7] + told[4]) / 2**20  # uordblks and hblkhd


class _Numbers(ctypes.Structure):
    """What the C library tells of its memory: `struct mallinfo2`."""

    _fields_ = [("numbers", ctypes.c_size_t * 10)]
