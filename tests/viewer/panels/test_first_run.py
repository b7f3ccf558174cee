"""What a new user is offered, and that it keeps out of the way of others."""

from __future__ import annotations

import numpy as np
import pytest

from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.layers import MODEL_KEY
from napari_latent_faces.viewer.panels.fit import FitWidget
from tests.jobs import layers_in


@pytest.fixture
def widget(viewer, qtbot):
    widget = FitWidget(viewer)
    qtbot.addWidget(widget)
    widget.show()
    return widget


def test_show_me_opens_the_sample_fits_it_and_makes_way(widget, viewer, qtbot):
    widget.parameters["max_iter"].value = 5
    assert widget.sample_button.visible
    widget.sample_button.native.click()
    assert widget.progress.visible
    assert not widget.sample_button.visible
    qtbot.waitUntil(lambda: len(layers_in(viewer)) == 3 and not widget.is_working)
    faces = viewer.layers["drawn faces"]
    np.testing.assert_array_equal(faces.data, sample_faces().images)
    assert layers_in(viewer)[-1].metadata[MODEL_KEY].n_components == 20
    assert not widget.sample_button.visible
    assert not widget.links.isVisible()  # there is no window to open panels in


def test_those_who_have_faces_do_not_see_it(viewer, qtbot):
    viewer.add_image(np.ones((5, 8, 8)))
    widget = FitWidget(viewer)
    qtbot.addWidget(widget)
    widget.show()
    assert not widget.sample_button.visible
