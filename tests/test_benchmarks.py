"""The benchmark runs and writes its page; how fast anything is, is not tested."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from napari_latent_faces.solvers.kernel import backend

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
MARKED = re.compile(r"<!-- (\w+): written by make bench -->\n(.*?)<!-- \1: end -->", re.DOTALL)
FITS = ("many", "drawn")
PARTS = {
    *("machine", "waiting"),
    *("orl", "archive", "levels", "disk", "window", "explore", "mixing", "reading", "aligning"),
    *("parts", "colour"),
    *FITS,
}


def bench(*arguments):
    """Run the benchmark on small sizes, without the real faces."""
    without = {**os.environ}
    without.pop("LATENT_FACES_DATA", None)
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", *map(str, arguments)],
        cwd=ROOT,
        env=without,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    """Return what a run writes between the markers of the page, by the name of the part."""
    page = tmp_path_factory.mktemp("page") / "performance.md"
    shutil.copy(PAGE, page)
    done = bench("--page", page)
    assert done.returncode == 0, done.stderr
    around = [MARKED.sub("", each.read_text("utf-8")) for each in (PAGE, page)]
    assert around[0] == around[1]
    return dict(MARKED.findall(page.read_text("utf-8")))


def rows(text):
    """Return the cells of a table's header and rows."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    header, rule, *found = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    assert set(rule) == {"---"}
    assert found
    assert {len(row) for row in found} == {len(header)}
    return found


def test_every_part_is_on_the_page(sections):
    assert set(sections) == PARTS | {"total"}
    assert "full run took" in sections["total"]


def test_quick_numbers_are_marked_as_such(sections):
    assert all("mean nothing" in sections[part] for part in PARTS)


@pytest.mark.parametrize("part", ["orl", "archive"])
def test_without_real_faces_says_so(sections, part):
    assert "Not measured: LATENT_FACES_DATA is not set." in sections[part]


def test_the_machine_is_described(sections):
    found = dict(rows(sections["machine"]))
    assert "scikit-learn " in found["versions"]
    assert sum("GFLOP/s" in value for value in found.values()) >= 3
    assert found["memory, copied (read and written)"].endswith(" GB/s")


@pytest.mark.parametrize("part", FITS)
def test_fits_are_compared(sections, part):
    found = rows(sections[part])
    first, *others = [row[1] for row in found]
    ours = [name for name in others if name.startswith("this package")]
    assert first == "scikit-learn cd, float64"
    expected = ["this package, compiled sweeps"] if backend() == "c" else []
    assert ours == [*expected, "this package, NumPy alone"]
    assert len(others) >= len(ours) + 2
    for _, _, reached, sooner, stopped, _, error, memory, sparsity, runs in found:
        assert (reached == "-") == (sooner == "-")
        assert stopped.endswith(" s")
        assert memory.endswith(" MB")
        assert 0 < float(error) < 1
        assert 0 < float(sparsity) < 1
        assert runs == "1"
    assert re.search(r"\d% of the \d+ GFLOP/s", sections[part])


def test_levels_are_taken_apart(sections):
    found = rows(sections["levels"])
    ways = {row[2] for row in found}
    assert ways == ({"C", "NumPy"} if backend() == "c" else {"NumPy"})
    for way in ways:
        pixels = [int(row[3]) for row in found if row[2] == way]
        assert pixels == sorted(pixels)
    assert min(int(row[4]) for row in found) > 0
    assert all(cell.endswith("%") for row in found for cell in row[6:])


def test_a_stack_on_disk_is_fitted(sections):
    found = dict(rows(sections["disk"]))
    assert found["time"].endswith(" s")
    assert found["peak memory of the process in all"].endswith(" MB")


def test_readers_are_compared(sections):
    found = rows(sections["reading"])
    assert [row[1] for row in found[:3]] == [row[1] for row in found[3:]]


@pytest.mark.window
def test_the_window_is_measured(sections):
    if "Not measured: there is no screen" in sections["window"]:
        pytest.skip("there is no screen")
    names = [row[0] for row in rows(sections["window"])]
    for words in ("open window", "first live components", "longest gap", "slider"):
        assert any(words in name for name in names)


@pytest.mark.window
def test_mixing_is_measured(sections):
    if "Not measured: there is no screen" in sections["mixing"]:
        pytest.skip("there is no screen")
    names = [row[0] for row in rows(sections["mixing"])]
    for words in ("one weight to picture", "slider step", "opening the panel", "random faces"):
        assert any(words in name for name in names)


def test_parts_can_be_chosen(tmp_path):
    page = tmp_path / "performance.md"
    shutil.copy(PAGE, page)
    before = dict(MARKED.findall(page.read_text("utf-8")))
    assert bench("disk", "--page", page).returncode == 0
    after = dict(MARKED.findall(page.read_text("utf-8")))
    assert {part for part in after if after[part] != before[part]} == {"disk"}


def test_an_unknown_part_is_wrong_usage():
    done = bench("weather")
    assert done.returncode == 2
    assert "there is no part 'weather'" in done.stderr
