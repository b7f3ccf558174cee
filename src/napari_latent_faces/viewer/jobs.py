"""Work in threads, for a window that must not wait for it."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from napari.utils import notifications
from napari.utils.notifications import notification_manager
from psygnal import Signal
from superqt.utils import create_worker

from napari_latent_faces.stack import harmless_lines
from napari_latent_faces.viewer.session import session_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel

# What can be wrong with what the user gave; any other error is a fault of ours.
_WRONG_INPUT = (TypeError, ValueError, MemoryError, OSError)
_NO_MEMORY = (
    "There is not enough memory. Close other programs, or work on fewer or smaller pictures."
)

# A job lives as long as its thread: what the thread has sent must find it.
_running: set[Job] = set()


class _Fault(NamedTuple):
    error: Exception  # bare, a worker would raise it itself


class Job:
    """Runs a function or a generator in a thread, where it touches neither viewer nor widgets.

    Wrong input is shown in napari, a fault of ours with its traceback, and warnings. A
    subclass says what is done, on the GUI thread, with steps and value.
    """

    stepped = Signal(object)  # what the generator yields
    returned = Signal(object)  # what generator or function returns
    failed = Signal(str)  # why it has not returned, in words
    ended = Signal(str)  # the last signal: what to tell the user, if anything

    cancelled: ClassVar[str] = "Cancelled."
    failure: ClassVar[str] = "Failed"
    is_quiet = False  # whether wrong input is told by `failed` only

    def __init__(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        def running() -> Generator[Any, Any, Any]:
            try:
                found = work(*args, **kwargs)
                return (yield from found) if isinstance(found, Generator) else found
            except Exception as error:  # noqa: BLE001  # a worker drops a RuntimeError
                return _Fault(error)

        self.has_stepped = False
        self._worker: Any = create_worker(running, _start_thread=False)
        self._worker.yielded.connect(self._on_step)
        self._worker.returned.connect(self._on_value)
        self._worker.warned.connect(self._on_warning)
        self._worker.finished.connect(self._on_finished)

    @property
    def is_over(self) -> bool:
        return self._worker is None  # nothing will be heard any more

    def then(self, take: Callable[[Any], object]) -> Self:
        """Have something done with what is returned; return this job."""
        self.returned.connect(take)
        return self

    def start(self) -> None:
        """Begin; connect to the signals before."""
        _running.add(self)
        self._worker.start()

    def send(self, message: Any) -> None:
        """Give the generator a message at its next ``yield``; before the first, nothing."""
        if self.has_stepped and not self.is_over:
            self._worker.send(message)

    def cancel(self, why: str | None = None) -> None:
        """End the work after its current step, drop it, and say so."""
        if not self.is_over:
            self.abandon()
            self._drop(why or self.cancelled)

    def abandon(self) -> None:
        """End the work after its current step, without a word and without touching anything."""
        if not self.is_over:
            self._worker.quit()
            self._worker = None

    def take_step(self, step: Any) -> None:
        """Use what the generator has yielded."""
        self.stepped.emit(step)

    def take_value(self, value: Any) -> str:
        """Use what was returned; the job is over. Return what `ended` tells."""
        self.returned.emit(value)
        return ""

    def discard(self) -> None:
        """Take back what was shown on the way to a value that will not come."""

    def _drop(self, why: str) -> None:
        self.discard()
        self.ended.emit(why)

    def _on_step(self, step: Any) -> None:
        if not self.is_over:
            self.has_stepped = True
            self.take_step(step)

    def _on_value(self, value: Any) -> None:
        if self.is_over:
            return
        self.abandon()
        try:
            is_fault = isinstance(value, _Fault)
            words = self._fail(value.error) if is_fault else self.take_value(value)
        except _WRONG_INPUT as wrong:
            words = self._fail(wrong)
        self.ended.emit(words)

    def _on_warning(self, warning: tuple[Any, ...]) -> None:
        if not self.is_over:
            message, *rest = warning[:4]
            notification_manager.receive_warning(harmless_lines(str(message)), *rest)

    def _on_finished(self) -> None:
        _running.discard(self)

    def _fail(self, error: Exception) -> str:
        self.discard()
        wordless = _NO_MEMORY if isinstance(error, MemoryError) else type(error).__name__
        words = harmless_lines(str(error)) or wordless
        if not isinstance(error, _WRONG_INPUT):
            notification_manager.receive_error(type(error), error, error.__traceback__)
        elif not self.is_quiet:
            notifications.show_error(words)
        self.failed.emit(words)
        return f"{self.failure}: {words}"


class Latest:
    """Runs one quiet job at a time: the next one takes its place. `slots` hear its signals."""

    def __init__(self, **slots: Callable[[Any], object]) -> None:
        self._slots = slots
        self._job: Job | None = None

    def start(self, work: Callable[..., Any], *args: Any) -> None:
        self.stop()
        self._job = job = Job(work, *args)
        job.is_quiet = True
        for signal, slot in self._slots.items():
            getattr(job, signal).connect(slot)
        job.start()

    def stop(self) -> None:
        if self._job is not None:
            self._job.abandon()


class LayerJob(Job):
    """A job about the pictures of a layer, that is cancelled when the layer is removed."""

    cancelled = "Cancelled; nothing was changed."
    removed: ClassVar[str] = "The faces were removed, so the work was cancelled."

    def __init__(self, viewer: ViewerModel, layer: Any, work: Callable[[], Any]) -> None:
        super().__init__(work)
        self.viewer, self.layer = viewer, layer
        viewer.layers.events.removed.connect(self._on_removed)

    def _on_removed(self) -> None:
        if self.layer not in self.viewer.layers and not self.is_over:
            self.abandon()
            # what was shown goes, too, but not while napari still removes this layer
            session_of(self.viewer).later(partial(self._drop, self.removed))
