"""Build the compiled kernel where there is a compiler, and the README for the index."""

import re
import sysconfig
import tomllib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel

PACKAGE = "src/napari_latent_faces"
FOLDER = f"{PACKAGE}/solvers"
KERNEL = Extension(
    "napari_latent_faces.solvers._kernel",
    [f"{FOLDER}/_kernel.c"],
    depends=[f"{FOLDER}/_kernel.h"],
    py_limited_api=True,
    optional=True,  # without it, NumPy does the work
)


class Wheel(bdist_wheel):
    """A wheel for all machines where nothing could be compiled."""

    def run(self) -> None:
        """Compile first, and tag the wheel by what came of it."""
        self.run_command("build_ext")
        built = self.get_finalized_command("build_ext").get_outputs()
        if not any(Path(path).exists() for path in built):
            self.distribution.ext_modules = []
            self.root_is_pure = True
        super().run()


def description() -> str:
    """Return the README with absolute links, for the package index, once there is a home."""
    text = Path("README.md").read_text("utf-8")
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    home = project.get("urls", {}).get("Source", "").rstrip("/")
    if not home:
        return text
    version = re.search(r'__version__ = "(.+)"', Path(f"{PACKAGE}/__init__.py").read_text())[1]
    place = "HEAD" if "dev" in version else f"v{version}"
    link = r"(!?)(\[(?:[^\[\]]|\[[^\]]*\])*\])\((?![a-z]+:|#)([^)]+)\)"
    return re.sub(
        link,
        lambda m: f"{m[1]}{m[2]}({home}/{'raw' if m[1] else 'blob'}/{place}/{m[3]})",
        text,
    )


# Python without the global lock does not know the stable ABI
is_stable = not sysconfig.get_config_var("Py_GIL_DISABLED")
setup(
    long_description=description(),
    long_description_content_type="text/markdown",
    ext_modules=[KERNEL] if is_stable else [],
    cmdclass={"bdist_wheel": Wheel},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if is_stable else {},
)
