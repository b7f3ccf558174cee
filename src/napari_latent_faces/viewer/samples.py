"""Sample data: faces for File > Open Sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_latent_faces.samples import read_lfw_subset, read_olivetti, sample_faces

if TYPE_CHECKING:
    from napari_latent_faces.stack import FaceStack
    from napari_latent_faces.viewer.layers import LayerData

__all__ = ["drawn_faces", "drawn_faces_in_colour", "lfw_faces", "olivetti_faces"]


def drawn_faces() -> list[LayerData]:
    """Return 400 drawn faces of 40 people as an image layer."""
    return _labelled_layer(sample_faces(), "drawn faces")


def drawn_faces_in_colour() -> list[LayerData]:
    """Return the 400 drawn faces in colour as an image layer."""
    return _labelled_layer(sample_faces(colour=True), "drawn faces in colour")


def lfw_faces() -> list[LayerData]:
    """Return the 100 real faces that come with scikit-image as an image layer."""
    return _labelled_layer(read_lfw_subset(), "LFW faces")


def olivetti_faces() -> list[LayerData]:
    """Return the 400 Olivetti faces as an image layer; the first time they are downloaded."""
    from napari.utils import progress
    from napari.utils.notifications import show_info

    try:
        stack = read_olivetti(download=False)
    except FileNotFoundError:
        show_info("Downloading the Olivetti faces (about 4 MB, only this once).")
        with progress(total=0, desc="downloading the Olivetti faces"):
            stack = read_olivetti()
    return _labelled_layer(stack, "Olivetti faces")


def _labelled_layer(stack: FaceStack, name: str) -> list[LayerData]:
    """Return a sample as an image layer, and let its viewer name the faces."""
    from napari_latent_faces.viewer.layers import faces_layer
    from napari_latent_faces.viewer.session import session_of_opening_viewer

    session_of_opening_viewer()
    return [faces_layer(stack, name)]
