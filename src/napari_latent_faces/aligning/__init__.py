"""Faces moved, turned and scaled onto one another, by a model of them all or by points."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.aligning import learning
from napari_latent_faces.fitting import iter_solve
from napari_latent_faces.params import AlignOptions, NMFParams
from napari_latent_faces.reading.beside import points_of_faces
from napari_latent_faces.solvers.blocks import on_one_blas_thread
from napari_latent_faces.stack import FaceStack, as_pixels, as_stack, in_pixels
from napari_latent_faces.steps import consume, relayed
from napari_latent_faces.tiles import reduced

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from napari_latent_faces.aligning.learning import Box, Floats, Mask, Matrices
    from napari_latent_faces.model import LatentFaces

    Aligning = Generator[learning.AlignStep, None, "Alignment"]

_LEARNT_FROM = 2000  # faces that the model is learnt from; the others are brought onto it


def align_faces(
    images: Any,
    points: Any = None,
    options: AlignOptions | None = None,
    *,
    progress: Callable[[learning.AlignStep], object] | None = None,
    **changes: Any,
) -> FaceStack:
    """Move, turn and scale faces so that they lie on one another.

    Without points, each face is brought onto its own reconstruction by a model of all faces,
    which is learnt from them as they lie: first of few components, too blurred to know where
    single faces lie, then of more. It works for any stack of similar pictures.

    Parameters
    ----------
    images : FaceStack or array of shape (n, h, w) or (n, h, w, 3)
        The faces, in memory or lazy.
    points : array of shape (m, 3) or (n, k, 2), optional
        The same two or more points on each face: rows (face, y, x), such as the data of a
        Points layer, or (y, x) for each face, such as `read_points` gives. Faces without any,
        or with NaN, are brought onto a model of the others.
    options, **changes : AlignOptions, optional
        How far faces may move, and what to keep of them; or single options by name.
    progress : callable, optional
        Called with each `AlignStep`.

    Returns
    -------
    FaceStack
        With the `transforms` of an `Alignment`. Faces unlike the others stay where they are;
        `report` names them.

    Raises
    ------
    ValueError
        If there are fewer than two faces, or the size or the points do not fit.

    Notes
    -----
    Congealing (Learned-Miller 2006, doi:10.1109/TPAMI.2006.34) with a low-rank model in place
    of the mean, as in RASL (Peng et al. 2012, doi:10.1109/TPAMI.2011.282), by Gauss-Newton
    steps in the inverse compositional form (Baker & Matthews 2004,
    doi:10.1023/B:VISI.0000011205.11775.fd): the gradient is that of the reconstruction. That
    of the picture would draw it towards its own smooth parts.

    Examples
    --------
    >>> from napari_latent_faces import sample_faces
    >>> aligned = align_faces(sample_faces(10, 4), size=(92, 76))
    >>> aligned.shape, aligned.transforms.shape
    ((40, 92, 76), (40, 3, 3))
    """
    return consume(iter_align(images, points, options, **changes), progress).apply(images)


def iter_align(
    images: Any, points: Any = None, options: AlignOptions | None = None, **changes: Any
) -> Aligning:
    """Align faces as `align_faces` does, step by step; close the generator to cancel.

    Each step is an `AlignStep`. The value is an `Alignment`, whose `apply` makes the aligned
    stack.
    """
    options = replace(options or AlignOptions(), **changes)
    stack = as_stack(images)
    if len(stack) < 2:
        raise ValueError(f"Aligning needs at least two faces, got {len(stack)}.")
    box = _middle(stack.size, options.size)
    spots = None if points is None else points_of_faces(points, len(stack))
    return on_one_blas_thread(_steps(learning.Work(stack, box, options), spots, options))


def align_to(
    model: LatentFaces, images: Any, options: AlignOptions | None = None, **changes: Any
) -> FaceStack:
    """Bring other faces onto a model of aligned faces, for example before encoding them.

    Parameters
    ----------
    model : LatentFaces
        A model of faces that were aligned.
    images : FaceStack or array of shape (n, h, w) or (n, h, w, 3)
        Whole pictures, of the size that those of the model had before they were cropped, or
        pictures of the model's own size. For a model of faces that were not aligned, larger
        ones are taken, too: their middle part is aligned.
    options, **changes : AlignOptions, optional
        How far faces may move; the model has its own size and components.

    Returns
    -------
    FaceStack
        Pictures of the model's size, as `align_faces` returns them.

    Raises
    ------
    ValueError
        If the pictures have another size.
    """
    return consume(iter_align_to(model, images, options, **changes))


def iter_align_to(
    model: LatentFaces, images: Any, options: AlignOptions | None = None, **changes: Any
) -> Generator[int, None, FaceStack]:
    """Do what `align_to` does, in steps; the number of faces done is yielded."""
    stack = as_stack(images)
    h, w = model.size
    frame = model.provenance.frame
    if stack.size == (h, w):
        box = (0, 0, h, w)
    elif frame is None:
        box = _middle(stack.size, (h, w))
    elif stack.size == frame[2:]:
        box = (*frame[:2], h, w)
    else:
        words = f"before alignment: read them with size={frame[2:]}."
        there, whole = map(in_pixels, (stack.size, frame[2:]))
        raise ValueError(f"The pictures are {there}, the model's were {whole} {words}")
    options = replace(options or AlignOptions(), **changes)
    return on_one_blas_thread(_steps_to(model, learning.Work(stack, box, options, model.mask)))


def fill_points(points: Any, transforms: Matrices) -> Floats:
    """Say where the points of some faces, as for `align_faces`, are on all of them: (n, k, 2).

    The faces are aligned by then: where one has no points of its own, they are at their mean.
    """
    spots = points_of_faces(points, len(transforms))
    mean = np.nanmean(_moved(np.linalg.inv(transforms), spots), 0)
    return np.where(np.isfinite(spots), spots, _moved(transforms, mean))


def oval_mask(shape: tuple[int, int]) -> Mask:
    """Mark the corners around an upright oval in pictures (h, w), as `mask` for a fit."""
    y, x = (np.linspace(-1, 1, 2 * length + 1)[1::2] for length in shape[:2])
    outside: Mask = y[:, None] ** 2 + x**2 > 1
    return outside


def _middle(whole: tuple[int, int], size: tuple[int, int] | None) -> Box:
    h, w = size or (round(0.82 * whole[0]), round(0.82 * whole[1]))
    if not (1 <= h <= whole[0] and 1 <= w <= whole[1]):
        words = f"{in_pixels((h, w))} does not fit into pictures of {in_pixels(whole)}"
        raise ValueError(f"A size of {words}: read larger pictures, or choose a smaller one.")
    if min(h, w) < 8:
        raise ValueError(f"{w} x {h} pixels are too few to align faces by.")
    return (whole[0] - h) // 2, (whole[1] - w) // 2, h, w


def _steps(work: learning.Work, spots: Floats | None, options: AlignOptions) -> Aligning:
    n, seed, n_components = len(work.stack), options.random_state, options.n_components
    transforms, placed, chosen = learning.unmoved(n), np.zeros(n, bool), np.arange(n)
    if spots is not None:
        transforms, placed = _onto_points(spots, options.transform)
        chosen = np.flatnonzero(placed)
    if len(chosen) > _LEARNT_FROM:
        chosen = np.random.default_rng(seed).choice(chosen, _LEARNT_FROM, replace=False)
        chosen.sort()
    # a face must not have a component of its own
    learner = learning.Learner(work, chosen, max(1, min(n_components, len(chosen) // 5)), seed)
    yield learning.AlignStep(0.0, "Aligning faces", learner.mean)
    until = 0.9 * min(1.0, 0.2 + 0.8 * len(chosen) / n)  # of all the work
    if spots is None:
        for share in learner.run():
            yield learning.AlignStep(until * share, "Aligning faces", learner.mean)
    else:
        learner.transforms = transforms[chosen]
    bases, most, is_strange = learner.learnt()
    transforms[chosen] = learner.transforms
    # those that are strange to the model may only have lost their way while it was learnt
    placed[chosen] |= ~is_strange
    is_misfit = yield from relayed(
        work.bring(transforms, np.flatnonzero(~placed), bases, most),
        lambda done: learning.AlignStep(
            until + (0.9 - until) * done / n, "Aligning the other faces", learner.mean
        ),
    )
    transforms = learning.centred(transforms, ~is_misfit)
    learner.transforms = transforms[chosen]
    yield learning.AlignStep(0.95, "Measuring", learner.mean)
    error, sharpness = _measured(learner, n_components, seed)
    box = work.box if options.size else _common_box(transforms, work.stack.size)
    misfits = tuple(np.flatnonzero(is_misfit).tolist())
    return Alignment(transforms, box, misfits, error, sharpness, n_components)


def _measured(
    learner: learning.Learner, n_components: int, seed: int | None
) -> tuple[tuple[float, float], float]:
    """Return the errors of NMF before and after, and how much sharper the mean face is."""
    level, pictures = learner.work.levels[-1], learner.pictures[-1][:1000]
    n = len(pictures)
    params = NMFParams(n_components=min(n_components, n - 1), random_state=seed or 0)
    errors, sharpness = [math.nan, math.nan], [0.0, 0.0]
    for i, transforms in enumerate((learning.unmoved(n), learner.transforms[:n])):
        faces = _warped(pictures, level.on_level(transforms), level.box)
        sharpness[i] = float(np.hypot(*np.gradient(faces.mean(0))).var())
        if faces.min() >= 0 and faces.any():
            errors[i] = consume(iter_solve(as_stack(faces), params)).error
    return (errors[0], errors[1]), sharpness[1] / sharpness[0] if sharpness[0] else math.nan


def _steps_to(model: LatentFaces, work: learning.Work) -> Generator[int, None, FaceStack]:
    # as large as they are on average, so that the coarse levels know what matters
    sizes = np.sqrt((np.asarray(model.weights, np.float64) ** 2).mean(0))
    pictures = model.components * sizes.reshape(-1, *[1] * len(model.picture_shape))
    if model.mean is not None:
        pictures = np.concatenate([model.mean[None], pictures])
    if pictures.ndim == 4:
        pictures = pictures.mean(-1)
    rows = [level.faces(reduced(pictures, level.factor)) for level in work.levels]
    *coarse, fine = (np.linalg.svd(X, full_matrices=False)[2] for X in rows)
    bases, n = [*(H[: learning.COARSE_RANK] for H in coarse), fine], len(work.stack)
    transforms = learning.unmoved(n)
    is_misfit = yield from work.bring(transforms, np.arange(n), bases, 0.85)
    misfits = tuple(np.flatnonzero(is_misfit).tolist())
    return Alignment(transforms, work.box, misfits).apply(work.stack)


def _onto_points(spots: Floats, transform: str) -> tuple[Matrices, Mask]:
    """Return transforms from the mean of all points to those of each face that has some.

    Procrustes analysis: the mean is that of the points as they lie aligned.
    """
    given = np.asarray(np.isfinite(spots).all((1, 2)))
    known, k = spots[given], spots.shape[1]
    if transform == "affine" and k < 3:
        raise ValueError("An affine transform needs three points or more on each face.")
    directions = learning.generators((0.0, 0.0), 1.0, transform)
    mean = known.mean(0)
    for _ in range(10):
        # how far along each direction brings the mean closest to each face
        along = (directions[:, :2] @ np.vstack([mean.T, np.ones(k)])).reshape(-1, 2 * k)
        wanted = np.swapaxes(known - mean, 1, 2).reshape(-1, 2 * k)
        found = np.eye(3) + np.einsum("nm,mab->nab", wanted @ np.linalg.pinv(along), directions)
        sizes = np.linalg.det(found)
        if sizes.min() < 1e-6:
            face = int(np.flatnonzero(given)[sizes.argmin()])
            raise ValueError(f"The points of face {face} lie on one another.")
        found = found @ np.linalg.inv(found.mean(0))
        mean = _moved(np.linalg.inv(found), known).mean(0)
    transforms = learning.unmoved(len(spots))
    transforms[given] = found
    return transforms, given


def _moved(transforms: NDArray[Any], points: Floats) -> Floats:
    """Return points (n, k, 2), or (k, 2) of all faces, as the faces' transforms move them."""
    turned = points @ np.swapaxes(transforms[:, :2, :2], 1, 2)
    return np.asarray(turned + transforms[:, None, :2, 2])


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where each face goes.

    Parameters
    ----------
    transforms : array of shape (n, 3, 3)
        Each takes (y, x, 1) of the aligned picture, in pixels of the whole picture before
        cropping, to (y, x, 1) of the original. Their mean is the identity.
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
        (before, after), parts = self.error, []
        if not math.isnan(before):
            errors = f"{before:.3f} before, {after:.3f} after"
            parts.append(f"error of {self.n_components} components {errors}")
            parts.append(f"mean face {self.sharpness:.1f} times as sharp")
        if self.misfits:
            parts.append(f"{len(self.misfits)} did not look like the others and stayed put")
        return f"{len(self.transforms)} faces aligned{': ' * bool(parts)}{'; '.join(parts)}"

    def apply(self, images: Any) -> FaceStack:
        """Return the faces that were aligned as a `FaceStack` of them aligned; lazy if lazy.

        Pixels between theirs are interpolated linearly; what a picture does not show is
        filled with the pixels at its edge. The `transforms` of the result include those of a
        stack that had been aligned before.
        """
        stack = as_stack(images)
        if len(stack) != len(self.transforms):
            raise ValueError(f"{len(self.transforms)} faces were aligned, not {len(stack)}.")
        transforms, frame = self.transforms, (*self.box[:2], *stack.size)
        if stack.transforms is not None and stack.frame is not None:
            y, x, *whole = stack.frame
            into = np.array([[1.0, 0, -y], [0, 1, -x], [0, 0, 1]])
            transforms = stack.transforms @ np.linalg.inv(into) @ transforms @ into
            frame = (frame[0] + y, frame[1] + x, whole[0], whole[1])
        images, box = stack.images, self.box
        if stack.is_lazy:
            import dask.array

            da: Any = dask.array
            if not hasattr(images, "dask"):
                chunks = (learning.BLOCK, *stack.picture_shape)
                images = da.from_array(images, chunks, name=False)
            lazy = images.rechunk(dict.fromkeys(range(1, images.ndim), -1))
            each = self.transforms.reshape(-1, 3, 3, *[1] * (lazy.ndim - 3))
            each = da.from_array(each, (lazy.chunks[0], *each.shape[1:]))
            shape = (lazy.chunks[0], *box[2:], *lazy.shape[3:])
            meta = np.empty((0,) * lazy.ndim, stack.dtype)
            images = da.map_blocks(_warped, lazy, each, box, chunks=shape, meta=meta)
        else:
            images = _warped(images, self.transforms, box)
        notes = [self.summary()]
        if self.misfits:
            some = ", ".join(stack.names[i] for i in self.misfits[:20])
            notes.append("Not aligned: " + some + (", ..." if len(self.misfits) > 20 else ""))
        report = replace(stack.report, notes=(*stack.report.notes, *notes), options=None)
        return replace(stack, images=images, transforms=transforms, frame=frame, report=report)


