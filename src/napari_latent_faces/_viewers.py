"""What every viewer has one of, and the viewer that a reader works for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

__all__ = ["OnePerViewer", "tell_current_viewer"]

Thing = TypeVar("Thing")


class OnePerViewer(Generic[Thing]):
    """Something that each viewer has one of, made when it is first asked for.

    It lives as long as its viewer, so it must not hold a strong reference to that: the
    viewer owns it through its events.

    Parameters
    ----------
    make : callable
        Makes it for a viewer.
    """

    def __init__(self, make: Callable[[Any], Thing]) -> None:
        self._make = make
        self._known: WeakKeyDictionary[Any, Thing] = WeakKeyDictionary()

    def of(self, viewer: napari.components.ViewerModel) -> Thing:
        """Return that of `viewer`."""
        viewer = getattr(viewer, "__wrapped__", viewer)  # plugins get short-lived proxies
        if viewer not in self._known:
            self._known[viewer] = self._make(viewer)
        return self._known[viewer]


def tell_current_viewer(attach: Callable[[Any], object]) -> None:
    """Call `attach` with the viewer that is opening a file, if there is one.

    Readers and samples are not told their viewer; while they run, it is the current one.
    """
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        attach(viewer)
