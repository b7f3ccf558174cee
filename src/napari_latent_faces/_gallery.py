"""Galleries that speak: their tiles follow the face, tell what they are, and are chosen."""

from __future__ import annotations

from functools import cached_property
from math import dist
from typing import TYPE_CHECKING, Any, Literal, get_args
from weakref import WeakKeyDictionary, ref

import numpy as np
from psygnal import Signal

from napari_latent_faces._focus import focus_of
from napari_latent_faces._viewers import OnePerViewer, tell_current_viewer
from napari_latent_faces.explain import Explainer, prominence
from napari_latent_faces.layers import MODEL_KEY, ROLE_KEY
from napari_latent_faces.tiles import Tiles, paint_tile

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import napari
    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["MODES", "Galleries", "Mode", "galleries_of", "watch_current_viewer"]

Mode = Literal["off", "brightness", "border"]
MODES: tuple[Mode, ...] = get_args(Mode)
"""How the tiles follow the face."""

_DARKEST = 0.06  # what is left of a tile that the face has nothing of: one can still aim at it
_STILL = 4  # pixels that the mouse may move in a click


def galleries_of(viewer: napari.components.ViewerModel) -> Galleries:
    """Let the galleries of `viewer` speak from now on; a second call changes nothing."""
    return _GALLERIES.of(viewer)


def watch_current_viewer() -> None:
    """Let the galleries of the viewer that is opening a file speak, if there is one."""
    tell_current_viewer(galleries_of)


