"""The panel that shows all faces of a model as a map."""

from __future__ import annotations

from colorsys import hsv_to_rgb
from dataclasses import dataclass
from math import prod
from time import perf_counter
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
    face_caption,
    layer_pixels,
)
from napari_latent_faces.viewer.panels.form import button, form_of
from napari_latent_faces.viewer.panels.panel import NO_MODEL, Panel, timer
from napari_latent_faces.viewer.panels.pictures import limits_of
from napari_latent_faces.viewer.panels.plots import FacePlane, as_image
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
_PLAIN = 150, 150, 150
_MIXED, _MADE, _ENCODED = (255, 140, 0), (40, 190, 120), (70, 150, 255)
_AT_ONCE = 2**18  # values that are read at once: they fit into a cache
_PAUSE = 0.04  # seconds of reading until pictures are handed over
_HUES = np.array(  # neighbours in the list are far apart
    [
        hsv_to_rgb(i * 0.618034 % 1, 0.9 - 0.35 * (i % 2), 0.95 - 0.25 * (i % 3 == 2))
        for i in range(360)
    ]
)
_HUES = np.rint(_HUES * 255).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class _Faces:
    """Faces on the map: those of the model, or generated or encoded ones of a layer."""

    source: Any  # what they come from: it is another one when they change
    layer: Any
    weights: Any  # (n, k), or a list of (k,)
    images: Any
    colour: tuple[int, int, int]
    what: str


