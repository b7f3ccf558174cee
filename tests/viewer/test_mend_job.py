from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer

from napari_latent_faces.viewer.fitting import MendJob
from napari_latent_faces.viewer.layers import ROLE_KEY, faces_layer
from napari_latent_faces.viewer.results import ResultLayers, ShowOptions
from napari_latent_faces.viewer.session import session_of
from tests.jobs import run


@pytest.fixture
def viewer(empty_viewer, stack):
    empty_viewer.add_layer(Layer.create(*faces_layer(stack, "new")))
    return empty_viewer


@pytest.fixture
def faces(viewer):
    return viewer.layers["new"]


@pytest.fixture
def box():
    mask = np.zeros((12, 10), np.uint8)
    mask[3:6, 2:8] = 1
    return mask


def changed(viewer, stack):
    """Return which faces are shown mended."""
    mended = np.asarray(viewer.layers["mended [new]"].data)
    return np.flatnonzero((mended != stack.images).any(axis=(1, 2))).tolist()


def test_the_result_is_that_of_a_script(viewer, faces, stack, model, box, qtbot):
    labels = viewer.add_labels(box)
    told = run(qtbot, MendJob(viewer, faces, model, labels))
    assert told == "30 faces are mended. Remove the layer to undo it."
    shown = viewer.layers["mended [new]"]
    np.testing.assert_array_equal(np.asarray(shown.data), model.mend(stack, box))
    assert shown.metadata[ROLE_KEY] == "mended"
    assert shown.metadata["names"] == stack.names
    assert tuple(shown.contrast_limits) == (0, 255)


def test_this_face_only_and_then_another(viewer, faces, stack, model, box, qtbot):
    labels = viewer.add_labels(box)
    for face, expected in ((7, [7]), (3, [3, 7]), (7, [3, 7])):
        told = run(qtbot, MendJob(viewer, faces, model, labels, face))
        assert told.startswith("1 face is mended")
        assert changed(viewer, stack) == expected
    viewer.layers.remove("mended [new]")  # is how to undo it
    run(qtbot, MendJob(viewer, faces, model, labels, 5))
    assert changed(viewer, stack) == [5]


def test_each_face_has_marks_of_its_own(viewer, faces, stack, model, box, qtbot):
    masks = np.zeros(stack.shape, np.uint8)
    masks[4], masks[20] = box, np.roll(box, 5, axis=0)
    labels = viewer.add_labels(masks)
    told = run(qtbot, MendJob(viewer, faces, model, labels))
    assert told.startswith("2 faces are mended")
    assert changed(viewer, stack) == [4, 20]
    np.testing.assert_array_equal(
        viewer.layers["mended [new]"].data[20], model.mend(stack.images[20], masks[20])
    )


def test_shapes_on_a_slice(viewer, faces, stack, model, box, qtbot):
    corners = np.array([(2.5, 1.5), (2.5, 7.5), (5.5, 7.5), (5.5, 1.5)])
    shapes = viewer.add_shapes([np.insert(corners, 0, 6, axis=1)], shape_type="rectangle")
    run(qtbot, MendJob(viewer, faces, model, shapes))
    assert changed(viewer, stack) == [6]
    np.testing.assert_array_equal(
        viewer.layers["mended [new]"].data[6], model.mend(stack.images[6], box)
    )


@pytest.mark.parametrize("face", [None, 2])
def test_an_empty_mask_is_told(viewer, faces, stack, model, box, qtbot, face, notes):
    masks = np.zeros(stack.shape, np.uint8)
    if face is not None:
        masks[9] = box  # of another face
    labels = viewer.add_labels(masks, name="my mask")
    assert "failed" in run(qtbot, MendJob(viewer, faces, model, labels, face))
    [note] = notes
    assert "my mask marks nothing of" in note
    assert ("these faces" if face is None else "s1/3.png") in note
    assert "mended [new]" not in viewer.layers


def test_faces_of_another_size_are_refused(viewer, model, box):
    large = viewer.add_image(np.zeros((4, 24, 20)))
    with pytest.raises(ValueError, match=r"read them with size=\(12, 10\)"):
        MendJob(viewer, large, model, viewer.add_labels(box))


def test_a_mask_that_hides_a_component_is_told(viewer, faces, model, qtbot, notes):
    labels = viewer.add_labels(np.ones((12, 10), np.uint8))
    labels.data[0, :2] = 0
    run(qtbot, MendJob(viewer, faces, model, labels))
    assert "warning: The mask leaves 's1/1.png' and 29 other faces fewer visible" in notes[0]


def test_a_single_picture(viewer, stack, model, box, qtbot):
    picture = viewer.add_image(stack.images[3], name="me")
    run(qtbot, MendJob(viewer, picture, model, viewer.add_labels(box)))
    shown = viewer.layers["mended [me]"]
    np.testing.assert_array_equal(shown.data, model.mend(stack.images[3], box))


def test_mending_changes_neither_focus_nor_fit(viewer, faces, model, box, qtbot):
    results = ResultLayers(viewer, faces, ShowOptions())
    results.show_model(model)
    run(qtbot, MendJob(viewer, faces, model, viewer.add_labels(box)))
    assert session_of(viewer).focus.model is model
    lefts = [each.translate[-1] for each in viewer.layers if each.ndim == 3]
    assert len(set(lefts)) == 3
    ResultLayers(viewer, faces, ShowOptions()).show_model(model)
    assert "mended [new]" in viewer.layers
