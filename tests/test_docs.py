"""What README, docs and examples say works as written."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from importlib.metadata import metadata
from pathlib import Path

import numpy as np
import pytest

import napari_latent_faces as package
from napari_latent_faces.cli import main
from napari_latent_faces.files import CONTENTS
from napari_latent_faces.params import NMFParams, ReadOptions

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page, language):
    return re.findall(
        rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )


CODE = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(blocks(page, "python"))
]
README = ROOT / "README.md"
COMMANDS = [
    line.partition("#")[0].strip()
    for code in blocks(README, "sh")
    for line in code.splitlines()
]


@pytest.fixture
def here(faces_folder, monkeypatch):
    """Work in a folder with faces in `archive`, as the examples do."""
    shutil.move(faces_folder, faces_folder.parent / "archive")
    monkeypatch.chdir(faces_folder.parent)
    return faces_folder.parent


@pytest.mark.parametrize("code", CODE)
@pytest.mark.usefixtures("here")
@pytest.mark.filterwarnings("ignore::UserWarning")  # small sets need not converge
def test_python_examples_run(code):
    exec(compile(code, "example", "exec"), {})


def test_shell_commands_of_the_readme_run(here):
    ours = [shlex.split(each) for each in COMMANDS if each.startswith("latent-faces")]
    assert len(ours) == 2
    for _, *arguments in ours:
        assert main(arguments) == 0
    assert {"model.npz", "components.png", "weights.csv", "components", CONTENTS} == {
        path.name for path in (here / "latent").iterdir()
    }


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_commands_of_the_readme_exist():
    ours = [command for command in COMMANDS if command.startswith("make")]
    assert ours == ["make demo", "make test"]
    for command in ours:
        done = subprocess.run(
            [*command.split(), "-n"], cwd=ROOT, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python 3.13 spells options shorter")
def test_the_reference_of_the_command_line_is_what_the_commands_say(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import command_line

    assert command_line.PAGE.read_text("utf-8") == command_line.reference(), (
        "out of date: run python docs/command_line.py"
    )


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="the site needs the dependency group 'docs'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reference" / "python" / "index.html").is_file()


def test_names_and_links_in_the_docs_are_those_that_are_there():
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", README.read_text("utf-8")):
        assert link.startswith(("http://", "https://")) or (ROOT / link).exists(), link
    [command] = [command for command in COMMANDS if command.startswith("pip")]
    name, extra = re.search(r'"(.*)\[(.*)\]"', command).groups()
    assert metadata(name)["Name"] == name
    assert extra in metadata(name).get_all("Provides-Extra")
    text = (ROOT / "docs" / "reference" / "python.md").read_text("utf-8")
    documented = set(re.findall(r"^::: .*\.(\w+)$", text, re.MULTILINE))
    assert set(package.__all__) - {"__version__"} <= documented
    for page, kind in (("fitting.md", NMFParams), ("reading.md", ReadOptions)):
        text = (ROOT / "docs" / page).read_text("utf-8")
        for declared in fields(kind):
            assert f"`{declared.name}`" in text


# -- The examples run as they are; those that need a window are tested in tests/window


def nmf_and_eigenfaces(names, _here):
    assert names["untouched"](names["nmf"]) > 1.5 * names["untouched"](names["pca"])
    assert names["pca"].error < names["nmf"].error


def mending(names, _here):
    bar, missed = names["bar"], names["missed"]
    assert missed(names["mended"]) < missed(names["known"].images.mean(axis=0))
    np.testing.assert_array_equal(names["mended"][:, ~bar], names["strangers"].images[:, ~bar])


def blog_post(names, here):
    assert names["model"].components.min() >= 0
    assert (here / "model.npz").is_file()
    assert (here / "latent" / "components.png").is_file()


def choosing_k(names, here):
    assert names["choice"].suggested in names["choice"].ks
    assert len((here / "choice.csv").read_text("utf-8").splitlines()) == 5


def new_faces(names, here):
    assert names["distances"].min() > 1  # grey values
    assert names["frames"].shape == (20, 112, 92)
    assert len(list((here / "new" / "faces").glob("*.png"))) == 12


@pytest.mark.parametrize(
    "check", [blog_post, nmf_and_eigenfaces, choosing_k, mending, new_faces]
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_example(check, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(runpy.run_path(str(ROOT / "examples" / f"{check.__name__}.py")), tmp_path)
