from __future__ import annotations

import numpy as np
from napari.layers import Layer

from napari_latent_faces.fitting import fit
from napari_latent_faces.params import PCAParams
from napari_latent_faces.tiles import component_rgb
from napari_latent_faces.viewer.layers import FacesView, gallery_layer


def test_thumbnails_have_the_colours_of_the_gallery(stack, model):
    signed = fit(stack, PCAParams(n_components=3))
    layer = Layer.create(*gallery_layer(signed, FacesView()))
    shown = layer.colormap.map((signed.components[1].ravel() + 1) / 2)[:, :3] * 255
    rgb = component_rgb(signed.components[1], is_signed=True)
    assert rgb.shape == (12, 10, 3)
    np.testing.assert_allclose(rgb.reshape(-1, 3), shown, atol=3)
    grey = component_rgb(model.components, is_signed=False)
    assert (np.ptp(grey, axis=-1) == 0).all()
    assert grey.max() == 255
