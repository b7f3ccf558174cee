"""The panels that show what builds the face under the slider, and two models in pairs."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QApplication, QWidget

from napari_latent_faces.explaining import (
    Explainer,
    NearestFaces,
    face_error,
    match_components,
)
from napari_latent_faces.fitting import fit
from napari_latent_faces.params import PCAParams
from napari_latent_faces.stack import FaceStack
from napari_latent_faces.viewer.fitting import ResultLayers, ShowOptions
from napari_latent_faces.viewer.layers import MODEL_KEY, faces_layer
from napari_latent_faces.viewer.panels import explain
from napari_latent_faces.viewer.panels.explain import MEAN, CompareWidget, ExplainWidget
from napari_latent_faces.viewer.session import session_of
from tests.jobs import HeldWork


@pytest.fixture
def panel(make):
    return make(ExplainWidget)


@pytest.fixture
def ready(panel, faces, model, show_model, qtbot):
    """Show faces and model; return the panel at the first face."""
    show_model(faces, model)
    wait_until_ready(panel, qtbot)
    return panel


def wait_until_ready(panel, qtbot):
    qtbot.waitUntil(lambda: not panel.face_page.isHidden())


def go_to(viewer, face):
    session_of(viewer).go_to_face(face)
    QApplication.processEvents()


def keys(strip):
    return [item.key for item in strip.items]


def words(panel):
    return panel.portrait.words.text().replace("\N{ZERO WIDTH SPACE}", "")


# -- what is shown of a face -------------------------------------------------------------


def test_without_a_model_or_a_face_it_says_what_to_do(
    panel, viewer, faces, model, show_model, qtbot
):
    assert panel.face_page.isHidden()
    assert panel.status.value.startswith("No model yet")
    show_model(faces, model)
    wait_until_ready(panel, qtbot)
    viewer.add_image(np.zeros((60, 4, 4)), name="longer")
    for face, is_there in ((45, False), (4, True)):
        viewer.dims.set_point(0, face)
        QApplication.processEvents()
        assert ("None of the model's faces" in panel.status.value) is not is_there
        assert panel.face_page.isHidden() is not is_there


def test_it_tells_name_error_parts_and_their_sum(ready, viewer, stack, model):
    for face in (0, 17, 29):
        go_to(viewer, face)
        error = face_error(model, face, stack.images[face])
        assert words(ready).split("\n") == [
            stack.names[face],
            f"subject {stack.subjects[face]}",
            f"face {face} (0 to 29)",
            f"relative error {error:.4f}",
        ]
        parts = Explainer(model).parts(face)
        assert keys(ready.parts) == keys(ready.sums) == parts.components.tolist()
        for item, weight, share in zip(
            ready.parts.items, parts.weights, parts.shares, strict=True
        ):
            picture = model.components[item.key] * weight / parts.weights.max()
            np.testing.assert_allclose(item.pixels, picture, atol=1e-6)
            assert item.text == f"#{item.key}\n{share:.1%}"
        last = ready.sums.items[-1]
        np.testing.assert_allclose(
            last.pixels * model.scale, model.reconstruct(face), atol=1e-3
        )
        assert last.text.endswith("100%")
        assert last.limits == (0, 1)


def test_nearest_faces_are_shown_with_the_contrast_of_their_layer(
    ready, viewer, model, stack, qtbot, click
):
    go_to(viewer, 5)
    found, _ = NearestFaces(model).find(model.weights[5], 12, exclude=5)
    assert keys(ready.nearest) == found.tolist()
    for item in ready.nearest.items:
        assert item.text.split("\n")[0] == stack.subjects[item.key]
        np.testing.assert_array_equal(item.pixels, stack.images[item.key])
    viewer.layers["orl"].contrast_limits = (10, 90)
    qtbot.waitUntil(lambda: {item.limits for item in ready.nearest.items} == {(10, 90)})
    click(ready.nearest, 1)
    assert session_of(viewer).face == found[1]


def test_a_chosen_component_is_marked_and_shows_who_uses_it_most(ready, viewer, model, click):
    focus = session_of(viewer)
    assert not ready.users.isVisible()
    component = ready.parts.items[1].key
    click(ready.parts, 1)
    assert focus.component == component
    QApplication.processEvents()
    assert ready.users.isVisible()
    faces, _ = Explainer(model).users(component, 24)
    assert keys(ready.users) == faces.tolist()
    assert ready.users_title.text().startswith(f"Component {component}, ")
    click(ready.users, 2)
    QApplication.processEvents()
    assert focus.face == faces[2]
    assert keys(ready.users) == faces.tolist()  # they do not depend on the face
    for strip in (ready.parts, ready.sums):
        [index] = strip.selectedIndexes()
        assert strip.items[index.row()].key == component
    focus.select_component(None)
    QApplication.processEvents()
    assert not ready.parts.selectedIndexes()
    assert not ready.users.isVisible()


def test_eigenfaces_are_added_to_the_mean_face_with_their_signs(
    panel, viewer, faces, stack, show_model, qtbot, click
):
    model = show_model(faces, fit(stack, PCAParams(n_components=4)))
    wait_until_ready(panel, qtbot)
    focus = session_of(viewer)
    parts = Explainer(model).parts(focus.face)
    assert keys(panel.parts) == keys(panel.sums) == [MEAN, *parts.components.tolist()]
    signs = [item.text.partition("\n")[2][0] for item in panel.parts.items[1:]]
    assert signs == ["+" if weight > 0 else "\N{MINUS SIGN}" for weight in parts.weights]
    np.testing.assert_allclose(panel.sums.items[0].pixels, model.mean)
    whole = model.reconstruct(focus.face) / model.scale
    np.testing.assert_allclose(panel.sums.items[-1].pixels, whole, atol=1e-4)
    for row, chosen in ((1, parts.components[0]), (0, None)):  # the mean is no component
        click(panel.parts, row)
        assert focus.component == chosen


# -- following -----------------------------------------------------------------------------


def test_a_dragged_slider_is_followed_by_few_updates(ready, viewer, monkeypatch, qtbot):
    shown, focus = [], session_of(viewer)
    monkeypatch.setattr(ready.portrait, "show_words", shown.append)
    for face in range(1, 20):
        focus.go_to_face(face)
    qtbot.waitUntil(lambda: bool(shown))
    QApplication.processEvents()
    assert len(shown) == 1
    assert "face 19 (0 to 29)" in shown[0]

    left, timer = list(range(40)), QTimer()  # a slider that never rests

    def move():
        for face in (left.pop() % 2, left.pop() % 2):
            focus.go_to_face(face)
        if not left:
            timer.stop()

    timer.timeout.connect(move)
    timer.start(0)
    shown.clear()
    qtbot.waitUntil(lambda: len(left) < 4)
    assert len(shown) >= 5


def test_rows_do_not_scroll_back_when_the_face_changes(
    panel, viewer, faces, stack, show_model, qtbot
):
    show_model(faces, fit(stack, n_components=25, max_iter=3, tol=0))
    wait_until_ready(panel, qtbot)
    panel.parts.scroll_bar.setValue(150)
    assert panel.sums.scroll_bar.value() == 150
    go_to(viewer, 3)
    assert panel.parts.scroll_bar.value() == 150


def test_it_follows_the_next_model_and_the_loss_of_it(
    ready, viewer, faces, stack, show_model, qtbot
):
    show_model(faces, fit(stack, n_components=5, max_iter=5, tol=0))
    qtbot.waitUntil(lambda: len(keys(ready.parts)) > 3)
    assert set(keys(ready.parts)) <= set(range(5))
    viewer.layers.clear()
    QApplication.processEvents()
    assert ready.status.value.startswith("No model yet")
    assert ready.face_page.isHidden()


def test_the_switch_sets_how_the_gallery_follows_until_the_panel_closes(ready, viewer, qtbot):
    session = session_of(viewer)
    assert session.mode == "brightness" == ready.follow.value
    qtbot.keyClick(ready.follow.native, Qt.Key.Key_Down)
    assert session.mode == "border"
    session.follow_by("off")
    assert ready.follow.value == "off"
    session.follow_by("brightness")
    gallery = viewer.layers["latent faces [orl]"].data
    go_to(viewer, 3)
    lit, parent = gallery.copy(), QWidget()
    qtbot.addWidget(parent)
    ready.setParent(parent)
    ready.setParent(None)
    assert session.mode == "off"
    assert not np.array_equal(gallery, lit, equal_nan=True)
    go_to(viewer, 4)
    session_of(viewer).select_component(1)
    viewer.layers.clear()


def test_a_deleted_panel_is_not_called_any_more(viewer, faces, model, show_model):
    panel = ExplainWidget(viewer)
    panel.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    show_model(faces, model)
    go_to(viewer, 4)
    assert session_of(viewer).mode == "off"


def test_two_panels_of_two_viewers_keep_apart(ready, viewer, stack, model, qtbot, click):
    second = ViewerModel()
    other = ExplainWidget(second)
    qtbot.addWidget(other)
    faces = second.add_layer(Layer.create(*faces_layer(stack, "orl")))
    ResultLayers(second, faces, ShowOptions()).show_model(model)
    wait_until_ready(other, qtbot)
    go_to(viewer, 6)
    go_to(second, 9)
    click(ready.parts, 0)
    assert "face 6 (0" in ready.portrait.words.text()
    assert "face 9 (0" in other.portrait.words.text()
    assert session_of(second).component is None


# -- where the faces are ---------------------------------------------------------------------


def test_lazy_faces_are_read_when_the_slider_rests(
    viewer, panel, stack, model, add_faces, show_model, qtbot
):
    asked = []

    def read(block_info=None):
        asked.append(block_info[None]["chunk-location"][0])
        return stack.images[asked[-1]][None]

    images = da.map_blocks(
        read, chunks=((1,) * 30, (12,), (10,)), dtype=np.uint8, meta=stack.images[:0]
    )
    show_model(add_faces(FaceStack(images, stack.names, stack.subjects)), model)
    wait_until_ready(panel, qtbot)
    asked.clear()
    for face in range(3, 12):
        go_to(viewer, face)
        panel.update_face()
    assert "relative error ..." in words(panel)
    qtbot.waitUntil(lambda: "..." not in words(panel))
    wanted = {11, *keys(panel.nearest)}
    qtbot.waitUntil(lambda: wanted <= set(asked))
    qtbot.waitUntil(
        lambda: all(
            np.array_equal(item.pixels, stack.images[item.key]) for item in panel.nearest.items
        )
    )
    error = face_error(model, 11, stack.images[11])
    assert f"relative error {error:.4f}" in words(panel)


def test_faces_that_cannot_be_read_are_told(viewer, ready, faces, stack, qtbot):
    def gone(block):
        raise OSError("s1/1.png is gone")

    broken = da.from_array(stack.images, chunks=(1, -1, -1)).map_blocks(
        gone, dtype=np.uint8, meta=stack.images[:0]
    )
    faces.visible = False  # the layer itself would look at the pictures
    QApplication.processEvents()  # the patch is on all layers: these are to rest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(faces), "data", broken)
        ready.update_face()
        qtbot.waitUntil(lambda: "s1/1.png is gone" in words(ready))


def test_a_model_without_its_faces_shows_reconstructions(
    viewer, panel, model, add_model, qtbot
):
    add_model(model)
    wait_until_ready(panel, qtbot)
    go_to(viewer, 2)
    assert "unknown without the faces" in words(panel)
    assert len(panel.portrait.pictures.items) == 1
    item = panel.nearest.items[0]
    np.testing.assert_allclose(item.pixels, model.reconstruct(item.key), atol=1e-3)


# -- two models side by side ---------------------------------------------------------------


@pytest.fixture
def compare(make):
    return make(CompareWidget, 320, 500)


@pytest.fixture
def pca(stack):
    return fit(stack, PCAParams(n_components=4))


@pytest.fixture
def pair(compare, model, pca, add_model, qtbot):
    """Compare a model on the left with eigenfaces on the right."""
    add_model(model, "one")
    add_model(pca, "other")
    qtbot.waitUntil(compare.table.isVisible)
    return compare


def cells(compare):
    rows = compare.table.rows
    return [
        [rows.index(row, column).data() for column in range(3)]
        for row in range(rows.rowCount())
    ]


def test_pairs_are_in_rows_the_most_similar_first(compare, model, pca, add_model, qtbot):
    assert "Fit them with two methods" in compare.status.value
    add_model(model, "one")
    assert "Fit them with two methods" in compare.status.value
    assert not compare.table.isVisible()
    add_model(pca, "other")
    qtbot.waitUntil(compare.table.isVisible)
    assert compare.models == (model, pca)
    matching = match_components(model, pca)
    wanted = [
        [str(a), str(b), f"{alike:.3f}"]
        for (a, b), alike in zip(matching.pairs, matching.similarity, strict=True)
    ]
    alone = ["\N{EM DASH}", str(matching.unmatched[1][0]), "\N{EM DASH}"]
    assert cells(compare) == [*wanted, alone]
    assert "not at equal k" in compare.status.value
    assert f"{model.error:.4f}" in compare.status.value
    compare.left.combo.value = pca  # the other way round: no model is beside itself
    assert compare.models == (pca, model)
    turned = [[b, a, alike] for a, b, alike in wanted]
    qtbot.waitUntil(lambda: cells(compare) == [*turned, alone[1::-1] + alone[2:]])


def test_pictures_have_their_colours(pair):
    def colours(column):
        icon = pair.table.rows.index(0, column).data(Qt.ItemDataRole.DecorationRole)
        image = icon.pixmap(72, QIcon.Mode.Selected).toImage()  # as in a chosen row
        pixels = ((x, y) for x in range(image.width()) for y in range(image.height()))
        return np.array([image.pixelColor(*pixel).getRgb()[:3] for pixel in pixels])

    assert np.ptp(colours(0).astype(int), axis=-1).max() < 20  # grey
    assert np.ptp(colours(1).astype(int), axis=-1).max() > 100
    assert pair.table.rows.index(0, 2).data(Qt.ItemDataRole.DecorationRole) is None


def test_a_click_chooses_component_and_model_everywhere_and_others_are_followed(
    pair, viewer, model, pca, click
):
    focus, chosen = session_of(viewer), pair.table.selectionModel()
    first, second, _ = cells(pair)[1]
    for column, which, component in ((0, model, first), (1, pca, second)):
        click(pair.table, 1, column)
        assert (focus.model, focus.component) == (which, int(component))
    assert chosen.selectedRows()[0].row() == 1
    focus.select_component(2)
    assert cells(pair)[chosen.selectedRows()[0].row()][1] == "2"
    focus.select_component(None)
    assert not chosen.selectedRows()


def test_models_of_other_faces_are_told(compare, stack, model, add_model, qtbot, told):
    add_model(model, "one")
    add_model(fit(stack.images[:, :9], n_components=2, max_iter=3, tol=0), "other")
    qtbot.waitUntil(lambda: "different faces" in compare.status.value)
    assert not compare.table.isVisible()
    assert not told  # in the panel only


def test_it_follows_the_layers(pair, viewer, stack, model, pca, faces, show_model, qtbot):
    layers = [each for each in viewer.layers if each.metadata.get(MODEL_KEY) is pca]
    better = fit(stack, PCAParams(n_components=3))
    for layer in layers:  # as a second fit does
        layer.metadata = {**layer.metadata, MODEL_KEY: better}
    session_of(viewer).refresh()
    qtbot.waitUntil(lambda: "at equal k" in pair.status.value)
    assert pair.models == (model, better)
    again = show_model(faces, fit(stack, n_components=5, max_iter=5, tol=0))
    assert pair.models == (model, better)  # what is chosen stays
    assert again in pair.left.combo.choices
    viewer.layers.clear()
    qtbot.waitUntil(pair.table.isHidden)
    assert "Fit them with two methods" in pair.status.value


def test_of_two_hundred_components_only_those_in_view_are_drawn(
    compare, viewer, add_model, qtbot, click
):
    images = np.random.default_rng(0).random((210, 20, 16))
    for seed in (0, 1):
        options = {"max_iter": 2, "tol": 0, "init": "random", "random_state": seed}
        add_model(fit(images, n_components=200, **options))
    qtbot.waitUntil(compare.table.isVisible)
    assert len(cells(compare)) == 200
    assert len(compare.table.rows.icons) < 60
    click(compare.table, 199)
    assert session_of(viewer).component == int(cells(compare)[199][0])


def test_a_closed_comparison_follows_no_more(viewer, qapp, model, pca, add_model):
    widget = CompareWidget(viewer)
    add_model(model, "one")
    widget.deleteLater()
    qapp.sendPostedEvents(None, 0)
    qapp.processEvents()
    add_model(pca, "other")
    session_of(viewer).select_component(1)


def test_another_choice_drops_what_runs(compare, model, pca, add_model, qtbot, monkeypatch):
    held = HeldWork(1, 2)
    with monkeypatch.context() as patch:
        patch.setattr(explain.explaining, "compare_models", held)
        add_model(model, "one")
        add_model(pca, "other")
        qtbot.waitUntil(lambda: compare.status.value == "Comparing ...")
    compare.left.combo.value = pca
    qtbot.waitUntil(compare.table.isVisible)  # nobody waits for the first
    assert len(cells(compare)) == 4
    held.go_on.set()
