from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import QWidget

from napari_latent_faces.aligning import align_faces, fill_points, oval_mask
from napari_latent_faces.fitting import fit
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.fitting import ResultLayers, ShowOptions
from napari_latent_faces.viewer.layers import faces_layer, stack_of, to_world, why_not_faces
from napari_latent_faces.viewer.panels.align import AlignWidget
from napari_latent_faces.viewer.panels.fit import FitWidget
from tests.test_aligning import moved, similarities


@pytest.fixture(scope="module")
def known():
    """Return what aligns the faces."""
    found = similarities(48, seed=1)
    return found @ np.linalg.inv(found.mean(0))


@pytest.fixture(scope="module")
def stack(known):
    drawn = sample_faces(12, 4)
    still = moved(drawn.images, align_faces(drawn, size=(92, 76)).transforms)
    return replace(drawn, images=moved(still, np.linalg.inv(known)))


@pytest.fixture
def widget(viewer, qtbot):
    widget = AlignWidget(viewer)
    qtbot.addWidget(widget)
    return widget


@pytest.fixture
def faces(viewer, stack):
    layer = viewer.add_layer(Layer.create(*faces_layer(stack, "new")))
    layer.contrast_limits = (0, 200)
    layer.scale = (1, 2, 2)
    return layer


def run(widget, qtbot):
    widget.start_button.native.click()
    assert widget.is_working
    qtbot.waitUntil(lambda: not widget.is_working)


def box(layer):
    """Return lowest and highest y and x of a layer of pictures in the viewer."""
    h, w = layer.data.shape[1:3]
    corners = [layer.data_to_world((0, y - 0.5, x - 0.5))[1:] for y in (0, h) for x in (0, w)]
    return np.min(corners, 0), np.max(corners, 0)


def test_aligned_faces_come_beside_the_others_and_are_no_result(
    widget, viewer, faces, stack, qtbot
):
    means = []
    widget.crop.value, widget.n_components.value, widget.oval.value = "92, 76", 8, True
    job = widget.start()
    job.stepped.connect(lambda step: means.append(step.mean))
    qtbot.waitUntil(lambda: not widget.is_working)
    aligned = viewer.layers["aligned [new]"]
    expected = align_faces(stack, size=(92, 76), n_components=8)
    np.testing.assert_array_equal(aligned.data, expected.images)
    again = stack_of(aligned)
    np.testing.assert_array_equal(again.transforms, expected.transforms)
    assert (again.frame, again.names) == (expected.frame, stack.names)
    assert not why_not_faces(aligned)
    assert viewer.layers.selection.active is aligned
    assert aligned.contrast_limits == [0, 200]
    np.testing.assert_allclose(to_world(aligned, 3)[:3, :3], to_world(faces, 3)[:3, :3])
    qtbot.waitUntil(lambda: box(aligned)[0][1] > box(faces)[1][1])  # to the right of them
    assert "48 faces aligned: error of 8 components" in widget.status.value
    sharpness = [np.hypot(*np.gradient(each)).var() for each in means]
    assert sharpness[-1] > 1.5 * sharpness[0]

    mask = viewer.layers["ignore [aligned [new]]"]
    np.testing.assert_array_equal(mask.data != 0, oval_mask((92, 76)))
    np.testing.assert_allclose(mask.data_to_world((0, 0)), aligned.data_to_world((0, 0, 0))[1:])
    assert widget.faces.value is faces  # they are not aligned once more

    panel = FitWidget(viewer)  # which ignores the corners unless it is told otherwise
    qtbot.addWidget(panel)
    assert panel.faces.value is aligned
    assert panel.ignore.value is mask
    panel.ignore.value = None
    viewer.add_labels(np.zeros((5, 5), int))
    assert panel.ignore.value is None
    panel.faces.value = faces
    panel.faces.value = aligned
    assert panel.ignore.value is mask


def test_before_shows_the_same_part_in_the_same_place(widget, viewer, faces, stack, qtbot):
    run(widget, qtbot)
    aligned = viewer.layers["aligned [new]"]
    button = widget.before_button.native
    button.click()
    before = viewer.layers["before [new]"]
    top, left = stack_of(aligned).frame[:2]
    h, w = aligned.data.shape[1:]
    shown = stack.images[:, top : top + h, left : left + w]
    np.testing.assert_array_equal(np.asarray(before.data), shown)
    np.testing.assert_array_equal(box(before), box(aligned))
    assert (before.visible, aligned.visible) == (True, False)
    assert why_not_faces(before)
    aligned.visible = True
    model = fit(stack, n_components=3, tol=1e-2)
    ResultLayers(viewer, faces, ShowOptions()).show_model(model)  # pushes both to the right
    qtbot.waitUntil(
        lambda: box(aligned)[0][1] > box(viewer.layers["reconstruction [new]"])[1][1]
    )
    np.testing.assert_array_equal(box(before), box(aligned))
    aligned.visible = False
    button.click()
    assert aligned.visible
    assert before not in viewer.layers
    button.click()
    run(widget, qtbot)  # again, with what is shown now
    assert before not in viewer.layers
    assert sum(layer.name.startswith("aligned") for layer in viewer.layers) == 1
    assert aligned.visible
    assert not button.isChecked()


