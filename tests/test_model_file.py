from __future__ import annotations

import io
import json
import os
import pickle
import sys
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from napari_latent_faces.fitting import fit
from napari_latent_faces.model import FORMAT_VERSION, LatentFaces, ModelFileError, is_model_file
from napari_latent_faces.params import PCAParams
from tests.fuzz.targets import a_colour_model, a_model, a_signed_model, assert_sound
from tests.helpers import measured


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
        ({"weights": np.ones((30, 3), int)}, "weights are of type int"),
        ({"header": np.frombuffer(b"{no json", np.uint8)}, "damaged"),
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
    with pytest.raises(ModelFileError, match=r"transforms of shape \(4, 3, 3\)"):
        LatentFaces.load(path)
    changed = asdict(replace(origin, frame=(2, 1, 13, 12)))
    rewrite(path, transforms=None, header=header_with(path, provenance=changed))
    with pytest.raises(ModelFileError, match=r"10 x 12, do not fit its frame \(2, 1, 13, 12\)"):
        LatentFaces.load(path)


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
        ({"mean": np.ones((3, 3))}, r"mean of shape \(3, 3\)"),
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


# -- Model files of anybody's: a sound model or a clear error, never code, never more memory


GOLDEN = Path(__file__).parent / "golden"


def npy(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def declaring(descr, shape, content=b""):
    """Return an array file that says what it likes of itself."""
    file = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


@pytest.fixture
def forge(tmp_path):
    """Return what writes a model file with members replaced, and reads it."""
    path = tmp_path / "model.npz"

    def write(compression=zipfile.ZIP_STORED, **members):
        a_model().save(path)
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        parts |= {f"{name}.npy": content for name, content in members.items()}
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        return path

    return write


def header_text(tmp_path, **changes):
    path = tmp_path / "plain.npz"
    a_model().save(path)
    with np.load(path) as archive:
        told = json.loads(archive["header"].tobytes())
    for name, value in changes.items():
        *above, last = name.split("__")
        place = told
        for key in above:
            place = place[key]
        place[last] = value
    return npy(np.frombuffer(json.dumps(told).encode(), np.uint8))


def raw(text):
    return npy(np.frombuffer(text.encode(), np.uint8))


class Evil:
    """What runs code when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("evil"),))


HUGE = 10**11

MEMBERS = {
    "a pickle": ({"weights": npy(np.array([Evil()], object))}, "pickled Python objects"),
    "a bare pickle": ({"weights": pickle.dumps(Evil())}, "magic string"),
    "objects": ({"components": declaring("|O", (2, 4, 3))}, "pickled Python objects"),
    "no array": ({"weights": b"nothing"}, "magic string"),
    "a record": ({"weights": npy(np.zeros((3, 2), [("a", "f4")]))}, "not floats"),
    "texts": ({"weights": npy(np.zeros((3, 2), "U3"))}, "not floats"),
    "complex numbers": ({"weights": npy(np.zeros((3, 2), complex))}, "not floats"),
    "a scalar": ({"weights": npy(np.float32(1))}, "do not belong together"),
    "k of components": ({"components": npy(np.ones((3, 4, 3)))}, "do not belong together"),
    "k of both": (
        {"components": npy(np.ones((3, 4, 3))), "weights": npy(np.ones((3, 3)))},
        "parameters say 2 components, but it holds 3",
    ),
    "nothing": ({"components": npy(np.ones((2, 0, 3)))}, "components are empty"),
    "no faces": ({"weights": npy(np.ones((0, 2)))}, "weights are empty"),
    "NaN": ({"weights": npy(np.full((3, 2), np.nan))}, "weights are not all finite"),
    "infinity": ({"components": npy(np.full((2, 4, 3), np.inf))}, "not all finite"),
    "negative": ({"components": npy(np.full((2, 4, 3), -1.0))}, "non-negative"),
    "a huge array": ({"weights": declaring("<f4", (HUGE, 2))}, "declare 100000000000 x 2"),
    "an overflow": ({"weights": declaring("<f4", (2**40, 2**40))}, "declare 1099511627776 x"),
    "less than none": ({"weights": declaring("<f4", (-3, -2), bytes(24))}, "declare -3 x -2"),
    "too few bytes": ({"weights": declaring("<f4", (3, 2), bytes(23))}, "instead of 24"),
    "too many bytes": ({"weights": declaring("<f4", (3, 2), bytes(25))}, "instead of 24"),
    "an endless header": ({"weights": b"\x93NUMPY\1\0\xff\xff" + b"{" * 65535}, "large"),
    "a deep header": ({"weights": b"\x93NUMPY\1\0\x10\x27" + b"(" * 10000}, "damaged"),
    "a header cut short": ({"weights": b"\x93NUMPY\1\0v\0{'descr': ("}, "damaged"),
    "an unknown version": ({"weights": b"\x93NUMPY\7\0v\0{}"}, r"\(7, 0\) are not read"),
}

NESTED = "[" * 100_000
HEADERS = {
    "deep": (raw(NESTED), "nested too deeply"),
    "deep objects": (raw('{"a":' * 100_000), "nested too deeply"),
    "a long number": (raw('{"format_version": ' + "9" * 5000 + "}"), "damaged"),
    "no text": (npy(np.frombuffer(b"\xff\xfe{}", np.uint8)), "damaged"),
    "a list": (raw("[1]"), "damaged"),
    "nothing": (raw(""), "damaged"),
    "keys missing": (raw('{"format_version": 1}'), "lacks 'params'"),
}

CHANGES = [
    ("format_version", FORMAT_VERSION + 1, rf"format version {FORMAT_VERSION + 1}.*update"),
    ("format_version", "1", "format version must be a number from 0 on, got '1'"),
    ("format_version", -1, "format version must be a number from 0 on, got -1"),
    ("error", float("nan"), "its error must be a number from 0 on, got nan"),
    ("error", -1, "its error must be .*, got -1"),
    ("error", 10**400, "its error must be .*, got 1000"),
    ("error", True, "its error must be .*, got True"),
    ("scale", 0, "its scale is 0"),
    ("scale", float("inf"), "its scale must be .*, got inf"),
    ("scale", [], r"its scale must be .*, got \[\]"),
    ("params", [], "damaged"),
    ("params__n_components", 3, "parameters say 3 components, but it holds 2"),
    ("params__max_iter", float("inf"), "damaged"),
    ("params__solver", {}, "solver must be"),
    ("params__unknown", 1, "unknown"),
    ("provenance", None, "damaged"),
    ("provenance__names", "abc", "its names must be a list of texts, got 'abc'"),
    ("provenance__names", [1, 2, 3], "its names must be a list of texts"),
    ("provenance__names", ["a"] * 4, "names 4 faces but has weights for 3"),
    ("provenance__subjects", [None] * 3, "its subjects must be a list of texts"),
    ("provenance__source", 7, "its source must be a text, got 7"),
    ("provenance__n_iter", -1, "its n_iter must be a number from 0 on, got -1"),
    ("provenance__versions", {"a": []}, "its versions must be a table of texts"),
]


def refused(path, words):
    with pytest.raises(ModelFileError, match=words) as error:
        LatentFaces.load(path)
    assert str(path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 800


@pytest.mark.parametrize("case", MEMBERS)
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_arrays(forge, monkeypatch, tmp_path, case, compression):
    monkeypatch.chdir(tmp_path)
    members, words = MEMBERS[case]
    refused(forge(compression, **members), words)
    assert not Path("evil").exists()


@pytest.mark.parametrize("case", HEADERS)
def test_headers(forge, case):
    text, words = HEADERS[case]
    refused(forge(header=text), words)


@pytest.mark.parametrize(("name", "value", "words"), CHANGES)
def test_values_in_the_header(forge, tmp_path, name, value, words):
    refused(forge(header=header_text(tmp_path, **{name: value})), words)


def test_bombs(forge):
    bomb = npy(np.zeros((3, 2**21), np.float32))
    refused(forge(zipfile.ZIP_DEFLATED, weights=bomb), "weights are a decompression bomb")
    text = raw(" " * 2**23)
    refused(forge(zipfile.ZIP_DEFLATED, header=text), "header are a decompression bomb")


def test_a_header_that_is_too_long(forge, monkeypatch):
    monkeypatch.setattr("napari_latent_faces.model.MAX_HEADER_BYTES", 1000)
    refused(forge(header=raw(" " * 1100)), "its header is larger than")


def test_an_encrypted_one(forge):
    path = forge()
    content = bytearray(path.read_bytes())
    for start in (content.index(b"PK\1\2") + 8, 6):
        content[start] |= 1
    path.write_bytes(content)
    refused(path, "encrypted")


def test_cut_anywhere(forge):
    path = forge()
    whole = path.read_bytes()
    for end in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        with pytest.raises(ModelFileError):
            LatentFaces.load(path)


def test_every_flipped_bit_is_found_or_of_no_matter(forge):
    path = forge()
    whole, model = path.read_bytes(), a_model()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        assert is_model_file(path) in {True, False}
        try:
            back = LatentFaces.load(path)
        except ModelFileError:
            continue
        np.testing.assert_array_equal(back.components, model.components)
        np.testing.assert_array_equal(back.weights, model.weights)
        assert back.provenance == model.provenance


def test_other_orders_and_layouts_load_equal(forge):
    model = a_model()
    big = npy(model.weights.astype(">f4"))
    turned = npy(np.asfortranarray(model.components))
    back = LatentFaces.load(forge(zipfile.ZIP_DEFLATED, weights=big, components=turned))
    np.testing.assert_array_equal(back.weights, model.weights)
    np.testing.assert_array_equal(back.components, model.components)
    assert back.weights.dtype == np.float32
    assert back.weights.dtype.isnative
    assert back.weights.flags.writeable
    assert_sound(back)


@pytest.mark.skipif(sys.platform == "win32", reason="FIFOs and limits of POSIX")
def test_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "model.npz")
    assert not is_model_file(tmp_path / "model.npz")
    with pytest.raises(FileNotFoundError, match=r"model\.npz"):
        LatentFaces.load(tmp_path / "model.npz")


@pytest.mark.skipif(sys.platform != "linux", reason="measures of Linux")
@pytest.mark.parametrize("case", ["a huge array", "an overflow", "bomb", "names"])
def test_memory_is_that_of_the_file(forge, case):
    """Loading takes less than 64 MiB more than the file has, whatever it declares."""
    if case == "bomb":
        path = forge(zipfile.ZIP_DEFLATED, weights=npy(np.zeros(2**25, np.float32)))
    elif case == "names":
        path = forge(header=raw('{"format_version": [' + "[]," * 10**6))
    else:
        path = forge(**MEMBERS[case][0])
    _, _, mebibytes = measured(
        "from napari_latent_faces import LatentFaces",
        """
        try: LatentFaces.load(sys.argv[1])
        except ValueError: result = "refused"
        """,
        path,
    )
    added = mebibytes * 2**20
    most = 64 * 2**20 + 40 * path.stat().st_size if case == "names" else 64 * 2**20
    assert added < most


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_files_of_every_version_keep_loading(version):
    """One file of each format version is kept, as the package of its time wrote it."""
    back = LatentFaces.load(GOLDEN / f"model-{version}.npz")
    model = (a_model, a_signed_model, a_colour_model)[version - 1]()
    np.testing.assert_array_equal(back.components, model.components)
    np.testing.assert_array_equal(back.weights, model.weights)
    assert back.provenance == model.provenance
    assert (back.error, back.scale) == (model.error, model.scale)
    assert back.params == model.params
    np.testing.assert_array_equal(back.mean, model.mean)
    np.testing.assert_array_equal(back.mask, model.mask)
