"""NMF by scikit-learn's solvers, and all other methods."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.solvers import blocks, factors
from napari_latent_faces.solvers.factors import Factors, Solving
from napari_latent_faces.solvers.nnls import solver_of
from napari_latent_faces.stack import (
    as_declared,
    as_matrix,
    matrix_dtype,
    over_channels,
    peak,
    unit_scale,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_latent_faces.params import ICAParams, NMFParams, Parameters, PCAParams
    from napari_latent_faces.stack import FaceStack

# Pixels of the largest stack that is held in memory as floats (512 MB in float32): by the size
# of the stack alone, so that a result does not depend on the machine.
LARGEST_IN_MEMORY = 2**27

# Convergence is judged at these iterations only, whatever the speed of the machine.
_CHECK_EVERY = 10
_PACE = 0.15  # seconds of the processor that a chunk of iterations should take

_BATCH_COMPONENTS = 5  # rows of a batch of incremental PCA for each component
_RANK = 1e-7  # of the largest spread: less is none


def iter_nmf(
    stack: FaceStack,
    params: NMFParams,
    *,
    init: tuple[NDArray[Any], NDArray[Any]] | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> Solving:
    """Factorize pictures that fit into memory by one of scikit-learn's solvers.

    A warm start continues exactly where the last chunk of iterations ended, so the
    iterates are those of a single call of :class:`sklearn.decomposition.NMF`.
    """
    with blocks.importing():
        from sklearn.decomposition import non_negative_factorization

    images = as_declared(stack.images, slice(None))
    visible: Any = slice(None)
    if mask is not None:
        hidden = over_channels(mask, stack.picture_shape)
        images, visible = np.where(hidden, images.dtype.type(0), images), ~hidden.reshape(-1)
    X, scale = as_matrix(replace(stack, images=images))
    n, p, X = *X.shape, X[:, visible]
    if not X.any():
        raise ValueError(factors.ALL_BLACK)
    if params.beta_loss == "itakura-saito" and X.min() == 0:
        words = "add a small value to the pictures, or choose another loss."
        raise ValueError(f"beta_loss='itakura-saito' needs pixels above 0: {words}")
    W, H = init or factors.initial_factors(X, params, params.random_state)
    H = H if init is None else H[:, visible]
    # copies, as scikit-learn works in place; 1.6 wants this order
    W, H = (np.array(factor, X.dtype, order="C") for factor in (W, H))
    norm = root_divergence(X, np.zeros_like(W), H, "frobenius")
    begin = last = _judged(X, W, H, params) if params.tol else 0.0
    iteration, chunk, converged = 0, 1, False
    taken = "n_components", "solver", "beta_loss", "alpha_W", "alpha_H", "l1_ratio"
    options: Any = {name: getattr(params, name) for name in taken}
    options |= {"init": "custom", "tol": 0}  # stops early only where nothing can move any more
    while iteration < params.max_iter and not converged:
        chunk = min(chunk, _CHECK_EVERY - iteration % _CHECK_EVERY, params.max_iter - iteration)
        began = time.thread_time()  # other fits beside this one do not count
        W, H, done = non_negative_factorization(X, W, H, max_iter=chunk, **options)
        iteration += done
        # scikit-learn goes no further once a penalty has made a factor empty
        converged = done < chunk or not (W.any() and H.any())
        if params.tol and not converged and iteration % _CHECK_EVERY == 0:
            # its own rules: a small projected gradient, or a loss that hardly falls
            before, last = last, _judged(X, W, H, params)
            converged = (before - last if params.solver == "mu" else last) <= params.tol * begin
        full = np.zeros((len(H), p), H.dtype)
        full[:, visible] = H
        error = root_divergence(X, W, H, "frobenius") / norm
        chunk = max(1, int(_PACE * chunk / max(time.thread_time() - began, 1e-6)))
        state = Factors(W, full, stack.picture_shape, iteration, converged, error, scale)
        if (yield state) == "stop":
            break
    (W, H), X = factors.normalized(state.W, state.H), images.reshape(n, p)
    some = (blocks.face_errors(X[i], W[i], H, scale) for i in blocks.row_blocks(n, p))
    return replace(state, error=blocks.relative_error(some))


def _judged(X: NDArray[Any], W: NDArray[Any], H: NDArray[Any], params: NMFParams) -> float:
    """Return scikit-learn's measure of convergence: the loss, or gradients that can move."""
    if params.solver == "mu":
        return root_divergence(X, W, H, params.beta_loss)
    alpha_W, l1_ratio, size = params.alpha_W, params.l1_ratio, 0.0
    alpha_H = alpha_W if params.alpha_H == "same" else float(params.alpha_H)
    for F, G, C, alpha in (
        (W, H @ H.T, X @ H.T, alpha_W * X.shape[1]),
        (H.T, W.T @ W, X.T @ W, alpha_H * X.shape[0]),
    ):
        gradient = F @ G - C + alpha * l1_ratio + alpha * (1 - l1_ratio) * F
        blocked = (F == 0) & (gradient > 0)
        size += float(np.abs(gradient[~blocked]).sum(dtype=np.float64))
    return size


