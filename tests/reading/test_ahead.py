from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces import reading as steps
from napari_latent_faces.reading import read_faces, sources
from napari_latent_faces.reading import sources as parallel
from napari_latent_faces.reading.lazy import Ahead, keep_only
from napari_latent_faces.reading.pictures import BYTE, Frame, open_picture
from napari_latent_faces.reading.sources import Entry
from tests.memory import peak_memory, sees_moves
from tests.pictures import encoded, face, make, people, picture, tarred, zipped

FRAME = Frame((12, 10), BYTE)
BROKEN = encoded(face(seed=9), "png")[:-30]


@pytest.fixture
def opened(monkeypatch):
    """Count how often each file is opened, and how often a picture is."""
    counts = Counter()
    open_file, open_image = sources.open_regular, Image.open

    def count_file(path, buffering=-1):
        counts[path] += 1
        return open_file(path, buffering)

    def count_image(*args, **options):
        counts["pictures"] += 1
        return open_image(*args, **options)

    monkeypatch.setattr(sources, "open_regular", count_file)
    monkeypatch.setattr(Image, "open", count_image)
    return counts


@pytest.fixture
def in_order(monkeypatch):
    """Let the first file be the first that is looked at, however busy the machine is."""
    monkeypatch.setattr(parallel, "n_threads", lambda: 1)


def without_guess(read, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Ahead, "offer", lambda *_: None)
        return read()


def assert_same(stack, other):
    assert stack.images.dtype == other.images.dtype
    np.testing.assert_array_equal(stack.images, other.images)
    assert stack.names == other.names
    assert stack.report == other.report


class TestOnce:
    @pytest.mark.parametrize("kept", [True, False])
    def test_files_are_opened_once(self, tmp_path, opened, monkeypatch, kept):
        if not kept:
            monkeypatch.setattr(steps, "KEPT_BYTES", 0)
        folder = people(tmp_path, 3, 2)
        assert len(read_faces(folder)) == 6
        assert opened.pop("pictures") == 6
        assert opened == {str(path): 1 for path in folder.rglob("*.pgm")}

    @pytest.mark.usefixtures("in_order")
    def test_those_of_another_size_are_opened_again_only_in_memory(self, tmp_path, opened):
        make(tmp_path, {"1.png": face(), "2.png": face(20, 31), "3.png": face(seed=1)})
        assert read_faces(tmp_path).shape == (3, 12, 10)
        assert opened.pop("pictures") == 4
        assert set(opened.values()) == {1}

    def test_nothing_is_decoded_ahead_of_a_stack_that_may_be_lazy(self, tmp_path, opened):
        folder = people(tmp_path, 3, 2)
        assert read_faces(folder, memory_budget=6 * 120 - 1).is_lazy
        assert read_faces(folder, lazy=True).is_lazy
        assert opened["pictures"] == 12  # for the headers


class TestSameAsWithoutGuess:
    """What is read does not depend on what was guessed."""

    SMALL, LARGE = picture("L"), picture("L", 20, 31)
    DEEP, FLOATS, COLOURED = picture("I;16"), picture("F"), picture("RGB", 20, 31)

    @pytest.mark.parametrize(
        "kinds", [*product([SMALL, LARGE, DEEP], repeat=3), (SMALL, FLOATS, DEEP, COLOURED)]
    )
    @pytest.mark.parametrize("options", [{}, {"size": 6}, {"size": (8, 8), "lazy": False}])
    def test_sizes_and_depths(self, tmp_path, monkeypatch, kinds, options):
        files = {f"{i}.tif": encoded(kind, "tif") for i, kind in enumerate(kinds)}
        make(tmp_path, files)
        stack = read_faces(tmp_path, **options)
        assert_same(stack, without_guess(lambda: read_faces(tmp_path, **options), monkeypatch))

    @pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz"])
    @pytest.mark.parametrize("first", [b"no picture", BROKEN, face(seed=5)])
    def test_faults(self, tmp_path, monkeypatch, kind, first):
        odd = {"0.png": first, "2.png": b"no picture", "4": b"text", "6.png": BROKEN}
        good = {f"{i}.png": face(seed=i) for i in (1, 3, 5, 7)}
        path = make(tmp_path / "files", odd | good)
        if kind != "folder":
            path = (zipped if kind == "zip" else tarred)(path, tmp_path / f"a.{kind}")
        stack = read_faces(path)
        assert set(good) <= set(stack.names)
        assert_same(stack, without_guess(lambda: read_faces(path), monkeypatch))

    def test_a_picture_that_has_no_room(self, tmp_path, monkeypatch):
        folder = people(tmp_path)
        stack = read_faces(folder)
        monkeypatch.setattr(Ahead, "_room", lambda _: None)
        assert_same(stack, read_faces(folder))


class TestMemory:
    @sees_moves
    def test_what_is_left_out_takes_no_second_stack(self, tmp_path):
        n, side = 40, 200
        files = {f"{i}.png": np.full((side, side), i, np.uint8) for i in range(n)}
        make(tmp_path, files | {"3.png": b"no picture"})
        read_faces(tmp_path)  # the imports
        assert peak_memory(lambda: read_faces(tmp_path)) < 1.5 * n * side * side

    @pytest.mark.usefixtures("in_order")
    def test_a_wrong_guess_takes_none_either(self, tmp_path):
        n, side = 40, 200
        files = {f"{i}.png": np.full((side, side), i, np.uint8) for i in range(n)}
        make(tmp_path, files | {"0.png": face(side, side - 1)})
        read_faces(tmp_path)
        assert peak_memory(lambda: read_faces(tmp_path)) < 1.5 * n * side * side

    def test_a_lazy_stack_is_not_made(self, tmp_path):
        n, side = 40, 200
        make(tmp_path, {f"{i}.png": np.full((side, side), i, np.uint8) for i in range(n)})
        size = n * side * side
        read = lambda: read_faces(tmp_path, memory_budget=size - 1)  # noqa: E731
        assert read().is_lazy
        assert peak_memory(read) < size / 2


@pytest.mark.usefixtures("in_order")
def test_progress_counts_what_is_decoded_again(tmp_path):
    told = []
    make(tmp_path, {"1.png": face(9, 9), "2.png": face(), "3.png": face(seed=1)})
    read_faces(tmp_path, progress=lambda *steps: told.append(steps))
    assert told == sorted(told)
    assert told[-1] == (7, 7)  # three headers, one picture in vain, three pictures


def test_a_guess_is_given_up_at_the_first_deeper_picture():
    ahead = Ahead(2, lambda _: FRAME)
    for place, kind in enumerate([picture("L"), picture("I;16"), picture("L")]):
        content = encoded(kind, "png")
        entry = Entry("face", len(content), lambda limit, content=content: content[:limit])
        ahead.offer(place, *open_picture(entry))
    assert ahead.images is None
    assert list(ahead.outcomes) == [0]


@pytest.mark.parametrize("places", [[], [0, 1, 2], [0, 2], [1, 2], [2]])
def test_keep_only(places):
    images = np.empty((3, 2, 2))
    images[:] = np.arange(3)[:, None, None]
    expected = images[places]
    keep_only(images, places)
    np.testing.assert_array_equal(images, expected)
