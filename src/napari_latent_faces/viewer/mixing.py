"""Faces that are mixed and made: the layers that show them, and the work for them."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.explaining import NearestFaces
from napari_latent_faces.mixing import Mix, as_weights, mean_weights, number_recipes, to_pixels
from napari_latent_faces.viewer import layers
from napari_latent_faces.viewer.canvas import go_to
from napari_latent_faces.viewer.jobs import Job
from napari_latent_faces.viewer.layers import PICTURES_KEY, RECIPES_KEY, results_of
from napari_latent_faces.viewer.session import add_result, session_of, show_result

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_latent_faces.mixing import Recipe
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.viewer.layers import LayerData

    Array = NDArray[Any]
    Made = tuple[Array, Array, str]  # weights, pictures, and in words how they were made
    Show = Callable[[Array, Array], str]  # weights and their pictures

_BLOCK_FACES = 16  # between two looks at whether to go on
_ASKED = 200  # faces whose nearest others tell what is usual


class Making(Job):
    """Draws weights (m, k) and makes their pictures, for `show`, which says what came of it."""

    cancelled = "Cancelled; nothing was kept."
    failure = "No faces were made"

    def __init__(self, model: LatentFaces, draw: Callable[[], Array], show: Show) -> None:
        def make() -> Generator[tuple[int, int], None, tuple[Array, Array]]:
            weights = draw()  # takes its time, too
            n, dtype = len(weights), np.dtype(model.provenance.dtype)
            pictures = np.empty((n, *model.components.shape[1:]), dtype)
            for first in range(0, n, _BLOCK_FACES):
                yield first, n
                part = slice(first, first + _BLOCK_FACES)
                pictures[part] = to_pixels(model.blend(weights[part]), dtype)
            yield n, n
            return weights, pictures

        super().__init__(make)
        self._show = show

    def take_value(self, value: tuple[Array, Array]) -> str:
        return self._show(*value)


def prepare_nearest(model: LatentFaces) -> tuple[NearestFaces, float]:
    """Return what finds the nearest real face, and how far apart real ones are (median)."""
    faces, n = NearestFaces(model), len(model.weights)
    if n < 2:
        return faces, float("nan")
    some = np.unique(np.linspace(0, n - 1, min(n, _ASKED)).astype(int))
    find: Callable[..., Any] = faces.find
    return faces, median(float(find(model.weights[i], 1, exclude=int(i))[1][0]) for i in some)


class MixLayers:
    """The mixed face of a viewer, drawn anew at each change, and sheets or stacks of others."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer, self._session = viewer, session_of(viewer)

    def mix_of(self, model: LatentFaces) -> Mix:
        """Return the mix of a model, which outlives the panel, or a new one."""
        mixes: list[Mix] = self._session.mixes
        mixes[:] = [mix for mix in mixes if results_of(self._viewer, model=mix.model)]
        if all(mix.model is not model for mix in mixes):
            mixes.append(Mix(model, self.current_weights(model)))
        return next(mix for mix in mixes if mix.model is model)

    def current_weights(self, model: LatentFaces) -> NDArray[np.float64]:
        """Return the weights of the face under the slider, or else of the mean face."""
        face = self._session.face
        return mean_weights(model) if face is None else as_weights(model, face)

    def draw(self, mix: Mix) -> None:
        """Draw the mixed face into its layer, and add that where there is none."""
        picture = to_pixels(mix.pixels, mix.model.provenance.dtype)
        layer = self.find(mix.model, "mixed")
        if layer is None:
            view = self._view(mix.model)
            flat = layers.result_layer(picture, "mixed", view, layers.AXES[1:])
            layer = add_result(self._viewer, flat)
            self._session.results_changed()
        layer.metadata["latent_faces_mix"] = mix
        # in place: a new array would make napari look at all layers again
        layer.data[...] = picture
        layer.refresh(extent=False, highlight=False, thumbnail=False)
        self._session.show_mix(mix.model, mix.weights)

    def face_picture(self, face: int) -> tuple[Array, tuple[float, float]]:
        """Return a face, or its reconstruction if not in memory, and its black and white."""
        faces, model = self._session.faces, self._session.model
        pixels = None if faces is None else layers.layer_pixels(faces)
        if isinstance(pixels, np.ndarray):
            low, high = faces.contrast_limits
            return pixels[face], (float(low), float(high))
        assert model is not None
        return model.reconstruct(face), (0.0, model.scale)

    def add(self, model: LatentFaces, role: str, made: Made, *, as_stack: bool) -> range:
        """Add faces to the "generated" ones, or a new "morph"; return their numbers."""
        weights, pictures, words = made
        earlier = self.find(model, role) if role == "generated" else None
        recipes: tuple[Recipe, ...] = ()
        if earlier is not None:
            recipes = earlier.metadata[RECIPES_KEY]
            pictures = np.concatenate([earlier.metadata[PICTURES_KEY], pictures])
        first = len(recipes)
        recipes += number_recipes(weights, words, role, first)
        data = layers.made_layer(pictures, recipes, self._view(model), role, as_stack=as_stack)
        with self._session.undoable():
            self._show_made(earlier, data, first)
        return range(first, len(recipes))

    def made(self) -> list[Any]:
        return results_of(self._viewer, None, "generated", "morph")[::-1]

    def show_as_stacks(self, as_stack: bool) -> None:
        """Show faces that were made on the face slider, or all at once on a sheet."""
        with self._session.undoable():
            for layer in self.made():
                known, look = layer.metadata, layers.FacesView
                key = known[layers.FACES_KEY]
                owner = layers.layer_with(self._viewer, key)
                view = look(key=key) if owner is None else look.of(owner)
                if (layer.ndim == 3) != as_stack:
                    made = known[PICTURES_KEY], known[RECIPES_KEY], view, known[layers.ROLE_KEY]
                    self._show_made(layer, layers.made_layer(*made, as_stack=as_stack))

    def recipes(self, model: LatentFaces | None) -> tuple[Recipe, ...]:
        """Return the recipes of the selected layer, or else of the generated faces."""
        generated = model and self.find(model, "generated")
        those = filter(None, (self._viewer.layers.selection.active, generated))
        found = (each.metadata.get(RECIPES_KEY) for each in those)
        return next(filter(None, found), ())

    def find(self, model: LatentFaces, role: str) -> Any:
        """Return the layer of this role beside these faces that fits the model."""
        shape = model.components.shape
        for layer in results_of(self._viewer, self._view(model).key, role):
            if role == "mixed" and layer.data.shape == shape[1:]:
                return layer
            lengths = {len(recipe.weights) for recipe in layer.metadata.get(RECIPES_KEY, ())}
            if lengths == {shape[0]} and layer.metadata[PICTURES_KEY].shape[1:] == shape[1:]:
                return layer
        return None

    def _show_made(self, layer: Any, data: LayerData, first: int = 0) -> None:
        """Show faces that were made; a stack from the first new one on."""
        shown = show_result(self._viewer, layer, data)
        self._session.results_changed()
        if shown.ndim == 3:
            go_to(self._viewer, shown, first)

    def _view(self, model: LatentFaces) -> layers.FacesView:
        """Return the look of the faces, or of their reconstructions where these are alone."""
        shown = self._session.stacked(model)
        return layers.FacesView() if shown is None else layers.FacesView.of(shown)
