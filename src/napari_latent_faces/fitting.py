"""From a stack and parameters to a model, step by step."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.masks import split_mask
from napari_latent_faces.model import LatentFaces, Provenance, normalized, unit_maximum
from napari_latent_faces.params import NMFParams
from napari_latent_faces.solvers.blocks import face_errors, on_one_blas_thread
from napari_latent_faces.solvers.cluster import chosen_client
from napari_latent_faces.solvers.given import Given, given
from napari_latent_faces.solvers.kernel import backend
from napari_latent_faces.solvers.masked import iter_missing
from napari_latent_faces.solvers.memory import check_memory
from napari_latent_faces.solvers.multilevel import iter_multilevel
from napari_latent_faces.solvers.sklearn import iter_sklearn
from napari_latent_faces.stack import (
    as_matrix,
    as_pictures,
    as_stack,
    over_channels,
    pixel_blocks,
)
from napari_latent_faces.steps import drain

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_latent_faces.model import StopReason
    from napari_latent_faces.params import Parameters
    from napari_latent_faces.solvers.multilevel import Factors, Solving
    from napari_latent_faces.stack import FaceStack

    Fitting = Generator["FitStep", Literal["stop"] | None, LatentFaces]

__all__ = [
    "ConvergenceWarning",
    "FitStep",
    "PenaltyWarning",
    "fit",
    "fit_nmf",
    "iter_fit",
    "iter_fit_nmf",
]

# -- The fit_nmf as a generator: every front end drains the same one -------------------


class ConvergenceWarning(UserWarning):
    """A fit_nmf ended at ``max_iter`` iterations, before it converged."""


class PenaltyWarning(UserWarning):
    """Penalties are so strong that components are empty."""


@dataclass(frozen=True, eq=False)
class FitStep:
    """Where a fit_nmf stands.

    Parameters
    ----------
    iteration : int
        Iterations made so far.
    max_iter : int
        The most that will be made.
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


def iter_fit_nmf(
    images: Any,
    params: NMFParams | None = None,
    *,
    start: Any = None,
    mask: Any = None,
    client: Any = "auto",
    **changes: Any,
) -> Fitting:
    """Fit NMF step by step; `napari_latent_faces.fitting.iter_fit` has all the details."""
    params = replace(params or NMFParams(), **changes)
    if params.random_state is None:  # drawn here, so that the model says which it was
        params = replace(params, random_state=int(np.random.default_rng().integers(2**32)))
    stack = as_stack(images)
    _check_nmf_counts(stack, params)
    params, also = given(stack, params, start, mask)
    client = chosen_client(client, stack.images, params.solver)
    if client is None:
        check_memory(stack, params)
    return _steps(stack, params, also, client)


def fit_nmf(
    images: Any,
    params: NMFParams | None = None,
    *,
    start: Any = None,
    mask: Any = None,
    client: Any = "auto",
    **changes: Any,
) -> LatentFaces:
    """Fit NMF to a stack of pictures; see `iter_fit_nmf`."""
    return drain(iter_fit_nmf(images, params, start=start, mask=mask, client=client, **changes))


def _check_nmf_counts(stack: FaceStack, params: NMFParams) -> None:
    n = len(stack)
    if n < 2:
        raise ValueError(f"NMF needs at least two faces, got {n}.")
    if params.n_components > n:
        raise ValueError(
            f"n_components must be from 1 to {n} (the number of faces), "
            f"got {params.n_components}."
        )
    if params.solver == "mu" and params.init == "nndsvd":
        warnings.warn(
            "solver='mu' cannot move the zeros that init='nndsvd' starts with: the result will "
            "be worse than with init='nndsvda'.",
            stacklevel=3,
        )


def _steps(stack: FaceStack, params: NMFParams, also: Given, client: Any) -> Fitting:
    solving = _solve(stack, params, also, client)
    asked = None
    stopped = False
    while True:
        try:
            state = solving.send(asked)
        except StopIteration as end:
            state = end.value
            break
        asked = yield FitStep(state.iteration, params.max_iter, state.error, state)
        stopped = stopped or asked == "stop"
    reason: StopReason = "max_iter"
    if state.converged:
        reason = "converged"
    elif stopped:
        reason = "stopped"
    if reason == "max_iter" and params.tol > 0:
        warnings.warn(
            f"Not converged after {state.iteration} iterations (relative error "
            f"{state.error:.4f}): the parts may still change. Raise max_iter, or tol if this "
            "is good enough.",
            ConvergenceWarning,
            stacklevel=3,
        )
    _check_penalties(state, params)
    return _model(stack, params, also, state, reason)


