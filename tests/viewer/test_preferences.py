"""What napari keeps for the plugin, and where it applies."""

from __future__ import annotations

import napari.settings
import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest

from napari_latent_faces.params import METHODS
from napari_latent_faces.viewer import reader as _preferences
from napari_latent_faces.viewer.panels.fit import FitWidget
from napari_latent_faces.viewer.reader import read_faces_layers

PLUGIN = "napari-latent-faces"

if not hasattr(napari.settings, "get_plugin_settings"):
    pytest.skip("napari has no settings of plugins before 0.9", allow_module_level=True)


@pytest.fixture
def settings(plugin_settings, npe2pm):
    """Return the plugin's settings, kept in a folder of the test."""
    from napari.settings import get_plugin_settings

    npe2pm.register(PluginManifest.from_distribution(PLUGIN))
    return get_plugin_settings(PLUGIN)


def test_by_default_everything_is_found_out(settings):
    assert _preferences.reading_options() == {}
    assert _preferences.default_method() == "nmf"


def test_they_are_kept_in_a_file_of_napari(settings):
    settings.fitting.method = "pca"
    assert "method: pca" in settings.config_path.read_text()


def test_every_method_can_be_the_default_one_and_no_other(settings):
    for method in METHODS:
        settings.fitting.method = method
        assert _preferences.default_method() == method
    with pytest.raises(ValueError, match="guess"):
        settings.fitting.method = "guess"


def test_folders_are_read_at_the_size_that_is_set(settings, faces_folder):
    settings.reading.height = 6
    [(data, *_)] = read_faces_layers(str(faces_folder))
    assert data.shape == (30, 6, 5)
    settings.reading.width = 9
    [(data, *_)] = read_faces_layers(str(faces_folder))
    assert data.shape == (30, 6, 9)


def test_a_stack_beyond_the_memory_budget_stays_on_the_disk(settings, tmp_path):
    from PIL import Image

    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 255, (700, 700), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{i}.png")
    [(data, *_)] = read_faces_layers(str(tmp_path))
    assert isinstance(data, np.ndarray)
    settings.reading.memory_budget = 1
    [(data, *_)] = read_faces_layers(str(tmp_path))
    assert not isinstance(data, np.ndarray)


def test_the_panel_begins_with_the_method_that_is_set(settings, qtbot):
    settings.fitting.method = "ica"
    widget = FitWidget(ViewerModel())
    qtbot.addWidget(widget.native)
    assert widget.method.value == "ica"


def test_without_the_plugin_installed_the_defaults_hold(plugin_settings, npe2pm):
    assert _preferences.reading_options() == {}
    assert _preferences.default_method() == "nmf"
