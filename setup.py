"""Build the compiled sweeps where there is a compiler; all else stands in pyproject.toml."""

import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel

FOLDER = "src/napari_latent_faces/solvers"
SWEEPS = Extension(
    "napari_latent_faces.solvers._sweeps",
    [f"{FOLDER}/_sweeps.c"],
    depends=[f"{FOLDER}/_sweeps.h"],
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


# Python without the global lock does not know the stable ABI
is_stable = not sysconfig.get_config_var("Py_GIL_DISABLED")
setup(
    ext_modules=[SWEEPS] if is_stable else [],
    cmdclass={"bdist_wheel": Wheel},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if is_stable else {},
)
