"""Stacks and models as napari layers: plain layer-data tuples, no viewer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.colours import DIVERGING, component_colours
from napari_latent_faces.lazy import LazyReconstruction, LazyResidual
from napari_latent_faces.pixels import as_stack, named
from napari_latent_faces.report import ReadReport, harmless
from napari_latent_faces.tiles import GAP, gallery_columns, montage
from napari_latent_faces.views import AXES, FacesView, stack_layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.stack import FaceStack
    from napari_latent_faces.views import LayerData

__all__ = [
    "FACES_KEY",
    "LEFT_OUT_KEY",
    "MODEL_KEY",
    "ROLE_KEY",
    "components_layer",
    "face_caption",
    "faces_layer",
    "gallery_layer",
    "layer_stack",
    "live_gallery",
    "model_layers",
    "reconstruction_layer",
    "residual_layer",
]

MODEL_KEY = "latent_faces"
"""Key of a result layer's metadata that holds its `LatentFaces`."""
ROLE_KEY = "latent_faces_role"
"""Key of a result layer's metadata that says what it shows."""
FACES_KEY = "latent_faces_of"
"""Key of a result layer's metadata that says which layer its faces are in."""
LEFT_OUT_KEY = "latent_faces_left_out"
"""Key of a result layer's metadata that says how many pixels of how many, over all faces,
the fit left out; it is there only if it left out any."""

_SAMPLE = 32  # faces looked at to find limits for all


def faces_layer(stack: FaceStack, name: str) -> LayerData:
    """Return a stack of faces as an image layer.

    Parameters
    ----------
    stack : FaceStack
        The faces.
    name : str
        Name of the layer.

    Returns
    -------
    tuple
        Data, keyword arguments and ``"image"``. The metadata holds names, subjects,
        report and source of the stack.
    """
    return (
        stack.images,
        {
            "name": harmless(name),
            "axis_labels": AXES,
            "colormap": "gray",
            "contrast_limits": _contrast_limits(stack.images),
            "metadata": {
                "names": stack.names,
                "subjects": stack.subjects,
                "report": stack.report,
                "source": stack.source,
            },
        },
        "image",
    )


def layer_stack(data: Any, metadata: Mapping[str, Any]) -> FaceStack:
    """Return the stack that an image layer shows, with its names if it knows them.

    Parameters
    ----------
    data : array of shape (n, h, w)
        The layer's pictures, numpy or lazy.
    metadata : mapping
        The layer's metadata; names and subjects are taken when they fit the pictures.

    Raises
    ------
    ValueError, TypeError
        If the pictures are not a stack of grey ones.
    """
    plain = as_stack(data)
    stack = named(plain, metadata)
    if stack is plain:
        return plain
    report = metadata.get("report")
    if not isinstance(report, ReadReport) or report.n_read != len(stack):
        report = ReadReport()
    return replace(stack, report=report, source=str(metadata.get("source", "")))


def face_caption(metadata: Mapping[str, Any], index: int) -> str | None:
    """Return name, subject and number of a face in words, or None if it has no name.

    Parameters
    ----------
    metadata : mapping
        Metadata of the faces' layer.
    index : int
        Which face.
    """
    names, subjects = metadata.get("names"), metadata.get("subjects")
    if not names or not 0 <= index < len(names):
        return None
    parts = [str(names[index]), f"{index + 1} of {len(names)}"]
    if subjects:
        parts.insert(1, f"subject {subjects[index]}")
    return "  |  ".join(parts)


def model_layers(model: LatentFaces, name: str) -> list[LayerData]:
    """Return gallery and reconstruction of a model without its faces, as from a file.

    Parameters
    ----------
    model : LatentFaces
        The model.
    name : str
        What the names of the layers have in brackets.

    Returns
    -------
    list of tuple
        Layer data: array, keyword arguments and ``"image"``.
    """
    view = FacesView(harmless(name), (0.0, model.scale))
    return [gallery_layer(model, view, places=2), reconstruction_layer(model, view, place=0)]


def gallery_layer(model: LatentFaces, view: FacesView, places: int = 2) -> LayerData:
    """Return all components in one flat picture, which stays when the face slider moves.

    Parameters
    ----------
    model : LatentFaces
        The model.
    view : FacesView
        Look of the faces.
    places : int
        How many pictures lie beside one another above the gallery.
    """
    picture, kwargs = live_gallery(model.components, view, places, is_signed=model.is_signed)
    kwargs["metadata"] = _metadata(model, view, "gallery")
    return picture, kwargs, "image"


