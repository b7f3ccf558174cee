"""The fit as a scikit-learn estimator, for pipelines and searches."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from napari_latent_faces.fitting import fit
from napari_latent_faces.solvers.nnls import solve_nnls

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags

__all__ = ["PictureNMF"]

# this module is loaded when the estimator is asked for, never before


class PictureNMF(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Non-negative matrix factorization of pictures, ``X ~ W @ components_``.

    As :class:`sklearn.decomposition.NMF`, with the same parameters and attributes, but
    with a solver that knows that the features are the pixels of pictures.

    Parameters
    ----------
    n_components : int, optional
        How many components, 1 up to the number of samples; by default 20, or the number
        of samples if that is smaller.
    image_shape : (int, int), optional
        Height and width of the pictures that the rows of `X` are; their product is the
        number of features. By default the rows are pictures one pixel high.
    init, solver, beta_loss, tol, max_iter, alpha_W, alpha_H, l1_ratio
        As in `NMFParams`.
    random_state : int, RandomState or None, default=None
        Seed.

    Attributes
    ----------
    components_ : array of shape (n_components, n_features)
        The components, each with maximum 1, the largest share first.
    n_components_ : int
        Their number.
    reconstruction_err_ : float
        Frobenius norm of what the fit left unexplained.
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
        n_components: int | None = None,
        *,
        image_shape: tuple[int, int] | None = None,
        init: str | None = None,
        solver: str = "multilevel",
        beta_loss: str = "frobenius",
        tol: float = 1e-4,
        max_iter: int = 200,
        random_state: int | np.random.RandomState | None = None,
        alpha_W: float = 0.0,
        alpha_H: float | str = "same",
        l1_ratio: float = 0.0,
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

    def fit(self, X: ArrayLike, y: object = None) -> PictureNMF:  # noqa: ARG002
        """Find the components of `X`.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Pixels, a picture a row, none negative.
        y : object
            Not used.

        Returns
        -------
        PictureNMF
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            For wrong parameters or pixels.
        """
        pixels = self._checked(X, reset=True, ensure_min_samples=2)
        pictures = pixels.reshape(len(pixels), *self._size(pixels))
        model = fit(pictures, **self._parameters(len(pixels)))
        self.components_ = model.components.reshape(model.n_components, -1).astype(pixels.dtype)
        self.n_components_ = model.n_components
        self.n_iter_ = model.provenance.n_iter
        self.reconstruction_err_ = model.error * float(np.linalg.norm(pixels))
        return self

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

    def _size(self, pixels: NDArray[Any]) -> tuple[int, int]:
        if self.image_shape is None:
            return 1, pixels.shape[1]
        h, w = self.image_shape
        if h * w != pixels.shape[1]:
            raise ValueError(
                f"image_shape={self.image_shape!r} has {h * w} pixels, but X has "
                f"{pixels.shape[1]} features."
            )
        return h, w

    def _parameters(self, n: int) -> dict[str, Any]:
        parameters: dict[str, Any] = self.get_params(deep=False)
        del parameters["image_shape"]
        if self.n_components is None:
            parameters["n_components"] = min(20, n)
        seed = self.random_state
        if seed is not None and not isinstance(seed, Integral):
            parameters["random_state"] = check_random_state(seed).randint(2**31 - 1)
        return parameters

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
