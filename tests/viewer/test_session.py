"""What the panels of a viewer are about."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_latent_faces.fitting import fit
from napari_latent_faces.params import NMFParams, PCAParams
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.fitting import ResultLayers, ShowOptions
from napari_latent_faces.viewer.layers import MODEL_KEY, faces_layer
from napari_latent_faces.viewer.session import session_of
from napari_latent_faces.viewer.window import text_overlay


@pytest.fixture(scope="module")
def drawn():
    return sample_faces(4, 3)


@pytest.fixture(scope="module")
def models(drawn):
    return [fit(drawn, n_components=k, tol=1e-2) for k in (3, 4)]


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def faces(viewer, drawn):
    """Return a layer of plain pictures."""
    return viewer.add_image(np.asarray(drawn.images), name="faces")


@pytest.fixture
def focus(viewer):
    return session_of(viewer)


def show(viewer, faces, model, method=NMFParams):
    ResultLayers(viewer, faces, ShowOptions(), method).show_model(model)


def test_a_finished_fit_is_the_model_and_the_slider_its_face(viewer, faces, focus, models):
    seen = []
    focus.changed.connect(lambda: seen.append((focus.model, focus.face)))
    show(viewer, faces, models[0])
    focus.select_component(2)
    focus.go_to_face(2)
    focus.go_to_face(2)
    assert (focus.model, focus.faces, focus.face) == (models[0], faces, 2)
    assert seen[0][0] in (None, models[0])
    assert seen.count((models[0], 2)) == 1
    assert focus.component == 2  # until the model changes
    show(viewer, faces, models[1])
    assert focus.component is None
    viewer.layers.clear()
    assert (focus.model, focus.faces, focus.face) == (None, None, None)
    focus.go_to_face(1)


def test_the_active_layer_decides_between_two_stacks(viewer, faces, focus, drawn, models):
    other = viewer.add_image(np.asarray(drawn.images), name="other")
    shown = list(zip((faces, other), models, strict=True))
    for layer, model in shown:
        show(viewer, layer, model)
    for layer, model in shown:
        viewer.layers.selection.active = layer
        assert focus.model is model


def test_what_is_shown_decides_between_two_methods(viewer, faces, focus, drawn, models):
    show(viewer, faces, models[0])
    pca = fit(drawn, PCAParams(n_components=3))
    show(viewer, faces, pca, PCAParams)
    assert focus.model is pca
    for layer in viewer.layers:
        if MODEL_KEY in layer.metadata:
            layer.visible = not layer.visible
    assert focus.model is models[0]


# -- The name of the face under the slider, in the canvas and in the status bar --------


def shown(viewer):
    overlay = text_overlay(viewer)
    return overlay.text if overlay.visible else None


@pytest.fixture
def orl(viewer, focus, stack):
    """Return the layer of a stack that was opened in a viewer with a session."""
    return viewer.add_layer(Layer.create(*faces_layer(stack, "orl")))


def test_the_overlay_follows_the_slider(viewer, orl):
    assert "top_left" in str(text_overlay(viewer).position)  # where no notification covers it
    for place, words in (
        (3, "s1/4.png  |  subject s1  |  face 3"),
        (29, "s6/5.png  |  subject s6  |  face 29"),
    ):
        viewer.dims.set_point(0, place)
        assert shown(viewer) == words
    orl.scale = (2, 1, 1)
    viewer.dims.set_point(0, 8)
    assert shown(viewer).endswith("face 4")  # counted in its own faces


@pytest.mark.usefixtures("orl")
def test_the_status_bar_names_the_face_and_keeps_the_coordinates(viewer):
    viewer.dims.set_point(0, 3)
    assert viewer.status["coordinates"].startswith("s1/4.png")
    form = dict.fromkeys(("source_type", "plugin"), "")
    viewer.status = {"layer_base": "orl", "coordinates": " [3 1 2]: 7", **form}
    assert viewer.status["coordinates"].startswith("s1/4.png")
    assert viewer.status["coordinates"].endswith("[3 1 2]: 7")
    viewer.status = "Ready"
    assert viewer.status == "Ready"


def test_without_faces_the_overlay_is_left_alone(viewer):
    text_overlay(viewer).text = "mine"
    text_overlay(viewer).visible = True
    session_of(viewer)
    viewer.add_image(np.zeros((5, 8, 8)))
    viewer.dims.set_point(0, 2)
    assert shown(viewer) == "mine"


def test_the_active_stack_is_the_one_that_is_named(viewer, orl, stack):
    other = viewer.add_layer(Layer.create(*faces_layer(stack[10:20], "other")))
    viewer.dims.set_point(0, 2)
    for layer, name in ((orl, "s1/3.png"), (other, "s3/3.png")):
        viewer.layers.selection.active = layer
        assert shown(viewer).startswith(name)


def test_a_session_is_one_and_keeps_no_viewer_alive(stack):
    viewer = ViewerModel()
    assert session_of(viewer) is session_of(viewer)
    viewer.add_layer(Layer.create(*faces_layer(stack, "orl")))
    gone = weakref.ref(viewer)
    del viewer
    gc.collect()
    assert gone() is None
