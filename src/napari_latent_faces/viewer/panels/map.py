"""The panel that shows all faces of a model as a map."""

from __future__ import annotations

from colorsys import hsv_to_rgb
from math import prod
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from magicgui.widgets import ComboBox, Label
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QSizePolicy

from napari_latent_faces.encoding import LazyReconstruction
from napari_latent_faces.explaining import FaceMap, iter_map_faces, small_model
from napari_latent_faces.tiles import shrunk
from napari_latent_faces.viewer import canvas, layers
from napari_latent_faces.viewer.jobs import Job, Latest
from napari_latent_faces.viewer.panels.form import NO_MODEL, button, form_of
from napari_latent_faces.viewer.panels.panel import Panel, timer
from napari_latent_faces.viewer.panels.pictures import limits_of
from napari_latent_faces.viewer.panels.plots import FacePlane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from qtpy.QtCore import QPoint

    from napari_latent_faces.model import LatentFaces

    Read = list[tuple[int, NDArray[np.uint8]]]  # faces, and small pictures of them
    # images, what is black and white in them, which faces are wanted, and the first of all
    Part = tuple[Any, tuple[float, float], NDArray[np.intp], int]

_LONGEST = 64  # pixels of a small picture's side
_PLACES = ("principal components", "pca"), ("t-SNE", "tsne"), ("distances (MDS)", "mds")
_COLOURS = ("subject", "subject"), ("chosen component", "component"), ("nothing", "")
# in pixels on the screen
_SIZES = ("small", 20), ("medium", 32), ("large", 64), ("very large", 110)
_PLAIN = 150, 150, 150
_MIXED, _MADE, _ENCODED = (255, 140, 0), (40, 190, 120), (70, 150, 255)
_AT_ONCE = 2**18  # values that are read at once: they fit into a cache
_PAUSE = 0.04  # seconds of reading until pictures are handed over
_HUES = [  # neighbours in the list are far apart
    hsv_to_rgb(i * 0.618034 % 1, 0.9 - 0.35 * (i % 2), 0.95 - 0.25 * (i % 3 == 2))
    for i in range(360)
]


