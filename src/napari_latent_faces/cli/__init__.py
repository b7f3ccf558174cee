"""The command line: ``latent-faces`` and its commands."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, of the process by default; return the exit code."""
    from napari_latent_faces.cli import commands

    return commands.main(argv)


def run() -> int:
    """Run a command in a process of its own, as ``latent-faces`` does."""
    gc.set_threshold(20_000)  # imports leave next to no garbage: looking for it takes longer
    # fits keep BLAS at one thread: others would only cost processor time as they start
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return main()
