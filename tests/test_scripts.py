"""What the scripts behind make say, with stand-ins for what they run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")

PYTHON = """#!/bin/sh
case "$*" in
*"-m pip list"*) echo numpy==2.0.0 ;;
*"-m pip_audit"*) %s ;;
esac
"""
# What pip-audit does when asked for a file of packages: as it was seen to do.
SAFE = "exit 0"
WEAK = 'case "$*" in *json*) echo \'[{"name": "pip"}]\' ;; esac; echo CVE-1 >&2; exit 1'
UNREACHABLE = "echo 'numpy: Dependency not found on PyPI' >&2; exit 1"


def make_place(place):
    """Return where Python is in a new repository with the scripts."""
    shutil.copytree(SCRIPTS, place / "scripts")
    python = place / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    return python


@pytest.mark.parametrize(
    ("pip_audit", "words"),
    [(SAFE, ""), (WEAK, "known weaknesses"), (UNREACHABLE, "NOTHING WAS AUDITED")],
    ids=["safe", "weak", "unreachable"],
)
def test_an_audit_that_found_something_is_told_from_one_that_could_not_ask(
    tmp_path, pip_audit, words
):
    python = make_place(tmp_path)
    python.write_text(PYTHON % pip_audit)
    python.chmod(0o755)
    shutil.copytree(tmp_path / ".venv", tmp_path / ".venv-audit")
    command = ["sh", "scripts/audit.sh"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == bool(words)
    assert words in done.stderr.splitlines()[-1] if words else not done.stderr
    assert (tmp_path / ".venv-audit" / "packages.txt").read_text() == "numpy==2.0.0\n"


def test_the_demo_works_in_a_folder_with_quotes_in_its_name(tmp_path):
    """The first lines of pip's scripts do not: programs are run as modules."""
    place = tmp_path / 'it\'s a "demo" $HOME'
    python = make_place(place)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >demo.png\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["sh", str(place / "scripts" / "demo.sh"), "my faces"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DISPLAY": ":9"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = (place / "demo.png").read_text().splitlines()
    assert told == ["-m", "napari_latent_faces", "demo", "my faces"]
