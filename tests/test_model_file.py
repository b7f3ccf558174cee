from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_latent_faces.model import FORMAT_VERSION, LatentFaces, is_model_file
from tests.fuzz.targets import a_colour_model, a_model, a_signed_model, assert_sound
from tests.helpers import peak_memory

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


def raw(text):
    return npy(np.frombuffer(text.encode(), np.uint8))


def header_of(path):
    with np.load(path) as archive:
        return json.loads(archive["header"].tobytes())


@pytest.fixture
def forge(tmp_path):
    """Return what writes a model file with members or entries of its header replaced."""
    path = tmp_path / "model.npz"

    def write(compression=zipfile.ZIP_STORED, *, model=None, changes=(), **members):
        (model or a_model()).save(path)
        told = header_of(path)
        for name, value in changes:
            *above, last = name.split("__")
            place = told
            for key in above:
                place = place[key]
            place[last] = value
        if changes:
            members["header"] = raw(json.dumps(told))
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        parts |= {f"{name}.npy": content for name, content in members.items()}
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        return path

    return write


def refused(path, words):
    with pytest.raises(ValueError, match=words) as error:
        LatentFaces.load(path)
    assert str(path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 800


def assert_equal(back, model):
    for name, ours in vars(model).items():
        theirs = getattr(back, name)
        np.testing.assert_equal(theirs, ours)
        assert not isinstance(ours, np.ndarray) or ours.dtype == theirs.dtype


@pytest.mark.parametrize(
    ("model", "version", "members"),
    [
        (a_model(), 1, set()),  # as older releases read it
        (a_signed_model(), 2, {"mean"}),
        (a_colour_model(), 3, {"mask"}),
    ],
    ids=["plain", "signed", "colour"],
)
def test_a_saved_model_comes_back_bit_by_bit_and_is_no_pickle(model, version, members, forge):
    path = forge(model=model)
    assert is_model_file(path)
    assert_equal(LatentFaces.load(path), model)
    assert header_of(path)["format_version"] == version
    with np.load(path, allow_pickle=False) as archive:
        assert set(archive) == {"header", "components", "weights", *members}
        assert {array.dtype.kind for array in archive.values()} <= {"f", "u", "b"}


def test_names_of_any_kind_survive(model, tmp_path):
    names = ("é/ü.png", "\udcff.png", "a\nb", "面.jpg", *map(str, range(26)))
    named = replace(model, provenance=replace(model.provenance, names=names, subjects=None))
    named.save(tmp_path / "m.npz")
    # what cannot be printed is escaped, the same as in a stack that is read
    shown = ("é/ü.png", r"\udcff.png", r"a\nb", *names[3:])
    assert LatentFaces.load(tmp_path / "m.npz").provenance.names == shown


def test_other_files_are_not_ours(tmp_path):
    np.savez(tmp_path / "other.npz", components=np.ones(3), weights=np.ones(3))
    (tmp_path / "text.npz").write_text("no zip at all")
    if hasattr(os, "mkfifo"):  # which is not waited for
        os.mkfifo(tmp_path / "fifo.npz")
    for name in ("other.npz", "text.npz", "missing.npz", "fifo.npz", "."):
        assert not is_model_file(tmp_path / name)
    refused(tmp_path / "other.npz", r"other.npz is not a model file")
    for name in ("missing.npz", "fifo.npz"):
        with pytest.raises(FileNotFoundError, match=name):
            LatentFaces.load(tmp_path / name)


def test_how_faces_were_aligned_is_kept_beside_what_older_releases_read_and_wrote(forge):
    transforms = np.tile(np.eye(3), (3, 1, 1))
    origin = replace(a_model().provenance, frame=(2, 1, 9, 8))
    aligned = replace(a_model(), transforms=transforms, provenance=origin)
    path = forge(model=aligned)
    assert_equal(LatentFaces.load(path), aligned)
    assert header_of(path)["format_version"] == 1

    refused(forge(model=aligned, transforms=npy(transforms[:2])), r"transforms of shape \(2, 3")
    path = forge(model=aligned, changes=[("provenance__frame", [2, 1, 5, 8])])
    refused(path, r"3 x 4, do not fit its frame \(2, 1, 5, 8\)")
    refused(forge(changes=[("provenance__frame", [1])]), r"its frame cannot be \[1\]")
    # older releases name neither the method nor how the faces were read
    header = header_of(forge())
    del header["method"], header["provenance"]["reading"]
    assert_equal(LatentFaces.load(forge(header=raw(json.dumps(header)))), a_model())


# -- Model files of anybody's: a sound model or a clear error, never code, never more memory


class Evil:
    """What runs code when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("evil"),))


HUGE = 10**11

MEMBERS = {
    "a pickle": ({"weights": npy(np.array([Evil()], object))}, "its weights: .*OBJECT"),
    "a bare pickle": ({"weights": pickle.dumps(Evil())}, "magic string"),
    "objects": ({"components": declaring("|O", (2, 4, 3))}, "its components: .*OBJECT"),
    "no array": ({"weights": b"nothing"}, "magic string"),
    "a record": ({"weights": npy(np.zeros((3, 2), [("a", "f4")]))}, "not floats"),
    "texts": ({"weights": npy(np.zeros((3, 2), "U3"))}, "not floats"),
    "complex numbers": ({"weights": npy(np.zeros((3, 2), complex))}, "not floats"),
    "a scalar": ({"weights": npy(np.float32(1))}, r"weights of shape \(\)"),
    "k of components": ({"components": npy(np.ones((3, 4, 3)))}, r"should have .*\(2, 4, 3\)"),
    "k of weights": ({"weights": npy(np.ones((3, 3)))}, r"weights .* should have .*\(3, 2\)"),
    "no pictures": ({"components": npy(np.ones((2, 12)))}, "are no pictures"),
    "nothing": ({"components": npy(np.ones((2, 0, 3)))}, "components are empty"),
    "no faces": ({"weights": npy(np.ones((0, 2)))}, "weights are empty"),
    "NaN": ({"weights": npy(np.full((3, 2), np.nan))}, "weights are not all finite"),
    "infinity": ({"components": npy(np.full((2, 4, 3), np.inf))}, "not all finite"),
    "negative": ({"components": npy(np.full((2, 4, 3), -1.0))}, "non-negative"),
    "a huge array": (
        {"weights": declaring("<f4", (HUGE, 2))},
        "its weights: buffer is smaller",
    ),
    "an overflow": ({"weights": declaring("<f4", (2**40, 2**40))}, "its weights: .*too large"),
    "less than none": ({"weights": declaring("<f4", (-3, -2), bytes(24))}, "its weights: "),
    "too few bytes": (
        {"weights": declaring("<f4", (3, 2), bytes(23))},
        "its weights: buffer is smaller",
    ),
    "an endless header": (
        {"weights": b"\x93NUMPY\1\0\xff\xff" + b"{" * 65535},
        "its weights: .*large",
    ),
    "a deep header": ({"weights": b"\x93NUMPY\1\0\x10\x27" + b"(" * 10000}, "its weights: "),
    "a header cut short": ({"weights": b"\x93NUMPY\1\0v\0{'descr': ("}, "its weights: "),
    "an unknown version": ({"weights": b"\x93NUMPY\7\0v\0{}"}, "its weights: "),
}

SIGNED = [
    ({"mean": npy(np.ones((3, 9)))}, r"mean of shape \(3, 9\)"),
    ({"mean": npy(np.full((4, 3), np.inf))}, "mean are not all finite"),
    ({"mean": npy(np.ones((4, 3), int))}, "mean are of type int"),
    ({"weights": npy(np.full((3, 2), np.nan))}, "weights are not all finite"),
    ({"mask": npy(np.ones((4, 3)))}, "mask are of type float64, not booleans"),
]

HEADERS = {
    "deep": (raw("[" * 100_000), "recursion"),
    "deep objects": (raw('{"a":' * 100_000), "recursion"),
    "a long number": (raw('{"format_version": ' + "9" * 5000 + "}"), "damaged"),
    "no text": (npy(np.frombuffer(b"\xff\xfe{}", np.uint8)), "damaged"),
    "a list": (raw("[1]"), "damaged"),
    "nothing": (raw(""), "damaged"),
    "keys missing": (raw('{"format_version": 1}'), "KeyError.'params'"),
}

CHANGES = [
    ("method", "svd", "its method cannot be .svd"),
    ("format_version", FORMAT_VERSION + 1, rf"format version {FORMAT_VERSION + 1}.*update"),
    ("format_version", "1", "format version cannot be '1'"),
    ("format_version", -1, "format version cannot be -1"),
    ("error", float("nan"), "its error cannot be nan"),
    ("error", -1, "its error cannot be -1"),
    ("error", 10**400, "its error cannot be 1000"),
    ("error", True, "its error cannot be True"),
    ("scale", 0, "its scale is 0"),
    ("scale", float("inf"), "its scale cannot be inf"),
    ("scale", [], r"its scale cannot be \[\]"),
    ("params", [], "damaged"),
    ("params__n_components", 3, r"components .* should have .*\(3, 4, 3\)"),
    ("params__max_iter", float("inf"), "damaged"),
    ("params__solver", {}, "solver must be"),
    ("params__unknown", 1, "unknown"),
    ("provenance", None, "damaged"),
    ("provenance__names", "abc", "its names cannot be 'abc'"),
    ("provenance__names", [1, 2, 3], "its names cannot be 1"),
    ("provenance__names", ["a"] * 4, "names 4 faces but has weights for 3"),
    ("provenance__subjects", [None] * 3, "its subjects cannot be None"),
    ("provenance__source", 7, "its source cannot be 7"),
    ("provenance__n_iter", -1, "its n_iter cannot be -1"),
    ("provenance__versions", {"a": []}, r"its versions cannot be \[\]"),
]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(pytest.param(*case, id=name) for name, case in MEMBERS.items()),
        *(
            pytest.param({"header": text}, words, id=name)
            for name, (text, words) in HEADERS.items()
        ),
        *(({"changes": [(name, value)]}, words) for name, value, words in CHANGES),
        *(({"model": a_signed_model(), **case}, words) for case, words in SIGNED),
    ],
)
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_is_unsound_is_refused(forge, monkeypatch, tmp_path, options, words, compression):
    monkeypatch.chdir(tmp_path)
    refused(forge(compression, **options), words)
    assert not Path("evil").exists()


def test_bombs_and_an_encrypted_one(forge, monkeypatch):
    bomb = npy(np.zeros((3, 2**21), np.float32))
    refused(forge(zipfile.ZIP_DEFLATED, weights=bomb), "weights are a decompression bomb")
    text = raw(" " * 2**23)
    refused(forge(zipfile.ZIP_DEFLATED, header=text), "header are a decompression bomb")
    monkeypatch.setattr("napari_latent_faces.model._MOST_HEADER_BYTES", 1000)
    refused(forge(header=raw(" " * 1100)), "its header is too large")
    monkeypatch.undo()
    path = forge()  # an encrypted one
    content = bytearray(path.read_bytes())
    for start in (content.index(b"PK\1\2") + 8, 6):
        content[start] |= 1
    path.write_bytes(content)
    refused(path, "encrypted")


def test_cut_anywhere_and_every_flipped_bit_is_found_or_of_no_matter(forge):
    path, model = forge(), a_model()
    whole = path.read_bytes()
    for end in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        refused(path, "model.npz")
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        assert is_model_file(path) in {True, False}
        try:
            back = LatentFaces.load(path)
        except ValueError:
            continue
        assert_equal(back, model)


def test_other_orders_and_layouts_load_equal(forge):
    model = a_model()
    big = npy(model.weights.astype(">f4"))
    turned = npy(np.asfortranarray(model.components))
    back = LatentFaces.load(forge(zipfile.ZIP_DEFLATED, weights=big, components=turned))
    assert_equal(back, model)
    assert back.weights.dtype.isnative
    assert back.weights.flags.writeable
    assert_sound(back)


@pytest.mark.parametrize("case", ["a huge array", "an overflow", "bomb", "names"])
def test_memory_is_that_of_the_file(forge, case):
    """Loading takes less than 64 MiB more than the file has, whatever it declares."""
    if case == "bomb":
        path = forge(zipfile.ZIP_DEFLATED, weights=npy(np.zeros(2**25, np.float32)))
    elif case == "names":
        path = forge(header=raw('{"format_version": [' + "[]," * 10**6))
    else:
        path = forge(**MEMBERS[case][0])
    most = 2**26 + (40 * path.stat().st_size if case == "names" else 0)
    assert peak_memory(lambda: refused(path, "model.npz")) < most


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_files_of_every_version_keep_loading(version):
    """One file of each format version is kept, as the package of its time wrote it."""
    back = LatentFaces.load(GOLDEN / f"model-{version}.npz")
    assert_equal(back, (a_model, a_signed_model, a_colour_model)[version - 1]())
