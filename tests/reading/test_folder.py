from __future__ import annotations

import errno
import os
import re
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_latent_faces import steps
from napari_latent_faces.reading import ArchiveError, NoFacesError, read_faces
from tests.pictures import (
    MODES,
    coloured,
    encoded,
    face,
    make,
    needs_real_data,
    oversized_png,
    packed,
    people,
    picture,
    real_data,
    zipped,
)

GIF, PGM = encoded(face(), "gif"), encoded(face(), "pgm")


class TestLayouts:
    """Each published set's folders and names, as one stack."""

    def test_orl(self, tmp_path):
        people(tmp_path, n_people=11, n_pictures=10)
        others = {"README": b"The Database of Faces", "s11/wrong.jpg": PGM}
        make(tmp_path, others | {"s11/Ünï+顔 b.BmP": encoded(face(), "bmp")})
        stack = read_faces(tmp_path)
        assert stack.names[:2] == ("s1/1.pgm", "s1/2.pgm")
        assert stack.names[9:11] == ("s1/10.pgm", "s2/1.pgm")
        assert {*stack.names[-2:]} == {"s11/wrong.jpg", "s11/Ünï+顔 b.BmP"}
        assert stack.subjects[-1] == "s11"
        assert not stack.is_lazy
        for image, name in zip(stack.images, stack.names, strict=True):
            np.testing.assert_array_equal(image, Image.open(tmp_path / name))

    def test_lfw(self, tmp_path):
        files = {
            "Aaron_Eckhart/Aaron_Eckhart_0001.jpg": coloured(),
            "Abdel_Nasser_Assidi/Abdel_Nasser_Assidi_0001.jpg": coloured(seed=1),
            "Abdel_Nasser_Assidi/Abdel_Nasser_Assidi_0002.jpg": coloured(seed=2),
        }
        stack = read_faces(make(tmp_path, files))
        assert stack.subjects == ("Aaron_Eckhart", *["Abdel_Nasser_Assidi"] * 2)
        assert stack.shape == (3, 12, 10, 3)
        grey = read_faces(tmp_path, colour=False)
        assert grey.report.notes == ("3 of 3 in colour: the luminance is taken.",)

    def test_yale(self, tmp_path):
        files = {
            "subject01.glasses": GIF,
            "subject01.happy": PGM,
            "subject02.gif": GIF,
            "subject02.sad": GIF,
            "Readme.txt": b"The Yale Face Database",
            "index": b"no picture",
        }
        stack = read_faces(make(tmp_path, files))
        assert stack.names == tuple(files)[:4]
        assert stack.subjects == ("subject01", "subject01", "subject02", "subject02")
        assert stack.report.passed_over == (
            ("index", "no picture, by its content"),
            ("Readme.txt", "no picture (.txt)"),
        )


class TestModes:
    def test_depths_are_brought_to_the_deepest(self, tmp_path):
        pixels = np.array([[0, 1, 255]], np.uint8)
        make(tmp_path, {"8.png": pixels, "16.png": pixels * np.uint16(256)})
        stack = read_faces(tmp_path)
        assert stack.dtype == np.uint16
        np.testing.assert_array_equal(stack.images[:, 0], [[0, 257, 65535], [0, 256, 65280]])
        assert stack.report.notes == (
            "Depths differ (1 8-bit, 1 16-bit): all are 16-bit now, 65535 is white.",
        )

    def test_float_is_the_deepest(self, tmp_path):
        make(tmp_path, {"1.png": face(), "2.png": np.full((12, 10), 65535, np.uint16)})
        make(tmp_path, {"3.tif": np.full((12, 10), 0.25, np.float32)})
        stack = read_faces(tmp_path)
        assert stack.dtype == np.float32
        np.testing.assert_allclose(stack.images[0], face() / 255, rtol=1e-6)
        assert (stack.images[1] == 1).all()
        assert (stack.images[2] == 0.25).all()
        assert "1 8-bit, 1 16-bit, 1 float" in stack.report.notes[0]
        assert "1 is white" in stack.report.notes[0]


# -- Colour -----------------------------------------------------------------------------

COLOURS = {f"{i}.png": coloured(seed=i) for i in range(3)}
GREYS = {f"{i}.png": face(seed=i) for i in range(3, 5)}


@pytest.mark.parametrize("lazy", [False, True])
def test_most_in_colour(tmp_path, lazy):
    stack = read_faces(make(tmp_path, COLOURS | GREYS), lazy=lazy)
    assert stack.in_colour
    expected = [*COLOURS.values(), *(np.repeat(g[:, :, None], 3, 2) for g in GREYS.values())]
    np.testing.assert_array_equal(np.asarray(stack.images), expected)
    assert stack.report.notes == ("2 of 5 are grey, among colour.",)


