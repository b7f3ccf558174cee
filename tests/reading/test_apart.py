from __future__ import annotations

import gc
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces import read_faces
from napari_latent_faces.reading import apart
from napari_latent_faces.reading.apart import (
    DecoderCrashError,
    is_risky,
    load_apart,
)
from napari_latent_faces.reading.heard import heard_warnings
from tests.left_open import nothing_left_open
from tests.pictures import encoded, face, make, picture

LZW = {"compression": "tiff_lzw"}
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"]


def opened(content):
    return Image.open(BytesIO(content))


@pytest.fixture(autouse=True)
def decoders(monkeypatch):
    """Return the processes of this test alone: lazy stacks of others may still keep some."""
    fresh = apart._Decoders()
    for module in ("reading.apart", "reading.ondemand", "folder"):
        monkeypatch.setattr(f"napari_latent_faces.{module}.decoders", fresh)
    return fresh


@pytest.fixture
def crashing(monkeypatch, tmp_path):
    """Let the decoder's process do something else where a picture holds a word."""
    script = tmp_path / "child.py"

    def instead(action):
        script.write_text(
            "import importlib.util, os, sys, signal, threading\n"
            f"spec = importlib.util.spec_from_file_location('child', {apart._SCRIPT!r})\n"
            "child = importlib.util.module_from_spec(spec); spec.loader.exec_module(child)\n"
            "answer = child._answer\n"
            "def odd(head, content):\n"
            f"    if b'CRASH' in content: {action}\n"
            "    return answer(head, content)\n"
            "child._answer = odd\n"
            "child.main()\n"
        )
        monkeypatch.setattr(apart, "_SCRIPT", str(script))

    return instead


def test_only_the_large_libraries_are_risky():
    for extension in ("png", "jpg", "gif", "bmp", "pgm", "tif"):
        assert not is_risky(opened(encoded(face(), extension)))
    assert is_risky(opened(encoded(face(), "tif", **LZW)))
    assert is_risky(opened(encoded(face(), "webp")))


@pytest.mark.parametrize("mode", MODES)
def test_pixels_are_those_decoded_here(mode):
    content = encoded(picture(mode), "tif", **LZW)
    here, there = opened(content), load_apart(opened(content), content)
    assert (there.mode, there.size) == (here.mode, here.size)
    np.testing.assert_array_equal(np.asarray(there), np.asarray(here))
    np.testing.assert_array_equal(there.convert("RGB"), here.convert("RGB"))


def test_what_libraries_print_is_a_warning(capfd):
    content = bytearray(encoded(picture("1", 40, 40), "tif", compression="group4"))
    content[12] ^= 0x55
    with pytest.warns(UserWarning, match="Fax4Decode"):
        load_apart(opened(bytes(content)), bytes(content))
    assert capfd.readouterr().err == ""


def test_broken_pictures_are_errors_as_they_are_here():
    content = encoded(face(), "tif", **LZW)[:-30]
    with heard_warnings() as heard, pytest.raises(OSError, match=r"."):
        load_apart(opened(encoded(face(), "tif", **LZW)), content)
    assert any("TIFF" in message for message in heard)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_crash_costs_one_picture(tmp_path, crashing, lazy):
    """The process dies as by a fault in a decoder; all other faces are there."""
    crashing("os.kill(os.getpid(), signal.SIGSEGV)")
    good = {f"{i}.tif": encoded(face(seed=i), "tif", **LZW) for i in range(12)}
    bad = {"bad.tif": encoded(face(), "tif", **LZW, software="CRASH")}
    stack = read_faces(make(tmp_path / "faces", good | bad), lazy=lazy)
    if lazy:
        with pytest.warns(
            UserWarning, match=r"bad.tif cannot be decoded \(its decoder crashed"
        ):
            images = np.asarray(stack.images)
        assert not images[stack.names.index("bad.tif")].any()
    else:
        images = stack.images
        [(name, reason)] = stack.report.skipped
        assert name == "bad.tif"
        assert "its decoder crashed (exit code -11) in a process of its own" in reason
    for i in range(12):
        np.testing.assert_array_equal(images[stack.names.index(f"{i}.tif")], face(seed=i))


def test_a_decoder_that_does_not_end_is_ended(crashing, monkeypatch):
    crashing("threading.Event().wait()")
    monkeypatch.setattr(apart, "PATIENCE", 0.2)
    content = encoded(face(), "tif", **LZW, software="CRASH")
    with pytest.raises(DecoderCrashError, match="exit code"):
        load_apart(opened(content), content)


def test_a_process_that_ends_by_itself_is_named(crashing):
    crashing("raise SystemExit(3)")
    content = encoded(face(), "tif", **LZW, software="CRASH")
    with pytest.raises(DecoderCrashError, match="exit code 3"):
        load_apart(opened(content), content)


def test_processes_end_with_the_last_read(tmp_path, decoders):
    content = encoded(face(), "tif", **LZW)
    make(tmp_path, {f"{i}.tif": content for i in range(8)})
    with nothing_left_open(), decoders.kept():
        load_apart(opened(content), content)
        assert len(decoders._idle) == 1
        read_faces(tmp_path)
        kept = list(decoders._idle)
        assert kept
    assert not decoders._idle
    assert not any(decoder.is_alive() for decoder in kept)


def test_a_lazy_stack_keeps_its_process_while_it_lives(tmp_path, decoders):
    make(tmp_path, {f"{i}.tif": encoded(face(seed=i), "tif", **LZW) for i in range(4)})
    stack = read_faces(tmp_path, lazy=True)
    np.testing.assert_array_equal(np.asarray(stack.images[1]), face(seed=1))
    (process,) = decoders._idle
    np.testing.assert_array_equal(np.asarray(stack.images[2]), face(seed=2))
    assert decoders._idle == [process]
    del stack
    gc.collect()
    assert not process.is_alive()


def test_no_file_stays_open():
    content = encoded(face(), "webp")
    with nothing_left_open():
        for _ in range(3):
            load_apart(opened(content), content)
