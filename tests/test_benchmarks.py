"""The benchmark runs and writes its page; how fast anything is, is not tested."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
MARKED = re.compile(r"<!-- (\w+): written by make bench -->\n(.*?)<!-- \1: end -->", re.DOTALL)
PARTS = {
    *("machine", "waiting"),
    *("orl", "archive", "levels", "disk", "reading", "aligning", "parts", "colour"),
    *("many", "drawn"),
}
IN_WINDOWS = {"window", "explore", "mixing"}  # these take a minute and more


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
    done = bench(*sorted(PARTS), "--page", page)
    assert done.returncode == 0, done.stderr
    around = [MARKED.sub("", each.read_text("utf-8")) for each in (PAGE, page)]
    assert around[0] == around[1]
    return dict(MARKED.findall(page.read_text("utf-8")))


@pytest.mark.stress
def test_every_part_is_on_the_page(tmp_path):
    page = tmp_path / "performance.md"
    shutil.copy(PAGE, page)
    done = bench("--page", page)
    assert done.returncode == 0, done.stderr
    found = dict(MARKED.findall(page.read_text("utf-8")))
    assert set(found) == PARTS | IN_WINDOWS | {"total"}
    assert "full run took" in found["total"]
    assert all("mean nothing" in found[part] for part in PARTS | IN_WINDOWS)


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_quick_part_is_a_table_and_marked_as_such_or_says_why_not(sections, part):
    assert "mean nothing" in sections[part]
    lines = [line for line in sections[part].splitlines() if line.startswith("|")]
    assert len(lines) > 2 or "Not measured: " in sections[part]
    assert len({line.count("|") for line in lines}) <= 1


@pytest.mark.parametrize("part", ["orl", "archive"])
def test_without_real_faces_says_so(sections, part):
    assert "Not measured: LATENT_FACES_DATA is not set." in sections[part]


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
