"""The fit as a scikit-learn estimator, for pipelines and searches."""

from __future__ import annotations

import math
import warnings
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from napari_latent_faces.fitting import iter_solve
from napari_latent_faces.solvers.blocks import one_blas_thread
from napari_latent_faces.solvers.nnls import solve_nnls
from napari_latent_faces.steps import consume

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags

    from napari_latent_faces.fitting import FitStep

__all__ = ["PictureNMF"]

_LOSSES: dict[float, str] = {2: "frobenius", 1: "kullback-leibler", 0: "itakura-saito"}


class PictureNMF(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Non-negative matrix factorization of pictures, ``X ~ W @ components_``.

    As :class:`sklearn.decomposition.NMF`, with the same parameters and attributes, but
    with a solver that knows that the features are the pixels of pictures.

    Parameters
    ----------
    n_components : int, "auto" or None, default=None
        How many components, 1 up to the number of samples. None is 20, or the number of
        samples if that is smaller; ``"auto"`` that of the given `W` and `H`, or as many as
        there can be.
    image_shape : (h, w) or (h, w, 3), optional
        Shape of the pictures that the rows of `X` are; their number of values is the number
        of features. By default the rows are pictures one pixel high.
    init, solver, beta_loss, tol, max_iter, alpha_W, alpha_H, l1_ratio
        As in `NMFParams`; `init` may be ``"custom"``, and `beta_loss` 2, 1 or 0 for
        ``"frobenius"``, ``"kullback-leibler"`` and ``"itakura-saito"``. Penalties count in the
        fit alone: `transform` finds the weights that explain most.
    verbose : int, default=0
        Print the error of each iteration.
    random_state : int, RandomState or None, default=None
        Seed.

    Attributes
    ----------
    components_ : array of shape (n_components, n_features)
        The components, each with maximum 1, the largest share first.
    n_components_ : int
        Their number.
    reconstruction_err_ : float
        Frobenius norm of what is left unexplained by the weights of the fit, or by those that
        `fit_transform` has returned.
    n_iter_ : int
        Iterations made.
    n_features_in_ : int
        Number of pixels.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((12, 64))
    >>> model = PictureNMF(3, image_shape=(8, 8), random_state=0)
    >>> model.fit_transform(X).shape, model.components_.shape
    ((12, 3), (3, 64))
    """

    def __init__(
        self,
        n_components: int | str | None = None,
        *,
        image_shape: tuple[int, ...] | None = None,
        init: str | None = None,
        solver: str = "multilevel",
        beta_loss: str | float = "frobenius",
        tol: float = 1e-4,
        max_iter: int = 200,
        random_state: int | np.random.RandomState | None = None,
        alpha_W: float = 0.0,
        alpha_H: float | str = "same",
        l1_ratio: float = 0.0,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.image_shape = image_shape
        self.init = init
        self.solver = solver
        self.beta_loss = beta_loss
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.alpha_W = alpha_W
        self.alpha_H = alpha_H
        self.l1_ratio = l1_ratio
        self.verbose = verbose

    def fit(
        self,
        X: ArrayLike,
        y: object = None,  # noqa: ARG002
        W: ArrayLike | None = None,
        H: ArrayLike | None = None,
    ) -> PictureNMF:
        """Find the components of `X`.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Pixels, a picture a row, none negative.
        y : object
            Not used.
        W, H : arrays of shape (n_samples, n_components) and (n_components, n_features)
            Where the fit starts with ``init="custom"``, for pixels scaled as in `fit`.

        Returns
        -------
        PictureNMF
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            For wrong parameters or pixels.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If ``max_iter`` iterations were not enough.
        """
        pixels = self._checked(X, reset=True, ensure_min_samples=2)
        pictures = pixels.reshape(len(pixels), *self._picture_shape(pixels))
        parameters = self._parameters(len(pixels), pixels.shape[1], H)
        steps = iter_solve(pictures, start=self._start(W, H), **parameters)
        model = consume(steps, self._tell if self.verbose else None)
        if model.provenance.stop_reason == "max_iter" and self.tol > 0:
            warnings.warn(
                f"Not converged after {self.max_iter} iterations: raise max_iter, or tol if "
                "this is good enough.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self.components_ = model.components.reshape(model.n_components, -1).astype(pixels.dtype)
        self.n_components_ = model.n_components
        self.n_iter_ = model.provenance.n_iter
        self.reconstruction_err_ = model.error * float(np.linalg.norm(pixels))
        return self

    def fit_transform(
        self,
        X: ArrayLike,
        y: object = None,
        W: ArrayLike | None = None,
        H: ArrayLike | None = None,
    ) -> NDArray[Any]:
        """Find the components of `X`, and return the weights that build it best.

        Parameters
        ----------
        X, y, W, H
            As in `fit`.

        Returns
        -------
        array of shape (n_samples, n_components)
            Weights, none negative.
        """
        weights = self.fit(X, y, W, H).transform(X)
        lost = np.asarray(X, np.float64) - self.inverse_transform(weights)
        self.reconstruction_err_ = float(np.linalg.norm(lost))
        return weights

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Return the weights that build `X` best: exact non-negative least squares.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Pixels, a picture a row, none negative.

        Returns
        -------
        array of shape (n_samples, n_components)
            Weights, none negative.
        """
        check_is_fitted(self)
        pixels = self._checked(X, reset=False)
        with one_blas_thread():
            Q, R = np.linalg.qr(self.components_.T.astype(np.float64))
            return solve_nnls(R, pixels @ Q).astype(pixels.dtype)

    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Build pictures from weights.

        Parameters
        ----------
        X : array of shape (n_samples, n_components)
            Weights.

        Returns
        -------
        array of shape (n_samples, n_features)
            Pixels.
        """
        check_is_fitted(self)
        pixels: NDArray[Any] = np.asarray(X) @ self.components_
        return pixels

    def _checked(self, X: ArrayLike, **options: Any) -> NDArray[Any]:
        pixels: NDArray[Any] = validate_data(self, X, dtype=[np.float64, np.float32], **options)
        check_non_negative(pixels, "PictureNMF (input X)")
        return pixels

    def _picture_shape(self, pixels: NDArray[Any]) -> tuple[int, ...]:
        if self.image_shape is None:
            return 1, pixels.shape[1]
        p = math.prod(self.image_shape)
        if p != pixels.shape[1]:
            raise ValueError(
                f"image_shape={self.image_shape!r} has {p} pixels, but X has "
                f"{pixels.shape[1]} features."
            )
        return tuple(self.image_shape)

    def _start(self, W: ArrayLike | None, H: ArrayLike | None) -> Any:
        if self.init != "custom":
            return None
        if W is None or H is None:
            raise ValueError('init="custom" needs both W and H: fit(X, W=W, H=H).')
        return W, H

    def _parameters(self, n: int, p: int, H: ArrayLike | None) -> dict[str, Any]:
        parameters: dict[str, Any] = self.get_params(deep=False)
        del parameters["image_shape"], parameters["verbose"]
        if self.n_components is None:
            parameters["n_components"] = min(20, n)
        elif self.n_components == "auto":
            is_given = self.init == "custom" and H is not None
            parameters["n_components"] = len(np.asarray(H)) if is_given else min(n, p)
        if not isinstance(self.beta_loss, str):
            parameters["beta_loss"] = _LOSSES.get(self.beta_loss, str(self.beta_loss))
        seed = self.random_state
        if seed is not None and not isinstance(seed, Integral):
            parameters["random_state"] = check_random_state(seed).randint(2**31 - 1)
        return parameters

    def _tell(self, step: FitStep) -> None:
        print(f"iteration {step.iteration}: relative error {step.error:.6f}")  # noqa: T201

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
