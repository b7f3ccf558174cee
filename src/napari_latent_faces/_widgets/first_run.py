"""What a new user is offered: a sample at first, and what to try after a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import Container, Label, PushButton
from magicgui.widgets.bases import Widget
from psygnal import Signal

from napari_latent_faces._docks import can_open_docks, open_dock
from napari_latent_faces._job import Job

if TYPE_CHECKING:
    from typing import Any

    from napari_latent_faces.stack import FaceStack

__all__ = ["FirstRun"]

_NEXT = {
    "What builds this face?": "Show which components make the face under the slider, and who "
    "else uses them.",
    "Mix faces": "Move sliders to mix faces that do not exist.",
}


class FirstRun(Container[Widget]):
    """A button that shows a sample while there are no faces, and links after a fit.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose window the links open panels in; without a window there are none.
    """

    began = Signal()  # to draw the sample
    progressed = Signal(int, int)  # pictures drawn, and how many there will be
    drawn = Signal(object)  # the FaceStack
    ended = Signal(str)  # without a sample: why

    def __init__(self, viewer: Any) -> None:
        super().__init__(labels=False)
        self._viewer = viewer
        self._job: Job | None = None
        self.margins = (0, 0, 0, 0)
        self.sample_button = PushButton(
            text="&Show me",
            tooltip="Draw 400 faces of people who do not exist, and fit them (Alt+S).",
        )
        self.sample_button.changed.connect(self.draw)
        self.next_label = Label(value="Next:", visible=False)
        self.next_buttons = {name: self._link(name, tip) for name, tip in _NEXT.items()}
        links = Container(
            widgets=[*self.next_buttons.values()], layout="horizontal", labels=False
        )
        links.margins = (0, 0, 0, 0)
        self.links = links
        links.visible = False
        self.extend([self.sample_button, self.next_label, links])

    @property
    def is_drawing(self) -> bool:
        """Whether the sample is being drawn."""
        return self._job is not None

    def draw(self) -> None:
        """Draw the sample in a thread."""
        from napari_latent_faces.synthetic import iter_draw_faces

        if self._job is None:
            self._job = Job(iter_draw_faces)
            self._job.stepped.connect(self._on_step)
            self._job.returned.connect(self._on_drawn)
            self._job.failed.connect(self.cancel)
            self._job.start()
            self.began.emit()

    def cancel(self, why: str = "Cancelled; nothing was drawn.") -> None:
        """End the drawing."""
        if self._job is not None:
            self.abandon()
            self.ended.emit(why)

    def abandon(self) -> None:
        """End the drawing without a word."""
        if self._job is not None:
            self._job.abandon()
            self._job = None

    def _on_step(self, done: tuple[int, int]) -> None:
        self.progressed.emit(*done)

    def _on_drawn(self, stack: FaceStack) -> None:
        self._job = None
        self.drawn.emit(stack)

    def offer(self, *, sample: bool) -> None:
        """Offer the sample, or no more."""
        self.sample_button.visible = sample

    def point_on(self) -> None:
        """Point at the panels to try next, where there is a window for them."""
        self.next_label.visible = self.links.visible = can_open_docks(self._viewer)

    def _link(self, name: str, tip: str) -> PushButton:
        link = PushButton(text=name, tooltip=tip)
        link.changed.connect(lambda: open_dock(self._viewer, name))
        return link
