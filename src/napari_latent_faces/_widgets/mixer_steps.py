"""The part of the mixer above its sliders: where a mix starts, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_latent_faces._widgets.mixer_parts import button

if TYPE_CHECKING:
    from napari_latent_faces._mixing import MixingDesk

__all__ = ["StepsPart"]


class StepsPart(QWidget):
    """Buttons that start a mix, and take its steps back and again.

    Parameters
    ----------
    desk : MixingDesk
        Has the mix.
    """

    def __init__(self, desk: MixingDesk) -> None:
        super().__init__()
        self._desk = desk
        self.starts = [
            button(words, tip, lambda _checked, what=what: desk.start_from(what))
            for what, words, tip in (
                ("face", "Current face", "Start from the face under the slider."),
                ("mean", "Mean face", "Start from the mean of all faces."),
                ("nothing", "Nothing", "Start from black."),
            )
        ]
        self.undo_button = button("Undo", "Take the last step back (Ctrl+Z).", self.undo)
        self.redo_button = button("Redo", "Take it again (Ctrl+Shift+Z).", self.redo)
        self.reset_button = button("Reset", "Go back to where the mix started.", self._reset)
        self._lay_out()

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(QLabel("Start from"), 0, 0, 1, 3)
        for at, each in enumerate(self.starts):
            grid.addWidget(each, 1, at)
        for at, each in enumerate((self.undo_button, self.redo_button, self.reset_button)):
            grid.addWidget(each, 2, at)

    def sync(self) -> None:
        """Bring the buttons in line with what can be done."""
        mix = self._desk.mix
        for each in (*self.starts, self.reset_button):
            each.setEnabled(mix is not None)
        # where all weights of 0 are the mean face, there is no black to start from
        self.starts[-1].setHidden(mix is not None and mix.model.mean is not None)
        self.undo_button.setEnabled(mix is not None and mix.can_undo)
        self.redo_button.setEnabled(mix is not None and mix.can_redo)

    def undo(self) -> None:
        """Take the last step back."""
        if self._desk.mix is not None:
            self._desk.mix.undo()

    def redo(self) -> None:
        """Take it again."""
        if self._desk.mix is not None:
            self._desk.mix.redo()

    def _reset(self) -> None:
        if self._desk.mix is not None:
            self._desk.mix.reset()
