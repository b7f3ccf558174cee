"""How long tests wait: a limit is for what hangs, never for what is slow."""

from __future__ import annotations

PATIENCE = 300  # seconds
