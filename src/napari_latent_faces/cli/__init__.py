"""The command line: ``latent-faces fit``, ``encode``, ``mend``, ``info`` and ``demo``."""

from __future__ import annotations

from napari_latent_faces.cli.commands import main

__all__ = ["main"]
