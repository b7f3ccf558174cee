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
QUICK = ("orl", "archive", "levels", "disk")  # the others take seconds each


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


def sections(page):
    return dict(MARKED.findall(page.read_text("utf-8")))


def check(page, parts, tmp_path):
    """See that the parts, and nothing else, are written between the markers of the page."""
    written = tmp_path / "performance.md"
    shutil.copy(page, written)
    done = bench(*parts, "--page", written)
    assert done.returncode == 0, done.stderr
    around = [MARKED.sub("", each.read_text("utf-8")) for each in (page, written)]
    assert around[0] == around[1]
    before, after = sections(page), sections(written)
    changed = {name for name in after if after[name] != before.get(name)} - {"total"}
    assert changed == set(parts or after) - {"total"}
    for name in changed:
        assert "mean nothing" in after[name]
        lines = [line for line in after[name].splitlines() if line.startswith("|")]
        assert len(lines) > 2 or "Not measured: " in after[name]
        assert len({line.count("|") for line in lines}) <= 1
    return after


def test_chosen_parts_are_tables_marked_as_quick_or_say_why_not(tmp_path):
    after = check(PAGE, QUICK, tmp_path)
    for part in ("orl", "archive"):
        assert "Not measured: LATENT_FACES_DATA is not set." in after[part]


@pytest.mark.stress
def test_every_part_is_on_the_page(tmp_path):
    after = check(PAGE, (), tmp_path)
    assert len(after) >= 16
    assert "full run took" in after["total"]


def test_an_unknown_part_is_wrong_usage():
    done = bench("weather")
    assert done.returncode == 2
    assert "there is no part 'weather'" in done.stderr
