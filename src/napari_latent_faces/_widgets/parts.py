"""What several panels are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Layer, Shapes

from napari_latent_faces.layers import ROLE_KEY

if TYPE_CHECKING:
    import napari
    from magicgui.widgets import ProgressBar

__all__ = ["NO_FACES", "face_stacks", "mark_layers", "show_progress"]

NO_FACES = (
    "No stack of faces yet. Open one with File > IO Utilities > Open folder of faces..., or "
    "a sample with File > Open Sample > Latent faces."
)
"""What a panel says that has nothing to work on."""


def face_stacks(viewer: napari.components.ViewerModel) -> list[Image]:
    """Return the layers of a viewer that can be factorized."""
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, Image)
        and layer.ndim == 3
        and not layer.rgb
        and ROLE_KEY not in layer.metadata
    ]


def mark_layers(viewer: napari.components.ViewerModel) -> list[Layer]:
    """Return the layers of a viewer that can mark pixels, the uppermost first."""
    return [layer for layer in reversed(viewer.layers) if isinstance(layer, (Labels, Shapes))]


def show_progress(bar: ProgressBar, done: int, total: int) -> None:
    """Set a bar, without Qt drawing the whole window before it returns."""
    if bar.max != total:
        bar.max = total
    bar.native.setUpdatesEnabled(False)
    bar.value = done
    bar.native.setUpdatesEnabled(True)
