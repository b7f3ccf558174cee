"""What can be done with a result: a script that makes it again, files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from magicgui.widgets import Container, PushButton
from magicgui.widgets.bases import Widget
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox

from napari_latent_faces._focus import focus_of
from napari_latent_faces._job import Job
from napari_latent_faces.export import check_export, iter_export
from napari_latent_faces.model_file import is_model_file
from napari_latent_faces.report import harmless_lines
from napari_latent_faces.script import as_python

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

__all__ = ["ResultActions"]


class ResultActions(Container[Widget]):
    """Buttons for the model that the viewer is about.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer whose focus is followed.
    tell : callable
        Shows the user a text.
    """

    def __init__(
        self, viewer: napari.components.ViewerModel, tell: Callable[[str], object]
    ) -> None:
        super().__init__(labels=False, layout="horizontal")
        self._tell = tell
        self._focus = focus_of(viewer)
        self._export: Job | None = None
        self.copy_button = PushButton(text="Copy as Python")
        self.export_button = PushButton(text="Export...")
        self.margins = (0, 0, 0, 0)
        self.extend([self.copy_button, self.export_button])
        self.copy_button.changed.connect(self.copy)
        self.export_button.changed.connect(self._export_or_cancel)
        self._focus.model_changed.connect(self._sync)
        self.native.destroyed.connect(self._abandon)
        self._sync()

    @property
    def is_exporting(self) -> bool:
        """Whether files are being written."""
        return self._export is not None

    def copy(self) -> None:
        """Put a script that makes the model again on the clipboard."""
        model, clipboard = self._focus.model, QApplication.clipboard()
        if model is not None and clipboard is not None:
            clipboard.setText(as_python(model))
            self._tell("Copied: paste it into a file or a notebook.")

    def _export_or_cancel(self) -> None:
        if self.is_exporting:
            self.cancel()
        else:
            self.ask_and_export()

    def cancel(self) -> None:
        """End the export that is going on, and leave the folder as it was."""
        if self._export is not None:
            self._export.abandon()
            self._end("The export was cancelled.")

    def ask_and_export(self) -> None:
        """Ask for a folder and write the model there as plain files."""
        if self._focus.model is None:
            return
        chosen = QFileDialog.getExistingDirectory(
            self.native, "Export into this folder: model, pictures and weights"
        )
        if chosen and self._may_replace(Path(chosen)):
            self.export(Path(chosen))

    def export(self, folder: Path) -> None:
        """Write the model to a folder; what goes wrong is shown in napari."""
        if self._focus.model is None or self.is_exporting:
            return
        replace = folder.exists()
        try:
            check_export(folder, force=replace)
        except OSError as error:
            show_error(harmless_lines(str(error)))
            return
        self._export = Job(iter_export, self._focus.model, folder, force=replace)
        self._export.stepped.connect(self._on_step)
        self._export.returned.connect(self._on_written)
        self._export.failed.connect(self._on_failed)
        self._sync()
        self._tell("Writing ...")
        self._export.start()

    def _may_replace(self, folder: Path) -> bool:
        if not is_model_file(folder / "model.npz"):
            return True
        question = f"{folder} holds an earlier export. Replace it?"
        buttons = QMessageBox.StandardButton
        answer = QMessageBox.question(self.native, "Export", question)
        return bool(answer == buttons.Yes)

    def _on_step(self, step: tuple[int, int]) -> None:
        done, total = step
        self._tell(f"Writing: {done / total:.0%} ...")

    def _on_written(self, folder: Path) -> None:
        self._end(f"Written to {folder}.")

    def _on_failed(self, why: str) -> None:
        self._end(f"The export failed: {why}")

    def _end(self, text: str) -> None:
        self._export = None
        self._tell(text)
        self._sync()

    def _sync(self) -> None:
        """Bring the buttons in line with the model."""
        model = self._focus.model
        self.copy_button.enabled = model is not None
        self.export_button.enabled = model is not None or self.is_exporting
        self.export_button.text = "Cancel export" if self.is_exporting else "Export..."
        about = f" ({model.params.title}, {model.n_components})" if model is not None else ""
        self.copy_button.tooltip = f"A script that makes this result again{about}."
        self.export_button.tooltip = (
            "End the export; the folder stays as it was (Esc)."
            if self.is_exporting
            else f"Model, pictures of the components and weights as files{about}."
        )

    def _abandon(self) -> None:
        """Stop listening for a widget that is gone."""
        self._focus.model_changed.disconnect(self._sync)
        if self._export is not None:
            # it goes on, since it was asked for, but there is nobody left to tell
            self._export.stepped.disconnect(self._on_step)
            self._export.returned.disconnect(self._on_written)
            self._export.failed.disconnect(self._on_failed)