class MapWidget(Panel):
    """Shows the faces of a model on one plane, those that look alike close together."""

    page = "map-of-faces"

    def _lay_out(self) -> None:
        self.found: FaceMap | None = None
        self._model: LatentFaces | None = None
        self._known: dict[str, FaceMap] = {}  # by method, of this model
        self._faces: list[_Faces] = []  # on the map, those of the model first
        self._painted: Any = None  # what the colours were made from
        self._reading: QuietJob | None = None
        self._small: tuple[NDArray[Any], Any] = np.zeros(0), 0  # components and mean
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
        self._soon = timer(self, self.update_map)  # many changes at once become one update

    def _connect(self) -> None:
        super()._connect()
        self.method.changed.connect(self._place)
        self.colour.changed.connect(self.update_map)
        self.picture_size.changed.connect(self._resize)
        self.plane.clicked.connect(self._go_to)
        self.plane.hovered.connect(self._tell)
        self.plane.menu_wanted.connect(self._show_menu)
        self.at_end(self._stop_reading)

    def _what_is_missing(self) -> str:
        return NO_MODEL if self.session.model is None else ""

    def synchronize(self) -> None:
        super().synchronize()
        self.plane.mark(self.session.face)
        self._soon.start()

    # -- what is on the map --------------------------------------------------------

    def update_map(self) -> None:
        """Look whether there is another model, other faces, colours or another mixed face."""
        model = self.session.model
        if model is not self._model:
            self._take_model(model)
        if self.found is None or self.is_working:
            return
        faces = list(self._find_faces(self.found.model))
        if [id(each.source) for each in faces] != [id(each.source) for each in self._faces]:
            self._faces = faces
            n = len(self.found.positions)
            del self.plane.pictures[n:]
            placed = [self.found.project(each.weights) for each in faces[1:]]
            self.plane.show_places(np.concatenate([self.found.positions, *placed]), n)
            self._read_pictures()
        self._paint()
        self._show_mix()

    def _take_model(self, model: LatentFaces | None) -> None:
        self._stop_reading()
        self.found, self._known, self._faces, self._model = None, {}, [], model
        self.plane.extra = self._painted = None
        self.plane.pictures.clear()
        self.plane.show_places(np.empty((0, 2)), 0)
        self.words.value = ""
        if model is not None:
            in_colour = len(model.picture_shape) == 3
            mean = 0 if model.mean is None else _shrunk(model.mean, in_colour)
            self._small = _shrunk(model.components, in_colour), mean
            self._resize()
        self._place()

    def _place(self) -> None:
        """Place the faces as the field says; the places that are shown stay until then."""
        model, method = self._model, self.method.value
        self._abandon()
        if model is None:
            self.synchronize()
        elif method in self._known:
            self._show_map(self._known[method])
            self._on_end("")
        else:
            job = Job(iter_map_faces, model, method)
            job.returned.connect(self._show_map)
            self.run(job, "Placing faces ...")

    def _show_step(self, step: tuple[int, int, NDArray[np.float64]]) -> None:
        done, total, positions = step
        self.show_progress(done, total)
        self.status.value = f"Placing faces: {done} of at most {total} rounds"
        self.plane.show_places(positions, len(positions))

    def _show_map(self, found: FaceMap) -> None:
        self.found = self._known[found.method] = found
        self.plane.show_all()  # the places of another map mean nothing here
        is_plane = found.kept >= 0
        self.status.value = f"The plane keeps {found.kept:.0%} of the variance." * is_plane

    def _show_result(self, _job: Any) -> None:
        """Show the map that was found, or go back to the last one."""
        if self.found is not None:
            with self.method.changed.blocked():
                self.method.value = self.found.method
            self._faces.clear()  # they have other places
            self._painted = None
            self.update_map()

    def _find_faces(self, model: LatentFaces) -> Iterator[_Faces]:
        """Find the faces of the model, and generated and encoded ones."""
        faces: Any = self.session.faces
        weights: Any = model.weights
        pixels: Any = None if faces is None else layer_pixels(faces)
        if pixels is None or tuple(pixels.shape) != model.shape:
            pixels = LazyReconstruction(model)
        yield _Faces(model, faces, weights, pixels, _PLAIN, "face")
        for layer in self.viewer.layers:
            known = layer.metadata
            other, recipes = known.get(MODEL_KEY), known.get(RECIPES_KEY, ())
            is_beside = faces is None or known.get(FACES_KEY) == str(faces.unique_id)
            if known.get(ROLE_KEY) == ENCODED and other is not model:
                if other.components is model.components:
                    weights, pixels = other.weights, LazyReconstruction(other)
                    yield _Faces(other, layer, weights, pixels, _ENCODED, "encoded")
            elif is_beside and {len(each.weights) for each in recipes} == {model.n_components}:
                pixels, what = known[PICTURES_KEY], known[ROLE_KEY]
                if pixels.shape[1:] == model.picture_shape:
                    weights = [each.weights for each in recipes]
                    yield _Faces(recipes, layer, weights, pixels, _MADE, what)

    def _show_mix(self) -> None:
        """Draw the mixed face where its weights are."""
        mix, found = self.session.mix, self.found
        self.plane.extra = None
        if found is not None and mix is not None and mix[0] is found.model:
            components, mean = self._small
            pixels = np.tensordot(mix[1], components, 1) + mean
            picture = _bytes(pixels * found.model.scale, limits_of(self.session.faces, mix[0]))
            self.plane.extra = found.project(mix[1]), picture, QColor(*_MIXED)
        self.plane.viewport().update()

    def _resize(self) -> None:
        if self._model is not None:
            h, w = self._model.size
            self.plane.set_size(self.picture_size.value, w / h)

    def _read_pictures(self) -> None:
        self._stop_reading()
        assert self._model is not None
        missing = [face for face in self.plane.order if self.plane.pictures[face] is None]
        limits = [limits_of(each.layer, self._model) for each in self._faces]
        which = np.array(missing, np.intp)
        self._reading = QuietJob(_reading, list(self._faces), limits, which)
        self._reading.stepped.connect(self._on_read)
        self._reading.failed.connect(self._on_unreadable)
        self._reading.start()

    def _on_read(self, step: list[tuple[int, NDArray[np.uint8]]]) -> None:
        for face, picture in step:
            if face < len(self.plane.pictures):
                self.plane.pictures[face] = picture
        self.plane.viewport().update()

    def _on_unreadable(self, why: str) -> None:
        self.status.value = f"Some faces cannot be read: {why}"

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.abandon()
            self._reading = None

    # -- colours and words -----------------------------------------------------------

    def _paint(self) -> None:
        """Colour the faces by their subjects, or by their weights for a component."""
        assert self.found is not None
        model, by, component = self.found.model, self.colour.value, self.session.component
        wanted = by, component, [id(each.source) for each in self._faces]
        if wanted == self._painted:
            return
        self._painted, subjects = wanted, model.provenance.subjects
        colours = [
            np.full((len(each.weights), 3), each.colour, np.uint8) for each in self._faces
        ]
        is_plain = len(colours) == 1
        if by == "subject" and subjects:
            _, numbers = np.unique(subjects, return_inverse=True)
            colours[0], is_plain = _HUES[numbers % len(_HUES)], False
        elif by == "component" and component is not None:
            weights = model.weights[:, component].astype(np.float64)
            shares = weights / (np.abs(weights).max() or 1.0)
            roots = np.sqrt(np.abs(shares))[:, None]
            ends = np.where(shares[:, None] < 0, _ENCODED, _MIXED)
            colours[0] = np.rint(110 + (ends - 110) * roots).astype(np.uint8)
            is_plain = False
        self.plane.colours = None if is_plain else np.concatenate(colours)
        self.plane.redraw()

    def _face(self, face: int) -> tuple[_Faces, int]:
        """Return to which faces of the map one belongs, and its place among them."""
        ends = np.cumsum([len(each.weights) for each in self._faces])
        which = int(np.searchsorted(ends, face, side="right"))
        return self._faces[which], face - int(ends[which - 1] if which else 0)

    def _tell(self, face: int | None) -> None:
        self.words.value = ""
        if self._faces and face is not None:
            faces, i = self._face(face)
            known = vars(faces.source.provenance) if faces is self._faces[0] else {}
            self.words.value = face_caption(known, i) or f"{faces.what} {i}"

    def _show_menu(self, face: int | None, place: QPoint) -> None:
        pictures, more = {"map of faces": lambda: self.plane.grab().toImage()}, {}
        if face is not None and self._faces:
            (faces, i), picture = self._face(face), self.plane.pictures[face]
            what: dict[str, Any] = {"weights": np.asarray(faces.weights[i], float).tolist()}
            if faces is self._faces[0]:
                what = {"face": i}
            if picture is not None:
                pictures = {f"face {face}": lambda: as_image(picture).copy(), **pictures}
            if can_open_docks(self.viewer):
                more["Use in Mix"] = lambda: use_in_mix(self.viewer, **what)
        show_picture_menu(self, place, pictures, more)

    def _go_to(self, face: int) -> None:
        if self._faces:
            faces, i = self._face(face)
            if faces is self._faces[0]:
                self.session.go_to_face(i)
            elif faces.layer.ndim >= 3:
                go_to(self.viewer, faces.layer, i)