def test_before_goes_with_the_aligned_faces_and_with_the_panel(widget, viewer, faces, qtbot):
    holder = QWidget()
    qtbot.addWidget(holder)
    widget.setParent(holder)
    run(widget, qtbot)
    widget.before_button.native.click()
    viewer.layers.remove(viewer.layers["aligned [new]"])
    qtbot.waitUntil(lambda: "before [new]" not in viewer.layers)
    run(widget, qtbot)
    assert not widget.before_button.native.isChecked()
    widget.before_button.native.click()
    assert not viewer.layers["aligned [new]"].visible
    widget.setParent(None)  # as napari does with a panel that is closed
    assert viewer.layers["aligned [new]"].visible
    assert "before [new]" not in viewer.layers


def test_points_lead_from_face_to_face_and_the_model_fills_in_the_rest(
    widget, viewer, faces, stack, known, qtbot
):
    places = np.array([[40.0, 30, 1], [40, 60, 1]]).T  # of aligned faces
    eyes = np.swapaxes((known @ places)[:, :2], 1, 2)
    viewer.dims.set_point(0, 0)
    widget.click_button.native.click()
    assert "Click the eye on the left" in widget.status.value
    layer = widget.eyes.layer
    assert (layer.mode, viewer.layers.selection.active) == ("add", layer)
    for face in range(30):
        qtbot.waitUntil(lambda face=face: widget.eyes.face == face)
        for point in eyes[face]:
            layer.add([face, *point])
    qtbot.waitUntil(lambda: widget.eyes.face == 30)
    widget.undo_button.native.click()
    assert widget.eyes.face == viewer.dims.point[0] == 29
    assert widget.eyes.counts[28:31].tolist() == [2, 1, 0]
    assert "Now the eye on the right" in widget.status.value
    layer.add([29, *eyes[29, 1]])
    widget.fill_button.native.click()
    qtbot.waitUntil(lambda: not widget.is_working)
    assert (widget.eyes.counts == 2).all()
    found = np.stack([layer.data[layer.data[:, 0] == face, 1:] for face in range(48)])
    np.testing.assert_array_equal(found[:30], eyes[:30])
    away = np.linalg.norm(found - eyes, axis=2)[30:]
    moved_by = np.linalg.norm(eyes[30:] - places[:2].T, axis=2)
    assert np.median(away) < 0.5 * np.median(moved_by)

    assert widget.by.value is layer
    run(widget, qtbot)
    aligned = stack_of(viewer.layers["aligned [new]"])
    expected = align_faces(stack, fill_points(layer.data, known))
    np.testing.assert_allclose(aligned.transforms, expected.transforms, atol=1e-6)


def test_lazy_faces_stay_lazy_and_points_count_where_they_are_seen(
    widget, viewer, faces, stack, known, qtbot
):
    import dask.array

    faces.data = dask.array.from_array(stack.images, (8, -1, -1))
    places = np.array([[40.0, 30, 1], [40, 60, 1]]).T
    eyes = np.swapaxes((known @ places)[:, :2], 1, 2)
    rows = np.array([(i, *point) for i, points in enumerate(eyes) for point in points])
    points = viewer.add_points(rows * (1, 2, 2), name="eyes")  # the faces are twice as large
    widget.by.value = points
    run(widget, qtbot)
    aligned = viewer.layers["aligned [new]"]
    assert hasattr(aligned.data, "dask")
    np.testing.assert_allclose(stack_of(aligned).transforms, known, atol=1e-6)


def test_wrong_sizes_and_cancel_change_nothing(widget, viewer, faces, notes, qtbot):
    widget.crop.value = "large"
    assert widget.start() is None
    widget.crop.value = "200, 10"
    assert widget.start() is not None
    qtbot.waitUntil(lambda: not widget.is_working)
    assert "size must be (height, width)" in notes[0]
    assert "does not fit into pictures of 92 x 112" in notes[1]
    widget.crop.value = ""
    job = widget.start()
    widget.cancel_button.native.click()
    assert job.is_over
    assert widget.status.value == "Cancelled; nothing was changed."
    assert [*viewer.layers] == [faces]
