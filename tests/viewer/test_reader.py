from __future__ import annotations

import gzip
from dataclasses import replace

import napari
import napari.settings
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils import cancelable_progress, progress
from npe2 import PluginManifest
from PIL import Image

from napari_latent_faces.model import LatentFaces
from napari_latent_faces.params import METHODS
from napari_latent_faces.viewer import layers, reader
from napari_latent_faces.viewer.layout import model_layers
from napari_latent_faces.viewer.panels.fit import FitWidget
from napari_latent_faces.viewer.reader import read_faces_layers
from napari_latent_faces.viewer.window import text_overlay
from tests.reading.arrays import made

PLUGIN = "napari-latent-faces"


@pytest.fixture
def told(monkeypatch):
    """Return what the user is told, line by line."""
    lines = []
    monkeypatch.setattr("napari.utils.notifications.show_info", lines.append)
    return lines


def test_a_folder_becomes_one_layer_and_the_user_sees_one_line(faces_folder, stack, told):
    [(data, kwargs, kind)] = reader.get_faces_reader(str(faces_folder))(str(faces_folder))
    assert (kind, kwargs["name"]) == ("image", "my faces")
    np.testing.assert_array_equal(data, stack.images)
    known = kwargs["metadata"]
    assert (known["names"], known["subjects"]) == (stack.names, stack.subjects)
    [line] = told
    assert line.startswith(f"{known['report'].n_read} faces read")
    assert "\n" not in line
    one = [str(faces_folder)]
    assert len(reader.get_faces_reader(one)(one)) == 1


def test_what_is_not_ours_is_declined(faces_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "some.zarr").mkdir()
    np.savez(tmp_path / "other.npz", a=1)
    assert reader.get_faces_reader([str(faces_folder), str(faces_folder)]) is None
    for name in ("empty", "some.zarr", "missing", "my faces/README.txt"):
        assert reader.get_faces_reader(str(tmp_path / name)) is None
    assert reader.get_model_reader(str(tmp_path / "other.npz")) is None
    assert reader.get_model_reader(str(faces_folder)) is None


def test_reading_can_be_cancelled(faces_folder, monkeypatch, told):
    update = cancelable_progress.update

    def press_cancel(self, n=1):
        update(self, n)
        self.cancel()

    monkeypatch.setattr(cancelable_progress, "update", press_cancel)
    assert reader.read_faces_layers(str(faces_folder)) == [reader.NO_LAYER]
    assert told == ["Reading was cancelled; nothing was opened."]
    assert not cancelable_progress._all_instances


def test_the_progress_bar_is_closed_after_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        reader.read_faces_layers(str(tmp_path / "missing"))
    assert not progress._all_instances


def test_a_model_file_brings_the_layers_back(model, tmp_path):
    path = tmp_path / "parts.npz"
    model.save(path)
    found = reader.get_model_reader(str(path))(str(path))
    names = [kwargs["name"] for _, kwargs, _ in found]
    assert names == ["latent faces [parts]", "reconstruction [parts]"]


def test_opening_faces_names_them_in_the_viewer_that_opens_them(faces_folder, monkeypatch):
    viewer = ViewerModel()
    monkeypatch.setattr(napari, "current_viewer", lambda: viewer)
    [data] = reader.read_faces_layers(str(faces_folder))
    viewer.add_layer(napari.layers.Layer.create(*data))
    viewer.dims.set_point(0, 6)
    assert text_overlay(viewer).text == "s2/2.png  |  subject s2  |  face 6"


FACES = made.faces()
FILES = {
    "a.mat": made.mat(fea=made.LAYOUTS["rows F"](FACES), gnd=made.owners()),
    "a.npy": made.npy(FACES),
    "a.npz": made.npz(images=FACES),
    "a.csv": made.csv(FACES.reshape(20, -1)),
    "a-idx3-ubyte.gz": gzip.compress(made.idx(FACES)),
}


@pytest.mark.parametrize("name", FILES)
def test_napari_opens_matrices(npe2pm, empty_viewer, tmp_path, name, told):
    (tmp_path / name).write_bytes(FILES[name])
    with npe2pm.tmp_plugin(package=PLUGIN):
        [layer] = empty_viewer.open(tmp_path / name, plugin=PLUGIN)
    np.testing.assert_array_equal(layer.data, FACES)
    assert told[0].startswith("20 faces of 40 x 32 (height x width)")
    if name == "a.mat":
        assert layer.metadata["subjects"] == tuple(map(str, made.owners()))


@pytest.mark.usefixtures("npe2pm")
@pytest.mark.parametrize("is_old", [False, True])
def test_settings_are_defaults_where_napari_keeps_none_for_the_plugin(monkeypatch, is_old):
    if is_old:  # before 0.9; since then, where it is not installed
        monkeypatch.delattr(napari.settings, "get_plugin_settings", raising=False)
    assert reader.reading_options() == {}
    assert reader.default_method() == "nmf"


def test_any_result_layer_writes_the_model(stack, model, tmp_path):
    view = layers.FacesView("orl")
    for data in (
        layers.gallery_layer(model, view),
        layers.components_layer(model, view),
        layers.reconstruction_layer(model, view),
        layers.residual_layer(stack.images, model, view),
    ):
        [path] = reader.write_model_layers(
            str(tmp_path / data[1]["metadata"][layers.ROLE_KEY]), [data]
        )
        assert path.endswith(".latent")
        np.testing.assert_array_equal(LatentFaces.load(path).weights, model.weights)


def test_all_layers_of_a_fit_write_one_file(model, tmp_path):
    captions = (np.zeros((3, 3, 4)), {"metadata": {layers.ROLE_KEY: "captions"}}, "image")
    found = [*model_layers(model, "m"), captions]  # all that are there
    assert reader.write_model_layers(str(tmp_path / "m.NPZ"), found) == [
        str(tmp_path / "m.NPZ")
    ]


def test_what_is_no_one_fit_is_refused(model, tmp_path):
    plain = (np.zeros((3, 3)), {"name": "holiday", "metadata": {}}, "image")
    two = [*model_layers(model, "a"), *model_layers(replace(model), "b")]
    for found, why in (([plain], "'holiday' is no result of a fit"), (two, "different fits")):
        with pytest.raises(ValueError, match=why):
            reader.write_model_layers(str(tmp_path / "m.npz"), found)
    assert not list(tmp_path.iterdir())


# -- What napari keeps for the plugin, and where it applies ----------------------------

if not hasattr(napari.settings, "get_plugin_settings"):
    pytest.skip("napari has no settings of plugins before 0.9", allow_module_level=True)


@pytest.fixture
def settings(plugin_settings, npe2pm):
    """Return the plugin's settings, kept in a folder of the test."""
    npe2pm.register(PluginManifest.from_distribution(PLUGIN))
    return napari.settings.get_plugin_settings(PLUGIN)


def test_every_method_can_be_the_default_one_and_no_other(settings, qtbot):
    assert reader.reading_options() == {}  # found out
    assert reader.default_method() == "nmf"
    for method in METHODS:
        settings.fitting.method = method
        assert reader.default_method() == method
    settings.fitting.method = "ica"
    assert "method: ica" in settings.config_path.read_text()
    widget = FitWidget(ViewerModel())
    qtbot.addWidget(widget)
    assert widget.method.value == "ica"
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
    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 255, (700, 700), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{i}.png")
    [(data, *_)] = read_faces_layers(str(tmp_path))
    assert isinstance(data, np.ndarray)
    settings.reading.memory_budget = 1
    [(data, *_)] = read_faces_layers(str(tmp_path))
    assert not isinstance(data, np.ndarray)
