from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.reading.naming import (
    HEAD_BYTES,
    find_subjects,
    judge_name,
    natural_key,
    starts_like_picture,
)
from tests.pictures import MODES, encoded, picture

PICTURE, UNKNOWN = (True, False), (False, False)
SKIP, PASS_OVER = (True, True), (False, True)  # wanted, left out


@pytest.mark.parametrize(
    ("judgement", "reason", "names"),
    [
        (PICTURE, "", "1.pgm 1.PGM a-b.JpEg ü+.tif a.b.png 1.webp 1.jfif -rf.bmp 1.pgm.gz"),
        (UNKNOWN, "", "subject01.glasses README 1 face. a.pgm.1 habits.bad"),
        (PASS_OVER, "no picture (.", "Thumbs.db Desktop.ini a.info yaleB01.LOG weights.npz"),
        (PASS_OVER, "hidden or system file", ".DS_Store ._1.pgm .png"),
        (SKIP, "marked as bad", "yaleB11_P00A+050E-40.pgm.bad 1.PGM.BAD"),
        (SKIP, "pictures are not read: convert them to PNG", "photo.heic photo.SVG"),
        (SKIP, "unpack it first", "a.rar a.7z a.pgm.Z"),
        (SKIP, "open it by itself", "a.zip a.tar.gz"),
    ],
)
def test_files_by_name(judgement, reason, names):
    for name in names.split():
        why, is_wanted = judge_name(name)
        assert (is_wanted, bool(why)) == judgement
        assert reason in why


def test_pictures_by_content():
    for mode, extensions in (*MODES.items(), ("L", ["jpg"]), ("RGB", ["webp"])):
        for extension in extensions:
            assert starts_like_picture(encoded(picture(mode), extension)[:HEAD_BYTES])
    for head in (b"", b"BM", b"BMI of a table", b"P5", b"P.S. hi", b"PK\3\4", b"GIF"):
        assert not starts_like_picture(head)


def in_order(*names):
    return sorted(names, key=natural_key)


@pytest.mark.parametrize(
    "names",
    [
        ["s2/1.pgm", "s10/1.pgm"],
        ["2.pgm", "10.pgm"],
        ["s1/2.pgm", "s1/10.pgm", "s2/1.pgm"],
        ["a.png", "B.png", "c.png"],
        ["Anna/1.png", "Anna B/1.png"],
        ["1.png", "a.png"],
        ["x1y2.png", "x1y10.png", "x2y1.png"],
        ["x-1.png", "x-02.png", "x-3.png"],
        ["0" * 5000 + "1", "9" * 5000],
        ["f", "\u00e9mile2", "e\u0301mile10"],  # one letter in two normal forms
    ],
)
def test_natural_order(names):
    assert in_order(*reversed(names)) == names


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from("aAB1٣0²/. _-é\n"), max_size=8)), st.randoms())
def test_natural_order_is_total(names, chance):
    shuffled = names.copy()
    chance.shuffle(shuffled)
    assert in_order(*names) == in_order(*shuffled)


SUBJECTS = ["subject01", "subject01", "subject02"]
YALE_B = ["yaleB01_P00A+000E+00.pgm", "yaleB01_P00A-005E-10.pgm", "yaleB02_P00A+000E+00.pgm"]


