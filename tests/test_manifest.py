"""The manifest of the installed package, as napari finds and uses it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import npe2
import numpy as np
import pytest
from PIL import Image

PLUGIN = "napari-latent-faces"


@pytest.fixture(scope="module")
def manifest():
    return npe2.PluginManifest.from_distribution(PLUGIN)


def test_the_installed_package_has_a_sound_manifest(manifest):
    assert manifest.name == distribution(PLUGIN).metadata["Name"] == PLUGIN
    assert manifest.package_version == distribution(PLUGIN).version
    manifest.validate_imports()


def test_the_manifest_at_the_top_is_the_one_in_the_package():
    top = Path(__file__).parents[1] / "napari.yaml"
    if top.stat().st_size > 200:  # a clone without symbolic links holds the link's target
        inside = top.parent / "src" / "napari_latent_faces" / "napari.yaml"
        assert top.read_text() == inside.read_text()


def test_every_command_is_used_by_a_contribution(manifest):
    contributions = manifest.contributions
    used = {
        contribution.command
        for kind in ("readers", "writers", "widgets", "sample_data")
        for contribution in getattr(contributions, kind)
    }
    used |= {item.command for menu in contributions.menus.values() for item in menu}
    assert used == {command.id for command in contributions.commands}


def test_the_manifest_validates_as_npe2_does_it():
    manifest = Path(__file__).parents[1] / "src" / "napari_latent_faces" / "napari.yaml"
    command = [sys.executable, "-m", "npe2", "validate", str(manifest)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def installed(npe2pm):
    """Let npe2 see our plugin; its test fixture hides all that are installed."""
    with npe2pm.tmp_plugin(package=PLUGIN) as plugin:
        yield plugin


@pytest.mark.usefixtures("installed")
def test_npe2_reads_a_folder_with_our_reader(tmp_path):
    pixels = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    [(data, kwargs, _)] = npe2.read([str(tmp_path)], stack=False, plugin_name=PLUGIN)
    np.testing.assert_array_equal(data, pixels)
    assert kwargs["axis_labels"] == ("face", "y", "x")


@pytest.mark.usefixtures("installed")
def test_npe2_writes_and_reads_a_model(model, tmp_path):
    from napari_latent_faces.viewer.layout import model_layers

    layers = model_layers(model, "m")
    path = str(tmp_path / "m.npz")
    assert npe2.write(path, layers, plugin_name=PLUGIN) == [path]
    found = npe2.read([path], stack=False, plugin_name=PLUGIN)
    assert [kind for _, _, kind in found] == ["image", "image"]


def test_every_public_name_is_there():
    import napari_latent_faces

    for name in napari_latent_faces.__all__:
        assert getattr(napari_latent_faces, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_this"):
        _ = napari_latent_faces.nothing_like_this
