"""What a new user is offered, and that it keeps out of the way of others."""

from __future__ import annotations

import numpy as np
import pytest
from superqt.utils import WorkerBase

from napari_latent_faces.synthetic import draw_faces, iter_draw_faces
from napari_latent_faces.viewer.layers import MODEL_KEY
from napari_latent_faces.viewer.panels.fit import FitWidget


@pytest.fixture
def widget(viewer, qtbot):
    widget = FitWidget(viewer)
    qtbot.addWidget(widget.native)
    widget.native.show()
    return widget


@pytest.fixture
def drawn(monkeypatch):
    """Draw few and small faces where the sample would be drawn; return them."""
    faces = draw_faces(8, 4, shape=(28, 23))
    monkeypatch.setattr(
        "napari_latent_faces.synthetic.iter_draw_faces",
        lambda: iter_draw_faces(8, 4, shape=(28, 23)),
    )
    return faces


@pytest.fixture
def endless(monkeypatch):
    """Draw for ever where the sample would be drawn."""

    def drawing():
        while True:
            yield 1, 2

    monkeypatch.setattr("napari_latent_faces.synthetic.iter_draw_faces", drawing)


def test_show_me_draws_fits_and_makes_way(widget, viewer, drawn, qtbot):
    widget.parameters["max_iter"].value = 5
    assert widget.first_run.sample_button.visible
    widget.first_run.sample_button.native.click()
    assert widget.progress.visible
    assert not widget.first_run.sample_button.visible
    qtbot.waitUntil(lambda: len(viewer.layers) == 3 and not widget.is_fitting)
    faces = viewer.layers["drawn faces"]
    np.testing.assert_array_equal(faces.data, drawn.images)
    assert viewer.layers[-1].metadata[MODEL_KEY].n_components == 20
    assert not widget.first_run.sample_button.visible
    assert not widget.first_run.links.visible  # there is no window to open panels in


def test_the_drawing_can_be_cancelled(widget, viewer, endless, qtbot):
    widget.first_run.sample_button.native.click()
    qtbot.waitUntil(lambda: widget.progress.value == 1)
    assert widget.cancel_button.visible
    widget.cancel_button.native.click()
    assert not widget.first_run.is_drawing
    assert widget.first_run.sample_button.visible
    assert not widget.progress.visible
    assert "Show me" in widget.status.value
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)
    assert not viewer.layers


def test_faces_that_come_while_it_draws_stay(widget, viewer, endless, qtbot):
    widget.first_run.sample_button.native.click()
    viewer.add_image(np.ones((5, 8, 8)), name="own")
    assert not widget.fit_button.enabled  # one thing at a time
    widget.cancel()
    assert widget.fit_button.enabled
    assert not widget.first_run.sample_button.visible


def test_those_who_have_faces_do_not_see_it(viewer, qtbot):
    viewer.add_image(np.ones((5, 8, 8)))
    widget = FitWidget(viewer)
    qtbot.addWidget(widget.native)
    widget.native.show()
    assert not widget.first_run.sample_button.visible
