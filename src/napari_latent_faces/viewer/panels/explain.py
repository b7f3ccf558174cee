"""The panel that shows what builds the face under the slider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QComboBox, QLabel, QVBoxLayout, QWidget

from napari_latent_faces.explaining import Explainer, NearestFaces, Parts, build_up
from napari_latent_faces.tiles import shrunk
from napari_latent_faces.viewer.canvas import use_in_mix
from napari_latent_faces.viewer.jobs import FacePictures, QuietJob
from napari_latent_faces.viewer.layers import layer_pixels
from napari_latent_faces.viewer.panels.panel import Panel, timer
from napari_latent_faces.viewer.panels.pictures import (
    PictureStrip,
    Portrait,
    StripItem,
    limits_of,
)
from napari_latent_faces.viewer.window import can_open_docks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

# -- What a model tells of a face, as rows of small pictures ---------------------------

_LONGEST = 96  # pixels of a small picture's side: enough for screens with fine pixels
MEAN = -1  # stands for the mean face in the rows of components
_USERS, _NEAREST = 24, 12  # faces that are shown


@dataclass(frozen=True, eq=False)
class Explained:
    """What is prepared once for a model, and asked at every move of the slider."""

    model: LatentFaces
    explainer: Explainer
    nearest: NearestFaces
    components: NDArray[Any]  # (k, h, w) or (k, h, w, 3), in small
    mean: NDArray[Any] | None  # that they are added to, in small, if the model has one

    @classmethod
    def of(cls, model: LatentFaces) -> Explained:
        """Prepare a model; for large ones this takes a second."""
        in_colour = model.components.ndim == 4
        small = shrunk(model.components, _LONGEST, in_colour=in_colour)
        mean = model.mean
        if mean is not None:
            mean = shrunk(mean, _LONGEST, in_colour=in_colour)
        return cls(model, Explainer(model), NearestFaces(model), small, mean)

    def built(self, face: int) -> NDArray[Any]:
        """Return the small reconstruction of a face, in its own units."""
        weights = self.model.weights[face] * self.model.components.dtype.type(self.model.scale)
        picture: NDArray[Any] = np.tensordot(weights, self.components, 1)
        if self.mean is not None:
            picture += self.mean * picture.dtype.type(self.model.scale)
        return picture

    def name(self, face: int) -> str:
        """Return the name of a face, else its number."""
        names = self.model.provenance.names
        return names[face] if names else f"face {face}"

    def lines(self, face: int) -> list[str]:
        subjects = self.model.provenance.subjects
        subject = [f"subject {subjects[face]}"] if subjects else []
        return [self.name(face), *subject, f"face {face} (0 to {len(self.model.weights) - 1})"]

    def part_items(
        self, parts: Parts, face: int, limits: tuple[float, float]
    ) -> list[StripItem]:
        """Return weight x picture of each part, all brightened alike, after the mean face."""
        signed, signs = self.model.is_signed, "+\N{MINUS SIGN}"
        levels = parts.weights / (np.abs(parts.weights).max(initial=0) or 1)
        return self._mean_item(limits) + [
            StripItem(
                i,
                self.components[i] * level,
                (0, 1),
                f"#{i}\n{signs[int(level < 0)] if signed else ''}{share:.1%}",
                self.explainer.caption(i, face),
                signed,
            )
            for i, level, share in zip(
                parts.components.tolist(), levels, parts.shares.tolist(), strict=True
            )
        ]

    def sum_items(self, parts: Parts, limits: tuple[float, float]) -> list[StripItem]:
        """Return the sums of the first part, the first two, and so on, from the mean face."""
        steps = build_up(self.components[parts.components], parts.weights, self.mean)
        shown = self._of_fit(limits)
        reached = np.cumsum(parts.shares).tolist()
        return self._mean_item(limits) + [
            StripItem(i, step, shown, f"{n}\n{share:.0%}", f"the first {n}: {share:.1%}")
            for n, (i, step, share) in enumerate(
                zip(parts.components.tolist(), steps, reached, strict=True), 1
            )
        ]

    def _mean_item(self, limits: tuple[float, float]) -> list[StripItem]:
        """Return what the sums begin with, if it is not black."""
        if self.mean is None:
            return []
        hint = "the mean face, which the components are added to"
        return [StripItem(MEAN, self.mean, self._of_fit(limits), "mean\nface", hint)]

    def _of_fit(self, limits: tuple[float, float]) -> tuple[float, float]:
        """Return what is black and white in the units of the fit."""
        low, high = limits
        return low / self.model.scale, high / self.model.scale

    def face_items(
        self,
        faces: Iterable[int],
        values: Iterable[float],
        small: Callable[[int], NDArray[Any] | None],
        limits: tuple[float, float],
        what: str,
    ) -> list[StripItem]:
        """Return faces, each with a number; `what` says what the number is."""
        subjects, items = self.model.provenance.subjects, []
        for face, value in zip(faces, values, strict=True):
            seen = small(face)
            pixels = self.built(face) if seen is None else seen  # until it is known
            who = subjects[face] if subjects else self.name(face).rpartition("/")[2]
            hint = f"{self.name(face)}: {what} {value:.3g}"
            items.append(StripItem(face, pixels, limits, f"{who}\n{value:.3g}", hint))
        return items


# -- The dock widget that shows what builds the face under the slider ------------------

_NO_MODEL = (
    "Fit a model first, with Plugins > Latent faces > Latent faces, or open a model file.\n\n"
    "Then this panel shows what the face under the slider is made of, and the tiles of the "
    "gallery follow it."
)
_NO_FACE = (
    "None of the model's faces is under the slider: move it to one. If there is no slider, "
    "show the faces or their reconstruction again."
)
_PREPARING = "Looking at the model ..."
_NO_COMPONENT = "Click a part, or a tile of the gallery, to see which faces use it most."
_COUNTED = (
    "Weight x picture, all brightened alike, the largest contribution first. A component is "
    "counted if it contributes at least a tenth of an equal share."
)
_SIGNED = (
    "Weight x picture, the largest contribution first: orange adds light to the mean face, "
    "blue takes it away. The share is that of the squares of all changes. A component is "
    "counted if it contributes at least a tenth of an equal share."
)
_SUMMED = "The first component, the first two, and so on, up to the whole reconstruction."
_MEASURED = (
    "By the pictures that the model builds of them: the root of their mean squared "
    "difference, in the units of the faces."
)
_MODES = {"off": "off", "brightness": "by brightness", "border": "by a border"}


class ExplainWidget(Panel):
    """Shows what builds the face under the slider, who else uses it, and who is like it."""

    page = "what-builds-this-face"
    cancel_tip = ""

    def _lay_out(self) -> None:
        self._seen: Any = None  # what is shown: model, face, component, and how
        self._known: Explained | None = None
        self._faces: FacePictures | None = None
        self._preparing: QuietJob | None = None
        self._users_of: int | None = None  # component whose users are known
        self._users: tuple[list[int], list[float]] = [], []
        # many moves of a dragged slider become one update: they never queue up
        self._soon = timer(self, self.update_face)
        self._make_views()
        self._follow_viewer()
        self.session.follow_by("brightness")
        self._tell(_NO_MODEL)

    def _make_views(self) -> None:
        self.portrait = Portrait()
        self.follow = QComboBox()
        self.follow.setToolTip("How the tiles of the gallery show the weights of this face.")
        narrow = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        self.follow.setSizeAdjustPolicy(narrow)
        for mode, words in _MODES.items():
            self.follow.addItem(words, mode)
        self.parts = PictureStrip("components of this face", has_bar=False)
        self.sums = PictureStrip("sum of the components, step by step")
        self.nearest = PictureStrip("nearest faces")
        self.users = PictureStrip("faces that use the component most")
        self.parts_title = _title("", _COUNTED)
        self.users_title = _title(_NO_COMPONENT)
        self.face_page = QWidget()
        column = QVBoxLayout(self.face_page)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.portrait)
        for title, strip in (
            (self.parts_title, self.parts),
            (_title("Their sum, step by step", _SUMMED), self.sums),
            (_title("Nearest faces, and how much they differ", _MEASURED), self.nearest),
            (self.users_title, self.users),
        ):
            column.addWidget(title)
            column.addWidget(strip)
        self.add_controls(QLabel("Gallery follows"), self.follow)
        self.add(self.face_page)

    # -- wiring ----------------------------------------------------------------

    def _follow_viewer(self) -> None:
        session = self.session
        self.at_end(lambda: session.follow_by("off"))  # its switch is gone
        self.at_end(self._drop_model)
        self.follow.activated.connect(self._on_mode_chosen)
        for strip in (self.parts, self.sums):
            strip.picked.connect(self._pick_component)
            strip.menu_wanted.connect(self._offer_component)
        for strip in (self.users, self.nearest):
            strip.picked.connect(session.go_to_face)
            strip.menu_wanted.connect(self._offer_face)
        one, other = self.parts.scroll_bar, self.sums.scroll_bar
        one.valueChanged.connect(other.setValue)  # a part stays above its sum
        other.valueChanged.connect(one.setValue)

    def _pick_component(self, key: int) -> None:
        self.session.select_component(None if key == MEAN else key)

    def _offer_component(self, key: int, more: dict[str, Callable[[], object]]) -> None:
        if key != MEAN and can_open_docks(self.viewer):
            more["Use in Mix"] = lambda: use_in_mix(self.viewer, component=key)

    def _offer_face(self, key: int, more: dict[str, Callable[[], object]]) -> None:
        more["Go to this face"] = lambda: self.session.go_to_face(key)
        if can_open_docks(self.viewer):
            more["Use in Mix"] = lambda: use_in_mix(self.viewer, face=key)

    def _on_mode_chosen(self, row: int) -> None:
        self.session.follow_by(self.follow.itemData(row))

    def synchronize(self) -> None:
        super().synchronize()
        session, before = self.session, self._seen or (None, None, None, None)
        self.follow.setCurrentIndex(self.follow.findData(session.mode))
        model, layer = session.model, session.faces
        look = None if layer is None else (id(layer_pixels(layer)), *layer.contrast_limits)
        self._seen = model, session.face, session.component, look
        if model is not before[0]:
            self._on_model(model)
        elif session.component != before[2]:
            self._on_component()
        elif self._seen[1:] != before[1:] and not self._soon.isActive():
            self._soon.start()  # not again: else it would wait for a slider that never rests

    # -- the model -------------------------------------------------------------

    def _on_model(self, model: LatentFaces | None) -> None:
        self._drop_model()
        self._tell(_NO_MODEL if model is None else _PREPARING)
        if model is None:
            return
        self._preparing = QuietJob(Explained.of, model)
        self._preparing.returned.connect(self._on_prepared)
        self._preparing.failed.connect(self._tell)
        self._preparing.start()

    def _on_prepared(self, known: Explained) -> None:
        self._known = known
        self.update_face()

    def _drop_model(self) -> None:
        if self._preparing is not None:
            self._preparing.abandon()
        if self._faces is not None:
            self._faces.close()
        self._known = self._faces = self._preparing = self._users_of = None

    def _tell(self, words: str) -> None:
        """Say why no face is shown, or show one if there is nothing to say."""
        self.status.value = words
        self.status.visible = bool(words)
        self.face_page.setVisible(not words)

    # -- the face --------------------------------------------------------------

    def update_face(self) -> None:
        known, face = self._known, self.session.face
        if known is None:
            return
        if face is None:
            self._tell(_NO_FACE)
            return
        self._tell("")
        faces, limits = self._look_for_faces(known), limits_of(self.session.faces, known.model)
        found, distances = known.nearest.find(known.model.weights[face], _NEAREST, exclude=face)
        near = found.tolist(), distances.tolist()
        self._find_users(known)
        faces.want(face, [*near[0], *self._users[0]])  # those in memory are there now
        self._show_portrait(known, faces, face)
        self._show_parts(known, known.explainer.parts(face), face, limits)
        self.nearest.put(known.face_items(*near, faces.small, limits, "differs by"))
        self.users.put(known.face_items(*self._users, faces.small, limits, "weight"))
        self.parts.mark(self.session.component)
        self.sums.mark(self.session.component)
        self.users.mark(face)

    def _show_portrait(self, known: Explained, faces: FacePictures, face: int) -> None:
        limits = limits_of(self.session.faces, known.model)
        self.portrait.show_pictures(faces.small(face), known.built(face), limits)
        error = faces.error(face)
        none = "..." if faces.are_known else "unknown without the faces"
        words = f"relative error {none if error is None else format(error, '.4f')}"
        self.portrait.show_words([*known.lines(face), words])

    def _show_parts(
        self, known: Explained, parts: Parts, face: int, limits: tuple[float, float]
    ) -> None:
        few = len(parts) - parts.used
        traces = f" and traces of {few} more" if few else ""
        mean = "" if known.mean is None else "the mean face and "
        self.parts_title.setText(f"Made of {mean}{parts.used} components{traces}")
        self.parts_title.setToolTip(_SIGNED if known.model.is_signed else _COUNTED)
        self.parts.put(known.part_items(parts, face, limits))
        self.sums.put(known.sum_items(parts, limits))

    def _on_component(self) -> None:
        if self._known is not None and self.session.face is not None:
            self.update_face()

    def _find_users(self, known: Explained) -> None:
        """Find who uses the chosen component most; the face makes no difference."""
        component = self.session.component
        self.users.setVisible(component is not None)
        if component is None:
            self.users_title.setText(_NO_COMPONENT)
            self._users = [], []
        elif component != self._users_of:
            words = known.explainer.caption(component).replace("  |  ", ", ")
            self.users_title.setText(f"C{words[1:]}, most by:")
            faces, weights = known.explainer.users(component, _USERS)
            self._users = faces.tolist(), weights.tolist()
        self._users_of = component

    def _look_for_faces(self, known: Explained) -> FacePictures:
        """Return the pictures of the faces, new ones if they are in another layer now."""
        layer = self.session.faces
        images = None if layer is None else layer_pixels(layer)
        if self._faces is None or self._faces.images is not images:
            if self._faces is not None:
                self._faces.close()
            self._faces = FacePictures(known.model, images, _LONGEST)
            self._faces.arrived.connect(self._on_read)
            self._faces.failed.connect(self._on_unreadable)
        return self._faces

    def _on_read(self, face: int) -> None:
        if self._known is None or self._faces is None:
            return
        small = self._faces.small(face)
        if small is not None:
            self.nearest.put_pixels(face, small)
            self.users.put_pixels(face, small)
        if face == self.session.face:
            self._show_portrait(self._known, self._faces, face)

    def _on_unreadable(self, why: str) -> None:
        self.portrait.show_words(["This face cannot be read:", why])


def _title(words: str, hint: str = "") -> QLabel:
    title = QLabel(words)
    title.setWordWrap(True)
    title.setToolTip(hint)
    return title
