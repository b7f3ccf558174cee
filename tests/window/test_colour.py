"""A stack in colour through all panels of one window."""

from __future__ import annotations

import numpy as np

from napari_latent_faces import FaceStack, PCAParams
from tests.conftest import blobs
from tests.window.conftest import PLUGIN
from tests.window.menus import show_faces


def is_coloured(pixmap):
    image = pixmap.toImage()
    points = [(x, y) for x in range(image.width()) for y in range(image.height())]
    return any(len(set(image.pixelColor(*point).getRgb()[:3])) > 1 for point in points)


def test_all_panels_work_in_colour(qtbot, viewer, notes):
    def panel(name):
        return viewer.window.add_plugin_dock_widget(PLUGIN, name)[1]

    def run(widget):
        widget.start()
        qtbot.waitUntil(lambda: not widget.is_working)

    images, *_ = blobs(size=(30, 24))
    images = np.round(images[..., None] * np.array([1, 0.6, 0.3]) * 255 / images.max())
    stack = FaceStack(images.astype(np.uint8), tuple(f"s{i % 3}/{i}.png" for i in range(30)))
    show_faces(viewer, stack, "faces")
    fit = panel("Latent faces")
    fit.method.value = PCAParams.method
    fit.parameters["n_components"].value = 4
    run(fit)
    explain = panel("What builds this face?")
    qtbot.waitUntil(lambda: bool(explain.nearest.items and explain.sums.items))
    for strip in (explain.parts, explain.sums, explain.nearest):
        assert all(item.pixels.ndim == 3 for item in strip.items)
        assert is_coloured(strip.items[0].pixmap())
    assert is_coloured(explain.portrait.pictures.items[1].pixmap())
    mixer = panel("Mix faces")
    nearest = mixer.nearest.pictures
    qtbot.waitUntil(lambda: bool(nearest.items) and is_coloured(nearest.items[0].pixmap()))
    assert viewer.layers["mixed face [faces]"].rgb
    run(panel("New faces"))
    assert viewer.layers["encoded [faces]"].rgb
    mend = panel("Mend faces")
    mend.new_button.native.click()
    mend.marks.value.data[5:9, 4:12] = 1
    run(mend)
    mended, marked = viewer.layers["mended [faces]"], mend.marks.value.data > 0
    assert mended.rgb
    np.testing.assert_array_equal(np.asarray(mended.data)[:, ~marked], stack.images[:, ~marked])
    fit.update_earlier.value = False
    fit.faces.value = viewer.layers["faces"]
    run(fit)
    compare = panel("Compare models")
    qtbot.waitUntil(lambda: compare.table.model().rowCount() == 4)
    assert notes == []
