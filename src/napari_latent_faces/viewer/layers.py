"""Stacks and models as napari layer data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.stack import ReadReport, as_stack, harmless, named
from napari_latent_faces.tiles import (
    DIVERGING,
    GAP,
    component_colours,
    gallery_columns,
    montage,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import DTypeLike, NDArray

    from napari_latent_faces.encoding import MendedFaces
    from napari_latent_faces.mixing.recipes import Recipe
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.stack import FaceStack

    LayerData = tuple[Any, dict[str, Any], str]

__all__ = [
    "AXES",
    "ENCODED",
    "ENCODED_RESIDUAL",
    "FACES_KEY",
    "LEFT_OUT_KEY",
    "MENDED",
    "MODEL_KEY",
    "RECIPES_KEY",
    "ROLE_KEY",
    "FacesView",
    "LazyReconstruction",
    "LazyResidual",
    "LazyStack",
    "components_layer",
    "crop",
    "encoded_layers",
    "face_caption",
    "faces_layer",
    "free_place",
    "gallery_layer",
    "layer_pixels",
    "layer_stack",
    "live_gallery",
    "mended_layer",
    "mixed_layer",
    "model_layers",
    "recipe_metadata",
    "recipes_layer",
    "reconstruction_layer",
    "residual_layer",
    "resized_view",
    "stack_layer",
    "view_of",
]

# -- How a stack of faces is shown, and layers beside it that are shown alike ----------

AXES = ("face", "y", "x")
"""What the axes of a stack of faces are called."""


@dataclass(frozen=True)
class FacesView:
    """How a stack of faces is shown, so that its results can be shown alike beside it.

    Parameters
    ----------
    name : str
        Name of the stack's layer.
    contrast_limits : tuple of float
        Pixel values shown black and white.
    colormap : str or napari colormap
        Colours of the faces.
    scale, translate : tuple of float, length 3
        Size of a step along, and origin of, the axes face, y and x.
    key : str
        Tells this layer from others, whatever it is called.
    rotate, shear, affine, units
        Those of the layer, as napari has them; None for napari's defaults.
    """

    name: str = "faces"
    contrast_limits: tuple[float, float] = (0.0, 1.0)
    colormap: Any = "gray"
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    translate: tuple[float, ...] = (0.0, 0.0, 0.0)
    key: str = ""
    rotate: Any = None
    shear: Any = None
    affine: Any = None
    units: Any = None

    @classmethod
    def of(cls, layer: Any) -> FacesView:
        """Return the look of a napari image layer."""
        low, high = layer.contrast_limits
        return cls(
            harmless(layer.name),
            (float(low), float(high)),
            layer.colormap.name,
            tuple(map(float, layer.scale)),
            tuple(map(float, layer.translate)),
            str(layer.unique_id),
            np.array(layer.rotate),
            np.array(layer.shear),
            np.array(layer.affine.affine_matrix),
            tuple(layer.units),
        )

    def turned(self, ndim: int) -> dict[str, Any]:
        """Return what turns a layer of `ndim` axes, of which the last are the faces'."""
        if self.rotate is None:
            return {}
        n = min(ndim, len(self.rotate))
        rotate, affine = np.eye(ndim), np.eye(ndim + 1)
        rotate[-n:, -n:] = self.rotate[-n:, -n:]
        affine[-n - 1 :, -n - 1 :] = self.affine[-n - 1 :, -n - 1 :]
        shear = np.zeros(ndim * (ndim - 1) // 2)  # those of the last axes come last
        pairs = n * (n - 1) // 2
        shear[len(shear) - pairs :] = self.shear[len(self.shear) - pairs :]
        units = ("pixel",) * (ndim - n) + self.units[-n:]
        return {"rotate": rotate, "shear": shear, "affine": affine, "units": units}

    def moved(self, y: float, x: float) -> tuple[float, ...]:
        """Return the origin of pictures so far below and to the right of the faces."""
        step = np.array([y, x])
        if self.rotate is not None:
            step = self.rotate[-2:, -2:] @ np.array([[1, self.shear[-1]], [0, 1]]) @ step
        origin = np.array(self.translate[-2:]) + step
        return (*self.translate[:-2], *origin.tolist())

    def beside(self, place: int, width: int) -> tuple[float, ...]:
        """Return the origin of pictures that lie `place` faces to the right of the faces."""
        step = width * (1 + GAP) * self.scale[-1]
        return self.moved(0, place * step)


def layer_pixels(layer: Any) -> Any:
    """Return the pictures of an image layer, the largest if it has several sizes of them."""
    return layer.data[0] if layer.multiscale else layer.data


def stack_layer(
    data: Any,
    name: str,
    view: FacesView,
    place: int,
    metadata: dict[str, Any],
    **colours: Any,
) -> LayerData:
    """Return pictures that belong to faces as a layer beside them, in their look.

    Parameters
    ----------
    data : array of shape (n, h, w)
        The pictures, numpy or lazy.
    name : str
        Name of the layer.
    view : FacesView
        Look of the faces.
    place : int
        How many pictures to the right of the faces they lie.
    metadata : dict
        Metadata of the layer.
    **colours
        `colormap` and `contrast_limits` in place of those of the faces.
    """
    look = {
        "name": name,
        "axis_labels": AXES,
        "colormap": view.colormap,
        "contrast_limits": view.contrast_limits,
        "scale": view.scale,
        "translate": view.beside(place, data.shape[2]),
        **view.turned(3),
        "metadata": metadata,
    }
    return data, {**look, **colours}, "image"


# -- Stacks that are computed where they are looked at ---------------------------------


class LazyStack:
    """A stack of faces that computes only the slices that are asked for.

    It has what napari and numpy ask of an array: `shape`, `dtype`, `ndim`, indexing
    with integers, slices and sequences, and conversion to an array. Its memory does not
    grow with the number of faces.

    Parameters
    ----------
    shape : tuple of int
        Number of faces, height and width.
    dtype : numpy dtype
        Type of a pixel.
    """

    def __init__(self, shape: tuple[int, int, int], dtype: DTypeLike) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return self._pick(*_three(key))

    def _pick(self, faces: Any, rows: Any, columns: Any) -> NDArray[Any]:
        raise NotImplementedError

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        if copy is False:
            raise ValueError("The pictures are computed when asked for: a copy is needed.")
        return np.asarray(self[:], dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"


class LazyReconstruction(LazyStack):
    """The reconstructions of a model's faces, in the units of the faces.

    Parameters
    ----------
    model : LatentFaces
        The model.
    """

    def __init__(self, model: LatentFaces) -> None:
        super().__init__(model.shape, model.components.dtype)  # type: ignore[arg-type]
        self.model = model
        self._weights = np.multiply(model.weights, model.scale, dtype=self.dtype)
        self._mean = None
        if model.mean is not None:
            self._mean = np.multiply(model.mean, model.scale, dtype=self.dtype)

    def _pick(self, faces: Any, rows: Any, columns: Any) -> NDArray[Any]:
        components = crop(self.model.components, rows, columns)
        weights = self._weights[faces].astype(self.dtype, copy=False)
        rebuilt = np.tensordot(weights, components, 1)
        return rebuilt if self._mean is None else rebuilt + crop(self._mean, rows, columns)


class LazyResidual(LazyStack):
    """What a model leaves unexplained: faces minus reconstructions.

    Parameters
    ----------
    images : numpy or lazy array of shape (n, h, w)
        The faces that the model was fitted to.
    model : LatentFaces
        The model.

    Raises
    ------
    ValueError
        If the shapes differ.
    """

    def __init__(self, images: Any, model: LatentFaces) -> None:
        if tuple(images.shape) != model.shape:
            raise ValueError(
                f"The faces have the shape {tuple(images.shape)}, the model's {model.shape}."
            )
        super().__init__(model.shape, model.components.dtype)  # type: ignore[arg-type]
        self.images = images
        self.reconstruction = LazyReconstruction(model)

    def _pick(self, faces: Any, rows: Any, columns: Any) -> NDArray[Any]:
        rebuilt = self.reconstruction._pick(faces, rows, columns)  # noqa: SLF001
        seen = np.asarray(crop(self.images[faces], rows, columns), self.dtype)
        residual: NDArray[Any] = seen - rebuilt
        return residual


def _three(key: Any) -> tuple[Any, Any, Any]:
    """Spell an index out for the three axes."""
    key = list(key) if isinstance(key, tuple) else [key]
    dots = [at for at, part in enumerate(key) if part is Ellipsis]  # `in` would compare arrays
    for at in dots[:1]:
        key[at : at + 1] = [slice(None)] * (4 - len(key))
    if len(key) > 3:
        raise IndexError(f"A stack of faces has three axes, got {len(key)} indices.")
    faces, rows, columns = key + [slice(None)] * (3 - len(key))
    return faces, rows, columns


def crop(images: Any, rows: Any, columns: Any) -> Any:
    """Take rows and columns off the last two axes, whatever stands before them."""
    return images[..., rows, :][..., columns]


# -- Stacks and models as napari layers: plain layer-data tuples, no viewer ------------

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
    return picture, {
        "name": f"latent faces [{view.name}]",
        "axis_labels": AXES[1:],
        **component_colours(is_signed=is_signed),
        "scale": tuple(zoom * step for step in view.scale[-2:]),
        "translate": view.moved((h + w * GAP) * view.scale[-2], 0)[-2:],
        **view.turned(2),
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
            **view.turned(4),
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


# -- Encoded and mended faces as napari layers: plain layer-data tuples, no viewer -----

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
        **view.turned(3),
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
    if "rotate" in kwargs:
        last["rotate"] = kwargs["rotate"][-2:, -2:]
        last["affine"] = kwargs["affine"][-3:, -3:]
        last["shear"], last["units"] = kwargs["shear"][-1:], kwargs["units"][-2:]
    return np.asarray(data[0]), {**kwargs, **last}, kind


# -- Mixed and generated faces as napari layers: plain layer-data tuples, no viewer ----

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
            **view.turned(2),
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
