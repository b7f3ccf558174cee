"""From a stack and parameters to a model, step by step."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.masks import PixelMask, split_mask
from napari_latent_faces.model import LatentFaces, Provenance
from napari_latent_faces.params import METHODS, NMFParams
from napari_latent_faces.solvers import sklearn as others
from napari_latent_faces.solvers.blocks import (
    SHARES,
    block_bytes,
    on_one_blas_thread,
    one_blas_thread,
    processors,
)
from napari_latent_faces.solvers.cluster import WorkersLostError, chosen_client
from napari_latent_faces.solvers.factors import unit_maximum
from napari_latent_faces.solvers.hals import backend
from napari_latent_faces.solvers.masked import iter_missing
from napari_latent_faces.solvers.multilevel import iter_multilevel
from napari_latent_faces.stack import as_pictures, as_stack, matrix_dtype
from napari_latent_faces.steps import consume, warn

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_latent_faces.model import StopReason
    from napari_latent_faces.params import Parameters
    from napari_latent_faces.solvers.factors import Factors, Solving
    from napari_latent_faces.stack import FaceStack

    Fitting = Generator["FitStep", Literal["stop"] | None, LatentFaces]

_LOG = logging.getLogger(__name__)


class ConvergenceWarning(UserWarning):
    """A fit ended at ``max_iter`` iterations, before it converged."""


class PenaltyWarning(UserWarning):
    """Penalties are so strong that components are empty."""


@dataclass(frozen=True, eq=False)
class FitStep:
    """Where a fit stands.

    Parameters
    ----------
    iteration, max_iter : int
        Iterations made so far, and the most that will be made.
    error : float
        Relative Frobenius error of the reconstruction, 0 to 1. A large stack is first
        fitted to a sample of its faces: then it is theirs.
    factors : Factors
        What the solver gave.
    """

    iteration: int
    max_iter: int
    error: float
    factors: Factors = field(repr=False)

    @property
    def n_faces(self) -> int | None:
        """How many faces `error` is about; None for those of a cluster, which are all."""
        weights = self.factors.weights
        return None if callable(weights) else len(weights)

    @cached_property
    def components(self) -> NDArray[Any]:
        """The components so far, shape (k, h, w), each with maximum 1.

        They are in the order in which they started, and made when first asked for.
        """
        return unit_maximum(self.factors.pictures())


def iter_fit(
    images: Any,
    params: Parameters | None = None,
    *,
    start: Any = None,
    mask: Any = None,
    missing: str | None = None,
    shape: tuple[int, ...] | None = None,
    client: Any = "auto",
    threads: int | None = None,
    **changes: Any,
) -> Fitting:
    """Factorize a stack of pictures, step by step.

    Parameters
    ----------
    images : FaceStack or array of shape (n, h, w) or (n, h, w, 3)
        Pictures with non-negative pixels, numpy or dask. They are scaled to [0, 1] for the fit:
        uint8 by 255, other types by their maximum; floats up to 1 stay as they are (unless the
        largest is below 1/255).
    params : Parameters, optional
        The parameters; their type is the method: `NMFParams` (the default), `PCAParams`,
        `ICAParams`, `DictionaryParams`, `MiniBatchNMFParams` or `KMeansParams`.
    **changes
        Single parameters by name, such as ``n_components=49``.
    start : LatentFaces or tuple of arrays, optional
        Of NMF, what to improve: a model of these faces, or weights (n, k) and components
        (k, h, w) for pixels scaled to [0, 1]; `init` becomes ``"custom"``. The solver
        ``"multilevel"`` then works on the full pictures from the first iteration on.
    mask : array of shape (h, w) or (n, h, w), optional
        Of NMF: **true or nonzero marks pixels to leave out**, such as the background; they may
        hold anything, NaN too. With one mask for all faces, the components are 0 there; with
        one for each, they are learnt from the faces in which they are visible. The mask of a
        `numpy.ma.MaskedArray` counts, too.
    missing : {"nan"}, optional
        Leave out pixels that are NaN, as if a mask marked them.
    shape : (h, w) or (h, w, 3), optional
        Shape of a picture, if `images` has the shape (n, p) with a face a row.
    client : distributed.Client, "auto" or None
        Whose cluster reads the pictures and works on them: a dask array, fitted by NMF with the
        solver ``"multilevel"``. ``"auto"`` is the active client if there is one and it can,
        None the threads of this process. The result is the same but for rounding.
    threads : int, optional
        How many threads NMF with the solver ``"multilevel"`` uses, by default one for each
        processor. The result does not depend on it.

    Yields
    ------
    FitStep
        Several a second where the method works in steps, and one at the end. Send
        ``"stop"`` to end the fit and keep what was reached; close the generator to drop it.

    Returns
    -------
    LatentFaces
        The model (the value of ``StopIteration``).

    Raises
    ------
    TypeError, ValueError, MemoryError
        For wrong parameters or pictures, or more memory than is free, before the first step.
        The message names the parameter or the face and says what to do.
    ConnectionError
        If the scheduler of the cluster is lost, or all workers, and none comes back: then what
        was reached is the error's attribute `model`.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` iterations were not enough.
    """
    if shape is not None:
        images = as_pictures(images, shape)
    images, mask = split_mask(images, mask, missing)
    params = params or NMFParams()
    for name in changes:
        titles = " or ".join(kind.title for kind in METHODS.values() if name in kind.names())
        if name not in params.names() and titles:
            raise TypeError(f"{name} does not apply to {params.title}: choose {titles} for it.")
    params = replace(params, **changes)
    return _warned(iter_solve(as_stack(images), params, start, mask, client, threads))


def fit(
    images: Any,
    params: Parameters | None = None,
    *,
    start: Any = None,
    mask: Any = None,
    missing: str | None = None,
    shape: tuple[int, ...] | None = None,
    client: Any = "auto",
    threads: int | None = None,
    **changes: Any,
) -> LatentFaces:
    """Factorize a stack of pictures, and return the model.

    Parameters
    ----------
    images, params, start, mask, missing, shape, client, threads, **changes
        As in `iter_fit`, which tells of the errors, too.

    Examples
    --------
    >>> import numpy as np
    >>> model = fit(np.random.default_rng(0).random((9, 8, 8)), n_components=2, tol=0)
    >>> model.components.shape, model.weights.shape
    ((2, 8, 8), (9, 2))
    """
    with one_blas_thread():  # which takes longer to ask for in each step than some steps do
        options = {"start": start, "mask": mask, "missing": missing, "shape": shape}
        options |= {"client": client, "threads": threads, **changes}
        return consume(iter_fit(images, params, **options))


def iter_solve(
    stack: FaceStack,
    params: Parameters,
    start: Any = None,
    mask: Any = None,
    client: Any = None,
    threads: int | None = None,
) -> Fitting:
    """Do what `iter_fit` does, without a warning where the fit did not converge."""
    if params.random_state is None:  # drawn here, so that the model says which it was
        params = replace(params, random_state=int(np.random.default_rng().integers(2**32)))
    n, k = len(stack), params.n_components
    if n < 2:
        raise ValueError(f"{params.title} needs at least two faces, got {n}.")
    if k > n:
        raise ValueError(f"n_components must be from 1 to {n} (the number of faces), got {k}.")
    if not isinstance(params, NMFParams):
        client = None if isinstance(client, str) and client == "auto" else client
        for name, value in {"start": start, "mask": mask, "client": client}.items():
            if value is not None:
                raise ValueError(f"{name} does not apply to {params.title}: only NMF takes it.")
        check_memory(stack, params)
        solving, each = others.iter_method(stack, params), None
    else:
        params, init = _init(start, stack, params)
        mask, each = _masks(mask, stack, params)
        client = chosen_client(client, stack.images, params.solver)
        if client is None:
            check_memory(stack, params)
        if each is not None:
            solving = iter_missing(stack, params, each, init)
        elif params.solver == "multilevel":
            solving = iter_multilevel(stack, params, threads, client, init=init, mask=mask)
        else:
            solving = others.iter_nmf(stack, params, init=init, mask=mask)
    return on_one_blas_thread(_steps(stack, params, solving, mask, each))


def _steps(
    stack: FaceStack, params: Parameters, solving: Solving, mask: Any, each: Any
) -> Fitting:
    """Run a solver; make steps and a model of its factors."""

    def model(state: Factors, reason: StopReason) -> LatentFaces:
        provenance = Provenance.of(stack, state.iteration, reason)
        if getattr(params, "solver", "") == "multilevel":
            provenance = replace(provenance, backend=backend())
        if each is not None:
            provenance = provenance.with_missing(each)
        shape, H = stack.picture_shape, state.pictures().reshape(len(state.H), -1)
        about: dict[str, Any] = {"error": state.error, "scale": state.scale, "params": params}
        about["mean"] = None if state.mean is None else state.mean.reshape(shape)
        about |= {"provenance": provenance, "mask": mask, "transforms": stack.transforms}
        return LatentFaces.from_factors(state.W, H, shape, **about)

    asked, unfinished = None, "max_iter"
    while True:
        try:
            state = solving.send(asked)
        except StopIteration as end:
            state = end.value
            break
        except WorkersLostError as error:
            if error.factors is not None:
                error.model = model(error.factors, "stopped")
            raise
        most = state.max_iter or int(getattr(params, "max_iter", state.iteration))
        asked = yield FitStep(state.iteration, most, state.error, state)
        if asked == "stop":
            unfinished = "stopped"
    reason: Any = "converged" if state.converged else unfinished
    if isinstance(params, NMFParams):
        _check_penalties(state, params)
    _LOG.info("%s: %s after %d iterations", params.title, reason, state.iteration)
    return model(state, reason)


def _warned(fitting: Fitting) -> Fitting:
    """Warn of a fit that did not converge; scikit-learn itself warns of ICA."""
    model = yield from fitting
    origin, params, told = model.provenance, model.params, model.params.to_dict()
    if origin.stop_reason == "max_iter" and params.method != "ica" and told.get("tol"):
        work, passes = f"{origin.n_iter} iterations", told["max_iter"]
        if "batch_size" in told:
            work = f"{passes} pass{'es' * (passes != 1)} over the faces"
        found = f"Not converged after {work} (relative error {model.error:.4f})"
        advice = "Raise max_iter, or tol if this is good enough."
        warn(f"{found}: the parts may still change. {advice}", ConvergenceWarning)
    return model


def _check_penalties(state: Factors, params: NMFParams) -> None:
    """Warn of components that penalties have made empty."""
    named = " and ".join(
        name for name in ("alpha_W", "alpha_H") if getattr(params, name) not in {0, "same"}
    )
    empty, k = int((~(state.W.any(axis=0) & state.H.any(axis=1))).sum()), params.n_components
    if named and empty:
        which = "all components are" if empty == k else f"{empty} of {k} components are"
        words = f"The penalty ({named}) is so strong that {which} empty: choose a smaller one."
        warn(words, PenaltyWarning)


def _init(
    start: Any, stack: FaceStack, params: NMFParams
) -> tuple[NMFParams, tuple[NDArray[Any], NDArray[Any]] | None]:
    """Check what a fit starts from; return weights (n, k) and components (k, p), or None."""
    init: Any = params.init  # its type leaves out "custom", which is for scripts only
    if params.solver == "mu" and init == "nndsvd":
        words = "solver='mu' cannot move the zeros that init='nndsvd' starts with"
        warn(f"{words}: the result will be worse than with init='nndsvda'.")
    if start is None:
        if init == "custom":
            raise ValueError("init='custom' needs a start: start=(W, H), or a model.")
        return params, None
    if init not in (None, "custom"):
        raise ValueError(f"init={init!r} and a start exclude each other: give one.")
    W, H = (start.weights, start.components) if isinstance(start, LatentFaces) else start
    W, H = np.asarray(W), np.asarray(H)
    H = H.reshape(len(H), -1)
    n, k, p = len(stack), params.n_components, math.prod(stack.picture_shape)
    if W.shape != (n, k) or H.shape != (k, p):
        found = f"start has weights of shape {W.shape} and components of shape {H.shape}"
        raise ValueError(f"{found}, but {(n, k)} and {(k, p)} are needed (n_components={k}).")
    for name, factor in (("weights", W), ("components", H)):
        if not (np.isfinite(factor) & (factor >= 0)).all():
            raise ValueError(f"start has {name} that are not all finite and non-negative.")
    if not (W.any() and H.any()):
        raise ValueError("start is 0 everywhere, which no solver can leave.")
    custom: Any = "custom"
    return replace(params, init=custom), (W, H)


def _masks(
    mask: Any, stack: FaceStack, params: NMFParams
) -> tuple[NDArray[np.bool_] | None, Any]:
    """Return the mask of all faces, and that of each, of which one is None at least."""
    if mask is None:
        return None, None
    marks = PixelMask(mask, stack.shape)
    if marks.is_common:
        hidden = marks.hidden(0)[0]
        if hidden.all():
            raise ValueError("The mask marks every pixel: leave some of them to be fitted.")
        return (hidden if hidden.any() else None), None
    if params.solver != "multilevel":
        taken = f"solver={params.solver!r} takes a mask of shape {stack.size}"
        raise ValueError(f"{taken}; choose solver='multilevel' for masks of single faces.")
    return None, marks.mask


_COARSE = 2**27  # bytes of the small pictures of a large stack, with room to spare
_LITTLE = 2**27  # bytes that are not asked for, which takes longer than some fits


def needed(stack: FaceStack, params: Parameters, threads: int | None = None) -> int:
    """Return about how many bytes a fit takes beside the stack itself; copies were counted."""
    n, p, k = len(stack), math.prod(stack.picture_shape), params.n_components
    values, block = params.to_dict(), block_bytes(n, p)
    size, in_memory = matrix_dtype(stack.dtype).itemsize, n * p <= others.LARGEST_IN_MEMORY
    pixels = size * n * p
    if values.get("solver") == "multilevel":
        # there are no more blocks
        busy = min(threads or processors(), max(SHARES, -(-4 * n * p // block)))
        working = min(busy * block, 4 * n * p) + busy * 4 * k * p
        return 4 * 3 * k * (n + p) + working + min(_COARSE, 4 * n * p)
    if "solver" in values:
        return 3 * pixels + 2 * k * (n + p) * size
    solver = values.get("svd_solver", "auto")
    if "batch_size" in values:  # batches of a large stack come out of whole blocks
        batch = min(n, max(values["batch_size"], k)) * p
        working = 4 * 8 * batch + (0 if in_memory else 2 * (block + 4 * batch))
    elif solver == "incremental" or (solver == "auto" and not in_memory):
        working = 6 * 8 * (2 * min(5 * k, n) + k) * p
    else:
        # scikit-learn's own choice is the full one for most components, and for small stacks
        is_full = solver == "full" or (solver == "auto" and k >= 0.8 * min(n, p))
        working = (5 if is_full else 2) * pixels
    last = 3 * (min(pixels, 2**24) if in_memory else block)  # for the weights of all faces
    return (pixels if in_memory else block) + max(last, working) + 4 * 8 * k * (n + p)


def check_memory(stack: FaceStack, params: Parameters) -> None:
    """Refuse a fit that does not fit into the memory that is free."""
    wanted = needed(stack, params)
    if wanted <= _LITTLE:
        return
    import psutil

    if wanted <= (free := int(psutil.virtual_memory().available)):
        return
    (n, h, w), values = stack.shape[:3], params.to_dict()
    what = f"solver={values['solver']!r}" if "solver" in values else params.title
    lazily = "" if stack.is_lazy else ", or leave them on the disk (lazy=True)"
    other = "fewer components"
    if values.get("solver", "multilevel") != "multilevel":
        other = "solver='multilevel', which takes the faces block by block,"
    elif values.get("svd_solver") in {"full", "randomized"}:
        other = "svd_solver='incremental', which takes the faces batch by batch,"
    raise MemoryError(
        f"{what} with n_components={params.n_components} needs about {wanted / 2**30:.1f} GiB "
        f"for {n} faces of {w} x {h} pixels, and {free / 2**30:.1f} GiB of memory are free. "
        f"Choose {other} or read the faces smaller (size=...), or fewer of them{lazily}."
    )
