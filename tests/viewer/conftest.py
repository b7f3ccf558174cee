"""What tests of the viewer share: a viewer without a window that shows faces."""

from __future__ import annotations

import pytest
from napari.layers import Layer

from napari_latent_faces.viewer.layers import faces_layer


@pytest.fixture
def viewer(empty_viewer, stack):
    empty_viewer.add_layer(Layer.create(*faces_layer(stack, "orl")))
    return empty_viewer
