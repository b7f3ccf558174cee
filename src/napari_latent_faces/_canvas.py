"""A viewer that removes a layer leaves the drawings of other windows alone."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from napari_latent_faces._viewers import OnePerViewer

if TYPE_CHECKING:
    import napari

__all__ = ["keep_apart"]


def keep_apart(viewer: napari.components.ViewerModel) -> None:
    """Have `viewer` remove layers in its own OpenGL context; a second call changes nothing.

    napari 0.9 deletes what drew a layer as soon as it is removed, in whichever context is
    current: that of another window, which then loses its own drawings of the same numbers,
    or that in which Qt puts this window together, which ends the process with Mesa's
    software OpenGL. This does nothing where napari sees to it by itself.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer. Without a window there is nothing to do.
    """
    _APART.of(viewer)


def _connect(viewer: napari.components.ViewerModel) -> None:
    # the viewer owns this function through its event, see OnePerViewer
    viewer.layers.events.removing.connect(lambda: _make_current(viewer))


def _make_current(viewer: napari.components.ViewerModel) -> None:
    window = getattr(viewer, "window", None)
    # there is no public way to the canvas; a window that was closed has none
    with suppress(AttributeError, RuntimeError):
        window._qt_viewer.canvas.native.makeCurrent()  # type: ignore[union-attr]  # noqa: SLF001


_APART = OnePerViewer(_connect)  # nothing is kept but which viewers are connected
