"""Stacks and models as napari layer data; where they lie is for `layout` to say."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_latent_faces import tiles
from napari_latent_faces.encoding import LazyReconstruction, LazyResidual
from napari_latent_faces.stack import (
    LazyStack,
    ReadReport,
    as_pixels,
    as_stack,
    harmless,
    named,
)
from napari_latent_faces.tiles import GAP, montage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari.components import ViewerModel
    from numpy.typing import DTypeLike, NDArray

    from napari_latent_faces.encoding import MendedFaces
    from napari_latent_faces.mixing import Recipe
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.params import Parameters
    from napari_latent_faces.stack import FaceStack

    Array = NDArray[Any]
    Change = Callable[[Array], Array]
    LayerData = tuple[Any, dict[str, Any], str]

AXES = ("face", "y", "x")

# keys of the metadata of layers
MODEL_KEY = "latent_faces"  # the `LatentFaces` of a result
ROLE_KEY = "latent_faces_role"  # what a result shows
FACES_KEY = "latent_faces_of"  # which layer holds the faces that this one belongs to
LEFT_OUT_KEY = "latent_faces_left_out"  # how many pixels of how many a fit left out, if any
RECIPES_KEY = "latent_faces_recipes"  # a `Recipe` for each generated face
PICTURES_KEY = "latent_faces_pictures"  # the generated faces that are shown, (m, h, w)
SPAN_KEY = "latent_faces_span"  # how many faces wide a flat sheet is shown
ALIGNED_KEY = "latent_faces_aligned_from"  # which layer holds aligned faces as they were
HIDDEN_KEY = "latent_faces_hidden"  # of a layer that was hidden for another, not by the user
IGNORE_KEY = "latent_faces_ignore"  # of a mask that fits of its faces ignore by themselves

# roles
PREVIEW = "preview"  # the gallery of a running fit
ENCODED, ENCODED_RESIDUAL, MENDED = "encoded", "encoded residual", "mended"  # of no fit
BEFORE, CAPTIONS = "before", "captions"
_NAMES = {
    **dict.fromkeys(("gallery", PREVIEW, "components"), "latent faces"),
    "mixed": "mixed face",
    "generated": "generated faces",
}

PREVIEW_PIXELS = 2**20  # of a gallery that is redrawn several times a second
_SAMPLE = 32  # faces looked at to find limits for all
_FLAT_SPAN = 2.0  # faces that a sheet of generated ones is wide


@dataclass(frozen=True)
class FacesView:
    """How a layer of faces is shown; `affine` (4, 4) brings (face, y, x) into the viewer."""

    name: str = "faces"
    contrast_limits: tuple[float, float] = (0.0, 1.0)
    colormap: Any = "gray"
    key: str = ""  # tells this layer from others, whatever it is called
    affine: Any = field(default_factory=lambda: np.eye(4))
    units: tuple[Any, ...] = ("pixel",) * 3

    @classmethod
    def of(cls, layer: Any) -> FacesView:
        low, high = map(float, layer.contrast_limits)
        colormap, key = layer.colormap.name, str(layer.unique_id)
        affine, units = to_world(layer, 3), tuple(layer.units)
        return cls(harmless(layer.name), (low, high), colormap, key, affine, units)

    def at(self, ndim: int, zoom: float = 1, y: float = 0, x: float = 0) -> dict[str, Any]:
        """Return the transform of a layer whose corner lies `y`, `x` pixels from the faces'."""
        place = np.eye(ndim + 1)
        place[[-3, -2], [-3, -2]] = zoom
        # the origin is the middle of a pixel, the corner lies half a pixel before it
        place[-3:-1, -1] = np.array([y, x]) + (zoom - 1) / 2
        units = (*("pixel",) * ndim, *self.units)[-ndim:]
        return {"affine": _last_axes(self.affine, ndim + 1) @ place, "units": units}


def to_world(layer: Any, n_axes: int) -> Array:
    """Return the affine matrix from the last axes of a layer to the world."""
    origin = np.array(layer.data_to_world(np.zeros(layer.ndim)))
    columns = [np.array(layer.data_to_world(unit)) - origin for unit in np.eye(layer.ndim)]
    matrix = np.eye(layer.ndim + 1)
    matrix[:-1] = np.column_stack([*columns, origin])
    return _last_axes(matrix, n_axes + 1)


