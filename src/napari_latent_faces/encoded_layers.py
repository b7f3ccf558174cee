"""Encoded and mended faces as napari layers: plain layer-data tuples, no viewer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.layers import FACES_KEY, ROLE_KEY, reconstruction_layer, residual_layer
from napari_latent_faces.views import FacesView, stack_layer

if TYPE_CHECKING:
    from napari_latent_faces.mending import MendedFaces
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.stack import FaceStack
    from napari_latent_faces.views import LayerData

__all__ = [
    "ENCODED",
    "ENCODED_RESIDUAL",
    "MENDED",
    "encoded_layers",
    "mended_layer",
    "resized_view",
    "view_of",
]

ENCODED, ENCODED_RESIDUAL, MENDED = "encoded", "encoded residual", "mended"
"""Roles of the layers: not those of a fit, which a later fit of the faces would replace."""


def view_of(layer: Any) -> FacesView:
    """Return the look of an image layer of one or many pictures, grey or in colour."""
    view = FacesView.of(layer)
    missing = 3 - layer.ndim
    return replace(
        view,
        scale=(1.0,) * missing + view.scale,
        translate=(0.0,) * missing + view.translate,
    )


def resized_view(view: FacesView, own: tuple[int, int], size: tuple[int, int]) -> FacesView:
    """Return the look of pictures of another size, that are as tall as the faces are.

    Parameters
    ----------
    view : FacesView
        Look of the faces.
    own, size : tuple of int
        Height and width of the faces, and of the other pictures.
    """
    if tuple(own) == tuple(size):
        return view
    zoom = own[0] / size[0]
    old, new = np.array(view.scale[1:]), np.array(view.scale[1:]) * zoom
    corner = np.array(view.translate[1:]) + (new - old) / 2  # of pixels, not their centres
    corner[1] += own[1] * old[1] - size[1] * new[1]  # so that place 1 is next to the faces
    return replace(
        view, scale=(view.scale[0], *new.tolist()), translate=(view.translate[0], *corner)
    )


def encoded_layers(
    stack: FaceStack, model: LatentFaces, view: FacesView, *, place: int = 1, flat: bool = False
) -> dict[str, LayerData]:
    """Return reconstructions and residuals of encoded faces, by role.

    Parameters
    ----------
    stack : FaceStack
        The faces, at the size of the model.
    model : LatentFaces
        Their own model, of `encoded_model`.
    view : FacesView
        Look of the faces at that size.
    place : int
        How many pictures to the right of the faces the first lies.
    flat : bool
        Whether it is a single picture, which is seen wherever the slider is.
    """
    rebuilt = reconstruction_layer(model, view, place)
    left = residual_layer(stack.images, model, view, place + 1)
    named = {
        ENCODED: (rebuilt, f"encoded [{view.name}]"),
        ENCODED_RESIDUAL: (left, f"encoded residual [{view.name}]"),
    }
    return {
        role: _with_role(_flat(data) if flat else data, role, name)
        for role, (data, name) in named.items()
    }


def mended_layer(
    mended: MendedFaces,
    stack: FaceStack,
    view: FacesView,
    *,
    place: int = 1,
    flat: bool = False,
) -> LayerData:
    """Return mended faces in the look of the faces.

    The layer has no model: its pictures can be saved as any others.

    Parameters
    ----------
    mended : MendedFaces
        The mended faces.
    stack : FaceStack
        Names and subjects.
    view : FacesView
        Look of the faces.
    place : int
        How many pictures to the right of the faces they lie.
    flat : bool
        As of `encoded_layers`.
    """
    metadata = {
        ROLE_KEY: MENDED,
        FACES_KEY: view.key,
        "names": stack.names,
        "subjects": stack.subjects,
    }
    layer = stack_layer(mended, f"mended [{view.name}]", view, place, metadata)
    return _flat(layer) if flat else layer


def _with_role(layer: LayerData, role: str, name: str) -> LayerData:
    data, kwargs, kind = layer
    metadata = {**kwargs["metadata"], ROLE_KEY: role}
    return data, {**kwargs, "name": name, "metadata": metadata}, kind


def _flat(layer: LayerData) -> LayerData:
    """Return the first picture of a stack's layer."""
    data, kwargs, kind = layer
    last = {key: kwargs[key][-2:] for key in ("axis_labels", "scale", "translate")}
    return np.asarray(data[0]), {**kwargs, **last}, kind
