"""The panel that shows what builds the face under the slider."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QApplication, QWidget

from napari_latent_faces.explaining import Explainer, NearestFaces, face_error
from napari_latent_faces.fitting import fit
from napari_latent_faces.params import PCAParams
from napari_latent_faces.stack import FaceStack
from napari_latent_faces.viewer.fitting import ResultLayers, ShowOptions
from napari_latent_faces.viewer.layers import faces_layer
from napari_latent_faces.viewer.layout import model_layers
from napari_latent_faces.viewer.panels.explain import MEAN, ExplainWidget
from napari_latent_faces.viewer.session import session_of
from tests.jobs import end_all_work


@pytest.fixture
def panel(viewer, qtbot):
    panel = ExplainWidget(viewer)
    qtbot.addWidget(panel)
    panel.resize(360, 800)
    panel.show()
    return panel


@pytest.fixture
def ready(viewer, panel, stack, model, qtbot):
    """Show faces and model; return the panel at the first face."""
    show(viewer, stack, model)
    wait_until_ready(panel, qtbot)
    return panel


def show(viewer, stack, model, name="orl"):
    faces = viewer.add_layer(Layer.create(*faces_layer(stack, name)))
    ResultLayers(viewer, faces, ShowOptions()).show_model(model)
    return faces


def wait_until_ready(panel, qtbot):
    qtbot.waitUntil(lambda: not panel.face_page.isHidden())


def go_to(viewer, face):
    session_of(viewer).go_to_face(face)
    QApplication.processEvents()


def click(strip, row, qtbot):
    place = strip.visualRect(strip.model().index(row, 0)).center()
    qtbot.mouseClick(strip.viewport(), Qt.MouseButton.LeftButton, pos=place)


def keys(strip):
    return [item.key for item in strip.items]


def test_without_a_model_it_says_what_to_do(panel, viewer, stack):
    assert panel.face_page.isHidden()
    assert panel.status.value.startswith("Fit a model first")
    viewer.add_layer(Layer.create(*faces_layer(stack, "orl")))
    assert panel.status.value.startswith("Fit a model first")


def test_it_names_the_face_and_its_own_error(ready, viewer, stack, model):
    for face in (0, 17, 29):
        go_to(viewer, face)
        words = ready.portrait.words.text().replace("\N{ZERO WIDTH SPACE}", "")
        error = face_error(model, face, stack.images[face])
        assert words.split("\n") == [
            stack.names[face],
            f"subject {stack.subjects[face]}",
            f"face {face} (0 to 29)",
            f"relative error {error:.4f}",
        ]


def test_parts_are_weight_times_picture_the_largest_share_first(ready, viewer, model):
    for face in (0, 17):
        go_to(viewer, face)
        parts = Explainer(model).parts(face)
        assert keys(ready.parts) == parts.components.tolist()
        for item, weight, share in zip(
            ready.parts.items, parts.weights, parts.shares, strict=True
        ):
            picture = model.components[item.key] * weight / parts.weights.max()
            np.testing.assert_allclose(item.pixels, picture, atol=1e-6)
            assert item.text == f"#{item.key}\n{share:.1%}"


def test_the_last_sum_is_the_reconstruction(ready, viewer, model):
    go_to(viewer, 8)
    assert len(ready.sums.items) == len(ready.parts.items)
    last = ready.sums.items[-1]
    np.testing.assert_allclose(last.pixels * model.scale, model.reconstruct(8), atol=1e-3)
    assert last.text.endswith("100%")
    assert last.limits == (0, 1)


def test_nearest_faces_are_shown_and_a_click_goes_there(ready, viewer, model, stack, qtbot):
    go_to(viewer, 5)
    found, _ = NearestFaces(model).find(model.weights[5], 12, exclude=5)
    assert keys(ready.nearest) == found.tolist()
    assert [item.text.split("\n")[0] for item in ready.nearest.items] == [
        stack.subjects[face] for face in found
    ]
    for item in ready.nearest.items:
        np.testing.assert_array_equal(item.pixels, stack.images[item.key])
    click(ready.nearest, 1, qtbot)
    assert session_of(viewer).face == found[1]


def test_faces_have_the_contrast_of_their_layer(ready, viewer, qtbot):
    viewer.layers["orl"].contrast_limits = (10, 90)
    qtbot.waitUntil(lambda: {item.limits for item in ready.nearest.items} == {(10, 90)})


def test_a_click_on_a_part_shows_who_uses_it_most(ready, viewer, model, qtbot):
    assert not ready.users.isVisible()
    component = ready.parts.items[1].key
    click(ready.parts, 1, qtbot)
    assert session_of(viewer).component == component
    assert ready.users.isVisible()
    faces, _ = Explainer(model).users(component, 24)
    assert keys(ready.users) == faces.tolist()
    assert ready.users_title.text().startswith(f"Component {component}, ")
    click(ready.users, 2, qtbot)
    assert session_of(viewer).face == faces[2]
    assert keys(ready.users) == faces.tolist()  # they do not depend on the face


def test_a_component_chosen_elsewhere_is_marked_here(ready, viewer):
    component = ready.parts.items[0].key
    session_of(viewer).select_component(component)
    for strip in (ready.parts, ready.sums):
        [index] = strip.selectedIndexes()
        assert strip.items[index.row()].key == component
    session_of(viewer).select_component(None)
    assert not ready.parts.selectedIndexes()
    assert not ready.users.isVisible()


def test_a_drag_of_the_slider_is_one_update(ready, viewer, monkeypatch, qtbot):
    shown = []
    monkeypatch.setattr(ready.portrait, "show_words", shown.append)
    for face in range(1, 20):
        session_of(viewer).go_to_face(face)
    qtbot.waitUntil(lambda: bool(shown))
    QApplication.processEvents()
    assert len(shown) == 1
    assert "face 19 (0 to 29)" in shown[0]


def test_rows_do_not_scroll_back_when_the_face_changes(viewer, panel, stack, qtbot):
    model = fit(stack, n_components=25, max_iter=3, tol=0)
    show(viewer, stack, model)
    wait_until_ready(panel, qtbot)
    panel.parts.scroll_bar.setValue(150)
    assert panel.sums.scroll_bar.value() == 150
    go_to(viewer, 3)
    assert panel.parts.scroll_bar.value() == 150


def test_a_slider_that_never_rests_is_followed(ready, viewer, qtbot, monkeypatch):
    updates, left = [], list(range(40))
    monkeypatch.setattr(
        ready.portrait, "show_words", lambda _: updates.append(len(left)), raising=True
    )
    timer = QTimer()

    def move():
        go = session_of(viewer).go_to_face
        for face in (left.pop() % 2, left.pop() % 2):
            go(face)
        if not left:
            timer.stop()

    timer.timeout.connect(move)
    timer.start(0)
    qtbot.waitUntil(lambda: not left)
    assert len([moves for moves in updates if moves]) >= 5  # while it is dragged


def test_lazy_faces_are_read_when_the_slider_rests(viewer, panel, stack, model, qtbot):
    asked = []

    def read(block_info=None):
        asked.append(block_info[None]["chunk-location"][0])
        return stack.images[asked[-1]][None]

    images = da.map_blocks(
        read, chunks=((1,) * 30, (12,), (10,)), dtype=np.uint8, meta=stack.images[:0]
    )
    lazy = FaceStack(images, stack.names, stack.subjects)
    show(viewer, lazy, model)
    wait_until_ready(panel, qtbot)
    asked.clear()
    for face in range(3, 12):
        go_to(viewer, face)
        panel.update_face()
    assert "relative error ..." in panel.portrait.words.text()
    qtbot.waitUntil(lambda: "..." not in panel.portrait.words.text())
    wanted = {11, *keys(panel.nearest)}
    qtbot.waitUntil(lambda: wanted <= set(asked))
    end_all_work()
    QApplication.processEvents()
    for item in panel.nearest.items:
        np.testing.assert_array_equal(item.pixels, stack.images[item.key])
    error = face_error(model, 11, stack.images[11])
    assert f"relative error {error:.4f}" in panel.portrait.words.text()


def test_faces_that_cannot_be_read_are_told(viewer, panel, stack, model, qtbot):
    faces = show(viewer, stack, model)
    wait_until_ready(panel, qtbot)

    def gone(block):
        raise OSError("s1/1.png is gone")

    broken = da.from_array(stack.images, chunks=(1, -1, -1)).map_blocks(
        gone, dtype=np.uint8, meta=stack.images[:0]
    )
    faces.visible = False  # the layer itself would look at the pictures
    QApplication.processEvents()  # the patch is on all layers: these are to rest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(faces), "data", broken)
        panel.update_face()
        qtbot.waitUntil(lambda: "s1/1.png is gone" in panel.portrait.words.text())


def test_a_model_without_its_faces_shows_reconstructions(viewer, panel, model, qtbot):
    for data in model_layers(model, "m"):
        viewer.add_layer(Layer.create(*data))
    wait_until_ready(panel, qtbot)
    go_to(viewer, 2)
    assert "unknown without the faces" in panel.portrait.words.text()
    assert not panel.portrait.face.isVisible()
    item = panel.nearest.items[0]
    np.testing.assert_allclose(item.pixels, model.reconstruct(item.key), atol=1e-3)


def test_it_follows_the_next_model_and_the_loss_of_it(ready, viewer, stack, qtbot):
    other = fit(stack, n_components=5, max_iter=5, tol=0)
    ResultLayers(viewer, viewer.layers["orl"], ShowOptions()).show_model(other)
    assert ready.face_page.isHidden()
    wait_until_ready(ready, qtbot)
    assert set(keys(ready.parts)) <= set(range(5))
    viewer.layers.clear()
    QApplication.processEvents()
    assert ready.status.value.startswith("Fit a model first")


def test_a_slider_without_faces_is_told(ready, viewer, stack):
    viewer.add_image(np.zeros((60, 4, 4)), name="longer")
    viewer.dims.set_point(0, 45)
    QApplication.processEvents()
    assert "None of the model's faces" in ready.status.value
    viewer.dims.set_point(0, 4)
    QApplication.processEvents()
    assert not ready.face_page.isHidden()


def test_the_switch_sets_how_the_gallery_follows(ready, viewer, qtbot):
    galleries = session_of(viewer)
    assert galleries.mode == "brightness" == ready.follow.currentData()
    qtbot.keyClick(ready.follow, Qt.Key.Key_Down)
    assert galleries.mode == "border"
    galleries.follow_by("off")
    assert ready.follow.currentData() == "off"


def test_a_closed_panel_follows_no_more_and_the_gallery_is_plain(viewer, stack, model, qtbot):
    panel = ExplainWidget(viewer)
    parent = QWidget()
    qtbot.addWidget(parent)
    panel.setParent(parent)
    show(viewer, stack, model)
    wait_until_ready(panel, qtbot)
    gallery = viewer.layers["latent faces [orl]"].data
    go_to(viewer, 3)
    lit = gallery.copy()
    panel.setParent(None)
    assert session_of(viewer).mode == "off"
    assert not np.array_equal(gallery, lit, equal_nan=True)
    panel.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    go_to(viewer, 4)
    session_of(viewer).select_component(1)
    viewer.layers.clear()


def test_a_deleted_panel_is_not_called_any_more(viewer, stack, model):
    panel = ExplainWidget(viewer)
    panel.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    show(viewer, stack, model)
    go_to(viewer, 4)
    assert session_of(viewer).mode == "off"


def test_two_panels_of_two_viewers_keep_apart(ready, viewer, stack, model, qtbot):
    second = ViewerModel()
    other = ExplainWidget(second)
    qtbot.addWidget(other)
    show(second, stack, model)
    wait_until_ready(other, qtbot)
    go_to(viewer, 6)
    go_to(second, 9)
    click(ready.parts, 0, qtbot)
    assert "face 6 (0" in ready.portrait.words.text()
    assert "face 9 (0" in other.portrait.words.text()
    assert session_of(second).component is None


def test_eigenfaces_are_added_to_the_mean_face_with_their_signs(viewer, panel, stack, qtbot):
    model = fit(stack, PCAParams(n_components=4))
    show(viewer, stack, model)
    wait_until_ready(panel, qtbot)
    parts = Explainer(model).parts(session_of(viewer).face)
    assert keys(panel.parts) == keys(panel.sums) == [MEAN, *parts.components.tolist()]
    signs = [item.text.partition("\n")[2][0] for item in panel.parts.items[1:]]
    assert signs == ["+" if weight > 0 else "\N{MINUS SIGN}" for weight in parts.weights]
    np.testing.assert_allclose(panel.sums.items[0].pixels, model.mean)
    whole = model.reconstruct(session_of(viewer).face) / model.scale
    np.testing.assert_allclose(panel.sums.items[-1].pixels, whole, atol=1e-4)
    click(panel.parts, 1, qtbot)
    assert session_of(viewer).component == parts.components[0]
    click(panel.parts, 0, qtbot)  # the mean face is no component
    assert session_of(viewer).component is None
