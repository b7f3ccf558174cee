from __future__ import annotations

import pytest

from napari_latent_faces.reading.naming import (
    HEAD_BYTES,
    Judgement,
    is_picture_name,
    judge_name,
    starts_like_picture,
)
from tests.pictures import MODES, encoded, face, picture


@pytest.mark.parametrize(
    "name", ["1.pgm", "1.PGM", "a b.JpEg", "ü+.tif", "a.b.png", "1.webp", "1.jfif", "-rf.bmp"]
)
def test_pictures_by_name(name):
    assert judge_name(name) == (Judgement.PICTURE, "")
    assert is_picture_name(name)


@pytest.mark.parametrize("name", ["subject01.glasses", "README", "1", "face.", "a.pgm.1"])
def test_unknown_names(name):
    assert judge_name(name)[0] is Judgement.UNKNOWN


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Thumbs.db", "no picture (.db)"),
        ("Desktop.ini", "no picture (.ini)"),
        ("yaleB01_P00.info", "no picture (.info)"),
        ("yaleB01.LOG", "no picture (.log)"),
        ("weights.npz", "no picture (.npz)"),
        (".DS_Store", "hidden or system file"),
        ("._1.pgm", "hidden or system file"),
        (".png", "hidden or system file"),
    ],
)
def test_no_pictures_by_name(name, reason):
    assert judge_name(name) == (Judgement.PASS_OVER, reason)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("yaleB11_P00A+050E-40.pgm.bad", "marked as bad"),
        ("1.PGM.BAD", "marked as bad"),
        ("photo.heic", ".heic pictures are not read: convert"),
        ("photo.SVG", ".svg pictures are not read: convert"),
    ],
)
def test_pictures_that_are_not_read(name, reason):
    judgement, why = judge_name(name)
    assert judgement is Judgement.SKIP
    assert reason in why


def test_bad_marks_pictures_only():
    assert judge_name("habits.bad")[0] is Judgement.UNKNOWN


@pytest.mark.parametrize(
    ("mode", "extension"), [(mode, ext) for mode, group in MODES.items() for ext in group]
)
def test_pictures_by_content(mode, extension):
    assert starts_like_picture(encoded(picture(mode), extension)[:HEAD_BYTES])


@pytest.mark.parametrize("extension", ["jpg", "webp"])
def test_lossy_pictures_by_content(extension):
    assert starts_like_picture(encoded(face(), extension)[:HEAD_BYTES])


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"BM",
        b"BMI of the patients, in a table",
        b"P5",
        b"P.S. hello",
        b"PK\x03\x04",
        b"GIF",
    ],
)
def test_no_pictures_by_content(head):
    assert not starts_like_picture(head)
