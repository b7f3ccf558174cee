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


def audit(place, pip_audit):
    """Run the audit in a repository whose environments hold stand-ins."""
    shutil.copytree(SCRIPTS, place / "scripts")
    for name in (".venv", ".venv-audit"):
        python = place / name / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(PYTHON % pip_audit)
        python.chmod(0o755)
    return subprocess.run(
        ["sh", "scripts/audit.sh"], cwd=place, capture_output=True, text=True, check=False
    )


def test_an_audit_that_finds_nothing_is_quiet(tmp_path):
    done = audit(tmp_path, SAFE)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / ".venv-audit" / "packages.txt").read_text() == "numpy==2.0.0\n"


@pytest.mark.parametrize(
    ("pip_audit", "words"),
    [(WEAK, "known weaknesses"), (UNREACHABLE, "NOTHING WAS AUDITED")],
    ids=["weak", "unreachable"],
)
def test_an_audit_that_found_something_is_told_from_one_that_could_not_ask(
    tmp_path, pip_audit, words
):
    done = audit(tmp_path, pip_audit)
    assert done.returncode == 1
    assert words in done.stderr.splitlines()[-1]


def test_the_demo_works_in_a_folder_with_quotes_in_its_name(tmp_path):
    """The first lines of pip's scripts do not: programs are run as modules."""
    place = tmp_path / 'it\'s a "demo" $HOME'
    shutil.copytree(SCRIPTS, place / "scripts")
    python = place / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
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