def root_divergence(X: NDArray[Any], W: NDArray[Any], H: NDArray[Any], beta_loss: str) -> float:
    """Return the square root of twice the beta-divergence between `X` and ``W H``.

    That is scikit-learn's ``reconstruction_err_``, the norm of the difference for Frobenius.

    C. Fevotte, J. Idier: Algorithms for nonnegative matrix factorization with the beta-
    divergence. Neural Computation 23 (2011), doi:10.1162/NECO_a_00168.
    """
    with blocks.importing():
        from scipy.special import kl_div

    total = 0.0
    for rows in blocks.row_blocks(*X.shape):
        seen, rebuilt = X[rows], W[rows] @ H
        if beta_loss == "frobenius":
            total += blocks.squares(seen - rebuilt) / 2
            continue
        rebuilt = np.maximum(rebuilt, np.finfo(np.float32).eps)
        if beta_loss == "kullback-leibler":
            total += float(kl_div(seen, rebuilt).sum(dtype=np.float64))
        else:
            ratio = seen / rebuilt
            total += float((ratio - np.log(ratio) - 1).sum(dtype=np.float64))
    return float(np.sqrt(2 * max(total, 0.0)))


def iter_method(stack: FaceStack, params: Parameters) -> Solving:
    """Find components, then weights as `LatentFaces.encode` does, step by step."""
    rows = Rows(stack)
    find: Any = {"pca": _axes, "ica": _ica}.get(params.method, _learn)
    found: Factors = yield from find(rows, params)
    Q, R = np.linalg.qr(found.H.T.astype(np.float64))
    solve = solver_of(params.coding, getattr(params, "alpha", 0.0))
    mean, origin = found.mean, 0.0 if found.mean is None else found.mean @ Q
    mean = None if mean is None else mean.astype(rows.dtype)
    W, H = np.empty((rows.n, len(found.H)), rows.dtype), factors.unit_maximum(found.H)

    def errors() -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        for faces, X in rows.blocks():
            W[faces], _ = factors.normalized(solve(R, X @ Q - origin), found.H)
            yield blocks.face_errors(X, W[faces], H, mean=mean)

    error = blocks.relative_error(errors())
    last = replace(found, weights=W, H=H, mean=mean, error=error, max_iter=found.iteration)
    yield last
    return last


