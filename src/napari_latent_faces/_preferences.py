"""What the user has set in napari's preferences for this plugin, which napari keeps."""

from __future__ import annotations

from typing import Any

from napari_latent_faces.methods import METHODS

__all__ = ["PLUGIN", "default_method", "reading_options"]

PLUGIN = "napari-latent-faces"
"""What npe2 calls this plugin."""

_MEBIBYTE = 2**20


def default_method() -> str:
    """Return the name of the method that the fit panel begins with."""
    method = getattr(_settings("fitting"), "method", "")
    return method if method in METHODS else next(iter(METHODS))


def reading_options() -> dict[str, Any]:
    """Return the options of `read_faces` that the user has set; others are found out."""
    reading = _settings("reading")
    height, width, budget = (
        int(getattr(reading, name, 0)) for name in ("height", "width", "memory_budget")
    )
    options: dict[str, Any] = {}
    if height:
        options["size"] = (height, width) if width else height
    if budget:
        options["memory_budget"] = budget * _MEBIBYTE
    return options


def _settings(group: str) -> Any:
    """Return a group of the plugin's settings, None where napari does not know the plugin."""
    from napari.settings import get_plugin_settings

    try:
        return getattr(get_plugin_settings(PLUGIN), group)
    except KeyError:  # used as a library: the plugin is not installed, or disabled
        return None
