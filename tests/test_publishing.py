"""How the package is published: metadata, citation, workflows, and what is left out."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from napari_latent_faces import __version__

ROOT = Path(__file__).parents[1]
WORKFLOWS = ROOT / ".github" / "workflows"


def workflow(name):
    # YAML reads the key `on` as true
    return {
        "on" if key is True else key: value
        for key, value in yaml.safe_load((WORKFLOWS / name).read_text()).items()
    }


def steps(of):
    return [step for job in of["jobs"].values() for step in job["steps"]]


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_hub_finds_what_it_shows(project):
    assert 20 < len(project["description"]) < 200
    assert project["license"] == "BSD-3-Clause"
    assert "napari" in project["keywords"]
    assert "readme" in project["dynamic"]
    assert {"Framework :: napari", "Programming Language :: Python :: 3.14"} <= set(
        project["classifiers"]
    )
    assert len(set(project["classifiers"])) == len(project["classifiers"])


def test_every_python_that_is_declared_is_tested(project):
    declared = {
        found[1]
        for each in project["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each))
    }
    tested = workflow("test.yml")["jobs"]["test"]["strategy"]["matrix"]["python-version"]
    assert declared == set(tested)
    assert project["requires-python"] == f">={min(tested, key=lambda v: int(v[2:]))}"


def test_no_qt_binding_is_required(project):
    required = " ".join(project["dependencies"])
    assert not re.search(r"pyqt\d|pyside|napari\[", required, re.IGNORECASE)


def test_the_citation_is_that_of_this_package(project):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    for key in ("cff-version", "message", "title", "authors", "version", "license"):
        assert citation[key]
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == project["name"]
    assert citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in project["authors"]
    ]
    assert citation["version"] == __version__.split(".dev")[0]


def test_the_manifest_validates_as_npe2_does_it():
    manifest = ROOT / "src" / "napari_latent_faces" / "napari.yaml"
    command = [sys.executable, "-m", "npe2", "validate", str(manifest)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


WITHOUT_QT = """
import sys
class NoQt:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"PyQt5", "PyQt6", "PySide2", "PySide6"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NoQt())
from napari_latent_faces.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_command_line_works_where_no_qt_is_installed(faces_folder, tmp_path):
    """napari is there, as the package requires it, but no binding for its window."""

    def run(*arguments):
        command = [sys.executable, "-W", "error", "-c", WITHOUT_QT, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    fitted = run("fit", faces_folder, "-k", 3, "--out", tmp_path / "out")
    assert fitted.returncode == 0, fitted.stderr
    told = run("info", tmp_path / "out" / "model.npz")
    assert told.returncode == 0, told.stderr
    assert "30" in told.stdout


NAMES = sorted(path.name for path in WORKFLOWS.glob("*.yml"))


@pytest.mark.parametrize("name", NAMES)
def test_actions_are_pinned_and_may_do_little(name):
    of = workflow(name)
    pinned = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")
    for step in steps(of):
        assert "uses" not in step or pinned.fullmatch(step["uses"]), step
        if "actions/checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
        # what others can write, such as a branch's name, is never pasted into a script
        assert "${{ github." not in step.get("run", "")
    assert of["permissions"] in ({}, {"contents": "read"})
    for job in of["jobs"].values():
        assert job["timeout-minutes"] <= 60
    pull_requests = {"pull_request_target", "workflow_run"}
    assert not pull_requests & set(of["on"])


def test_publishing_is_trusted_and_keeps_no_secret():
    of = workflow("publish.yml")
    assert of["on"] == {"push": {"tags": ["v*"]}}
    pypi = of["jobs"].pop("pypi")
    assert all(job["permissions"] == {"contents": "read"} for job in of["jobs"].values())
    assert pypi["permissions"] == {"id-token": "write"}
    assert pypi["environment"]["name"] == "pypi"
    assert set(pypi["needs"]) == set(of["jobs"]) == {"sdist", "wheels"}
    assert "secrets." not in (WORKFLOWS / "publish.yml").read_text()
    # the job that may publish runs nothing of the repository's
    assert [set(step) - {"name"} for step in pypi["steps"]] == [{"uses", "with"}, {"uses"}]
