"""The layers of mixed and generated faces in one viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces._beside import bring_into_view
from napari_latent_faces.layers import FACES_KEY, MODEL_KEY, ROLE_KEY
from napari_latent_faces.mixing import to_pixels
from napari_latent_faces.mixing.layers import (
    RECIPES_KEY,
    free_place,
    mixed_layer,
    recipe_metadata,
    recipes_layer,
)
from napari_latent_faces.mixing.recipes import number_recipes
from napari_latent_faces.views import FacesView

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

    from napari_latent_faces._focus import Focus
    from napari_latent_faces.mixing.recipes import Recipe
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.views import LayerData

__all__ = ["MixedLayers"]


class MixedLayers:
    """Shows mixed faces beside the faces that they are mixed from.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where.
    focus : Focus
        Tells which layer the faces are in.
    """

    def __init__(self, viewer: napari.components.ViewerModel, focus: Focus) -> None:
        self.viewer, self.focus = viewer, focus
        self._mixed: Any = None

    def show_mixed(self, model: LatentFaces, pixels: NDArray[Any]) -> None:
        """Draw the mixed face (h, w) into its layer, and add that where there is none."""
        pictures = to_pixels(pixels, model.provenance.dtype)
        if not self._is_shown(model, pictures):
            self._mixed = self._find(model, "mixed") or self._add(
                mixed_layer(pictures, *self._where(model))
            )
        # in place: a new array would make napari look at all layers again
        self._mixed.data[...] = pictures
        self._mixed.refresh(extent=False, highlight=False, thumbnail=False)

    def bring_into_view(self) -> None:
        """Show all layers as large as the canvas allows."""
        bring_into_view(self.viewer)

    def keep(
        self, model: LatentFaces, weights: NDArray[Any], pictures: NDArray[Any], made: str
    ) -> int:
        """Add faces to the generated ones; return how many these are now.

        Parameters
        ----------
        model : LatentFaces
            What they are made from.
        weights, pictures : array of shape (m, k) and (m, h, w)
            The faces.
        made : str
            How they came about, in words.
        """
        layer = self._find(model, "generated")
        recipes = () if layer is None else layer.metadata[RECIPES_KEY]
        recipes += number_recipes(weights, made, first=len(recipes))
        if layer is None:
            self._add(recipes_layer(pictures, recipes, *self._where(model)))
        else:
            layer.data = np.concatenate([layer.data, pictures])
            layer.metadata.update(recipe_metadata(recipes))
        return len(recipes)

    def add_morph(
        self, model: LatentFaces, weights: NDArray[Any], pictures: NDArray[Any], made: str
    ) -> None:
        """Add the faces of a morph as a stack; parameters as of `keep`."""
        recipes = number_recipes(weights, made, "morph")
        self._add(recipes_layer(pictures, recipes, *self._where(model), role="morph"))

    def recipes(self, model: LatentFaces | None) -> tuple[Recipe, ...]:
        """Return the recipes of the selected stack, or else of the generated faces."""
        generated = None if model is None else self._find(model, "generated")
        for layer in (self.viewer.layers.selection.active, generated):
            if layer is not None and RECIPES_KEY in layer.metadata:
                found: tuple[Recipe, ...] = layer.metadata[RECIPES_KEY]
                return found
        return ()

    def _is_shown(self, model: LatentFaces, pictures: NDArray[Any]) -> bool:
        layer = self._mixed
        return (
            layer is not None
            and layer in self.viewer.layers
            and layer.data.shape == pictures.shape
            and layer.metadata.get(FACES_KEY) == self._view(model).key
        )

    def _view(self, model: LatentFaces) -> FacesView:
        """Return the look of the faces, or of their reconstructions where these are alone."""
        layers = self.viewer.layers
        results = (each for each in layers if each.metadata.get(MODEL_KEY) is model)
        shown = self.focus.faces or next((each for each in results if each.ndim == 3), None)
        return FacesView() if shown is None else FacesView.of(shown)

    def _where(self, model: LatentFaces) -> tuple[FacesView, int]:
        """Return the look of the faces, and a place beside them that is free."""
        view = self._view(model)
        taken = [layer.extent.world[:, -2:] for layer in self.viewer.layers if layer.ndim >= 2]
        return view, free_place(view, model.shape[1:], taken)

    def _find(self, model: LatentFaces, role: str) -> Any:
        """Return the layer of this role beside these faces that fits the model."""
        key = self._view(model).key
        for layer in reversed(self.viewer.layers):
            known = layer.metadata
            if known.get(ROLE_KEY) != role or known.get(FACES_KEY) != key:
                continue
            lengths = [len(recipe.weights) for recipe in known.get(RECIPES_KEY, ())[:1]]
            fits = tuple(layer.data.shape[-2:]) == model.shape[1:]
            if fits and lengths in ([], [model.n_components]):
                return layer
        return None

    def _add(self, data: LayerData) -> Any:
        """Add a layer, and leave what was selected so that the slider stays its."""
        from napari.layers import Layer

        selection = self.viewer.layers.selection
        before = selection.active
        layer = self.viewer.add_layer(Layer.create(*data))
        if before is not None:
            selection.active = before
        self.bring_into_view()
        return layer
