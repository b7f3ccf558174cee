from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, replace

import numpy as np
import pytest

from napari_latent_faces.fitting import fit
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.model_file import ModelFileError, is_model_file
from napari_latent_faces.params import PCAParams


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "model.npz"
    model.save(path)
    return path


def rewrite(path, **members):
    """Replace members of a model file; None leaves one out."""
    with np.load(path) as archive:
        arrays = dict(archive) | members
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def header_with(path, **changes):
    with np.load(path) as archive:
        header = json.loads(archive["header"].tobytes())
    return np.frombuffer(json.dumps(header | changes).encode(), np.uint8)


def test_a_saved_model_comes_back_bit_by_bit(model, saved):
    back = LatentFaces.load(saved)
    for name in ("components", "weights"):
        ours, theirs = getattr(model, name), getattr(back, name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    for name in ("error", "scale", "params", "provenance"):
        assert getattr(back, name) == getattr(model, name)


def test_names_of_any_kind_survive(model, tmp_path):
    names = ("é/ü.png", "\udcff.png", "a\nb", "面.jpg", *map(str, range(26)))
    named = replace(model, provenance=replace(model.provenance, names=names, subjects=None))
    named.save(tmp_path / "m.npz")
    # what cannot be printed is escaped, the same as in a stack that is read
    shown = ("é/ü.png", r"\udcff.png", r"a\nb", *names[3:])
    assert LatentFaces.load(tmp_path / "m.npz").provenance.names == shown


def test_nothing_is_pickled(saved):
    with np.load(saved, allow_pickle=False) as archive:
        assert {array.dtype.kind for array in archive.values()} <= {"f", "u"}


def test_a_failed_save_leaves_the_old_file(model, saved, monkeypatch):
    before = saved.read_bytes()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.lib.format.write_array", full)
    with pytest.raises(OSError, match="No space left"):
        model.save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["model.npz"]


def test_other_files_are_not_ours(tmp_path, saved):
    np.savez(tmp_path / "other.npz", components=np.ones(3), weights=np.ones(3))
    (tmp_path / "text.npz").write_text("no zip at all")
    assert is_model_file(saved)
    for name in ("other.npz", "text.npz", "missing.npz", "."):
        assert not is_model_file(tmp_path / name)
    with pytest.raises(ModelFileError, match=r"other.npz is not a model file"):
        LatentFaces.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError, match="missing"):
        LatentFaces.load(tmp_path / "missing.npz")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"components": np.ones((3, 12))}, "do not belong together"),
        ({"components": np.ones((4, 12, 10))}, "do not belong together"),
        ({"weights": np.ones((30, 3), int)}, "weights are of type int"),
        ({"weights": np.full((30, 3), np.nan)}, "weights are not all finite"),
        ({"components": np.full((3, 12, 10), -1.0)}, "components are not all finite"),
        ({"weights": np.ones((29, 3))}, "names 30 faces but has weights for 29"),
        ({"components": np.array([None])}, "damaged"),
        ({"header": np.frombuffer(b"{no json", np.uint8)}, "damaged"),
        ({"header": np.frombuffer(b"[]", np.uint8)}, "damaged"),
        ({"header": np.frombuffer(b"{}", np.uint8)}, "damaged"),
    ],
)
def test_an_unsound_model_says_what_is_wrong(saved, members, words):
    rewrite(saved, **members)
    with pytest.raises(ModelFileError, match=words) as error:
        LatentFaces.load(saved)
    assert str(saved) in str(error.value)


def test_how_faces_were_aligned_is_kept_where_older_releases_do_not_look(model, tmp_path):
    transforms = np.tile(np.eye(3), (30, 1, 1))
    origin = replace(model.provenance, frame=(2, 1, 16, 12))
    path = tmp_path / "aligned.npz"
    replace(model, transforms=transforms, provenance=origin).save(path)
    back = LatentFaces.load(path)
    np.testing.assert_array_equal(back.transforms, transforms)
    assert back.provenance == origin
    assert json.loads(header_with(path).tobytes())["format_version"] == 1

    rewrite(path, transforms=transforms[:4])
    with pytest.raises(ModelFileError, match=r"transforms have the shape \(4, 3, 3\)"):
        LatentFaces.load(path)
    changed = asdict(replace(origin, frame=(2, 1, 13, 12)))
    rewrite(path, transforms=None, header=header_with(path, provenance=changed))
    with pytest.raises(ModelFileError, match=r"10 x 12, do not fit its frame \(2, 1, 13, 12\)"):
        LatentFaces.load(path)


def test_a_newer_format_asks_for_an_update(saved):
    rewrite(saved, header=header_with(saved, format_version=99))
    with pytest.raises(ModelFileError, match=r"format version 99.*update"):
        LatentFaces.load(saved)


def test_a_file_cut_short_is_an_error(saved):
    whole = saved.read_bytes()
    for end in (10, len(whole) // 2, len(whole) - 10):
        saved.write_bytes(whole[:end])
        with pytest.raises(ModelFileError):
            LatentFaces.load(saved)


def test_a_flipped_bit_is_found(saved):
    whole = bytearray(saved.read_bytes())
    with zipfile.ZipFile(io.BytesIO(bytes(whole))) as archive:
        start = archive.getinfo("weights.npy").header_offset
    whole[start + 250] ^= 4
    saved.write_bytes(whole)
    with pytest.raises(ModelFileError):
        LatentFaces.load(saved)


def test_nmf_is_written_as_older_releases_read_it(saved):
    header = json.loads(header_with(saved).tobytes())
    assert header["format_version"] == 1
    with np.load(saved) as archive:
        assert set(archive) == {"header", "components", "weights"}


def test_a_file_of_an_older_release_is_read(model, saved):
    """It names neither the method nor how the faces were read."""
    header = json.loads(header_with(saved).tobytes())
    del header["method"], header["provenance"]["reading"]
    rewrite(saved, header=np.frombuffer(json.dumps(header).encode(), np.uint8))
    back = LatentFaces.load(saved)
    assert back.params == model.params
    assert back.provenance == model.provenance
    np.testing.assert_array_equal(back.components, model.components)


@pytest.fixture
def signed(stack, tmp_path):
    path = tmp_path / "pca.npz"
    fit(stack, PCAParams(n_components=3)).save(path)
    return path


def test_other_methods_ask_older_releases_for_an_update(signed):
    assert json.loads(header_with(signed).tobytes())["format_version"] == 2


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"mean": np.ones((3, 3))}, r"mean has the shape \(3, 3\)"),
        ({"mean": np.full((12, 10), np.inf)}, "mean are not all finite"),
        ({"mean": np.ones((12, 10), int)}, "mean are of type int"),
        ({"weights": np.full((30, 3), np.nan)}, "weights are not all finite"),
    ],
)
def test_an_unsound_signed_model_says_what_is_wrong(signed, members, words):
    rewrite(signed, **members)
    with pytest.raises(ModelFileError, match=words):
        LatentFaces.load(signed)


def test_an_unknown_method_is_told(saved):
    rewrite(saved, header=header_with(saved, method="svd"))
    with pytest.raises(ModelFileError, match="method must be one of nmf"):
        LatentFaces.load(saved)