def _reading(
    faces: list[_Faces], limits: list[tuple[float, float]], missing: NDArray[np.intp]
) -> Generator[list[tuple[int, NDArray[np.uint8]]]]:
    """Yield small pictures and whose they are, those first that get room first."""
    ends = np.cumsum([len(each.weights) for each in faces]).tolist()
    read: list[tuple[int, NDArray[np.uint8]]] = []
    began = perf_counter()
    for each, shown, end in reversed(list(zip(faces, limits, ends, strict=True))):
        first = end - len(each.weights)
        own = missing[(missing >= first) & (missing < end)] - first
        n = _AT_ONCE // prod(each.images.shape[1:]) + 1
        for start in range(0, len(own), n):
            run = np.sort(own[start : start + n])
            pixels = _shrunk(np.asarray(each.images[run]), each.images.ndim == 4)
            read += zip((run + first).tolist(), _bytes(pixels, shown), strict=True)
            if perf_counter() - began > _PAUSE:
                yield read
                read, began = [], perf_counter()
    yield read


def _shrunk(pictures: NDArray[Any], in_colour: bool) -> NDArray[Any]:
    return shrunk(pictures, _LONGEST, in_colour=in_colour)


def _bytes(pixels: NDArray[Any], limits: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = limits
    levels = np.clip((pixels - low) * (255.0 / (high - low or 1.0)), 0, 255)
    return np.ascontiguousarray(np.nan_to_num(levels).astype(np.uint8))
