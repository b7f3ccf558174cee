"""The mixed face of one viewer, and the faces generated there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import TYPE_CHECKING, Any
from weakref import proxy

import numpy as np
from psygnal import Signal

from napari_latent_faces.explaining import NearestFaces
from napari_latent_faces.mixing import (
    Mix,
    WeightSampler,
    as_weights,
    mean_weights,
    morph,
    number_recipes,
    save_recipes,
    to_pixels,
)
from napari_latent_faces.viewer.canvas import go_to
from napari_latent_faces.viewer.jobs import Job
from napari_latent_faces.viewer.layers import (
    FACES_KEY,
    MODEL_KEY,
    PICTURES_KEY,
    RECIPES_KEY,
    ROLE_KEY,
    FacesView,
    layer_pixels,
    made_layer,
    mixed_layer,
    owner_of,
)
from napari_latent_faces.viewer.session import add_result, session_of, show_result

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from os import PathLike

    import napari
    from numpy.typing import NDArray

    from napari_latent_faces.mixing import Recipe
    from napari_latent_faces.model import LatentFaces

    Show = Callable[[NDArray[Any], NDArray[Any]], None]  # weights and their pictures

# -- Making many faces in a thread: random ones, or those of a morph -------------------

_BLOCK_FACES = 16  # between two looks at whether to go on


class Making(Job):
    """Draws weights (m, k) and makes their pictures; drawing takes its time, too."""

    cancelled = "Cancelled; nothing was kept."
    failure = "No faces were made"

    def __init__(self, model: LatentFaces, draw: Callable[[], NDArray[Any]]) -> None:
        def make() -> Generator[tuple[int, int], None, tuple[NDArray[Any], NDArray[Any]]]:
            weights = draw()
            n, dtype = len(weights), np.dtype(model.provenance.dtype)
            pictures = np.empty((n, *model.components.shape[1:]), dtype)
            for first in range(0, n, _BLOCK_FACES):
                yield first, n
                part = slice(first, first + _BLOCK_FACES)
                pictures[part] = to_pixels(model.blend(weights[part]), dtype)
            yield n, n
            return weights, pictures

        super().__init__(make)


# -- How new a mixed face is: the nearest real one, found without making the window wait

_ASKED = 200  # faces whose nearest others tell what is usual


@dataclass(frozen=True)
class Nearest:
    """The real face of a model that is nearest to a mixed one.

    `distance` is the root mean squared difference between the mixed picture and the
    reconstruction of that face, in the units of the faces; `usual` is the same between a real
    face and the nearest other one, in the median.
    """

    face: int
    distance: float
    usual: float


class NoveltyFinder(Job):
    """Finds the real face nearest to weights; the preparation is made in a thread."""

    ready = Signal()  # from now on `find` finds something

    def __init__(self, model: LatentFaces) -> None:
        super().__init__(_prepare, model)
        self._faces: NearestFaces | None = None
        self._usual = float("nan")

    def find(self, weights: NDArray[Any]) -> Nearest | None:
        """Return the face nearest to weights (k,), or None before all is prepared."""
        if self._faces is None:
            return None
        faces, distances = self._faces.find(weights, 1)
        return Nearest(int(faces[0]), float(distances[0]), self._usual)

    def take_value(self, value: tuple[NearestFaces, float]) -> str:
        """Keep what was prepared."""
        self._faces, self._usual = value
        self.ready.emit()
        return ""


def _prepare(model: LatentFaces) -> tuple[NearestFaces, float]:
    faces = NearestFaces(model)
    n = len(model.weights)
    if n < 2:
        return faces, float("nan")
    some = np.unique(np.linspace(0, n - 1, min(n, _ASKED)).astype(int))
    find: Callable[..., Any] = faces.find
    return faces, median(float(find(model.weights[i], 1, exclude=int(i))[1][0]) for i in some)


# -- The mixed face of one viewer, and the faces generated there: state and layers -----


def open_desk(viewer: napari.components.ViewerModel) -> MixingDesk:
    """Return the desk at which a viewer's panels mix, the same for all that are open.

    Each of them closes it once.
    """
    session = session_of(viewer)
    if session.desk is None:
        session.desk = MixingDesk(viewer)
    desk: MixingDesk = session.desk
    desk.users += 1
    return desk


class MixingDesk:
    """Mixes faces of the model that the viewer is about, and collects generated ones.

    The mixed face is a flat layer that is drawn anew at every change; generated faces and
    morphs are sheets, or stacks beside the faces.
    """

    mix_replaced = Signal()  # another model, or none
    mix_changed = Signal(object)  # the component that was changed, None for several
    nearest_ready = Signal()  # `nearest` will find something from now on
    making_began = Signal()
    made_progress = Signal(int, int)
    making_ended = Signal()  # faces are no longer being made
    told = Signal(str)  # what to tell the user

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
        self.session = session_of(viewer)
        # the viewer owns this, through its session
        self.viewer: Any = proxy(getattr(viewer, "__wrapped__", viewer))
        self.users = 0
        self.mix: Mix | None = None
        self._as_stack = False  # what is made next, where nothing is there
        self._making: Making | None = None
        self._finder: NoveltyFinder | None = None
        self.session.changed.connect(self._follow)
        self._follow()
        self._show()

    @property
    def model(self) -> LatentFaces | None:
        """The model that is mixed from."""
        return None if self.mix is None else self.mix.model

    @property
    def is_making(self) -> bool:
        """Whether faces are being made in a thread."""
        return self._making is not None

    def close(self) -> None:
        """Follow the viewer no more, once all panels have closed it; the layers stay."""
        self.users -= 1
        if self.users <= 0:
            self._abandon()
            self.session.changed.disconnect(self._follow)
            self.mix = self.session.desk = None

    def _abandon(self) -> None:
        for job in (self._making, self._finder):
            if job is not None:
                job.abandon()
        self._making = self._finder = None

    def _follow(self) -> None:
        """Begin a new mix, with the current face, if there is another model."""
        model = self.session.model
        if model is self.model:
            return
        was_making = self.is_making
        self._abandon()
        self.mix = None if model is None else self._mix_of(model)
        if self.mix is not None:
            mixed = self.mix.model
            self.mix.changed.connect(self._on_change, unique=True)
            self._sampler = cache(lambda: WeightSampler(mixed))  # made in the first thread
            self._finder = NoveltyFinder(mixed)
            self._finder.ready.connect(self.nearest_ready)
            self._finder.start()
        self.mix_replaced.emit()
        if was_making:
            self.told.emit("There is another model now, so no faces were made.")
            self.making_ended.emit()
        # another model is mostly heard of while napari inserts or removes a layer
        self.session.later(self._show)

    def _mix_of(self, model: LatentFaces) -> Mix:
        """Return the mix of a model, which outlives the panel, or a new one."""
        shown = {id(each) for each in self.session.models}
        mixes = self.session.mixes
        mixes[:] = [mix for mix in mixes if id(mix.model) in shown]
        found = next((mix for mix in mixes if mix.model is model), None)
        if found is None:
            found = Mix(model, self._current_face(model))
            mixes.append(found)
        return found

    def _current_face(self, model: LatentFaces) -> NDArray[np.float64]:
        face = self.session.face
        return mean_weights(model) if face is None else as_weights(model, face)

    # -- the mixed face --------------------------------------------------------

    def start_from(self, what: str) -> None:
        """Start from "face" (the one under the slider), "mean" or "nothing"."""
        if self.mix is not None:
            model = self.mix.model
            starts: dict[str, Callable[[], NDArray[np.float64]]] = {
                "face": lambda: self._current_face(model),
                "mean": lambda: mean_weights(model),
                "nothing": lambda: np.zeros(model.n_components),
            }
            self.mix.start_from(starts[what]())
            self._show()

    def show_morph(self, a: int, b: int, way: float) -> None:
        """Mix two faces of the model: all of `a` at 0, all of `b` at 1."""
        if self.mix is not None:
            one, other = (as_weights(self.mix.model, face) for face in (a, b))
            self.mix.set_weights((1 - way) * one + way * other)

    def _on_change(self, component: int | None) -> None:
        self._show()
        self.mix_changed.emit(component)

    def _show(self) -> None:
        """Draw the mixed face into its layer, and add that where there is none."""
        if self.mix is None:
            return
        model = self.mix.model
        picture = to_pixels(self.mix.pixels, model.provenance.dtype)
        layer = self._find(model, "mixed")
        if layer is None:
            layer = add_result(self.viewer, mixed_layer(picture, self._view(model)))
            self.session.results_changed()
        layer.metadata["latent_faces_mix"] = self.mix
        # in place: a new array would make napari look at all layers again
        layer.data[...] = picture
        layer.refresh(extent=False, highlight=False, thumbnail=False)
        self.session.show_mix(model, self.mix.weights)

    # -- faces that are made and kept --------------------------------------------

    def keep(self) -> None:
        """Add the mixed face to the generated ones."""
        if self.mix is not None:
            picture = to_pixels(self.mix.pixels, self.mix.model.provenance.dtype)
            n = self._keep(self.mix.weights[None], picture[None], "mixed by hand")
            self.told.emit(f"Kept as generated {n - 1}.")

    def random_face(self, random_state: int, near: str, strength: float) -> None:
        """Start from a random face, once a thread has drawn it; see `generate`."""

        def show(weights: NDArray[Any], _: NDArray[Any]) -> None:
            if self.mix is not None:
                self.mix.start_from(weights[0])

        self._draw(1, random_state, near, strength, show)

    def generate(self, n: int, random_state: int, near: str, strength: float) -> None:
        """Add `n` random faces to the generated ones, once a thread has made them.

        They are `near` the current "face" or the "mix", or anywhere (""); `strength` says how
        close, from 0 to 1.
        """
        made = f"random, seed {random_state}"
        if near == "face" and self.session.face is not None:
            made += f", {strength:g} close to {self.face_name(self.session.face)}"
        elif near == "mix":
            made += f", {strength:g} close to a mixed face"

        def keep(weights: NDArray[Any], pictures: NDArray[Any]) -> None:
            count = self._keep(weights, pictures, made)
            numbers = f"{count - n} to {count - 1}" if n > 1 else f"{count - 1}"
            self.told.emit(f"Added {n} random face{'s' * (n != 1)}: generated {numbers}.")

        self._draw(n, random_state, near, strength, keep)

    def _draw(self, n: int, random_state: int, near: str, strength: float, show: Show) -> None:
        if self.mix is not None:
            centres = {"mix": self.mix.weights, "face": self.session.face}
            centre, sampler = centres.get(near), self._sampler
            self._make(
                lambda: sampler().draw(n, random_state, near=centre, strength=strength), show
            )

    def add_morph(self, a: int, b: int, steps: int) -> None:
        """Add the faces on the way from one to another."""
        model = self.model
        if model is None:
            return
        made = f"morph from {self.face_name(a)} to {self.face_name(b)}"

        def show(weights: NDArray[Any], pictures: NDArray[Any]) -> None:
            recipes = number_recipes(weights, made, "morph")
            with self.session.undoable():
                self._show_made(None, pictures, recipes, self._view(model), "morph")
            self.told.emit(f"Added the {made}.")

        self._make(lambda: morph(model, a, b, steps), show)

    def _make(self, draw: Callable[[], NDArray[Any]], show: Show) -> None:
        if self.model is not None and not self.is_making:
            making = self._making = Making(self.model, draw)
            making.stepped.connect(lambda step: self.made_progress.emit(*step))
            making.returned.connect(lambda made: show(*made))
            making.ended.connect(self._on_made)
            self.making_began.emit()
            making.start()

    def _on_made(self, why_not: str) -> None:
        self._making = None
        if why_not:
            self.told.emit(why_not)
        self.making_ended.emit()

    def cancel(self) -> None:
        """Make no more faces."""
        if self._making is not None:
            self._making.cancel()

    @property
    def as_stack(self) -> bool:
        """Whether generated faces lie on the face slider, not all on one sheet."""
        made = self._made()
        return made[-1].ndim == 3 if made else self._as_stack

    @as_stack.setter
    def as_stack(self, as_stack: bool) -> None:
        self._as_stack = as_stack
        with self.session.undoable():
            for layer in self._made():
                known, owner = layer.metadata, owner_of(self.viewer, layer)
                view = FacesView(key=known[FACES_KEY]) if owner is None else FacesView.of(owner)
                recipes, role = known[RECIPES_KEY], known[ROLE_KEY]
                if (layer.ndim == 3) != as_stack:
                    pictures = known[PICTURES_KEY]
                    self._show_made(layer, pictures, recipes, view, role, as_stack=as_stack)

    def _made(self) -> list[Any]:
        roles = ("generated", "morph")
        return [each for each in self.viewer.layers if each.metadata.get(ROLE_KEY) in roles]

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """The recipes of the selected layer, or else of the generated faces."""
        generated = None if self.model is None else self._find(self.model, "generated")
        for layer in (self.viewer.layers.selection.active, generated):
            if layer is not None and RECIPES_KEY in layer.metadata:
                found: tuple[Recipe, ...] = layer.metadata[RECIPES_KEY]
                return found
        return ()

    def save_recipes(self, path: str | PathLike[str]) -> int:
        """Write the recipes of the selected stack, or of the generated faces; count them."""
        recipes = self.recipes
        save_recipes(path, recipes)
        return len(recipes)

    # -- faces of the model ------------------------------------------------------

    def face_name(self, face: int) -> str:
        """Return what a face of the model is called."""
        names = () if self.model is None else self.model.provenance.names
        return names[face] if 0 <= face < len(names) else f"face {face}"

    def nearest(self) -> Nearest | None:
        """Return the real face nearest to the mixed one; None before it can be found."""
        if self.mix is None or self._finder is None:
            return None
        return self._finder.find(self.mix.weights)

    def face_picture(self, face: int) -> tuple[NDArray[Any], tuple[float, float]]:
        """Return a face of the model, shape (h, w), and what to show black and white.

        The face itself where it is shown and in memory, else its reconstruction.
        """
        model, faces = self.session.model, self.session.faces
        pixels = None if faces is None else layer_pixels(faces)
        if isinstance(pixels, np.ndarray):
            low, high = faces.contrast_limits
            return pixels[face], (float(low), float(high))
        if model is None:
            return np.zeros((1, 1)), (0.0, 1.0)
        return model.reconstruct(face), (0.0, model.scale)

    # -- layers ----------------------------------------------------------------

    def _keep(self, weights: NDArray[Any], pictures: NDArray[Any], made: str) -> int:
        """Add faces to the generated ones; return how many these are now."""
        assert self.model is not None
        layer = self._find(self.model, "generated")
        recipes: tuple[Recipe, ...] = ()
        if layer is not None:
            recipes = layer.metadata[RECIPES_KEY]
            pictures = np.concatenate([layer.metadata[PICTURES_KEY], pictures])
        first = len(recipes)
        recipes += number_recipes(weights, made, first=first)
        view = self._view(self.model)
        with self.session.undoable():
            self._show_made(layer, pictures, recipes, view, "generated", first)
        return len(recipes)

    def _show_made(
        self,
        layer: Any,
        pictures: NDArray[Any],
        recipes: tuple[Recipe, ...],
        view: FacesView,
        role: str,
        first: int = 0,
        *,
        as_stack: bool | None = None,
    ) -> None:
        """Show faces that were made, on the slider from the first new one on."""
        as_stack = self.as_stack if as_stack is None else as_stack
        data = made_layer(pictures, recipes, view, role, as_stack=as_stack)
        shown = show_result(self.viewer, layer, data)
        self.session.results_changed()
        if as_stack:
            go_to(self.viewer, shown, first)

    def _view(self, model: LatentFaces) -> FacesView:
        """Return the look of the faces, or of their reconstructions where these are alone."""
        layers = self.viewer.layers
        results = (each for each in layers if each.metadata.get(MODEL_KEY) is model)
        shown = self.session.faces or next((each for each in results if each.ndim == 3), None)
        return FacesView() if shown is None else FacesView.of(shown)

    def _find(self, model: LatentFaces, role: str) -> Any:
        """Return the layer of this role beside these faces that fits the model."""
        key, shape = self._view(model).key, model.components.shape[1:]
        for layer in reversed(self.viewer.layers):
            known = layer.metadata
            if known.get(ROLE_KEY) != role or known.get(FACES_KEY) != key:
                continue
            if role == "mixed" and layer.data.shape == shape:
                return layer
            lengths = {len(recipe.weights) for recipe in known.get(RECIPES_KEY, ())}
            if lengths == {model.n_components} and known[PICTURES_KEY].shape[1:] == shape:
                return layer
        return None
