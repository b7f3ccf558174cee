"""What is published: the wheel and the source distribution."""

from __future__ import annotations

import re
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.helpers import run_python

ROOT = Path(__file__).parents[1]
LEFT_OUT = ".git .venv* .*cache .hypothesis __pycache__ *.png *.so *.pyd build *.egg-info"
LEFT_OUT = shutil.ignore_patterns(*LEFT_OUT.split())
COMPILED = {".so", ".pyd"}


def build(source, kind, to, **environment):
    """Build a distribution with the declared backend, without the network."""
    code = f"from setuptools.build_meta import *; print(build_{kind}({str(to)!r}))"
    return to / run_python(code, cwd=source, **environment).splitlines()[-1]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Return a copy of the repository in which links are plain files, as on Windows."""
    copy = tmp_path_factory.mktemp("clone") / "repository"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT, symlinks=True)
    link = copy / "napari.yaml"
    if link.is_symlink():
        target = link.readlink().as_posix()
        link.unlink()
        link.write_text(target)
    return copy


@pytest.fixture(scope="module")
def wheel(clone):
    return build(clone, "wheel", clone / "dist")


def members(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def text_in(wheel, ending):
    """Return the text of the one file with such a name."""
    [name] = [each for each in members(wheel) if each.endswith(ending)]
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(name).decode()


def test_the_wheel_holds_the_package_only_and_points_napari_to_its_manifest(wheel):
    names = members(wheel)
    assert "napari_latent_faces/py.typed" in names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"napari_latent_faces"}
    entries = text_in(wheel, "entry_points.txt")
    assert "[napari.manifest]\nnapari-latent-faces = napari_latent_faces:napari.yaml" in entries
    manifest = text_in(wheel, "napari_latent_faces/napari.yaml")
    assert manifest.startswith("name: napari-latent-faces\n")
    # a compiled wheel is for all Pythons of a platform; there need be no compiler here
    assert not [name for name in names if name.endswith((".c", ".h"))]
    compiled = [Path(name).parent.name for name in names if Path(name).suffix in COMPILED]
    assert compiled == ["solvers"] * len(compiled)
    tag = wheel.name.removesuffix(".whl").split("-", 2)[2]
    assert tag.startswith("cp311-abi3-") == bool(compiled)
    assert tag.endswith("-any") == (not compiled)


@pytest.mark.skipif(sys.platform == "win32", reason="compilers are not named by CC there")
def test_without_a_compiler_a_wheel_is_for_all_machines_and_works(clone, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(clone, source, ignore=LEFT_OUT)
    wheel = build(source, "wheel", tmp_path, CC="no-such-compiler")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not [name for name in members(wheel) if Path(name).suffix in COMPILED]
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code = """
from napari_latent_faces import fit, sample_faces
model = fit(sample_faces(2), n_components=2, max_iter=300, tol=1e-3)
print(model.provenance.backend, round(model.error, 1))
"""
    here = {"PYTHONPATH": str(tmp_path / "installed"), "PYTHONWARNINGS": "error"}
    backend, error = run_python(code, **here).split()
    assert backend == "numpy"
    assert 0 < float(error) < 1


def test_a_wheel_built_from_the_source_distribution_is_the_same(clone, wheel, tmp_path):
    with tarfile.open(build(clone, "sdist", tmp_path)) as archive:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(tmp_path, **safely)
    [unpacked] = filter(Path.is_dir, tmp_path.iterdir())
    assert (unpacked / "tests" / "conftest.py").is_file()
    assert (unpacked / "examples" / "blog_post.py").is_file()
    assert sorted(members(build(unpacked, "wheel", tmp_path))) == sorted(members(wheel))


RELATIVE = re.compile(r"\]\((?!https?:|#)[^)]*\)")


def test_links_of_the_readme_are_absolute_once_there_is_a_home(clone, wheel):
    def readme(wheel):
        return text_in(wheel, ".dist-info/METADATA").partition("\n\n")[2]

    original = (ROOT / "README.md").read_text("utf-8")
    assert readme(wheel).strip() == original.strip()
    assert RELATIVE.search(original)
    pyproject = clone / "pyproject.toml"
    before = pyproject.read_text("utf-8")
    home = "https://example.org/ours/napari-latent-faces"
    try:
        scripts = "[project.scripts]"
        pyproject.write_text(
            before.replace(scripts, f"[project.urls]\nSource = '{home}'\n\n{scripts}")
        )
        text = readme(build(clone, "wheel", clone / "dist-home"))
    finally:
        pyproject.write_text(before, "utf-8")
    assert not RELATIVE.search(text)
    assert f"]({home}/raw/HEAD/docs/images/latent-faces.webp)" in text
    assert f"[matrices]({home}/blob/HEAD/docs/reading.md)" in text
    assert text.count("](") == original.count("](")
