"""The panel that shows all faces of a model as a map."""

from __future__ import annotations

import time
from colorsys import hsv_to_rgb
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox, Label
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QSizePolicy

from napari_latent_faces.encoding import LazyReconstruction
from napari_latent_faces.explaining import FaceMap, iter_map_faces
from napari_latent_faces.tiles import shrunk
from napari_latent_faces.viewer.canvas import go_to, show_picture_menu, use_in_mix
from napari_latent_faces.viewer.jobs import Job, QuietJob
from napari_latent_faces.viewer.layers import (
    ENCODED,
    FACES_KEY,
    MODEL_KEY,
    PICTURES_KEY,
    RECIPES_KEY,
    ROLE_KEY,
    layer_pixels,
)
from napari_latent_faces.viewer.panels.form import button, form_of
from napari_latent_faces.viewer.panels.panel import NO_MODEL, Panel, timer
from napari_latent_faces.viewer.panels.pictures import limits_of
from napari_latent_faces.viewer.panels.plane import FacePlane, as_image
from napari_latent_faces.viewer.window import can_open_docks

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray
    from qtpy.QtCore import QPoint

    from napari_latent_faces.model import LatentFaces

_LONGEST = 64  # pixels of a small picture's side
_SIZES = {"small": 20, "medium": 32, "large": 64, "very large": 110}  # on the screen
_METHODS = {"principal components": "pca", "t-SNE": "tsne", "distances (MDS)": "mds"}
_COLOURS = {"subject": "subject", "chosen component": "component", "nothing": ""}
_MIXED, _MADE, _ENCODED = (255, 140, 0), (40, 190, 120), (70, 150, 255)
_PAUSE = 0.04  # seconds of reading until pictures are handed over
_RUN = 64  # pictures read at once


@dataclass(frozen=True)
class _Others:
    """Faces of a layer that the model was not fitted to: generated or encoded ones."""

    layer: Any
    source: Any  # what the weights come from: it is another one when they change
    weights: NDArray[Any]
    images: Any
    limits: tuple[float, float]
    colour: tuple[int, int, int]
    what: str


