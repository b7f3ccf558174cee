"""The command line: ``latent-faces fit``, ``generate``, ``info`` and ``demo``."""

from __future__ import annotations

from napari_latent_faces.cli.commands import main

__all__ = ["main"]
