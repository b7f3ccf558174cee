"""Faces moved, turned and scaled onto one another, by a model of them all or by points."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.options import AlignOptions
from napari_latent_faces.params import NMFParams
from napari_latent_faces.solvers.blocks import on_one_blas_thread, one_blas_thread, processors
from napari_latent_faces.solvers.multilevel import iter_multilevel
from napari_latent_faces.stack import FaceStack, as_pixels, as_stack
from napari_latent_faces.steps import drain

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

    Matrices = NDArray[np.float64]  # (n, 3, 3), of homogeneous points (y, x, 1)
    Pixels = NDArray[np.float32]
    Box = tuple[int, int, int, int]  # top, left, height, width
    Aligning = Generator["AlignStep", None, "Alignment"]

__all__ = ["AlignStep", "Alignment", "align_faces", "align_to", "iter_align", "oval_mask"]

_LONGEST_SIDE = 112  # of the pictures that are worked on
_SHORTEST_SIDE = 16  # of the coarsest ones
_LEARNT_FROM = 2000  # faces that the model is learnt from; the others are brought onto it
_MEASURED = 1000  # faces that errors are told of
_BLOCK = 64  # faces that a thread works on at a time
_FRAME = 0.82  # share of height and width that the model sees, unless there is a size
_PULL = 0.25  # towards where a face was: this times its residual to move it by the radius
_DAMPING = 0.03  # of the Gauss-Newton steps
_LONGEST_STEP = 2.0  # pixels of a level
_COARSE_RANK = 6
# Share of a face's detail that the coarse model leaves unexplained, above which it is no face
# like the others: so many robust standard deviations above the median, but less than 1
_STRANGE, _STRANGE_AT_MOST = 5.0, 0.95
_STRANGE_TO_MODEL = 0.85
_LEAST_DETAIL = 0.05  # of the variance


# -- What comes of it ------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class AlignStep:
    """How far the work is.

    Parameters
    ----------
    done : float
        Share of the work that is done, 0 to 1.
    task : str
        What is being done, for a progress bar.
    mean : array of shape (h, w)
        The mean of the faces as they lie now, grey, at the size that is worked on; mean 0.
    """

    done: float
    task: str
    mean: NDArray[np.float32] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where each face goes.

    Parameters
    ----------
    transforms : array of shape (n, 3, 3)
        Each takes a point (y, x, 1) of the aligned picture, in pixels of the whole picture
        before cropping, to (y, x, 1) of the original. Their mean is the identity.
    box : (top, left, height, width)
        The part of the whole picture that the aligned pictures show.
    misfits : tuple of int
        Faces that did not look like the others, and stayed where they were.
    error : (float, float)
        Relative error of NMF with `n_components` before and after, of up to 1,000 faces at
        the size that was worked on.
    sharpness : float
        Variance of the gradient of the mean face, as a multiple of that before.
    n_components : int
        Of the model.
    """

    transforms: NDArray[np.float64] = field(repr=False)
    box: tuple[int, int, int, int]
    misfits: tuple[int, ...] = ()
    error: tuple[float, float] = (math.nan, math.nan)
    sharpness: float = math.nan
    n_components: int = 0

    def summary(self) -> str:
        """Return what was reached, in one line."""
        parts = []
        if not math.isnan(self.error[0]):
            before, after = self.error
            parts.append(
                f"error of {self.n_components} components {before:.3f} before, {after:.3f} "
                f"after; mean face {self.sharpness:.1f} times as sharp"
            )
        if self.misfits:
            parts.append(f"{len(self.misfits)} did not look like the others and stayed put")
        text = "; ".join(parts)
        return f"{len(self.transforms)} faces aligned" + (f": {text}" if text else "")

    def apply(self, images: Any) -> FaceStack:
        """Return a stack with its faces aligned; lazy if it is lazy.

        Parameters
        ----------
        images : FaceStack or array of shape (n, h, w)
            The faces that were aligned. Pixels between theirs are interpolated linearly;
            what a picture does not show is filled with the pixels at its edge.

        Returns
        -------
        FaceStack
            With `transforms`; those of a stack that had been aligned before are included.
        """
        stack = as_stack(images)
        if len(stack) != len(self.transforms):
            raise ValueError(f"{len(self.transforms)} faces were aligned, not {len(stack)}.")
        top, left, _, _ = self.box
        transforms, corner = self.transforms, (top, left)
        if stack.transforms is not None:
            y, x = stack.corner
            into = np.array([[1.0, 0, -y], [0, 1, -x], [0, 0, 1]])
            transforms = stack.transforms @ np.linalg.inv(into) @ transforms @ into
            corner = (top + y, left + x)
        warped: Any = _Warped(stack.images, self.transforms, self.box)
        if stack.is_lazy:
            import dask.array

            from_array: Any = dask.array.from_array
            chunks = (stack.images.chunks[0], *warped.shape[1:])
            meta = np.empty((0,) * len(warped.shape), stack.dtype)
            warped = from_array(warped, chunks, name=False, meta=meta)
        else:
            warped = warped[:]
        notes = [self.summary()]
        if self.misfits:
            some = ", ".join(stack.names[i] for i in self.misfits[:20])
            notes.append("Not aligned: " + some + (", ..." if len(self.misfits) > 20 else ""))
        report = replace(stack.report, notes=(*stack.report.notes, *notes), options=None)
        return replace(
            stack, images=warped, transforms=transforms, corner=corner, report=report
        )


