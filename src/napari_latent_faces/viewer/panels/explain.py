"""The panels of what models know: what builds a face, and two models side by side."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox
from qtpy.QtWidgets import QHeaderView, QLabel, QVBoxLayout, QWidget

from napari_latent_faces import explaining
from napari_latent_faces.tiles import shrunk
from napari_latent_faces.viewer.canvas import component_pixmap, use_in_mix
from napari_latent_faces.viewer.jobs import Latest
from napari_latent_faces.viewer.layers import layer_pixels, results_of
from napari_latent_faces.viewer.panels import pictures
from napari_latent_faces.viewer.panels.form import NO_MODEL, ModelChoice, form_of, put
from napari_latent_faces.viewer.panels.panel import Panel, timer
from napari_latent_faces.viewer.panels.pictures import PictureStrip, StripItem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_latent_faces.explaining import Comparison
    from napari_latent_faces.model import LatentFaces

    Limits = tuple[float, float]
    Read = tuple[NDArray[Any], float | None]  # a small picture, and the error

MEAN = -1  # stands for the mean face in the rows of components
_LONGEST = 96  # pixels of a small picture's side: enough for screens with fine pixels
_USERS, _NEAREST = 24, 12  # faces that are shown
_QUIET = 150  # milliseconds without another wish until faces are read from a disk
_MOST = 4096  # small pictures that are remembered
_UNREAD = None, None
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
_MODES = ("off", "off"), ("by brightness", "brightness"), ("by a border", "border")


class Explained:
    """What is prepared once for a model, and asked at every move of the slider."""

    def __init__(self, model: LatentFaces) -> None:
        self.model, self.small = model, explaining.small_model(model, _LONGEST)
        self.explainer = explaining.Explainer(model)
        self.nearest = explaining.NearestFaces(model)

    def name(self, face: int) -> str:
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
        parts, mean = self.explainer.parts(face), self.small.mean
        few, is_signed = len(parts) - parts.used, self.model.is_signed
        shown = limits[0] / self.model.scale, limits[1] / self.model.scale
        title, hint = "Made of ", "the mean face, which the components are added to"
        items: tuple[list[StripItem], list[StripItem]] = [], []
        if mean is not None:
            title += "the mean face and "
            for each in items:
                each.append(StripItem(MEAN, mean, shown, "mean\nface", hint))
        title += f"{parts.used} components" + (f" and traces of {few} more" if few else "")
        levels = parts.weights / (np.abs(parts.weights).max(initial=0) or 1)
        components, reached = self.small.components[parts.components], np.cumsum(parts.shares)
        sums = explaining.build_up(components, parts.weights, mean)
        for n, i in enumerate(parts.components.tolist()):
            sign = ("\N{MINUS SIGN}" if levels[n] < 0 else "+") * is_signed
            words, hint = f"#{i}\n{sign}{parts.shares[n]:.1%}", self.explainer.caption(i, face)
            part = components[n] * levels[n]
            items[0].append(StripItem(i, part, (0, 1), words, hint, is_signed))
            words, hint = f"{n + 1}\n{reached[n]:.0%}", f"the first {n + 1}: {reached[n]:.1%}"
            items[1].append(StripItem(i, sums[n], shown, words, hint))
        return title, *items


class ExplainWidget(Panel):
    """Shows what builds the face under the slider, who else uses it, and who is like it."""

    page = "what-builds-this-face"
    cancel_tip = ""

    def _lay_out(self) -> None:
        self._seen: Any = None  # what is shown: model, face, component, and how
        self._known: Explained | None = None
        self._images: Any = None  # all pictures of the faces, of which these are known:
        self._read: dict[int, Read] = {}
        self._wanted: Any = None  # the model, and faces of it, the current one first
        self._why = ""  # something cannot be read
        self.portrait = pictures.Portrait(("face", "built"))
        tip = "How the tiles of the gallery show the weights of this face."
        self.follow = ComboBox(choices=_MODES, tooltip=tip)
        self.parts = PictureStrip("components of this face", has_bar=False)
        self.sums = PictureStrip("sum of the components, step by step")
        self.nearest = PictureStrip("nearest faces")
        self.users = PictureStrip("faces that use the component most")
        self.face_page = QWidget()
        column, session = QVBoxLayout(self.face_page), self.session
        put(column, self.portrait)
        self.parts_title, self.users_title = QLabel(), QLabel()
        near_title = QLabel("Nearest faces, and how much they differ")
        by_key = {
            "component": lambda key: session.select_component(None if key == MEAN else key),
            "face": session.go_to_face,
        }
        for title, hint, strip, what in (
            (self.parts_title, "", self.parts, "component"),
            (QLabel("Their sum, step by step"), _SUMMED, self.sums, "component"),
            (near_title, _MEASURED, self.nearest, "face"),
            (self.users_title, "", self.users, "face"),
        ):
            title.setWordWrap(True)
            title.setToolTip(hint)
            put(column, title, strip)
            strip.picked.connect(by_key[what])
            strip.menu_wanted.connect(partial(self._offer, what))
        self.add_controls(QLabel("Gallery follows"), self.follow)
        self.add(self.face_page)
        self._preparing = Latest(returned=self._take_model, failed=self._on_failure)
        self._reading = Latest(stepped=self._on_read, failed=self._on_failure)
        # many moves of a dragged slider become one update: they never queue up
        self._soon = timer(self, self.update_face)
        self._quiet = timer(self, lambda: self._reading.start(self._reader()), _QUIET)
        self.at_end(lambda: session.follow_by("off"))  # once this panel hears it no more
        self.at_end(self._preparing.stop)
        self.at_end(self._reading.stop)
        self.follow.changed.connect(session.follow_by)
        one, other = self.parts.scroll_bar, self.sums.scroll_bar
        one.valueChanged.connect(other.setValue)  # a part stays above its sum
        other.valueChanged.connect(one.setValue)
        session.follow_by("brightness")

    def _offer(self, what: str, key: int, more: dict[str, Callable[[], object]]) -> None:
        if what == "face":
            more["Go to this face"] = lambda: self.session.go_to_face(key)
        if key != MEAN:
            use: dict[str, Any] = {what: key}
            more["Use in Mix"] = partial(use_in_mix, self.viewer, **use)

    def _what_is_missing(self) -> str:
        if self.session.model is None:
            return NO_MODEL
        if self._known is None:
            return self._why or "Looking at the model ..."
        return _NO_FACE if self.session.face is None else ""

    def synchronize(self) -> None:
        session, layer, before = self.session, self.session.faces, self._seen
        look = None if layer is None else (id(layer_pixels(layer)), *layer.contrast_limits)
        self._seen = session.model, session.face, session.component, look
        if before is None or before[0] is not session.model:
            self._known = None
            self._forget_pictures()
            self._preparing.stop()
            if session.model is not None:
                self._preparing.start(Explained, session.model)  # of a large one, a second
        super().synchronize()
        missing = self._what_is_missing()
        self.status.visible = bool(missing)
        self.face_page.setVisible(not missing)
        self.follow.value = session.mode
        if self._seen != before and not self._soon.isActive():
            self._soon.start()  # anew, it would wait for a slider that never rests

    def _take_model(self, known: Explained) -> None:
        self._known = known
        self.update_face()
        self.synchronize()

    def _on_failure(self, why: str) -> None:
        self._why = why
        self.synchronize()
        self._soon.start()

    def update_face(self) -> None:
        known, face, component = self._known, self.session.face, self.session.component
        if known is None or face is None:
            return
        model, users, words = known.model, (np.arange(0), np.arange(0)), _NO_COMPONENT
        near = known.nearest.find(model.weights[face], _NEAREST, exclude=face)
        if component is not None:
            users = known.explainer.users(component, _USERS)
            words = known.explainer.caption(component).replace("  |  ", ", ")
            words = f"C{words[1:]}, most by:"
        are_there = self._look_for(model, [face, *near[0].tolist(), *users[0].tolist()])
        limits = pictures.limits_of(self.session.faces, model)
        picture, error = self._read.get(face, _UNREAD)
        told = "relative error ..." if are_there else "relative error unknown without the faces"
        if error is not None:
            told = f"relative error {error:.4f}"
        elif self._why:
            told = f"This face cannot be read: {self._why}"
        built = known.small.reconstruct(face)
        self.portrait.show_pictures(limits, picture, built)
        self.portrait.show_words([*known.lines(face), told])
        title, parts, sums = known.parts(face, limits)
        self.parts_title.setText(title)
        self.parts_title.setToolTip(_SIGNED if model.is_signed else _POSITIVE)
        self.users_title.setText(words)
        self.users.setVisible(component is not None)
        self.parts.put(parts, component)
        self.sums.put(sums, component)
        self.nearest.put(self._faces(known, near, limits, "differs by"))
        self.users.put(self._faces(known, users, limits, "weight"), face)

    def _faces(
        self, known: Explained, found: tuple[Any, Any], limits: Limits, what: str
    ) -> list[StripItem]:
        """Return faces, each with a number; `what` says what the number is."""
        subjects, items = known.model.provenance.subjects, []
        for face, value in zip(*(each.tolist() for each in found), strict=True):
            is_read = face in self._read
            pixels = self._read[face][0] if is_read else known.small.reconstruct(face)
            who = subjects[face] if subjects else known.name(face).rpartition("/")[2]
            hint = f"{known.name(face)}: {what} {value:.3g}"
            items.append(StripItem(face, pixels, limits, f"{who}\n{value:.3g}", hint))
        return items

    def _look_for(self, model: LatentFaces, faces: list[int]) -> bool:
        """Have faces read, at once or when the slider rests; tell whether they are there."""
        layer = self.session.faces
        images = None if layer is None else layer_pixels(layer)
        if images is not self._images:
            self._forget_pictures()
            self._images = images
        if images is None or tuple(images.shape) != model.shape:
            return False
        before, self._wanted = self._wanted, (model, faces)
        if isinstance(images, np.ndarray) and not isinstance(images, np.memmap):
            self._read.update(self._reader()())
        elif before != self._wanted:
            self._quiet.start()
        return True

    def _reader(self) -> Callable[[], Iterator[tuple[int, Read]]]:
        """Return what reads the pictures that are wanted and not known."""
        model, (current, *others) = self._wanted
        if len(self._read) > _MOST:
            self._read.clear()
        faces = [face for face in dict.fromkeys(others) if face not in self._read]
        if self._read.get(current, _UNREAD)[1] is None:
            faces.insert(0, current)
        return partial(_read, model, self._images, faces, current)

    def _on_read(self, found: tuple[int, Read]) -> None:
        self._read.update([found])
        self._soon.start()

    def _forget_pictures(self) -> None:
        self._quiet.stop()
        self._reading.stop()
        self._read.clear()
        self._images, self._wanted, self._why = None, None, ""


def _read(
    model: LatentFaces, images: Any, faces: list[int], current: int
) -> Iterator[tuple[int, Read]]:
    """Yield small pictures of faces; of the current one its error, too, which takes time."""
    for face in faces:
        pixels = np.asarray(images[face])
        error = explaining.face_error(model, face, pixels) if face == current else None
        yield face, (shrunk(pixels, _LONGEST, in_colour=pixels.ndim == 3), error)


_NO_MODELS = (
    "Two models of the same faces are compared here. Fit them with two methods, or with "
    "Update earlier results off (under Advanced), or open their files."
)
_ALONE = -1  # in place of a partner, and of a similarity


class CompareWidget(Panel):
    """Shows the components of two models in pairs, the most similar first."""

    page = "compare-models"

    def _lay_out(self) -> None:
        self._compared: tuple[Any, ...] = ()  # models that are in the table, or will be
        # those in the table, and the components of either by row
        self._sides: list[tuple[LatentFaces, NDArray[np.intp]]] = []
        self.left, self.right = (
            ModelChoice(self.viewer, self.run, side, follows=False)
            for side in ("Left", "Right")
        )
        self.table = pictures.Table("Click a picture to choose its component everywhere.", 72)
        self.table.hide()
        self.add(form_of([self.left, self.right]))
        self.add_controls()
        self.add(self.table)
        for side, other in ((self.left, self.right), (self.right, self.left)):
            side.chosen.connect(partial(self._tell_apart, other))
        self.table.chosen.connect(self._choose)
        self._soon = timer(self, self._compare)
        self._comparing = Latest(returned=self._show_comparison, failed=self._on_failure)
        self.at_end(self._comparing.stop)

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
        rows = [
            int(np.flatnonzero(numbers == self.session.component)[0])
            for model, numbers in self._sides
            if model is self.session.model and self.session.component is not None
        ]
        self.table.mark(rows[0] if rows else None)

    def _tell_apart(self, side: ModelChoice) -> None:
        """Have a side offer another model if both have the same, and compare what is new."""
        left, right = self.models
        others = [each for each in side.combo.choices if each not in (None, left)]
        if left is right and others:
            side.combo.value = others[-1]
        elif self.models != self._compared:
            self._soon.start()  # once both are known

    def _compare(self) -> None:
        self._compared, self._sides = self.models, []
        self.table.hide()
        self._comparing.stop()
        if not self._what_is_missing():
            self.status.value = "Comparing ..."
            self._comparing.start(explaining.compare_models, *self.models)

    def _on_failure(self, why: str) -> None:
        self.status.value = f"Nothing to compare: {why}"

    def _show_comparison(self, found: Comparison) -> None:
        self.status.value = found.summary()
        pairs, unmatched = found.matching.pairs, found.matching.unmatched
        alone = [np.full(len(each), _ALONE) for each in unmatched]
        left = np.concatenate([pairs[:, 0], unmatched[0], alone[1]])
        right = np.concatenate([pairs[:, 1], alone[0], unmatched[1]])
        alike = np.concatenate([found.matching.similarity, *alone])
        self._sides = list(zip(self._compared, (left, right), strict=True))
        self.table.put(
            len(alike),
            _components("Left", *self._sides[0]),
            _components("Right", *self._sides[1]),
            pictures.Column(lambda row: _or_dash(alike[row], ".3f"), "Similarity", alike),
        )
        heads: Any = self.table.horizontalHeader()
        heads.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.show()
        self.synchronize()

    def _choose(self, row: int, column: int) -> None:
        """Choose the component that was clicked, and its model, in all panels."""
        is_right = column == 1 or self._sides[0][1][row] == _ALONE
        model, numbers = self._sides[int(is_right)]
        component = int(numbers[row])
        layers = results_of(self.viewer, model=model)
        if component != _ALONE and layers:
            if self.session.model is not model:
                self.viewer.layers.selection.active = layers[0]
            self.session.select_component(component)


def _components(head: str, model: LatentFaces, numbers: NDArray[np.intp]) -> pictures.Column:
    def picture(row: int) -> Any:
        if numbers[row] == _ALONE:
            return None
        return component_pixmap(model.components[numbers[row]], is_signed=model.is_signed)

    return pictures.Column(lambda row: _or_dash(numbers[row], "d"), head, numbers, picture)


def _or_dash(number: Any, form: str) -> str:
    return "\N{EM DASH}" if number == _ALONE else format(number, form)