class _Faces(NamedTuple):
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
        self._small: LatentFaces | None = None
        self._known: dict[str, FaceMap] = {}  # by method, of this model
        self._faces: list[_Faces] = []  # those of the model first
        self._shown: list[int] = []  # what is on the map ...
        self._look: Any = None  # ... and in which colours
        tip = "At once by principal components; t-SNE keeps neighbours together, MDS distances."
        self.method = ComboBox(label="Place by", choices=_PLACES, tooltip=tip)
        tip = "What the colours of frames and dots tell."
        self.colour = ComboBox(label="Colour by", choices=_COLOURS, tooltip=tip)
        tip = "How large the pictures are: larger ones leave more faces as dots."
        self.picture_size = ComboBox(value=32, label="Pictures", choices=_SIZES, tooltip=tip)
        self.plane, self.words = FacePlane("Map of faces"), Label(value="")
        self.whole_button = button(
            "Show all", "Show the whole map (Home).", self.plane.show_all
        )
        line = self.words.native  # of one height, so that the map does not jump
        line.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        fields = form_of([self.method, self.colour, self.picture_size])
        self.add(fields, self.plane, self.words)
        self.add_controls(self.whole_button)
        self._reading = Latest(stepped=self._take_pictures, failed=self._complain)
        self._soon = timer(self, self.update_map)  # many changes at once become one update
        self.method.changed.connect(self._place)
        self.colour.changed.connect(self.update_map)
        self.picture_size.changed.connect(self._resize)
        self.plane.clicked.connect(self._go_to)
        self.plane.hovered.connect(self._tell)
        self.plane.menu_wanted.connect(self._show_menu)
        self.at_end(self._reading.stop)

    def _what_is_missing(self) -> str:
        return NO_MODEL if self.session.model is None else ""

    def synchronize(self) -> None:
        super().synchronize()
        self.plane.mark(self.session.face)
        self._soon.start()

    def update_map(self) -> None:
        """Look whether there is another model, other faces, colours or another mixed face."""
        if self.session.model is not self._model:
            self._take_model(self.session.model)
        found = self.found
        if found is None or self.is_working:
            return
        faces = list(self._find_faces(found.model))
        shown = [id(each.source) for each in faces]
        if shown != self._shown:
            self._faces, self._shown, n = faces, shown, len(found.positions)
            del self.plane.pictures[n:]
            placed = [found.project(each.weights) for each in faces[1:]]
            self.plane.show_places(np.concatenate([found.positions, *placed]), n)
            self._read_pictures(found.model)
        look = shown, self.colour.value, self.session.component
        if look != self._look:
            self._look = look
            self.plane.colours = self._colours(found.model)
            self.plane.redraw()
        self._show_mix()

    def _take_model(self, model: LatentFaces | None) -> None:
        self._reading.stop()
        self.found, self._known, self._faces, self._model = None, {}, [], model
        self._small = None if model is None else small_model(model, _LONGEST)
        self._shown, self._look, self.plane.extra, self.words.value = [], None, None, ""
        self.plane.pictures.clear()
        self.plane.show_places(np.empty((0, 2)), 0)
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
            job = Job(iter_map_faces, model, method).then(self._show_map)
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
        if self.found is not None:
            with self.method.changed.blocked():
                self.method.value = self.found.method
            self._shown, self._look = [], None  # all have other places
            self.update_map()

    def _find_faces(self, model: LatentFaces) -> Iterator[_Faces]:
        faces: Any = self.session.faces
        pixels: Any = None if faces is None else layers.layer_pixels(faces)
        if pixels is None or tuple(pixels.shape) != model.shape:
            pixels = LazyReconstruction(model)
        yield _Faces(model, faces, model.weights, pixels, _PLAIN, "face")
        for layer in self.viewer.layers:
            known = layer.metadata
            other, recipes = known.get(layers.MODEL_KEY), known.get(layers.RECIPES_KEY, ())
            key, role = known.get(layers.FACES_KEY), known.get(layers.ROLE_KEY)
            if role == layers.ENCODED and other is not model:
                if other.components is model.components:
                    pixels = LazyReconstruction(other)
                    yield _Faces(other, layer, other.weights, pixels, _ENCODED, "encoded")
            elif faces is None or key == str(faces.unique_id):
                pixels = known.get(layers.PICTURES_KEY)
                weights = [each.weights for each in recipes]
                fits = {len(each) for each in weights} == {model.n_components}
                if fits and pixels.shape[1:] == model.picture_shape:
                    yield _Faces(recipes, layer, weights, pixels, _MADE, role)

    def _show_mix(self) -> None:
        mix, found = self.session.mix, self.found
        self.plane.extra = None
        if found is not None and self._small is not None and mix and mix[0] is found.model:
            limits = limits_of(self.session.faces, found.model)
            picture = canvas.to_bytes(self._small.blend(mix[1]), limits)
            self.plane.extra = found.project(mix[1]), picture, QColor(*_MIXED)
        self.plane.viewport().update()

    def _resize(self) -> None:
        if self._model is not None:
            h, w = self._model.size
            self.plane.set_size(self.picture_size.value, w / h)

    def _read_pictures(self, model: LatentFaces) -> None:
        """Read the pictures that are missing, those first that get room first."""
        pictures = self.plane.pictures
        missing = np.array([i for i in self.plane.order if pictures[i] is None], np.intp)
        parts: list[Part] = []
        first = 0
        for each in self._faces:
            last = first + len(each.weights)
            own = missing[(missing >= first) & (missing < last)]
            parts.insert(0, (each.images, limits_of(each.layer, model), own, first))
            first = last
        self._reading.start(_read, parts)

    def _take_pictures(self, read: Read) -> None:
        for face, picture in read:
            if face < len(self.plane.pictures):
                self.plane.pictures[face] = picture
        self.plane.viewport().update()

    def _complain(self, why: str) -> None:
        self.status.value = f"Some faces cannot be read: {why}"

    def _colours(self, model: LatentFaces) -> NDArray[np.uint8] | None:
        """Return colours by subjects, or by weights for a component; None if all are alike."""
        by, component = self.colour.value, self.session.component
        colours: list[Any] = [
            np.tile(each.colour, (len(each.weights), 1)) for each in self._faces
        ]
        is_plain, subjects = len(colours) == 1, model.provenance.subjects
        if by == "subject" and subjects:
            _, numbers = np.unique(subjects, return_inverse=True)
            colours[0], is_plain = 255 * np.array(_HUES)[numbers % len(_HUES)], False
        elif by == "component" and component is not None:
            weights = model.weights[:, component, None].astype(np.float64)
            shares = weights / (np.abs(weights).max() or 1.0)
            ends = np.where(shares < 0, _ENCODED, _MIXED)
            colours[0], is_plain = 110 + (ends - 110) * np.sqrt(np.abs(shares)), False
        return None if is_plain else np.rint(np.concatenate(colours)).astype(np.uint8)

    def _face(self, face: int) -> tuple[_Faces, int]:
        """Return to which faces of the map one belongs, and its place among them."""
        for each in self._faces[:-1]:
            if face < len(each.weights):
                return each, face
            face -= len(each.weights)
        return self._faces[-1], face

    def _tell(self, face: int | None) -> None:
        self.words.value = ""
        if self._faces and face is not None:
            faces, i = self._face(face)
            known = vars(faces.source.provenance) if faces is self._faces[0] else {}
            self.words.value = layers.face_caption(known, i) or f"{faces.what} {i}"

    def _show_menu(self, face: int | None, place: QPoint) -> None:
        pictures, more = {"map of faces": lambda: self.plane.grab().toImage()}, {}
        if face is not None and self._faces:
            (faces, i), picture = self._face(face), self.plane.pictures[face]
            what: dict[str, Any] = {"weights": np.asarray(faces.weights[i], float).tolist()}
            if faces is self._faces[0]:
                what = {"face": i}
            if picture is not None:
                pictures = {f"face {face}": lambda: canvas.as_image(picture), **pictures}
            more["Use in Mix"] = lambda: canvas.use_in_mix(self.viewer, **what)
        canvas.show_picture_menu(self, place, pictures, more)

    def _go_to(self, face: int) -> None:
        if self._faces:
            faces, i = self._face(face)
            if faces is self._faces[0]:
                self.session.go_to_face(i)
            elif faces.layer.ndim >= 3:
                canvas.go_to(self.viewer, faces.layer, i)


def _read(parts: list[Part]) -> Iterator[Read]:
    read: Read = []
    began = perf_counter()
    for images, limits, faces, first in parts:
        n = _AT_ONCE // prod(images.shape[1:]) + 1
        for start in range(0, len(faces), n):
            run = np.sort(faces[start : start + n])
            pixels = np.asarray(images[run - first])
            small = shrunk(pixels, _LONGEST, in_colour=pixels.ndim == 4)
            read += zip(run.tolist(), canvas.to_bytes(small, limits), strict=True)
            if perf_counter() - began > _PAUSE:
                yield read
                read, began = [], perf_counter()
    yield read
