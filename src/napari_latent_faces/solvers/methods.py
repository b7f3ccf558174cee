"""The fit of every method but our own NMF."""

from __future__ import annotations

import math
import warnings
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.fitting import ConvergenceWarning, FitStep
from napari_latent_faces.model import LatentFaces, Provenance, normalized, unit_maximum
from napari_latent_faces.solvers.blocks import (
    IMPORT_LOCK,
    FaceBlocks,
    block_bytes,
    face_errors,
    row_blocks,
    squares,
)
from napari_latent_faces.solvers.memory import refuse_if_too_large, smaller
from napari_latent_faces.solvers.multilevel import Factors
from napari_latent_faces.solvers.nnls import solver_of
from napari_latent_faces.stack import as_matrix, has_own_scale, matrix_dtype, peak, unit_scale

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from numpy.typing import NDArray

    from napari_latent_faces.fitting import Fitting
    from napari_latent_faces.model import StopReason
    from napari_latent_faces.params import (
        DictionaryParams,
        ICAParams,
        KMeansParams,
        MiniBatchNMFParams,
        Parameters,
        PCAParams,
    )
    from napari_latent_faces.stack import FaceStack

    Finding = Generator["FitStep", Literal["stop"] | None, "Found"]

    AnyParams = DictionaryParams | KMeansParams | MiniBatchNMFParams

    Axes = Generator[FitStep, Literal["stop"] | None, tuple[NDArray[Any], int, bool]]

__all__ = [
    "LARGEST_IN_MEMORY",
    "Found",
    "Rows",
    "batch_error",
    "check_method_memory",
    "iter_dictionary",
    "iter_ica",
    "iter_kmeans",
    "iter_method",
    "iter_minibatch_nmf",
    "iter_pca",
    "needed_by_method",
    "weights_and_error",
]

# -- The pixels of a stack as rows: in memory if they are few, else read block by block

# By the size of the stack alone, so that a result does not depend on the machine.
LARGEST_IN_MEMORY = 2**27
"""Pixels of the largest stack that is held in memory as floats (512 MB in float32)."""


