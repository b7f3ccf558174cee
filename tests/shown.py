"""What a viewer shows."""

from __future__ import annotations

from napari_latent_faces.viewer.layers import ROLE_KEY


def layers_in(viewer):
    """Return the layers but for the captions, which come when Qt has time for them."""
    return [each for each in viewer.layers if each.metadata.get(ROLE_KEY) != "captions"]
