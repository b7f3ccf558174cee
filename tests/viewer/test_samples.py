"""Sample data: each entry opens as one layer, and says what to do when it cannot."""

from __future__ import annotations

from urllib.error import URLError

import numpy as np
import pytest

from napari_latent_faces import samples
from napari_latent_faces.viewer import reader

OFFLINE = URLError("Name or service not known")


@pytest.fixture
def shown(monkeypatch):
    """Notes that napari would show."""
    notes = []
    monkeypatch.setattr("napari.utils.notifications.show_info", notes.append)
    return notes


@pytest.fixture
def olivetti(monkeypatch):
    """A stand-in for the download: three people, two pictures of each, out of order."""
    from sklearn.utils import Bunch

    target = np.array([0, 1, 0, 2, 1, 2])
    images = np.linspace(0, 1, 6 * 64 * 64, dtype=np.float32).reshape(6, 64, 64)
    answers = {"local": False, "online": True}

    def fetch(*, download_if_missing=True, **_):
        if not (answers["local"] or download_if_missing):
            raise OSError("Data not found and `download_if_missing` is False")
        if not (answers["local"] or answers["online"]):
            raise OFFLINE
        answers["local"] = True
        return Bunch(images=images, target=target)

    monkeypatch.setattr("sklearn.datasets.fetch_olivetti_faces", fetch)
    return answers


def only_layer(layers):
    [(data, settings, kind)] = layers
    assert kind == "image"
    return data, settings


@pytest.mark.parametrize(
    ("open_sample", "shape", "name"),
    [
        (reader.drawn_faces, (400, 112, 92), "drawn faces"),
        (reader.drawn_faces_in_colour, (400, 112, 92, 3), "drawn faces in colour"),
        (reader.lfw_faces, (100, 25, 25), "LFW faces"),
    ],
)
def test_each_opens_as_one_layer(open_sample, shape, name):
    data, settings = only_layer(open_sample())
    assert data.shape == shape
    assert settings["name"] == name
    assert settings.get("rgb", False) == (len(shape) == 4)
    if name.startswith("drawn"):
        assert settings["metadata"]["subjects"][-1] == "s40"


class TestLfw:
    def test_pixels_are_those_of_scikit_image(self):
        from skimage.data import lfw_subset

        stack = samples.read_lfw_subset()
        np.testing.assert_allclose(stack.images, lfw_subset()[:100], rtol=1e-6)
        assert (stack.dtype, stack.subjects) == (np.float32, None)
        assert stack.names[::99] == ("001.png", "100.png")

    @pytest.mark.parametrize(
        "reason", [ConnectionError("no internet"), ModuleNotFoundError("pooch")]
    )
    def test_missing_pictures_tell_what_to_do(self, monkeypatch, reason):
        def fetch():
            raise reason

        monkeypatch.setattr("skimage.data.lfw_subset", fetch)
        words = r"LFW faces .* could not be read.*Open folder of faces"
        with pytest.raises(OSError, match=words):
            samples.read_lfw_subset()


class TestOlivetti:
    @pytest.mark.usefixtures("olivetti")
    def test_subjects_come_from_the_target(self):
        stack = samples.read_olivetti()
        assert stack.shape == (6, 64, 64)
        assert stack.subjects == ("s01", "s02", "s01", "s03", "s02", "s03")
        assert stack.names[:3] == ("s01/01.png", "s02/01.png", "s01/02.png")
        assert len(set(stack.names)) == 6

    @pytest.mark.usefixtures("olivetti")
    def test_download_is_announced_once(self, shown):
        data, settings = only_layer(reader.olivetti_faces())
        assert data.shape == (6, 64, 64)
        assert settings["name"] == "Olivetti faces"
        reader.olivetti_faces()
        [note] = shown
        assert "Olivetti" in note
        assert "MB" in note

    @pytest.mark.usefixtures("shown")
    def test_offline_says_what_failed_and_what_to_do(self, olivetti):
        olivetti["online"] = False
        with pytest.raises(OSError, match="could not be downloaded") as caught:
            reader.olivetti_faces()
        for words in ("Name or service not known", "network", "Open folder of faces"):
            assert words in str(caught.value)

    def test_without_download_nothing_is_fetched(self, olivetti):
        with pytest.raises(FileNotFoundError, match="not been downloaded"):
            samples.read_olivetti(download=False)
        assert not olivetti["local"]


@pytest.mark.parametrize("content", [b"", b"\x78\x9c half a download"])
def test_a_damaged_download_says_what_to_remove(content, tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    (tmp_path / "olivetti_py3.pkz").write_bytes(content)
    with pytest.raises(OSError, match=r"is damaged, .*: remove it \(olivetti\*\.pkz\)"):
        samples.read_olivetti()
