"""Layers of one viewer that lie beside the faces they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_latent_faces.layers import FACES_KEY, ROLE_KEY

if TYPE_CHECKING:
    import napari

    from napari_latent_faces.views import LayerData

__all__ = ["bring_into_view", "find_beside", "free_place", "put_beside"]

_MARGIN = 0.13  # of the canvas: the face's name stands below the pictures, not on them
_BELOW = ("gallery", "preview")  # roles of layers that lie under the row of the faces


def bring_into_view(viewer: napari.components.ViewerModel) -> None:
    """Show all layers as large as the canvas allows, with room for the face's name."""
    viewer.reset_view(margin=_MARGIN)


def find_beside(viewer: napari.components.ViewerModel, faces: Any, role: str) -> Any:
    """Return the newest layer of these faces with a role, or None.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    faces : napari.layers.Image
        The layer of the faces.
    role : str
        What is looked for, as the metadata have it.
    """
    key = str(faces.unique_id)
    found = (
        layer
        for layer in reversed(viewer.layers)
        if layer.metadata.get(FACES_KEY) == key and layer.metadata.get(ROLE_KEY) == role
    )
    return next(found, None)


def free_place(
    viewer: napari.components.ViewerModel, faces: Any, roles: tuple[str, ...]
) -> int:
    """Return how many pictures to the right of the faces nothing lies yet.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    faces : napari.layers.Image
        The layer of the faces.
    roles : tuple of str
        Roles of layers that are about to be replaced: they do not count.
    """
    key = str(faces.unique_id)
    there = {
        layer.metadata.get(ROLE_KEY)
        for layer in viewer.layers
        if layer.metadata.get(FACES_KEY) == key
    }
    return 1 + len(there - {*_BELOW, *roles})


def put_beside(
    viewer: napari.components.ViewerModel, faces: Any, wanted: dict[str, LayerData]
) -> list[Any]:
    """Show layers beside their faces, in place of earlier ones with the same roles.

    Colours and visibility of an earlier layer stay; the faces are selected, so that the
    slider stays theirs.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where.
    faces : napari.layers.Image
        The layer of the faces.
    wanted : dict of str to layer data
        The layers by role.

    Returns
    -------
    list of napari.layers.Image
        The layers in the order of `wanted`.
    """
    from napari.layers import Layer

    shown, n_before = [], len(viewer.layers)
    for role, (data, kwargs, kind) in wanted.items():
        earlier = find_beside(viewer, faces, role)
        if earlier is not None and earlier.ndim == data.ndim:
            earlier.data = data
            for name in ("scale", "translate", "metadata"):
                setattr(earlier, name, kwargs[name])
            shown.append(earlier)
            continue
        if earlier is not None:
            viewer.layers.remove(earlier)
        shown.append(viewer.add_layer(Layer.create(data, kwargs, kind)))
    if faces in viewer.layers:
        viewer.layers.selection.active = faces
    if len(viewer.layers) > n_before:  # what is new lies to the right of what was seen
        bring_into_view(viewer)
    return shown
