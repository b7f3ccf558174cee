"""Where results lie: beside and below their faces, on nothing else, and in view."""

from __future__ import annotations

from itertools import combinations, pairwise, product, starmap
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.layers import Layer
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import mouse_wheel_callbacks

from napari_latent_faces.fitting import fit
from napari_latent_faces.params import PCAParams
from napari_latent_faces.viewer.fitting import EncodeJob, MendJob, ResultLayers, ShowOptions
from napari_latent_faces.viewer.layers import FACES_KEY, MODEL_KEY, ROLE_KEY, faces_layer
from napari_latent_faces.viewer.layout import Item, arranged, model_layers
from napari_latent_faces.viewer.marks import add_mask
from napari_latent_faces.viewer.panels.mixer import MixerWidget
from napari_latent_faces.viewer.session import session_of
from napari_latent_faces.viewer.window import camera_of, grid_of
from tests.jobs import run

item = st.builds(Item, st.integers(1, 300), st.integers(1, 300), st.none() | st.floats(0.5, 5))


def box(layer):
    """Return lowest and highest y and x of a layer in the viewer, edges of pixels included."""
    h, w = (layer.data[0] if layer.multiscale else layer.data).shape[-2:]
    front = [0.0] * (layer.ndim - 2)
    corners = product((-0.5, h - 0.5), (-0.5, w - 0.5))
    found = [layer.data_to_world((*front, *corner))[-2:] for corner in corners]
    return np.array([np.min(found, axis=0), np.max(found, axis=0)])


def overlaps(viewer):
    """Return the names of each two shown results that lie on one another, or on faces."""
    shown = [
        layer
        for layer in viewer.layers
        if layer.visible
        and layer.metadata.get(ROLE_KEY, "captions") not in {"captions", "before"}
    ]
    keys = {layer.metadata[FACES_KEY] for layer in shown}
    shown += [layer for layer in viewer.layers if str(layer.unique_id) in keys - {""}]
    return [
        (one.name, other.name)
        for one, other in combinations(shown, 2)
        if one is not other and lie_on_one_another(box(one), box(other))
    ]


def lie_on_one_another(box, other):
    return (np.minimum(box[1], other[1]) - np.maximum(box[0], other[0]) > 1e-6).all()


@given(st.tuples(st.integers(1, 200), st.integers(1, 200)), st.lists(item, max_size=9))
def test_pictures_never_overlap_and_leave_no_holes(size, items):
    h, w = size
    places = arranged(size, items)
    boxes = [np.array([[0, 0], size], float)]
    for each, (zoom, y, x) in zip(items, places, strict=True):
        corner = np.array([y, x])
        boxes.append(np.array([corner, corner + zoom * np.array([each.height, each.width])]))
        assert (boxes[-1][0] >= 0).all()
        if each.span is None:  # as tall as the faces, level with them
            assert (boxes[-1][:, 0] == pytest.approx([0, h]), y) == (True, 0)
    assert not any(starmap(lie_on_one_another, combinations(boxes, 2)))
    row = [boxes[0], *(b for b, each in zip(boxes[1:], items, strict=True) if not each.span)]
    for one, other in pairwise(row):
        assert other[0, 1] - one[1, 1] == pytest.approx(0.04 * w)


def show(viewer, name, model, method=None, **options):
    args = () if method is None else (method,)
    layer = viewer.layers[name]
    ResultLayers(viewer, layer, ShowOptions(**options), *args).show_model(model)


def open_model(viewer, model, name):
    for data in model_layers(model, name):
        viewer.add_layer(Layer.create(*data))


def by_role(viewer, role):
    return next(layer for layer in viewer.layers if layer.metadata.get(ROLE_KEY) == role)


@pytest.fixture
def pca(stack):
    return fit(stack, PCAParams(n_components=3))


def test_everything_at_once_lies_apart_and_close(viewer, stack, model, pca, qtbot):
    faces = viewer.layers["orl"]
    faces.scale, faces.translate, faces.rotate = (1, 2, 3), (0, 40, -7), [0, 0, 0]
    show(viewer, "orl", pca, PCAParams)
    show(viewer, "orl", model, residual=True)
    show(viewer, "orl", model, slider=True, update=False)
    mask = add_mask(viewer, faces)
    mask.data[2:5, 3:6] = 1
    for job in (EncodeJob(viewer, faces, model), MendJob(viewer, faces, model, mask)):
        run(qtbot, job)
    mixer = MixerWidget(viewer)
    qtbot.addWidget(mixer)
    mixer.keep()
    for k in (2, 9):
        show(viewer, "orl", fit(stack, n_components=k, max_iter=5, tol=0), residual=True)
        assert overlaps(viewer) == []
    mixer.count.value = 30
    mixer.generate()
    mixer.on_slider.value = True
    qtbot.waitUntil(lambda: not mixer.is_working)
    assert overlaps(viewer) == []
    assert by_role(viewer, "generated").ndim == 3
    # no hole: what is beside the faces stands next to its neighbour
    top, seen = box(faces)[0, 0], [each for each in viewer.layers if each.visible]
    boxes = [box(each) for each in seen if each is not mask]
    row = sorted(each[:, 1].tolist() for each in boxes if each[0, 0] == pytest.approx(top))
    assert len(row) == 9
    gaps = [after[0] - before[1] for before, after in pairwise(row)]
    assert gaps == pytest.approx([0.04 * 10 * 3] * len(gaps))