def test_a_few_in_colour_stay_grey(tmp_path):
    files = GREYS | {"9.png": coloured(), "8.png": face(seed=8)}
    stack = read_faces(make(tmp_path, files))
    assert stack.shape == (4, 12, 10)
    assert read_faces(tmp_path, colour=True).shape == (4, 12, 10, 3)


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_three_equal_channels_are_no_colour(tmp_path, extension):
    grey = np.repeat(face()[:, :, None], 3, axis=2)
    stack = read_faces(make(tmp_path, {f"1.{extension}": encoded(grey, extension)}))
    assert stack.shape == (1, 12, 10)


def test_who_asks_for_grey_or_a_channel_gets_it(tmp_path):
    make(tmp_path, COLOURS)
    assert read_faces(tmp_path, colour=False).shape == (3, 12, 10)
    red = read_faces(tmp_path, channel="red")
    np.testing.assert_array_equal(red.images, [c[:, :, 0] for c in COLOURS.values()])
    with pytest.raises(ValueError, match="channel='red' makes grey pictures"):
        read_faces(tmp_path, channel="red", colour=True)
    with pytest.raises(ValueError, match="colour must be True or False or 'auto'"):
        read_faces(tmp_path, colour="yes")


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_each_channel_is_scaled_as_a_grey_picture_is(tmp_path, resize):
    make(tmp_path, {"1.png": coloured(31, 20)})
    stack = read_faces(tmp_path, size=(12, 10), resize=resize)
    for channel, name in enumerate(("red", "green", "blue")):
        one = read_faces(tmp_path, size=(12, 10), resize=resize, channel=name)
        np.testing.assert_array_equal(stack.images[..., channel], one.images)


class TestSizes:
    @pytest.fixture
    def mixed(self, tmp_path):
        sizes = [(20, 20), (12, 10), (12, 10), (24, 10)]
        return make(tmp_path, {f"{i}.png": face(*size) for i, size in enumerate(sizes)})

    @pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
    @pytest.mark.parametrize("lazy", [False, True])
    def test_the_commonest_size_counts(self, mixed, resize, lazy):
        stack = read_faces(mixed, resize=resize, lazy=lazy)
        assert stack.shape == (4, 12, 10)
        np.testing.assert_array_equal(np.asarray(stack.images[1]), face())
        assert stack.report.resized == (("0.png", (20, 20)), ("3.png", (24, 10)))
        assert "2 resized" in stack.report.summary()

    def test_the_first_of_equally_common_sizes_counts(self, tmp_path):
        make(tmp_path, {"1.png": face(5, 6), "2.png": face(7, 8)})
        assert read_faces(tmp_path).shape == (2, 5, 6)

    def test_error(self, mixed):
        message = (
            r"2 of the 4 .* than most \(10 x 12\): 0.png \(20 x 20\), "
            r"3.png \(10 x 24\). Choose"
        )
        with pytest.raises(ValueError, match=message):
            read_faces(mixed, resize="error")

    @pytest.mark.parametrize(
        ("size", "shape"),
        [(6, (6, 5)), ([6, 8], (6, 8)), (np.int64(24), (24, 20)), (1, (1, 1))],
    )
    @pytest.mark.parametrize("extension", ["jpg", "png"])
    def test_size(self, tmp_path, size, shape, extension):
        stack = read_faces(people(tmp_path, extension=extension), size=size)
        assert stack.shape == (6, *shape)
        assert stack.report.resized == ()
        assert stack.report.notes == (
            f"Scaled from 10 x 12 to {shape[1]} x {shape[0]} pixels.",
        )

    @pytest.mark.parametrize("shape", [(1, 5000), (5000, 1)])
    def test_size_of_a_stripe(self, tmp_path, shape):
        make(tmp_path, {"1.png": face(*shape)})
        assert read_faces(tmp_path, size=100).shape[1:] == (100, 16384 if shape[0] == 1 else 1)


