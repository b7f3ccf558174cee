from __future__ import annotations

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_latent_faces.encoding import iter_mend
from napari_latent_faces.fitting import fit
from napari_latent_faces.params import PCAParams
from napari_latent_faces.stack import FaceStack
from napari_latent_faces.steps import consume
from napari_latent_faces.viewer import layers
from napari_latent_faces.viewer.layers import (
    ENCODED,
    ENCODED_RESIDUAL,
    FACES_KEY,
    MODEL_KEY,
    ROLE_KEY,
    FacesView,
    gallery_layer,
    mended_layer,
)


def test_faces_become_one_labelled_image_layer(stack):
    layer = Layer.create(*layers.faces_layer(stack, "orl"))
    assert (layer.name, layer.axis_labels) == ("orl", ("face", "y", "x"))
    assert tuple(layer.contrast_limits) == (0, 255)
    assert layer.metadata["report"] is stack.report
    back = layers.layer_stack(layer.data, layer.metadata)
    for name in ("names", "subjects", "source"):
        assert getattr(back, name) == getattr(stack, name)


@pytest.mark.parametrize(
    ("images", "limits", "lazy_limits"),
    [
        (np.full((3, 2, 2), 7, np.uint8), (0, 255), (0, 255)),
        (np.full((3, 2, 2), 700, np.uint16), (0, 700), (0, 1023)),
        (np.full((3, 2, 2), 0.5, np.float32), (0, 0.5), (0, 1)),
        (np.full((3, 2, 2), 200.0), (0, 200), (0, 255)),
        (np.full((3, 2, 2), -2.0), (-2, -1), (-2, -1)),
        (np.zeros((3, 2, 2)), (0, 1), (0, 1)),
        (np.ones((3, 2, 2), bool), (0, 1), (0, 1)),
    ],
)
def test_contrast_limits_are_valid_for_every_type(images, limits, lazy_limits):
    for data, expected in ((images, limits), (da.from_array(images), lazy_limits)):
        kwargs = layers.faces_layer(FaceStack(data, ("a", "b", "c")), "faces")[1]
        assert kwargs["contrast_limits"] == expected


def test_no_more_than_one_lazy_face_is_read_for_the_limits():
    read = []

    class Pictures:
        shape, ndim, dtype = (200, 4, 5), 3, np.dtype(np.uint16)

        def __getitem__(self, key):
            read.append(key[0])
            return np.ones((4, 5), np.uint16)

    lazy = da.from_array(
        Pictures(), (1, -1, -1), meta=np.empty((0, 0, 0), np.uint16), name=False
    )
    layers.faces_layer(FaceStack(lazy, tuple(map(str, range(200)))), "faces")
    assert len(read) == 1


def test_names_and_reports_that_do_not_fit_the_pictures_are_not_used(stack):
    known = {
        "names": stack.names,
        "subjects": ("x",),
        "report": replace(stack.report, n_read=30),
    }
    back = layers.layer_stack(stack.images[:5], known)
    assert back.names == tuple(f"face {i}" for i in range(5))
    assert back.report is not known["report"]
    back = layers.layer_stack(stack.images, known)
    assert (back.names, back.subjects, back.report) == (stack.names, None, known["report"])


def test_captions(stack):
    known = {"names": stack.names, "subjects": stack.subjects}
    assert layers.face_caption(known, 6) == "s2/2.png  |  subject s2  |  face 6"
    assert layers.face_caption({"names": stack.names}, 6) == "s2/2.png  |  face 6"
    assert layers.face_caption(known, 30) is None
    assert layers.face_caption({}, 0) is None


def test_reconstructions_look_like_the_faces_and_are_lazy(stack, model):
    view = FacesView("orl", (10.0, 200.0), "magma", key="key")
    data, kwargs, kind = layers.reconstruction_layer(model, view)
    assert (kind, data.shape) == ("image", stack.shape)
    assert not isinstance(data, np.ndarray)
    assert (kwargs["contrast_limits"], kwargs["colormap"]) == ((10.0, 200.0), "magma")
    assert kwargs["axis_labels"] == ("face", "y", "x")
    told = {MODEL_KEY: model, ROLE_KEY: "reconstruction", FACES_KEY: "key"}
    assert told.items() <= kwargs["metadata"].items()


def test_the_residual_is_zero_in_the_middle_of_its_colours(stack, model):
    layer = Layer.create(*layers.residual_layer(stack.images, model, FacesView()))
    low, high = layer.contrast_limits
    assert low == -high < 0
    assert (np.abs(np.asarray(layer.data)) <= high).mean() > 0.95
    below, zero, above = layer.colormap.map([-1e9, 0.5, 1e9])[:, :3]
    assert zero.sum() < min(below.sum(), above.sum())
    assert below[2] > below[0]
    assert above[0] > above[2]


def test_components_as_a_stack_are_the_same_behind_every_face_and_cost_nothing(model):
    data, kwargs, _ = layers.components_layer(model, FacesView())
    assert data.shape == (3, 30, 12, 10)
    assert np.shares_memory(data, model.components)
    assert data.strides[1] == 0
    assert kwargs["axis_labels"] == ("component", "face", "y", "x")
    assert Layer.create(data, kwargs, "image").ndim == 4


