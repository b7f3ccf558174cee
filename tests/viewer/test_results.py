from __future__ import annotations

import numpy as np
import pytest

from napari_latent_faces.fitting import fit
from napari_latent_faces.viewer.fitting import ResultLayers, ShowOptions
from napari_latent_faces.viewer.layers import (
    MODEL_KEY,
    ROLE_KEY,
    FacesView,
    gallery_layer,
)
from napari_latent_faces.viewer.session import session_of


def results(viewer, **options):
    return ResultLayers(viewer, viewer.layers["orl"], ShowOptions(**options))


def roles(viewer):
    return sorted(str(layer.metadata.get(ROLE_KEY)) for layer in viewer.layers)


def assert_shown(viewer, model):
    """Assert that the whole results of one model are shown, or none at all."""
    assert roles(viewer) == (["None", "gallery", "reconstruction"] if model else ["None"])
    assert all(layer.metadata[MODEL_KEY] is model for layer in list(viewer.layers)[1:])
    if model:
        picture, _, _ = gallery_layer(model, FacesView.of(viewer.layers["orl"]), 2)
        found = (
            each.data for each in viewer.layers if each.metadata.get(ROLE_KEY) == "gallery"
        )
        np.testing.assert_array_equal(next(found), picture)


def test_the_parts_form_in_one_layer(viewer, model):
    shown = results(viewer)
    shown.show_step(model.components)
    gallery = viewer.layers["latent faces [orl]"]
    live, first = gallery.data, gallery.data.copy()
    changes = []
    gallery.events.set_data.connect(lambda: changes.append(gallery.data.copy()))
    shown.show_step(model.components[::-1])
    assert len(viewer.layers) == 2
    assert len(changes) == 1
    assert not np.array_equal(changes[0], first, equal_nan=True)
    assert gallery.data is live  # a new array would cost much more to draw
    shown.show_model(model)
    assert np.array_equal(gallery.data, first, equal_nan=True)
    assert gallery in viewer.layers
    assert_shown(viewer, model)


def test_pictures_of_another_kind_are_drawn_as_well(viewer, stack, model):
    """Of another size, or where someone has put other data into the layer."""
    shown = results(viewer)
    shown.show_step(model.components)
    gallery = viewer.layers["latent faces [orl]"]
    small = gallery.data.shape
    shown.show_step(fit(stack, n_components=7, max_iter=2, tol=0).components)
    assert gallery.data.shape != small
    gallery.data = mine = np.zeros_like(gallery.data)
    shown.show_step(fit(stack, n_components=7, max_iter=2, tol=0).components)
    assert not mine.any()
    assert np.nanmax(gallery.data) > 0


def test_a_second_fit_updates_the_first_ones_layers(viewer, stack, model):
    results(viewer, residual=True).show_model(model)
    before = list(viewer.layers)
    viewer.layers["reconstruction [orl]"].name = "mine"
    viewer.layers["mine"].colormap = "magma"
    viewer.layers["mine"].contrast_limits = (10, 90)
    other = fit(stack, n_components=5, max_iter=5, tol=0)
    again = results(viewer, residual=True)
    again.show_step(other.components)
    again.show_model(other)
    assert list(viewer.layers) == before
    assert all(layer.metadata[MODEL_KEY] is other for layer in before[1:])
    assert viewer.layers["mine"].colormap.name == "magma"
    assert tuple(viewer.layers["mine"].contrast_limits) == (10, 90)
    np.testing.assert_allclose(viewer.layers["mine"].data[3], other.reconstruct(3))


@pytest.mark.parametrize("pixels", [2**20, 200])  # of a preview: as large as the end, smaller
def test_a_slider_that_moves_shows_nothing_of_the_first_fit(
    viewer, stack, model, monkeypatch, pixels
):
    monkeypatch.setattr("napari_latent_faces.viewer.layers.PREVIEW_PIXELS", pixels)
    first = results(viewer)
    first.show_step(model.components)
    first.show_model(model)
    gallery = viewer.layers["latent faces [orl]"]
    other = fit(stack, n_components=model.n_components, random_state=1)
    second = results(viewer)
    second.show_step(other.components)
    live = gallery.data.copy()
    viewer.dims.set_current_step(0, 1)
    assert np.array_equal(gallery.data, live, equal_nan=True)
    # as a slider does whose range follows the layers
    gallery.events.data.connect(lambda: viewer.dims.set_current_step(0, 3))
    second.show_model(other)
    assert_shown(viewer, other)
    viewer.dims.set_current_step(0, 2)
    assert_shown(viewer, other)


def test_another_result_takes_the_gallery_in_which_a_fit_forms(viewer, stack, model):
    results(viewer).show_model(model)
    other = fit(stack, n_components=4, max_iter=5, tol=0)
    forming = results(viewer)
    forming.show_step(other.components)
    results(viewer).show_model(other)
    assert roles(viewer) == ["None", "gallery", "reconstruction"]
    forming.show_step(model.components)
    forming.show_model(model)
    assert_shown(viewer, model)