def _check_penalties(state: Factors, params: NMFParams) -> None:
    """Warn of components that penalties have made empty."""
    penalties = {"alpha_W": params.alpha_W, "alpha_H": params.alpha_H}
    named = [
        f"{name}={value:g}" for name, value in penalties.items() if value not in (0, "same")
    ]
    empty = int((~(state.W.any(axis=0) & state.H.any(axis=1))).sum())
    if not named or not empty:
        return
    which = (
        "all components are"
        if empty == params.n_components
        else (f"{empty} of {params.n_components} components are")
    )
    warnings.warn(
        f"The penalty {' and '.join(named)} is so strong that {which} empty: choose a smaller "
        "one.",
        PenaltyWarning,
        stacklevel=4,
    )


def _solve(stack: FaceStack, params: NMFParams, also: Given, client: Any) -> Solving:
    """Run the solver that is asked for; only scikit-learn's need all pixels in memory."""
    if also.missing is not None:
        return iter_missing(stack, params, also.missing, also)
    if params.solver == "multilevel":
        return iter_multilevel(stack, params, client=client, given=also)
    return _solve_in_memory(stack, params, also)


def _solve_in_memory(stack: FaceStack, params: NMFParams, also: Given) -> Solving:
    visible: Any = slice(None)
    start, n_pixels = also.start, math.prod(stack.picture_shape)
    if also.mask is not None:
        images = np.asarray(stack.images)
        hidden = over_channels(also.mask, stack.picture_shape)
        stack = replace(stack, images=np.where(hidden, images.dtype.type(0), images))
        visible = np.flatnonzero(~hidden)
    X, scale = as_matrix(stack)
    X = X[:, visible]
    _check_values(X, params)
    if start is not None:
        start = start[0], start[1][:, visible]
    for state in iter_sklearn(X, params, stack.picture_shape, start):
        H = np.zeros((len(state.H), n_pixels), state.H.dtype)
        H[:, visible] = state.H
        state = replace(state, H=H)  # noqa: PLW2901
        if (yield state) == "stop":
            break
    return _measured(stack, replace(state, scale=scale), also.mask)


def _measured(stack: FaceStack, last: Factors, mask: NDArray[np.bool_] | None) -> Factors:
    """Return factors with the error, in float64, of what the model makes of them."""
    W, H = normalized(last.W, last.H)
    hidden = None if mask is None else over_channels(mask, stack.picture_shape).reshape(1, -1)
    lost = size = 0.0
    for faces, block in pixel_blocks(stack.images):
        rows = block.reshape(len(block), -1)
        lost2, size2 = face_errors(rows, W[faces], H, last.scale, hidden=hidden)
        lost, size = lost + lost2.sum(), size + size2.sum()
    return replace(last, error=float(np.sqrt(lost / size)))


def _check_values(X: NDArray[Any], params: NMFParams) -> None:
    if not X.any():
        raise ValueError("Every pixel of the stack is 0: there is nothing to factorize.")
    if params.beta_loss == "itakura-saito" and X.min() == 0:
        raise ValueError(
            "beta_loss='itakura-saito' needs pixels above 0: add a small value to the "
            "pictures, or choose another loss."
        )


def _model(
    stack: FaceStack,
    params: NMFParams,
    also: Given,
    state: Factors,
    reason: StopReason,
) -> LatentFaces:
    provenance = Provenance.of(stack, state.iteration, reason)
    if params.solver == "multilevel":
        provenance = replace(provenance, backend=backend())
    if also.missing is not None:
        provenance = provenance.with_missing(also.missing)
    return LatentFaces.from_factors(
        state.W,
        state.pictures().reshape(params.n_components, -1),
        stack.picture_shape,
        error=state.error,
        scale=state.scale,
        params=params,
        provenance=provenance,
        mask=also.mask,
    )


# -- The fit, whatever the method: the one way in for scripts, window and command line -