class MapWidget(Panel):
    """Shows the faces of a model on one plane, those that look alike close together."""

    page = "map-of-faces"

    def _lay_out(self) -> None:
        self.found: FaceMap | None = None
        self._seen: tuple[Any, int | None, int | None] = None, None, None
        self._known: dict[str, FaceMap] = {}  # by method, of this model
        self._others: list[_Others] = []
        self._reading: QuietJob | None = None
        self._small: tuple[NDArray[Any], NDArray[Any] | None] | None = None
        self.method = ComboBox(
            choices=list(_METHODS.items()),
            label="Place by",
            tooltip="Principal components are there at once; t-SNE keeps those that look "
            "alike together, MDS keeps distances, and both take their time.",
        )
        self.colour = ComboBox(
            choices=list(_COLOURS.items()),
            label="Colour by",
            tooltip="What the colours of frames and dots tell.",
        )
        self.picture_size = ComboBox(
            choices=list(_SIZES.items()),
            value=_SIZES["medium"],
            label="Pictures",
            tooltip="How large the pictures are: larger ones leave more faces as dots.",
        )
        self.plane = FacePlane("Map of faces")
        whole = self.plane.show_all
        self.whole_button = button("Show all", "Show the whole map (Home).", whole)
        self.words = Label(value="")
        line = self.words.native  # of one height, so that the map does not jump
        line.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.add(form_of([self.method, self.colour, self.picture_size]))
        self.add(self.plane, 1)
        self.add(self.words)
        self.add_controls(self.whole_button)
        # many changes at once become one update
        self._soon = timer(self, self._refresh)

    def _connect(self) -> None:
        super()._connect()
        self.method.changed.connect(self._place)
        self.colour.changed.connect(self._paint)
        self.picture_size.changed.connect(self._resize)
        self.plane.clicked.connect(self._go_to)
        self.plane.hovered.connect(self._tell)
        self.plane.menu_wanted.connect(self._show_menu)
        self.at_end(self._stop_reading)

    def _what_is_missing(self) -> str:
        return NO_MODEL if self.session.model is None else ""

    def synchronize(self) -> None:
        super().synchronize()
        session, (model, face, component) = self.session, self._seen
        self._seen = session.model, session.face, session.component
        if session.model is not model:
            self._on_model(session.model)
        if session.face != face:
            self.plane.mark(session.face)
        if session.component != component:
            self._paint()
        self._soon.start()

    # -- places ------------------------------------------------------------------

    def _on_model(self, model: LatentFaces | None) -> None:
        self._stop_reading()
        self.found, self._known, self._others, self._small = None, {}, [], None
        self.plane.extra = None
        self.plane.pictures.clear()
        self.plane.show_places(np.empty((0, 2)))
        self.words.value = ""
        if model is not None:
            h, w = model.size
            self.plane.set_size(self.picture_size.value, w / h)
            self._place()

    def _place(self) -> None:
        """Place the faces as the field says; the places that are shown stay until then."""
        model, method = self.session.model, self.method.value
        self._abandon()
        if model is None:
            self.synchronize()
        elif method in self._known:
            self._show_map(self._known[method])
            self.synchronize()
        else:
            job = Job(iter_map_faces, model, method)
            job.returned.connect(self._show_map)
            self.run(job, "Placing faces ...")

    def _show_step(self, step: tuple[int, int, NDArray[np.float64]]) -> None:
        done, total, positions = step
        self.show_progress(done, total)
        self.status.value = f"Placing faces: {done} of at most {total} rounds"
        self.plane.show_places(positions)

    def _show_map(self, found: FaceMap) -> None:
        self.found = self._known[found.method] = found
        self.plane.show_all()  # the places of another map mean nothing here
        self._show_others()
        self.plane.mark(self.session.face)
        self._show_mix()
        kept = f"The plane keeps {found.kept:.0%} of the variance." if found.kept >= 0 else ""
        self.status.value = kept

    def _show_result(self, _job: Any) -> None:
        """Go back to the map that is shown, if there is no other."""
        if self.found is not None and self.found.method != self.method.value:
            with self.method.changed.blocked():
                self.method.value = self.found.method
            self._show_others()

    # -- faces of other layers, and the mixed one ----------------------------------

    def _refresh(self) -> None:
        """Look whether there are other generated, encoded or mixed faces now."""
        self._show_mix()
        if self.found is not None and not self.is_working and self._look_for_others():
            self._show_others()

    def _look_for_others(self) -> bool:
        """Find generated and encoded faces; tell whether they are others than before."""
        assert self.found is not None
        before = [id(each.source) for each in self._others]
        self._others = list(self._find_others(self.found.model))
        are_new = before != [id(each.source) for each in self._others]
        if are_new:
            del self.plane.pictures[len(self.found.positions) :]
        return are_new

    def _show_others(self) -> None:
        """Put generated and encoded faces into the map, and colour all."""
        found = self.found
        if found is None:
            return
        self._look_for_others()
        n = len(found.positions)
        placed = [found.project(each.weights) for each in self._others]
        places = np.concatenate([found.positions, *placed])
        self.plane.show_places(places, range(n, len(places)))
        self._paint()
        self._read_pictures()

    def _find_others(self, model: LatentFaces) -> Iterator[_Others]:
        for layer in self.viewer.layers:
            known = layer.metadata
            encoded = known.get(MODEL_KEY) if known.get(ROLE_KEY) == ENCODED else None
            recipes = known.get(RECIPES_KEY, ())
            if encoded is not None and encoded is not model:
                if encoded.components is model.components:
                    images, limits = LazyReconstruction(encoded), limits_of(layer, encoded)
                    yield _Others(
                        layer, encoded, encoded.weights, images, limits, _ENCODED, "encoded"
                    )
            elif {len(each.weights) for each in recipes} == {model.n_components}:
                images, limits = known[PICTURES_KEY], limits_of(layer, model)
                if images.shape[1:] == model.picture_shape and self._is_beside(layer):
                    weights = np.array([each.weights for each in recipes])
                    yield _Others(
                        layer, recipes, weights, images, limits, _MADE, known[ROLE_KEY]
                    )

    def _is_beside(self, layer: Any) -> bool:
        faces = self.session.faces
        return faces is None or layer.metadata.get(FACES_KEY) == str(faces.unique_id)

    def _show_mix(self) -> None:
        """Draw the mixed face where its weights are."""
        mix, model = self.session.mix, self.session.model
        if self.found is None or model is None or mix is None or mix[0] is not model:
            self.plane.extra = None
        else:
            if self._small is None:
                mean = None if model.mean is None else _shrunk(model.mean, model)
                self._small = _shrunk(model.components, model), mean
            components, mean = self._small
            pixels = np.tensordot(mix[1], components, 1) + (0 if mean is None else mean)
            limits = limits_of(self.session.faces, model)
            picture = _bytes(pixels * model.scale, limits)
            place = self.found.project(mix[1])
            self.plane.extra = place, picture, QColor(*_MIXED)
        self.plane.update()

    # -- pictures ------------------------------------------------------------------

    def _read_pictures(self) -> None:
        found = self.found
        if found is None:
            return
        self._stop_reading()
        missing = np.array([each is None for each in self.plane.pictures], bool)
        if not missing.any():
            return
        faces = self.session.faces
        pixels = None if faces is None else layer_pixels(faces)
        own = LazyReconstruction(found.model)
        is_known = pixels is not None and tuple(pixels.shape) == own.shape
        sources = [(pixels if is_known else own, limits_of(faces, found.model))]
        sources += [(each.images, each.limits) for each in self._others]
        self._reading = QuietJob(_reading, sources, missing, found.model)
        self._reading.stepped.connect(self._on_read)
        self._reading.failed.connect(self._on_unreadable)
        self._reading.start()

    def _on_read(self, step: list[tuple[int, NDArray[np.uint8]]]) -> None:
        for face, picture in step:
            if face < len(self.plane.pictures):
                self.plane.pictures[face] = picture
        self.plane.update()
        if self.plane.missing and self._reading is not None:
            self._reading.send(self.plane.missing)

    def _on_unreadable(self, why: str) -> None:
        self.status.value = f"Some faces cannot be read: {why}"

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.abandon()
            self._reading = None

    def _resize(self) -> None:
        if self.session.model is not None:
            h, w = self.session.model.size
            self.plane.set_size(self.picture_size.value, w / h)

    # -- colours and words -----------------------------------------------------------

    def _paint(self) -> None:
        """Colour the faces by their subjects, or by their weights for a component."""
        found = self.found
        if found is None:
            return
        colours = self._colours(found.model)
        made = [np.full((len(each.weights), 3), each.colour, np.uint8) for each in self._others]
        if colours is None and made:
            colours = np.full((len(found.positions), 3), 150, np.uint8)
        self.plane.colours = None if colours is None else np.concatenate([colours, *made])
        self.plane.update()

    def _colours(self, model: LatentFaces) -> NDArray[np.uint8] | None:
        subjects, component = model.provenance.subjects, self.session.component
        if self.colour.value == "subject" and subjects:
            _, numbers = np.unique(subjects, return_inverse=True)
            hues: NDArray[np.uint8] = _HUES[numbers % len(_HUES)]
            return hues
        if self.colour.value == "component" and component is not None:
            weights = model.weights[:, component].astype(np.float64)
            shares = weights / (np.abs(weights).max() or 1.0)
            roots = np.sqrt(np.abs(shares))[:, None]
            ends = np.where(shares[:, None] < 0, _ENCODED, _MIXED)
            ramp: NDArray[np.uint8] = np.rint(110 + (ends - 110) * roots).astype(np.uint8)
            return ramp
        return None

    def _tell(self, face: int | None) -> None:
        found = self.found
        if found is None or face is None:
            self.words.value = ""
        elif face < len(found.positions):
            origin = found.model.provenance
            name = origin.names[face] if origin.names else ""
            subject = f"subject {origin.subjects[face]}" if origin.subjects else ""
            self.words.value = "  |  ".join(filter(None, (name, subject, f"face {face}")))
        else:
            other, i = self._other(face)
            self.words.value = f"{other.what} {i}"

    def _show_menu(self, face: int | None, place: QPoint) -> None:
        pictures, more = {"map of faces": lambda: self.plane.grab().toImage()}, {}
        if face is not None and self.found is not None:
            n, picture = len(self.found.positions), self.plane.pictures[face]
            what: dict[str, Any] = {"face": face}
            if face >= n:
                other, i = self._other(face)
                what = {"weights": other.weights[i].tolist()}
            if picture is not None:
                pictures = {f"face {face}": lambda: as_image(picture).copy(), **pictures}
            if can_open_docks(self.viewer):
                more["Use in Mix"] = lambda: use_in_mix(self.viewer, **what)
        show_picture_menu(self, place, pictures, more)

    def _other(self, face: int) -> tuple[_Others, int]:
        assert self.found is not None
        i = face - len(self.found.positions)
        for each in self._others:
            if i < len(each.weights):
                return each, i
            i -= len(each.weights)
        raise IndexError(face)

    def _go_to(self, face: int) -> None:
        if self.found is None or face < len(self.found.positions):
            self.session.go_to_face(face)
            return
        other, i = self._other(face)
        if other.layer.ndim >= 3:
            go_to(self.viewer, other.layer, i)


