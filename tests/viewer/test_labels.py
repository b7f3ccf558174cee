from __future__ import annotations

import gc
import weakref

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer

from napari_latent_faces.viewer.layers import faces_layer
from napari_latent_faces.viewer.session import session_of
from napari_latent_faces.viewer.window import text_overlay


def shown(viewer):
    overlay = text_overlay(viewer)
    return overlay.text if overlay.visible else None


def faced(stack, name="orl"):
    viewer = ViewerModel()
    session_of(viewer)
    viewer.add_layer(Layer.create(*faces_layer(stack, name)))
    return viewer


def test_the_overlay_follows_the_slider(stack):
    viewer = faced(stack)
    viewer.dims.set_point(0, 3)
    assert shown(viewer) == "s1/4.png  |  subject s1  |  face 3"
    assert "top_left" in str(text_overlay(viewer).position)  # where no notification covers it
    viewer.dims.set_point(0, 29)
    assert shown(viewer) == "s6/5.png  |  subject s6  |  face 29"


def test_the_status_bar_names_the_face_and_keeps_the_coordinates(stack):
    viewer = faced(stack)
    viewer.dims.set_point(0, 3)
    assert viewer.status["coordinates"].startswith("s1/4.png")
    napari_says = {
        "layer_base": "orl",
        "source_type": "",
        "plugin": "",
        "coordinates": " [3 1 2]: 7",
    }
    viewer.status = napari_says
    assert viewer.status["coordinates"].startswith("s1/4.png")
    assert viewer.status["coordinates"].endswith("[3 1 2]: 7")
    viewer.status = "Ready"
    assert viewer.status == "Ready"


def test_without_faces_the_overlay_is_left_alone(stack):
    viewer = ViewerModel()
    text_overlay(viewer).text = "mine"
    text_overlay(viewer).visible = True
    session_of(viewer)
    viewer.add_image(np.zeros((5, 8, 8)))
    viewer.dims.set_point(0, 2)
    assert shown(viewer) == "mine"


def test_the_active_stack_is_the_one_that_is_named(stack):
    viewer = faced(stack)
    other = stack[10:20]
    viewer.add_layer(Layer.create(*faces_layer(other, "other")))
    viewer.dims.set_point(0, 2)
    viewer.layers.selection.active = viewer.layers["orl"]
    assert shown(viewer).startswith("s1/3.png")
    viewer.layers.selection.active = viewer.layers["other"]
    assert shown(viewer).startswith("s3/3.png")


def test_a_stack_with_another_step_is_counted_in_its_own_faces(stack):
    viewer = faced(stack)
    viewer.layers[0].scale = (2, 1, 1)
    viewer.dims.set_point(0, 8)
    assert shown(viewer).endswith("face 4")


def test_labelling_twice_changes_nothing_and_keeps_no_viewer_alive(stack):
    viewer = faced(stack)
    assert session_of(viewer) is session_of(viewer)
    gone = weakref.ref(viewer)
    del viewer
    gc.collect()
    assert gone() is None