def live_gallery(
    components: NDArray[Any],
    view: FacesView,
    places: int = 2,
    *,
    most_pixels: int | None = None,
    is_signed: bool = False,
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return a gallery of components, and how it lies under `places` faces in a row.

    Parameters
    ----------
    components : array of shape (k, h, w)
        Pictures with maximum 1, or farthest from 0 at 1.
    view : FacesView
        Look of the faces.
    places : int
        How many pictures lie beside one another above the gallery.
    most_pixels : int, optional
        Above this many, pixels are left out, so that a preview is drawn at once.
    is_signed : bool, default=False
        Whether pixels can be negative: from -1 to 1, with 0 in the middle of the colours.

    Returns
    -------
    picture : array of shape (y, x)
        The components in rows, the first at the top left.
    kwargs : dict
        Arguments of the image layer, without metadata.
    """
    k, h, w = components.shape
    if most_pixels is not None:
        step = int(np.ceil(np.sqrt(max(1.0, components.size / most_pixels))))
        components = components[:, ::step, ::step]
    span = places + (places - 1) * GAP
    picture = montage(components, gallery_columns(k, span))
    zoom = span * w / picture.shape[1]
    y, x = view.translate[-2:]
    return picture, {
        "name": f"latent faces [{view.name}]",
        "axis_labels": AXES[1:],
        **component_colours(is_signed=is_signed),
        "scale": tuple(zoom * step for step in view.scale[-2:]),
        "translate": (y + (h + w * GAP) * view.scale[-2], x),
    }


def components_layer(model: LatentFaces, view: FacesView, place: int = 2) -> LayerData:
    """Return the components as a stack (component, face, y, x) with a slider of its own.

    The same component lies behind every face, without a copy, so that the picture does
    not go blank when the face slider moves.

    Parameters
    ----------
    model : LatentFaces
        The model.
    view : FacesView
        Look of the faces.
    place : int
        How many pictures to the right of the faces it lies.
    """
    k, h, w = model.components.shape
    shape = (k, len(model.weights), h, w)
    return (
        np.broadcast_to(model.components[:, None], shape),
        {
            "name": f"latent faces [{view.name}]",
            "axis_labels": ("component", *AXES),
            **component_colours(is_signed=model.is_signed),
            "scale": (1.0, *view.scale),
            "translate": (0.0, *view.beside(place, w)),
            "metadata": _metadata(model, view, "components"),
        },
        "image",
    )


def reconstruction_layer(model: LatentFaces, view: FacesView, place: int = 1) -> LayerData:
    """Return the reconstructions, computed when looked at, in the look of the faces.

    Parameters
    ----------
    model : LatentFaces
        The model.
    view : FacesView
        Look of the faces.
    place : int
        How many pictures to the right of the faces it lies.
    """
    name, metadata = f"reconstruction [{view.name}]", _metadata(model, view, "reconstruction")
    return stack_layer(LazyReconstruction(model), name, view, place, metadata)


def residual_layer(
    images: Any, model: LatentFaces, view: FacesView, place: int = 2
) -> LayerData:
    """Return faces minus reconstructions, computed when looked at, with 0 in the middle.

    Parameters
    ----------
    images : array of shape (n, h, w)
        The faces, numpy or lazy.
    model : LatentFaces
        The model.
    view : FacesView
        Look of the faces.
    place : int
        How many pictures to the right of the faces it lies.
    """
    residual = LazyResidual(images, model)
    limit = _residual_limit(model)
    name, metadata = f"residual [{view.name}]", _metadata(model, view, "residual")
    colours = {"colormap": DIVERGING, "contrast_limits": (-limit, limit)}
    return stack_layer(residual, name, view, place, metadata, **colours)


def _residual_limit(model: LatentFaces) -> float:
    """Return how far from 0 most residuals lie, without a look at the faces.

    Where a fit has converged, the reconstructions are at right angles to what they leave,
    so the relative error tells the residuals' root mean square from theirs.
    """
    parts = [model.components.reshape(model.n_components, -1).astype(np.float64)]
    weights = [np.asarray(model.weights, np.float64)]
    if model.mean is not None:
        parts.append(model.mean.reshape(1, -1).astype(np.float64))
        weights.append(np.ones((len(model.weights), 1)))
    H, W = np.concatenate(parts), np.concatenate(weights, axis=1)
    power = float(((W.T @ W) * (H @ H.T)).sum()) / (len(W) * H.shape[1])
    error = min(float(model.error), 0.99)
    rms = model.scale * error * np.sqrt(max(power, 0.0) / (1 - error**2))
    return float(4 * rms) or 1.0


def _metadata(model: LatentFaces, view: FacesView, role: str) -> dict[str, Any]:
    """Return what a result layer knows: its model, its role, and the faces' names."""
    known = {
        MODEL_KEY: model,
        ROLE_KEY: role,
        FACES_KEY: view.key,
        "names": model.provenance.names,
        "subjects": model.provenance.subjects,
    }
    if model.left_out[0]:
        known[LEFT_OUT_KEY] = model.left_out
    return known


def _sample(n: int) -> list[int]:
    """Return a few indices spread evenly over `n` faces.

    They are to be used one by one: of a lazy stack, several at once cost whole blocks.
    """
    return sorted({int(i) for i in np.linspace(0, n - 1, min(n, _SAMPLE))})


def _contrast_limits(images: Any) -> tuple[float, float]:
    """Return what to show black and white, the same for all faces.

    8-bit pictures use the range of their type; others mostly fill little of it, so the
    pixels of some faces tell.
    """
    dtype = np.dtype(images.dtype)
    if dtype == np.uint8:
        return 0.0, 255.0
    some = [np.asarray(images[i]) for i in _sample(len(images))]
    low = min(0.0, *(float(picture.min()) for picture in some))
    high = max(float(picture.max()) for picture in some)
    return low, high if high > low else low + 1.0