def _last_axes(matrix: Array, n: int) -> Array:
    """Return the last `n` axes of a matrix, or more of them that it leaves alone."""
    found, known = np.eye(n), min(n, len(matrix))
    found[-known:, -known:] = matrix[-known:, -known:]
    return found


def faces_layer(stack: FaceStack, name: str) -> LayerData:
    """Return a stack of faces as an image layer, in colour if its pictures are."""
    told = ("names", "subjects", "report", "source", "white", "transforms", "frame")
    known = {each: getattr(stack, each) for each in told}
    kwargs = {
        "name": harmless(name),
        "axis_labels": AXES,
        "metadata": {each: value for each, value in known.items() if value is not None},
        "contrast_limits": _contrast_limits(stack.images),
        **({"rgb": True} if stack.in_colour else {"colormap": "gray"}),
    }
    return stack.images, kwargs, "image"


def layer_pixels(layer: Any) -> Any:
    """Return the pictures of an image layer, the largest if it has several sizes of them."""
    return layer.data[0] if layer.multiscale else layer.data


def picture_size(layer: Any) -> tuple[int, int]:
    """Return height and width of a layer's pictures, grey or in colour."""
    height, width = layer_pixels(layer).shape[layer.ndim - 2 : layer.ndim]
    return int(height), int(width)


def layer_with(viewer: ViewerModel, key: Any) -> Any:
    """Return the layer with a key of `FacesView`, or None."""
    return next((each for each in viewer.layers if str(each.unique_id) == key), None)


def results_of(
    viewer: ViewerModel, faces: Any = None, *roles: str, model: Any = None
) -> list[Any]:
    """Return layers that belong to faces, or to a key of some, with a role; newest first."""
    key = faces if faces is None or isinstance(faces, str) else str(faces.unique_id)
    return [
        layer
        for layer in reversed(viewer.layers)
        if key in (None, layer.metadata.get(FACES_KEY)) and FACES_KEY in layer.metadata
        if not roles or layer.metadata.get(ROLE_KEY) in roles
        if model is None or layer.metadata.get(MODEL_KEY) is model
    ]


def why_not_faces(layer: Any, fewest_axes: int = 3) -> str:
    """Return why a layer is no stack of faces, in a sentence; "" if it can be one."""
    name = harmless(layer.name)
    if not isinstance(layer, Image):
        return f"{name} is a layer of {type(layer).__name__.lower()}: faces are an image layer."
    if ROLE_KEY in layer.metadata:
        return f"{name} is a result: choose the faces that it belongs to."
    if layer.ndim < fewest_axes:
        return f"{name} is a single picture: a stack of faces has the axes face, y, x."
    if layer.ndim > 3:
        labels = zip(layer.axis_labels, layer_pixels(layer).shape, strict=False)
        axes, index = ", ".join(f"{each} ({n})" for each, n in labels), "0, " * (layer.ndim - 3)
        return (
            f"{name} has {layer.ndim} axes, {axes}, a stack of faces three. Right-click "
            "the layer > Split Stack parts it along its first axis, and in the console "
            f"viewer.add_image(viewer.layers[{name!r}].data[{index}:]) adds one part."
        )
    return ""


def stack_of(layer: Any) -> FaceStack:
    """Return the stack that an image layer shows, or say why it shows none."""
    if why_not := why_not_faces(layer):
        raise ValueError(why_not)
    return layer_stack(layer_pixels(layer), layer.metadata)


def layer_stack(data: Any, metadata: Mapping[str, Any]) -> FaceStack:
    """Return the stack that pictures show, with what their metadata tell of them."""
    plain = as_stack(data)
    stack = named(plain, metadata)
    if stack is plain:
        return plain
    report = metadata.get("report")
    if not isinstance(report, ReadReport) or report.n_read != len(stack):
        report = ReadReport()
    return replace(stack, report=report, source=str(metadata.get("source", "")))


