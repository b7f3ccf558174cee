from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon, QShortcut
from qtpy.QtWidgets import QWidget
from superqt.utils import WorkerBase

from napari_latent_faces.explaining import match_components
from napari_latent_faces.fitting import fit
from napari_latent_faces.params import PCAParams
from napari_latent_faces.viewer.fitting import ResultLayers, ShowOptions
from napari_latent_faces.viewer.layers import MODEL_KEY, faces_layer
from napari_latent_faces.viewer.layout import model_layers
from napari_latent_faces.viewer.panels import compare
from napari_latent_faces.viewer.panels.compare import CompareWidget
from napari_latent_faces.viewer.session import session_of
from tests.jobs import HeldWork


@pytest.fixture
def pca(stack):
    return fit(stack, PCAParams(n_components=4))


@pytest.fixture
def widget(viewer, qtbot):
    widget = CompareWidget(viewer)
    qtbot.addWidget(widget)
    widget.resize(320, 500)
    widget.show()
    return widget


def add(viewer, model, name):
    return [viewer.add_layer(Layer.create(*data)) for data in model_layers(model, name)]


def cells(widget):
    table = widget.table.model()
    return [
        [table.index(row, column).data() for column in range(3)]
        for row in range(table.rowCount())
    ]


def click(widget, qtbot, row, column):
    index = widget.table.model().index(row, column)
    widget.table.scrollTo(index)
    place = widget.table.visualRect(index).center()
    qtbot.mouseClick(widget.table.viewport(), Qt.MouseButton.LeftButton, pos=place)


def test_without_two_models_it_says_what_to_do(widget, viewer, model):
    assert "Fit them with two methods" in widget.status.value
    add(viewer, model, "one")
    assert widget.left.count() == 1
    assert "Fit them with two methods" in widget.status.value
    assert not widget.table.isVisible()


def test_pairs_are_in_rows_the_most_similar_first(widget, viewer, model, pca):
    add(viewer, model, "one")
    add(viewer, pca, "other")
    assert [widget.left.itemText(i) for i in range(2)] == [
        f"NMF 3, error {model.error:.4f}, 30 faces of faces",
        f"PCA 4, error {pca.error:.4f}, 30 faces of faces",
    ]
    matching = match_components(model, pca)
    wanted = [
        [str(a), str(b), f"{alike:.3f}"]
        for (a, b), alike in zip(matching.pairs, matching.similarity, strict=True)
    ]
    alone = ["\N{EM DASH}", str(matching.unmatched[1][0]), "\N{EM DASH}"]
    assert cells(widget) == [*wanted, alone]
    assert "not at equal k" in widget.status.value
    assert f"{model.error:.4f}" in widget.status.value


def test_a_new_fit_of_other_faces_than_the_selected_is_offered(
    widget, viewer, stack, model, pca
):
    faces = viewer.add_layer(Layer.create(*faces_layer(stack, "faces")))
    ResultLayers(viewer, faces, ShowOptions()).show_model(model)
    viewer.layers.selection.active = add(viewer, pca, "other")[0]
    again = fit(stack, n_components=5, max_iter=5, tol=0)
    ResultLayers(viewer, faces, ShowOptions()).show_model(again)
    assert session_of(viewer).model is pca
    assert set(widget.chosen()) == {again, pca}
    assert widget.left.count() == 2


def test_the_other_way_round(widget, viewer, model, pca):
    add(viewer, model, "one")
    add(viewer, pca, "other")
    before = cells(widget)
    widget.left.setCurrentIndex(1)
    widget.right.setCurrentIndex(0)
    assert cells(widget)[:3] == [[b, a, alike] for a, b, alike in before[:3]]


def test_pictures_have_their_colours(widget, viewer, model, pca):
    add(viewer, model, "one")
    add(viewer, pca, "other")

    def colours(column):
        icon = widget.table.model().index(0, column).data(Qt.ItemDataRole.DecorationRole)
        image = icon.pixmap(72, QIcon.Mode.Selected).toImage()  # as in a chosen row
        pixels = ((x, y) for x in range(image.width()) for y in range(image.height()))
        return np.array([image.pixelColor(*pixel).getRgb()[:3] for pixel in pixels])

    assert np.ptp(colours(0).astype(int), axis=-1).max() < 20  # grey
    assert np.ptp(colours(1).astype(int), axis=-1).max() > 100
    assert widget.table.model().index(0, 2).data(Qt.ItemDataRole.DecorationRole) is None


def test_a_click_chooses_component_and_model_everywhere(widget, viewer, model, pca, qtbot):
    add(viewer, model, "one")
    add(viewer, pca, "other")
    focus = session_of(viewer)
    first, second, _ = cells(widget)[1]
    click(widget, qtbot, 1, 0)
    assert (focus.model, focus.component) == (model, int(first))
    click(widget, qtbot, 1, 1)
    assert (focus.model, focus.component) == (pca, int(second))
    assert widget.table.selectionModel().selectedRows()[0].row() == 1


def test_a_component_chosen_elsewhere_is_shown(widget, viewer, model, pca):
    add(viewer, model, "one")
    add(viewer, pca, "other")
    session_of(viewer).select_component(2)
    row = widget.table.selectionModel().selectedRows()[0].row()
    assert cells(widget)[row][1] == "2"
    session_of(viewer).select_component(None)
    assert not widget.table.selectionModel().selectedRows()


