"""Galleries that follow the face, tell what their tiles are, and let them be chosen."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)

from napari_latent_faces.explaining import prominence
from napari_latent_faces.fitting import fit
from napari_latent_faces.tiles import Tiles, gallery_columns, montage
from napari_latent_faces.viewer.canvas import component_pixmap
from napari_latent_faces.viewer.fitting import ResultLayers, ShowOptions
from napari_latent_faces.viewer.layers import faces_layer
from napari_latent_faces.viewer.layout import model_layers
from napari_latent_faces.viewer.session import session_of


@pytest.mark.parametrize(
    ("pixels", "is_signed", "colour"),
    [
        (0.5, False, (127, 127, 127)),
        ([0.2, 0.4, 1.0], False, (51, 102, 255)),
        (-1.0, True, (89, 178, 255)),
        (0.0, True, (0, 0, 0)),
        ([-1.0, 0.0, 1.0], True, (0, 127, 255)),
    ],
)
def test_a_component_has_the_colours_of_the_gallery(qapp, pixels, is_signed, colour):
    component = np.broadcast_to(np.array(pixels), (4, 3, *np.shape(pixels)))
    found = component_pixmap(component, is_signed=is_signed).toImage().pixelColor(1, 2)
    np.testing.assert_allclose(found.getRgb()[:3], colour, atol=2)


@pytest.fixture
def shown(viewer, model):
    """Show a model, and return its gallery's layer."""
    return show(viewer, "orl", model)


def show(viewer, name, model):
    ResultLayers(viewer, viewer.layers[name], ShowOptions()).show_model(model)
    return viewer.layers[f"latent faces [{name}]"]


def plain(model):
    return montage(model.components, gallery_columns(model.n_components, 2.04))


def tile(layer, model, i):
    return layer.data[Tiles.found_in(layer.data.shape, model.components.shape).box(i)]


def place(layer, model, i):
    """Return where the middle of a tile is in the viewer."""
    rows, columns = Tiles.found_in(layer.data.shape, model.components.shape).box(i)
    middle = ((rows.start + rows.stop - 1) / 2, (columns.start + columns.stop - 1) / 2)
    return (0.0, *layer.data_to_world(middle))


def mouse(kind, position, pos=(0, 0), button=1, modifiers=(), is_dragging=False):
    known = {"position": position, "pos": pos, "button": button, "modifiers": modifiers}
    event = SimpleNamespace(type=f"mouse_{kind}", is_dragging=is_dragging, **known)
    return ReadOnlyWrapper(event)


def click(viewer, position, moved=0, **kwargs):
    mouse_press_callbacks(viewer, mouse("press", position, **kwargs))
    mouse_move_callbacks(
        viewer, mouse("move", position, (moved, 0), is_dragging=True, **kwargs)
    )
    mouse_release_callbacks(viewer, mouse("release", position, **kwargs))


@pytest.mark.parametrize("mode", ["brightness", "border"])
def test_tiles_follow_the_weights_of_the_face(viewer, shown, model, mode):
    session_of(viewer).go_to_face(3)
    np.testing.assert_array_equal(shown.data, plain(model))  # until it is asked to follow
    session_of(viewer).follow_by(mode)
    for face in (0, 7, 20):
        session_of(viewer).go_to_face(face)
        for i, level in enumerate(prominence(model.weights[face])):
            seen, component = tile(shown, model, i), model.components[i]
            if mode == "brightness":
                np.testing.assert_allclose(seen / seen.max(), component, atol=1e-6)
                assert seen.max() == pytest.approx(0.06 + 0.94 * level, abs=1e-6)
            else:
                np.testing.assert_allclose(seen[0], level, atol=1e-6)
                np.testing.assert_array_equal(seen[1:-1, 1:-1], component[1:-1, 1:-1])
    session_of(viewer).follow_by("off")
    np.testing.assert_array_equal(shown.data, plain(model))


def test_the_screen_is_told_only_when_something_has_changed(viewer, shown):
    session_of(viewer).follow_by("brightness")
    told = []
    shown.events.set_data.connect(told.append)
    session_of(viewer).go_to_face(2)
    assert len(told) == 1
    session_of(viewer).refresh()
    session_of(viewer).follow_by("brightness")
    assert len(told) == 1


def test_a_click_chooses_a_component_and_a_second_one_lets_go(viewer, shown, model):
    focus = session_of(viewer)
    for chosen, other in ((2, 1), (1, 2)):
        click(viewer, place(shown, model, chosen))
        assert focus.component == chosen
        assert (tile(shown, model, chosen)[0] == 1).all()
        np.testing.assert_array_equal(tile(shown, model, other), model.components[other])
    click(viewer, place(shown, model, 1))
    assert focus.component is None
    np.testing.assert_array_equal(shown.data, plain(model))