@pytest.mark.parametrize(
    "transform",
    [
        {"scale": (1, 2, 0.5)},
        {"translate": (3, -20, 70), "scale": (2, 2, 2)},
        {"rotate": [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]], "units": ("s", "um", "um")},
        {"affine": [[1, 0, 0, 0], [0, 0.9, 0.2, 5], [0, 0, 1.1, -3], [0, 0, 0, 1]]},
        {"shear": [0, 0, 0.3]},
    ],
    ids=lambda known: next(iter(known)),
)
def test_results_follow_a_transform_of_the_faces_that_is_made_later(
    viewer, stack, model, transform
):
    show(viewer, "orl", model, residual=True)
    faces = viewer.layers["orl"]
    for name, value in transform.items():
        setattr(faces, name, value)
    show(viewer, "orl", model, residual=True)
    rebuilt = viewer.layers["reconstruction [orl]"]
    across = [np.diff([layer.data_to_world((0, 0, 0)), layer.data_to_world((1, 5, 7))], axis=0)
              for layer in (faces, rebuilt)]  # fmt: skip
    np.testing.assert_allclose(*across, atol=1e-9)
    assert rebuilt.units == faces.units
    # level with the faces: as far to the right as a pixel of theirs would be
    corner = rebuilt.data_to_world((0, -0.5, -0.5))
    np.testing.assert_allclose(corner, faces.data_to_world((0, -0.5, 9.5 + 0.4)), atol=1e-9)
    below = viewer.layers["latent faces [orl]"].data_to_world((-0.5, -0.5))
    expected = faces.data_to_world((0, 12 * 1.13 - 0.5, -0.5))[1:]
    np.testing.assert_allclose(below, expected, atol=1e-2)


def test_two_stacks_fitted_lie_beside_each_other_with_their_masks(viewer, stack, model):
    show(viewer, "orl", model)
    viewer.add_layer(Layer.create(*faces_layer(stack, "other")))
    other = viewer.layers["other"]
    mask = add_mask(viewer, other)
    mine = viewer.add_labels(np.zeros((12, 10), int), name="mine")
    before = box(viewer.layers["orl"])
    show(viewer, "other", model, residual=True)
    assert overlaps(viewer) == []
    np.testing.assert_array_equal(box(viewer.layers["orl"]), before)
    assert box(other)[0, 1] > box(viewer.layers["reconstruction [orl]"])[1, 1]
    np.testing.assert_allclose(box(mask), box(other))
    np.testing.assert_allclose(box(mine), before)  # nobody said that it is about the other
    place = box(other)
    show(viewer, "orl", model, residual=True)  # wider than before
    assert overlaps(viewer) == []
    assert box(other)[0, 1] > place[0, 1]


def test_pictures_of_another_size_are_as_tall_as_their_faces(viewer, model, qtbot):
    large = viewer.add_image(
        np.ones((3, 24, 26), np.uint8), scale=(1, 2, 2), translate=(0, 7, 90), name="large"
    )
    run(qtbot, EncodeJob(viewer, large, model))
    own, encoded = box(large), box(viewer.layers["encoded [large]"])
    np.testing.assert_allclose(encoded[:, 0], own[:, 0])
    assert encoded[0, 1] == pytest.approx(own[1, 1] + 0.04 * 52)
    assert overlaps(viewer) == []


def test_models_opened_from_files_lie_beside_each_other(model, empty_viewer):
    session = session_of(empty_viewer)
    for name in "ab":
        made = fit(model.reconstruct(), n_components=2, tol=0, max_iter=3)
        open_model(empty_viewer, made, name)
    assert overlaps(empty_viewer)
    session.results_changed()
    assert overlaps(empty_viewer) == []


@pytest.mark.parametrize("is_first", [False, True])
def test_faces_without_results_lie_on_no_results_of_others(
    stack, model, empty_viewer, qtbot, is_first
):
    viewer = empty_viewer
    session_of(viewer)

    def opened():
        return viewer.add_layer(Layer.create(*faces_layer(stack, "others")))

    faces = opened() if is_first else None
    open_model(viewer, model, "m")
    faces = faces or opened()
    mask = add_mask(viewer, faces)
    results = [by_role(viewer, role) for role in ("reconstruction", "gallery")]
    qtbot.waitUntil(
        lambda: not any(lie_on_one_another(box(faces), box(each)) for each in results)
    )
    np.testing.assert_allclose(box(mask), box(faces))
    seen = camera_of(viewer).zoom
    viewer.reset_view(margin=0.05)
    assert camera_of(viewer).zoom == pytest.approx(seen, rel=0.1)  # all was in view