def test_models_of_other_faces_are_told(widget, viewer, stack, model):
    add(viewer, model, "one")
    add(viewer, fit(stack.images[:, :9], n_components=2, max_iter=3, tol=0), "other")
    assert "different faces" in widget.status.value
    assert not widget.table.isVisible()


def test_it_follows_the_layers(widget, viewer, stack, model, pca):
    add(viewer, model, "one")
    layers = add(viewer, pca, "other")
    better = fit(stack, PCAParams(n_components=3))
    for layer in layers:  # as a second fit does
        layer.metadata = {**layer.metadata, MODEL_KEY: better}
    session_of(viewer).refresh()
    assert "at equal k" in widget.status.value
    for layer in layers:
        viewer.layers.remove(layer)
    assert not widget.table.isVisible()


def test_two_hundred_components(widget, viewer, qtbot):
    images = np.random.default_rng(0).random((210, 20, 16))
    models = [
        fit(images, n_components=200, max_iter=2, tol=0, init="random", random_state=seed)
        for seed in (0, 1)
    ]
    for each in models:
        add(viewer, each, "m")
    assert len(cells(widget)) == 200
    assert len(widget.pairs.icons) < 60  # only those in view were drawn
    click(widget, qtbot, 199, 0)
    assert session_of(viewer).component == int(cells(widget)[199][0])


def test_a_closed_widget_follows_no_more(viewer, qapp, model, pca):
    widget = CompareWidget(viewer)
    add(viewer, model, "one")
    widget.deleteLater()
    qapp.sendPostedEvents(None, 0)
    qapp.processEvents()
    add(viewer, pca, "other")
    session_of(viewer).select_component(1)


def test_large_models_are_compared_in_a_thread(widget, viewer, model, pca, qtbot, monkeypatch):
    monkeypatch.setattr(compare, "_AT_ONCE", 0)
    add(viewer, model, "one")
    add(viewer, pca, "other")
    assert widget.status.value == "Comparing ..."
    assert not widget.table.isVisible()
    widget.left.setCurrentIndex(1)  # the first answer is not waited for
    widget.right.setCurrentIndex(0)
    qtbot.waitUntil(widget.table.isVisible)
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)
    assert widget.pairs.models == (pca, model)
    assert len(cells(widget)) == 4
    assert not widget.progress.visible
    widget.cancel()  # there is nothing to cancel any more
    assert widget.table.isVisible()


@pytest.fixture
def slow(widget, viewer, model, pca, qtbot, monkeypatch):
    """Start a comparison that is half done, and return how to let it go on, and its end."""
    held = HeldWork((5, 10), (6, 10))
    with monkeypatch.context() as patch:
        patch.setattr(compare, "_AT_ONCE", 0)
        patch.setattr(compare, "iter_compare", held)
        add(viewer, model, "one")
        add(viewer, pca, "other")
        qtbot.waitUntil(lambda: widget.progress.value == 5)
    yield held.go_on, held.closed
    held.go_on.set()


CANCEL = {
    "button": lambda widget: widget.cancel_button.native.click(),
    "key": lambda widget: widget.findChild(QShortcut).activated.emit(),
    "dock closed": lambda widget: widget.setParent(None),
}


@pytest.mark.parametrize("how", CANCEL)
def test_progress_is_seen_and_cancel_ends_the_work(how, widget, slow, qtbot):
    go_on, closed = slow
    assert widget.progress.max == 10
    assert widget.progress.visible
    assert widget.cancel_button.visible
    if how == "dock closed":
        holder = QWidget()
        qtbot.addWidget(holder)
        widget.setParent(holder)
    CANCEL[how](widget)
    assert widget.status.value.startswith("Cancelled.")
    assert not widget.progress.visible
    assert not widget.cancel_button.visible
    go_on.set()
    qtbot.waitUntil(closed.is_set)
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)
    assert not widget.pairs.rows


def test_after_a_cancel_the_same_models_can_be_chosen(widget, slow, qtbot):
    widget.cancel()
    widget.left.showPopup()
    popup = widget.left.view()
    qtbot.keyClick(popup, Qt.Key.Key_Return)  # the one that is chosen already
    assert widget.table.isVisible()
    assert len(cells(widget)) == 4


def test_another_choice_drops_the_comparison_that_runs(widget, slow):
    widget.left.setCurrentIndex(1)
    widget.right.setCurrentIndex(0)
    assert widget.table.isVisible()
    assert not widget.progress.visible


def test_what_cannot_be_compared_in_a_thread_is_told(
    widget, viewer, stack, model, qtbot, monkeypatch
):
    told = []
    monkeypatch.setattr("napari.utils.notifications.show_error", told.append)
    monkeypatch.setattr(compare, "_AT_ONCE", 0)
    add(viewer, model, "one")
    add(viewer, fit(stack.images[:, :9], n_components=2, max_iter=3, tol=0), "other")
    qtbot.waitUntil(lambda: "different faces" in widget.status.value)
    assert "different faces" in told[0]
