"""The command line as ``python -m napari_latent_faces``."""

from __future__ import annotations

import sys

from napari_latent_faces.cli import run

if __name__ == "__main__":
    sys.exit(run())
