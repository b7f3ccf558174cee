"""NMF by scikit-learn's solvers, and all other methods."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.solvers.blocks import (
    FaceBlocks,
    face_errors,
    importing,
    relative_error,
    row_blocks,
    squares,
)
from napari_latent_faces.solvers.factors import Factors, Solving, normalized, unit_maximum
from napari_latent_faces.solvers.multilevel import initial_factors
from napari_latent_faces.solvers.nnls import solver_of
from napari_latent_faces.stack import (
    as_matrix,
    matrix_dtype,
    over_channels,
    peak,
    pixel_blocks,
    unit_scale,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_latent_faces.params import (
        DictionaryParams,
        ICAParams,
        KMeansParams,
        MiniBatchNMFParams,
        NMFParams,
        Parameters,
        PCAParams,
    )
    from napari_latent_faces.stack import FaceStack

    Rule = Callable[[NDArray[Any], NDArray[Any]], bool]

    AnyParams = DictionaryParams | KMeansParams | MiniBatchNMFParams


# -- The pixels of a stack as rows: in memory if they are few, else read block by block

# Pixels of the largest stack that is held in memory as floats (512 MB in float32): by the size
# of the stack alone, so that a result does not depend on the machine.
LARGEST_IN_MEMORY = 2**27
_RCOND = 1e-12  # eigenvalues below this share of the largest count as zero


class Rows:
    """The pictures of a stack, a row each, from 0 to 1."""

    def __init__(self, stack: FaceStack) -> None:
        self.n, self.picture_shape = len(stack), stack.picture_shape
        self.p = math.prod(self.picture_shape)
        self.X: NDArray[Any] | None = None
        self.dtype = matrix_dtype(stack.dtype)
        if self.n * self.p <= LARGEST_IN_MEMORY:
            self.X, self.scale = as_matrix(stack)
            self._slices = list(row_blocks(self.n, self.p))
        else:
            self.scale = stack.known_scale or unit_scale(
                peak(stack.images, stack.names), stack.dtype
            )
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
        """Refuse faces that are all the same."""
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


def batch_error(X: NDArray[Any], H: NDArray[Any], params: Parameters) -> tuple[float, float]:
    """Return the squared error of rows for the components so far, and their squared norm."""
    # the normal equations are enough for an estimate, and small
    G, C = (H @ H.T).astype(np.float64), (X @ H.T).astype(np.float64)
    values, vectors = np.linalg.eigh(G)
    kept = values > _RCOND * max(float(values[-1]), np.finfo(np.float64).tiny)
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    solve = solver_of(params.coding, getattr(params, "alpha", 0.0))
    W = solve((vectors * roots).T, C @ vectors / roots)
    norm = squares(X)
    return max(norm - 2 * float(np.vdot(W, C)) + float(np.vdot(W @ G, W)), 0.0), norm


def root_divergence(X: NDArray[Any], W: NDArray[Any], H: NDArray[Any], beta_loss: str) -> float:
    """Return the square root of twice the beta-divergence between `X` and ``W H``.

    That is scikit-learn's ``reconstruction_err_``: for ``"frobenius"`` the norm of the
    difference.

    C. Fevotte, J. Idier: Algorithms for nonnegative matrix factorization with the beta-
    divergence. Neural Computation 23 (2011), doi:10.1162/NECO_a_00168.
    """
    with importing():
        from scipy.special import kl_div

    total = 0.0
    for rows in row_blocks(*X.shape):
        seen, rebuilt = X[rows], W[rows] @ H
        if beta_loss == "frobenius":
            total += squares(seen - rebuilt) / 2
            continue
        rebuilt = np.maximum(rebuilt, np.finfo(np.float32).eps)
        if beta_loss == "kullback-leibler":
            total += float(kl_div(seen, rebuilt).sum(dtype=np.float64))
        else:
            ratio = seen / rebuilt
            total += float((ratio - np.log(ratio) - 1).sum(dtype=np.float64))
    return float(np.sqrt(2 * max(total, 0.0)))


# -- NMF, a few iterations at a time ---------------------------------------------------

# Convergence is judged at these iterations only, so that the result does not depend on
# how fast the machine is.
_CHECK_EVERY = 10
_PACE = 0.15  # seconds of the processor that a chunk of iterations should take


def iter_nmf(
    stack: FaceStack,
    params: NMFParams,
    *,
    init: tuple[NDArray[Any], NDArray[Any]] | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> Solving:
    """Factorize pictures that fit into memory by one of scikit-learn's solvers."""
    hidden = None if mask is None else over_channels(mask, stack.picture_shape)
    images = np.asarray(stack.images)
    if hidden is not None:
        images = np.where(hidden, images.dtype.type(0), images)
    X, scale = as_matrix(replace(stack, images=images))
    visible = slice(None) if hidden is None else np.flatnonzero(~hidden)
    p, X = X.shape[1], X[:, visible]
    if not X.any():
        raise ValueError("Every pixel of the stack is 0: there is nothing to factorize.")
    if params.beta_loss == "itakura-saito" and X.min() == 0:
        raise ValueError(
            "beta_loss='itakura-saito' needs pixels above 0: add a small value to the "
            "pictures, or choose another loss."
        )
    if init is not None:
        init = init[0], init[1][:, visible]
    for state in _iterates(X, params, stack.picture_shape, init):
        H = np.zeros((len(state.H), p), state.H.dtype)
        H[:, visible] = state.H
        last = replace(state, H=H, scale=scale)
        if (yield last) == "stop":
            break
    W, H = normalized(last.W, last.H)
    marks = None if hidden is None else hidden.reshape(1, -1)
    error = relative_error(
        face_errors(block.reshape(-1, p), W[faces], H, scale, hidden=marks)
        for faces, block in pixel_blocks(stack.images)
    )
    return replace(last, error=error)


