"""What tests of panels share: a viewer without a window, and what one does with panels."""

from __future__ import annotations

import pytest
from napari.layers import Layer
from qtpy.QtCore import Qt

from napari_latent_faces.viewer.fitting import ResultLayers, ShowOptions
from napari_latent_faces.viewer.layers import faces_layer
from napari_latent_faces.viewer.layout import model_layers


@pytest.fixture
def viewer(empty_viewer):
    return empty_viewer


@pytest.fixture
def faces(add_faces, stack):
    return add_faces(stack, "orl")


@pytest.fixture
def told(monkeypatch):
    """Collect the errors that are shown."""
    found = []
    monkeypatch.setattr("napari_latent_faces.viewer.panels.panel.show_error", found.append)
    monkeypatch.setattr("napari.utils.notifications.show_error", found.append)
    return found


@pytest.fixture
def make(viewer, qtbot):
    """Return a function that shows a panel."""

    def make(kind, width=360, height=800):
        panel = kind(viewer)
        qtbot.addWidget(panel)
        panel.resize(width, height)
        panel.show()
        return panel

    return make


@pytest.fixture
def add_faces(viewer):
    return lambda stack, name="new": viewer.add_layer(Layer.create(*faces_layer(stack, name)))


@pytest.fixture
def add_model(viewer):
    """Return a function that adds the layers of a model without its faces."""

    def add(model, name="m"):
        return [viewer.add_layer(Layer.create(*data)) for data in model_layers(model, name)]

    return add


@pytest.fixture
def show_model(viewer):
    """Return a function that shows a model beside its faces, as a fit does."""

    def show(faces, model, **options):
        ResultLayers(viewer, faces, ShowOptions(**options)).show_model(model)
        return model

    return show


@pytest.fixture
def run(qtbot):
    """Return a function that presses the button of a panel and waits for the end."""

    def run(panel):
        panel.start_button.native.click()
        assert panel.is_working
        qtbot.waitUntil(lambda: not panel.is_working)

    return run


@pytest.fixture
def click(qtbot):
    """Return a function that clicks a widget, or a cell of a table or strip."""

    def click(widget, row=None, column=0):
        if row is None:
            qtbot.mouseClick(getattr(widget, "native", widget), Qt.MouseButton.LeftButton)
            return
        index = widget.model().index(row, column)
        widget.scrollTo(index)
        place = widget.visualRect(index).center()
        qtbot.mouseClick(widget.viewport(), Qt.MouseButton.LeftButton, pos=place)

    return click
