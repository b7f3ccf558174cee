"""The dock widget that shows what builds the face under the slider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_latent_faces._faces import FacePictures
from napari_latent_faces._focus import focus_of
from napari_latent_faces._gallery import galleries_of
from napari_latent_faces._job import Job
from napari_latent_faces._labels import label_faces
from napari_latent_faces._widgets.portrait import Portrait
from napari_latent_faces._widgets.strip import PictureStrip, StripItem
from napari_latent_faces._widgets.wires import Wires
from napari_latent_faces.explain import Explainer, Parts, build_up, shrunk
from napari_latent_faces.nearest import NearestFaces

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    import napari
    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["ExplainWidget"]

_LONGEST = 112  # pixels of a small picture's side, enough for fine screens
_USERS, _NEAREST = 24, 12  # faces that are shown
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
_SUMMED = "The first component, the first two, and so on, up to the whole reconstruction."
_MEASURED = (
    "By the pictures that the model builds of them: the root of their mean squared "
    "difference, in the units of the faces."
)
_MODES = {"off": "off", "brightness": "by brightness", "border": "by a border"}


@dataclass(frozen=True, eq=False)
class _Known:
    """What is prepared once for a model."""

    model: LatentFaces
    explainer: Explainer
    nearest: NearestFaces
    components: NDArray[Any]  # small

    @classmethod
    def of(cls, model: LatentFaces) -> _Known:
        small = shrunk(model.components, _LONGEST)
        return cls(model, Explainer(model), NearestFaces(model), small)

    def built(self, face: int) -> NDArray[Any]:
        """Return the small reconstruction of a face, in its own units."""
        weights = self.model.weights[face] * self.model.components.dtype.type(self.model.scale)
        picture: NDArray[Any] = np.tensordot(weights, self.components, 1)
        return picture

    def who(self, face: int) -> str:
        """Return the subject of a face, else its file's name."""
        origin = self.model.provenance
        if origin.subjects:
            return origin.subjects[face]
        return self.name(face).rpartition("/")[2]

    def name(self, face: int) -> str:
        """Return the name of a face, else its number."""
        names = self.model.provenance.names
        return names[face] if names else f"face {face}"


