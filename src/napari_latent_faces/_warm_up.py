"""The libraries that a fit needs, loaded while the user still looks at the panel."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from napari_latent_faces._job import Job
from napari_latent_faces.nmf.sweeps import compiled

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["WarmUp"]

# what the default fit imports when it begins, which takes seconds the first time
_LIBRARIES = (
    "psutil",
    "threadpoolctl",
    "scipy.linalg",
    "sklearn.utils.extmath",
    "sklearn.decomposition",
)


class WarmUp:
    """Imports in a thread what a fit needs, once a session.

    A first fit that has to import them holds the interpreter's lock again and again
    while the window shows its first steps.
    """

    def __init__(self) -> None:
        self._job: Job | None = None

    def start(self) -> None:
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
        """End after the library that is being loaded."""
        if self._job is not None:
            self._job.abandon()
            self._job = None
