"""The command line: ``latent-faces`` and its commands."""

from __future__ import annotations

import os

from napari_latent_faces.cli.commands import main

__all__ = ["main", "run"]


def run() -> int:
    """Run a command in a process of its own, as ``latent-faces`` does."""
    # fits keep BLAS at one thread: others would only cost processor time as they start
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return main()