def test_what_is_no_stack_of_faces_says_why(stack):
    viewer = ViewerModel()
    faces = viewer.add_layer(Layer.create(*layers.faces_layer(stack, "orl")))
    pyramid = viewer.add_image([stack.images, stack.images[:, ::2, ::2]], multiscale=True)
    for fine in (faces, pyramid):
        assert layers.why_not_faces(fine) == ""
        np.testing.assert_array_equal(layers.stack_of(fine).images, stack.images)
    movie = viewer.add_image(np.zeros((2, 5, 4, 3)), name="m", axis_labels=("t", "c", "y", "x"))
    with pytest.raises(ValueError, match=r"m has 4 axes, t \(2\), c \(5\), y \(4\), x \(3\)"):
        layers.stack_of(movie)
    assert "viewer.layers['m'].data[0, :]" in layers.why_not_faces(movie)
    assert "single picture" in layers.why_not_faces(viewer.add_image(np.zeros((4, 3))))
    assert "a layer of labels" in layers.why_not_faces(viewer.add_labels(np.zeros((4, 3), int)))


def test_no_face_is_read_for_the_limits_of_the_residual(stack, model):
    """They are made in the window's thread, and a face can take a second to come."""
    asked = []

    class Pictures:
        shape, ndim, dtype = stack.shape, 3, stack.dtype

        def __getitem__(self, key):
            asked.append(key[0])
            return stack.images[key]

    lazy = da.from_array(Pictures(), (10, -1, -1), meta=stack.images[:0], name=False)
    _, kwargs, _ = layers.residual_layer(lazy, model, FacesView())
    assert asked == []
    low, high = kwargs["contrast_limits"]
    rms = np.sqrt(np.mean((stack.images - model.reconstruct()) ** 2))
    assert (low, high) == pytest.approx((-4 * rms, 4 * rms), rel=0.05)


@pytest.fixture
def signed(stack):
    return fit(stack, PCAParams(n_components=3))


def test_signed_components_have_two_colours_and_black_between(stack, signed):
    view = FacesView()
    for data in (layers.gallery_layer(signed, view), layers.components_layer(signed, view)):
        layer = Layer.create(*data)
        assert tuple(layer.contrast_limits) == (-1, 1)
        below, zero, above = layer.colormap.map([0.0, 0.5, 1.0])[:, :3]
        assert zero.sum() == 0
        assert below[2] > below[0]
        assert above[0] > above[2]
    assert layers.gallery_layer(signed, view)[0].min() < 0


class TestColour:
    """Stacks whose pictures are (h, w, 3)."""

    @pytest.fixture
    def coloured(self, stack, model):
        tint = np.array([1.0, 0.8, 0.5], np.float32)
        images = np.round(stack.images[..., None] * tint).astype(np.uint8)
        components = model.components[..., None] * tint
        return FaceStack(images, stack.names), replace(model, components=components)

    def test_faces_and_reconstructions_are_in_colour(self, coloured):
        stack, model = coloured
        for data in (
            layers.faces_layer(stack, "orl"),
            layers.reconstruction_layer(model, FacesView()),
        ):
            layer = Layer.create(*data)
            assert (layer.rgb, layer.ndim, layer.data.dtype) == (True, 3, np.uint8)
        apart = np.asarray(data[0]).astype(float) - stack.images
        assert np.abs(apart).mean() < 10

    @pytest.mark.parametrize("high", [1, 255])
    def test_floats_have_their_own_white_and_so_have_results(self, coloured, high):
        stack, model = coloured
        images = stack.images.astype(np.float32) * (high / 255)
        model = replace(model, provenance=replace(model.provenance, dtype="float32"))
        faces = Layer.create(*layers.faces_layer(FaceStack(images, stack.names), "orl"))
        assert faces.contrast_limits == pytest.approx([0, images[:32].max()])
        for layer in (
            layers.reconstruction_layer(model, FacesView.of(faces)),
            layers.result_layer(images[0], "mixed", FacesView.of(faces), ("y", "x")),
        ):
            assert Layer.create(*layer).contrast_limits == faces.contrast_limits
        shown = Layer.create(*gallery_layer(model, FacesView()))
        assert shown.contrast_limits == [0, 1]

    def test_a_residual_of_nothing_is_grey(self, coloured):
        _, model = coloured
        exact = np.asarray(layers.LazyReconstruction(model))
        data, kwargs, _ = layers.residual_layer(exact, model, FacesView())
        assert kwargs["rgb"]
        np.testing.assert_allclose(data[4], 0.5, atol=1e-4)
        below = np.asarray(layers.residual_layer(exact - 1, model, FacesView())[0][4])
        assert ((below < 0.5) & (below >= 0)).all()


# -- Encoded and mended layers ---------------------------------------------------------


def test_a_single_picture_is_flat_and_lies_as_its_faces_do(stack, model):
    one = ViewerModel().add_image(stack.images[0], scale=(2, 3), translate=(7, -5))
    view, other = FacesView.of(one), model.encoded(stack[:1])
    for data in (
        layers.reconstruction_layer(other, view, ENCODED, flat=True),
        layers.residual_layer(stack[:1].images, other, view, ENCODED_RESIDUAL, flat=True),
    ):
        layer = Layer.create(*data)
        assert layer.ndim == 2
        assert layer.data_to_world((4, 6)) == pytest.approx(one.data_to_world((4, 6)))


def test_mended_faces_have_no_model(stack, model):
    mask = np.zeros((12, 10), bool)
    mask[2] = True
    mended = consume(iter_mend(model, stack, mask, faces=[3]))
    layer = Layer.create(*mended_layer(mended, stack, FacesView()))
    assert MODEL_KEY not in layer.metadata
    assert layer.metadata["names"] == stack.names
    assert layer.data is mended
    assert Layer.create(*mended_layer(mended, stack, FacesView(), flat=True)).ndim == 2
