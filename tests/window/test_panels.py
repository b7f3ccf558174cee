"""All panels as they are seen and used by keyboard: nothing cut off, tooltips, keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtGui import QShortcut
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QDockWidget,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollBar,
    QWidget,
)
from superqt import QCollapsible

from napari_latent_faces import draw_faces, fit
from napari_latent_faces._results import ResultLayers, ShowOptions
from napari_latent_faces.layers import faces_layer
from tests.window.menus import open_widget

NAMES = (
    "Latent faces",
    "What builds this face?",
    "Mix faces",
    "Choose k",
    "Compare models",
    "New faces",
    "Mend faces",
)
LONG = "photographs of forty people taken at the laboratory in 1994"
KEYS = Path(__file__).parents[2] / "docs" / "reference" / "keys.md"
INPUTS = (QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit)


@pytest.fixture
def open_narrow(viewer, qtbot):
    """Return a function that opens a panel beside two models, as narrow as it gets."""
    stack = draw_faces(6, 3, random_state=0)
    layer = viewer.add_layer(Layer.create(*faces_layer(stack, LONG)))
    for options in (ShowOptions(), ShowOptions(update=False)):
        model = fit(stack, n_components=8, max_iter=5, tol=1)
        ResultLayers(viewer, layer, options).show_model(model)

    def open_it(name):
        panel = open_widget(qtbot, viewer.window, name)
        panel = getattr(panel, "native", panel)
        window, dock = viewer.window._qt_window, dock_of(panel)
        if name == "What builds this face?":
            qtbot.waitUntil(lambda: panel.pages.currentIndex() == 1, timeout=20_000)
        window.resizeDocks([dock], [1], Qt.Orientation.Horizontal)
        qtbot.waitUntil(lambda: dock.width() <= 345, timeout=10_000)
        QApplication.processEvents()
        return panel

    return open_it


def dock_of(widget):
    while not isinstance(widget, QDockWidget):
        widget = widget.parent()
    return widget


def seen(panel, kinds):
    """Return the visible parts of a panel, without those that Qt makes inside of others."""
    return [
        each
        for each in panel.findChildren(QWidget)
        if isinstance(each, kinds)
        and each.isVisible()
        and not each.visibleRegion().isEmpty()
        and not isinstance(each, QScrollBar)
        and not isinstance(each.parent(), (QAbstractSpinBox, QLineEdit, QComboBox))
    ]


def is_cut_off(each):
    if isinstance(each, QLabel) and not each.text():
        return False
    if isinstance(each, QLabel) and each.wordWrap():
        words = re.split(r"[\s\u200b]", each.text())
        longest = max(each.fontMetrics().horizontalAdvance(word) for word in words)
        return longest > each.width() or each.heightForWidth(each.width()) > each.height()
    if isinstance(each, QAbstractSpinBox):
        line = each.findChild(QLineEdit)
        return line.fontMetrics().horizontalAdvance(line.text()) > line.width()
    if isinstance(each, QLineEdit):
        words = each.text() or each.placeholderText()
        return each.fontMetrics().horizontalAdvance(words) > each.width()
    return each.sizeHint().width() > each.width()


def sections(panel):
    """Yield once with all sections folded, and then with each unfolded in turn."""
    yield
    for section in panel.findChildren(QCollapsible):
        section.expand(animate=False)
        QApplication.processEvents()
        yield


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_cut_off_in_a_narrow_panel(open_narrow, name):
    panel = open_narrow(name)
    kinds = (QLabel, QPushButton, QCheckBox, QAbstractSpinBox, QLineEdit)
    for _ in sections(panel):
        assert not [each for each in seen(panel, kinds) if is_cut_off(each)]
        assert panel.window().height() <= 850  # no panel makes the window grow


def test_every_input_says_what_it_does(open_narrow):
    for name in NAMES:
        panel = open_narrow(name)
        for _ in sections(panel):
            for each in seen(panel, INPUTS):
                is_head = isinstance(each.parent(), QCollapsible)
                assert is_head or tip_of(each, panel), each
        dock_of(panel).destroyOnClose()


def tip_of(each, panel):
    while each is not panel:
        if each.toolTip():
            return each.toolTip()
        each = each.parent()
    return ""


def test_the_page_of_keys_names_all_keys_and_no_others(open_narrow):
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", KEYS.read_text("utf-8"), re.MULTILINE
    )
    written = {(panel, key) for panel, key in rows if panel in NAMES}
    real = set()
    for name in NAMES:
        panel = open_narrow(name)
        keys = {each.key().toString() for each in panel.findChildren(QShortcut)}
        keys |= {each.shortcut().toString() for each in panel.findChildren(QPushButton)}
        real |= {(name, key) for key in keys if key}
        dock_of(panel).destroyOnClose()
    real.add(("Latent faces", "Alt+K"))  # of the button Fit while a fit runs
    assert written == real
