from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_latent_faces.encoding import iter_mend
from napari_latent_faces.steps import consume
from napari_latent_faces.viewer.layers import (
    ENCODED,
    ENCODED_RESIDUAL,
    FACES_KEY,
    MODEL_KEY,
    ROLE_KEY,
    FacesView,
    encoded_layers,
    mended_layer,
)


@pytest.fixture
def faces():
    return ViewerModel().add_image(
        np.zeros((3, 24, 26), np.uint8), scale=(1, 2, 2), translate=(0, 7, -5), name="f"
    )


def test_layers_of_encoded_faces(stack, model, faces):
    other = model.encoded(stack)
    found = encoded_layers(stack, other, FacesView.of(faces))
    for role, name in ((ENCODED, "encoded [f]"), (ENCODED_RESIDUAL, "encoded residual [f]")):
        layer = Layer.create(*found[role])
        assert layer.name == name
        assert layer.metadata[ROLE_KEY] == role
        assert layer.metadata[MODEL_KEY] is other
        assert layer.metadata[FACES_KEY] == str(faces.unique_id)
        assert layer.metadata["names"] == stack.names
    low, high = found[ENCODED_RESIDUAL][1]["contrast_limits"]
    assert low == -high < 0
    rebuilt, left = (np.asarray(found[role][0]) for role in (ENCODED, ENCODED_RESIDUAL))
    np.testing.assert_allclose(rebuilt + left, stack.images, atol=1e-3)


def test_a_single_picture_is_flat(stack, model):
    one = ViewerModel().add_image(stack.images[0], scale=(2, 3))
    view = FacesView.of(one)
    found = encoded_layers(stack[:1], model.encoded(stack[:1]), view, flat=True)
    for data in found.values():
        layer = Layer.create(*data)
        assert layer.ndim == 2
        assert tuple(layer.scale) == (2, 3)


def test_mended_faces_have_no_model(stack, model, faces):
    mask = np.zeros((12, 10), bool)
    mask[2] = True
    mended = consume(iter_mend(model, stack, mask, faces=[3]))
    layer = Layer.create(*mended_layer(mended, stack, FacesView.of(faces)))
    assert MODEL_KEY not in layer.metadata
    assert layer.metadata["names"] == stack.names
    assert layer.data is mended
    assert Layer.create(*mended_layer(mended, stack, FacesView.of(faces), flat=True)).ndim == 2
