"""A fit that leaves out what is drawn over, as a person does it."""

from __future__ import annotations

import numpy as np
from napari.layers import Layer
from qtpy.QtCore import Qt

from napari_latent_faces.export import as_python
from napari_latent_faces.fitting import fit
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.layers import LEFT_OUT_KEY, MODEL_KEY, faces_layer
from tests.window.menus import PLUGIN, open_widget
from tests.window.test_end_to_end import picture


def test_a_bar_is_drawn_and_left_out_of_the_fit(viewer, qtbot):
    faces = sample_faces(6, 3)
    _, h, w = faces.shape
    viewer.add_layer(Layer.create(*faces_layer(faces, "drawn")))
    top, bottom = h // 3, h // 2
    corners = np.array([(top, 0), (top, w), (bottom, w), (bottom, 0)]) - 0.5
    bar = viewer.add_shapes([corners], shape_type="polygon", name="bar")
    widget = open_widget(qtbot, viewer.window, PLUGIN)
    widget.advanced.unfold()
    qtbot.waitUntil(widget.ignore.native.isVisible, timeout=10_000)
    assert widget.ignore.native.currentText() == "nothing"
    widget.ignore.native.setCurrentText("bar")
    widget.parameters["n_components"].value = 5
    widget.parameters["max_iter"].value = 30
    widget.parameters["tol"].value = "0"
    qtbot.mouseClick(widget.start_button.native, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.is_working, timeout=60_000)

    mask = np.zeros((h, w), bool)
    mask[top:bottom] = True
    alone = fit(faces, n_components=5, max_iter=30, tol=0, mask=mask)
    shown = viewer.layers["reconstruction [drawn]"]
    model = shown.metadata[MODEL_KEY]
    np.testing.assert_array_equal(model.mask, mask)
    np.testing.assert_array_equal(model.components, alone.components)
    np.testing.assert_array_equal(model.weights, alone.weights)
    assert model.error == alone.error
    assert as_python(model) == as_python(alone)
    count = (bottom - top) * w
    assert shown.metadata[LEFT_OUT_KEY] == (18 * count, 18 * h * w)
    assert f"without the {count} pixels of each" in widget.status.value

    bar.visible = False
    seen = picture(viewer, shown)
    rows = seen.shape[0] * np.array([top, bottom]) // h
    black = seen[rows[0] + 2 : rows[1] - 2]
    assert black.max() < 10 < seen[rows[1] + 2 :].mean()
