from __future__ import annotations

import napari.settings
import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest

from napari_latent_faces.params import METHODS
from napari_latent_faces.viewer import reader as _preferences
from napari_latent_faces.viewer import reader as _reader
from napari_latent_faces.viewer.panels.fit import FitWidget
from napari_latent_faces.viewer.reader import read_faces_layers
from napari_latent_faces.viewer.window import text_overlay


def test_a_folder_becomes_one_layer(faces_folder, stack):
    reader = _reader.get_faces_reader(str(faces_folder))
    [(data, kwargs, kind)] = reader(str(faces_folder))
    assert kind == "image"
    assert kwargs["name"] == "my faces"
    np.testing.assert_array_equal(data, stack.images)
    assert kwargs["metadata"]["names"] == stack.names
    assert kwargs["metadata"]["subjects"] == stack.subjects
    assert kwargs["metadata"]["report"].n_read == 30


def test_a_list_of_one_folder_is_that_faces_folder(faces_folder):
    reader = _reader.get_faces_reader([str(faces_folder)])
    assert len(reader([str(faces_folder)])) == 1


def test_what_is_not_ours_is_declined(faces_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "some.zarr").mkdir()
    np.savez(tmp_path / "other.npz", a=1)
    assert _reader.get_faces_reader([str(faces_folder), str(faces_folder)]) is None
    for name in ("empty", "some.zarr", "missing", "my faces/README.txt"):
        assert _reader.get_faces_reader(str(tmp_path / name)) is None
    assert _reader.get_model_reader(str(tmp_path / "other.npz")) is None
    assert _reader.get_model_reader(str(faces_folder)) is None


def test_the_user_sees_one_line(faces_folder, monkeypatch):
    told = []
    monkeypatch.setattr("napari.utils.notifications.show_info", told.append)
    _reader.read_faces_layers(str(faces_folder))
    assert len(told) == 1
    assert told[0].startswith("30 faces read")
    assert "\n" not in told[0]


def test_reading_can_be_cancelled(faces_folder, monkeypatch):
    from napari.utils import cancelable_progress

    told = []
    monkeypatch.setattr("napari.utils.notifications.show_info", told.append)
    update = cancelable_progress.update

    def press_cancel(self, n=1):
        update(self, n)
        self.cancel()

    monkeypatch.setattr(cancelable_progress, "update", press_cancel)
    assert _reader.read_faces_layers(str(faces_folder)) == [_reader.NO_LAYER]
    assert told == ["Reading was cancelled; nothing was opened."]
    assert not cancelable_progress._all_instances


def test_the_progress_bar_is_closed_after_an_error(tmp_path):
    from napari.utils import progress

    with pytest.raises(FileNotFoundError):
        _reader.read_faces_layers(str(tmp_path / "missing"))
    assert not progress._all_instances


def test_a_model_file_brings_the_layers_back(model, tmp_path):
    path = tmp_path / "parts.npz"
    model.save(path)
    found = _reader.get_model_reader(str(path))(str(path))
    names = [kwargs["name"] for _, kwargs, _ in found]
    assert names == ["latent faces [parts]", "reconstruction [parts]"]


def test_opening_faces_names_them_in_the_viewer_that_opens_them(faces_folder, monkeypatch):
    import napari
    from napari.components import ViewerModel

    viewer = ViewerModel()
    monkeypatch.setattr(napari, "current_viewer", lambda: viewer)
    [data] = _reader.read_faces_layers(str(faces_folder))
    viewer.add_layer(napari.layers.Layer.create(*data))
    viewer.dims.set_point(0, 6)
    assert text_overlay(viewer).text == "s2/2.png  |  subject s2  |  face 6"


def test_a_matrix_becomes_one_layer(tmp_path, monkeypatch):
    from tests.reading.arrays import made

    told = []
    monkeypatch.setattr("napari.utils.notifications.show_info", told.append)
    faces, path = made.faces(), tmp_path / "fea.mat"
    path.write_bytes(made.mat(fea=made.LAYOUTS["rows F"](faces), gnd=made.owners()))
    [(data, kwargs, kind)] = _reader.get_faces_reader(str(path))(str(path))
    assert kind == "image"
    np.testing.assert_array_equal(data, faces)
    assert kwargs["metadata"]["subjects"] == tuple(map(str, made.owners()))
    [line] = told
    assert line.startswith("20 faces of 40 x 32 (height x width) from the rows of 'fea'")


@pytest.mark.parametrize("name", ["a.mat", "a.npy", "a.npz", "a.csv", "a-idx3-ubyte.gz"])
def test_napari_opens_matrices(npe2pm, empty_viewer, tmp_path, name):
    import gzip

    from tests.reading.arrays import made

    faces = made.faces()
    content = {
        "a.mat": made.mat(faces=made.LAYOUTS["columns F"](faces)),
        "a.npy": made.npy(faces),
        "a.npz": made.npz(images=faces),
        "a.csv": made.csv(faces.reshape(20, -1)),
        "a-idx3-ubyte.gz": gzip.compress(made.idx(faces)),
    }[name]
    (tmp_path / name).write_bytes(content)
    with npe2pm.tmp_plugin(package=PLUGIN):
        [layer] = empty_viewer.open(tmp_path / name, plugin=PLUGIN)
    np.testing.assert_array_equal(layer.data, faces)


def test_settings_are_defaults_where_napari_keeps_none_for_plugins(monkeypatch):
    import napari.settings

    monkeypatch.delattr(napari.settings, "get_plugin_settings", raising=False)  # before 0.9
    assert _reader.reading_options() == {}
    assert _reader.default_method() == "nmf"


# -- What napari keeps for the plugin, and where it applies ----------------------------


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
    qtbot.addWidget(widget)
    assert widget.method.value == "ica"


def test_without_the_plugin_installed_the_defaults_hold(plugin_settings, npe2pm):
    assert _preferences.reading_options() == {}
    assert _preferences.default_method() == "nmf"
