"""Random weights that look like those of the fitted faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.mixing.amounts import as_weights, some_rows
from napari_latent_faces.mixing.correlation import copula_factor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["Marginal", "WeightSampler", "sample_weights"]

_BLOCK_ROWS = 4096  # drawn at a time, so that memory does not grow
_INSIDE = 1e-12  # how far from 0 and 1 a probability stays


@dataclass(frozen=True)
class Marginal:
    """The distribution of one component's weights: some zeros, and quantiles of the rest.

    Parameters
    ----------
    zeros : float
        Share of the faces that do not use the component, 0 to 1.
    quantiles : array of shape (m,)
        The other weights, sorted.
    """

    zeros: float
    quantiles: NDArray[np.float64]

    @classmethod
    def of(cls, weights: NDArray[Any]) -> Marginal:
        """Return the distribution of the weights of a component, shape (n,)."""
        ordered = np.sort(weights).astype(np.float64)
        # zeros are a group of their own only where they are the least
        n_zeros = int(np.searchsorted(ordered, 0.0, "right")) if ordered[0] == 0 else 0
        rest = ordered[n_zeros:]
        return cls(n_zeros / len(ordered), rest)

    def weights(self, grades: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights that stand at some grades, numbers from 0 to 1."""
        m = len(self.quantiles)
        if m == 0:
            return np.zeros_like(grades)
        within = (grades - self.zeros) / (1 - self.zeros)
        found = np.interp(within * m - 0.5, np.arange(m), self.quantiles)
        return np.where(grades <= self.zeros, 0.0, found)

    def grades(self, weight: float, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return at which grade a weight stands, `n` times: a zero at a random one of zeros."""
        m = len(self.quantiles)
        if m == 0 or (self.zeros > 0 and weight <= 0):
            return rng.uniform(0, self.zeros, n)
        within = (np.interp(weight, self.quantiles, np.arange(m)) + 0.5) / m
        return np.full(n, self.zeros + (1 - self.zeros) * within)


class WeightSampler:
    """Draws random weights from the distribution of a model's weights.

    A Gaussian copula with empirical marginals: every weight keeps its own distribution,
    zeros included, and the weights keep their rank correlations. A random face is thus
    as bright, as sparse, and put together in the same way as the fitted ones.

    Parameters
    ----------
    model : LatentFaces
        The model, of any number of faces.

    Notes
    -----
    Gaussian numbers with a correlation matrix become uniform ones by the normal
    distribution function, and these become weights by the quantiles of each component
    (R. B. Nelsen: An Introduction to Copulas, 2006, doi:10.1007/0-387-28678-0).

    A weight that is 0 is tied with many others. Where a fitted face is turned into
    Gaussian numbers (for `near`), its zeros get random ranks among all zeros. Where the
    correlations are found, random ranks would weaken them; they are found so that the
    drawn weights, zeros and all, have Spearman's rank correlations of the fitted ones.
    See `napari_latent_faces.mixing.correlation.copula_factor`.

    Of more than 20,000 faces a random part of 20,000, always the same, tells both.
    """

    def __init__(self, model: LatentFaces) -> None:
        self.model = model
        weights = some_rows(model.weights)
        columns = np.ascontiguousarray(weights.T)
        self._marginals = [Marginal.of(column) for column in columns]
        zeros = np.array([each.zeros for each in self._marginals])
        self._factor = copula_factor(weights, zeros)

    def draw(
        self,
        n: int,
        random_state: int | np.random.Generator | None = None,
        *,
        near: int | Sequence[float] | NDArray[Any] | None = None,
        strength: float = 0.7,
    ) -> NDArray[Any]:
        """Draw the weights of random faces.

        Parameters
        ----------
        n : int
            How many faces.
        random_state : int or numpy Generator, optional
            Seed; the same seed gives the same faces, and more of them begin with them.
        near : int or array of shape (k,), optional
            A face of the model, or weights, to stay close to.
        strength : float
            How close, 0 to 1: at 0 `near` says nothing, at 1 every face is that face.
            The Gaussian numbers z of a face become ``s * z + sqrt(1 - s**2) * random``,
            so that s is their correlation with the new ones. Over all faces to stay
            close to, each weight still keeps its distribution; close to one face, the
            weights are like that face's.

        Returns
        -------
        array of shape (n, k)
            In the type of the model's weights.

        Raises
        ------
        IndexError, ValueError
            If there is no such face, weights do not fit, or `strength` is not in 0 to 1.
        """
        if n < 0:
            raise ValueError(f"The number of faces must be 0 or more, got {n}.")
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must be from 0 to 1, got {strength}.")
        centre = None if near is None else as_weights(self.model, near)
        drawn = np.empty((n, self.model.n_components), self.model.weights.dtype)
        if centre is not None and strength == 1:
            drawn[:] = centre
            return drawn
        rng = np.random.default_rng(random_state)
        for first in range(0, n, _BLOCK_ROWS):
            block = drawn[first : first + _BLOCK_ROWS]
            block[:] = self._draw(len(block), rng, centre, strength)
        return drawn

    def _draw(
        self,
        n: int,
        rng: np.random.Generator,
        centre: NDArray[np.float64] | None,
        strength: float,
    ) -> NDArray[np.float64]:
        from scipy.special import ndtr

        z = rng.standard_normal((n, self._factor.shape[1])) @ self._factor.T
        if centre is not None:
            z = strength * self._scores(centre, n, rng) + np.sqrt(1 - strength**2) * z
        grades: NDArray[np.float64] = ndtr(z)
        for j, marginal in enumerate(self._marginals):
            grades[:, j] = marginal.weights(grades[:, j])
        return grades

    def _scores(
        self, weights: NDArray[np.float64], n: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return the Gaussian numbers of a face, `n` times: shape (n, k)."""
        from scipy.special import ndtri

        each = zip(self._marginals, weights, strict=True)
        grades = np.stack([marginal.grades(w, n, rng) for marginal, w in each], axis=1)
        scores: NDArray[np.float64] = ndtri(np.clip(grades, _INSIDE, 1 - _INSIDE))
        return scores


def sample_weights(
    model: LatentFaces,
    n: int,
    random_state: int | np.random.Generator | None = None,
    near: int | Sequence[float] | NDArray[Any] | None = None,
    strength: float = 0.7,
) -> NDArray[Any]:
    """Draw the weights of random faces; see `WeightSampler.draw`.

    Parameters
    ----------
    model : LatentFaces
        The model; ``model.blend`` turns the weights into pictures.
    n, random_state, near, strength
        As in `WeightSampler.draw`.

    Returns
    -------
    array of shape (n, k)
    """
    return WeightSampler(model).draw(n, random_state, near=near, strength=strength)
