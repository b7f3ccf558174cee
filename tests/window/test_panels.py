"""All panels as they are seen and used by keyboard: nothing cut off, tooltips, Tab, keys."""

from __future__ import annotations

import re
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtGui import QHelpEvent, QMovie, QShortcut
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QDialog,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollBar,
    QToolTip,
    QWidget,
)

from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.jobs import Job
from napari_latent_faces.viewer.panels.form import Section, shortened
from napari_latent_faces.viewer.window import PLUGIN, canvas_of, dock_of, still_activity
from tests.helpers import PATIENCE
from tests.window.menus import open_widget, show_fit

NAMES = ("Latent faces", "Align faces", "What builds this face?", "Map of faces", "Mix faces")
NAMES += ("Choose k", "Compare models", "New faces", "Mend faces")
# in which stacks are offered by name
WITH_STACKS = ("Latent faces", "Align faces", "Choose k", "New faces", "Mend faces")
LONG = "photographs of forty people taken at the laboratory in 1994"
KEYS = Path(__file__).parents[2] / "docs" / "reference" / "keys.md"
INPUTS = (QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit)


@pytest.fixture
def open_narrow(viewer, qtbot):
    """Return a function that opens a panel beside two models, as narrow as it gets."""
    show_fit(viewer, sample_faces(6, 3), LONG, times=2, n_components=8, max_iter=5, tol=1)

    def open_it(name):
        panel = open_widget(qtbot, viewer.window, name)
        panel = getattr(panel, "native", panel)
        window, dock = viewer.window._qt_window, dock_of(panel)
        if name == "What builds this face?":
            qtbot.waitUntil(lambda: not panel.face_page.isHidden(), timeout=20_000)
        window.resizeDocks([dock], [1], Qt.Orientation.Horizontal)
        qtbot.waitUntil(lambda: dock.width() <= 345, timeout=10_000)
        QApplication.processEvents()
        return panel

    return open_it


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


def sections(panel, qtbot):
    """Yield once with all sections folded, and then with each unfolded in turn."""
    yield
    for section in panel.findChildren(Section):
        section.unfold()
        QApplication.processEvents()
        yield


def test_panels_show_all_their_words_and_are_used_by_keyboard(open_narrow, qtbot):
    for name in NAMES:
        panel = open_narrow(name)
        for _ in sections(panel, qtbot):
            check_that_nothing_is_cut_off(panel)
            check_tooltips(panel)
            check_tab_order(panel, qtbot)
        assert keys_of(name, panel) == set(written_keys()[name])
        if "Esc" in written_keys()[name]:
            check_escape(panel, qtbot)
        check_enter(panel, qtbot)
        parts = beside(panel)
        assert any(each.isVisible() and each is not panel.help_button.native for each in parts)
        for box in seen(panel, QComboBox):
            if box.currentText().startswith("NMF 8, error "):
                check_name_of_model(box)
        if name in WITH_STACKS:
            [box] = [each for each in seen(panel, QComboBox) if each.currentText() == LONG]
            check_long_name(box)
        dock_of(panel).destroyOnClose()


def test_a_panel_that_a_script_opens(viewer, qtbot):
    """Its title is not cut off, and the activity dock tells of its work, without turning."""
    longest = max(NAMES, key=len)
    dock, panel = viewer.window.add_plugin_dock_widget(PLUGIN, longest)
    qtbot.waitUntil(panel.isVisible)
    viewer.window._qt_window.resizeDocks([dock], [1], Qt.Orientation.Horizontal)
    qtbot.waitUntil(lambda: dock.width() == panel.minimumSizeHint().width())
    check_title(panel)

    # a script's panel gets a proxy, which warns of what is private behind it
    _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, "Choose k")
    go_on = threading.Event()
    panel.run(Job(go_on.wait, PATIENCE))
    wheel = viewer.window._status_bar._activity_item._inProgressIndicator
    qtbot.waitUntil(wheel.isVisible)
    # a turning wheel has the window drawn anew without end
    qtbot.waitUntil(lambda: wheel.movie().state() == QMovie.MovieState.NotRunning)
    go_on.set()
    qtbot.waitUntil(lambda: not (panel.is_working or wheel.isVisible()))
    still_activity(panel.viewer)
    assert canvas_of(panel.viewer) is canvas_of(viewer) is not None


def check_that_nothing_is_cut_off(panel):
    kinds = (QLabel, QPushButton, QCheckBox, QAbstractSpinBox, QLineEdit)
    assert not [each for each in seen(panel, kinds) if is_cut_off(each)]
    check_title(panel)
    assert panel.window().height() <= 850  # no panel makes the window grow


