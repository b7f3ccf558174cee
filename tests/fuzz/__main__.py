"""Fuzz one target, guided by coverage: ``python -m tests.fuzz pictures -max_total_time=300``.

Needs atheris (``pip install atheris``). Whatever follows the target's name goes to libFuzzer.
What is found is written to the working folder as ``crash-...``.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module
from pathlib import Path

import atheris

FOLLOWED = ["napari_latent_faces", "PIL", "tarfile", "zipfile", "numpy.lib"]


def main() -> None:
    """Start libFuzzer; it does not return."""
    name, *options = sys.argv[1:]
    with atheris.instrument_imports(include=FOLLOWED):
        target = import_module("tests.fuzz.targets").TARGETS[name]
        seeds = target.seeds()  # loads the decoders as well
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds):
            Path(corpus, f"seed{number}").write_bytes(seed)
        atheris.Setup([sys.argv[0], corpus, *options], target.keeps_promise)
        atheris.Fuzz()


main()
