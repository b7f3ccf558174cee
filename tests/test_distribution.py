"""What is published: the wheel and the source distribution."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(
    ".git",
    ".venv*",
    ".*cache",
    ".hypothesis",
    "__pycache__",
    "*.png",
    "*.so",
    "*.pyd",
    "build",
    "*.egg-info",
)
COMPILED = {".so", ".pyd"}


def build(source, kind, to, **environment):
    """Build a distribution with the declared backend, without the network."""
    code = f"from setuptools.build_meta import *; print(build_{kind}({str(to)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=source,
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    return to / done.stdout.splitlines()[-1]


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


def test_the_wheel_holds_the_package_and_its_manifest_only(wheel):
    names = members(wheel)
    assert {"napari_latent_faces/napari.yaml", "napari_latent_faces/py.typed"} <= set(names)
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"napari_latent_faces"}


def test_a_compiled_wheel_is_for_all_pythons_of_a_platform(wheel):
    compiled = [name for name in members(wheel) if Path(name).suffix in COMPILED]
    if not compiled:
        pytest.skip("there is no compiler here")
    assert [Path(name).parent.name for name in compiled] == ["solvers"]
    tag = wheel.name.removesuffix(".whl").split("-", 2)[2]
    assert tag.startswith("cp311-abi3-")
    assert not tag.endswith("-any")
    assert not [name for name in members(wheel) if name.endswith((".c", ".h"))]


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
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},
    )
    backend, error = done.stdout.split()
    assert backend == "numpy"
    assert 0 < float(error) < 1


def test_the_wheel_points_napari_to_its_manifest(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        text = archive.read(name).decode()
        manifest = archive.read("napari_latent_faces/napari.yaml").decode()
    assert "[napari.manifest]\nnapari-latent-faces = napari_latent_faces:napari.yaml" in text
    assert manifest.startswith("name: napari-latent-faces\n")


def test_a_wheel_built_from_the_source_distribution_is_the_same(clone, wheel, tmp_path):
    with tarfile.open(build(clone, "sdist", tmp_path)) as archive:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(tmp_path, **safely)
    [unpacked] = filter(Path.is_dir, tmp_path.iterdir())
    assert (unpacked / "tests" / "conftest.py").is_file()
    assert (unpacked / "examples" / "blog_post.py").is_file()
    assert sorted(members(build(unpacked, "wheel", tmp_path))) == sorted(members(wheel))


def readme(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        return archive.read(name).decode().partition("\n\n")[2]


RELATIVE = re.compile(r"\]\((?!https?:|#)[^)]*\)")


def test_links_of_the_readme_are_absolute_once_there_is_a_home(clone, wheel):
    original = (ROOT / "README.md").read_text("utf-8")
    assert readme(wheel).strip() == original.strip()
    assert RELATIVE.search(original)
    pyproject = clone / "pyproject.toml"
    before = pyproject.read_text("utf-8")
    home = "https://example.org/ours/napari-latent-faces"
    try:
        pyproject.write_text(
            before.replace(
                "[project.scripts]", f"[project.urls]\nSource = '{home}'\n\n[project.scripts]"
            )
        )
        text = readme(build(clone, "wheel", clone / "dist-home"))
    finally:
        pyproject.write_text(before, "utf-8")
    assert not RELATIVE.search(text)
    assert f"]({home}/raw/HEAD/docs/images/latent-faces.webp)" in text
    assert f"[matrices]({home}/blob/HEAD/docs/reading.md)" in text
    assert text.count("](") == original.count("](")