def face_caption(metadata: Mapping[str, Any], index: int) -> str | None:
    """Return name, subject and number of a face in words, or None if it has no name."""
    names, subjects = metadata.get("names"), metadata.get("subjects")
    if not names or not 0 <= index < len(names):
        return None
    who = [f"subject {subjects[index]}"] if subjects else []
    return "  |  ".join([str(names[index]), *who, f"face {index}"])


def _contrast_limits(images: Any) -> tuple[float, float]:
    """Return what to show black and white, the same for all faces."""
    dtype = np.dtype(images.dtype)
    if dtype == np.uint8:
        return 0.0, 255.0
    # of lazy ones the first tells, which is shown anyway; as others can be brighter, there is
    # room up to the next power of two, or to 1
    is_in_memory = isinstance(images, np.ndarray) and not isinstance(images, np.memmap)
    n = min(len(images), _SAMPLE) if is_in_memory else 1
    some = np.stack([np.asarray(images[int(i)]) for i in np.linspace(0, len(images) - 1, n)])
    low, high = min(0.0, float(some.min())), float(some.max())
    if not is_in_memory and high > 0:
        above = 2.0 ** np.ceil(np.log2(high + 1)) - 1
        high = 1.0 if high <= 1 else float(above) if dtype.kind in "ui" or high <= 255 else high
    return low, high if high > low else low + 1.0


def result_layer(
    data: Any,
    role: str,
    view: FacesView,
    axes: tuple[str, ...] = AXES,
    *,
    model: LatentFaces | None = None,
    flat: bool = False,
    known: Mapping[str, Any] | None = None,
    **colours: Any,
) -> LayerData:
    """Return pictures of `axes` and colour in the faces' look; the first of a `flat` stack."""
    metadata = {ROLE_KEY: role, FACES_KEY: view.key, **(known or {})}
    if model is not None:
        of = model.provenance
        metadata |= {MODEL_KEY: model, "names": of.names, "subjects": of.subjects}
        metadata |= {LEFT_OUT_KEY: model.left_out} if model.left_out[0] else {}
    if flat:
        data, axes = np.asarray(data[0]), axes[1:]
    look: dict[str, Any] = {"contrast_limits": view.contrast_limits}
    if data.ndim == len(axes):
        look |= {"colormap": view.colormap, **colours}
    else:  # pixels drawn around a middle grey lie between 0 and 1 already
        look |= {"rgb": True, **({"contrast_limits": (0.0, 1.0)} if colours else {})}
    look |= {"name": f"{_NAMES.get(role, role)} [{view.name}]", "axis_labels": axes}
    return data, {**look, **view.at(len(axes)), "metadata": metadata}, "image"


class ShownPixels(LazyStack):
    """A lazy stack whose pixels are changed to be shown, as napari has no limits for colour."""

    def __init__(self, source: LazyStack, change: Change, dtype: DTypeLike) -> None:
        super().__init__(source.shape, dtype)
        self.source, self.change = source, change

    def _pick(self, faces: Any, *inner: Any) -> Array:
        return self.change(self.source[(faces, *inner)])


def model_words(model: LatentFaces, file: str = "") -> str:
    """Return what panels call a model: what tells it from others first, its faces last."""
    source = Path(model.provenance.source).name
    where = file or f"{len(model.weights)} faces{f' of {source}' * bool(source)}"
    method = f"{method_words(model.params)} {model.n_components}"
    return f"{method}, error {model.error:.4f}, {where}"


def method_words(params: Parameters | type[Parameters]) -> str:
    """Return what a method is called where there is little room."""
    return params.title.partition(" (")[0]


def gallery_layer(model: LatentFaces, view: FacesView, places: int = 2) -> LayerData:
    """Return all components in one flat picture, `places` faces wide, whatever face is seen."""
    return live_gallery(model.components, view, places, model.is_signed, model)


def live_gallery(
    components: Array, view: FacesView, places: int, is_signed: bool, model: Any = None
) -> LayerData:
    """Return components in rows, `places` faces wide, with fewer pixels while a fit runs."""
    if model is None:
        step = int(np.ceil(np.sqrt(max(1.0, components.size / PREVIEW_PIXELS))))
        components = components[:, ::step, ::step]
    columns = tiles.gallery_columns(len(components), places + (places - 1) * GAP)
    picture = montage(tiles.shown_components(components, is_signed=is_signed), columns)
    role, known = PREVIEW if model is None else "gallery", {SPAN_KEY: float(places)}
    colours = tiles.component_colours(is_signed=is_signed)
    return result_layer(picture, role, view, AXES[1:], model=model, known=known, **colours)


