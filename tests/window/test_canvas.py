"""Removing a layer draws on, in this window and in others."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtGui import QOpenGLContext
from qtpy.QtWidgets import QApplication
from vispy.gloo import glir

from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.layers import faces_layer
from napari_latent_faces.viewer.session import session_of


@pytest.fixture
def shown(make_napari_viewer):
    """Return how to make a window that shows faces, and another picture above them."""

    def make():
        viewer = make_napari_viewer(show=True)
        faces = sample_faces(2, 2, shape=(24, 20))
        viewer.add_layer(Layer.create(*faces_layer(faces, "faces")))
        viewer.add_image(np.linspace(0, 1, 480).reshape(24, 20), translate=(0, 20))
        viewer.reset_view()
        seen(viewer)
        return viewer

    return make


def canvas_of(viewer):
    return viewer.window._qt_viewer.canvas.native


def seen(viewer):
    """Return the pixels of the canvas, after it was painted like others."""
    canvas_of(viewer).update()
    QApplication.processEvents()
    return viewer.screenshot(flash=False)


def test_another_window_shows_what_it_showed_whatever_happens_in_the_first(shown):
    one, other = shown(), shown()
    session_of(one)
    before = seen(other)
    one.layers.pop()
    np.testing.assert_array_equal(seen(other), before)
    assert not np.array_equal(seen(one), before)
    one.close()
    one.layers.events.removing(index=0)  # somebody still has the viewer
    np.testing.assert_array_equal(seen(other), before)


@pytest.mark.parametrize("attach", [session_of])  # any panel; any opening of faces
def test_what_drew_a_layer_is_deleted_where_it_was_made(shown, attach, monkeypatch):
    viewer, contexts = shown(), []
    attach(viewer)
    delete = glir.GlirProgram.delete

    def noted(program):
        contexts.append(QOpenGLContext.currentContext())
        delete(program)

    monkeypatch.setattr(glir.GlirProgram, "delete", noted)
    viewer.layers.pop()
    assert contexts == [canvas_of(viewer).context()]
    # the layer below goes in a viewer that has no current context of its own
    canvas_of(viewer).doneCurrent()
    viewer.layers.clear()
    assert contexts == 2 * [canvas_of(viewer).context()]
