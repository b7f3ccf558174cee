"""Reconstructions and residuals of faces, and weights, errors and mending of other ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.masks import PixelMask, marked_faces, split_mask
from napari_latent_faces.reading.formats import FLOAT
from napari_latent_faces.reading.pictures import Frame, MatchedPictures
from napari_latent_faces.solvers.blocks import (
    FaceBlocks,
    Workers,
    face_errors,
    on_one_blas_thread,
)
from napari_latent_faces.solvers.factors import canonical
from napari_latent_faces.solvers.nnls import VisibleParts, same_masks
from napari_latent_faces.stack import (
    LazyStack,
    as_pixels,
    as_stack,
    check_pixels,
    crop,
    let_go,
    named,
    pixel_blocks,
    unit_scale,
)
from napari_latent_faces.steps import consume, relayed, warn

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.params import Resize
    from napari_latent_faces.stack import FaceStack


class LazyReconstruction(LazyStack):
    """The reconstructions of a model's faces, in the units of the faces."""

    def __init__(self, model: LatentFaces) -> None:
        super().__init__((len(model.weights), *model.picture_shape), model.components.dtype)
        self._components, mean = model.components, model.mean
        self._weights = np.multiply(model.weights, model.scale, dtype=self.dtype)
        self._mean = None if mean is None else mean * np.asarray(model.scale, self.dtype)

    def _pick(self, faces: Any, *inner: Any) -> NDArray[Any]:
        rebuilt = np.tensordot(self._weights[faces], crop(self._components, *inner), 1)
        return rebuilt if self._mean is None else rebuilt + crop(self._mean, *inner)


class LazyResidual(LazyReconstruction):
    """What a model leaves unexplained of the faces of its fit: faces minus reconstructions."""

    def __init__(self, images: Any, model: LatentFaces) -> None:
        super().__init__(model)
        self.images = images
        if (own := tuple(images.shape)) != self.shape:
            raise ValueError(f"The faces have the shape {own}, the model's {self.shape}.")

    def _pick(self, faces: Any, *inner: Any) -> NDArray[Any]:
        residual = np.array(crop(self.images[faces], *inner), self.dtype)
        residual -= super()._pick(faces, *inner)
        return residual


_FACTOR_BYTES = 2**26  # of the factorizations that are kept for faces with the same mask


class UndeterminedWarning(UserWarning):
    """A mask hides so much that weights are not, or not wholly, known."""


@dataclass(frozen=True, eq=False)
class Encoding:
    """What a model makes of some faces."""

    weights: NDArray[Any]  # (m, k)
    errors: NDArray[np.float64]  # (m,), relative, over visible pixels; 0 for a black face
    error: float  # of all faces together
    scale: float  # the pixel value of these faces that counts as 1


def iter_encode(
    model: LatentFaces,
    images: Any,
    mask: Any = None,
    weights: Any = None,
    *,
    measure: bool = True,
) -> Generator[int, None, Encoding]:
    """Find the weights of other faces, and how well they explain each, in steps.

    The arguments are those of `LatentFaces.errors`; the steps tell how many faces are done.
    Each face is a problem of least squares over its visible pixels, solved as the method of
    the model has it: see `napari_latent_faces.solvers.nnls`. The pixels are first projected on
    the components (QR decomposition of the visible rows, shared by faces with the same mask),
    which leaves the solution as it is. Faces are read once, a block at a time.
    """
    images, mask = split_mask(images, mask)
    stack = as_stack(images)
    model.check_pictures(stack.picture_shape)
    return on_one_blas_thread(_encoding(model, stack, mask, weights, measure))


