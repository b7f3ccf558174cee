"""The fit as a scikit-learn estimator, for pipelines and searches."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning, InconsistentVersionWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from napari_latent_faces import __version__
from napari_latent_faces.fitting import iter_solve
from napari_latent_faces.params import NMFParams
from napari_latent_faces.solvers.blocks import one_blas_thread
from napari_latent_faces.solvers.factors import amounts, normalized
from napari_latent_faces.solvers.nnls import solve_nnls
from napari_latent_faces.stack import as_pictures, as_stack, unit_scale
from napari_latent_faces.steps import consume, warn

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags

    from napari_latent_faces.fitting import FitStep

    Factor = ArrayLike | None


_PIXELS: Any = {"dtype": [np.float64, np.float32], "ensure_non_negative": True}
_LOSSES: dict[float | str, str] = {2: "frobenius", 1: "kullback-leibler", 0: "itakura-saito"}


@dataclass(eq=False, repr=False)
class PictureNMF(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Non-negative matrix factorization of pictures, ``X ~ W @ components_``.

    As :class:`sklearn.decomposition.NMF`, with the same parameters and attributes, but
    with a solver that knows that the features are the pixels of pictures.

    Parameters
    ----------
    n_components : int, "auto" or None, default=None
        How many components, 1 up to the number of samples. None is 20, or fewer if there are
        fewer samples or features; ``"auto"`` as many as there can be. With ``init="custom"``,
        both are the number in `H`.
    image_shape : (h, w) or (h, w, 3), optional
        Shape of the pictures that the rows of `X` are, by default one pixel high.
    init, solver, beta_loss, tol, max_iter, alpha_W, alpha_H, l1_ratio, sparseness
        As in `NMFParams`; `init` may be ``"custom"``, and `beta_loss` 2, 1 or 0 for
        ``"frobenius"``, ``"kullback-leibler"`` and ``"itakura-saito"``. Penalties are those of
        scikit-learn, for `X` as it is, and count in `transform` as well.
    verbose : int, default=0
        Print the error of each iteration.
    random_state : int, RandomState or None, default=None
        Seed.

    Attributes
    ----------
    components_ : array of shape (n_components, n_features)
        The components, each with maximum 1, the largest share first.
    reconstruction_err_ : float
        Frobenius norm of what is left unexplained by the weights of the fit, or by those that
        `fit_transform` has returned.
    n_components_, n_iter_, n_features_in_ : int
        Number of components, of iterations made, and of pixels.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((12, 64))
    >>> model = PictureNMF(3, image_shape=(8, 8), random_state=0)
    >>> model.fit_transform(X).shape, model.components_.shape
    ((12, 3), (3, 64))
    """

    n_components: int | str | None = None
    _: KW_ONLY
    image_shape: tuple[int, ...] | None = None
    init: str | None = None
    solver: str = "multilevel"
    beta_loss: str | float = "frobenius"
    tol: float = 1e-4
    max_iter: int = 200
    random_state: int | np.random.RandomState | None = None
    alpha_W: float = 0.0
    alpha_H: float | str = "same"
    l1_ratio: float = 0.0
    sparseness: float | None = None
    verbose: int = 0

    def fit(
        self, X: ArrayLike, y: object = None, W: Factor = None, H: Factor = None
    ) -> PictureNMF:
        """Find the components of `X`.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Pixels, a picture a row, none negative.
        y : object
            Not used.
        W, H : arrays of shape (n_samples, n_components) and (n_components, n_features)
            Where the fit starts with ``init="custom"``.

        Raises
        ------
        TypeError, ValueError
            For wrong parameters or pixels.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If ``max_iter`` iterations were not enough.
        """
        del y
        pixels: NDArray[Any] = validate_data(self, X, **_PIXELS, ensure_min_samples=2)
        pictures = as_pictures(pixels, self.image_shape or (1, pixels.shape[1]))
        # X = scale * W @ H in a fit; the root of it is put into each factor
        unit = math.sqrt(unit_scale(float(pixels.max()), pixels.dtype))
        custom = self.init == "custom"
        params = self._params(pixels, H if custom else None, unit)
        start = self._start(pixels, W, H, unit, params.n_components) if custom else None
        steps = iter_solve(as_stack(pictures), params, start)
        last: list[FitStep] = []

        def see(step: FitStep) -> None:
            last[:] = [step]
            if self.verbose:
                print(f"iteration {step.iteration}: relative error {step.error:.6f}")  # noqa: T201

        model = consume(steps, see)
        if model.provenance.stop_reason == "max_iter" and self.tol > 0:
            reached = f"Maximum number of iterations {self.max_iter} reached"
            warn(f"{reached}. Increase it to improve convergence.", ConvergenceWarning)
        self.components_ = model.components.reshape(model.n_components, -1).astype(pixels.dtype)
        self.n_components_ = self._n_features_out = model.n_components
        self.n_iter_ = model.provenance.n_iter
        self.reconstruction_err_ = model.error * float(np.linalg.norm(pixels))
        factors = last[-1].factors
        raw = factors.pictures().reshape(model.n_components, -1)
        carried = amounts(*normalized(factors.W, raw), is_signed=False)
        order = np.argsort(-carried, kind="stable")
        self._sizes = unit * raw.max(axis=1)[order].astype(np.float64)  # where penalties count
        return self

    def fit_transform(
        self, X: ArrayLike, y: object = None, W: Factor = None, H: Factor = None
    ) -> NDArray[Any]:
        """Find the components of `X` as `fit` does; return the weights as `transform` does."""
        weights = self.fit(X, y, W, H).transform(X)
        lost = np.asarray(X, np.float64) - self.inverse_transform(weights)
        self.reconstruction_err_ = float(np.linalg.norm(lost))
        return weights

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Return the weights (n_samples, n_components) that build the rows of `X` best.

        They are found by exact non-negative least squares, with the penalty on weights.
        """
        check_is_fitted(self)
        pixels = validate_data(self, X, **_PIXELS, reset=False)
        with one_blas_thread():
            Q, R = np.linalg.qr(self.components_.astype(np.float64).T)
            B, sizes = pixels @ Q, np.ones(len(R.T))
            if self.alpha_W:  # the same as least squares with another right-hand side
                R, sizes = R * self._sizes, self._sizes
                penalty, G = self.alpha_W * self.n_features_in_, R.T @ R
                # a trace of a ridge, where components depend on each other
                ridge = penalty * (1 - self.l1_ratio) + 1e-12 * float(np.trace(G)) / len(G)
                L = np.linalg.cholesky(G + ridge * np.eye(len(G))) if ridge else np.eye(len(G))
                C = B @ R - penalty * self.l1_ratio
                R, B = L.T, np.linalg.solve(L, C.T).T
            weights: NDArray[Any] = solve_nnls(R, B) * sizes
        return weights.astype(pixels.dtype)

    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Build pictures (n_samples, n_features) from weights (n_samples, n_components)."""
        check_is_fitted(self)
        pixels: NDArray[Any] = np.asarray(X) @ self.components_
        return pixels

    def _start(self, pixels: NDArray[Any], W: Any, H: Any, unit: float, k: int) -> Any:
        """Check what a fit is to start from, and say what is wrong as scikit-learn does."""
        if W is None or H is None:
            raise ValueError('init="custom" needs both W and H: fit(X, W=W, H=H).')
        (n, p), found = pixels.shape, []
        for name, factor, shape in (("W", np.asarray(W), (n, k)), ("H", np.asarray(H), (k, p))):
            sides = zip(("first", "second"), factor.shape, shape, strict=False)
            for which, there, right in sides:
                if there != right:
                    words = f"Array with wrong {which} dimension passed to PictureNMF (input"
                    raise ValueError(f"{words} {name}). Expected {right}, but got {there}.")
            if factor.dtype != pixels.dtype:
                words = f"Got {name}.dtype = {factor.dtype}, and {pixels.dtype} is needed."
                raise TypeError(f"{name} should have the same dtype as X. {words}")
            check_non_negative(factor, f"PictureNMF (input {name})")
            found.append(factor / unit)
        return tuple(found)

    def _params(self, pixels: NDArray[Any], H: Factor, unit: float) -> NMFParams:
        """Return the parameters of a fit of pixels divided by the square of `unit`."""
        values: dict[str, Any] = self.get_params(deep=False)
        del values["image_shape"], values["verbose"]
        most = min(pixels.shape)
        if self.n_components in {None, "auto"}:
            k = most if self.n_components else min(20, most)
            values["n_components"] = k if H is None else len(np.asarray(H))
        if self.alpha_W or self.alpha_H not in {0, "same"}:
            # the penalties on factors that are `unit` times as large, of a loss unit**4 times
            l1 = self.l1_ratio / unit**3
            share = l1 + (1 - self.l1_ratio) / unit**2
            values["l1_ratio"] = l1 / share
            for name in ("alpha_W", "alpha_H"):
                if values[name] != "same":
                    values[name] *= share
        if not isinstance(self.beta_loss, str):
            values["beta_loss"] = _LOSSES.get(self.beta_loss, str(self.beta_loss))
        seed = self.random_state
        if seed is not None and not isinstance(seed, Integral):
            values["random_state"] = check_random_state(seed).randint(2**31 - 1)
        return NMFParams(**values)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_latent_faces_version": __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        version = state.get("_latent_faces_version", "unknown")
        if version != __version__:
            told = {"current_sklearn_version": __version__, "original_sklearn_version": version}
            name = "PictureNMF of napari-latent-faces"
            warn(InconsistentVersionWarning(estimator_name=name, **told))
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