def check_title(panel):
    [title] = seen(dock_of(panel).titleBarWidget(), QLabel)
    assert title.visibleRegion().boundingRect().width() >= title.sizeHint().width()


def check_tooltips(panel):
    for each in seen(panel, INPUTS):
        is_head = isinstance(each.parent(), Section)
        assert is_head or tip_of(each, panel), each


def tip_of(each, panel):
    while each is not panel:
        if each.toolTip():
            return each.toolTip()
        each = each.parent()
    return ""


def check_tab_order(panel, qtbot):
    """Go with Tab from the first input until another part of the window has the keyboard."""
    inputs = [
        each
        for each in seen(panel, INPUTS)
        if each.isEnabled() and each.focusPolicy() & Qt.FocusPolicy.TabFocus
    ]
    now = give_keyboard(first_of(inputs, panel), qtbot)
    order = []
    while panel.isAncestorOf(now) and now not in order:
        order.append(now)
        QTest.keyClick(now, Qt.Key.Key_Tab)
        now = QApplication.focusWidget()
    assert not panel.isAncestorOf(now)
    order = [each for each in order if isinstance(each, INPUTS)]  # others hold several
    assert set(order) == set(inputs)
    for one, other in pairwise(place_of(each, panel) for each in order):
        is_in_same_row = abs(other.y() - one.y()) <= 8
        assert other.x() > one.x() if is_in_same_row else other.y() > one.y(), (one, other)


def first_of(inputs, panel):
    return min(inputs, key=lambda each: (place_of(each, panel).y(), place_of(each, panel).x()))


def place_of(each, panel):
    return each.mapTo(panel, QPoint(0, each.height() // 2))


def give_keyboard(each, qtbot):
    each.window().activateWindow()
    each.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.waitUntil(each.hasFocus)
    return each


def written_keys():
    """Return the keys of each panel that the page of keys names."""
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", KEYS.read_text("utf-8"), re.MULTILINE
    )
    return {name: [key for panel, key in rows if panel == name] for name in NAMES}


def keys_of(name, panel):
    keys = {each.key().toString() for each in panel.findChildren(QShortcut)}
    keys |= {each.shortcut().toString() for each in panel.findChildren(QPushButton)}
    while_a_fit_runs = {"Alt+K"} if name == "Latent faces" else set()
    return (keys | while_a_fit_runs) - {"", "F1"}  # which every panel has


def check_enter(panel, qtbot):
    """Press Enter on a button that has the keyboard; the window of help must open."""
    button = give_keyboard(panel.help_button.native, qtbot)
    QTest.keyClick(button, Qt.Key.Key_Return)
    panel.findChild(QDialog).close()


def check_escape(panel, qtbot):
    """Press Escape in an input: the panel must hear it, and not napari or the input."""
    [escape] = [
        each for each in panel.findChildren(QShortcut) if each.key().toString() == "Esc"
    ]
    inputs = [each for each in seen(panel, INPUTS) if each.isEnabled()]
    now = give_keyboard(first_of(inputs, panel), qtbot)
    with qtbot.waitSignal(escape.activated):
        QTest.keyClick(now, Qt.Key.Key_Escape)


def beside(panel):
    """Return what is in one row with the button that helps."""
    return panel.help_button.native.parent().findChildren(QWidget)


def check_name_of_model(box):
    """What tells it from others is seen, and no number is cut, such as 400 to 40..."""
    name, cut = shortened(box), ", \N{HORIZONTAL ELLIPSIS}"
    assert name == box.currentText() or box.currentText().startswith(
        name.removesuffix(cut) + ","
    )
    assert re.match(r"NMF 8, error 0\.\d{4}", name)


def check_long_name(box):
    """Both ends of a name that does not fit must be seen, and its whole in the tooltip."""
    assert shortened(box) != LONG
    whole = box.grab().toImage()
    for other in (LONG[:-1] + "5", "P" + LONG[1:]):
        box.setItemText(box.currentIndex(), other)
        assert box.grab().toImage() != whole
    box.setItemText(box.currentIndex(), LONG)
    assert box.grab().toImage() == whole
    middle = box.rect().center()
    event = QHelpEvent(QEvent.Type.ToolTip, middle, box.mapToGlobal(middle))
    QApplication.sendEvent(box, event)
    assert LONG in QToolTip.text()
    QToolTip.hideText()