def iter_fit(
    images: Any,
    params: Parameters | None = None,
    *,
    start: Any = None,
    mask: Any = None,
    missing: str | None = None,
    shape: tuple[int, ...] | None = None,
    client: Any = "auto",
    **changes: Any,
) -> Fitting:
    """Factorize a stack of pictures, step by step.

    Parameters
    ----------
    images : FaceStack or array of shape (n, h, w) or (n, h, w, 3)
        Pictures with non-negative pixels, numpy or dask, in grey or in colour, whose
        channels share one weight a component. They are scaled to [0, 1]
        for the fit: uint8 by 255, other types by their maximum; floats up to 1 stay as
        they are (unless the largest is below 1/255).
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
        hold anything, NaN too. With one mask for all faces, the components are 0 there;
        with one for each, they are learnt from the faces in which they are visible.
        The mask of a `numpy.ma.MaskedArray` counts, too.
    missing : {"nan"}, optional
        Leave out pixels that are NaN, as if a mask marked them.
    shape : (h, w) or (h, w, 3), optional
        Shape of a picture, if `images` has the shape (n, p) with a face a row.
    client : distributed.Client, "auto" or None
        Whose cluster reads the pictures and works on them: a dask array, fitted by NMF
        with the solver ``"multilevel"``. ``"auto"`` is the active client if there is one
        and it can, None the threads of this process. The result is the same but for
        rounding.

    Yields
    ------
    FitStep
        Several a second where the method works in steps, and one at the end. Send
        ``"stop"`` to end the fit and keep what was reached; close the generator to drop
        it.

    Returns
    -------
    LatentFaces
        The model (the value of ``StopIteration``).

    Raises
    ------
    TypeError, ValueError
        For wrong parameters or pictures, before the first step. The message names the
        parameter or the face and says what to do.
    MemoryError
        If the fit needs more memory than is free; known before it starts.
    ConnectionError
        If the scheduler of the cluster is lost. A lost worker is made good for.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` iterations were not enough.

    Examples
    --------
    >>> steps = iter_fit(stack, n_components=20)  # doctest: +SKIP
    >>> for step in steps:  # doctest: +SKIP
    ...     print(step.iteration, step.error)
    """
    if shape is not None:
        images = as_pictures(images, shape)
    images, mask = split_mask(images, mask, missing)
    if params is None or isinstance(params, NMFParams):
        return on_one_blas_thread(
            iter_fit_nmf(images, params, start=start, mask=mask, client=client, **changes)
        )
    _check_plain(params, start, mask, client)
    from napari_latent_faces.solvers.methods import check_method_memory as check_memory
    from napari_latent_faces.solvers.methods import iter_method

    params = replace(params, **changes)
    if params.random_state is None:  # drawn here, so that the model says which it was
        seed = int(np.random.default_rng().integers(2**32))
        params = replace(params, random_state=seed)
    stack = as_stack(images)
    _check_counts(stack, params)
    check_memory(stack, params)
    return on_one_blas_thread(iter_method(stack, params))


def fit(
    images: Any,
    params: Parameters | None = None,
    *,
    start: Any = None,
    mask: Any = None,
    missing: str | None = None,
    shape: tuple[int, ...] | None = None,
    client: Any = "auto",
    **changes: Any,
) -> LatentFaces:
    """Factorize a stack of pictures.

    Parameters
    ----------
    images, params, start, mask, missing, shape, client, **changes
        As in `iter_fit`.

    Returns
    -------
    LatentFaces
        Components, weights and error.

    Raises
    ------
    TypeError, ValueError, MemoryError, ConnectionError
        As in `iter_fit`.

    Examples
    --------
    >>> import numpy as np
    >>> model = fit(np.random.default_rng(0).random((9, 8, 8)), n_components=2, tol=0)
    >>> model.components.shape, model.weights.shape
    ((2, 8, 8), (9, 2))
    """
    options = {"start": start, "mask": mask, "missing": missing, "shape": shape}
    return drain(iter_fit(images, params, client=client, **options, **changes))


def _check_plain(params: Parameters, start: Any, mask: Any, client: Any) -> None:
    """Refuse what only NMF can do."""
    refused = {
        "start": start is not None,
        "mask": mask is not None,
        "client": client is not None and not (isinstance(client, str) and client == "auto"),
    }
    for name, is_given in refused.items():
        if is_given:
            raise ValueError(f"{name} does not apply to {params.title}: only NMF takes it.")


def _check_counts(stack: FaceStack, params: Parameters) -> None:
    n = len(stack)
    if n < 2:
        raise ValueError(f"{params.title} needs at least two faces, got {n}.")
    if params.n_components > n:
        raise ValueError(
            f"n_components must be from 1 to {n} (the number of faces), "
            f"got {params.n_components}."
        )
