"""The frame that all panels share.

A panel is a subclass of `Panel` in this folder:

- `start_words` are the words and the tooltip of its button, and `stop_words` what that says
  while the work runs, if it can be stopped and kept; `page` names its page of help,
  ``viewer/help/<page>.md``.
- `_lay_out` makes the fields and puts all parts in, from top to bottom, by `add_form`,
  `add_controls` (buttons, progress, status; every panel has them) and `add`.
  `choose_faces` and `choose_model` make the fields that most panels begin with.
- `synchronize` is called whenever anything has changed in the session or the layers: it looks
  at all again and sets what differs. A panel with more to show extends it.
- `_what_is_missing` says why the work cannot begin yet.
- `_make_job` returns the `Job` that the fields spell; a TypeError or ValueError is shown.
  `_show_step` shows how far it is, `_show_result` what it found.
- Whatever outlives the panel is listened to by `listen`, and let go of when the panel closes.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from magicgui.widgets import ProgressBar
from napari.layers import Labels, Layer, Shapes
from napari.utils import progress
from napari.utils.notifications import show_error
from qtpy import QtWidgets as QtW
from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtGui import QKeySequence, QShortcut  # type: ignore[attr-defined]

from napari_latent_faces.stack import harmless_lines
from napari_latent_faces.viewer.canvas import face_under
from napari_latent_faces.viewer.layers import layer_pixels, why_not_faces
from napari_latent_faces.viewer.panels import form
from napari_latent_faces.viewer.reader import open_path
from napari_latent_faces.viewer.session import session_of
from napari_latent_faces.viewer.window import dock_of, still_activity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari
    from magicgui.widgets.bases import Widget

    from napari_latent_faces.viewer.jobs import Job

_ACTIVITY = 1000  # milliseconds from one look of napari's activity dock to the next
_NARROWEST = 340  # pixels: all words fit in
_LOWEST = 160  # pixels that a panel is high at least; the rest is scrolled to
_PAGES = Path(__file__).parents[1] / "help"


def mark_layers(viewer: napari.components.ViewerModel) -> list[Layer]:
    """Return the layers of a viewer that can mark pixels, the uppermost first."""
    return [layer for layer in reversed(viewer.layers) if isinstance(layer, (Labels, Shapes))]


def face_under_slider(viewer: napari.components.ViewerModel, layer: Layer) -> int | None:
    """Return which face of a layer the slider is at; None where it has none there."""
    if layer.ndim < 3:
        return 0
    face = face_under(viewer, layer)
    return face if 0 <= face < len(layer_pixels(layer)) else None


def timer(parent: QtW.QWidget, slot: Callable[[], object], milliseconds: int = 0) -> QTimer:
    """Return a timer that calls once, however often it is started before."""
    made = QTimer(parent)
    made.setSingleShot(True)
    made.setInterval(milliseconds)
    made.timeout.connect(slot)
    return made


class Panel(QtW.QScrollArea):
    """A panel in a dock: fields, buttons, progress, and work that runs in a thread."""

    page: ClassVar[str] = ""
    start_words: ClassVar[tuple[str, str]] = ("", "")
    stop_words: ClassVar[tuple[str, str] | None] = None
    cancel_tip: ClassVar[str] = "End the work and drop it (Esc)."
    takes_pictures: ClassVar[bool] = False  # single ones, beside stacks of faces

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        # napari's menus give a proxy, whose selected layer is no layer of the list
        self.viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.session = session_of(napari_viewer)
        self.job: Job | None = None
        self._choices: list[form.FacesChoice | form.ModelChoice] = []
        self._forms: list[QtW.QWidget] = []  # they cannot be changed during the work
        self._followed: Any = self  # the layer that was selected; none of them yet
        self._missing = self._passing = ""  # words that the status shows meanwhile
        self._is_stopping = False
        self._bar: Any = None  # in napari's activity dock
        self._ending = ExitStack()  # none of Qt's objects, since it outlives them
        self.at_end = self._ending.callback  # what is to be done when the panel closes
        self.start_button = form.button(*self.start_words, self._start_or_stop)
        self.cancel_button = form.button("Cancel", self.cancel_tip, self.cancel, visible=False)
        self.help_button = form.button("?", "What is this? (F1)", self.show_help)
        self.progress = ProgressBar(min=0, max=1, value=0, visible=False)
        self.status = form.text(lines=2)  # so that nothing below jumps
        self._content = QtW.QWidget()
        self._column = QtW.QVBoxLayout(self._content)
        self.setWidget(self._content)
        self.setWidgetResizable(True)
        self.setFrameShape(QtW.QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAcceptDrops(True)
        self._lay_out()
        self._column.addStretch(0)
        for label in self.findChildren(QtW.QLabel):  # names of files are no HTML
            label.setTextFormat(Qt.TextFormat.PlainText)
        for line in self.findChildren(QtW.QLineEdit):  # else it takes a dropped file's path
            line.setAcceptDrops(False)
        # docks cannot be moved while one of them is being shown
        self._beside_others = timer(self, self._put_beside_others)
        self._activity = timer(self, self._show_activity, _ACTIVITY)
        self.listen(self.session.changed, self.synchronize)
        self.at_end(self._abandon)
        self.destroyed.connect(self._ending.close)  # none of Qt's objects: it is still there
        if self.cancel_tip:
            self.on_key("Esc", self.cancel)
        self.on_key("F1", self.show_help)
        self.synchronize()

    def _lay_out(self) -> None:
        raise NotImplementedError

    def add(self, *parts: form.Part) -> None:
        """Put parts below the others; those that can grow share the height that is left."""
        for part in map(form.native, parts):
            grows = part.sizePolicy().expandingDirections() & Qt.Orientation.Vertical
            self._column.addWidget(part, int(bool(grows)))

    def add_form(self, fields: Sequence[Widget], title: str = "") -> QtW.QWidget:
        """Put in fields that cannot be changed during the work, folded below a title."""
        made = form.form_of(fields)
        self._forms.append(made)
        self.add(form.Section(title, made) if title else made)
        return made

    def add_controls(self, *parts: form.Part) -> None:
        """Put in the buttons, with `parts` among them, the progress and the status."""
        self.help_button.native.setFixedWidth(self.help_button.native.sizeHint().height())
        start = [self.start_button] if self.start_words[0] else []
        left: list[form.Part] = [*start, *parts]
        below: list[form.Part] = [self.progress]
        (below if left else left).append(self.status)  # no row for the last button alone
        left += [self.cancel_button, self.help_button]
        self.add(form.in_a_row(*left, stretched=self.status), *below)

    def choose_faces(self, tooltip: str) -> form.FacesChoice:
        """Return a field for the faces; `_why_not` says which layers it offers."""
        self.faces = form.FacesChoice(self.viewer, self._why_not, tooltip)
        self.faces.changed.connect(self.synchronize)
        self._choices.insert(0, self.faces)  # what is missing is said of them first
        return self.faces

    def choose_model(self) -> form.ModelChoice:
        self.model_choice = form.ModelChoice(self.viewer, self.run)
        self.model_choice.chosen.connect(self.synchronize)
        self._choices.append(self.model_choice)
        return self.model_choice

    def listen(self, signal: Any, slot: Callable[..., Any]) -> None:
        """Call `slot` at every signal, of psygnal or napari, until the panel closes."""
        signal.connect(slot)
        self.at_end(signal.disconnect, slot)

    def on_key(self, keys: QKeySequence.StandardKey | str, slot: Callable[[], object]) -> None:
        """Do something when keys are pressed anywhere in the panel, and nowhere else."""
        shortcut = QShortcut(QKeySequence(keys), self)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(slot)

    def _why_not(self, layer: Layer) -> str:
        """Say in a sentence why a layer is not offered as faces; "" if it is."""
        return why_not_faces(layer, 2 if self.takes_pictures else 3)

    def _what_is_missing(self) -> str:
        return next((each.missing for each in self._choices if each.missing), "")

    def _follow(self) -> None:
        """Be about the faces that are selected, or that the selected result belongs to."""
        for each in self._choices:
            each.follow(self._followed)

    def _make_job(self) -> Job:
        raise NotImplementedError

    def _can_stop(self) -> bool:
        """Tell whether there is something to stop and keep."""
        return self.job is not None and self.job.has_stepped

    def _show_step(self, step: Any) -> None:
        self.show_progress(*step)
        self.status.value = f"{step[0]} of {step[1]} faces"

    def _show_result(self, job: Any) -> None:
        """Show more of a job that has ended than its words."""

    def synchronize(self) -> None:
        """Bring fields, buttons and texts in line with session, layers and the running job."""
        is_working = self.is_working
        if not is_working:
            for each in self._choices:
                each.reset_choices()
        active, before = self.viewer.layers.selection.active, self._followed
        self._followed = active
        if active is not before and not is_working:
            self._follow()
        missing = self._what_is_missing()
        words = self.stop_words if is_working else None
        self.start_button.text, self.start_button.tooltip = words or self.start_words
        can_stop = bool(words) and self._can_stop() and not self._is_stopping
        self.start_button.enabled = can_stop or not (is_working or missing)
        self.cancel_button.visible = self.progress.visible = is_working
        for fields in self._forms:
            fields.setEnabled(not is_working)
        is_news = missing != self._missing and not is_working  # else the last words stay
        if is_news and (missing or self.status.value == self._missing):
            self.status.value = missing
        self._missing = missing

    @property
    def is_working(self) -> bool:
        return self.job is not None

    def _start_or_stop(self) -> None:
        if self.job is None:
            self.start()
        else:
            self.job.send("stop")
            self._is_stopping = True
            self.status.value = "Stopping ..."
            self.synchronize()

    def start(self) -> Any:
        """Start the work and return its job, or None; what is wrong is shown in napari."""
        if self.is_working or self._what_is_missing():
            return None
        return self.attempt(self._make_job)

    def attempt(self, make_job: Callable[[], Job], words: str = "Preparing ...") -> Job | None:
        try:
            job = make_job()
        except (TypeError, ValueError) as error:
            self.complain(str(error))
            return None
        self.run(job, words)
        return job

    def complain(self, words: str) -> None:
        show_error(harmless_lines(words))
        self.status.value = words

    def save_table(self, title: str, name: str, write: Callable[[str], object]) -> None:
        """Ask where to write a CSV file, do it, and say so."""
        path, _ = QtW.QFileDialog.getSaveFileName(self, title, name, "Table (*.csv)")
        path = path if not path or path.lower().endswith(".csv") else f"{path}.csv"
        try:
            if path:
                write(path)
                self.status.value = f"Saved {path}."
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            self.complain(f"{path} cannot be written: {why}")

    def run(self, job: Job, words: str = "Preparing ...") -> None:
        """Run a job to its end, in place of another; `words` are shown until its first step."""
        self._abandon()
        job.stepped.connect(self._on_step)
        # it holds the panel, which else could be collected as garbage before its work has ended
        job.ended.connect(lambda words: self._on_end(words) if self.job is job else None)
        self.job, self._is_stopping, self._passing = job, False, words
        self.progress.max, self.progress.value = 1, 0  # no animation: it costs much time
        self.status.value = words
        self.synchronize()
        self.ensureWidgetVisible(self.status.native)
        self._activity.start()
        job.start()

    def cancel(self) -> None:
        if self.job is not None:
            self.job.cancel()

    def show_progress(self, done: int, total: int) -> None:
        """Set the bar, without Qt drawing the whole window before it returns."""
        bar = self.progress.native
        bar.setUpdatesEnabled(False)
        bar.setMaximum(total)
        bar.setValue(done)
        bar.setUpdatesEnabled(True)

    def _show_activity(self) -> None:
        """Tell napari's activity dock how far the work is, apart from steps: events go on."""
        if self.job is None:
            if self._bar is not None:
                self._bar.close()
                self._bar = None
            return
        if self._bar is None:
            words = self.page.replace("-", " ").capitalize()
            self._bar = progress(total=self.progress.max, desc=words)
            still_activity(self.viewer)
        self._bar.total = self.progress.max
        self._bar.update(self.progress.value - self._bar.n)
        self._activity.start()

    def _on_step(self, step: Any) -> None:
        self._show_step(step)
        self._passing = self.status.value
        if self.stop_words is not None and not self._is_stopping:
            self.start_button.enabled = self._can_stop()

    def _on_end(self, words: str) -> None:
        job, self.job = self.job, None
        self._show_activity()
        self.synchronize()
        if words or self.status.value == self._passing:  # nothing was told of the end
            self.status.value = words or self._missing
        self._show_result(job)

    def _abandon(self) -> None:
        """Stop working for a window that is gone."""
        if self.job is not None:
            self.job.abandon()
            self.job = None
            self._show_activity()

    def changeEvent(self, event: Any) -> None:
        super().changeEvent(event)
        # napari takes a panel out of its window to close it
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._leave()
            self._ending.close()

    def _leave(self) -> None:
        """Take back what only stays while the panel is open; its window is still there."""
        self.cancel()

    def minimumSizeHint(self) -> QSize:
        """Return a size at which no word is cut off; what is below is scrolled to."""
        bar: Any = self.verticalScrollBar()
        width = self._content.minimumSizeHint().width() + bar.sizeHint().width()
        return QSize(max(_NARROWEST, width), _LOWEST)

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        dock: Any = dock_of(self)
        if dock is not None and "(" in dock.windowTitle():  # shown for the first time
            name = dock.windowTitle().partition(" (")[0]
            dock.setWindowTitle(name)  # what its tab says
            dock.titleBarWidget().findChild(QtW.QLabel).setText(name)
            self._beside_others.start()

    def _put_beside_others(self) -> None:
        """Put this panel behind one tab bar with another: below it, both were cut short."""
        dock: Any = dock_of(self)
        if dock is None or dock.window() is dock:  # it floats
            return
        window = dock.window()
        # not by Qt's lists of widgets: what PySide makes of them keeps closed panels alive, or
        # is followed to widgets that are gone
        docks = self.viewer.window.dock_widgets.values()
        others: list[Any] = [dock_of(each) for each in docks if isinstance(each, Panel)]
        area = window.dockWidgetArea
        for other in others:
            is_there = other not in (None, dock) and other.window() is window
            if is_there and not other.isHidden() and area(other) == area(dock):
                window.tabifyDockWidget(other, dock)
                dock.raise_()
                break
        only = Qt.FindChildOption.FindDirectChildrenOnly
        for bar in window.findChildren(QtW.QTabBar, options=only):
            bar.setElideMode(Qt.TextElideMode.ElideNone)  # titles that can be read
            bar.setUsesScrollButtons(True)

    def dragEnterEvent(self, event: Any) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        # napari would ask which of its readers to use
        for url in event.mimeData().urls():
            open_path(self.viewer, url.toLocalFile() or url.toString())

    def show_help(self) -> None:
        text = QtW.QTextBrowser()
        text.setOpenExternalLinks(True)
        text.setMarkdown((_PAGES / f"{self.page}.md").read_text("utf-8"))
        dialog = QtW.QDialog(self)
        dialog.setWindowTitle("Latent faces")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        QtW.QVBoxLayout(dialog).addWidget(text)
        dialog.resize(560, 480)
        dialog.show()