def test_a_hole_is_closed_when_a_result_is_removed(viewer, model, qtbot):
    show(viewer, "orl", model, residual=True)
    place = box(viewer.layers["reconstruction [orl]"])
    viewer.layers.remove("reconstruction [orl]")
    moved = viewer.layers["residual [orl]"]
    qtbot.waitUntil(lambda: np.allclose(box(moved), place))


def test_what_the_user_hides_keeps_its_place_and_other_methods_make_room(
    viewer, model, pca, qtbot
):
    show(viewer, "orl", model, residual=True)
    place = box(viewer.layers["residual [orl]"])
    viewer.layers["reconstruction [orl]"].visible = False
    show(viewer, "orl", model, residual=True)
    np.testing.assert_array_equal(box(viewer.layers["residual [orl]"]), place)
    show(viewer, "orl", pca, PCAParams)
    old = viewer.layers["residual [orl]"]
    assert not old.visible
    assert overlaps(viewer) == []
    old.visible = True  # both methods at once: side by side
    qtbot.waitUntil(lambda: overlaps(viewer) == [])


def test_in_a_grid_each_result_lies_where_its_faces_are(viewer, model, qtbot):
    show(viewer, "orl", model, residual=True)
    grid = grid_of(viewer)
    grid.enabled = True
    faces = box(viewer.layers["orl"])
    ours = [layer for layer in viewer.layers if layer.metadata.get(ROLE_KEY)]
    qtbot.waitUntil(lambda: all(np.allclose(box(each)[0], faces[0]) for each in ours))
    assert all((box(each)[1] <= faces[1] + 1e-6).all() for each in ours)
    grid.enabled = False
    qtbot.waitUntil(lambda: overlaps(viewer) == [])


def test_results_are_added_where_they_belong(viewer, model):
    """To move a layer that is there already costs napari much."""
    placed = []
    viewer.layers.events.inserted.connect(lambda event: placed.append(box(event.value)))
    show(viewer, "orl", model, residual=True)
    np.testing.assert_allclose(placed, [box(layer) for layer in list(viewer.layers)[1:]])


def test_undo_in_a_grid_at_another_scale_with_turned_axes(viewer, stack, model):
    show(viewer, "orl", model, residual=True)
    show(viewer, "orl", fit(stack, n_components=5, max_iter=3, tol=0))
    faces, grid = viewer.layers["orl"], grid_of(viewer)
    faces.scale, grid.enabled, viewer.dims.order = (1, 2, 2), True, (1, 0, 2)
    session_of(viewer).undo()
    results = [layer for layer in viewer.layers if MODEL_KEY in layer.metadata]
    assert len(results) == 3
    assert all(layer.metadata[MODEL_KEY] is model for layer in results)
    assert all(np.allclose(box(layer)[0], box(faces)[0]) for layer in results)
    grid.enabled, viewer.dims.order = False, (0, 1, 2)
    session_of(viewer).results_changed()
    assert overlaps(viewer) == []
    rebuilt = viewer.layers["reconstruction [orl]"]
    np.testing.assert_allclose(np.diff(box(rebuilt), axis=0), np.diff(box(faces), axis=0))


class TestView:
    def is_in_view(self, viewer):
        """Tell whether all lies in the middle, about as large as napari shows it."""
        camera = camera_of(viewer)
        zoom, centre = camera.zoom, camera.center
        viewer.reset_view()
        return np.allclose(centre, camera.center) and 0.7 < zoom / camera.zoom < 1.01

    def test_a_result_and_a_refit_bring_everything_into_view(self, viewer, stack, model):
        larger = fit(stack, n_components=12, max_iter=3, tol=0)
        for each, has_residual in ((model, False), (larger, True)):
            camera_of(viewer).zoom = 1e-3
            show(viewer, "orl", each, residual=has_residual)
            assert self.is_in_view(viewer)
        assert viewer.layers.selection.active is viewer.layers["orl"]

    def test_not_while_the_user_has_zoomed_by_hand(self, viewer, model):
        show(viewer, "orl", model)
        camera = camera_of(viewer)
        for modifiers in (("Control",), ()):  # the first moves the slider
            native = SimpleNamespace(inverted=lambda: False)
            wheel = {"modifiers": modifiers, "delta": (0, 1), "type": "wheel", "native": native}
            show(viewer, "orl", model)
            assert self.is_in_view(viewer)
            mouse_wheel_callbacks(viewer, ReadOnlyWrapper(SimpleNamespace(**wheel)))
        camera.zoom, camera.center = 9.0, (0, 1, 2)
        show(viewer, "orl", model, residual=True)
        assert (camera.zoom, camera.center) == (9.0, (0, 1, 2))
        viewer.reset_view()  # Home
        camera.zoom = 1e-3
        show(viewer, "orl", model)
        assert self.is_in_view(viewer)

    def test_a_shorter_stack_opened_shows_its_last_face(self, viewer, stack, qtbot):
        session_of(viewer)
        viewer.dims.set_point(0, 29)
        viewer.add_layer(Layer.create(*faces_layer(stack[:7], "few")))
        qtbot.waitUntil(lambda: viewer.dims.point[0] == 6)


