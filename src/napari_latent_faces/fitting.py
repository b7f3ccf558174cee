"""The fit, whatever the method: the one way in for scripts, window and command line."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.masks import split_mask
from napari_latent_faces.nmf import fitting as nmf
from napari_latent_faces.nmf.params import NMFParams
from napari_latent_faces.pixels import as_pictures, as_stack
from napari_latent_faces.steps import drain

if TYPE_CHECKING:
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.nmf.fitting import Fitting
    from napari_latent_faces.parameters import Parameters
    from napari_latent_faces.stack import FaceStack

__all__ = ["fit", "iter_fit"]


def iter_fit(
    images: Any,
    params: Parameters | None = None,
    *,
    start: Any = None,
    mask: Any = None,
    missing: str | None = None,
    shape: tuple[int, int] | None = None,
    client: Any = "auto",
    **changes: Any,
) -> Fitting:
    """Factorize a stack of pictures, step by step.

    Parameters
    ----------
    images : FaceStack or array of shape (n, h, w)
        Grey pictures with non-negative pixels, numpy or dask. They are scaled to [0, 1]
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
    shape : (int, int), optional
        Height and width of the pictures, if `images` has the shape (n, h * w).
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
        return nmf.iter_fit(images, params, start=start, mask=mask, client=client, **changes)
    _check_plain(params, start, mask, client)
    from napari_latent_faces.methods.fitting import iter_method
    from napari_latent_faces.methods.memory import check_memory

    params = replace(params, **changes)
    if params.random_state is None:  # drawn here, so that the model says which it was
        seed = int(np.random.default_rng().integers(2**32))
        params = replace(params, random_state=seed)
    stack = as_stack(images)
    _check_counts(stack, params)
    check_memory(stack, params)
    return iter_method(stack, params)


def fit(
    images: Any,
    params: Parameters | None = None,
    *,
    start: Any = None,
    mask: Any = None,
    missing: str | None = None,
    shape: tuple[int, int] | None = None,
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
