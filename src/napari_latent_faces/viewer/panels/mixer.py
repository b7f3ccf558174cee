"""The panel that mixes new faces from components."""

from __future__ import annotations

import math
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, LineEdit, SpinBox
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QLabel, QWidget
from superqt import QDoubleSlider

from napari_latent_faces import mixing
from napari_latent_faces.mixing import Mix
from napari_latent_faces.viewer.jobs import Latest
from napari_latent_faces.viewer.mixing import Making, MixLayers, prepare_nearest
from napari_latent_faces.viewer.panels import form
from napari_latent_faces.viewer.panels.form import button
from napari_latent_faces.viewer.panels.panel import Panel, timer
from napari_latent_faces.viewer.panels.pictures import Portrait
from napari_latent_faces.viewer.panels.weights import WeightList

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_latent_faces.explaining import NearestFaces
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.viewer.mixing import Show

_MOST_FACES = 10_000
_WAY = 200  # steps of the morph's slider
_PAUSE = 60  # milliseconds without a change before the nearest face is looked for


class MixerWidget(Panel):
    """Sliders for the components of a model; the mixed face is a layer."""

    page = "mix-faces"
    cancel_tip = "Make no more faces (Esc)."

    def _lay_out(self) -> None:
        self.mix: Mix | None = None
        self.layers = MixLayers(self.viewer)
        self._preparing = Latest(returned=self._take_finder)
        self._finder: tuple[NearestFaces, float] | None = None  # and what is usual
        self._look_soon = timer(self, self._show_nearest, _PAUSE)
        start, on_mix = self.start_from, self._on_mix
        self.starts = [
            button("Current face", "The face under the slider.", partial(start, "face")),
            button("Mean face", "The mean of all faces.", partial(start, "mean")),
            button("Nothing", "A black picture.", partial(start, "nothing")),
        ]
        self.steps = [
            button("Undo", "Take the last step back (Ctrl+Z).", on_mix(Mix.undo)),
            button("Redo", "Take it again (Ctrl+Shift+Z).", on_mix(Mix.redo)),
            button("Reset", "Go back to where the mix started.", on_mix(Mix.reset)),
        ]
        lists = "What matters here", "What is used here", "All components"
        self.which = ComboBox(
            choices=list(zip(lists, ("matter", "used", "all"), strict=True)),
            tooltip="What matters: the fewest components that carry nine tenths of the face "
            "that the mix started from.",
        )
        self.numbers = LineEdit(tooltip="List only these components, counted from 0.")
        self.numbers.native.setPlaceholderText("3, 10-20")
        self.numbers.native.setClearButtonEnabled(True)
        self.listed, self.weights = QLabel(), WeightList()
        self.nearest = Portrait(("nearest",), 64)
        self.nearest.setToolTip(
            "The face of the model whose reconstruction differs least from the mixed face: "
            "root of the mean squared difference of their pixels. Click it to go there."
        )
        tip = "Add the mixed face to the generated ones."
        self.keep_button = button("Keep", tip, self.keep)
        tip = "Write the weights of the selected generated faces, or of the last ones, as CSV."
        self.save_button = button("Save recipes...", tip, self._save_recipes)
        tip = "Show what is generated one behind another on the face slider, not on a sheet."
        self.on_slider = CheckBox(text="On the slider", tooltip=tip)
        self.sections = [
            form.Section("Random faces", self._random_part()),
            form.Section("Morph", self._morph_part()),
        ]
        self._need_a_model: list[form.Part] = [*self.starts, *self.steps, *self.sections]
        self._need_a_model += [self.keep_button, self.save_button]
        only = QLabel("Only numbers")
        only.setBuddy(self.numbers.native)
        listing = form.in_a_row(self.which, self.listed, stretched=self.which)
        self.add(QLabel("Start from"), form.in_a_row(*self.starts), form.in_a_row(*self.steps))
        self.add(listing, form.in_a_row(only, self.numbers), self.weights, self.nearest)
        self.add(*self.sections)
        self.add_controls(self.keep_button, self.save_button, self.on_slider)
        self._connect()

    def _random_part(self) -> QWidget:
        self.near = ComboBox(
            label="Stay close to",
            choices=[("no face", ""), ("the current face", "face"), ("the mixed face", "mix")],
            tooltip="Whose weights the random ones resemble: nobody's, those of the face under "
            "the slider, or those of the mixed face.",
        )
        tip = "0 is any face, 1 that face itself."
        self.strength = FloatSpinBox(value=0.7, max=1, step=0.05, tooltip=tip)
        self.strength.label = "How close"
        tip = "The same seed gives the same faces."
        self.seed = SpinBox(max=form.LARGEST, value=0, tooltip=tip)
        tip = "How many faces Generate makes."
        self.count = SpinBox(min=1, max=_MOST_FACES, value=20, tooltip=tip)
        tip = "Draw a face, and start from it."
        self.random_button = button("Random face", tip, self.random_face)
        tip = "Add so many random faces to the generated ones."
        self.generate_button = button("Generate", tip, self.generate)
        seed = form.in_a_row(self.seed, self.random_button)
        count = form.in_a_row(self.count, self.generate_button)
        rows = ("Seed", seed), ("Faces", count)
        return form.form_of([self.near, self.strength, *rows])

    def _morph_part(self) -> QWidget:
        tip = "Number of the face on the face slider."
        self.ends = [SpinBox(max=0, tooltip=tip) for _ in range(2)]
        self.current_buttons = [
            button("Current", "The face under the slider.", partial(self._set_current, box))
            for box in self.ends
        ]
        self.between = form.text()  # the names of both
        self.way = QDoubleSlider(Qt.Orientation.Horizontal)  # type: ignore[no-untyped-call]
        self.way.setRange(0, _WAY)
        self.way.setToolTip("How far the mix is from the first face to the second.")
        tip = "How many faces the morph has, both ends included."
        self.frames = SpinBox(min=2, max=_MOST_FACES, value=30, tooltip=tip)
        tip = "Add the faces between the two as a layer."
        self.morph_button = button("Add frames", tip, self.add_morph)
        one, other = map(form.in_a_row, self.ends, self.current_buttons)
        frames = form.in_a_row(self.frames, self.morph_button)
        ends, way = (("From", one), ("To", other)), ("Mix", self.way)
        return form.form_of([*ends, self.between, way, ("Frames", frames)])

    def _connect(self) -> None:
        self.at_end(self._leave_mix)
        self.weights.moved.connect(self._on_mix(Mix.set_weight))
        self.weights.chosen.connect(self.session.select_component)
        for began in (self.weights.began, self.way.sliderPressed):
            began.connect(self._on_mix(Mix.begin))
        for ended in (self.weights.ended, self.way.sliderReleased):
            ended.connect(self._on_mix(Mix.end))
            ended.connect(self.synchronize)  # now there is something to undo
        self.nearest.pictures.picked.connect(self.session.go_to_face)
        self.which.changed.connect(self._list)
        self.numbers.changed.connect(self._list)
        for each in (self.near, *self.ends):
            each.changed.connect(self.synchronize)
        self.way.valueChanged.connect(self._show_morph)
        self.on_slider.changed.connect(self.layers.show_as_stacks)
        self.on_key(QKeySequence.StandardKey.Undo, self._on_mix(Mix.undo))
        self.on_key(QKeySequence.StandardKey.Redo, self._on_mix(Mix.redo))

    def _put_beside_others(self) -> None:
        super()._put_beside_others()
        self.session.show_all()  # now that the panel has its part of the window

    def _what_is_missing(self) -> str:
        return form.NO_MODEL if self.mix is None else ""

    @property
    def model(self) -> LatentFaces | None:
        return None if self.mix is None else self.mix.model

    def synchronize(self) -> None:
        """Show the mix of the model that the viewer is about, and what can be done with it."""
        if self.session.model is not self.model:
            self._take_model()
        super().synchronize()
        mix = self.mix
        for part in self._need_a_model:
            form.native(part).setEnabled(mix is not None)
        for each in (self.random_button, self.generate_button, self.morph_button):
            each.enabled = not self.is_working
        self.nearest.setVisible(mix is not None)
        self.strength.enabled = bool(self.near.value)
        self.between.value = " to ".join(self._name(box.value) for box in self.ends)
        if made := self.layers.made():
            with self.on_slider.changed.blocked():
                self.on_slider.value = made[-1].ndim == 3
        if mix is not None:
            undo, redo, _ = self.steps
            undo.enabled, redo.enabled = mix.can_undo, mix.can_redo
            # where all weights of 0 are the mean face, there is no black to start from
            self.starts[-1].visible = mix.model.mean is None
            self.weights.set_weights(mix.weights)
            if self.session.component != self.weights.marked:
                self.weights.mark(self.session.component)
            self._look_soon.start()

    def _take_model(self) -> None:
        self._leave_mix()
        self.nearest.pictures.put([])
        self.nearest.show_words(["Nearest real face: ..."])
        model, job = self.session.model, self.job
        if model is None:
            self.weights.set_model(np.empty((0, 1, 1)), np.empty((0, 2)))
        else:
            self.mix = self.layers.mix_of(model)
            self.mix.changed.connect(self._draw)
            self._sampler = cache(partial(mixing.WeightSampler, model))  # made in a thread
            self._preparing.start(prepare_nearest, model)
            ranges, units = mixing.weight_ranges(model)
            self.weights.set_model(model.components, ranges, units)
            self._list()
            last = len(model.weights) - 1
            with QSignalBlocker(self.way):
                self.way.setValue(0)
            for box, face in zip(self.ends, (0, last), strict=True):
                with box.changed.blocked():
                    box.max, box.value = last, face
        if job is not None:
            job.cancel("There is another model now, so no faces were made.")
        # another model is mostly heard of while napari inserts or removes a layer
        self.session.later(self._draw)

    def _leave_mix(self) -> None:
        self._preparing.stop()
        if self.mix is not None:
            self.mix.changed.disconnect(self._draw)
        self.mix = self._finder = None

    def _draw(self) -> None:
        """Draw the mixed face; the session tells all panels of it, this one, too."""
        if self.mix is not None:
            self.layers.draw(self.mix)

    def _list(self) -> None:
        if self.mix is not None:
            which, numbers = str(self.which.value), str(self.numbers.value)
            found = mixing.listed(self.mix.model, self.mix.weights, which, numbers)
            self.weights.list_components(found)
            self.listed.setText(f"{len(found)} of {self.mix.model.n_components}")

    def _name(self, face: int) -> str:
        names = () if self.mix is None else self.mix.model.provenance.names
        return names[face] if 0 <= face < len(names) else f"face {face}"

    def _take_finder(self, found: tuple[NearestFaces, float]) -> None:
        self._finder = found
        self._show_nearest()

    def _show_nearest(self) -> None:
        if self.mix is None or self._finder is None:
            return
        finder, usual = self._finder
        faces, distances = finder.find(self.mix.weights, 1)
        face = int(faces[0])
        if face not in [each.key for each in self.nearest.pictures.items]:
            picture, limits = self.layers.face_picture(face)
            self.nearest.show_pictures(limits, picture, key=face)
        subjects = self.mix.model.provenance.subjects
        lines = [f"Nearest real face: {self._name(face)}"]
        lines += [f"Subject {subjects[face]}"] if subjects else []
        lines += [f"{round(distances[0], 4):.3g} grey values away"]
        lines += [f"(real faces from each other: {round(usual, 4):.3g})"] * math.isfinite(usual)
        self.nearest.show_words(lines)

    def _on_mix(self, action: Callable[..., object]) -> Callable[..., None]:
        """Return what does something with the mix, if there is one."""

        def act(*values: Any) -> None:
            if self.mix is not None:
                action(self.mix, *values)

        return act

    def start_from(self, what: str) -> None:
        """Start from "face" (the one under the slider), "mean" or "nothing"."""
        if self.mix is not None:
            model = self.mix.model
            weights = self.layers.current_weights(model)
            known = {"mean": mixing.mean_weights(model), "nothing": 0 * weights}
            self.mix.start_from(known.get(what, weights))
            self._draw()

    def _set_current(self, box: SpinBox) -> None:
        if self.session.face is not None:
            box.value = self.session.face

    def _show_morph(self, step: int) -> None:
        """Mix two faces of the model: all of the first at 0, all of the second at the end."""
        if self.mix is not None:
            one, other = (mixing.as_weights(self.mix.model, box.value) for box in self.ends)
            way = step / _WAY
            self.mix.set_weights((1 - way) * one + way * other)

    def keep(self) -> None:
        if self.mix is not None:
            pictures = mixing.to_pixels(self.mix.pixels, self.mix.model.provenance.dtype)[None]
            new = self._add("generated", self.mix.weights[None], pictures, "mixed by hand")
            self.status.value = f"Kept as generated {new[0]}."

    def random_face(self) -> None:
        def show(weights: NDArray[Any], _: NDArray[Any]) -> str:
            if self.mix is not None:
                self.mix.start_from(weights[0])
            return ""

        self._make_random(1, show)
        self.seed.value = (self.seed.value + 1) % form.LARGEST  # another face the next time

    def generate(self) -> None:
        n, near, face = self.count.value, self.near.value, self.session.face
        made = f"random, seed {self.seed.value}"
        if near == "face" and face is not None:
            made += f", {self.strength.value:g} close to {self._name(face)}"
        elif near == "mix":
            made += f", {self.strength.value:g} close to a mixed face"

        def show(*faces: NDArray[Any]) -> str:
            new = self._add("generated", *faces, made)
            numbers = f"{new[0]} to {new[-1]}" if n > 1 else f"{new[0]}"
            return f"Added {n} random face{'s' * (n != 1)}: generated {numbers}."

        self._make_random(n, show)

    def add_morph(self) -> None:
        (a, b), steps = (box.value for box in self.ends), self.frames.value
        made = f"morph from {self._name(a)} to {self._name(b)}"

        def show(*faces: NDArray[Any]) -> str:
            self._add("morph", *faces, made)
            return f"Added the {made}."

        self._make(lambda model: mixing.morph(model, a, b, steps), show)

    def _make_random(self, n: int, show: Show) -> None:
        if self.mix is None:
            return
        near = {"mix": self.mix.weights, "face": self.session.face}.get(self.near.value)
        sampler, seed, strength = self._sampler, self.seed.value, self.strength.value
        self._make(lambda _: sampler().draw(n, seed, near=near, strength=strength), show)

    def _make(self, draw: Callable[[LatentFaces], NDArray[Any]], show: Show) -> None:
        if self.model is not None and not self.is_working:
            self.run(Making(self.model, partial(draw, self.model), show), "Making faces ...")

    def _add(self, role: str, *made: Any) -> range:
        assert self.model is not None
        return self.layers.add(self.model, role, made, as_stack=self.on_slider.value)

    def _save_recipes(self) -> None:
        recipes = self.layers.recipes(self.model)
        if not recipes:
            self.status.value = "There are no generated faces yet: press Keep or Generate."
            return
        write = partial(mixing.save_recipes, recipes=recipes)
        self.save_table("Save recipes", "recipes.csv", write)