@pytest.mark.parametrize(
    "how", [{"moved": 20}, {"button": 2}, {"modifiers": ("Shift",)}], ids=str
)
def test_what_is_no_click_chooses_nothing(viewer, shown, model, how):
    click(viewer, place(shown, model, 1), **how)
    assert session_of(viewer).component is None


def test_beside_the_tiles_hidden_or_while_drawing_nothing_is_chosen(viewer, shown, model):
    click(viewer, (0.0, 3.0, 3.0))  # on the face
    place_of_one = place(shown, model, 1)
    shown.visible = False
    click(viewer, place_of_one)
    shown.visible = True
    viewer.add_shapes(ndim=3).mode = "add_rectangle"
    click(viewer, place_of_one)
    assert session_of(viewer).component is None


def test_the_status_bar_tells_what_is_under_the_mouse(viewer, shown, model):
    session_of(viewer).go_to_face(4)
    mouse_move_callbacks(viewer, mouse("move", place(shown, model, 1)))
    viewer.status = {"layer_base": "orl", "coordinates": "[4 3 2]: 17"}
    told = viewer.status["coordinates"]
    assert told.startswith("s1/5.png  |  subject s1")
    for words in ("component 1  |", "% of the reconstruction", "of 30 faces"):
        assert words in told
    assert "[4 3 2]" not in told
    mouse_move_callbacks(viewer, mouse("move", (0.0, 3.0, 3.0)))
    viewer.status = {"layer_base": "orl", "coordinates": "[4 3 2]: 17"}
    assert "component" not in viewer.status["coordinates"]
    assert "[4 3 2]: 17" in viewer.status["coordinates"]


def test_a_running_fit_keeps_its_preview(viewer, stack, shown, model):
    session_of(viewer).follow_by("brightness")
    session_of(viewer).go_to_face(1)
    before = shown.data.copy()
    results = ResultLayers(viewer, viewer.layers["orl"], ShowOptions())
    results.show_step(model.components[::-1])
    preview = shown.data.copy()
    session_of(viewer).go_to_face(2)
    click(viewer, place(shown, model, 0))
    np.testing.assert_array_equal(shown.data, preview)
    assert session_of(viewer).component is None
    results.discard()
    # it has caught up with the slider
    assert not np.array_equal(shown.data, before, equal_nan=True)
    session_of(viewer).go_to_face(1)
    np.testing.assert_allclose(shown.data, before)


def test_the_next_fit_s_gallery_follows_as_well(viewer, stack, shown):
    session_of(viewer).follow_by("brightness")
    session_of(viewer).select_component(1)
    other = fit(stack, n_components=5, max_iter=5, tol=0)
    assert show(viewer, "orl", other) is shown
    session_of(viewer).go_to_face(3)
    level = prominence(other.weights[3])
    for i in range(5):
        assert tile(shown, other, i).max() == pytest.approx(0.06 + 0.94 * level[i], abs=1e-6)
    click(viewer, place(shown, other, 4))
    assert session_of(viewer).component == 4


def test_of_two_galleries_only_the_one_in_focus_follows(viewer, stack, shown, model):
    session_of(viewer).follow_by("brightness")
    viewer.add_layer(Layer.create(*faces_layer(stack, "other")))
    viewer.layers["other"].translate = (0, 0, 100)
    other = fit(stack, n_components=4, max_iter=5, tol=0)
    theirs = show(viewer, "other", other)
    assert session_of(viewer).model is other
    np.testing.assert_array_equal(shown.data, plain(model))
    click(viewer, place(shown, model, 2))  # now it is about the first
    assert session_of(viewer).model is model
    assert session_of(viewer).component == 2
    np.testing.assert_array_equal(theirs.data, plain(other))


def test_a_model_from_a_file_is_followed_in_its_own_viewer_only(model):
    viewers = [ViewerModel(), ViewerModel()]
    for viewer in viewers:
        session_of(viewer)
        for data in model_layers(model, "m"):
            viewer.add_layer(Layer.create(*data))
    first, second = viewers
    session_of(first).follow_by("brightness")
    session_of(first).go_to_face(2)
    gallery = first.layers["latent faces [m]"]
    click(first, place(gallery, model, 0))
    assert session_of(first).component == 0
    assert session_of(second).component is None
    np.testing.assert_array_equal(second.layers["latent faces [m]"].data, plain(model))


def test_a_picture_that_the_user_has_put_there_is_left_alone(viewer, shown, model):
    shown.data = np.random.default_rng(0).random(shown.data.shape)
    before = shown.data.copy()
    session_of(viewer).follow_by("border")
    session_of(viewer).select_component(1)
    np.testing.assert_array_equal(shown.data, before)
