"""Imports go in one direction, and only the viewer knows napari and Qt: see pyproject.toml."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

LINT = (
    "from importlinter.cli import lint_imports as lint; raise SystemExit(lint(no_cache=True))"
)


def test_imports_keep_to_the_rooms():
    there = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=ROOT,
        env=there,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kept, 0 broken" in done.stdout
