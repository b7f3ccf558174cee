"""The command line: ``latent-faces`` and its commands."""

from __future__ import annotations

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
    # fits keep BLAS at one thread: others would only cost processor time as they start
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return main()