class _Warped:
    """Aligned pictures, made when they are asked for; dask slices it like an array."""

    def __init__(self, images: Any, transforms: Matrices, box: Box) -> None:
        self._images, self._transforms, self._box = images, transforms, box
        self.shape = (len(images), *box[2:], *images.shape[3:])
        self.ndim = len(self.shape)
        self.dtype = np.dtype(images.dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        faces, *inside = key if isinstance(key, tuple) else (key,)
        wanted = np.arange(len(self._images))[faces]
        pixels = np.empty((wanted.size, *self.shape[1:]), self.dtype)
        parts = [slice(i, i + _BLOCK) for i in range(0, wanted.size, _BLOCK)]

        def make(part: slice) -> None:
            chosen = wanted.reshape(-1)[part]
            pictures = _in_memory(self._images, chosen).astype(np.float32)
            places = _grid(self._box)
            channels = pictures[..., None] if pictures.ndim == 3 else pictures
            for c in range(channels.shape[-1]):
                plane = np.ascontiguousarray(channels[..., c])
                values, _ = _warp(plane, self._transforms[chosen], places)
                out = pixels[part] if pictures.ndim == 3 else pixels[part, ..., c]
                out[:] = as_pixels(values, self.dtype).reshape(out.shape)

        _in_threads(make, parts)
        return pixels.reshape(wanted.shape + self.shape[1:])[
            (*(slice(None),) * wanted.ndim, *inside)
        ]


def _in_memory(images: Any, faces: NDArray[np.intp]) -> NDArray[Any]:
    """Return some faces; those next to one another as one slice, which dask likes best."""
    key: Any = faces
    if len(faces) and faces[-1] - faces[0] == len(faces) - 1 and (np.diff(faces) == 1).all():
        key = slice(int(faces[0]), int(faces[-1]) + 1)
    part = images[key]
    if hasattr(part, "dask"):  # often called by a thread of dask already
        part = part.compute(scheduler="synchronous")
    return np.asarray(part)


def _in_threads(job: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    if len(items) < 2:
        return [job(item) for item in items]
    with ThreadPoolExecutor(processors(), "latent-faces") as pool:
        return list(pool.map(job, items))


# -- The front doors -------------------------------------------------------------------


def align_faces(
    images: Any,
    points: Any = None,
    options: AlignOptions | None = None,
    *,
    progress: Callable[[AlignStep], object] | None = None,
    **changes: Any,
) -> FaceStack:
    """Move, turn and scale faces so that they lie on one another.

    Without points, each face is brought onto its own reconstruction by a model of all
    faces, which is learnt from them as they lie: first of few components, so that it is
    too blurred to know where single faces lie, then of more. It needs no landmarks and
    works for any stack of similar pictures.

    Parameters
    ----------
    images : FaceStack or array of shape (n, h, w) or (n, h, w, 3)
        The faces, in memory or lazy.
    points : array of shape (m, 3) or (n, k, 2), optional
        The same two or more points on each face: rows (face, y, x), such as the data of a
        Points layer, or (y, x) for each face, such as `read_points` gives. Faces
        that have none, or NaN, are brought onto a model of those that have.
    options : AlignOptions, optional
        How far faces may move, and what to keep of them.
    progress : callable, optional
        Called with each `AlignStep`.
    **changes
        Single options by name: ``n_components=20``, ``size=None``,
        ``transform="similarity"``, ``max_shift=0.15``, ``max_rotation=20``,
        ``max_scale=1.25``, ``random_state=42``.

    Returns
    -------
    FaceStack
        With `transforms`, of shape (n, 3, 3): each takes (y, x, 1) of the aligned picture,
        in pixels of the whole picture before cropping, to (y, x, 1) of the original. Their
        mean is the identity. Faces that do not look like the others stay where they are;
        `report` names them.

    Raises
    ------
    ValueError
        If there are fewer than two faces, the size is none, or the points do not fit.

    Notes
    -----
    The model is congealing (Learned-Miller 2006) with a low-rank model in place of the
    mean, as in RASL (Peng et al. 2012). The steps are Gauss-Newton's in the inverse
    compositional form (Baker & Matthews 2004): only the gradient of the reconstruction
    counts. That of the picture would draw it towards its own smooth parts, which are
    the easiest to reconstruct.

    References
    ----------
    Learned-Miller, E. G. (2006). Data driven image models through continuous joint
    alignment. doi:10.1109/TPAMI.2006.34

    Peng, Y., Ganesh, A., Wright, J., Xu, W. & Ma, Y. (2012). RASL: robust alignment by
    sparse and low-rank decomposition. doi:10.1109/TPAMI.2011.282

    Baker, S. & Matthews, I. (2004). Lucas-Kanade 20 years on: a unifying framework.
    doi:10.1023/B:VISI.0000011205.11775.fd

    Examples
    --------
    >>> from napari_latent_faces import sample_faces
    >>> aligned = align_faces(sample_faces(10, 4), size=(92, 76))
    >>> aligned.shape, aligned.transforms.shape
    ((40, 92, 76), (40, 3, 3))
    """
    return drain(iter_align(images, points, options, **changes), progress).apply(images)


def iter_align(
    images: Any, points: Any = None, options: AlignOptions | None = None, **changes: Any
) -> Aligning:
    """Align faces step by step; close the generator to cancel.

    Parameters
    ----------
    images, points, options, **changes
        As in `align_faces`.

    Yields
    ------
    AlignStep
        Many a second.

    Returns
    -------
    Alignment
        The value of ``StopIteration``; its `apply` makes the aligned stack.

    Raises
    ------
    TypeError, ValueError
        As `align_faces` does, before the first step.
    """
    options = replace(options or AlignOptions(), **changes)
    stack = as_stack(images)
    if len(stack) < 2:
        raise ValueError(f"Aligning needs at least two faces, got {len(stack)}.")
    box = _middle(stack.size, options.size)
    spots = None if points is None else _spots(points, len(stack))
    return on_one_blas_thread(_steps(_Work(stack, box, options), spots, options))


def align_to(
    model: LatentFaces, images: Any, options: AlignOptions | None = None, **changes: Any
) -> FaceStack:
    """Bring other faces onto a model of aligned faces, for example before encoding them.

    Parameters
    ----------
    model : LatentFaces
        A model of faces that were aligned.
    images : FaceStack or array of shape (n, h, w) or (n, h, w, 3)
        The faces; where they are larger than the model's, their middle part is aligned.
    options, **changes
        How far faces may move, as in `align_faces`; the model has its own size and components.

    Returns
    -------
    FaceStack
        Pictures of the model's size, with `transforms`. `report` names those that do not
        look like the model's faces and stayed where they were.

    Raises
    ------
    ValueError
        If the pictures are smaller than the model's.
    """
    stack = as_stack(images)
    h, w = model.components.shape[1:3]
    box = _middle(stack.size, (h, w))
    options = replace(options or AlignOptions(), **changes)
    work = _Work(stack, box, options)
    components = model.components.astype(np.float32)
    if components.ndim == 4:
        components = components.mean(-1)
    # as large as they are on average, so that the coarse levels know what matters
    size = np.sqrt((np.asarray(model.weights, np.float64) ** 2).mean(0))
    components *= size.astype(np.float32)[:, None, None]
    with one_blas_thread():
        bases = []
        for level in work.levels:
            place = _Level((0, 0, h, w), level.factor, options.transform)
            small = _reduced(components, level.factor)
            rows, _ = _warp(small, _unmoved(len(small)), place.grid)
            rows -= rows.mean(1, keepdims=True)
            kept = len(rows) if level is work.levels[-1] else _COARSE_RANK
            bases.append(np.linalg.svd(rows, full_matrices=False)[2][:kept])
        transforms = _unmoved(len(stack))
        misfits: list[int] = []
        for faces in work.blocks(np.arange(len(stack))):
            transforms[faces], unexplained = work.bring(faces, bases)
            misfits += faces[unexplained > _STRANGE_TO_MODEL].tolist()
    transforms[misfits] = np.eye(3)
    return Alignment(transforms, box, tuple(misfits)).apply(stack)


def oval_mask(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Mark the corners around an upright oval, which faces seldom reach.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the pictures.

    Returns
    -------
    bool array of shape (h, w)
        True outside: give it to a fit as its `mask`.
    """
    y, x = (np.linspace(-1, 1, 2 * length + 1)[1::2] for length in shape[:2])
    outside: NDArray[np.bool_] = y[:, None] ** 2 + x**2 > 1
    return outside


def _middle(whole: tuple[int, int], size: tuple[int, int] | None) -> Box:
    """Return the middle part of a picture: of some size, or without its margin."""
    if size is None:
        size = (round(_FRAME * whole[0]), round(_FRAME * whole[1]))
    h, w = size
    if not (1 <= h <= whole[0] and 1 <= w <= whole[1]):
        raise ValueError(
            f"A size of {w} x {h} pixels does not fit into pictures of {whole[1]} x "
            f"{whole[0]}: read larger pictures, or choose a smaller size."
        )
    if min(size) < 8:
        raise ValueError(f"{w} x {h} pixels are too few to align faces by.")
    return (whole[0] - h) // 2, (whole[1] - w) // 2, h, w


# -- Transforms ------------------------------------------------------------------------


def _unmoved(n: int) -> Matrices:
    return np.tile(np.eye(3), (n, 1, 1))


def _centred(transforms: Matrices, members: NDArray[np.bool_]) -> Matrices:
    """Change where all lie so that the mean transform is the identity."""
    if not members.any():
        return transforms
    moved = transforms.copy()
    moved[members] = transforms[members] @ np.linalg.inv(transforms[members].mean(0))
    return moved


def _generators(centre: tuple[float, float], radius: float, transform: str) -> Matrices:
    """Return the directions (m, 3, 3) to move in, each by one pixel at `radius`."""
    turns = {
        "similarity": [((1, 0), (0, 1)), ((0, -1), (1, 0))],
        "affine": [((1, 0), (0, 0)), ((0, 1), (0, 0)), ((0, 0), (1, 0)), ((0, 0), (0, 1))],
    }[transform]
    found = np.zeros((2 + len(turns), 3, 3))
    found[0, 0, 2] = found[1, 1, 2] = 1
    for each, turn in zip(found[2:], turns, strict=True):
        each[:2, :2] = np.array(turn) / radius
        each[:2, 2] = -each[:2, :2] @ centre
    return found


class _Limits:
    """How far a face may be moved."""

    def __init__(self, box: Box, options: AlignOptions) -> None:
        self.box, self.shift, self.scale = box, options.max_shift, options.max_scale
        self.rotation = math.radians(options.max_rotation)

    def __call__(self, transforms: Matrices) -> Matrices:
        top, left, h, w = self.box
        centre = np.array([top + (h - 1) / 2, left + (w - 1) / 2])
        linear = transforms[:, :2, :2]
        shift = linear @ centre + transforms[:, :2, 2] - centre
        U, s, V = np.linalg.svd(linear)
        turn = U @ V
        angle = np.arctan2(turn[:, 1, 0], turn[:, 0, 0])
        kept = angle.clip(-self.rotation, self.rotation)
        cos, sin = np.cos(kept), np.sin(kept)
        turned = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], 1)
        stretch = s.clip(1 / self.scale, self.scale)[:, None] * np.swapaxes(V, 1, 2) @ V
        moved = transforms.copy()
        moved[:, :2, :2] = turned @ stretch
        most = self.shift * np.array([h, w])
        moved[:, :2, 2] = shift.clip(-most, most) + centre - moved[:, :2, :2] @ centre
        return moved


# -- Pictures that are worked on -------------------------------------------------------


def _grid(box: tuple[float, float, int, int]) -> Pixels:
    """Return the places (y, x) of the pixels of a box, shape (2, p)."""
    top, left, h, w = box
    y, x = np.meshgrid(top + np.arange(h), left + np.arange(w), indexing="ij")
    return np.stack([y.ravel(), x.ravel()]).astype(np.float32)


def _warp(
    pictures: Pixels, transforms: Matrices, grid: Pixels
) -> tuple[Pixels, NDArray[np.bool_] | None]:
    """Return the values (m, p) of pictures at transformed places, and which lie outside."""
    m, height, width = pictures.shape
    t = transforms.astype(np.float32)[..., None]
    Y, X = grid
    y = t[:, 0, 0] * Y + t[:, 0, 1] * X + t[:, 0, 2]
    x = t[:, 1, 0] * Y + t[:, 1, 1] * X + t[:, 1, 2]
    outside = None
    if min(y.min(), x.min()) < -0.5 or y.max() > height - 0.5 or x.max() > width - 0.5:
        outside = (y < -0.5) | (y > height - 0.5) | (x < -0.5) | (x > width - 0.5)
    y.clip(0, height - 1.001, out=y)
    x.clip(0, width - 1.001, out=x)
    place = y.astype(np.int32)
    column = x.astype(np.int32)
    y -= place
    x -= column
    place *= width
    place += column
    place += (np.arange(m, dtype=np.int32) * (height * width))[:, None]
    flat = pictures.reshape(-1)
    above = flat.take(place)
    above += x * (flat.take(place + 1) - above)
    place += width
    below = flat.take(place)
    below += x * (flat.take(place + 1) - below)
    below -= above
    below *= y
    above += below
    return above, outside


def _reduced(pictures: NDArray[Any], factor: int) -> Pixels:
    """Return pictures (m, h, w) with the means of cells of pixels, in float32."""
    m, h, w = pictures.shape
    height, width = max(1, h // factor), max(1, w // factor)
    cells = pictures[:, : height * factor, : width * factor]
    cells = cells.reshape(m, height, factor, width, factor)
    return np.ascontiguousarray(cells.mean((2, 4), dtype=np.float32))


class _Level:
    """The frame at one size: cells of `factor` by `factor` pixels are one."""

    def __init__(self, box: Box, factor: int, transform: str) -> None:
        self.factor = factor
        top, left, h, w = box
        self.shape = max(1, round(h / factor)), max(1, round(w / factor))
        centre = (
            (top + h / 2) / factor - 0.5,
            (left + w / 2) / factor - 0.5,
        )
        corner = centre[0] - (self.shape[0] - 1) / 2, centre[1] - (self.shape[1] - 1) / 2
        self.grid = _grid((*corner, *self.shape))
        self.radius = math.hypot(*self.shape) / 4
        self.generators = _generators(centre, self.radius, transform)
        y, x = (self.grid - self.grid.mean(1, keepdims=True)) / self.radius
        smooth = np.stack([np.ones_like(y), y, x, y * y, x * y, x * x], 1)
        self._shading = np.linalg.qr(smooth)[0].T
        self._centre = np.array(centre)
        half = (factor - 1) / 2
        self._up = np.array([[factor, 0, half], [0, factor, half], [0, 0, 1.0]])
        self._down = np.linalg.inv(self._up)

    def on_level(self, transforms: Matrices) -> Matrices:
        """Return transforms of whole pictures as those of this level's pixels."""
        moved: Matrices = self._down @ transforms @ self._up
        return moved

    def rows(
        self, pictures: Pixels, transforms: Matrices
    ) -> tuple[Pixels, NDArray[np.bool_] | None]:
        """Return faces as they lie, with mean 0 and norm 1, and what they do not show."""
        X, outside = _warp(pictures, self.on_level(transforms), self.grid)
        X -= X.mean(1, keepdims=True)
        X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-6)
        return X, outside

    def unexplained(self, X: Pixels, residual: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return residuals as a share of the detail of each face, 0 to 1.

        Detail is what smooth shading is not, which any model of faces can explain.
        """
        shading = X @ self._shading.T
        detail = 1 - np.einsum("nk,nk->n", shading, shading)
        share = np.minimum(1, residual / np.maximum(detail, _LEAST_DETAIL))
        return np.where(X.any(axis=1) & (detail > _LEAST_DETAIL), share, 1.0)

    def tangents(self, H: Pixels) -> Pixels:
        """Return how a basis (k, p) changes along each generator: shape (k, m, p)."""
        pictures = H.reshape(-1, *self.shape)
        slopes = np.stack(np.gradient(pictures, axis=(1, 2)), 1).reshape(len(H), 2, -1)
        places = np.vstack([self.grid, np.ones_like(self.grid[:1])])
        motions = (self.generators[:, :2] @ places).astype(np.float32)  # (m, 2, p)
        tangents: Pixels = np.einsum("kcp,mcp->kmp", slopes, motions)
        return tangents

    def step(
        self, X: Pixels, outside: NDArray[np.bool_] | None, basis: _Basis, transforms: Matrices
    ) -> tuple[Matrices, NDArray[np.float64]]:
        """Make a Gauss-Newton step; return transforms and each face's residual, 0 to 1."""
        n, k, m = len(X), len(basis.H), len(self.generators)
        C = X @ basis.H.T
        if outside is not None:  # what a picture does not show is as the model has it
            X = np.where(outside, C @ basis.H, X)
            C = X @ basis.H.T
        R = X - C @ basis.H
        residual = np.einsum("np,np->n", R, R).astype(np.float64)
        b = np.einsum("nk,nkj->nj", C, (R @ basis.tangents.T).reshape(n, k, m))
        half = (C @ basis.gram.reshape(k, m * k * m)).reshape(n, m, k, m)
        A = np.einsum("nikj,nk->nij", half, C).astype(np.float64)
        pull = _PULL * residual / self.radius**2
        damping = _DAMPING * np.einsum("nii->n", A).mean() / m
        A += (pull + damping + 1e-9)[:, None, None] * np.eye(m)
        b = b + pull[:, None] * self._moved_by(transforms)
        d = np.linalg.solve(A, b[..., None])[..., 0].clip(-_LONGEST_STEP, _LONGEST_STEP)
        change = np.eye(3) - np.einsum("nm,mab->nab", d, self.generators)
        return transforms @ self._up @ change @ self._down, residual

    def _moved_by(self, transforms: Matrices) -> NDArray[np.float64]:
        """Return how far faces lie along each generator, in pixels of this level."""
        moved = self.on_level(transforms) - np.eye(3)
        turns = self.generators[:, :2, :2]
        size = np.einsum("mab,mab->m", turns, turns)
        size[:2] = 1
        along: NDArray[np.float64] = np.einsum("nab,mab->nm", moved[:, :2, :2], turns) / size
        along[:, :2] = moved[:, :2, :2] @ self._centre + moved[:, :2, 2]
        return along


class _Basis:
    """An orthonormal basis of faces (k, p), and what steps need of it."""

    def __init__(self, H: Pixels, level: _Level) -> None:
        tangents = level.tangents(H)
        k, m, _ = tangents.shape
        self.H = H
        self.tangents = tangents.reshape(k * m, -1)
        self.gram = (self.tangents @ self.tangents.T).reshape(k, m, k, m)


def _improved(X: Pixels, H: Pixels, rounds: int = 1) -> Pixels:
    """Return the basis (k, p) of `X` (n, p) after rounds of subspace iteration."""
    for _ in range(rounds):
        products = sum(X[i : i + 512].T @ (X[i : i + 512] @ H.T) for i in range(0, len(X), 512))
        H = np.ascontiguousarray(np.linalg.qr(products)[0].T)
    return H


class _Work:
    """A stack, and the sizes at which it is worked on."""

    def __init__(self, stack: FaceStack, box: Box, options: AlignOptions) -> None:
        self.stack, self.box = stack, box
        self.limits = _Limits(box, options)
        factor = -(-max(box[2:]) // _LONGEST_SIDE)
        factors = [factor]
        while min(box[2:]) / (2 * factors[0]) >= _SHORTEST_SIDE:
            factors.insert(0, 2 * factors[0])
        self.levels = [
            _Level(box, f, options.transform) for f in factors
        ]  # from coarse to fine

    def pictures(self, faces: NDArray[np.intp]) -> list[Pixels]:
        """Return faces in grey at the size of each level."""
        pixels = _in_memory(self.stack.images, faces)
        if pixels.ndim == 4:
            pixels = pixels.mean(-1, dtype=np.float32)
        found = [_reduced(pixels, self.levels[-1].factor)]
        broken = ~np.isfinite(found[0]).all(axis=(1, 2))
        if broken.any():
            name = self.stack.names[int(faces[broken.argmax()])]
            raise ValueError(
                f"{name!r} has NaN or infinite pixels: replace them before faces are aligned."
            )
        for _ in self.levels[1:]:
            found.insert(0, _reduced(found[0], 2))
        return found

    def blocks(self, faces: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
        """Cut faces into blocks that are read at a time."""
        step = 512
        return (faces[i : i + step] for i in range(0, len(faces), step))

    def bring(
        self, faces: NDArray[np.intp], bases: list[Pixels]
    ) -> tuple[Matrices, NDArray[np.float64]]:
        """Bring faces onto a basis for each level; return transforms and coarse residuals."""
        pictures = self.pictures(faces)
        plan = [(0, _Basis(bases[0][:rank], self.levels[0]), 8) for rank in (1, 2, 4)]
        for i, (H, level) in enumerate(zip(bases, self.levels, strict=True)):
            plan.append((i, _Basis(H, level), _ROUNDS_ONTO[min(i, 2)]))

        def bring(part: slice) -> tuple[Matrices, NDArray[np.float64]]:
            transforms = _unmoved(len(pictures[0][part]))
            coarse = np.zeros(len(transforms))
            for i, basis, rounds in plan:
                level = self.levels[i]
                for _ in range(rounds):
                    X, outside = level.rows(pictures[i][part], transforms)
                    transforms, residual = level.step(X, outside, basis, transforms)
                    transforms = self.limits(transforms)
                if i == 0:
                    coarse = level.unexplained(X, residual)
            return transforms, coarse

        parts = [slice(i, i + _BLOCK) for i in range(0, len(faces), _BLOCK)]
        moved, residuals = zip(*_in_threads(bring, parts), strict=True)
        return np.concatenate(moved), np.concatenate(residuals)


# -- The model, and the faces that lie on it -------------------------------------------

_ROUNDS_ONTO = (10, 10, 4)  # of steps at the coarse, middle and fine levels


def _ladder(n_levels: int, k: int) -> list[list[tuple[int, int]]]:
    """Return, for each level, numbers of components and how many rounds are made of them.

    A model of few components is blurred by faces that lie differently; that of many would
    have components for it.
    """
    few = [(1, 12), *((rank, 8) for rank in (2, 4, 6, 10))]
    steps = [[step for step in few if step[0] <= k], [((min(10, k) + k) // 2, 6), (k, 14)]]
    steps += [[(k, 5)]] * (n_levels - 3) + [[(k, 6)]]
    while len(steps) > n_levels:
        steps[-2:] = [steps[-2] + steps[-1]]
    return steps


class _Learning:
    """Faces that move towards the model that is learnt from them."""

    def __init__(self, work: _Work, faces: NDArray[np.intp], seed: int | None) -> None:
        self.work = work
        self.pictures = work.pictures(faces)
        self.transforms = _unmoved(len(faces))
        self.members = np.ones(len(faces), bool)
        self._rng = np.random.default_rng(seed)
        self._parts = [slice(i, i + _BLOCK) for i in range(0, len(faces), _BLOCK)]
        self.H = np.zeros((0, 0), np.float32)
        self.mean = np.zeros(work.levels[0].shape, np.float32)

    def rows(self, i: int) -> list[tuple[Pixels, NDArray[np.bool_] | None]]:
        """Return the faces as they lie, a block of rows each, at a level."""
        level = self.work.levels[i]
        return _in_threads(
            lambda part: level.rows(self.pictures[i][part], self.transforms[part]), self._parts
        )

    def fit(self, i: int, rank: int) -> list[tuple[Pixels, NDArray[np.bool_] | None]]:
        """Improve the basis at a level; return the rows that it was made from."""
        blocks = self.rows(i)
        X = np.concatenate([rows for rows, _ in blocks])
        X[~self.members] = 0
        self.mean = X.mean(0).reshape(self.work.levels[i].shape)
        is_new = self.H.shape[1:] != X.shape[1:]
        H = np.zeros((0, X.shape[1]), np.float32) if is_new else self.H[:rank]
        if len(H) < rank:
            mixed = self._rng.standard_normal((rank - len(H), len(X)), np.float32) @ X
            H, is_new = np.concatenate([H, mixed]), True
        self.H = _improved(X, H, 3 if is_new else 1)
        return blocks

    def turn(self, i: int, rank: int) -> NDArray[np.float64]:
        """Refit the model and move the faces towards it once; return their residuals."""
        level, blocks = self.work.levels[i], self.fit(i, rank)
        basis = _Basis(self.H, level)

        def move(j: int) -> tuple[Matrices, NDArray[np.float64]]:
            transforms, residual = level.step(
                *blocks[j], basis, self.transforms[self._parts[j]]
            )
            return transforms, level.unexplained(blocks[j][0], residual)

        moved, residuals = zip(*_in_threads(move, list(range(len(blocks)))), strict=True)
        transforms = _centred(np.concatenate(moved), self.members)
        self.transforms = self.work.limits(transforms)
        return np.concatenate(residuals)

    def ordered(self, blocks: list[tuple[Pixels, NDArray[np.bool_] | None]]) -> Pixels:
        """Return the basis turned so that what explains most comes first."""
        products = [(X @ self.H.T) for X, _ in blocks]
        turn = np.linalg.svd(np.concatenate(products)[self.members], full_matrices=False)[2]
        ordered: Pixels = turn @ self.H
        return ordered

    def unexplained(
        self, blocks: list[tuple[Pixels, NDArray[np.bool_] | None]]
    ) -> NDArray[np.float64]:
        """Return the share of each face's detail that the basis leaves, at the coarse level."""
        shares = []
        for X, _ in blocks:
            explained = X @ self.H.T
            left = (X * X).sum(1) - (explained * explained).sum(1)
            shares.append(self.work.levels[0].unexplained(X, left.astype(np.float64)))
        return np.concatenate(shares)


def _strange(unexplained: NDArray[np.float64]) -> float:
    """Return the unexplained share above which a face is not like the others."""
    middle = np.median(unexplained)
    spread = 1.4826 * np.median(np.abs(unexplained - middle))
    return float(min(_STRANGE_AT_MOST, max(middle + _STRANGE * spread, 1.5 * middle)))


def _steps(
    work: _Work,
    spots: NDArray[np.float64] | None,
    options: AlignOptions,
) -> Aligning:
    n, seed, n_components = len(work.stack), options.random_state, options.n_components
    if spots is None:
        transforms, placed = _unmoved(n), np.zeros(n, bool)
        chosen = np.arange(n)
    else:
        transforms, placed = _onto_points(spots, options.transform)
        chosen = np.flatnonzero(placed)
    if len(chosen) > _LEARNT_FROM:
        drawn = np.random.default_rng(seed).choice(chosen, _LEARNT_FROM, replace=False)
        chosen = np.sort(drawn)
    learning = _Learning(work, chosen, seed)
    # a face must not have a component of its own
    ladder = _ladder(len(work.levels), max(1, min(n_components, len(chosen) // 5)))
    learnt = 0.9 * min(1.0, 0.2 + 0.8 * len(chosen) / n)  # of all the work
    if spots is None:
        yield from _learn(learning, ladder, learnt)
    else:
        learning.transforms = transforms[chosen]
    bases, most, is_strange = _learnt(learning, ladder)
    transforms[chosen] = learning.transforms
    is_misfit = np.zeros(n, bool)
    # those that are strange to the model may only have lost their way while it was learnt
    placed[chosen] |= ~is_strange
    others = np.flatnonzero(~placed)
    for faces in work.blocks(others):
        transforms[faces], unexplained = work.bring(faces, bases)
        is_misfit[faces] = unexplained > most
        share = learnt + (0.9 - learnt) * (faces[-1] + 1) / n
        yield AlignStep(share, "Aligning the other faces", learning.mean)
    transforms[is_misfit] = np.eye(3)
    transforms = _centred(transforms, ~is_misfit)
    learning.transforms = transforms[chosen]
    yield AlignStep(0.95, "Measuring", learning.mean)
    error, sharpness = _measured(learning, n_components, seed)
    box = work.box if options.size else _common(transforms, work.stack.size)
    misfits = tuple(np.flatnonzero(is_misfit).tolist())
    return Alignment(transforms, box, misfits, error, sharpness, n_components)


def _learn(
    learning: _Learning, ladder: list[list[tuple[int, int]]], most: float
) -> Generator[AlignStep, None, None]:
    """Let the faces move, up to `most` of all the work."""
    plan = [(i, rank) for i, steps in enumerate(ladder) for rank, m in steps for _ in range(m)]
    for done, (i, rank) in enumerate(plan, 1):
        unexplained = learning.turn(i, rank)
        if (i, rank) == (0, _COARSE_RANK):  # those that are strange teach nothing from now on
            learning.members = unexplained <= _strange(unexplained)
        yield AlignStep(most * done / len(plan), "Aligning faces", learning.mean)


def _learnt(
    learning: _Learning, ladder: list[list[tuple[int, int]]]
) -> tuple[list[Pixels], float, NDArray[np.bool_]]:
    """Return a basis for each level, and who is strange to the coarse one.

    The number is the share of a face's detail that it may leave unexplained.
    """
    bases, most = [], 1.0
    is_strange = np.zeros(len(learning.transforms), bool)
    for i, steps in enumerate(ladder):
        rank = steps[-1][0]
        blocks = learning.fit(i, min(rank, _COARSE_RANK) if i == 0 < len(ladder) - 1 else rank)
        bases.append(learning.ordered(blocks))
        if i == 0:
            unexplained = learning.unexplained(blocks)
            most = _strange(unexplained[learning.members])
            is_strange[:] = unexplained > most
    return bases, most, is_strange


def _measured(
    learning: _Learning, n_components: int, seed: int | None
) -> tuple[tuple[float, float], float]:
    """Return the errors of NMF before and after, and how much sharper the mean face is."""
    level, pictures = learning.work.levels[-1], learning.pictures[-1][:_MEASURED]
    k = min(n_components, len(pictures) - 1)
    errors, sharpness = [], []
    for transforms in (_unmoved(len(pictures)), learning.transforms[: len(pictures)]):
        inner = level.on_level(transforms)
        rows = np.concatenate(
            [
                _warp(pictures[i : i + _BLOCK], inner[i : i + _BLOCK], level.grid)[0]
                for i in range(0, len(pictures), _BLOCK)
            ]
        )
        faces = rows.reshape(-1, *level.shape)
        slopes = np.hypot(*np.gradient(faces.mean(0)))
        sharpness.append(float(slopes.var()))
        if rows.min() < 0 or not rows.any() or k < 1:
            errors.append(math.nan)
            continue
        names = tuple(map(str, range(len(faces))))
        params = NMFParams(n_components=k, random_state=seed or 0)
        errors.append(drain(iter_multilevel(FaceStack(faces, names), params)).error)
    return (errors[0], errors[1]), sharpness[1] / sharpness[0] if sharpness[0] else math.nan


def _common(transforms: Matrices, size: tuple[int, int]) -> Box:
    """Return a large box that all aligned pictures cover.

    The side whose removal uncovers the most is cut until nothing is left uncovered.
    """
    h, w = size
    y0, x0, y1, x1 = 0, 0, h - 1, w - 1

    def missing(y0: int, x0: int, y1: int, x1: int) -> float:
        corners = np.array([[y0, y0, y1, y1], [x0, x1, x0, x1], [1, 1, 1, 1]])
        places = transforms[:, :2] @ corners
        beyond = np.maximum(-0.5 - places, places - np.array([[h - 0.5], [w - 0.5]]))
        return float(beyond.max((0, 1)).clip(0).sum())

    while min(y1 - y0, x1 - x0) > min(h, w) // 4 and missing(y0, x0, y1, x1) > 1e-9:
        cuts = (
            (y0 + 1, x0, y1, x1),
            (y0, x0 + 1, y1, x1),
            (y0, x0, y1 - 1, x1),
            (y0, x0, y1, x1 - 1),
        )
        y0, x0, y1, x1 = min(cuts, key=lambda cut: missing(*cut))
    return y0, x0, y1 - y0 + 1, x1 - x0 + 1


# -- Points ----------------------------------------------------------------------------


def _spots(points: Any, n: int) -> NDArray[np.float64]:
    """Return points as (n, k, 2), with NaN for faces that have none."""
    points = np.asarray(points, np.float64)
    spots: NDArray[np.float64]
    if points.ndim == 3:
        if points.shape[0] != n or points.shape[2] != 2:
            raise ValueError(
                f"points of shape {points.shape} do not fit {n} faces: (n, k, 2) is needed."
            )
        spots = points
    else:
        if points.ndim != 2 or points.shape[1] != 3:
            raise ValueError(
                "points must have the shape (m, 3), rows (face, y, x), or (n, k, 2), got "
                f"{points.shape}."
            )
        faces = np.rint(points[:, 0]).astype(int)
        if ((faces < 0) | (faces >= n)).any():
            raise ValueError(f"points name face {faces.max()}: there are {n}, from 0.")
        counts = np.bincount(faces, minlength=n)
        usual = int(np.bincount(counts[counts > 0]).argmax()) if len(faces) else 0
        wrong = np.flatnonzero((counts != usual) & (counts > 0))
        if len(wrong):
            raise ValueError(
                f"Face {wrong[0]} has {counts[wrong[0]]} points and others {usual}: each face "
                "needs the same points, in the same order."
            )
        spots = np.full((n, usual, 2), np.nan)
        for face in np.flatnonzero(counts):
            spots[face] = points[faces == face, 1:]
    if spots.shape[1] < 2:
        raise ValueError("Each face needs two points or more, such as its eyes.")
    if np.isfinite(spots).all((1, 2)).sum() < 2:
        raise ValueError("At least two faces need points.")
    return spots


def _onto_points(
    spots: NDArray[np.float64], transform: str
) -> tuple[Matrices, NDArray[np.bool_]]:
    """Return transforms from the mean of all points to those of each face that has some.

    Procrustes analysis: the mean is that of the points as they lie aligned.
    """
    given = np.asarray(np.isfinite(spots).all((1, 2)))
    known = spots[given]
    k = spots.shape[1]
    if transform == "affine" and k < 3:
        raise ValueError("An affine transform needs three points or more on each face.")
    mean = known.mean(0)
    for _ in range(10):
        y, x = mean.T
        one, none = np.ones(k), np.zeros(k)
        if transform == "affine":
            solved = np.linalg.pinv(np.column_stack([y, x, one])) @ known  # (n, 3, 2)
            top = np.swapaxes(solved, 1, 2)
        else:  # y' = a y - b x + s, x' = b y + a x + t
            equations = np.vstack(
                [np.column_stack([y, -x, one, none]), np.column_stack([x, y, none, one])]
            )
            wanted = np.concatenate([known[:, :, 0], known[:, :, 1]], 1)
            a, b, s, t = np.linalg.pinv(equations) @ wanted.T
            top = np.stack([np.stack([a, -b, s], -1), np.stack([b, a, t], -1)], 1)
        found = _unmoved(len(known))
        found[:, :2] = top
        if np.linalg.det(found).min() < 1e-6:
            face = int(np.flatnonzero(given)[np.linalg.det(found).argmin()])
            raise ValueError(f"The points of face {face} lie on one another.")
        found = _centred(found, np.ones(len(found), bool))
        back = np.linalg.inv(found)
        mean = (np.einsum("nab,nkb->nka", back[:, :2, :2], known) + back[:, None, :2, 2]).mean(
            0
        )
    transforms = _unmoved(len(spots))
    transforms[given] = found
    return transforms, given
