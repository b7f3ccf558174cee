"""Fuzz one target, guided by coverage: ``python -m tests.fuzz pictures -max_total_time=300``.

Needs atheris (``pip install atheris``). Whatever follows the target's name goes to libFuzzer.
What is found is written to the working folder as ``crash-...``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["napari_latent_faces", "PIL", "tarfile", "zipfile", "numpy.lib"]
):
    import numpy.lib.format
    import tarfile
    import zipfile

    from PIL import (
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    from tests.fuzz.targets import TARGETS


def main() -> None:
    name, *options = sys.argv[1:]
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds()):
            Path(corpus, f"seed{number}").write_bytes(seed)
        atheris.Setup([sys.argv[0], corpus, *options], target.keeps_promise)
        atheris.Fuzz()


main()
