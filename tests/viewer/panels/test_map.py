"""The panel that shows all faces of a model as a map."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt

from napari_latent_faces.explaining import map_faces
from napari_latent_faces.fitting import fit
from napari_latent_faces.stack import FaceStack
from napari_latent_faces.viewer.fitting import EncodeJob
from napari_latent_faces.viewer.panels.map import MapWidget
from napari_latent_faces.viewer.panels.mixer import MixerWidget
from napari_latent_faces.viewer.session import session_of
from tests.jobs import run


@pytest.fixture
def panel(make):
    return make(MapWidget, 420, 700)


@pytest.fixture
def plane(panel, faces, model, show_model, qtbot):
    """Return the map of a model."""
    show_model(faces, model)
    return ready(panel, qtbot)


def ready(panel, qtbot):
    qtbot.waitUntil(lambda: panel.found is not None and not panel.is_working)
    qtbot.waitUntil(lambda: all(each is not None for each in panel.plane.pictures))
    panel.plane.grab()
    return panel.plane


def click(plane, face, qtbot):
    qtbot.mouseClick(
        plane.viewport(), Qt.MouseButton.LeftButton, pos=plane.place_of(face).toPoint()
    )


def test_faces_lie_where_they_are_placed_and_a_click_goes_to_one(
    viewer, panel, faces, stack, model, show_model, qtbot
):
    assert "No model" in panel.status.value
    show_model(faces, model)
    plane = ready(panel, qtbot)
    np.testing.assert_array_equal(plane.positions, map_faces(model).positions)
    np.testing.assert_array_equal(np.stack(plane.pictures), stack.images)
    assert f"{map_faces(model).kept:.0%}" in panel.status.value
    focus = session_of(viewer)
    for face in plane.shown[:4].tolist():
        click(plane, face, qtbot)
        assert focus.face == plane.current == face
    # the current face stands out on any ground
    edge = plane.place_of(face) - QPointF(plane._picture[0] / 2 + 2.5, 0)
    picture = plane.grab().toImage()
    place = edge * (picture.width() / plane.width())
    assert picture.pixelColor(place.toPoint()).lightness() > 200
    focus.go_to_face(21)
    assert plane.current == 21
    plane.hovered.emit(21)
    assert (
        panel.words.value == f"{stack.names[21]}  |  subject {stack.subjects[21]}  |  face 21"
    )


def test_keys_and_a_drag_move_the_map_and_sizes_make_room(viewer, panel, plane, qtbot):
    focus = session_of(viewer)
    focus.go_to_face(int(plane.shown[0]))
    few, face = len(plane.shown), plane.current
    place = plane.place_of(face)
    for _ in range(4):
        qtbot.keyClick(plane, Qt.Key.Key_Plus)
    assert plane.place_of(face) != place
    qtbot.keyClick(plane, Qt.Key.Key_Home)
    assert plane.place_of(face) == place
    start, stop = QPoint(200, 200), QPoint(230, 190)
    qtbot.mousePress(plane.viewport(), Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(plane.viewport(), stop)
    qtbot.mouseRelease(plane.viewport(), Qt.MouseButton.LeftButton, pos=stop)
    assert (plane.place_of(face) - place).toPoint() == stop - start
    assert focus.face == face  # that was no click
    panel.picture_size.value = 110
    plane.grab()
    assert len(plane.shown) < few
    qtbot.mouseClick(panel.whole_button.native, Qt.MouseButton.LeftButton)
    panel.picture_size.value = 20
    plane.grab()
    assert len(plane.shown) > few
    places = np.array([[plane.place_of(i).x(), plane.place_of(i).y()] for i in range(30)])
    assert (places > 10).all()
    assert (places < [plane.width() - 10, plane.height() - 10]).all()

    seen = [int(plane.positions[:, 0].argmin())]
    focus.go_to_face(seen[0])
    for _ in range(30):
        qtbot.keyClick(plane, Qt.Key.Key_Right)
        seen += [plane.current] * (plane.current != seen[-1])
    assert (np.diff(plane.positions[seen, 0]) > 0).all()
    assert seen[-1] == plane.positions[:, 0].argmax()
    assert len(seen) > 2


def test_subjects_and_weights_have_colours(viewer, panel, plane, stack, model, qtbot):
    subjects = np.array(stack.subjects)
    for name in set(subjects):
        assert len(np.unique(plane.colours[subjects == name], axis=0)) == 1
    assert len(np.unique(plane.colours, axis=0)) == len(set(subjects))
    panel.colour.value = "component"
    assert plane.colours is None
    session_of(viewer).select_component(1)
    qtbot.waitUntil(lambda: plane.colours is not None)
    reds = plane.colours[:, 0].astype(int)
    order = np.argsort(model.weights[:, 1])
    assert (np.diff(reds[order]) >= 0).all()
    assert np.ptp(reds) > 100


def test_the_mixed_face_moves_with_its_weights_and_kept_ones_stay(
    viewer, panel, plane, model, make, qtbot
):
    viewer.dims.set_point(0, 4)
    assert plane.extra is None
    mixer = make(MixerWidget)
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


def test_encoded_faces_are_drawn_in(viewer, panel, stack, add_faces, show_model, qtbot):
    model = fit(stack[:20], n_components=3, max_iter=60, tol=0)
    faces, new = add_faces(stack[:20], "orl"), add_faces(stack[20:], "new")
    show_model(faces, model)
    run(qtbot, EncodeJob(viewer, new, model))
    viewer.layers.selection.active = faces
    qtbot.waitUntil(lambda: panel.session.model is model)
    plane = ready(panel, qtbot)
    qtbot.waitUntil(lambda: len(plane.positions) == 30)
    placed = map_faces(model).project(model.encode(stack.images[20:]))
    np.testing.assert_allclose(plane.positions[20:], placed, atol=1e-3)
    click(ready(panel, qtbot), 23, qtbot)
    assert viewer.dims.current_step[0] == 3


def test_other_methods_come_with_time_and_can_be_cancelled(panel, plane, model, qtbot):
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


def test_lazy_faces_are_read_in_the_background_and_those_that_cannot_be_read_stay_dots(
    viewer, panel, model, stack, add_faces, show_model, qtbot
):
    images = da.from_array(stack.images, chunks=(1, -1, -1))
    lazy = add_faces(FaceStack(images, stack.names, stack.subjects))
    show_model(lazy, model)
    plane = ready(panel, qtbot)
    np.testing.assert_array_equal(np.stack(plane.pictures), stack.images)

    def read(block_info=None):
        place = block_info[None]["chunk-location"][0]
        if place > 20:
            raise OSError("disk gone")
        return stack.images[place][None]

    images = da.map_blocks(
        read, chunks=((1,) * 30, (12,), (10,)), dtype=np.uint8, meta=stack.images[:0]
    )
    broken = add_faces(FaceStack(images, stack.names, stack.subjects), "broken")
    show_model(broken, fit(stack, n_components=4, max_iter=20, tol=0))
    qtbot.waitUntil(lambda: "disk gone" in panel.status.value)
    assert plane.pictures[25] is None
    plane.grab()
    assert plane.at(plane.place_of(25)) is not None


def test_another_model_has_another_map_and_none_has_none_and_colours_are_seen(
    viewer, panel, plane, faces, stack, show_model, add_model, qtbot
):
    other = show_model(faces, fit(stack, n_components=5, max_iter=20, tol=0))
    qtbot.waitUntil(lambda: panel.found is not None and panel.found.model is other)
    ready(panel, qtbot)
    np.testing.assert_array_equal(plane.positions, map_faces(other).positions)
    viewer.layers.clear()
    qtbot.waitUntil(lambda: len(plane.positions) == 0)
    assert "No model" in panel.status.value
    rng = np.random.default_rng(0)
    colour = fit(rng.random((12, 8, 6, 3)), n_components=2, max_iter=20, tol=0)
    add_model(colour)  # without its faces reconstructions are shown
    qtbot.waitUntil(lambda: len(plane.positions) == 12)
    ready(panel, qtbot)
    shown = np.clip(colour.reconstruct() / colour.scale, 0, 1) * 255
    np.testing.assert_allclose(np.stack(plane.pictures), shown, atol=1.01)
