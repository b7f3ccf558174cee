"""What all panels share: frame, buttons, progress, and their end."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any
from weakref import ref

from magicgui.widgets import ComboBox, Container, Label, ProgressBar, PushButton
from magicgui.widgets.bases import Widget
from napari.layers import Image, Labels, Layer, Shapes
from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtGui import QIcon, QKeySequence, QPixmap, QShortcut  # type: ignore[attr-defined]
from qtpy.QtWidgets import QApplication, QLabel, QMainWindow, QScrollArea, QSizePolicy, QWidget

from napari_latent_faces.stack import harmless_lines
from napari_latent_faces.viewer.layers import ROLE_KEY, why_not_faces
from napari_latent_faces.viewer.panels.form import ModelChoice
from napari_latent_faces.viewer.session import session_of
from napari_latent_faces.viewer.window import dock_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari
    from qtpy.QtWidgets import QDockWidget, QLayout, QProgressBar
    from superqt import QCollapsible

    from napari_latent_faces.viewer.jobs import FacesJob

__all__ = [
    "NO_FACES",
    "JobPanel",
    "RemovalWatch",
    "Wires",
    "face_stacks",
    "fill_section",
    "make_room",
    "mark_layers",
    "on_key",
    "settle",
    "show_progress",
    "show_whole_title",
    "tab_in_reading_order",
]

# -- Keys that panels share ------------------------------------------------------------


def on_key(
    panel: QWidget, keys: QKeySequence.StandardKey | str, do: Callable[[], object]
) -> None:
    """Do something when keys are pressed anywhere in a panel, and nowhere else.

    Parameters
    ----------
    panel : QWidget
        The panel.
    keys : QKeySequence.StandardKey or str
        The keys, such as ``"Esc"``.
    do : callable
        What to do.
    """
    shortcut = QShortcut(QKeySequence(keys), panel)
    shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
    shortcut.activated.connect(do)


# -- What happens when the user closes a dock ------------------------------------------


class RemovalWatch(QObject):
    """Tells when a widget is taken out of its window, which Qt has no signal for.

    Parameters
    ----------
    widget : QWidget
        The widget; the watch lives as long as it does.
    on_removed : callable
        What to call.
    """

    def __init__(self, widget: QWidget, on_removed: Callable[[], None]) -> None:
        super().__init__(widget)
        self._on_removed = on_removed
        widget.installEventFilter(self)

    def eventFilter(self, widget: QObject | None, event: QEvent | None) -> bool:
        """Call back when the widget has lost its parent; every event goes on its way."""
        if widget is None or event is None:
            return False
        if event.type() == QEvent.Type.ParentChange and widget.parent() is None:
            self._on_removed()
        return False


# -- Connections of a panel to its viewer, which outlives it ---------------------------


class Wires:
    """Connects a panel to signals, and lets go when its dock or window is closed.

    Parameters
    ----------
    panel : QWidget
        The panel.
    """

    def __init__(self, panel: QWidget) -> None:
        self._ends: list[Callable[[], Any]] = []
        self._watch = RemovalWatch(panel, self.cut)
        panel.destroyed.connect(self.cut)  # this object is none of Qt's: it is still there

    def add(self, signal: Any, slot: Callable[..., Any]) -> None:
        """Call `slot` at every signal, of psygnal or napari, until the panel goes."""
        signal.connect(slot)
        self.at_end(lambda: signal.disconnect(slot))

    def at_end(self, action: Callable[[], Any]) -> None:
        """Call `action` when the panel goes, the last one first."""
        self._ends.append(action)

    def cut(self) -> None:
        """Let go of everything now."""
        while self._ends:
            self._ends.pop()()


# -- The order in which the Tab key goes through a panel -------------------------------


def tab_in_reading_order(panel: QWidget) -> None:
    """Let Tab go through a panel as one reads it.

    Qt's own order is that in which the parts were made or put in, whatever their places.

    Parameters
    ----------
    panel : QWidget
        The panel, all of whose layouts are filled.
    """
    reached, policy = list(_reached(panel)), panel.focusPolicy()
    # Qt takes the last part for being before the first one already, unless something between
    # them can be reached; in a window, the chain is cut open at the panel
    panel.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    for before, after in pairwise(reached):
        QWidget.setTabOrder(before, after)
    panel.setFocusPolicy(policy)


def _reached(widget: QWidget) -> Iterator[QWidget]:
    """Yield what Tab can reach in a widget, in the order of the layouts."""
    if widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
        yield widget
    inner = widget.widget() if isinstance(widget, QScrollArea) else None
    if inner is not None:
        yield from _reached(inner)
    layout = widget.layout()
    if layout is not None:
        yield from _reached_in(layout)


def _reached_in(layout: QLayout) -> Iterator[QWidget]:
    for place in range(layout.count()):
        item = layout.itemAt(place)
        if item is None:
            continue
        widget, inner = item.widget(), item.layout()
        if widget is not None:
            yield from _reached(widget)
        elif inner is not None:
            yield from _reached_in(inner)


# -- Panels that share one place, as tabs, before the window grows beyond the screen ---

_OURS = "latent-faces-panel"  # property of our panels


def make_room(panel: QWidget) -> None:
    """Put a panel behind one tab bar with the others where the screen is not high enough.

    napari stacks docks, and Qt makes the window as high as all of them need.

    Parameters
    ----------
    panel : QWidget
        One of the plugin's panels, not yet in its dock.
    """
    panel.setProperty(_OURS, True)
    _Room(panel)


class _Room(QObject):
    """Looks after a panel that is put into a window, once for each dock it comes into."""

    def __init__(self, panel: QWidget) -> None:
        super().__init__(panel)
        self._dock: QDockWidget | None = None
        # docks cannot be moved while one of them is being shown, and a window knows that it
        # may be lower only when they are laid out anew
        self._sharing, self._lowering = QTimer(self), QTimer(self)
        for timer, slot in ((self._sharing, self._share), (self._lowering, self._lower)):
            timer.setSingleShot(True)
            timer.timeout.connect(slot)
        panel.installEventFilter(self)

    def eventFilter(self, panel: QObject | None, event: QEvent | None) -> bool:
        """Wait for the panel to be seen in a dock; every event goes on its way."""
        if event is not None and event.type() == QEvent.Type.Show:
            dock = dock_of(panel)
            if dock is not None and dock is not self._dock:
                self._dock = dock
                self._sharing.start(0)
        return False

    def _share(self) -> None:
        """Make tabs of the panels beside one another, if the screen is too low for them."""
        dock = self._dock
        assert dock is not None
        window = dock.window()
        if not isinstance(window, QMainWindow) or _excess(window) <= 0:
            return
        first, *others = [*_beside(dock, window), dock]
        for other in others:
            window.tabifyDockWidget(first, other)
        dock.raise_()
        self._lowering.start(0)

    def _lower(self) -> None:
        window = self._dock and self._dock.window()
        if isinstance(window, QMainWindow):
            window.resize(window.width(), window.height() - max(0, _too_high(window)))


def _excess(window: QMainWindow) -> int:
    """Return how many pixels of the screen the docks of a window lack."""
    needed = window.minimumSizeHint().height() - window.height()
    return _too_high(window) + needed


def _too_high(window: QMainWindow) -> int:
    """Return by how many pixels a window is higher than its screen."""
    screen = window.screen()
    assert screen is not None
    return window.frameGeometry().height() - screen.availableGeometry().height()


def _beside(dock: QDockWidget, window: QMainWindow) -> Iterator[QDockWidget]:
    """Yield the docks of our other panels on the same side."""
    side = window.dockWidgetArea(dock)
    # not `window.findChildren`: PySide would take the window for the owner of all it finds,
    # and keep panels alive that were closed
    for panel in QApplication.allWidgets():
        if panel.property(_OURS) and window.isAncestorOf(panel):
            other = dock_of(panel)
            if (
                other not in (None, dock)
                and other.isVisible()
                and not other.isFloating()
                and window.dockWidgetArea(other) == side
            ):
                yield other


# -- Panels that are as wide as the titles of their docks ------------------------------


def show_whole_title(panel: QWidget) -> None:
    """Let the title of the dock that a panel comes into never be cut off.

    A script's dock names the plugin in a longer way than the menu's, and for the least size
    of a title bar Qt does not look at the words in it.

    Parameters
    ----------
    panel : QWidget
        One of the plugin's panels.
    """
    _TitleRoom(panel)


class _TitleRoom(QObject):
    """Makes a panel as wide as the title needs, when it is seen in a dock."""

    def __init__(self, panel: QWidget) -> None:
        super().__init__(panel)
        panel.installEventFilter(self)

    def eventFilter(self, panel: QObject | None, event: QEvent | None) -> bool:
        """Wait for the panel to be shown; every event goes on its way."""
        if event is not None and event.type() == QEvent.Type.Show:
            assert isinstance(panel, QWidget)
            panel.setMinimumWidth(max(panel.minimumWidth(), _needed(panel)))
        return False


def _needed(panel: QWidget) -> int:
    """Return how many pixels the title above a panel needs; 0 if it is in no dock."""
    dock = dock_of(panel)
    bar = None if dock is None else dock.titleBarWidget()
    layout = None if bar is None else bar.layout()
    return 0 if layout is None else layout.totalMinimumSize().width()


# -- What several panels are made of ---------------------------------------------------

_NARROWEST = 340  # pixels: all words fit in
_OPEN = "\N{BLACK DOWN-POINTING SMALL TRIANGLE}"
_FOLDED = "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}"

NO_FACES = (
    "No stack of faces yet. Open one with File > IO Utilities > Open folder of faces..., or "
    "a sample with File > Open Sample > Latent faces."
)
"""What a panel says that has nothing to work on."""


def face_stacks(viewer: napari.components.ViewerModel) -> list[Image]:
    """Return the layers of a viewer that can be factorized."""
    return [layer for layer in viewer.layers if not why_not_faces(layer)]


def fill_section(section: QCollapsible, part: QWidget) -> None:
    """Put a part into a section that can be folded, without the gaps that Qt leaves.

    Tab does not go into a folded section.
    """
    _mark_with_arrow(section)
    section.addWidget(part)
    policy = part.sizePolicy()
    policy.setRetainSizeWhenHidden(True)  # it tells the section how far to unfold
    part.setSizePolicy(policy)
    part.hide()
    section.toggled.connect(part.setVisible)
    for widget in (section, section.content()):
        layout = widget.layout()
        assert layout is not None
        layout.setContentsMargins(0, 0, 0, 0)


def _mark_with_arrow(section: QCollapsible) -> None:
    """Show by an arrow in the title whether a section is folded.

    superqt's icons keep the colour of the theme in which they were made. No icon at all
    would leave them there with PySide6, where it counts as false.
    """
    nothing = QPixmap(1, 1)
    nothing.fill(Qt.GlobalColor.transparent)
    title, known = section.text(), ref(section)  # PySide would keep it, and all around it

    def show(is_open: bool) -> None:
        section = known()
        if section is not None:
            section.setText(f"{_OPEN if is_open else _FOLDED} {title}")

    for set_icon in (section.setExpandedIcon, section.setCollapsedIcon):
        set_icon(QIcon(nothing))
    section.toggled.connect(show)
    show(is_open=False)


def mark_layers(viewer: napari.components.ViewerModel) -> list[Layer]:
    """Return the layers of a viewer that can mark pixels, the uppermost first."""
    return [layer for layer in reversed(viewer.layers) if isinstance(layer, (Labels, Shapes))]


def settle(panel: QWidget, lowest: int = 0) -> None:
    """Prepare a panel for its dock: its least size, the order of Tab, and its neighbours.

    Parameters
    ----------
    panel : QWidget
        The panel, all of whose layouts are filled.
    lowest : int, default=0
        Pixels that it is high at least; 0 leaves that to its parts.
    """
    for label in panel.findChildren(QLabel):  # names of files are no HTML
        label.setTextFormat(Qt.TextFormat.PlainText)
    panel.setMinimumSize(_NARROWEST, lowest)
    tab_in_reading_order(panel)
    make_room(panel)
    show_whole_title(panel)


def show_progress(bar: QProgressBar, done: int, total: int) -> None:
    """Set a bar, without Qt drawing the whole window before it returns."""
    if bar.maximum() != total:
        bar.setMaximum(total)
    bar.setUpdatesEnabled(False)
    bar.setValue(done)
    bar.setUpdatesEnabled(True)


# -- What panels that work on one layer have in common: buttons, progress, and their end


class JobPanel(Container[Widget]):
    """A panel with faces, a model, and work that runs in a thread.

    A subclass lays itself out, makes the job, and says what is missing.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer.
    title : str
        What the button says.
    help_text : str
        What it does.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, title: str, help_text: str) -> None:
        super().__init__(labels=False)
        self.viewer = napari_viewer
        self._job: FacesJob | None = None
        self._opening = ""  # the name of the model file that is being read
        self.model_choice = ModelChoice(napari_viewer)
        self.faces = ComboBox(name="faces", label="Faces", choices=self._pictures)
        self.start_button = PushButton(text=title, tooltip=help_text)
        self.cancel_button = PushButton(
            text="Cancel", tooltip="End the work and drop it (Esc).", visible=False
        )
        self.progress = ProgressBar(min=0, max=0, value=0, visible=False)
        self.status = Label(value="")
        self._missing = ""
        self._lay_out()
        session_of(napari_viewer)  # the names of faces are shown from now on
        self._connect()
        self._sync()

    def _lay_out(self) -> None:
        raise NotImplementedError

    def _make_job(self) -> FacesJob:
        """Return the job that the fields spell; it is not started yet."""
        raise NotImplementedError

    def _what_is_missing(self) -> str:
        """Say what must be there before the work can begin; nothing if all is."""
        if not self.faces.choices:
            return "No faces yet: open some with File > IO Utilities > Open folder of faces..."
        if self._opening:
            return f"Opening {self._opening} ..."
        if self.model_choice.model is None:
            return "No model yet: fit one with Plugins > Latent faces, or open a file."
        return ""

    def _show_result(self, job: FacesJob) -> None:
        """Show more of a result than its text."""

    def _is_offered(self, layer: Any) -> bool:
        """Tell whether a layer's pictures can be worked on."""
        is_image = isinstance(layer, Image) and layer.ndim in {2, 3}
        return is_image and ROLE_KEY not in layer.metadata

    # -- wiring ----------------------------------------------------------------

    def _connect(self) -> None:
        text = self.status.native
        text.setWordWrap(True)
        text.setAlignment(Qt.AlignmentFlag.AlignTop)
        text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        self.start_button.changed.connect(self.start)
        self.cancel_button.changed.connect(self.cancel)
        self.model_choice.chosen.connect(self._sync)
        self.model_choice.opening.connect(self._on_opening)
        for event in self._events():
            event.connect(self._sync)
        self._watch = RemovalWatch(self.native, self.cancel)
        self.native.destroyed.connect(self._abandon)
        on_key(self.native, "Esc", self.cancel)
        settle(self.native)

    def _events(self) -> tuple[Any, ...]:
        layers = self.viewer.layers
        models_changed = session_of(self.viewer).focus.models_changed
        return layers.events.inserted, layers.events.removed, models_changed

    def _pictures(self, _widget: Any = None) -> list[Image]:
        return [layer for layer in self.viewer.layers if self._is_offered(layer)]

    @property
    def is_working(self) -> bool:
        """Whether a job is running."""
        return self._job is not None

    def _on_opening(self, name: str) -> None:
        self._opening = name
        self.progress.max = 0  # busy: how far it is, is not known
        self._sync()

    def _inputs(self) -> list[Any]:
        """Return what cannot be changed during the work."""
        return [self.faces, self.model_choice]

    def _sync(self, _event: Any = None) -> None:
        """Bring fields, buttons and texts in line with the layers and the running job."""
        if not self.is_working:
            self.faces.reset_choices()
            self.model_choice.refresh()
        missing = self._what_is_missing()
        self.start_button.enabled = not (missing or self.is_working)
        is_busy = self.is_working or bool(self._opening)
        self.cancel_button.visible = self.progress.visible = is_busy
        for each in self._inputs():
            each.enabled = not is_busy
        if missing and not self.is_working:
            self.status.value = missing
        elif self.status.value == self._missing:
            self.status.value = ""
        self._missing = missing

    def start(self) -> FacesJob | None:
        """Start the work; what is wrong with the fields is shown in napari.

        Returns
        -------
        FacesJob or None
            The running job, or None if it could not be started.
        """
        if self.is_working or self._what_is_missing():
            return None
        try:
            job = self._make_job()
        except (TypeError, ValueError) as error:
            show_error(harmless_lines(str(error)))
            self.status.value = str(error)
            return None
        job.progressed.connect(self._show_progress)
        job.ended.connect(self._show_end)
        self._job = job
        self.progress.max = 0  # busy, until the first step
        self.status.value = "Working ..."
        self._sync()
        job.start()
        return job

    def cancel(self) -> None:
        """End the running job, or the reading of a model, and drop it."""
        self.model_choice.cancel()
        if self._job is not None:
            self._job.cancel()

    def _show_progress(self, done: int, total: int) -> None:
        show_progress(self.progress.native, done, total)
        self.status.value = f"{done} of {total} faces"

    def _show_end(self, text: str) -> None:
        job, self._job = self._job, None
        self.status.value = text
        self._sync()
        if job is not None and job.result is not None:
            self._show_result(job)

    def _abandon(self) -> None:
        """Stop working for a window that is gone."""
        self.model_choice.abandon()
        if self._job is not None:
            self._job.abandon()
            self._job = None
        for event in self._events():
            event.disconnect(self._sync)
