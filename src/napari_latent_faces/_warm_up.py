"""The libraries that a fit needs, loaded while the user still looks at the panel."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_latent_faces._job import Job
from napari_latent_faces.nmf.sweeps import compiled

if TYPE_CHECKING:
    from collections.abc import Generator

    from qtpy.QtCore import QObject

__all__ = ["WarmUp"]

# what the default fit imports when it begins, which takes seconds the first time
_LIBRARIES = (
    "psutil",
    "threadpoolctl",
    "scipy.linalg",
    "sklearn.utils.extmath",
    "sklearn.decomposition",
)
# Importing takes the interpreter's lock again and again: a panel that is still being built
# and drawn would take twice as long.
_DELAY = 1000  # milliseconds


class WarmUp:
    """Imports in a thread what a fit needs, once a session.

    A first fit that has to import them holds the interpreter's lock again and again
    while the window shows its first steps.

    Parameters
    ----------
    panel : QObject
        What they are loaded for.
    """

    def __init__(self, panel: QObject) -> None:
        self._job: Job | None = None
        self._soon = QTimer(panel)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_DELAY)
        self._soon.timeout.connect(self._begin)

    def start(self) -> None:
        """Begin once the panel has been drawn."""
        self._soon.start()

    def _begin(self) -> None:
        """Begin, unless all is loaded."""
        missing = [name for name in _LIBRARIES if name not in sys.modules]
        is_ready = not missing and compiled.cache_info().currsize
        if is_ready or self._job is not None:
            return

        def importing() -> Generator[str]:
            for name in missing:
                import_module(name)
                yield name
            compiled()
            yield "sweeps"

        self._job = Job(importing)
        self._job.start()

    def stop(self) -> None:
        """Do not begin, or end after the library that is being loaded."""
        self._soon.stop()
        if self._job is not None:
            self._job.abandon()
            self._job = None