def _encoding(
    model: LatentFaces, stack: FaceStack, mask: Any, weights: Any, measure: bool
) -> Generator[int, None, Encoding]:
    marked = model.mask if mask is None else mask
    covering = None if marked is None else PixelMask(marked, stack.shape, model.mask)
    scale, coder = _unit(model, stack, covering), model.coder()
    H = model.components.reshape(model.n_components, -1).astype(np.float64)
    mean = None if model.mean is None else model.mean.reshape(-1).astype(np.float64)
    shape, solves = (len(stack), len(H)), weights is None
    W = np.asarray(np.empty(shape, model.weights.dtype) if weights is None else weights)
    if W.shape != shape:
        found = f"The weights have the shape {W.shape}, but {shape} is needed"
        raise ValueError(f"{found}: a row for each face, a column for each component.")
    lost, norms = np.zeros((2, len(stack)))
    visible = lru_cache(max(1, _FACTOR_BYTES // max(1, H.nbytes)))(partial(VisibleParts, H))
    blocks = FaceBlocks(stack.images, budget=0)  # each face is read once

    def work(faces: slice) -> list[tuple[NDArray[np.intp], VisibleParts]]:
        pixels, hidden = _rows(blocks.raw(faces), covering, faces)
        check_pixels(pixels, stack.names[faces])
        known = []
        for rows, key in same_masks(hidden, len(pixels)) if solves else ():
            at, parts = np.arange(faces.start, faces.stop)[rows], visible(key)
            if parts.n_visible == 0:
                words = "leave some of it to be seen (nonzero marks what is ignored)."
                raise ValueError(f"The mask hides all of {stack.names[at[0]]!r}: {words}")
            projected = parts.reduced(pixels[rows]) / scale
            if mean is not None:
                projected -= parts.reduced(mean[None])
            W[at] = coder(parts.R, projected)
            known.append((at, parts))
        if measure:
            lost[faces], norms[faces] = face_errors(pixels, W[faces], H, scale, mean, hidden)
        let_go(stack.images, faces)
        return known

    unknown: list[int] = []
    hidden_from: Counter[int] = Counter()  # faces by component
    with Workers() as workers:
        for faces, known in zip(blocks.rows, workers.each(work, blocks.rows), strict=True):
            for at, parts in known:
                hidden_from.update(dict.fromkeys(parts.lost, len(at)))
                if parts.n_visible < min(len(H), H.shape[1]):
                    unknown += at.tolist()
            yield faces.stop
    _warn_of_unknown(stack.names, unknown, hidden_from, len(H))
    black = np.where(lost > 0, np.inf, 0.0)
    errors = np.sqrt(np.divide(lost, norms, out=black, where=norms > 0))
    return Encoding(W, errors, float(np.sqrt(lost.sum() / (norms.sum() or 1.0))), scale)


def _rows(
    block: NDArray[Any], mask: PixelMask | None, faces: slice
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return some faces as rows, 0 where they are ignored, and what is ignored."""
    pixels = block.reshape(len(block), -1)
    if mask is None:
        return pixels, None
    hidden = mask.hidden_values(faces)
    hidden = hidden.reshape(len(hidden), -1)
    return np.where(hidden, pixels.dtype.type(0), pixels), hidden


def _warn_of_unknown(
    names: Sequence[str], unknown: list[int], hidden_from: Counter[int], k: int
) -> None:
    if unknown:
        more = len(unknown) - 1
        others = f" and {more} other face{'s' * (more > 1)}" if more else ""
        words = f"The mask leaves {names[min(unknown)]!r}{others} fewer visible pixels than the"
        words += (
            f" model has components ({k}): their weights are one choice of many. Mark less,"
        )
        warn(f"{words} or take a model with fewer components.", UndeterminedWarning)
    for component, count in sorted(hidden_from.items()):
        words = f"The mask hides component {component} wholly in {count} of {len(names)} faces"
        warn(f"{words}: its weight is 0 there, whatever they would tell.", UndeterminedWarning)


def _unit(model: LatentFaces, stack: FaceStack, mask: PixelMask | None) -> float:
    """Return the unit of other pictures: what they declare, or the model's for its type."""
    own = model.scale if stack.dtype.name == model.provenance.dtype else None
    if known := stack.white or own or stack.known_scale:
        return known
    largest = 0.0
    for faces, block in pixel_blocks(stack.images):
        top = float(_rows(block, mask, faces)[0].max())
        largest = max(largest, top if top < np.inf else 0.0)  # told of when its face is read
    return unit_scale(largest, stack.dtype)


def encode(model: LatentFaces, images: Any, mask: Any = None) -> Encoding:
    """Do what `iter_encode` does at once."""
    return consume(iter_encode(model, images, mask))


def encoded_model(model: LatentFaces, stack: FaceStack, encoding: Encoding) -> LatentFaces:
    """Return a model of other faces with the same components; see `LatentFaces.encoded`."""
    own = model.provenance
    fitted = own.source if own.encoded_from is None else own.encoded_from
    provenance = own.of_other_faces(stack, dtype=stack.dtype.name, encoded_from=fitted)
    found = {name: getattr(encoding, name) for name in ("weights", "error", "scale")}
    return replace(model, provenance=provenance, transforms=stack.transforms, **found)


def iter_whole_model(
    model: LatentFaces, images: Any
) -> Generator[tuple[int, int], None, LatentFaces]:
    """Turn a model of some faces of a stack into one of all; yield how many are done."""
    stack = as_stack(images)
    found = yield from relayed(iter_encode(model, stack), lambda done: (done, len(stack)))
    rows = model.components.reshape(model.n_components, -1)
    weights, rows = canonical(found.weights, rows, is_signed=model.is_signed)
    parts: Any = {"weights": weights, "components": rows.reshape(model.components.shape)}
    provenance = model.provenance.of_other_faces(stack)
    return replace(encoded_model(model, stack, found), provenance=provenance, **parts)


_HOW = {"crop": "cut at the middle to fit", "pad": "with black borders to fit"}


def match_stack(
    data: Any,
    shape: tuple[int, ...],
    metadata: Mapping[str, Any] | None = None,
    *,
    rgb: bool = False,
    resize: Resize = "crop",
    name: str = "face 0",
) -> FaceStack:
    """Return pictures as a stack of faces of a given shape: (h, w), or (h, w, 3) for colour.

    They are an array (n, h, w) or a picture (h, w) called `name`, with a last axis of 3 or 4 if
    `rgb`, and are made grey and resized as `read_faces` does it when they are looked at.
    """
    n_axes = data.ndim - rgb
    if n_axes not in {2, 3}:
        words = "A picture (y, x) or a stack of them (face, y, x) is needed"
        raise ValueError(f"{words}, got the shape {tuple(data.shape)}{' in colour' * rgb}.")
    images, known = data, dict(metadata or {})
    if n_axes == 2:
        images, known = data[None], {"names": (name,), **known}
    if rgb and images.shape[-1] == 4:  # transparency does not count
        images = images[..., :3]
    (h, w), (own_h, own_w) = shape[:2], images.shape[1:3]
    if tuple(images.shape[1:]) != tuple(shape):
        frame = Frame((h, w), FLOAT, resize=resize, colour=len(shape) == 3)
        images = MatchedPictures(images, frame)
    notes = ["In colour: the luminance is taken."] * (rgb and len(shape) == 2)
    if (own_h, own_w) != (h, w):
        how = f", {_HOW.get(resize, 'out of shape')}" if own_h * w != own_w * h else ""
        notes.append(f"Scaled from {own_w} x {own_h} to the model's {w} x {h} pixels{how}.")
    stack = named(as_stack(images), known)
    report = replace(stack.report, notes=tuple(notes))
    return replace(stack, report=report, source=str(known.get("source", "")))


def mend(model: LatentFaces, images: Any, mask: Any = None) -> NDArray[Any]:
    """Replace the marked pixels of faces; see `LatentFaces.mend`."""
    if getattr(images, "shape", None) == model.picture_shape:
        face: NDArray[Any] = mend(model, images[None], mask)[0]
        return face
    images, mask = split_mask(images, mask)
    if mask is None:
        raise ValueError("There is no mask: mark what is to be replaced (True or nonzero).")
    return np.asarray(consume(iter_mend(model, images, mask)))


def iter_mend(
    model: LatentFaces,
    images: Any,
    mask: Any,
    faces: Sequence[int] | NDArray[np.integer] | None = None,
) -> Generator[int, None, MendedFaces]:
    """Mend faces in steps; only those with a mark are looked at.

    Stack and mask are those of `LatentFaces.mend`: one mask for all of `faces` (each once; all
    by default) or one for each. The steps tell how many of them are encoded.
    """
    stack = as_stack(images)
    model.check_pictures(stack.picture_shape)
    chosen = np.arange(len(stack)) if faces is None else np.asarray(faces, np.intp)
    marks = PixelMask(mask, (len(chosen), *stack.picture_shape)).mask
    if model.mask is not None:  # where the model knows nothing, faces stay as they are
        marks = (marks != 0) & ~model.mask
    if marks.ndim == 3:
        marked = marked_faces(marks)
        if len(marked) < len(chosen):
            chosen, marks = chosen[marked], marks[marked]
    if len(chosen) == 0 or (marks.ndim == 2 and not np.asarray(marks).any()):
        raise ValueError("The mask marks no pixel: mark what is to be replaced (nonzero).")
    some = stack if len(chosen) == len(stack) and faces is None else stack[chosen]
    encoding = yield from iter_encode(model, some, marks)
    return MendedFaces(stack.images, marks, encoded_model(model, some, encoding), chosen)


class MendedFaces(LazyStack):
    """Faces whose pixels, marked by one mask or one for each, show what a model expects."""

    def __init__(
        self, images: Any, mask: Any, expected: LatentFaces, faces: NDArray[np.intp]
    ) -> None:
        super().__init__(tuple(images.shape), images.dtype)
        self.images, self.expected, self.faces = images, expected, faces
        while isinstance(self.images, MendedFaces) and np.isin(self.images.faces, faces).all():
            self.images = self.images.images  # without mendings that are not seen
        self._mask = PixelMask(mask, (len(faces), *self.shape[1:]))
        self._rebuilt = LazyReconstruction(expected)
        self._slots = np.full(len(self), -1)
        self._slots[faces] = np.arange(len(faces))

    def over(self, images: Any) -> MendedFaces:
        """Return these mended faces with other pictures, such as mended ones, beside them."""
        return MendedFaces(images, self._mask.mask, self.expected, self.faces)

    def _pick(self, faces: Any, *inner: Any) -> NDArray[Any]:
        pictures = np.array(crop(np.asarray(self.images[faces]), *inner))
        slots = self._slots[faces]
        for at in np.ndindex(slots.shape):
            if (slot := int(slots[at])) >= 0:
                marked = crop(self._mask.hidden_values(slot)[0], *inner)
                expected = as_pixels(self._rebuilt[(slot, *inner)], self.dtype)
                pictures[at] = np.where(marked, expected, pictures[at])
        return pictures