@pytest.mark.parametrize(
    ("names", "subjects"),
    [
        # folders
        (["s1/1.pgm", "s1/2.pgm", "s10/1.pgm"], ["s1", "s1", "s10"]),
        (["A_B/A_B_0001.jpg", "A_B/A_B_0002.jpg", "C/C_0001.jpg"], ["A_B", "A_B", "C"]),
        (["test/s1/1.pgm", "test/s2/1.pgm", "train/s1/2.pgm"], ["s1", "s2", "s1"]),
        (["s1/1.pgm", "s1/deep/er/2.pgm", "s1/3.pgm", "4.pgm"], ["s1", "er", "s1", ""]),
        # folders that are no people
        (["train/1_1.png", "train/1_2.png", "test/2_1.png"], ["1", "1", "2"]),
        (["train/a/1.png", "val/a/2.png", "test/b/1.png"], ["a", "a", "b"]),
        (["1a/face/1.pgm", "1a/face/2.pgm", "1b/face/1.pgm"], ["1a", "1a", "1b"]),
        (["S1/001/1.png", "S1/002/1.png", "S2/001/1.png"], ["S1", "S1", "S2"]),
        (["male/9/9.1.jpg", "male/9/9.2.jpg", "female/a/a.1.jpg"], ["9", "9", "a"]),
        # names of known sets
        (["AF01ANFL.JPG", "BF01HAS.JPG", "AM01NES.JPG"], ["F01", "F01", "M01"]),
        (
            [f"CFD-{who}-N.jpg" for who in ("WF-001-003", "WF-001-004", "BM-001-004")],
            ["CFD-WF-001", "CFD-WF-001", "CFD-BM-001"],
        ),
        (
            [f"{i}_051_00.png" for i in ("001_01_01", "001_01_02", "002_01_01")],
            ["001"] * 2 + ["002"],
        ),
        ([f"0000{i}001a.pgm" for i in ("1fa", "1fb", "2fa")], ["00001"] * 2 + ["00002"]),
        (["i000qa-fn.jpg", "i000qb-fn.jpg", "i001qa-fn.jpg"], ["i000", "i000", "i001"]),
        ([f"Rafd{i}_f.jpg" for i in ("090_01_a", "045_01_b", "090_02_a")], ["01", "01", "02"]),
        # two numbers: the one that is different in every name only counts pictures
        (["1_1.jpg", "2_1.jpg", "3_2.jpg", "4_2.jpg"], ["1", "1", "2", "2"]),
        (["1_1.jpg", "1_2.jpg", "2_3.jpg", "2_4.jpg"], ["1", "1", "2", "2"]),
        (["1_1.jpg", "1_2.jpg", "2_1.jpg", "2_2.jpg"], ["1", "1", "2", "2"]),
        (["01-1.png", "01-2.png", "02-1.png"], ["01", "01", "02"]),
        # letters with a number
        ([f"subject{i}" for i in ("01.glasses", "01.sad", "02.sad")], SUBJECTS),
        ([f"subject{i}.gif" for i in ("01", "01.sad", "02")], SUBJECTS),
        (YALE_B, ["yaleB01", "yaleB01", "yaleB02"]),
        (["s1_01.png", "s1_02.png", "s2_01.png"], ["s1", "s1", "s2"]),
        # before the first dot
        (["KA.AN1.39.tiff", "KA.AN2.40.tiff", "KL.AN1.167.tiff"], ["KA", "KA", "KL"]),
        # before the last number
        (["A_B_0001.jpg", "A_B_0002.jpg", "C_0001.jpg"], ["A_B", "A_B", "C"]),
        (["one/A_B_0001.jpg", "one/A_B_0002.jpg", "one/C_0001.jpg"], ["A_B", "A_B", "C"]),
        (["anna1.jpg", "anna2.jpg", "bob1.jpg"], ["anna", "anna", "bob"]),
        (["anna (1).jpg", "anna (2).jpg", "bob (1).jpg"], ["anna", "anna", "bob"]),
        (["m-001-01.bmp", "m-001-02.bmp", "m-002-01.bmp"], ["m-001", "m-001", "m-002"]),
        # before the first separator
        (["an2i_left.pgm", "an2i_up.pgm", "at33_up.pgm"], ["an2i", "an2i", "at33"]),
        (["00001_fa.ppm", "00001_fb.ppm", "00002_fa.ppm"], ["00001", "00001", "00002"]),
        (["anna sad.png", "anna glad.png", "bob sad.png"], ["anna", "anna", "bob"]),
        (["a\nb_1.png", "a\nb_2.png", "c_1.png"], ["a\nb", "a\nb", "c"]),
    ],
)
def test_subjects(names, subjects):
    assert find_subjects(names) == tuple(subjects)


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["1_1.jpg"],
        ["1.pgm", "2.pgm", "10.pgm"],
        ["01.pgm", "02.pgm", "20.pgm"],
        ["1_1.jpg", "2_2.jpg"],
        ["anna.jpg", "bob.jpg"],
        ["anna_1.jpg", "anna_2.jpg"],
        ["subject01.sad", "subject01.glad"],
        ["s1/1.pgm", "s2/1.pgm"],
        ["one/1.pgm", "one/2.pgm"],
        ["_1.jpg", "+.jpg", ".jpg"],
        ["TrainDatabase/1.jpg", "TrainDatabase/2.jpg", "TestDatabase/1.jpg"],
        ["00000/00001.png", "00000/00002.png", "01000/01001.png"],
        ["25_0_2_20170116174525125.jpg", "25_0_2_20170117174525125.jpg", "1_0_2_20170116.jpg"],
        ["IMG_20200101_1.jpg", "IMG_20200101_2.jpg", "IMG_20200102_1.jpg"],
    ],
)
def test_no_subjects_where_names_do_not_tell(names):
    assert find_subjects(names) is None


@pytest.mark.parametrize(
    ("rule", "subjects"),
    [
        (r"^(.*?)_", ("a", "b", "")),
        (r"_(?P<n>\d)(?P<subject>x?)", ("x", "", "")),
        (r"\d", ("1", "2", "")),
        (r"(\d)?\.jpg", ("", "2", "")),
        (False, None),
    ],
)
def test_subjects_by_expression(rule, subjects):
    assert find_subjects(["a_1x.jpg", "b_2.jpg", "c.jpg"], rule) == subjects


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from("ab12_-. /"), min_size=1, max_size=9)))
def test_subjects_of_any_names(names):
    subjects = find_subjects(names)
    assert subjects is None or 1 < len(set(subjects)) < len(subjects) == len(names)