class Galleries:
    """The gallery layers of one viewer.

    What is said of a face is painted into the pictures that the galleries show anyway,
    so that there is no other layer to hide, to save or to forget. A picture that someone
    else has put there, as the preview of a fit, is left alone.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    """

    mode_changed = Signal(str)

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
        # as in `Focus`: no strong reference back to the viewer
        self._viewer = ref(viewer)
        self._focus = focus_of(viewer)
        self._galleries: WeakKeyDictionary[Any, _Gallery] = WeakKeyDictionary()
        self._mode: Mode = "off"
        self._said: str | None = None
        for signal in (
            self._focus.model_changed,
            self._focus.face_changed,
            self._focus.component_changed,
        ):
            signal.connect(self.refresh)
        viewer.layers.events.inserted.connect(self.refresh)
        viewer.events.status.connect(self._complete_status)
        viewer.mouse_move_callbacks.append(self._on_move)
        viewer.mouse_drag_callbacks.append(self._on_press)
        self.refresh()

    @property
    def mode(self) -> Mode:
        """How the tiles follow the face under the slider."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}.")
        if mode != self._mode:
            self._mode = mode
            self.refresh()
            self.mode_changed.emit(mode)

    def refresh(self) -> None:
        """Bring all tiles in line with model, face and component."""
        focus = self._focus
        for layer, gallery in self._each():
            if gallery.model is not focus.model:
                gallery.paint(layer, "off", None, None)
            else:
                weights = None if focus.face is None else gallery.model.weights[focus.face]
                gallery.paint(layer, self._mode, weights, focus.component)

    def _each(self) -> Iterator[tuple[Any, _Gallery]]:
        """Yield the gallery layers, the topmost first."""
        viewer = self._viewer()
        for layer in [] if viewer is None else reversed(viewer.layers):
            if layer.metadata.get(ROLE_KEY) != "gallery":
                continue
            gallery, model = self._galleries.get(layer), layer.metadata[MODEL_KEY]
            if gallery is None or gallery.model is not model:
                gallery = _Gallery.of(layer.data, model)
            if gallery is not None:
                self._galleries[layer] = gallery
                yield layer, gallery

    def _under(self, position: tuple[float, ...]) -> tuple[Any, _Gallery, int] | None:
        """Return gallery and tile at a position in the viewer."""
        viewer = self._viewer()
        if viewer is None:
            return None
        n = viewer.dims.ndim
        if set(viewer.dims.displayed) != {n - 2, n - 1}:  # turned, or in three dimensions
            return None
        for layer, gallery in self._each():
            if layer.visible and layer.data is gallery.picture:
                tile = gallery.tiles.at(*layer.world_to_data(position)[-2:])
                if tile is not None:
                    return layer, gallery, tile
        return None

    # -- the mouse -------------------------------------------------------------

    def _on_move(self, _viewer: Any, event: Any) -> None:
        """Tell in the status bar which tile the mouse is on."""
        found = self._under(event.position)
        if found is None:
            self._said = None
            return
        _, gallery, tile = found
        face = self._focus.face if gallery.model is self._focus.model else None
        self._said = gallery.explainer.caption(tile, face)
        self._complete_status()

    def _complete_status(self) -> None:
        """Put what a tile is in place of the coordinates that napari shows."""
        viewer = self._viewer()
        if viewer is None or self._said is None:
            return
        status = viewer.status
        if not status:  # the mouse has left the canvas
            self._said = None
        elif isinstance(status, dict) and self._said not in str(status.get("coordinates")):
            viewer.status = {**status, "coordinates": self._said}

    def _on_press(self, viewer: Any, event: Any) -> Generator[None]:
        """Choose the component of a tile that is clicked, or none if it was chosen."""
        found = self._under(event.position)
        active = viewer.layers.selection.active
        is_drawing = str(getattr(active, "mode", "pan_zoom")) != "pan_zoom"
        if found is None or event.button != 1 or event.modifiers or is_drawing:
            return
        began, moved = tuple(event.pos), 0.0
        yield
        while event.type == "mouse_move":
            moved = max(moved, dist(began, event.pos))
            yield
        if moved <= _STILL:
            self._choose(viewer, found[0], found[2])

    def _choose(self, viewer: Any, layer: Any, component: int) -> None:
        if layer.metadata[MODEL_KEY] is not self._focus.model:
            viewer.layers.selection.active = layer  # now it is about this model
        is_chosen = component == self._focus.component
        self._focus.select_component(None if is_chosen else component)


class _Gallery:
    """The picture of one gallery layer, and what is painted into it."""

    def __init__(self, model: LatentFaces, tiles: Tiles, picture: NDArray[Any]) -> None:
        self.model, self.tiles, self.picture = model, tiles, picture
        self._looks: list[Any] = [None] * tiles.count

    @classmethod
    def of(cls, picture: Any, model: LatentFaces) -> _Gallery | None:
        """Return the gallery that a picture is, None if it is none of this model."""
        tiles = Tiles.found_in(picture.shape, model.components.shape)
        if tiles is None or not isinstance(picture, np.ndarray) or not picture.flags.writeable:
            return None
        return cls(model, tiles, picture)

    @cached_property
    def explainer(self) -> Explainer:
        """What is known of the components."""
        return Explainer(self.model)

    def paint(
        self, layer: Any, mode: Mode, weights: NDArray[Any] | None, chosen: int | None
    ) -> None:
        """Give each tile the look that tells a face's weights, as far as it has changed."""
        if layer.data is not self.picture:
            return
        looks = self._wanted(mode, weights, chosen)
        changed = [i for i, look in enumerate(looks) if look != self._looks[i]]
        for i in changed:
            level, frame, is_chosen = looks[i]
            paint_tile(
                self.picture[self.tiles.box(i)],
                self.model.components[i],
                level=level,
                frame=frame,
                is_chosen=is_chosen,
            )
        self._looks = looks
        if changed:
            layer.refresh(extent=False, highlight=False, thumbnail=False)

    def _wanted(
        self, mode: Mode, weights: NDArray[Any] | None, chosen: int | None
    ) -> list[tuple[float, float | None, bool]]:
        """Return level, frame and whether it is chosen of each tile."""
        k = self.tiles.count
        levels = np.ones(k)
        frames: list[float | None] = [None] * k
        if weights is not None and mode == "brightness":
            levels = _DARKEST + (1 - _DARKEST) * prominence(weights)
        elif weights is not None and mode == "border":
            frames = prominence(weights).tolist()
        return [
            (level, frame, i == chosen)
            for i, (level, frame) in enumerate(zip(levels.tolist(), frames, strict=True))
        ]


_GALLERIES = OnePerViewer(Galleries)
