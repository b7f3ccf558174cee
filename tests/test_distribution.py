"""What is published: the wheel and the source distribution."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", ".*cache", ".hypothesis", "__pycache__", "*.png"
)


def build(source, kind):
    """Build a distribution with the declared backend, without the network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    [made] = (source / "dist").glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


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
    return build(clone, "wheel")


def members(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_the_package_and_its_manifest_only(wheel):
    names = members(wheel)
    assert {"napari_latent_faces/napari.yaml", "napari_latent_faces/py.typed"} <= set(names)
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"napari_latent_faces"}


def test_the_wheel_points_napari_to_its_manifest(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        text = archive.read(name).decode()
        manifest = archive.read("napari_latent_faces/napari.yaml").decode()
    assert "[napari.manifest]\nnapari-latent-faces = napari_latent_faces:napari.yaml" in text
    assert manifest.startswith("name: napari-latent-faces\n")


def test_a_wheel_built_from_the_source_distribution_is_the_same(clone, wheel, tmp_path):
    with tarfile.open(build(clone, "sdist")) as archive:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(tmp_path, **safely)
    [unpacked] = tmp_path.iterdir()
    assert (unpacked / "tests" / "conftest.py").is_file()
    assert (unpacked / "examples" / "blog_post.py").is_file()
    assert sorted(members(build(unpacked, "wheel"))) == sorted(members(wheel))
