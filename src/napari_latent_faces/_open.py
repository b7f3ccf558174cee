"""The menu entry that opens a folder of faces with this plugin, without asking which."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari

__all__ = ["add_faces", "open_faces_folder"]


def open_faces_folder(viewer: napari.Viewer) -> None:
    """Ask for a folder and open it as a stack of faces.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to; given by napari.
    """
    from qtpy.QtWidgets import QApplication, QFileDialog

    folder = QFileDialog.getExistingDirectory(
        QApplication.activeWindow(), "Open folder of faces"
    )
    if folder:
        add_faces(viewer, folder)


def add_faces(viewer: napari.components.ViewerModel, path: str) -> None:
    """Add the faces of a folder or archive to `viewer`; what goes wrong is shown there."""
    from napari.layers import Layer
    from napari.utils.notifications import show_error

    from napari_latent_faces._labels import label_faces
    from napari_latent_faces._reader import NO_LAYER, read_faces_layers
    from napari_latent_faces.report import harmless_lines

    label_faces(viewer)
    try:
        found = read_faces_layers(path)
    except (OSError, ValueError, MemoryError) as error:
        show_error(
            harmless_lines(str(error)) or "There is not enough memory to read these faces."
        )
        return
    for data in found:
        if data is not NO_LAYER:
            viewer.add_layer(Layer.create(*data))
