"""The panels of what models know: what builds a face, and two models side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QComboBox, QHeaderView, QLabel, QVBoxLayout, QWidget

from napari_latent_faces.explaining import (
    Explainer,
    NearestFaces,
    build_up,
    face_error,
    iter_compare,
)
from napari_latent_faces.tiles import shrunk
from napari_latent_faces.viewer.canvas import component_pixmap, use_in_mix
from napari_latent_faces.viewer.jobs import QuietJob
from napari_latent_faces.viewer.layers import MODEL_KEY, layer_pixels
from napari_latent_faces.viewer.panels.form import ModelChoice, form_of
from napari_latent_faces.viewer.panels.panel import Panel, timer
from napari_latent_faces.viewer.panels.pictures import (
    Column,
    PictureStrip,
    Portrait,
    StripItem,
    Table,
    limits_of,
)
from napari_latent_faces.viewer.window import can_open_docks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_latent_faces.explaining import Comparison
    from napari_latent_faces.model import LatentFaces

    Limits = tuple[float, float]

# -- What a model tells of a face, as rows of small pictures -------------------------------

_LONGEST = 96  # pixels of a small picture's side: enough for screens with fine pixels
MEAN = -1  # stands for the mean face in the rows of components
_USERS, _NEAREST = 24, 12  # faces that are shown
_QUIET = 150  # milliseconds without another wish until faces are read from a disk
_MOST = 4096  # small pictures that are remembered


class FacePictures:
    """Small pictures of the faces behind a model, and errors; None until one was read."""

    def __init__(self, model: LatentFaces, images: Any) -> None:
        self.images = images
        self.are_known = images is not None and tuple(images.shape) == model.shape
        self._small: dict[int, NDArray[Any]] = {}
        self._errors: dict[int, float] = {}
        self.small, self.error = self._small.get, self._errors.get
        self._model, self._wanted = model, list[int]()

    def want(self, wanted: list[int]) -> bool:
        """Ask for other faces, the current one first; tell whether they wait for `read`."""
        is_new, self._wanted = wanted != self._wanted, wanted
        if isinstance(self.images, np.ndarray) and not isinstance(self.images, np.memmap):
            for found in self.read():
                self.take(*found)
        return is_new and bool(self._missing())

    def read(self) -> Iterator[tuple[int, NDArray[Any]]]:
        for face in self._missing():
            yield face, np.asarray(self.images[face])

    def take(self, face: int, pixels: NDArray[Any]) -> None:
        self._small[face] = shrunk(pixels, _LONGEST, in_colour=pixels.ndim == 3)
        if face == self._wanted[0]:  # of the others nobody asks, and it costs some time
            self._errors[face] = face_error(self._model, face, pixels)

    def _missing(self) -> list[int]:
        if not self.are_known:
            return []
        if len(self._small) > _MOST:
            self._small.clear()
        current, *others = self._wanted
        missing = [] if current in self._errors else [current]
        return list(dict.fromkeys(missing + [f for f in others if f not in self._small]))


class Explained:
    """What is prepared once for a model, and asked at every move of the slider."""

    def __init__(self, model: LatentFaces) -> None:
        in_colour = model.components.ndim == 4
        mean = model.mean
        self.model, self.explainer, self.nearest = model, Explainer(model), NearestFaces(model)
        # in small, (k, h, w) or (k, h, w, 3), and what they are added to
        self.components = shrunk(model.components, _LONGEST, in_colour=in_colour)
        self.mean = None if mean is None else shrunk(mean, _LONGEST, in_colour=in_colour)

    def built(self, face: int) -> NDArray[Any]:
        """Return the small reconstruction of a face, in its own units."""
        picture: NDArray[Any] = np.tensordot(self.model.weights[face], self.components, 1)
        if self.mean is not None:
            picture += self.mean
        picture *= self.model.scale
        return picture

    def name(self, face: int) -> str:
        """Return the name of a face, else its number."""
        names = self.model.provenance.names
        return names[face] if names else f"face {face}"

    def lines(self, face: int) -> list[str]:
        subjects = self.model.provenance.subjects
        subject = [f"subject {subjects[face]}"] if subjects else []
        return [self.name(face), *subject, f"face {face} (0 to {len(self.model.weights) - 1})"]

    def parts(self, face: int, limits: Limits) -> tuple[str, list[StripItem], list[StripItem]]:
        """Say what builds a face; return its parts, and their sums up to each of them.

        A part is weight x picture, all brightened alike; both begin with the mean face, if
        there is one, which is not black.
        """
        parts, is_signed = self.explainer.parts(face), self.model.is_signed
        few = len(parts) - parts.used
        mean = "" if self.mean is None else "the mean face and "
        traces = f" and traces of {few} more" if few else ""
        title = f"Made of {mean}{parts.used} components{traces}"
        low, high = limits
        shown = low / self.model.scale, high / self.model.scale  # in the units of the fit
        levels = parts.weights / (np.abs(parts.weights).max(initial=0) or 1)
        sums = build_up(self.components[parts.components], parts.weights, self.mean)
        hint = "the mean face, which the components are added to"
        items = [
            [] if self.mean is None else [StripItem(MEAN, self.mean, shown, "mean\nface", hint)]
            for _ in range(2)
        ]
        reached = np.cumsum(parts.shares)
        for n, i in enumerate(parts.components.tolist()):
            sign = ("+", "\N{MINUS SIGN}")[int(levels[n] < 0)] if is_signed else ""
            words = f"#{i}\n{sign}{parts.shares[n]:.1%}"
            part, hint = self.components[i] * levels[n], self.explainer.caption(i, face)
            items[0].append(StripItem(i, part, (0, 1), words, hint, is_signed))
            words = f"{n + 1}\n{reached[n]:.0%}"
            hint = f"the first {n + 1}: {reached[n]:.1%}"
            items[1].append(StripItem(i, sums[n], shown, words, hint))
        return title, items[0], items[1]

    def faces(
        self, found: tuple[Any, Any], pictures: FacePictures, limits: Limits, what: str
    ) -> list[StripItem]:
        """Return faces, each with a number; `what` says what the number is."""
        subjects, items = self.model.provenance.subjects, []
        for face, value in zip(*(each.tolist() for each in found), strict=True):
            seen = pictures.small(face)
            pixels = self.built(face) if seen is None else seen  # until it is known
            who = subjects[face] if subjects else self.name(face).rpartition("/")[2]
            hint = f"{self.name(face)}: {what} {value:.3g}"
            items.append(StripItem(face, pixels, limits, f"{who}\n{value:.3g}", hint))
        return items


# -- The dock widget -----------------------------------------------------------------------

_NONE = (
    "Fit a model first, with Plugins > Latent faces > Latent faces, or open a model file.\n\n"
    "Then this panel shows what the face under the slider is made of, and the tiles of the "
    "gallery follow it."
)
_NO_FACE = (
    "None of the model's faces is under the slider: move it to one. If there is no slider, "
    "show the faces or their reconstruction again."
)
_NO_COMPONENT = "Click a part, or a tile of the gallery, to see which faces use it most."
_COUNTED = " A component is counted if it contributes at least a tenth of an equal share."
_POSITIVE = f"Weight x picture, all brightened alike, the largest contribution first.{_COUNTED}"
_SIGNED = (
    "Weight x picture, the largest contribution first: orange adds light to the mean face, "
    f"blue takes it away. The share is that of the squares of all changes.{_COUNTED}"
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
        self._model: Any = ""  # that was looked at; at first not even none
        self._seen: Any = None  # what is shown: model, face, component, and how
        self._known: Explained | None = None
        self._preparing: QuietJob | None = None
        self._reading: QuietJob | None = None  # pictures, when the slider has come to rest
        self._pictures: FacePictures | None = None
        self._why_unread = ""
        self.portrait, self.follow = Portrait(("face", "built")), QComboBox()
        self.follow.setToolTip("How the tiles of the gallery show the weights of this face.")
        narrow = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        self.follow.setSizeAdjustPolicy(narrow)
        for mode, words in _MODES.items():
            self.follow.addItem(words, mode)
        self.parts = PictureStrip("components of this face", has_bar=False)
        self.sums = PictureStrip("sum of the components, step by step")
        self.nearest = PictureStrip("nearest faces")
        self.users = PictureStrip("faces that use the component most")
        self.face_page = QWidget()
        column = QVBoxLayout(self.face_page)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.portrait)
        self.parts_title, self.users_title = QLabel(), QLabel()
        for title, hint, strip in (
            (self.parts_title, "", self.parts),
            (QLabel("Their sum, step by step"), _SUMMED, self.sums),
            (QLabel("Nearest faces, and how much they differ"), _MEASURED, self.nearest),
            (self.users_title, "", self.users),
        ):
            title.setWordWrap(True)
            title.setToolTip(hint)
            column.addWidget(title)
            column.addWidget(strip)
        self.add_controls(QLabel("Gallery follows"), self.follow)
        self.add(self.face_page)
        # many moves of a dragged slider become one update: they never queue up
        self._soon = timer(self, self.update_face)
        self._quiet = timer(self, self._read_pictures, _QUIET)

    def _connect(self) -> None:
        session = self.session
        self.at_end(lambda: session.follow_by("off"))  # once this panel hears it no more
        self.at_end(self._drop_model)
        super()._connect()
        self.follow.activated.connect(lambda row: session.follow_by(self.follow.itemData(row)))
        for strip in (self.parts, self.sums):
            strip.picked.connect(
                lambda key: session.select_component(None if key == MEAN else key)
            )
            strip.menu_wanted.connect(self._offer_component)
        for strip in (self.users, self.nearest):
            strip.picked.connect(session.go_to_face)
            strip.menu_wanted.connect(self._offer_face)
        one, other = self.parts.scroll_bar, self.sums.scroll_bar
        one.valueChanged.connect(other.setValue)  # a part stays above its sum
        other.valueChanged.connect(one.setValue)
        session.follow_by("brightness")
        self.update_face()

    def _offer_component(self, key: int, more: dict[str, Callable[[], object]]) -> None:
        if key != MEAN and can_open_docks(self.viewer):
            more["Use in Mix"] = lambda: use_in_mix(self.viewer, component=key)

    def _offer_face(self, key: int, more: dict[str, Callable[[], object]]) -> None:
        more["Go to this face"] = lambda: self.session.go_to_face(key)
        if can_open_docks(self.viewer):
            more["Use in Mix"] = lambda: use_in_mix(self.viewer, face=key)

    def synchronize(self) -> None:
        super().synchronize()
        session, layer = self.session, self.session.faces
        self.follow.setCurrentIndex(self.follow.findData(session.mode))
        look = None if layer is None else (id(layer_pixels(layer)), *layer.contrast_limits)
        seen = id(session.model), session.face, session.component, look
        if seen != self._seen:
            self._seen = seen
            if not self._soon.isActive():  # else it would wait for a slider that never rests
                self._soon.start()

    # -- what is shown -----------------------------------------------------------

    def _tell(self, words: str) -> None:
        """Say why no face is shown, or show one if there is nothing to say."""
        self.status.value = words
        self.status.visible = bool(words)
        self.face_page.setVisible(not words)

    def update_face(self) -> None:
        """Show the face under the slider, once its model is prepared."""
        model, face, component = self.session.model, self.session.face, self.session.component
        if model is not self._model:
            self._prepare(model)
        known = self._known
        if known is None:
            return
        self._tell(_NO_FACE if face is None else "")
        if face is None:
            return
        layer, users = self.session.faces, (np.arange(0), np.arange(0))
        near = known.nearest.find(known.model.weights[face], _NEAREST, exclude=face)
        words = _NO_COMPONENT
        if component is not None:
            users = known.explainer.users(component, _USERS)
            words = known.explainer.caption(component).replace("  |  ", ", ")
            words = f"C{words[1:]}, most by:"
        pictures, limits = self._look_for_pictures(known.model), limits_of(layer, known.model)
        if pictures.want([face, *near[0].tolist(), *users[0].tolist()]):
            self._quiet.start()
        self.portrait.show_pictures(pictures.small(face), known.built(face), limits)
        error = pictures.error(face)
        none = "..." if pictures.are_known else "unknown without the faces"
        told = f"relative error {none if error is None else format(error, '.4f')}"
        if error is None and self._why_unread:
            told = f"This face cannot be read: {self._why_unread}"
        self.portrait.show_words([*known.lines(face), told])
        title, parts, sums = known.parts(face, limits)
        self.parts_title.setText(title)
        self.parts_title.setToolTip(_SIGNED if known.model.is_signed else _POSITIVE)
        self.users_title.setText(words)
        self.users.setVisible(component is not None)
        self.parts.put(parts, component)
        self.sums.put(sums, component)
        self.nearest.put(known.faces(near, pictures, limits, "differs by"))
        self.users.put(known.faces(users, pictures, limits, "weight"), face)

    # -- the model and its faces ---------------------------------------------------

    def _prepare(self, model: LatentFaces | None) -> None:
        """Look at another model in a thread; for large ones this takes a second."""
        self._drop_model()
        self._model = model
        self._tell(_NONE if model is None else "Looking at the model ...")
        if model is not None:
            self._preparing = QuietJob(Explained, model)
            self._preparing.returned.connect(self._on_prepared)
            self._preparing.failed.connect(self._tell)
            self._preparing.start()

    def _on_prepared(self, known: Explained) -> None:
        self._known = known
        self.update_face()

    def _drop_model(self) -> None:
        if self._preparing is not None:
            self._preparing.abandon()
        self._stop_reading()
        self._known = self._pictures = self._preparing = None

    # -- pictures of the faces, read in a thread if they are not in memory -----------

    def _look_for_pictures(self, model: LatentFaces) -> FacePictures:
        """Return the pictures of the faces, new ones if they are in another layer now."""
        layer, before = self.session.faces, self._pictures
        images = None if layer is None else layer_pixels(layer)
        if before is not None and before.images is images:
            return before
        self._stop_reading()
        self._why_unread = ""
        found = self._pictures = FacePictures(model, images)
        return found

    def _read_pictures(self) -> None:
        pictures = self._pictures
        self._stop_reading()
        if pictures is not None:
            self._reading = QuietJob(pictures.read)
            self._reading.stepped.connect(self._on_read)
            self._reading.failed.connect(self._on_unreadable)
            self._reading.start()

    def _stop_reading(self) -> None:
        self._quiet.stop()
        if self._reading is not None:
            self._reading.abandon()
            self._reading = None

    def _on_read(self, found: tuple[int, NDArray[Any]]) -> None:
        if self._pictures is not None:
            self._pictures.take(*found)
            self._soon.start()

    def _on_unreadable(self, why: str) -> None:
        self._why_unread = why
        self._soon.start()


# -- Two models side by side ---------------------------------------------------------------

_NO_MODELS = (
    "Two models of the same faces are compared here. Fit them with two methods, or with "
    "Update earlier results off (under Advanced), or open their files."
)
_ALONE = -1  # in place of a partner, and of a similarity


class _Comparing(QuietJob):
    cancelled = "Cancelled. Choose a model to compare again."
    failure = "Nothing to compare"


class CompareWidget(Panel):
    """Shows the components of two models in pairs, the most similar first."""

    page = "compare-models"
    cancel_tip = "End the comparison (Esc)."

    def _lay_out(self) -> None:
        self._comparing: tuple[Any, ...] = ()  # models
        self._wanted: tuple[Any, ...] = ()  # those that are compared, or will soon be
        # models in the table, and the components of either by row
        self._sides: list[tuple[LatentFaces, NDArray[np.intp]]] = []
        self._soon = timer(self, self._compare)
        self.left, self.right = (
            ModelChoice(self.viewer, self.run, side, follows=False)
            for side in ("Left", "Right")
        )
        self.table = Table("Click a picture to choose this component in all panels.", 72)
        self.table.hide()
        self.add(form_of([self.left, self.right]))
        self.add_controls()
        self.add(self.table, 1)
        self.left.chosen.connect(self._on_left)
        self.right.chosen.connect(self._on_right)
        for side in (self.left, self.right):
            side.combo.native.activated.connect(self._compare_again)
        self.table.chosen.connect(self._choose)

    @property
    def models(self) -> tuple[LatentFaces | None, LatentFaces | None]:
        return self.left.model, self.right.model

    def _what_is_missing(self) -> str:
        left, right = self.models
        return _NO_MODELS if left is right else ""

    def synchronize(self) -> None:
        self.left.reset_choices()
        self.right.reset_choices()
        is_newest = self.left.model in self.left.combo.choices[-1:]
        self._tell_apart(self.left if is_newest else self.right)
        super().synchronize()
        self._show_component()

    def _on_left(self) -> None:
        self._tell_apart(self.right)

    def _on_right(self) -> None:
        self._tell_apart(self.left)

    def _tell_apart(self, side: ModelChoice) -> None:
        """Have a side offer another model if both have the same, and compare what is new."""
        left, right = self.models
        others = [each for each in side.combo.choices if each not in (None, left)]
        if left is right and others:
            side.combo.value = others[-1]
        elif [*map(id, self.models)] != [*map(id, self._wanted)]:
            self._wanted = self.models
            self._soon.start()  # what opens a file has to end before

    def _compare_again(self) -> None:
        """Compare models that are chosen anew, after their comparison was cancelled."""
        if not self.is_working and self.table.isHidden():
            self._soon.start()

    def _compare(self) -> None:
        self._abandon()
        self.table.hide()
        self._sides = []
        if not self._what_is_missing():
            self._comparing = self.models
            job = _Comparing(iter_compare, *self.models)
            job.returned.connect(self._show_comparison)
            self.run(job, "Comparing ...")
        self.synchronize()

    def _show_step(self, step: Any) -> None:
        self.show_progress(*step)

    def _show_comparison(self, found: Comparison) -> None:
        self.status.value = found.summary()
        pairs, unmatched = found.matching.pairs, found.matching.unmatched
        alone = [np.full(len(each), _ALONE) for each in unmatched]
        left = np.concatenate([pairs[:, 0], unmatched[0], alone[1]])
        right = np.concatenate([pairs[:, 1], alone[0], unmatched[1]])
        alike = np.concatenate([found.matching.similarity, *alone])
        self._sides = list(zip(self._comparing, (left, right), strict=True))
        self.table.put(
            len(alike),
            _components("Left", *self._sides[0]),
            _components("Right", *self._sides[1]),
            Column(lambda row: _or_dash(alike[row], ".3f"), "Similarity", alike),
        )
        heads: Any = self.table.horizontalHeader()
        heads.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.show()
        self._show_component()

    # -- components --------------------------------------------------------------

    def _choose(self, row: int, column: int) -> None:
        """Choose the component that was clicked, and its model, in all panels."""
        is_right = column == 1 or self._sides[0][1][row] == _ALONE
        model, numbers = self._sides[int(is_right)]
        component = int(numbers[row])
        layers = [each for each in self.viewer.layers if each.metadata.get(MODEL_KEY) is model]
        if component == _ALONE or not layers:
            return
        if self.session.model is not model:
            self.viewer.layers.selection.active = layers[-1]
        if self.session.model is model:
            self.session.select_component(component)

    def _show_component(self) -> None:
        """Mark the row of the component that the panels are about."""
        rows = [
            int(np.flatnonzero(numbers == self.session.component)[0])
            for model, numbers in self._sides
            if model is self.session.model and self.session.component is not None
        ]
        self.table.mark(rows[0] if rows else None)


def _components(head: str, model: LatentFaces, numbers: NDArray[np.intp]) -> Column:
    def picture(row: int) -> Any:
        if numbers[row] == _ALONE:
            return None
        return component_pixmap(model.components[numbers[row]], is_signed=model.is_signed)

    return Column(lambda row: _or_dash(numbers[row], "d"), head, numbers, picture)


def _or_dash(number: Any, form: str) -> str:
    return "\N{EM DASH}" if number == _ALONE else format(number, form)
