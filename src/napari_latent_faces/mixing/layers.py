"""Mixed and generated faces as napari layers: plain layer-data tuples, no viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_latent_faces.layers import FACES_KEY, ROLE_KEY
from napari_latent_faces.views import stack_layer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.mixing.recipes import Recipe
    from napari_latent_faces.views import FacesView, LayerData

__all__ = ["RECIPES_KEY", "free_place", "mixed_layer", "recipe_metadata", "recipes_layer"]

RECIPES_KEY = "latent_faces_recipes"
"""Key of a generated layer's metadata that holds a `Recipe` for each of its faces."""


def mixed_layer(pixels: NDArray[Any], view: FacesView, place: int) -> LayerData:
    """Return a mixed face as a flat picture in the look of the faces.

    Flat, it stays when the face slider moves.

    Parameters
    ----------
    pixels : array of shape (h, w)
        The face.
    view : FacesView
        Look of the faces.
    place : int
        How many pictures to the right of the faces it lies.
    """
    return (
        pixels,
        {
            "name": f"mixed face [{view.name}]",
            "axis_labels": ("y", "x"),
            "colormap": view.colormap,
            "contrast_limits": view.contrast_limits,
            "scale": view.scale[-2:],
            "translate": view.beside(place, pixels.shape[-1])[-2:],
            "metadata": {ROLE_KEY: "mixed", FACES_KEY: view.key},
        },
        "image",
    )


def recipes_layer(
    pictures: NDArray[Any],
    recipes: Sequence[Recipe],
    view: FacesView,
    place: int,
    role: str = "generated",
) -> LayerData:
    """Return faces that were made, shape (m, h, w), as a stack with their recipes.

    Parameters
    ----------
    pictures, recipes
        As many of one as of the other.
    view : FacesView
        Look of the faces.
    place : int
        How many faces to the right of the faces, as `FacesView.beside`.
    role : {"generated", "morph"}
        What it shows.
    """
    title = {"generated": "generated faces", "morph": "morph"}[role]
    metadata = {ROLE_KEY: role, FACES_KEY: view.key, **recipe_metadata(recipes)}
    return stack_layer(pictures, f"{title} [{view.name}]", view, place, metadata)


def recipe_metadata(recipes: Sequence[Recipe]) -> dict[str, Any]:
    """Return what a layer knows of its recipes; the names are shown as those of faces are."""
    return {
        RECIPES_KEY: tuple(recipes),
        "names": tuple(recipe.name for recipe in recipes),
        "subjects": None,
    }


def free_place(
    view: FacesView, size: tuple[int, int], taken: Iterable[tuple[NDArray[Any], NDArray[Any]]]
) -> int:
    """Return the first place to the left of the faces where nothing lies yet.

    The places to their right belong to reconstructions and residuals, which may come
    later.

    Parameters
    ----------
    view : FacesView
        Look of the faces.
    size : tuple of int
        Height and width of a face in pixels.
    taken : iterable of two arrays of length 2
        Lowest and highest y and x of what is shown.

    Returns
    -------
    int
        -1 for the first, -2 for the one beyond, and so on.
    """
    taken = list(taken)
    h, w = size
    place = -1
    while True:
        y, x = view.beside(place, w)[-2:]
        bottom, right = y + (h - 1) * view.scale[-2], x + (w - 1) * view.scale[-1]
        if not any(
            low[0] < bottom and y < high[0] and low[1] < right and x < high[1]
            for low, high in taken
        ):
            return place
        place -= 1