def _warped(images: NDArray[Any], transforms: Matrices, box: Any) -> NDArray[Any]:
    places, transforms = learning.grid(box), transforms.reshape(-1, 3, 3)
    warped = np.empty((len(images), *box[2:], *images.shape[3:]), images.dtype)

    def make(part: slice) -> None:
        for channel in np.ndindex(images.shape[3:]):
            plane = np.ascontiguousarray(images[(part, ..., *channel)], np.float32)
            values, _ = learning.warp(plane, transforms[part], places)
            pixels = as_pixels(values, images.dtype)
            warped[(part, ..., *channel)] = pixels.reshape(-1, *box[2:])

    learning.in_blocks(make, len(images))
    return warped


def _common_box(transforms: Matrices, size: tuple[int, int]) -> Box:
    """Return a large box that all aligned pictures cover.

    The side whose removal uncovers the most is cut until nothing is left uncovered.
    """
    last = np.array([size]).T - 0.5
    box = np.array([0, 0, size[0] - 1, size[1] - 1])  # first and last rows and columns

    def missing(box: NDArray[np.int_]) -> float:
        corners = np.array([box[[0, 0, 2, 2]], box[[1, 3, 1, 3]], [1, 1, 1, 1]])
        places = transforms[:, :2] @ corners
        return float(np.maximum(-0.5 - places, places - last).max((0, 1)).clip(0).sum())

    while min(box[2:] - box[:2]) > min(size) // 4 and missing(box) > 1e-9:
        box = min(box + np.diag([1, 1, -1, -1]), key=missing)
    y0, x0, y1, x1 = box.tolist()
    return y0, x0, y1 - y0 + 1, x1 - x0 + 1