def _iterates(
    X: NDArray[Any],
    params: NMFParams,
    picture_shape: tuple[int, ...],
    start: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> Iterator[Factors]:
    """Factorize `X` with scikit-learn and yield the factors every few iterations.

    A warm start continues exactly where the last chunk of iterations ended, so the
    iterates are those of a single call of :class:`sklearn.decomposition.NMF`.
    """
    with importing():
        from sklearn.decomposition import non_negative_factorization

    if start is None:
        start = initial_factors(X, params, params.random_state)
    # copies, as scikit-learn works in place; 1.6 wants this order
    W, H = (np.array(factor, X.dtype, order="C") for factor in start)
    has_converged = _convergence_rule(X, params)
    has_converged(W, H)
    norm_X = np.sqrt(sum(squares(X[rows]) for rows in row_blocks(*X.shape)))
    iteration, chunk = 0, 1
    while iteration < params.max_iter:
        chunk = min(chunk, _CHECK_EVERY - iteration % _CHECK_EVERY, params.max_iter - iteration)
        began = time.thread_time()  # other fits beside this one do not count
        W, H, done = non_negative_factorization(
            X,
            W,
            H,
            params.n_components,
            init="custom",
            solver=params.solver,
            beta_loss=params.beta_loss,
            tol=0,  # never stops early (but where nothing can move any more)
            max_iter=chunk,
            alpha_W=params.alpha_W,
            alpha_H=params.alpha_H,
            l1_ratio=params.l1_ratio,
        )
        iteration += done
        converged = done < chunk or (iteration % _CHECK_EVERY == 0 and has_converged(W, H))
        error = float(root_divergence(X, W, H, "frobenius") / norm_X)
        seconds = (time.thread_time() - began) / chunk
        # a copy: scikit-learn goes on in the same memory
        is_empty = not (W.any() and H.any())  # by a penalty; scikit-learn goes no further
        yield Factors(W, H.copy(), picture_shape, iteration, converged or is_empty, error)
        if converged or is_empty:
            return
        chunk = max(1, min(_CHECK_EVERY, int(_PACE / max(seconds, 1e-6))))


def _convergence_rule(X: NDArray[Any], params: NMFParams) -> Rule:
    """Return the test of convergence; its first call sets what the later ones compare with."""
    if params.tol == 0:
        return lambda _, __: False
    return (_gradient_rule if params.solver == "cd" else _loss_rule)(X, params)


def _gradient_rule(X: NDArray[Any], params: NMFParams) -> Rule:
    """scikit-learn's rule for coordinate descent: a small projected gradient."""
    alpha_H = params.alpha_W if params.alpha_H == "same" else params.alpha_H
    penalty_W, penalty_H = params.alpha_W * X.shape[1], float(alpha_H) * X.shape[0]
    begin = 0.0

    def has_converged(W: NDArray[Any], H: NDArray[Any]) -> bool:
        nonlocal begin
        violation = _projected(W, H @ H.T, X @ H.T, penalty_W, params.l1_ratio)
        violation += _projected(H.T, W.T @ W, X.T @ W, penalty_H, params.l1_ratio)
        begin = begin or violation
        return violation <= params.tol * begin

    return has_converged


def _projected(
    F: NDArray[Any], G: NDArray[Any], C: NDArray[Any], alpha: float, l1_ratio: float
) -> float:
    """Sum the size of the gradient of one factor where it can still move."""
    gradient = F @ G - C + alpha * l1_ratio + alpha * (1 - l1_ratio) * F
    blocked = (F == 0) & (gradient > 0)
    return float(np.abs(gradient[~blocked]).sum(dtype=np.float64))


def _loss_rule(X: NDArray[Any], params: NMFParams) -> Rule:
    """scikit-learn's rule for multiplicative updates: a loss that hardly falls."""
    begin, last = 0.0, np.inf

    def has_converged(W: NDArray[Any], H: NDArray[Any]) -> bool:
        nonlocal begin, last
        loss = root_divergence(X, W, H, params.beta_loss)
        begin = begin or loss
        fall, last = last - loss, loss
        return fall < params.tol * begin

    return has_converged


# -- Methods that learn from a part of the faces at a time -----------------------------


def _dictionary(rows: Rows, params: DictionaryParams) -> Solving:
    """Learn a dictionary of the differences from the mean face."""
    with importing():
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


def _minibatch_nmf(rows: Rows, params: MiniBatchNMFParams) -> Solving:
    """Learn non-negative components."""
    with importing():
        from sklearn.decomposition import MiniBatchNMF

    size = _batch_size(params, rows)
    learner = MiniBatchNMF(
        params.n_components,
        batch_size=2 * size,  # more than a batch holds: each is learned from as a whole
        forget_factor=params.forget_factor ** (size / rows.n),  # for a pass, as in fit()
        random_state=params.random_state,
    )
    return (yield from _learn(rows, params, learner, None))


def _kmeans(rows: Rows, params: KMeansParams) -> Solving:
    """Find the means of groups of faces."""
    with importing():
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
) -> Solving:
    """Show the learner the faces, pass by pass, until the error hardly falls."""
    size = _batch_size(params, rows)
    n_batches = rows.n_batches(size)
    rng = np.random.RandomState(params.random_state)
    base = rows.dtype.type(0) if mean is None else mean.astype(rows.dtype)
    seen: deque[tuple[float, float]] = deque(maxlen=n_batches)  # the batches of one pass
    iteration, last = 0, np.inf
    for _ in range(params.max_iter):
        for batch in rows.batches(size, rng):
            iteration += 1
            whole = float(np.vdot(batch, batch))
            learner.partial_fit((batch - base).astype(dtype or rows.dtype, copy=False))
            centers = getattr(learner, "cluster_centers_", None)
            H = (learner.components_ if centers is None else centers).astype(rows.dtype)
            seen.append((batch_error(batch - base, H, params)[0], whole))
            error = float(np.sqrt(np.divide(*np.sum(seen, axis=0))))
            state = _components_so_far(
                rows, H, iteration, error, params.max_iter * n_batches, mean
            )
            if (yield state) == "stop":
                return state
        if params.tol > 0 and last - error < params.tol * error:
            return replace(state, converged=True)
        last = error
    return state


