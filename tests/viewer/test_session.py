"""What the panels of a viewer are about."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_latent_faces.fitting import fit
from napari_latent_faces.params import PCAParams
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.fitting import ResultLayers, ShowOptions
from napari_latent_faces.viewer.layers import MODEL_KEY, faces_layer
from napari_latent_faces.viewer.session import session_of
from napari_latent_faces.viewer.window import text_overlay

if TYPE_CHECKING:
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.stack import FaceStack


@pytest.fixture(scope="module")
def faces() -> FaceStack:
    return sample_faces(4, 3)


@pytest.fixture(scope="module")
def models(faces: FaceStack) -> list[LatentFaces]:
    return [fit(faces, n_components=k, tol=1e-2) for k in (3, 4)]


@pytest.fixture
def viewer(faces: FaceStack) -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_image(np.asarray(faces.images), name="faces")
    return viewer


def show(viewer: ViewerModel, faces: Any, model: LatentFaces) -> None:
    ResultLayers(viewer, faces, ShowOptions()).show_model(model)


def test_a_finished_fit_is_the_model_and_the_slider_its_face(
    viewer: ViewerModel, models: list[LatentFaces]
) -> None:
    focus, seen = session_of(viewer), []
    focus.changed.connect(lambda: seen.append((focus.model, focus.face)))
    show(viewer, viewer.layers["faces"], models[0])
    focus.go_to_face(2)
    focus.go_to_face(2)
    assert focus.model is models[0]
    assert focus.faces is viewer.layers["faces"]
    assert focus.face == 2
    assert seen[0][0] in (None, models[0])
    assert seen.count((models[0], 2)) == 1


def test_the_active_layer_decides_between_two_stacks(
    viewer: ViewerModel, faces: FaceStack, models: list[LatentFaces]
) -> None:
    other = viewer.add_image(np.asarray(faces.images), name="other")
    show(viewer, viewer.layers["faces"], models[0])
    show(viewer, other, models[1])
    viewer.layers.selection.active = viewer.layers["faces"]
    assert session_of(viewer).model is models[0]
    viewer.layers.selection.active = other
    assert session_of(viewer).model is models[1]


def test_what_is_shown_decides_between_two_methods(
    viewer: ViewerModel, faces: FaceStack, models: list[LatentFaces]
) -> None:
    focus, stack = session_of(viewer), viewer.layers["faces"]
    show(viewer, stack, models[0])
    pca = fit(faces, PCAParams(n_components=3))
    ResultLayers(viewer, stack, ShowOptions(), PCAParams).show_model(pca)
    assert focus.model is pca
    for layer in viewer.layers:
        if MODEL_KEY in layer.metadata:
            layer.visible = not layer.visible
    assert focus.model is models[0]


def test_a_component_stays_chosen_until_the_model_changes(
    viewer: ViewerModel, models: list[LatentFaces]
) -> None:
    focus = session_of(viewer)
    show(viewer, viewer.layers["faces"], models[0])
    focus.select_component(2)
    focus.go_to_face(1)
    assert focus.component == 2
    show(viewer, viewer.layers["faces"], models[1])
    assert focus.component is None


def test_nothing_is_left_when_the_layers_are_removed(
    viewer: ViewerModel, models: list[LatentFaces]
) -> None:
    show(viewer, viewer.layers["faces"], models[0])
    viewer.layers.clear()
    focus = session_of(viewer)
    assert focus.model is None
    assert focus.face is None
    assert focus.faces is None
    focus.go_to_face(1)


# -- The name of the face under the slider, in the canvas and in the status bar --------


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