class ExplainWidget(QWidget):
    """Shows what builds the face under the slider, who else uses it, and who is like it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer whose slider it follows.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._focus = focus_of(napari_viewer)
        self._galleries = galleries_of(napari_viewer)
        self._known: _Known | None = None
        self._faces: FacePictures | None = None
        self._preparing: Job | None = None
        self._users_of: tuple[_Known, int] | None = None
        # many moves of a dragged slider become one update: they never queue up
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self.update_face)
        self._make_views()
        self._lay_out()
        label_faces(napari_viewer)
        self._connect(napari_viewer.layers)
        self._galleries.mode = "brightness"
        self._show_mode(self._galleries.mode)
        self._on_model(self._focus.model)

    # -- layout ----------------------------------------------------------------

    def _make_views(self) -> None:
        self.message = QLabel(_NO_MODEL)
        self.portrait = Portrait()
        self.follow = QComboBox()
        self.follow.setToolTip("How the tiles of the gallery show the weights of this face.")
        for mode, words in _MODES.items():
            self.follow.addItem(words, mode)
        self.parts = PictureStrip("components of this face", has_bar=False)
        self.sums = PictureStrip("sum of the components, step by step")
        self.nearest = PictureStrip("nearest faces")
        self.users = PictureStrip("faces that use the component most")
        self.parts_title = _title("", _COUNTED)
        self.users_title = _title(_NO_COMPONENT)

    def _lay_out(self) -> None:
        self.message.setWordWrap(True)
        self.message.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.message.setMargin(10)
        self.pages = QStackedWidget()
        self.pages.addWidget(self.message)
        self.pages.addWidget(self._make_page())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.pages, 1)  # all the height that the dock has
        self.setMinimumWidth(300)

    def _make_page(self) -> QWidget:
        row = QHBoxLayout()
        row.addWidget(QLabel("Gallery follows this face"))
        row.addWidget(self.follow, 1)
        page = QWidget()
        column = QVBoxLayout(page)
        column.addWidget(self.portrait)
        column.addLayout(row)
        for title, strip in (
            (self.parts_title, self.parts),
            (_title("Their sum, step by step", _SUMMED), self.sums),
            (_title("Nearest faces, and how much they differ", _MEASURED), self.nearest),
            (self.users_title, self.users),
        ):
            column.addWidget(title)
            column.addWidget(strip)
        column.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(page)
        return area

    # -- wiring ----------------------------------------------------------------

    def _connect(self, layers: Any) -> None:
        focus, galleries, wires = self._focus, self._galleries, Wires(self)
        wires.at_end(lambda: setattr(galleries, "mode", "off"))  # its switch is gone
        wires.at_end(self._drop_model)
        wires.add(focus.model_changed, self._on_model)
        wires.add(focus.face_changed, self._update_soon)
        wires.add(focus.component_changed, self._on_component)
        wires.add(galleries.mode_changed, self._show_mode)
        wires.add(layers.events.inserted, self._update_soon)
        wires.add(layers.events.removed, self._update_soon)
        self.follow.activated.connect(self._on_mode_chosen)
        for strip in (self.parts, self.sums):
            strip.picked.connect(focus.select_component)
        for strip in (self.users, self.nearest):
            strip.picked.connect(focus.go_to_face)
        one, other = self.parts.scroll_bar, self.sums.scroll_bar
        one.valueChanged.connect(other.setValue)  # a part stays above its sum
        other.valueChanged.connect(one.setValue)

    def _on_mode_chosen(self, row: int) -> None:
        self._galleries.mode = self.follow.itemData(row)

    def _show_mode(self, mode: str) -> None:
        self.follow.setCurrentIndex(self.follow.findData(mode))

    def _update_soon(self) -> None:
        self._soon.start()

    # -- the model -------------------------------------------------------------

    def _on_model(self, model: LatentFaces | None) -> None:
        self._drop_model()
        self._tell(_NO_MODEL if model is None else _PREPARING)
        if model is None:
            return

        def preparing() -> Generator[_Known]:
            yield _Known.of(model)

        self._preparing = Job(preparing)
        self._preparing.produced.connect(self._on_prepared)
        self._preparing.failed.connect(self._tell)
        self._preparing.start()

    def _on_prepared(self, known: _Known) -> None:
        self._known = known
        self.update_face()

    def _drop_model(self) -> None:
        if self._preparing is not None:
            self._preparing.abandon()
        if self._faces is not None:
            self._faces.close()
        self._known = self._faces = self._preparing = self._users_of = None

    def _tell(self, words: str) -> None:
        self.message.setText(words)
        self.pages.setCurrentIndex(0)

    # -- the face --------------------------------------------------------------

    def update_face(self) -> None:
        """Show the face that is under the slider now."""
        known, face = self._known, self._focus.face
        if known is None:
            return
        if face is None:
            self._tell(_NO_FACE)
            return
        self.pages.setCurrentIndex(1)
        faces = self._look_for_faces(known)
        parts = known.explainer.parts(face)
        self._show_parts(known, parts)
        self._show_sums(known, parts)
        self._show_nearest(known, face)
        self._show_users()
        self._mark()
        shown = [item.key for item in (*self.nearest.items, *self.users.items)]
        faces.want(face, shown)
        self._show_portrait(known, faces, face)

    def _show_portrait(self, known: _Known, faces: FacePictures, face: int) -> None:
        self.portrait.show_pictures(faces.small(face), known.built(face), self._limits())
        n, subjects = len(known.model.weights), known.model.provenance.subjects
        error = faces.error(face)
        known_error = "..." if faces.are_known else "unknown without the faces"
        lines = [
            known.name(face),
            f"{face + 1} of {n}",
            f"relative error {known_error if error is None else format(error, '.4f')}",
        ]
        if subjects:
            lines.insert(1, f"subject {subjects[face]}")
        self.portrait.show_words(lines)

    def _show_parts(self, known: _Known, parts: Parts) -> None:
        few = len(parts) - parts.used
        traces = f" and traces of {few} more" if few else ""
        self.parts_title.setText(f"Made of {parts.used} components{traces}")
        brightest = parts.weights.max(initial=0) or 1
        caption = known.explainer.caption
        self.parts.put(
            [
                StripItem(
                    i,
                    known.components[i] * (weight / brightest),
                    (0.0, 1.0),
                    f"#{i}\n{share:.1%}",
                    caption(i, self._focus.face),
                )
                for i, weight, share in zip(
                    parts.components.tolist(), parts.weights, parts.shares, strict=True
                )
            ]
        )

    def _show_sums(self, known: _Known, parts: Parts) -> None:
        steps = build_up(known.components[parts.components], parts.weights)
        reached = np.cumsum(parts.shares)
        low, high = self._limits()
        limits = low / known.model.scale, high / known.model.scale
        self.sums.put(
            [
                StripItem(i, step, limits, f"{n}\n{share:.0%}", f"the first {n}: {share:.1%}")
                for n, (i, step, share) in enumerate(
                    zip(parts.components.tolist(), steps, reached, strict=True), 1
                )
            ]
        )

    def _show_nearest(self, known: _Known, face: int) -> None:
        found = known.nearest.find(known.model.weights[face], _NEAREST, exclude=face)
        self._put_faces(self.nearest, known, *found, "{name}: differs by {value:.3g}")

    # -- the component ---------------------------------------------------------

    def _on_component(self) -> None:
        if self._known is not None and self._focus.face is not None:
            self.update_face()

    def _mark(self) -> None:
        self.parts.mark(self._focus.component)
        self.sums.mark(self._focus.component)
        self.users.mark(self._focus.face)

    def _show_users(self) -> None:
        """Show who uses the chosen component most; the face makes no difference."""
        known, component = self._known, self._focus.component
        self.users.setVisible(component is not None)
        if known is None or component is None:
            self.users_title.setText(_NO_COMPONENT)
            self.users.put([])
            self._users_of = None
        elif self._users_of != (known, component):
            self._users_of = known, component
            words = known.explainer.caption(component).replace("  |  ", ", ")
            self.users_title.setText(f"C{words[1:]}, most by:")
            found = known.explainer.users(component, _USERS)
            self._put_faces(self.users, known, *found, "{name}: weight {value:.3g}")

    # -- pictures of faces -----------------------------------------------------

    def _look_for_faces(self, known: _Known) -> FacePictures:
        """Return the pictures of the faces, new ones if they are in another layer now."""
        layer = self._focus.faces
        images = None if layer is None else layer.data
        if self._faces is None or self._faces.images is not images:
            if self._faces is not None:
                self._faces.close()
            self._faces = FacePictures(known.model, images, _LONGEST)
            self._faces.arrived.connect(self._on_read)
            self._faces.failed.connect(self._on_unreadable)
        return self._faces

    def _put_faces(
        self,
        strip: PictureStrip,
        known: _Known,
        faces: Iterable[int],
        values: Iterable[float],
        hint: str,
    ) -> None:
        """Show faces; what is built of them stands in for those that were not read yet."""
        assert self._faces is not None
        limits, items = self._limits(), []
        for each, value in zip(faces, values, strict=True):
            face = int(each)
            small = self._faces.small(face)
            pixels = known.built(face) if small is None else small
            words = hint.format(name=known.name(face), value=value)
            text = f"{known.who(face)}\n{value:.3g}"
            items.append(StripItem(face, pixels, limits, text, words))
        strip.put(items)

    def _on_read(self, face: int) -> None:
        if self._known is None or self._faces is None:
            return
        small = self._faces.small(face)
        if small is not None:
            self.nearest.put_pixels(face, small)
            self.users.put_pixels(face, small)
        if face == self._focus.face:
            self._show_portrait(self._known, self._faces, face)

    def _on_unreadable(self, why: str) -> None:
        self.portrait.show_words(["This face cannot be read:", why])

    def _limits(self) -> tuple[float, float]:
        """Return what is black and white in the faces."""
        faces, model = self._focus.faces, self._focus.model
        assert model is not None
        low, high = (0.0, model.scale) if faces is None else faces.contrast_limits
        return float(low), float(high)


def _title(words: str, hint: str = "") -> QLabel:
    title = QLabel(words)
    title.setWordWrap(True)
    title.setToolTip(hint)
    return title
