"""The manifest of the installed package, as napari finds and uses it."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import npe2
import numpy as np
import pytest
from PIL import Image

import napari_latent_faces
from napari_latent_faces.viewer.layout import model_layers

PLUGIN = "napari-latent-faces"


@pytest.fixture(scope="module")
def manifest():
    return npe2.PluginManifest.from_distribution(PLUGIN)


def test_the_installed_package_has_a_sound_manifest(manifest):
    assert manifest.name == distribution(PLUGIN).metadata["Name"] == PLUGIN
    assert manifest.package_version == distribution(PLUGIN).version
    manifest.validate_imports()
    top = Path(__file__).parents[1] / "napari.yaml"
    if top.stat().st_size > 200:  # a clone without symbolic links holds the link's target
        inside = top.parent / "src" / "napari_latent_faces" / "napari.yaml"
        assert top.read_text() == inside.read_text()


def test_every_command_is_used_by_a_contribution(manifest):
    contributions = manifest.contributions
    kinds = ("readers", "writers", "widgets", "sample_data")
    uses = [*contributions.menus.values(), *(getattr(contributions, kind) for kind in kinds)]
    used = {use.command for each in uses for use in each}
    assert used == {command.id for command in contributions.commands}


def test_npe2_reads_and_writes_with_ours(npe2pm, model, tmp_path):
    pixels = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    path = str(tmp_path / "m.npz")
    with npe2pm.tmp_plugin(package=PLUGIN):  # npe2's fixture hides all that are installed
        [(data, kwargs, _)] = npe2.read([str(tmp_path)], stack=False, plugin_name=PLUGIN)
        assert npe2.write(path, model_layers(model, "m"), plugin_name=PLUGIN) == [path]
        found = npe2.read([path], stack=False, plugin_name=PLUGIN)
    np.testing.assert_array_equal(data, pixels)
    assert kwargs["axis_labels"] == ("face", "y", "x")
    assert [kind for _, _, kind in found] == ["image", "image"]


def test_every_public_name_is_there():
    for name in napari_latent_faces.__all__:
        assert getattr(napari_latent_faces, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_this"):
        _ = napari_latent_faces.nothing_like_this
