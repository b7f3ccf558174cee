"""The panel that shows all faces of a model as a map."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import QPoint, QPointF, Qt

from napari_latent_faces.explaining import map_faces
from napari_latent_faces.fitting import fit
from napari_latent_faces.stack import FaceStack
from napari_latent_faces.viewer.fitting import EncodeJob, ResultLayers, ShowOptions
from napari_latent_faces.viewer.layers import faces_layer
from napari_latent_faces.viewer.layout import model_layers
from napari_latent_faces.viewer.panels.map import MapWidget
from napari_latent_faces.viewer.panels.mixer import MixerWidget
from napari_latent_faces.viewer.session import session_of
from tests.jobs import run


def show(viewer, stack, model):
    faces = viewer.add_layer(Layer.create(*faces_layer(stack, "orl")))
    ResultLayers(viewer, faces, ShowOptions()).show_model(model)
    return faces


@pytest.fixture
def panel(viewer, qtbot):
    panel = MapWidget(viewer)
    qtbot.addWidget(panel)
    panel.resize(420, 700)
    panel.show()
    return panel


def ready(panel, qtbot):
    qtbot.waitUntil(lambda: panel.found is not None and not panel.is_working)
    qtbot.waitUntil(lambda: all(each is not None for each in panel.plane.pictures))
    panel.plane.repaint()
    return panel.plane


def click(plane, face, qtbot):
    qtbot.mouseClick(plane, Qt.MouseButton.LeftButton, pos=plane.place_of(face).toPoint())


def colour_at(plane, place):
    return plane.grab().toImage().pixelColor(place.toPoint())


def test_faces_lie_where_they_are_placed_and_a_click_goes_to_one(
    viewer, panel, stack, model, qtbot
):
    assert "No model" in panel.status.value
    show(viewer, stack, model)
    plane = ready(panel, qtbot)
    np.testing.assert_array_equal(plane.positions, map_faces(model).positions)
    np.testing.assert_array_equal(np.stack(plane.pictures), stack.images)
    assert f"{map_faces(model).kept:.0%}" in panel.status.value
    focus = session_of(viewer)
    for face in plane.shown[:4].tolist():
        click(plane, face, qtbot)
        assert focus.face == plane.current == face
    focus.go_to_face(21)
    assert plane.current == 21
    plane.hovered.emit(21)
    assert (
        panel.words.value == f"{stack.names[21]}  |  subject {stack.subjects[21]}  |  face 21"
    )


def test_the_wheel_makes_room_for_more_pictures_and_a_drag_moves_them(
    viewer, panel, stack, model, qtbot
):
    show(viewer, stack, model)
    plane = ready(panel, qtbot)
    session_of(viewer).go_to_face(int(plane.shown[0]))
    few, face = len(plane.shown), plane.current
    place = plane.place_of(face)
    for _ in range(4):
        qtbot.keyClick(plane, Qt.Key.Key_Plus)
    assert plane.place_of(face) != place
    qtbot.keyClick(plane, Qt.Key.Key_Home)
    assert plane.place_of(face) == place
    before = plane.place_of(face)
    start, stop = QPoint(200, 200), QPoint(230, 190)
    qtbot.mousePress(plane, Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(plane, stop)
    qtbot.mouseRelease(plane, Qt.MouseButton.LeftButton, pos=stop)
    assert (plane.place_of(face) - before).toPoint() == stop - start
    assert session_of(viewer).face == face  # that was no click
    panel.picture_size.value = 110
    plane.repaint()
    assert len(plane.shown) < few
    qtbot.mouseClick(panel.whole_button.native, Qt.MouseButton.LeftButton)
    panel.picture_size.value = 20
    plane.repaint()
    assert len(plane.shown) > few


def test_arrow_keys_go_to_the_nearest_face_on_a_side(viewer, panel, stack, model, qtbot):
    show(viewer, stack, model)
    plane = ready(panel, qtbot)
    start = int(plane.positions[:, 0].argmin())
    session_of(viewer).go_to_face(start)
    seen = [start]
    for _ in range(30):
        qtbot.keyClick(plane, Qt.Key.Key_Right)
        seen += [plane.current] * (plane.current != seen[-1])
    assert (np.diff(plane.positions[seen, 0]) > 0).all()
    assert seen[-1] == plane.positions[:, 0].argmax()
    assert len(seen) > 2


def test_subjects_and_weights_have_colours(viewer, panel, stack, model, qtbot):
    show(viewer, stack, model)
    plane = ready(panel, qtbot)
    subjects = np.array(stack.subjects)
    for name in set(subjects):
        assert len(np.unique(plane.colours[subjects == name], axis=0)) == 1
    assert len(np.unique(plane.colours, axis=0)) == len(set(subjects))
    panel.colour.value = "component"
    assert plane.colours is None
    session_of(viewer).select_component(1)
    reds = plane.colours[:, 0].astype(int)
    order = np.argsort(model.weights[:, 1])
    assert (np.diff(reds[order]) >= 0).all()
    assert np.ptp(reds) > 100


def test_the_mixed_face_moves_with_its_weights_and_kept_ones_stay(
    viewer, panel, stack, model, qtbot
):
    show(viewer, stack, model)
    viewer.dims.set_point(0, 4)
    plane = ready(panel, qtbot)
    assert plane.extra is None
    mixer = MixerWidget(viewer)
    qtbot.addWidget(mixer)
    qtbot.waitUntil(lambda: plane.extra is not None)
    np.testing.assert_allclose(plane.extra[0], plane.positions[4], atol=1e-3)
    mixer.mix.set_weights(model.weights[9].astype(float))
    qtbot.waitUntil(lambda: np.allclose(plane.extra[0], plane.positions[9], atol=1e-3))
    np.testing.assert_allclose(plane.extra[1], np.clip(model.reconstruct(9), 0, 255), atol=1.01)
    mixer.keep()
    qtbot.waitUntil(lambda: len(plane.positions) == 31)
    np.testing.assert_allclose(plane.positions[30], plane.positions[9], atol=1e-3)
    mixer.mix.set_weights(model.weights[2].astype(float))
    mixer.keep()
    qtbot.waitUntil(lambda: len(plane.positions) == 32)
    ready(panel, qtbot)
    np.testing.assert_allclose(plane.pictures[31], model.reconstruct(2), atol=1.01)
    plane.hovered.emit(31)
    assert panel.words.value == "generated 1"
    viewer.layers.remove("generated faces [orl]")
    qtbot.waitUntil(lambda: len(plane.positions) == 30)


def test_encoded_faces_are_drawn_in(viewer, panel, stack, qtbot):
    model = fit(stack[:20], n_components=3, max_iter=60, tol=0)
    faces = show(viewer, stack[:20], model)
    new = viewer.add_layer(Layer.create(*faces_layer(stack[20:], "new")))
    run(qtbot, EncodeJob(viewer, new, model))
    viewer.layers.selection.active = faces
    qtbot.waitUntil(lambda: panel.session.model is model)
    plane = ready(panel, qtbot)
    qtbot.waitUntil(lambda: len(plane.positions) == 30)
    placed = map_faces(model).project(model.encode(stack.images[20:]))
    np.testing.assert_allclose(plane.positions[20:], placed, atol=1e-3)
    click(ready(panel, qtbot), 23, qtbot)
    assert viewer.dims.current_step[0] == 3


def test_other_methods_come_with_time_and_can_be_cancelled(viewer, panel, stack, model, qtbot):
    show(viewer, stack, model)
    plane = ready(panel, qtbot)
    flat = plane.positions
    panel.method.value = "tsne"
    assert panel.is_working
    qtbot.mouseClick(panel.cancel_button.native, Qt.MouseButton.LeftButton)
    assert panel.method.value == "pca"
    np.testing.assert_array_equal(plane.positions, flat)
    panel.method.value = "mds"
    qtbot.waitUntil(lambda: panel.found.method == "mds" and not panel.is_working)
    np.testing.assert_array_equal(plane.positions, map_faces(model, "mds").positions)
    panel.method.value = "pca"
    assert not panel.is_working  # it is still known
    np.testing.assert_array_equal(plane.positions, flat)


def test_lazy_faces_are_read_in_the_background_those_that_are_seen_first(
    viewer, panel, model, stack, qtbot
):
    images = da.from_array(stack.images, chunks=(1, -1, -1))
    show(viewer, FaceStack(images, stack.names, stack.subjects), model)
    plane = ready(panel, qtbot)
    np.testing.assert_array_equal(np.stack(plane.pictures), stack.images)


def test_faces_that_cannot_be_read_stay_dots(viewer, panel, stack, model, qtbot):
    def read(block_info=None):
        place = block_info[None]["chunk-location"][0]
        if place > 20:
            raise OSError("disk gone")
        return stack.images[place][None]

    images = da.map_blocks(
        read, chunks=((1,) * 30, (12,), (10,)), dtype=np.uint8, meta=stack.images[:0]
    )
    show(viewer, FaceStack(images, stack.names, stack.subjects), model)
    qtbot.waitUntil(lambda: "disk gone" in panel.status.value)
    assert panel.plane.pictures[25] is None
    panel.plane.repaint()
    assert panel.plane.at(panel.plane.place_of(25)) is not None


def test_without_the_faces_reconstructions_are_shown_in_colour_too(viewer, panel, qtbot):
    rng = np.random.default_rng(0)
    colour = fit(rng.random((12, 8, 6, 3)), n_components=2, max_iter=20, tol=0)
    for data in model_layers(colour, "colour"):
        viewer.add_layer(Layer.create(*data))
    plane = ready(panel, qtbot)
    shown = np.clip(colour.reconstruct() / colour.scale, 0, 1) * 255
    np.testing.assert_allclose(np.stack(plane.pictures), shown, atol=1.01)


def test_another_model_has_another_map_and_none_has_none(viewer, panel, stack, model, qtbot):
    faces = show(viewer, stack, model)
    ready(panel, qtbot)
    other = fit(stack, n_components=5, max_iter=20, tol=0)
    ResultLayers(viewer, faces, ShowOptions()).show_model(other)
    qtbot.waitUntil(lambda: panel.found is not None and panel.found.model is other)
    np.testing.assert_array_equal(panel.plane.positions, map_faces(other).positions)
    viewer.layers.clear()
    assert len(panel.plane.positions) == 0
    assert "No model" in panel.status.value


def test_the_current_face_stands_out_on_any_ground(viewer, panel, stack, model, qtbot):
    show(viewer, stack, model)
    plane = ready(panel, qtbot)
    face = int(plane.shown[0])
    session_of(viewer).go_to_face(face)
    w = plane.grab().toImage().width() / plane.width()
    edge = plane.place_of(face) - QPointF(plane._picture[0] / 2 + 2.5, 0)
    assert colour_at(plane, edge * w).lightness() > 200