def test_a_new_gallery_follows_the_face_at_once(viewer, model):
    session_of(viewer).follow_by("border")
    shown = results(viewer)
    shown.show_step(model.components)
    shown.show_model(model)
    gallery = viewer.layers["latent faces [orl]"]
    found = gallery.data.copy()
    session_of(viewer).follow_by("off")
    assert not np.array_equal(gallery.data, found, equal_nan=True)


def test_or_adds_new_layers_when_the_user_says_so(viewer, model):
    results(viewer).show_model(model)
    results(viewer, update=False).show_model(model)
    assert len(viewer.layers) == 5


def test_what_is_no_longer_asked_for_goes(viewer, model):
    results(viewer, residual=True).show_model(model)
    results(viewer, slider=True).show_model(model)
    assert roles(viewer) == ["None", "components", "reconstruction"]


@pytest.mark.parametrize("n_earlier", [1, 2])
def test_undo_during_a_fit_is_what_cancelling_that_leaves(viewer, stack, model, n_earlier):
    others = [fit(stack, n_components=k, max_iter=2, tol=0) for k in (5, 7)]
    earlier = [model, others[0]][:n_earlier]
    for each in earlier:
        results(viewer).show_model(each)
    forming = results(viewer)
    forming.show_step(others[1].components)
    session_of(viewer).undo()
    forming.show_step(others[1].components)
    forming.discard()
    assert_shown(viewer, model if n_earlier == 2 else None)
    session_of(viewer).undo()  # again what was undone
    assert_shown(viewer, earlier[-1])


@pytest.mark.parametrize("has_earlier", [False, True])
@pytest.mark.parametrize("first_ends", ["kept", "dropped"])
@pytest.mark.parametrize("second_ends", ["kept", "dropped"])
def test_two_fits_at_once_leave_no_preview(
    viewer, stack, model, has_earlier, first_ends, second_ends
):
    if has_earlier:
        results(viewer).show_model(model)
    last = model if has_earlier else None
    fits = [fit(stack, n_components=k, max_iter=2, tol=0) for k in (5, 7)]
    forming = [results(viewer) for _ in fits]
    for shown, found in list(zip(forming, fits, strict=True)) * 2:
        shown.show_step(found.components)
    for shown, found, end in zip(forming, fits, (first_ends, second_ends), strict=True):
        if end == "kept":
            last = found
            shown.show_model(found)
        else:
            shown.discard()
    assert_shown(viewer, last)


def test_a_preview_that_the_user_removed_is_not_missed(viewer, model):
    shown = results(viewer)
    shown.show_step(model.components)
    viewer.layers.remove("latent faces [orl]")
    shown.show_step(model.components)
    assert len(viewer.layers) == 1
    shown.show_model(model)
    assert_shown(viewer, model)


def test_undo_brings_back_what_was_there_and_again_the_result(viewer, stack, model):
    session, faces = session_of(viewer), viewer.layers["orl"]
    assert not session.can_undo
    results(viewer, residual=True).show_model(model)
    session.undo()
    assert list(viewer.layers) == [faces]
    session.undo()
    assert len(viewer.layers) == 4
    gallery, residual = (
        viewer.layers[f"{name} [orl]"] for name in ("latent faces", "residual")
    )
    first = gallery.data.copy()

    other = fit(stack, n_components=5, max_iter=9, tol=0)
    shown = results(viewer)
    shown.show_step(other.components)  # the gallery is drawn into while the fit runs
    shown.show_model(other)
    assert residual not in viewer.layers
    second = gallery.data.copy()
    session.undo()
    np.testing.assert_array_equal(gallery.data, first)
    assert residual in viewer.layers
    for name in ("latent faces", "reconstruction", "residual"):
        assert viewer.layers[f"{name} [orl]"].metadata[MODEL_KEY] is model
    assert session.model is model
    assert viewer.layers.selection.active is faces
    session.select_component(1)
    assert not np.array_equal(gallery.data, first)  # its tiles follow again
    session.undo()
    np.testing.assert_array_equal(gallery.data, second)
    assert session.model is other
    assert residual not in viewer.layers

    viewer.layers.remove(faces)
    session.undo()  # the residual of faces that are gone stays away
    assert residual not in viewer.layers


def test_keys_on_the_canvas_go_on_to_the_same_subject_and_to_the_next_component(viewer, model):
    faces = viewer.layers["orl"]
    focus = session_of(viewer)
    results(viewer).show_model(model)
    subjects = faces.metadata["subjects"]
    keys = {str(key): act for key, act in viewer.keymap.items()}
    own = [i for i, subject in enumerate(subjects) if subject == subjects[4]]
    viewer.dims.set_point(0, 4)
    seen = []
    for _ in own:
        keys["Shift+Right"](viewer)
        seen.append(focus.face)
    assert seen == own[own.index(4) + 1 :] + own[: own.index(4) + 1]
    keys["Shift+Left"](viewer)
    assert focus.face == own[own.index(4) - 1]
    for key, component in (("Down", 0), ("Down", 1), ("Up", 0), ("Up", 2), ("Down", 0)):
        keys[f"Shift+{key}"](viewer)
        assert focus.component == component