class Rows:
    """The pictures of a stack, a row each, from 0 to 1.

    Parameters
    ----------
    stack : FaceStack
        The pictures, numpy or lazy.

    Attributes
    ----------
    n, p : int
        Number of faces and of pixels of each.
    picture_shape : tuple of int
        Shape of a picture, (h, w) or (h, w, 3).
    scale : float
        The pixel value that is 1.
    X : array of shape (n, p), or None
        All pixels, if they are held in memory.

    Raises
    ------
    ValueError
        If a pixel is negative, NaN or infinite, or all are 0.
    """

    def __init__(self, stack: FaceStack) -> None:
        self.n, self.picture_shape = len(stack), stack.picture_shape
        self.p = math.prod(self.picture_shape)
        self.X: NDArray[Any] | None = None
        self.dtype = matrix_dtype(stack.dtype)
        if self.n * self.p <= LARGEST_IN_MEMORY:
            self.X, self.scale = as_matrix(stack)
            self._slices = list(row_blocks(self.n, self.p))
        else:
            self.scale = _checked_scale(stack)
            self._blocks = FaceBlocks(stack.images, self.scale)
            self._slices = self._blocks.rows
        self._mean: NDArray[np.float64] | None = None
        if not self.mean().any():
            raise ValueError("Every pixel of the stack is 0: there is nothing to factorize.")

    def blocks(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Yield all rows once, in order, some faces at a time; they are not to be kept."""
        for rows in self._slices:
            yield rows, self._read(rows)

    def mean(self) -> NDArray[np.float64]:
        """Return the mean row, shape (p,)."""
        if self._mean is None:
            sums = sum(block.sum(axis=0, dtype=np.float64) for _, block in self.blocks())
            self._mean = np.asarray(sums / self.n, np.float64)
        return self._mean

    def check_differences(self) -> None:
        """Refuse faces that are all the same.

        Raises
        ------
        ValueError
            If they are.
        """
        mean = self.mean().astype(self.dtype)
        tiny = 8 * np.finfo(self.dtype).eps
        if not any((np.abs(block - mean) > tiny).any() for _, block in self.blocks()):
            raise ValueError("All faces are the same: there is nothing to tell them apart by.")

    def n_batches(self, size: int) -> int:
        """Return the number of batches of a pass."""
        return sum(_parts(rows, size) for rows in self._groups(size))

    def batches(self, size: int, rng: np.random.RandomState) -> Iterator[NDArray[Any]]:
        """Yield all rows once, shuffled, in batches of `size` rows or a few more.

        Of a stack in memory every row can come next. Of a larger one groups of faces that
        are read together are shuffled, and the rows in each.
        """
        groups = self._groups(size)
        for i in rng.permutation(len(groups)):
            rows = self._group(groups[i])
            for part in np.array_split(rng.permutation(len(rows)), _parts(groups[i], size)):
                yield rows[part]

    def _groups(self, size: int) -> list[slice]:
        """Join neighbouring blocks until each has `size` faces."""
        if self.X is not None:
            return [slice(0, self.n)]
        groups: list[slice] = []
        first = 0
        for rows in self._slices:
            if rows.stop - first >= size:
                groups.append(slice(first, rows.stop))
                first = rows.stop
        if first < self.n:  # what is left over joins the last
            start = groups.pop().start if groups else 0
            groups.append(slice(start, self.n))
        return groups

    def _group(self, group: slice) -> NDArray[Any]:
        if self.X is not None:
            return self.X[group]
        inside = [r for r in self._slices if group.start <= r.start < group.stop]
        return np.concatenate([self._read(rows).copy() for rows in inside])

    def _read(self, rows: slice) -> NDArray[Any]:
        return self._blocks.read(rows) if self.X is None else self.X[rows]


def _parts(rows: slice, size: int) -> int:
    count: int = (rows.stop - rows.start) // size
    return max(1, count)


def _checked_scale(stack: FaceStack) -> float:
    """Check all pixels that need it; return the value that becomes 1."""
    if has_own_scale(stack.dtype):
        return unit_scale(0.0, stack.dtype)
    return unit_scale(peak(stack.images, stack.names), stack.dtype)


# -- What a fit of each method takes beside the stack, told before it starts -----------

# Measured: what scikit-learn makes of the pixels, in copies.
_FULL = 5  # an exact decomposition of all of them
_PART = 6  # a step of the incremental one, of its batch in float64
_BATCH = 4  # a step of one that learns
_WIDE = 8  # bytes of float64


def needed_by_method(stack: FaceStack, params: Parameters) -> int:
    """Return about how many bytes a fit takes beside the stack itself.

    Parameters
    ----------
    stack : FaceStack
        The pictures.
    params : Parameters
        The method and its parameters.
    """
    n, p, k = len(stack), math.prod(stack.picture_shape), int(params.n_components)
    pixels = n * p * matrix_dtype(stack.dtype).itemsize
    in_memory = n * p <= LARGEST_IN_MEMORY
    # the last look at the faces, for their weights
    block = 3 * (min(pixels, 2**24) if in_memory else block_bytes(n, p))
    held = pixels if in_memory else block_bytes(n, p)
    if params.method in {"pca", "ica"}:
        working = _decomposition(n, p, params, pixels, in_memory=in_memory)
    else:
        size = min(n, max(int(params.batch_size), k))  # type: ignore[attr-defined]
        working = _BATCH * size * p * _WIDE
        if not in_memory:  # batches come out of whole blocks
            working += 2 * (block_bytes(n, p) + 4 * size * p)
    return held + max(block, working) + 4 * _WIDE * k * (n + p)


def _decomposition(n: int, p: int, params: Any, pixels: int, *, in_memory: bool) -> int:
    k = int(params.n_components)
    solver = getattr(params, "svd_solver", "auto")
    if solver == "incremental" or (solver == "auto" and not in_memory):
        batch = min(5 * k, n)
        return _PART * (2 * batch + k) * p * _WIDE
    # scikit-learn's own choice is the full one for most components, and for small stacks
    is_full = solver == "full" or (solver == "auto" and k >= 0.8 * min(n, p))
    copies = _FULL if is_full else 2
    return copies * pixels


def check_method_memory(stack: FaceStack, params: Parameters) -> None:
    """Refuse a fit that does not fit into the memory that is free.

    Raises
    ------
    MemoryError
        The message says how much is needed_by_method and how to do with less.
    """
    what = f"{params.title} with n_components={params.n_components}"
    refuse_if_too_large(
        needed_by_method(stack, params), what, stack, _method_remedy(stack, params)
    )


def _method_remedy(stack: FaceStack, params: Parameters) -> str:
    if getattr(params, "svd_solver", "incremental") in {"full", "randomized"}:
        return (
            "Choose svd_solver='incremental', which takes the faces batch by batch, or "
            f"{smaller(stack)}."
        )
    return f"Choose fewer components or {smaller(stack)}."


# -- What a method finds, and how weights and error follow from it ---------------------

_RCOND = 1e-12  # eigenvalues below this share of the largest count as zero


@dataclass(frozen=True, eq=False)
class Found:
    """Components, and how the search for them ended.

    Parameters
    ----------
    H : array of shape (k, p)
        Components as rows.
    mean : array of shape (p,), or None
        What they are added to.
    n_iter : int
        Iterations made.
    reason : {"converged", "max_iter", "stopped"}
        Why it ended.
    """

    H: NDArray[Any]
    mean: NDArray[Any] | None
    n_iter: int
    reason: StopReason


def weights_and_error(
    rows: Rows, H: NDArray[Any], mean: NDArray[Any] | None, params: Parameters
) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Return the weights of all faces for given components, and the relative error.

    Parameters
    ----------
    rows : Rows
        The faces.
    H : array of shape (k, p)
        Components as rows.
    mean : array of shape (p,), or None
        The mean face.
    params : Parameters
        They say which weights are looked for.

    Returns
    -------
    W, H : arrays of shape (n, k) and (k, p)
        Weights and components, as the model will hold them: each has maximum 1.
    error : float
        ``||X - mean - W H|| / ||X||``.
    """
    Q, R = np.linalg.qr(H.T.astype(np.float64))
    solve = solver_of(params.coding, getattr(params, "alpha", 0.0))
    origin = 0.0 if mean is None else mean @ Q
    base = None if mean is None else mean.astype(rows.dtype)
    W = np.empty((rows.n, len(H)), rows.dtype)
    scaled = unit_maximum(H)
    lost = whole = 0.0
    for faces, X in rows.blocks():
        W[faces], _ = normalized(solve(R, X @ Q - origin), H)
        some_lost, some = face_errors(X, W[faces], scaled, mean=base)
        lost, whole = lost + some_lost.sum(), whole + some.sum()
    return W, scaled, float(np.sqrt(lost / whole))


def batch_error(X: NDArray[Any], H: NDArray[Any], params: Parameters) -> tuple[float, float]:
    """Return the squared error of some rows for the components so far, and their squared norm.

    Parameters
    ----------
    X : array of shape (m, p)
        Rows, less the mean if the method has one.
    H : array of shape (k, p)
        Components as rows.
    params : Parameters
        They say which weights are looked for.
    """
    # the normal equations are enough for an estimate, and small
    G, C = (H @ H.T).astype(np.float64), (X @ H.T).astype(np.float64)
    values, vectors = np.linalg.eigh(G)
    kept = values > _RCOND * max(float(values[-1]), np.finfo(np.float64).tiny)
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    solve = solver_of(params.coding, getattr(params, "alpha", 0.0))
    W = solve((vectors * roots).T, C @ vectors / roots)
    norm = squares(X)
    return max(norm - 2 * float(np.vdot(W, C)) + float(np.vdot(W @ G, W)), 0.0), norm


# -- Methods that learn from a part of the faces at a time -----------------------------


def iter_dictionary(rows: Rows, params: DictionaryParams) -> Finding:
    """Learn a dictionary of the differences from the mean face.

    Parameters
    ----------
    rows : Rows
        The faces.
    params : DictionaryParams
        The parameters.

    Yields
    ------
    FitStep
        After each batch; the error is that of the faces of the last pass, each measured
        when it was seen. Send ``"stop"`` to end.

    Returns
    -------
    Found
        Components.
    """
    with IMPORT_LOCK:
        from sklearn.decomposition import MiniBatchDictionaryLearning

    rows.check_differences()
    learner = MiniBatchDictionaryLearning(
        params.n_components,
        alpha=params.alpha,
        batch_size=params.batch_size,
        fit_algorithm="cd",
        random_state=params.random_state,
    )
    # in float32 coordinate descent cannot reach its tolerance
    return (yield from _learn(rows, params, learner, rows.mean(), np.float64))


def iter_minibatch_nmf(rows: Rows, params: MiniBatchNMFParams) -> Finding:
    """Learn non-negative components; parameters and steps as in `iter_dictionary`."""
    with IMPORT_LOCK:
        from sklearn.decomposition import MiniBatchNMF

    size = _batch_size(params, rows)
    learner = MiniBatchNMF(
        params.n_components,
        batch_size=2 * size,  # more than a batch holds: each is learned from as a whole
        forget_factor=params.forget_factor ** (size / rows.n),  # for a pass, as in fit()
        random_state=params.random_state,
    )
    return (yield from _learn(rows, params, learner, None))


def iter_kmeans(rows: Rows, params: KMeansParams) -> Finding:
    """Find the means of groups of faces; parameters and steps as in `iter_dictionary`."""
    with IMPORT_LOCK:
        from sklearn.cluster import MiniBatchKMeans

    learner = MiniBatchKMeans(
        params.n_components,
        batch_size=_batch_size(params, rows),
        n_init=1,  # partial_fit makes no others
        random_state=params.random_state,
    )
    return (yield from _learn(rows, params, learner, None))


def _batch_size(params: AnyParams, rows: Rows) -> int:
    """Return how many faces a batch has: enough to start all components from the first."""
    return min(max(params.batch_size, params.n_components), rows.n)


def _learn(
    rows: Rows, params: AnyParams, learner: Any, mean: Any, dtype: Any = None
) -> Finding:
    """Show the learner the faces, pass by pass, until the error hardly falls."""
    size = _batch_size(params, rows)
    n_batches = rows.n_batches(size)
    rng = np.random.RandomState(params.random_state)
    base = rows.dtype.type(0) if mean is None else mean.astype(rows.dtype)
    seen: deque[tuple[float, float]] = deque(maxlen=n_batches)  # the batches of one pass
    iteration, last = 0, np.inf
    reason: StopReason = "max_iter"
    for _ in range(params.max_iter):
        for batch in rows.batches(size, rng):
            iteration += 1
            whole = float(np.vdot(batch, batch))
            learner.partial_fit((batch - base).astype(dtype or rows.dtype, copy=False))
            H = _components(learner).astype(rows.dtype)
            seen.append((batch_error(batch - base, H, params)[0], whole))
            error = float(np.sqrt(np.divide(*np.sum(seen, axis=0))))
            factors = Factors(
                np.empty((0, len(H))),
                H,
                rows.picture_shape,
                iteration,
                False,
                error,
                rows.scale,
            )
            step = FitStep(iteration, params.max_iter * n_batches, error, factors)
            if (yield step) == "stop":
                return Found(H, mean, iteration, "stopped")
        if params.tol > 0 and last - error < params.tol * error:
            reason = "converged"
            break
        last = error
    if reason == "max_iter" and params.tol > 0:
        _warn(params, error)
    return Found(H, mean, iteration, reason)


def _components(learner: Any) -> Any:
    centers = getattr(learner, "cluster_centers_", None)
    return learner.components_ if centers is None else centers


def _warn(params: AnyParams, error: float) -> None:
    passes = f"{params.max_iter} pass{'es' * (params.max_iter != 1)}"
    warnings.warn(
        f"Not converged after {passes} over the faces (relative error {error:.4f}): the "
        "parts may still change. Raise max_iter, or tol if this is good enough.",
        ConvergenceWarning,
        stacklevel=3,
    )


# -- PCA and ICA: the plane in which faces differ most, and a rotation within it -------

_BATCH_COMPONENTS = 5  # rows of a batch of incremental PCA for each component
_RANK = 1e-7  # of the largest spread: less is none


def iter_pca(rows: Rows, params: PCAParams) -> Finding:
    """Find eigenfaces with scikit-learn; a stack read in blocks gives a step for each batch.

    Parameters
    ----------
    rows : Rows
        The faces.
    params : PCAParams
        The parameters.

    Returns
    -------
    Found
        Components of unit length, in the order of their variance.

    Raises
    ------
    ValueError
        If there are more components than directions in which the faces can differ.
    """
    H, n_iter, stopped = yield from _axes(rows, params, params.svd_solver)
    return Found(H, rows.mean(), n_iter, "stopped" if stopped else "converged")


def iter_ica(rows: Rows, params: ICAParams) -> Finding:
    """Find independent components: PCA, then scikit-learn's FastICA in its plane.

    All rotations of the plane leave the reconstructions, and so the error, as they are.

    Parameters
    ----------
    rows : Rows
        The faces.
    params : ICAParams
        The parameters.

    Returns
    -------
    Found
        Components.

    Raises
    ------
    ValueError
        If there are more components than directions in which the faces differ.
    """
    with IMPORT_LOCK:
        from sklearn.decomposition import fastica

    V, _, stopped = yield from _axes(rows, params, "auto")
    scores = np.concatenate([(block - rows.mean()) @ V.T for _, block in rows.blocks()])
    _check_rank(scores, params)
    by_pixel = params.independent == "pictures"
    whitening, rotation, _, n_iter = fastica(
        V.T.astype(np.float64) if by_pixel else scores,
        whiten="unit-variance",
        fun=params.fun,
        max_iter=params.max_iter,
        tol=params.tol,
        random_state=params.random_state,
        compute_sources=False,
        return_n_iter=True,
    )
    unmixing = rotation @ whitening
    H = (unmixing if by_pixel else np.linalg.inv(unmixing).T) @ V
    is_done = n_iter < params.max_iter  # else scikit-learn has warned
    reason: StopReason = "stopped" if stopped else "converged" if is_done else "max_iter"
    return Found(H.astype(rows.dtype), rows.mean(), int(n_iter), reason)


def _axes(rows: Rows, params: PCAParams | ICAParams, solver: str) -> Axes:
    """Return the principal axes, the iterations made, and whether a stop was asked for."""
    with IMPORT_LOCK:
        from sklearn.decomposition import PCA

    most = min(rows.n - 1, rows.p)
    if params.n_components > most:
        raise ValueError(
            f"n_components must be from 1 to {most} (the number of faces less one, or of "
            f"pixels), got {params.n_components}."
        )
    rows.check_differences()
    if solver == "incremental" or (solver == "auto" and rows.X is None):
        return (yield from _incremental_axes(rows, params))
    X = rows.X if rows.X is not None else np.concatenate([b.copy() for _, b in rows.blocks()])
    pca = PCA(params.n_components, svd_solver=solver, random_state=params.random_state)
    pca.fit(X)
    return pca.components_, 1, False


def _incremental_axes(rows: Rows, params: PCAParams | ICAParams) -> Axes:
    with IMPORT_LOCK:
        from sklearn.decomposition import IncrementalPCA

    pca = IncrementalPCA(params.n_components)
    size = min(_BATCH_COMPONENTS * params.n_components, rows.n)
    total, mean = rows.n_batches(size), rows.mean().astype(rows.dtype)
    rng = np.random.RandomState(params.random_state)
    iteration, stopped = 0, False
    for iteration, batch in enumerate(rows.batches(size, rng), 1):
        pca.partial_fit(batch)
        H = pca.components_.astype(rows.dtype)
        lost, _ = batch_error(batch - mean, H, params)
        error = float(np.sqrt(lost) / np.linalg.norm(batch))
        factors = Factors(
            np.empty((0, len(H))), H, rows.picture_shape, iteration, False, error, rows.scale
        )
        stopped = (yield FitStep(iteration, total, error, factors)) == "stop"
        if stopped:
            break
    return pca.components_.astype(rows.dtype), iteration, stopped


def _check_rank(scores: NDArray[Any], params: ICAParams) -> None:
    spreads = scores.std(axis=0)
    rank = int((spreads > _RANK * spreads.max()).sum())
    if rank < params.n_components:
        raise ValueError(
            f"n_components must be from 1 to {rank}, got {params.n_components}: these faces "
            f"differ in {rank} directions only."
        )


# -- The fit of every method but our own NMF -------------------------------------------

_FINDERS: dict[str, Callable[..., Any]] = {
    "pca": iter_pca,
    "ica": iter_ica,
    "dictionary": iter_dictionary,
    "minibatch-nmf": iter_minibatch_nmf,
    "kmeans": iter_kmeans,
}


def iter_method(stack: FaceStack, params: Parameters) -> Fitting:
    """Fit a method to a stack, step by step.

    Methods differ in how they find components. Weights then follow from the components
    in one more look at the faces, so that `LatentFaces.encode` finds the same.

    Parameters
    ----------
    stack : FaceStack
        The faces, numpy or lazy.
    params : Parameters
        The parameters of the method.

    Yields
    ------
    FitStep
        Where the method works in steps, and one at the end.

    Returns
    -------
    LatentFaces
        The model.
    """
    rows = Rows(stack)
    found = yield from _FINDERS[params.method](rows, params)
    W, H, error = weights_and_error(rows, found.H, found.mean, params)
    factors = Factors(W, H, rows.picture_shape, found.n_iter, True, error, rows.scale)
    yield FitStep(found.n_iter, found.n_iter, error, factors)
    mean = found.mean
    return LatentFaces.from_factors(
        W,
        H,
        rows.picture_shape,
        error=error,
        scale=rows.scale,
        params=params,
        provenance=Provenance.of(stack, found.n_iter, found.reason),
        mean=None if mean is None else mean.reshape(rows.picture_shape).astype(rows.dtype),
    )