def components_layer(model: LatentFaces, view: FacesView) -> LayerData:
    """Return the components (component, face, y, x), the same for each face without a copy."""
    shown = tiles.shown_components(model.components, is_signed=model.is_signed)[:, None]
    data = np.broadcast_to(shown, (len(shown), len(model.weights), *shown.shape[2:]))
    colours = tiles.component_colours(is_signed=model.is_signed)
    return result_layer(data, "components", view, ("component", *AXES), model=model, **colours)


def reconstruction_layer(
    model: LatentFaces, view: FacesView, role: str = "reconstruction", **options: Any
) -> LayerData:
    """Return the reconstructions, computed when looked at, in the look of the faces."""
    rebuilt: LazyStack = LazyReconstruction(model)
    if len(rebuilt.shape) == 4:  # in colour
        dtype = np.dtype(model.provenance.dtype)
        rebuilt = ShownPixels(rebuilt, lambda pixels: as_pixels(pixels, dtype), dtype)
    return result_layer(rebuilt, role, view, model=model, **options)


def residual_layer(
    images: Any, model: LatentFaces, view: FacesView, role: str = "residual", **options: Any
) -> LayerData:
    """Return faces minus reconstructions, computed when looked at, with 0 in the middle."""
    residual: LazyStack = LazyResidual(images, model)
    limit = _residual_limit(model)

    def around_grey(pixels: Array) -> Array:
        return np.clip(0.5 + pixels / (2 * limit), 0, 1)

    if len(residual.shape) == 4:  # in colour, as `tiles.shown_components`
        residual = ShownPixels(residual, around_grey, residual.dtype)
    options |= {"colormap": tiles.DIVERGING, "contrast_limits": (-limit, limit)}
    return result_layer(residual, role, view, model=model, **options)


def _residual_limit(model: LatentFaces) -> float:
    """Return how far from 0 most residuals lie, without a look at the faces."""
    # converged reconstructions are at right angles to the residuals: the error tells both sizes
    n = len(model.weights)
    rebuilt = model.reconstruct(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(int))
    error = min(float(model.error), 0.99)
    power = float(np.mean(np.square(rebuilt, dtype=np.float64)))
    return 4 * float(error * np.sqrt(power / (1 - error**2))) or 1.0


def aligned_layer(
    stack: FaceStack, view: FacesView, box: tuple[int, int, int, int]
) -> LayerData:
    """Return aligned faces, which show the `box` of others and can be fitted as any."""
    images, kwargs, kind = faces_layer(stack, f"aligned [{view.name}]")
    kwargs["metadata"] |= {ALIGNED_KEY: view.key, "box": box}
    if not stack.in_colour:
        kwargs |= {"colormap": view.colormap, "contrast_limits": view.contrast_limits}
    return images, {**kwargs, **view.at(3)}, kind


def mended_layer(
    mended: MendedFaces, stack: FaceStack, view: FacesView, **options: Any
) -> LayerData:
    """Return mended faces, without a model: they can be saved as any other pictures."""
    known = {"names": stack.names, "subjects": stack.subjects}
    return result_layer(mended, MENDED, view, known=known, **options)


def made_layer(
    pictures: Array, recipes: Sequence[Recipe], view: FacesView, role: str, *, as_stack: bool
) -> LayerData:
    """Return faces that were made on a sheet, each above its number, or as a stack."""
    known: dict[str, Any] = {RECIPES_KEY: tuple(recipes), PICTURES_KEY: pictures}
    if as_stack:
        known |= {"names": tuple(recipe.name for recipe in recipes), "subjects": None}
        return result_layer(pictures, role, view, known=known)
    low, high = view.contrast_limits
    shown = tiles.numbered(pictures, low, high)
    sheet = montage(shown, tiles.gallery_columns(len(shown), _FLAT_SPAN), fill=low)
    known[SPAN_KEY] = _FLAT_SPAN
    return result_layer(sheet, role, view, AXES[1:], known=known)
