from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_latent_faces.viewer.marks import add_mask, fit_mask, marks_on

H, W = 12, 10


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def faces(viewer):
    return viewer.add_image(np.zeros((5, H, W), np.uint8), name="f")


@pytest.fixture
def moved(viewer):
    """Return faces that are scaled, moved and turned."""
    return viewer.add_image(
        np.zeros((5, H, W)), scale=(1, 2, 3), translate=(0, 40, -7), rotate=30, name="m"
    )


def box(rows=(3, 6), columns=(2, 8)):
    mask = np.zeros((H, W), bool)
    mask[slice(*rows), slice(*columns)] = True
    return mask


def rectangle(rows=(3, 6), columns=(2, 8)):
    """Return the corners of the same box: edges of pixels, not centres."""
    (top, bottom), (left, right) = rows, columns
    corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
    return np.array(corners, float) - 0.5


def test_flat_labels_mark_all_faces(viewer, faces):
    labels = viewer.add_labels(box().astype(int) * 3)
    marks = marks_on(labels, faces)()
    assert marks.faces is None
    np.testing.assert_array_equal(marks.mask, box())
    assert marks.on(2).faces.tolist() == [2]


def test_stacked_labels_mark_single_faces(viewer, faces):
    data = np.zeros((5, H, W), int)
    data[1], data[4] = box(), box((0, 2))
    marks = marks_on(viewer.add_labels(data), faces)()
    assert marks.faces.tolist() == [1, 4]
    np.testing.assert_array_equal(marks.mask, [box(), box((0, 2))])
    np.testing.assert_array_equal(marks.on(4).mask, [box((0, 2))])
    assert not marks.on(3).mask.any()


@pytest.mark.parametrize("each", [False, True])
def test_a_new_mask_lies_on_its_faces_wherever_they_are(viewer, moved, each):
    mask = add_mask(viewer, moved, each=each)
    assert mask.data.shape == ((5, H, W) if each else (H, W))
    assert not mask.data.any()
    assert mask.mode == "paint"
    assert viewer.layers.selection.active is mask
    index = (2, 4, 5)[-mask.ndim :]
    np.testing.assert_allclose(
        mask.data_to_world(index)[-2:], moved.data_to_world((2, 4, 5))[-2:], atol=1e-9
    )
    mask.data[index] = 1
    marks = marks_on(mask, moved)()
    assert np.argwhere(marks.mask)[:, -2:].tolist() == [[4, 5]]
    assert (None if marks.faces is None else marks.faces.tolist()) == ([2] if each else None)


def test_labels_of_another_grid_fall_on_the_pixels_they_cover(viewer, faces):
    fine = viewer.add_labels(np.kron(box(), np.ones((2, 2), int)), scale=(0.5, 0.5),
                             translate=(-0.25, -0.25))  # fmt: skip
    np.testing.assert_array_equal(marks_on(fine, faces)().mask, box())
    shifted = viewer.add_labels(box().astype(int), translate=(2, -1))
    np.testing.assert_array_equal(marks_on(shifted, faces)().mask, box((5, 8), (1, 7)))
    # as napari's own button makes them: over all layers, from the corner of the world
    data = np.zeros((9, 40, 40), int)
    data[3, 20, 20] = 1
    far = viewer.add_image(np.zeros((5, H, W)), translate=(0, 15, 18))
    marks = marks_on(viewer.add_labels(data), far)()
    assert marks.faces.tolist() == [3]
    assert np.argwhere(marks.mask[0]).tolist() == [[5, 2]]


def test_shapes_on_slices_mark_their_faces(viewer, faces):
    places = [(1, (3, 6)), (4, (0, 2)), (4, (7, 9)), (7, (0, 2))]  # there is no face 7
    drawn = [np.insert(rectangle(rows), 0, face, axis=1) for face, rows in places]
    marks = marks_on(viewer.add_shapes(drawn, shape_type="polygon"), faces)()
    assert marks.faces.tolist() == [1, 4]
    np.testing.assert_array_equal(marks.mask, [box(), box((0, 2)) | box((7, 9))])


