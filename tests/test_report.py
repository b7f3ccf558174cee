from __future__ import annotations

import pytest

from napari_latent_faces.stack import ReadReport

FULL = ReadReport(
    398,
    skipped=(("s1/3.pgm", "image file is truncated"), ("a\nb.jpg", "broken")),
    resized=(("s2/1.pgm", (120, 100)),),
    passed_over=(
        ("README.txt", "no picture (.txt)"),
        ("Thumbs.db", "no picture (.db)"),
        ("b.txt", "no picture (.txt)"),
    ),
    notes=("2 of 398 in colour: the luminance is taken.",),
)


@pytest.mark.parametrize(
    ("report", "summary"),
    [
        (ReadReport(), "0 faces read"),
        (ReadReport(1), "1 face read"),
        (ReadReport(400), "400 faces read"),
        (ReadReport(2, lazy=True), "2 faces read (lazy)"),
        (ReadReport(1, passed_over=(("a", "b"),)), "1 face read, 1 other file passed over"),
        (FULL, "398 faces read, 2 skipped, 1 resized, 3 other files passed over"),
    ],
)
def test_summary(report, summary):
    assert report.summary() == summary


def test_details():
    assert FULL.details().splitlines() == [
        FULL.summary(),
        "Skipped:",
        "  s1/3.pgm: image file is truncated",
        r"  a\nb.jpg: broken",
        "Resized:",
        "  s2/1.pgm: from 100 x 120 pixels",
        "Passed over:",
        "  2 files: no picture (.txt), such as README.txt",
        "  Thumbs.db: no picture (.db)",
        "Notes:",
        "  2 of 398 in colour: the luminance is taken.",
    ]


def test_details_of_a_plain_read_are_its_summary():
    assert ReadReport(3).details() == "3 faces read"


def test_details_say_what_lazy_means():
    assert "decoded when they are looked at" in ReadReport(3, lazy=True).details()


def test_details_can_be_printed_whatever_the_names():
    report = ReadReport(skipped=(("\udcff\u202egpj.\x1b[31m", "broken"),))
    line = report.details().splitlines()[2]
    assert line.isprintable()
    line.encode("utf-8")
