"""The panel that moves, turns and scales faces so that they lie on one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, LineEdit
from napari.layers import Points

from napari_latent_faces.params import AlignOptions
from napari_latent_faces.stack import harmless
from napari_latent_faces.viewer.aligning import AlignJob, EyePoints, FillJob, show_before
from napari_latent_faces.viewer.layers import ALIGNED_KEY, ROLE_KEY
from napari_latent_faces.viewer.panels.form import Section, button, in_a_row, make_fields
from napari_latent_faces.viewer.panels.panel import Panel
from napari_latent_faces.viewer.panels.pictures import Portrait

if TYPE_CHECKING:
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_latent_faces.aligning.learning import AlignStep

_BASIC = ("n_components", "transform")
_REST = ("max_shift", "max_rotation", "max_scale", "random_state")
_HEIGHT = 130  # of the mean face


def _from_0_to_1(picture: NDArray[Any]) -> NDArray[Any]:
    low, high = picture.min(), picture.max()
    scaled: NDArray[Any] = (picture - low) / ((high - low) or 1)
    return scaled


class AlignWidget(Panel):
    """Aligns faces to a model of them all, or by points that are clicked here."""

    page = "align-faces"
    start_words = "Align", "Move, turn and scale the faces so that they lie on one another."

    def _lay_out(self) -> None:
        self.eyes: EyePoints | None = None
        self._aligned: Any = None  # the layer of aligned faces that this panel has added
        self._first: Any = None  # the mean face at the first step
        self.options = make_fields(AlignOptions, *_BASIC, *_REST)
        self.n_components, self.transform = (self.options[name] for name in _BASIC)
        self.by = ComboBox(
            label="Align",
            choices=self._ways,
            tooltip="To a model of all faces, which needs nothing but the pictures; or by the "
            "points of a layer, two or more on each face or on some of them.",
        )
        self.crop = LineEdit(
            label="Size",
            tooltip="Height and width of the middle part to keep, in pixels, such as 92, 76; "
            "empty: what all aligned pictures cover.",
        )
        self.crop.native.setPlaceholderText("what all pictures cover")
        self.oval = CheckBox(
            text="Oval mask",
            tooltip="Add a mask of the corners around an oval, which fits of the aligned faces "
            "ignore.",
        )
        self.click_button = button(
            "Click points",
            "Click both eyes on face after face, to align by them.",
            self._click_points,
        )
        self.undo_button = button(
            "Undo", "Take the last point back.", self._undo, visible=False
        )
        self.fill_button = button(
            "Fill in the rest",
            "Find the points of all other faces by a model of those that have some; a few "
            "dozen are enough. Wrong ones can be dragged.",
            self._fill,
            visible=False,
        )
        self.before_button = button(
            "Before",
            "Show the same part of the pictures as they were, in the same place.",
            self._switch,
            visible=False,
        )
        self.before_button.native.setCheckable(True)
        self.mean = Portrait(_HEIGHT, ("The mean face before.", "The mean face now."))
        self.mean.show_words(["Mean face", "before, and now"])
        self.mean.hide()
        faces = self.choose_faces(
            "The stack to align: an image layer with the axes face, y, x."
        )
        self.add_form([faces, self.by, self.n_components, self.crop, self.transform, self.oval])
        rest = self.form_of([self.options[name] for name in _REST])
        self.add(Section("Advanced", rest))
        self.add(in_a_row(self.click_button, self.undo_button, self.fill_button))
        self.add_controls(self.before_button)
        self.add(self.mean)
        self.at_end(self._leave_points)

    # -- state -------------------------------------------------------------------

    def _why_not(self, layer: Layer) -> str:
        if ALIGNED_KEY in layer.metadata:
            return f"{harmless(layer.name)} is aligned: choose the faces as they were."
        return super()._why_not(layer)

    def _ways(self, _widget: Any = None) -> list[tuple[str, Any]]:
        layers = (each for each in reversed(self.viewer.layers) if isinstance(each, Points))
        points = [each for each in layers if ROLE_KEY not in each.metadata and each.ndim == 3]
        return [
            ("to a model of them all", None),
            *((f"by {each.name}", each) for each in points),
        ]

    def synchronize(self) -> None:
        if self.eyes is not None and not self.eyes.is_there:
            self._leave_points()
        if not self.is_working:
            self.by.reset_choices()
        super().synchronize()
        is_there = self._aligned is not None and self._aligned in self.viewer.layers
        self.before_button.visible = is_there and not self.is_working
        if self.before_button.native.isChecked() and not is_there:
            self.before_button.native.setChecked(False)
            aligned = self._aligned  # what lies in its place goes when napari is done with it
            self.session.later(lambda: show_before(self.viewer, aligned, before=False))
        has_faces = self.faces.value is not None
        self.click_button.enabled = has_faces and not self.is_working and self.eyes is None
        some = self.eyes is not None and not self.is_working
        self.undo_button.visible = self.fill_button.visible = some
        if self.eyes is not None:
            counts = self.eyes.counts
            self.undo_button.enabled = bool(counts.any())
            self.fill_button.enabled = bool((counts == 2).sum() > 1 and (counts < 2).any())

    # -- the work ----------------------------------------------------------------

    def _options(self) -> AlignOptions:
        text = str(self.crop.value or "").strip()
        size = None
        if text:
            try:
                h, w = (int(part) for part in text.replace("x", ",").split(","))
            except ValueError:
                raise ValueError(
                    f"Size must be a height and a width, such as 92, 76, got {text!r}."
                ) from None
            size = h, w
        values = {name: each.value for name, each in self.options.items()}
        return AlignOptions(size=size, **values)

    def _make_job(self) -> AlignJob:
        options = self._options()
        self._show_after()
        self._first = None
        points, oval = self.by.value, self.oval.value
        return AlignJob(self.viewer, self.faces.value, options, points, oval=oval)

    def _show_step(self, step: AlignStep) -> None:
        self.show_progress(round(1000 * step.done), 1000)
        self.status.value = f"{step.task} ..."
        if self._first is None:
            self._first = step.mean
        before, now = _from_0_to_1(self._first), _from_0_to_1(step.mean)
        self.mean.show_pictures(before, now, (0.0, 1.0))
        self.mean.show()

    def _show_result(self, job: Any) -> None:
        if isinstance(job, AlignJob) and job.aligned is not None:
            self._leave_points()
            self._aligned = job.aligned
            self.synchronize()
        else:
            self._show_points()

    def _switch(self) -> None:
        """Show the faces as they were, or aligned, in the same place."""
        if self._aligned in self.viewer.layers:
            is_before = self.before_button.native.isChecked()
            show_before(self.viewer, self._aligned, before=is_before)
            if is_before:
                self.viewer.layers.selection.active = self._aligned

    def _leave(self) -> None:
        super()._leave()
        self._show_after()

    def _show_after(self) -> None:
        if self.before_button.native.isChecked():
            self.before_button.native.setChecked(False)
            self._switch()

    # -- points ------------------------------------------------------------------

    def _click_points(self) -> None:
        self.eyes = EyePoints(self.viewer, self.faces.value)
        self.eyes.changed.connect(self._show_points)
        self._show_points()
        self.by.value = self.eyes.layer

    def _show_points(self) -> None:
        if self.eyes is not None and not self.is_working:
            self.synchronize()
            self.status.value = self.eyes.words()

    def _undo(self) -> None:
        if self.eyes is not None:
            self.eyes.undo()

    def _leave_points(self) -> None:
        if self.eyes is not None:
            self.eyes.changed.disconnect(self._show_points)
            self.eyes.close()
            self.eyes = None

    def _fill(self) -> None:
        if self.eyes is None or self.is_working:
            return
        eyes, self._first = self.eyes, None

        def make_job() -> FillJob:
            job = FillJob(self.viewer, eyes, self._options())
            job.returned.connect(eyes.fill)
            return job

        self.attempt(make_job)