@pytest.mark.parametrize("kind", ["rectangle", "polygon", "ellipse", "path", "line"])
def test_a_shape_falls_on_the_pixels_it_is_drawn_over_wherever_the_faces_are(
    viewer, faces, moved, kind
):
    points = rectangle()
    if kind in {"line", "path"}:  # away from the edges of pixels, where rounding decides
        points = points[::2] + 0.7 if kind == "line" else points + 0.7
    # thin strokes, as their width is not known along both axes of pixels that are no squares
    there = viewer.add_shapes([points], shape_type=kind, edge_width=0.1)
    expected = marks_on(there, faces)().mask
    assert expected.any()
    seen = np.array([moved.data_to_world((0, *point))[-2:] for point in points])
    own = viewer.add_shapes([seen / 5], shape_type=kind, scale=(5, 5), edge_width=0.1)
    np.testing.assert_array_equal(marks_on(own, moved)().mask, expected)


def test_a_stroke_is_as_wide_as_it_is_drawn(viewer, faces):
    scaled = viewer.add_image(np.zeros((5, 120, 100)), scale=(1, 0.1, 0.1))
    line = viewer.add_shapes([[[6, 2], [6, 8]]], shape_type="line", edge_width=2)
    assert marks_on(line, faces)().mask[:, 5].sum() == 3
    assert marks_on(line, scaled)().mask[:, 50].sum() == 21


def test_a_single_picture_is_marked_wherever_the_slider_is(viewer):
    picture = viewer.add_image(np.zeros((H, W)))
    data = np.zeros((5, H, W), int)
    data[3] = box()
    np.testing.assert_array_equal(marks_on(viewer.add_labels(data), picture)().mask, box())
    drawn = viewer.add_shapes([np.insert(rectangle(), 0, 3, axis=1)], shape_type="rectangle")
    np.testing.assert_array_equal(marks_on(drawn, picture)().mask, box())


def test_marks_that_cannot_be_used_are_told(viewer, faces):
    four = viewer.add_labels(np.zeros((2, 5, H, W), int), name="four")
    with pytest.raises(ValueError, match="four has 4 axes"):
        marks_on(four, faces)
    turned = viewer.add_labels(np.zeros((5, H, W), int), name="turned")
    with pytest.warns(UserWarning, match="Non-orthogonal"):  # napari cannot show it either
        turned.rotate = (0, 30, 0)
    with pytest.raises(ValueError, match="turned is turned against the faces"):
        marks_on(turned, faces)


def test_the_mask_of_a_fit_is_for_all_faces_or_for_each(viewer, faces):
    flat = fit_mask(viewer.add_labels(box().astype(int)), faces, "Ignore")()
    np.testing.assert_array_equal(flat, box())
    data = np.zeros((5, H, W), int)
    data[3] = box()
    each = fit_mask(viewer.add_labels(data), faces, "Ignore")()
    assert each.shape == data.shape
    np.testing.assert_array_equal(each[0:5], data != 0)


def marked(case):
    data = np.zeros((5, H, W), int)
    if case == "all":
        return np.ones((H, W), int)
    if case == "a face":
        data[2] = 1
    if case == "a pixel":
        data[:, 4, 6] = 1
    return data


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("nothing", "Ignore: painted marks nothing of these faces: paint"),
        ("all", "Ignore: painted marks every pixel: leave some"),
        ("a face", "Ignore: painted marks every pixel of face 2: leave some"),
        ("a pixel", r"Ignore: painted marks the pixel \(y=4, x=6\) of every face one by one"),
    ],
)
def test_too_little_or_too_much_is_told_with_the_field(viewer, faces, case, words):
    mask = fit_mask(viewer.add_labels(marked(case), name="painted"), faces, "Ignore")
    with pytest.raises(ValueError, match=words):
        mask()