class TestCaptions:
    def words(self, viewer):
        found = by_role(viewer, "captions").metadata["captions"]
        return {each.words: (each.y, each.x) for each in found}

    def brightness(self, viewer):
        pixels = by_role(viewer, "captions").data
        return pixels[..., :3][pixels[..., 3] == 255].mean()

    def there(self, viewer, qtbot, *words):
        def is_there():
            roles = [layer.metadata.get(ROLE_KEY) for layer in viewer.layers]
            return "captions" in roles and set(self.words(viewer)) == set(words)

        qtbot.waitUntil(is_there)

    def test_stand_below_each_picture(self, viewer, model, pca, qtbot):
        active = viewer.layers["orl"]
        show(viewer, "orl", model, residual=True)
        self.there(viewer, qtbot, "face", "reconstruction", "residual", "latent faces")
        assert viewer.layers.selection.active is active
        place = self.words(viewer)["residual"]
        np.testing.assert_allclose(place, box(viewer.layers["residual [orl]"])[[1, 0], [0, 1]])
        mixer = MixerWidget(viewer)
        qtbot.addWidget(mixer)
        self.there(viewer, qtbot, "face", "reconstruction", "residual", "latent faces", "mixed")
        viewer.layers.remove("residual [orl]")
        viewer.layers.remove("mixed face [orl]")
        self.there(viewer, qtbot, "face", "reconstruction", "latent faces")
        show(viewer, "orl", pca, PCAParams)
        self.there(viewer, qtbot, "face", "reconstruction, PCA", "latent faces, PCA", "mixed")
        assert self.brightness(viewer) > 200
        viewer.theme = "light"
        qtbot.waitUntil(lambda: self.brightness(viewer) < 50)

    def test_are_away_in_a_grid_and_where_axes_are_turned(self, viewer, model, qtbot):
        show(viewer, "orl", model)
        words = "face", "reconstruction", "latent faces"
        self.there(viewer, qtbot, *words)
        dims, grid = viewer.dims, grid_of(viewer)
        for each, name, turned, back in (
            (grid, "enabled", True, False),
            (dims, "order", (0, 2, 1), (0, 1, 2)),
            (dims, "order", (1, 0, 2), (0, 1, 2)),
            (dims, "ndisplay", 3, 2),
        ):
            setattr(each, name, turned)
            qtbot.waitUntil(lambda: "captions" not in viewer.layers)
            setattr(each, name, back)
            self.there(viewer, qtbot, *words)
            assert overlaps(viewer) == []

    def test_a_user_who_removes_them_is_rid_of_them(self, viewer, model, qtbot):
        show(viewer, "orl", model)
        self.there(viewer, qtbot, "face", "reconstruction", "latent faces")
        viewer.layers.remove("captions")
        for order in ((0, 2, 1), (0, 1, 2)):
            viewer.dims.order = order
            self.settle(viewer, qtbot)
        show(viewer, "orl", model, residual=True)
        self.settle(viewer, qtbot)
        assert "captions" not in viewer.layers

    def settle(self, viewer, qtbot):
        """Wait until all has happened that was to come, and what that has put off."""
        done = []
        for count in (1, 2):
            session_of(viewer).later(lambda: done.append(True))
            qtbot.waitUntil(lambda n=count: len(done) == n)


def test_layers_are_never_added_inside_a_layers_event(viewer, model, qtbot):
    """Whoever hears of it would list layers that are not there."""
    depth, deepest = [0], [0]
    insert = type(viewer.layers).insert

    class Watched(type(viewer.layers)):
        def insert(self, index, value):
            depth[0] += 1
            deepest[0] = max(deepest[0], depth[0])
            insert(self, index, value)
            depth[0] -= 1

    viewer.layers.__class__ = Watched
    mixer = MixerWidget(viewer)
    qtbot.addWidget(mixer)
    open_model(viewer, model, "file")
    qtbot.waitUntil(lambda: "captions" in viewer.layers and "mixed face" in str(viewer.layers))
    assert deepest == [1]