class Rows:
    """The pictures of a stack, a row each, from 0 to 1; in memory if they are few."""

    def __init__(self, stack: FaceStack) -> None:
        self.n, self.picture_shape = len(stack), stack.picture_shape
        self.p, self.dtype = math.prod(self.picture_shape), matrix_dtype(stack.dtype)
        self.X: NDArray[Any] | None = None
        self._read: Any
        if self.n * self.p <= LARGEST_IN_MEMORY:
            self.X, self.scale = as_matrix(stack)
            self._slices = list(blocks.row_blocks(self.n, self.p))
            self._read = self.X.__getitem__
        else:
            largest = stack.known_scale or peak(stack.images, stack.names)
            self.scale = stack.known_scale or unit_scale(largest, stack.dtype)
            source = blocks.FaceBlocks(stack.images, self.scale)
            self._slices, self._read = source.rows, source.read
        sums = sum(block.sum(axis=0, dtype=np.float64) for _, block in self.blocks())
        self.mean = np.asarray(sums / self.n, np.float64)
        if not self.mean.any():
            raise ValueError(factors.ALL_BLACK)

    def blocks(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Yield all rows once, in order, some faces at a time; they are not to be kept."""
        for rows in self._slices:
            yield rows, self._read(rows)

    def check_differences(self) -> None:
        """Refuse faces that are all the same."""
        mean, tiny = self.mean.astype(self.dtype), 8 * np.finfo(self.dtype).eps
        if not any((np.abs(block - mean) > tiny).any() for _, block in self.blocks()):
            raise ValueError("All faces are the same: there is nothing to tell them apart by.")

    def plan(self, size: int) -> list[tuple[list[slice], int]]:
        """Return what is read together for some batches of `size` faces or more, and how many.

        Of a stack in memory that is all, of a larger one neighbouring blocks of `size` faces.
        """
        if self.X is not None:
            return [([slice(0, self.n)], max(1, self.n // size))]

        def count(group: list[slice]) -> int:
            return int(group[-1].stop - group[0].start) // size

        groups: list[list[slice]] = []
        for rows in self._slices:
            if not groups or count(groups[-1]):
                groups.append([])
            groups[-1].append(rows)
        if len(groups) > 1 and not count(groups[-1]):
            rest = groups.pop()
            groups[-1] += rest
        return [(group, max(1, count(group))) for group in groups]

    def batches(
        self, plan: list[tuple[list[slice], int]], rng: np.random.RandomState
    ) -> Iterator[NDArray[Any]]:
        """Yield all rows once, in shuffled batches of shuffled groups."""
        for i in rng.permutation(len(plan)):
            group, count = plan[i]
            rows = self._read(group[0])
            if len(group) > 1:
                rows = np.concatenate([self._read(each).copy() for each in group])
            for part in np.array_split(rng.permutation(len(rows)), count):
                yield rows[part]

    def state(
        self, H: NDArray[Any], iteration: int, error: float, max_iter: int, mean: Any
    ) -> Factors:
        """Return factors without weights, which follow from the components at the end."""
        W, how = np.empty((0, len(H))), (self.scale, 0, mean, max_iter)
        return Factors(W, H, self.picture_shape, iteration, False, error, *how)


def batch_error(X: NDArray[Any], H: NDArray[Any], params: Parameters) -> float:
    """Return the squared error of rows with the best weights for the components so far."""
    Q, R = np.linalg.qr(H.T.astype(np.float64))
    B = X @ Q
    left = B - solver_of(params.coding, getattr(params, "alpha", 0.0))(R, B) @ R.T
    return max(blocks.squares(X) - blocks.squares(B), 0.0) + blocks.squares(left)


def _learn(rows: Rows, params: Any) -> Solving:
    """Show a learner the faces, batch by batch, until a pass hardly lowers the error."""
    # enough for a batch to start all components from the first
    size = min(max(params.batch_size, params.n_components), rows.n)
    k, options = params.n_components, {"random_state": params.random_state}
    mean, dtype, components = None, rows.dtype, "components_"
    learner: Any
    with blocks.importing():
        from sklearn import cluster, decomposition
    if params.method == "dictionary":
        rows.check_differences()
        mean = rows.mean
        dtype = np.dtype(np.float64)  # else coordinate descent cannot reach its tolerance
        options |= {"alpha": params.alpha, "batch_size": params.batch_size}
        learner = decomposition.MiniBatchDictionaryLearning(k, fit_algorithm="cd", **options)
    elif params.method == "minibatch-nmf":
        # a pass, as in fit(), and more than a batch holds: each is learned from as a whole
        options["forget_factor"] = params.forget_factor ** (size / rows.n)
        learner = decomposition.MiniBatchNMF(k, batch_size=2 * size, **options)
    else:
        components = "cluster_centers_"
        # partial_fit makes no others than one
        learner = cluster.MiniBatchKMeans(k, batch_size=size, n_init=1, **options)
    plan, rng = rows.plan(size), np.random.RandomState(params.random_state)
    n_batches = sum(count for _, count in plan)
    base = rows.dtype.type(0) if mean is None else mean.astype(rows.dtype)
    seen: deque[tuple[float, float]] = deque(maxlen=n_batches)  # the batches of one pass
    iteration, last = 0, np.inf
    for _ in range(params.max_iter):
        for batch in rows.batches(plan, rng):
            iteration += 1
            whole = float(np.vdot(batch, batch))
            learner.partial_fit((batch - base).astype(dtype, copy=False))
            H = getattr(learner, components).astype(rows.dtype)
            seen.append((batch_error(batch - base, H, params), whole))
            error = float(np.sqrt(np.divide(*np.sum(seen, axis=0))))
            state = rows.state(H, iteration, error, params.max_iter * n_batches, mean)
            if (yield state) == "stop":
                return state
        if params.tol > 0 and last - error < params.tol * error:
            return replace(state, converged=True)
        last = error
    return state


def _axes(rows: Rows, params: PCAParams | ICAParams) -> Solving:
    """Return the principal axes."""
    with blocks.importing():
        from sklearn.decomposition import PCA, IncrementalPCA

    k, most = params.n_components, min(rows.n - 1, rows.p)
    if k > most:
        words = f"n_components must be from 1 to {most} (the number of faces less one, or of"
        raise ValueError(f"{words} pixels), got {k}.")
    rows.check_differences()
    solver = getattr(params, "svd_solver", "auto")
    if solver != "incremental" and (solver != "auto" or rows.X is not None):
        X = rows.X
        if X is None:
            X = np.concatenate([block.copy() for _, block in rows.blocks()])
        pca = PCA(k, svd_solver=solver, random_state=params.random_state).fit(X)
        return replace(rows.state(pca.components_, 1, 0.0, 1, rows.mean), converged=True)
    pca, mean = IncrementalPCA(k), rows.mean.astype(rows.dtype)
    plan = rows.plan(min(_BATCH_COMPONENTS * k, rows.n))
    rng, total = np.random.RandomState(params.random_state), sum(count for _, count in plan)
    for iteration, batch in enumerate(rows.batches(plan, rng), 1):
        H = pca.partial_fit(batch).components_.astype(rows.dtype)
        error = math.sqrt(batch_error(batch - mean, H, params) / blocks.squares(batch))
        state = rows.state(H, iteration, error, total, rows.mean)
        if (yield state) == "stop":
            return state
    return replace(state, converged=True)


def _ica(rows: Rows, params: ICAParams) -> Solving:
    """Find independent components: scikit-learn's FastICA rotates the plane of PCA."""
    with blocks.importing():
        from sklearn.decomposition import fastica

    plane = yield from _axes(rows, params)
    V = plane.H
    scores = np.concatenate([(block - rows.mean) @ V.T for _, block in rows.blocks()])
    spreads = scores.std(axis=0)
    rank = int((spreads > _RANK * spreads.max()).sum())
    if rank < params.n_components:
        words = f"got {params.n_components}: these faces differ in {rank} directions only."
        raise ValueError(f"n_components must be from 1 to {rank}, {words}")
    by_pixel = params.independent == "pictures"
    # scikit-learn's own whitening loses a direction whose first value is exactly 0
    samples = V.T.astype(np.float64) if by_pixel else scores
    samples = samples - samples.mean(axis=0)
    _, sizes, directions = np.linalg.svd(samples, full_matrices=False)
    whitening = directions * (math.sqrt(len(samples)) / sizes)[:, None]
    how = {name: getattr(params, name) for name in ("fun", "max_iter", "tol", "random_state")}
    how |= {"whiten": False, "compute_sources": False, "return_n_iter": True}
    _, rotation, _, n_iter = fastica(samples @ whitening.T, **how)
    unmixing = rotation @ whitening
    H = (unmixing if by_pixel else np.linalg.inv(unmixing).T) @ V
    is_done = plane.converged and n_iter < params.max_iter  # else scikit-learn has warned
    return replace(plane, H=H.astype(rows.dtype), iteration=int(n_iter), converged=is_done)
