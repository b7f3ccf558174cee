"""Folders full of broken and hostile pictures: nothing is lost, nothing gets in."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces.reading import read_faces
from napari_latent_faces.reading.formats import BrokenPictureError
from napari_latent_faces.reading.naming import Entry
from napari_latent_faces.reading.pictures import Frame, open_picture, pixels_of
from tests.helpers import measured, nothing_left_open
from tests.pictures import encoded, face, make
from tests.reliability import hostile

# Pillow warns of odd tags and of large pictures
pytestmark = pytest.mark.filterwarnings("default")

SHAPE = (12, 10)
GOOD = {f"good/{i}.png": encoded(face(seed=i), "png") for i in range(6)}


def read_among_good(folder, files, **options):
    """Read hostile files among good ones, and see that every promise is kept."""
    make(folder, files | GOOD)
    with nothing_left_open():
        stack = read_faces(folder, size=SHAPE, **{"colour": False, **options})
    named = [name for name, _ in (*stack.report.skipped, *stack.report.passed_over)]
    assert {*map(file_of, stack.names), *named} == set(files | GOOD)
    for _, reason in (*stack.report.skipped, *stack.report.passed_over):
        assert reason
        assert len(reason.splitlines()) == 1
    frame = Frame(SHAPE, stack.dtype)
    for i in range(len(GOOD)):
        place = stack.names.index(f"good/{i}.png")
        np.testing.assert_array_equal(stack.images[place], frame.take(face(seed=i)))
    return stack


def file_of(name):
    """Return the file that a face comes from, one of its pages maybe."""
    return re.sub(r"(\.\w+)/\d+$", r"\1", name)


def decoded(content):
    entry = Entry("face", len(content), lambda limit: content[:limit])
    picture = open_picture(entry)
    return pixels_of(picture, Frame(picture.shape, picture.depth))


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(s, marks=pytest.mark.stress) for s in range(1, 41))]
)
def test_broken_copies_of_every_format(tmp_path, seed):
    """Cut, with flipped bits, with headers that lie: the stress part breaks 60,000 files."""
    files = hostile.broken_copies(np.random.default_rng(seed), 3 if seed == 0 else 12)
    stack = read_among_good(tmp_path, files)
    assert len(stack.report.skipped) > len(files) / 3
    whole = {name: decoded(c) for name, c in hostile.whole_pictures().items()}
    for name in stack.names:
        # what is read of it is all of it, but for later pages
        if name.startswith("truncated/") and file_of(name) == name:
            stem, extension = re.fullmatch(r"truncated/(.*)-\d+\.(\w+)", name).groups()
            pixels = decoded(files[name])
            np.testing.assert_array_equal(pixels, whole[f"{stem}.{extension}"])


def test_whole_pictures_are_all_read(tmp_path):
    files = hostile.whole_pictures() | {"texts.png": hostile.many_texts()}
    stack = read_among_good(tmp_path, files)
    assert stack.report.skipped == ()
    assert {file_of(name) for name in stack.names} == set(files | GOOD)
    texts = stack.images[stack.names.index("texts.png")]
    np.testing.assert_array_equal(texts, Frame(SHAPE, stack.dtype).take(face()))


def test_odd_files_are_named(tmp_path):
    files = hostile.odd_files()
    stack = read_among_good(tmp_path, files)
    reasons = dict(stack.report.skipped)
    # a tag may be absurd and of no matter: then every pixel is there
    read = [name for name in stack.names if not name.startswith("good/")]
    assert all(name.startswith("tag-") for name in read)
    assert "bomb" in reasons["huge.pgm"]
    assert "MAX_TEXT_CHUNK" in reasons["text-bomb.png"]
    assert "damaged" in reasons["half.png"]


def test_every_format_that_pillow_writes(tmp_path):
    """Those that are not allowed are named, whatever they are called."""
    files = hostile.every_format()
    assert len(files) > 15
    allowed = {"BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP"}  # MPO: a JPEG
    for ending in ("", ".png"):
        named = {f"{name}{ending}": content for name, content in files.items()}
        stack = read_among_good(tmp_path / f"as{ending}", named)
        assert {n.split(".")[0] for n in stack.names if not n.startswith("good/")} == allowed
    others = {name.split(".")[0] for name in files} - allowed
    assert {n.split(".")[0] for n, _ in stack.report.skipped} == others


@pytest.mark.parametrize("extension", ["gif", "tif", "png", "webp"])
def test_broken_later_pages_do_not_matter(extension):
    """The first page is exact or refused, wherever in the pages after it the damage is."""
    content = hostile._many(extension)
    whole, rng = decoded(content), np.random.default_rng(0)
    read = 0
    for cut in rng.integers(len(content) // 3, len(content), 40):
        try:
            pixels = decoded(content[:cut] + rng.bytes(20))
        except BrokenPictureError:
            continue
        np.testing.assert_array_equal(pixels, whole)
        read += 1
    assert read or extension == "webp"  # its size stands at the start: it is whole or broken


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif"])
def test_broken_exif_leaves_the_pixels(extension):
    rng = np.random.default_rng(0)
    plain = decoded(encoded(face(), extension))
    turns = {np.rot90(plain, k).tobytes() for k in range(4)}
    turns |= {np.rot90(plain.T, k).tobytes() for k in range(4)}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        block = bytearray(exif.tobytes())
        for _ in range(6):
            broken = bytearray(block)
            broken[rng.integers(6, len(block))] ^= 1 << rng.integers(8)
            options = {} if extension == "tif" else {"exif": bytes(broken)}
            assert decoded(encoded(face(), extension, **options)).tobytes() in turns


def test_a_png_with_damaged_pixels_is_refused():
    """Its checksums tell, though the decoder is content once all rows are full."""
    whole = encoded(face(), "png")
    start, end = whole.index(b"IDAT") + 4, whole.index(b"IEND") - 8
    for place in range(start, end):
        with pytest.raises(BrokenPictureError):
            decoded(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])


@pytest.mark.skipif(sys.platform != "linux", reason="limits and measures of Linux")
@pytest.mark.parametrize(
    ("n", "side"), [(3, 5000), pytest.param(40, 9200, marks=pytest.mark.stress)]
)
def test_memory_stays_bounded(tmp_path, n, side, capsys):
    """Files of some kilobytes that unpack to 85 million pixels are decoded one at a time."""
    black = encoded(np.zeros((side, side), np.uint8), "png")
    bombs = {f"bomb-{i}.png": black for i in range(n)}
    lies = {f"lie-{i}.tif": c for i, c in enumerate(hostile.absurd_tiffs())}
    lies |= {f"text-{i}.png": hostile.text_bomb(2**26) for i in range(n)}
    make(tmp_path, bombs | lies | GOOD)
    n_read, _, added = measured(
        """
        import resource
        from napari_latent_faces import read_faces
        resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))
        """,
        "result = read_faces(sys.argv[1], size=(12, 10)).report.n_read",
        tmp_path,
    )
    assert n_read >= len(GOOD) + n
    if n == 40:  # the figure of docs/reliability.md
        with capsys.disabled():
            sys.stdout.write(f" {n} bombs: {added:.0f} MiB ")
    assert added < 1000, f"{added} MiB"