def _components_so_far(
    rows: Rows,
    H: NDArray[Any],
    iteration: int,
    error: float,
    max_iter: int,
    mean: NDArray[Any] | None,
) -> Factors:
    """Return factors without weights, which follow from the components at the end."""
    return Factors(
        np.empty((0, len(H))),
        H,
        rows.picture_shape,
        iteration,
        converged=False,
        error=error,
        scale=rows.scale,
        mean=mean,
        max_iter=max_iter,
    )


# -- PCA and ICA: the plane in which faces differ most, and a rotation within it -------

_BATCH_COMPONENTS = 5  # rows of a batch of incremental PCA for each component
_RANK = 1e-7  # of the largest spread: less is none


def _ica(rows: Rows, params: ICAParams) -> Solving:
    """Find independent components: PCA, then scikit-learn's FastICA in its plane.

    All rotations of the plane leave the reconstructions, and so the error, as they are.
    """
    with importing():
        from sklearn.decomposition import fastica

    plane = yield from _axes(rows, params, "auto")
    V = plane.H
    scores = np.concatenate([(block - rows.mean()) @ V.T for _, block in rows.blocks()])
    spreads = scores.std(axis=0)
    rank = int((spreads > _RANK * spreads.max()).sum())
    if rank < params.n_components:
        raise ValueError(
            f"n_components must be from 1 to {rank}, got {params.n_components}: these faces "
            f"differ in {rank} directions only."
        )
    by_pixel = params.independent == "pictures"
    # scikit-learn's own whitening loses a direction whose first value is exactly 0
    samples = V.T.astype(np.float64) if by_pixel else scores
    samples = samples - samples.mean(axis=0)
    _, sizes, directions = np.linalg.svd(samples, full_matrices=False)
    whitening = directions * (math.sqrt(len(samples)) / sizes)[:, None]
    _, rotation, _, n_iter = fastica(
        samples @ whitening.T,
        whiten=False,
        fun=params.fun,
        max_iter=params.max_iter,
        tol=params.tol,
        random_state=params.random_state,
        compute_sources=False,
        return_n_iter=True,
    )
    unmixing = rotation @ whitening
    H = (unmixing if by_pixel else np.linalg.inv(unmixing).T) @ V
    is_done = plane.converged and n_iter < params.max_iter  # else scikit-learn has warned
    return replace(plane, H=H.astype(rows.dtype), iteration=int(n_iter), converged=is_done)


