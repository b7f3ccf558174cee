"""The command line: ``latent-faces`` and its commands."""

from __future__ import annotations

from napari_latent_faces.cli.commands import main

__all__ = ["main"]
