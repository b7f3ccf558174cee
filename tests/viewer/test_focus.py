"""What the panels of a viewer are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_latent_faces.fitting import fit
from napari_latent_faces.params import PCAParams
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.fitting import ResultLayers, ShowOptions
from napari_latent_faces.viewer.layers import MODEL_KEY
from napari_latent_faces.viewer.session import session_of

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