def _axes(rows: Rows, params: PCAParams | ICAParams, solver: str) -> Solving:
    """Return the principal axes."""
    with importing():
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
    state = _components_so_far(rows, pca.components_, 1, 0.0, 1, rows.mean())
    return replace(state, converged=True)


def _incremental_axes(rows: Rows, params: PCAParams | ICAParams) -> Solving:
    with importing():
        from sklearn.decomposition import IncrementalPCA

    pca = IncrementalPCA(params.n_components)
    size = min(_BATCH_COMPONENTS * params.n_components, rows.n)
    total, mean = rows.n_batches(size), rows.mean().astype(rows.dtype)
    rng = np.random.RandomState(params.random_state)
    for iteration, batch in enumerate(rows.batches(size, rng), 1):
        pca.partial_fit(batch)
        H = pca.components_.astype(rows.dtype)
        lost, _ = batch_error(batch - mean, H, params)
        error = float(np.sqrt(lost) / np.linalg.norm(batch))
        state = _components_so_far(rows, H, iteration, error, total, rows.mean())
        if (yield state) == "stop":
            return state
    return replace(state, converged=True)


# -- Every method but NMF --------------------------------------------------------------

_METHODS: dict[str, Callable[..., Solving]] = {
    "pca": lambda rows, params: _axes(rows, params, params.svd_solver),
    "ica": _ica,
    "dictionary": _dictionary,
    "minibatch-nmf": _minibatch_nmf,
    "kmeans": _kmeans,
}


def iter_method(stack: FaceStack, params: Parameters) -> Solving:
    """Fit a method to a stack, step by step.

    Methods differ in how they find components. Weights then follow from the components
    in one more look at the faces, so that `LatentFaces.encode` finds the same.
    """
    rows = Rows(stack)
    found = yield from _METHODS[params.method](rows, params)
    Q, R = np.linalg.qr(found.H.T.astype(np.float64))
    solve = solver_of(params.coding, getattr(params, "alpha", 0.0))
    mean, origin = found.mean, 0.0 if found.mean is None else found.mean @ Q
    mean = None if mean is None else mean.astype(rows.dtype)
    W, H = np.empty((rows.n, len(found.H)), rows.dtype), unit_maximum(found.H)

    def errors() -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        for faces, X in rows.blocks():
            W[faces], _ = normalized(solve(R, X @ Q - origin), found.H)
            yield face_errors(X, W[faces], H, mean=mean)

    error = relative_error(errors())
    last = replace(found, weights=W, H=H, mean=mean, error=error, max_iter=found.iteration)
    yield last
    return last
