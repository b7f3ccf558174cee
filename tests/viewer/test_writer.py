from __future__ import annotations

import numpy as np
import pytest

from napari_latent_faces.model import LatentFaces
from napari_latent_faces.viewer import layers
from napari_latent_faces.viewer.layout import model_layers
from napari_latent_faces.viewer.reader import write_model_layers


def test_any_result_layer_writes_the_model(stack, model, tmp_path):
    view = layers.FacesView("orl")
    for data in (
        layers.gallery_layer(model, view),
        layers.components_layer(model, view),
        layers.reconstruction_layer(model, view),
        layers.residual_layer(stack.images, model, view),
    ):
        [path] = write_model_layers(
            str(tmp_path / data[1]["metadata"][layers.ROLE_KEY]), [data]
        )
        assert path.endswith(".latent")
        np.testing.assert_array_equal(LatentFaces.load(path).weights, model.weights)


def test_all_layers_of_a_fit_write_one_file(model, tmp_path):
    captions = (np.zeros((3, 3, 4)), {"metadata": {layers.ROLE_KEY: "captions"}}, "image")
    found = [*model_layers(model, "m"), captions]  # all that are there
    assert write_model_layers(str(tmp_path / "m.NPZ"), found) == [str(tmp_path / "m.NPZ")]


def test_other_layers_are_refused_by_name(model, tmp_path):
    plain = (np.zeros((3, 3)), {"name": "holiday", "metadata": {}}, "image")
    with pytest.raises(ValueError, match="'holiday' is no result of a fit"):
        write_model_layers(str(tmp_path / "m.npz"), [plain])
    assert not list(tmp_path.iterdir())


def test_results_of_two_fits_are_refused(model, tmp_path):
    from dataclasses import replace

    found = [*model_layers(model, "a"), *model_layers(replace(model), "b")]
    with pytest.raises(ValueError, match="different fits"):
        write_model_layers(str(tmp_path / "m.npz"), found)