_HUES = np.array(
    [
        hsv_to_rgb(i * 0.618034 % 1, 0.9 - 0.35 * (i % 2), 0.95 - 0.25 * (i % 3 == 2))
        for i in range(360)
    ]
)
_HUES = np.rint(_HUES * 255).astype(np.uint8)  # neighbours in the list are far apart


def _reading(
    sources: list[tuple[Any, tuple[float, float]]],
    missing: NDArray[np.bool_],
    model: LatentFaces,
) -> Generator[list[tuple[int, NDArray[np.uint8]]], list[int] | None]:
    """Yield small pictures in runs, those first that are asked for."""
    starts = np.cumsum([0, *(len(images) for images, _ in sources)])
    asked: list[int] | None = None
    while missing.any():
        began = time.perf_counter()
        read: list[tuple[int, NDArray[np.uint8]]] = []
        wanted = iter(asked or ())
        while missing.any() and time.perf_counter() - began < _PAUSE:
            first = next((face for face in wanted if missing[face]), None)
            is_asked = first is not None
            first = int(missing.argmax()) if first is None else first
            which = int(np.searchsorted(starts, first, side="right")) - 1
            images, limits = sources[which]
            here = first - int(starts[which])
            stop = here + 1 if is_asked else min(here + _RUN, len(images))
            pixels = _bytes(_shrunk(np.asarray(images[here:stop]), model), limits)
            missing[first : first + stop - here] = False
            read += enumerate(pixels, first)
        asked = yield read


def _shrunk(pictures: NDArray[Any], model: LatentFaces) -> NDArray[Any]:
    return shrunk(pictures, _LONGEST, in_colour=len(model.picture_shape) == 3)


def _bytes(pixels: NDArray[Any], limits: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = limits
    levels = np.clip((pixels - low) * (255.0 / (high - low or 1.0)), 0, 255)
    return np.ascontiguousarray(np.nan_to_num(levels).astype(np.uint8))
