from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from superqt.utils import WorkerBase

from napari_latent_faces.fitting import fit
from napari_latent_faces.viewer.fitting import EncodeJob
from napari_latent_faces.viewer.layers import MODEL_KEY, ROLE_KEY, faces_layer
from napari_latent_faces.viewer.results import ResultLayers, ShowOptions
from napari_latent_faces.viewer.session import session_of
from tests.jobs import run


@pytest.fixture
def viewer(empty_viewer, stack):
    empty_viewer.add_layer(Layer.create(*faces_layer(stack, "new")))
    return empty_viewer


def roles(viewer):
    found = [layer.metadata.get(ROLE_KEY) for layer in viewer.layers]
    return [role for role in found if role != "captions"]


def test_the_result_is_that_of_a_script(viewer, stack, model, qtbot):
    job = EncodeJob(viewer, viewer.layers["new"], model)
    steps = []
    job.stepped.connect(steps.append)
    told = run(qtbot, job)
    errors = model.errors(stack)
    assert f"30 faces, mean relative error {errors.mean():.4f}" in told
    assert steps[-1] == (30, 30)
    assert roles(viewer) == [None, "encoded", "encoded residual"]
    shown = viewer.layers["encoded [new]"]
    np.testing.assert_array_equal(shown.metadata[MODEL_KEY].weights, model.encode(stack))
    assert not isinstance(shown.data, np.ndarray)
    low, high = viewer.layers["encoded residual [new]"].contrast_limits
    assert low == -high


def test_other_panels_find_the_encoded_faces(viewer, stack, model, qtbot):
    run(qtbot, EncodeJob(viewer, viewer.layers["new"], model))
    focus = session_of(viewer).focus
    assert focus.model.components is model.components
    assert focus.model.provenance.encoded_from == "made/faces"
    assert focus.faces is viewer.layers["new"]
    focus.go_to_face(17)
    assert focus.face == 17
    np.testing.assert_allclose(focus.model.weights[17], model.encode(stack.images[17]))


def test_a_second_run_takes_the_layers_of_the_first(viewer, stack, model, qtbot):
    run(qtbot, EncodeJob(viewer, viewer.layers["new"], model))
    first = list(viewer.layers)
    first[1].colormap = "viridis"
    other = fit(stack, n_components=5, max_iter=20, tol=0)
    run(qtbot, EncodeJob(viewer, viewer.layers["new"], other))
    assert list(viewer.layers) == first
    assert first[1].colormap.name == "viridis"
    assert session_of(viewer).focus.model.n_components == 5


def test_a_later_fit_leaves_encoded_faces_alone_and_they_leave_its_layers(
    viewer, stack, model, qtbot
):
    faces = viewer.layers["new"]
    run(qtbot, EncodeJob(viewer, faces, model))
    ResultLayers(viewer, faces, ShowOptions(residual=True)).show_model(model)
    assert sorted(filter(None, roles(viewer))) == [
        "encoded", "encoded residual", "gallery", "reconstruction", "residual",
    ]  # fmt: skip
    run(qtbot, EncodeJob(viewer, faces, model))
    assert len(roles(viewer)) == 6


def test_pictures_of_another_size_are_resized_with_a_note(viewer, model, qtbot):
    large = np.random.default_rng(0).integers(0, 256, (4, 24, 26), np.uint8)
    layer = viewer.add_image(large, name="large")
    told = run(qtbot, EncodeJob(viewer, layer, model))
    assert "Scaled from 26 x 24 to the model's 10 x 12 pixels, cut at the middle" in told
    assert viewer.layers["encoded [large]"].data.shape == (4, 12, 10)


@pytest.mark.parametrize("rgb", [False, True])
def test_a_single_picture_is_seen_wherever_the_slider_is(viewer, model, qtbot, rgb):
    pixels = np.full((30, 20, 3) if rgb else (30, 20), 90, np.uint8)
    layer = viewer.add_image(pixels, rgb=rgb, name="me")
    told = run(qtbot, EncodeJob(viewer, layer, model))
    assert told.startswith("Relative error 0.")
    assert ("luminance" in told) == rgb
    shown = viewer.layers["encoded [me]"]
    assert shown.data.shape == (12, 10)
    viewer.dims.set_point(0, 22)
    focus = session_of(viewer).focus
    assert (focus.face, focus.model.provenance.names) == (0, ("me",))


def test_cancel_and_removal_leave_nothing(viewer, model, qtbot):
    for end in (lambda job: job.cancel(), lambda _: viewer.layers.remove("new")):
        job = EncodeJob(viewer, viewer.layers["new"], model)
        told = []
        job.ended.connect(told.append)
        job.start()
        end(job)
        qtbot.waitUntil(lambda told=told: len(told) == 1)
        assert job.is_over
        qtbot.waitUntil(lambda: not WorkerBase._worker_set)
        assert set(roles(viewer)) <= {None}
    assert "removed" in told[0]


def test_what_is_wrong_is_shown(viewer, model, qtbot, notes):
    bad = viewer.add_image(np.full((3, 12, 10), -1.0), name="bad", contrast_limits=(0, 1))
    assert "failed" in run(qtbot, EncodeJob(viewer, bad, model))
    assert len(notes) == 1
    assert "negative" in notes[0]
    with pytest.raises(ValueError, match="A picture"):
        EncodeJob(viewer, viewer.add_image(np.zeros((2, 3, 4, 4))), model)


def test_two_viewers_at_once(viewer, stack, model, qtbot):
    other = ViewerModel()
    other.add_layer(Layer.create(*faces_layer(stack[:9], "new")))
    jobs = [EncodeJob(each, each.layers["new"], model) for each in (viewer, other)]
    for job in jobs:
        job.start()
    qtbot.waitUntil(lambda: all(job.result is not None for job in jobs))
    assert [len(job.encoding.errors) for job in jobs] == [30, 9]