FAULTS = {  # what a file holds, and what is said of it
    "02.png": (encoded(face(), "png")[:60], "damaged"),
    "03.png": (encoded(face(), "png")[:40], "damaged"),
    "04.jpg": (b"no picture at all", "damaged, or no picture of a known format"),
    "05.pgm": (b"P5\n-3 4\n255\n", "."),
    "06.pgm": (b"P5\n0 0\n255\n", "."),
    "07.png": (oversized_png(), "decompression bomb"),
    "08.png": (oversized_png(10_000, 10_000), "decompression bomb: 10000 x 10000 pixels, more"),
    "09.tif": (encoded(face(), "tif")[:50], "."),
    "10.tif": (encoded(face(), "tif")[:-30], "."),
    "11.jpg": (encoded(face(300, 300), "jpg")[:-2000], "truncated"),
    "12.pgm": (encoded(face(), "pgm")[:-7], "truncated"),
    "13.heic": (b"...", "convert them to PNG"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_is_broken_is_skipped_and_named(tmp_path):
    others = {"1.png": face(), "20.png": face(seed=1), "8.png": b"", "9": b""}
    make(tmp_path, others | {name: content for name, (content, _) in FAULTS.items()})
    stack = read_faces(tmp_path)
    assert stack.names == ("1.png", "20.png")
    np.testing.assert_array_equal(stack.images, [face(), face(seed=1)])
    assert [name for name, _ in stack.report.skipped] == list(FAULTS)
    for name, reason in stack.report.skipped:
        assert re.search(FAULTS[name][1], reason)
    assert stack.report.passed_over == (("8.png", "empty file"), ("9", "empty file"))
    assert stack.report.summary() == "2 faces read, 12 skipped, 2 other files passed over"


class TestErrors:
    def test_missing(self, tmp_path):
        for path in (tmp_path / "nowhere", make(tmp_path, {"a.txt": b"a"}) / "a.txt" / "b"):
            with pytest.raises(FileNotFoundError, match=f"no folder or archive {path}: check"):
                read_faces(path)

    @pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
    @pytest.mark.parametrize("what", ["stat", "open", "scandir"])
    def test_unreadable(self, tmp_path, monkeypatch, what, code):
        path = tmp_path if what == "scandir" else make(tmp_path, {"a.zip": b"PK"}) / "a.zip"
        error = OSError(code, os.strerror(code), str(path))
        monkeypatch.setattr(os, what, Mock(side_effect=error))
        with pytest.raises(type(error), match=f"{os.strerror(code)}: .*{path.name}"):
            read_faces(path)

    @pytest.mark.parametrize(
        ("files", "n_lines", "told"),
        [
            ({}, 2, ["it is empty"]),
            ({f"{i}.png": b"text" for i in range(50)}, 14, []),
            (
                {"1.png": b"text", "2.png": GIF[:20], "README.txt": b"...", "b.txt": b"..."},
                6,
                ["1.png: damaged", "2.png: ", "b.txt and 1 more: no picture (.txt)"],
            ),
        ],
    )
    def test_no_faces(self, tmp_path, files, n_lines, told):
        with pytest.raises(NoFacesError, match=f"no picture .* in {tmp_path}") as caught:
            read_faces(make(tmp_path, files))
        message = str(caught.value)
        assert len(message.splitlines()) == n_lines
        assert all(words in message for words in told)

    @pytest.mark.parametrize(
        ("name", "content", "kind", "message"),
        [
            ("1.png", encoded(face(), "png"), NoFacesError, "is a single picture: open the fo"),
            ("1.tif", encoded(face(), "tif"), NoFacesError, "is a single picture: open the fo"),
            ("a.txt", b"text", NoFacesError, "is neither a folder nor a zip or tar"),
            ("a.rar", b"Rar!", NoFacesError, ": an archive of a kind that is not read"),
            ("b.zip", b"PK\x01\x02", ArchiveError, "is damaged"),
            ("a.zip", b"text", ArchiveError, "is damaged: get it again"),
            ("a.tar.gz", b"text", ArchiveError, "is damaged: get it again"),
            ("a.tgz", b"\x1f\x8b text", ArchiveError, r"is damaged \(.*\): get it again"),
        ],
    )
    def test_files_that_are_no_archives(self, tmp_path, name, content, kind, message):
        with pytest.raises(kind, match=f"{tmp_path / name} ?{message}"):
            read_faces(make(tmp_path, {name: content}) / name)

    def test_options_are_checked_first(self):
        with pytest.raises(ValueError, match="channel must be"):
            read_faces("nowhere", channel="hue")

    def test_expression_that_finds_nothing(self, tmp_path):
        with pytest.raises(ValueError, match="subjects='x' is found in none of the 6 names"):
            read_faces(people(tmp_path), subjects="x")

    def test_more_than_the_memory(self, tmp_path, monkeypatch):
        make(tmp_path, {f"{i}.png": face() for i in range(10)})
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
        with pytest.raises(MemoryError, match=r"10 pictures .* MiB, more than.*lazy=True"):
            read_faces(tmp_path, lazy=False)


class TestLazy:
    def test_the_budget_decides_and_the_log_says_so(self, tmp_path, caplog):
        people(tmp_path, 3, 2)
        size = 6 * 12 * 10
        assert not read_faces(tmp_path).is_lazy
        assert not read_faces(tmp_path, memory_budget=size).is_lazy
        with caplog.at_level("INFO", "napari_latent_faces"):
            assert read_faces(tmp_path, memory_budget=size - 1).is_lazy
        assert "it is read lazily" in caplog.text
        assert not read_faces(tmp_path, memory_budget=0, lazy=False).is_lazy
        assert read_faces(tmp_path, memory_budget=size, lazy=True).is_lazy
        assert not read_faces(tmp_path, memory_budget=size // 4, size=6).is_lazy

    def test_nothing_is_decoded(self, tmp_path):
        cut = encoded(face(), "pgm")[:-7]  # told only by its pixels
        assert read_faces(make(tmp_path, {"1.pgm": cut}), lazy=True).shape == (1, 12, 10)


class TestProgress:
    @pytest.fixture(autouse=True)
    def often(self, monkeypatch):
        monkeypatch.setattr(steps, "_PERIOD", 0.001)

    @pytest.mark.parametrize(("lazy", "total"), [(None, 12), (False, 12), (True, 6)])
    def test_progress_ends_at_its_total(self, tmp_path, lazy, total):
        told = []
        here = threading.get_ident()
        read_faces(
            people(tmp_path),
            lazy=lazy,
            progress=lambda *steps: told.append((*steps, threading.get_ident())),
        )
        assert told[0] == (0, 0, here)
        assert told[-1] == (total, total, here)
        assert told == sorted(told)
        assert {thread for *_, thread in told} == {here}

    @pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz"])
    @pytest.mark.parametrize("when", ["at once", "while reading"])
    @pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError, ValueError])
    def test_progress_can_cancel(self, tmp_path, monkeypatch, kind, when, error):
        monkeypatch.setattr(steps, "_PERIOD", 0.0001)
        path = people(tmp_path / "files", 5, 5)
        if kind != "folder":
            path = packed(path, tmp_path / f"a.{kind}")
        calls = Counter()

        def progress(_, total):
            calls[total > 0] += 1
            if when == "at once" or calls[True] == 1:
                raise error("enough")

        with pytest.raises(error, match="enough"):
            read_faces(path, progress=progress)


SIZES = st.sampled_from([(12, 10), (12, 10), (9, 10), (20, 31), (1, 1)])
KINDS = st.sampled_from(
    [(mode, ext) for mode, group in MODES.items() for ext in group] + [("RGB", "jpg")]
)
PARTS = st.text(st.sampled_from("ab12_ .é+-"), min_size=1, max_size=5).map(lambda s: f"x{s}x")
NAMES = st.lists(PARTS, min_size=1, max_size=3).map("/".join)
TREES = st.dictionaries(NAMES, st.tuples(KINDS, SIZES), min_size=1, max_size=6)
OPTIONS = st.fixed_dictionaries(
    {
        "channel": st.sampled_from(["luminance", "red"]),
        "resize": st.sampled_from(["crop", "pad", "stretch"]),
        "size": st.sampled_from([None, 5, (7, 4)]),
    }
)


@settings(max_examples=40, deadline=None)
@given(TREES, OPTIONS)
def test_any_folder_reads_the_same_lazily_and_from_an_archive(tree, options):
    with tempfile.TemporaryDirectory() as folder:
        files = {
            f"{name}{i}.{extension}": encoded(picture(mode, *size, seed=i), extension)
            for i, (name, ((mode, extension), size)) in enumerate(tree.items())
        }
        root = make(Path(folder, "files"), files)
        stack = read_faces(root, **options)
        assert sorted(stack.names) == sorted(files)
        assert stack.report.skipped == ()
        lazy = read_faces(root, lazy=True, **options)
        packed = read_faces(zipped(root, Path(folder, "a.zip"), inside="top/"), **options)
        again = read_faces(root, memory_budget=0, **options)
        for other in (lazy, packed, again):
            assert other.shape == stack.shape
            assert other.dtype == stack.dtype
            np.testing.assert_array_equal(np.asarray(other), stack.images)
            # only files that are read whole are compared
            for note in set(other.report.notes) ^ set(stack.report.notes):
                assert "byte for byte" in note
        assert (lazy.names, lazy.subjects) == (stack.names, stack.subjects)
        assert lazy.report.resized == stack.report.resized


@needs_real_data
def test_real_orl():
    stack = read_faces(real_data / "orl")
    assert stack.shape == (400, 112, 92)
    assert stack.subjects == tuple(f"s{s}" for s in range(1, 41) for _ in range(10))
    assert stack.report.summary() == "400 faces read, 1 other file passed over"
    assert stack.images.max() > 200
    np.testing.assert_array_equal(np.asarray(read_faces(real_data / "orl", lazy=True)), stack)


@needs_real_data
def test_real_archive():
    stack = read_faces(real_data / "archive")
    assert stack.shape == (400, 80, 70)
    assert stack.names[0] == "1_1.jpg"
    assert Counter(Counter(stack.subjects).values()) == {10: 40}
