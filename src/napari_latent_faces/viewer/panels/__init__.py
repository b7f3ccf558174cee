"""Dock widgets: layout and wiring only."""

from __future__ import annotations
