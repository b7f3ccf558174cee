"""Random weights that look like those of the fitted faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.mixing.mix import as_weights, some_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = [
    "Marginal",
    "WeightSampler",
    "copula_factor",
    "latent_correlations",
    "sample_weights",
    "spearman",
]

# -- Which Gaussian correlations give weights their rank correlations, zeros and all ---

_TERMS = 41  # of the series; odd, so that the last power keeps the sign
_NODES = 200  # of the integrals
_FAR = 9.0  # standard deviations that hold all of a Gaussian
_HALVINGS = 24
_SMALLEST = 1e-9  # eigenvalue


def copula_factor(weights: NDArray[Any], zeros: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a matrix that gives Gaussian numbers the correlations of weights.

    Parameters
    ----------
    weights : array of shape (n, k)
        Weights of fitted faces; n may be less than k.
    zeros : array of shape (k,)
        Share of the faces whose weight is 0, where 0 is the least.

    Returns
    -------
    array of shape (k, k)
        F, with rows of length 1: ``z @ F.T`` has variance 1 and the correlations F F'.

    Notes
    -----
    Found pair by pair, correlations need not be those of any Gaussian numbers together:
    negative eigenvalues are dropped. From no more faces than components they are mostly
    noise as well, and are first shrunk towards 0 by the share that is noise, the sum of
    the variances of the estimates over the sum of their squares (J. Schaefer, K. Strimmer
    2005, doi:10.2202/1544-6115.1175).
    """
    n, k = weights.shape
    ranked = spearman(weights)
    latent = latent_correlations(ranked, zeros)
    if n <= k:
        latent *= 1 - _noise_share(ranked, n)
    np.fill_diagonal(latent, 1.0)
    values, vectors = np.linalg.eigh(latent)
    factor = vectors * np.sqrt(np.maximum(values, _SMALLEST))
    unit: NDArray[np.float64] = factor / np.linalg.norm(factor, axis=1, keepdims=True)
    return unit


def spearman(weights: NDArray[Any]) -> NDArray[np.float64]:
    """Return Spearman's rank correlations of columns, ties sharing their mean rank.

    Parameters
    ----------
    weights : array of shape (n, k)
        A column without any variation correlates with none.

    Returns
    -------
    array of shape (k, k)
    """
    columns = np.ascontiguousarray(weights.T)
    ranks = np.stack([_mean_ranks(column) for column in columns])
    ranks -= ranks.mean(axis=1, keepdims=True)
    length = np.linalg.norm(ranks, axis=1, keepdims=True)
    ranks /= np.where(length > 0, length, 1)
    correlations: NDArray[np.float64] = ranks @ ranks.T
    np.fill_diagonal(correlations, 1.0)
    return correlations


def _mean_ranks(column: NDArray[Any]) -> NDArray[np.float64]:
    order = np.argsort(column, kind="stable")
    ordered = column[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    ends = np.append(starts[1:], len(column))
    ranks = np.empty(len(column))
    ranks[order] = np.repeat((starts + ends - 1) / 2, ends - starts)
    return ranks


def _noise_share(correlations: NDArray[np.float64], n: int) -> float:
    above = correlations[np.triu_indices(len(correlations), 1)]
    squares = float(np.sum(above**2))
    variances = float(np.sum((1 - above**2) ** 2)) / max(n - 1, 1)
    return min(1.0, variances / squares) if squares > 0 else 1.0


def latent_correlations(
    ranked: NDArray[np.float64], zeros: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the Gaussian correlations behind rank correlations.

    Parameters
    ----------
    ranked : array of shape (k, k)
        Spearman's rank correlations, tied zeros sharing their mean rank.
    zeros : array of shape (k,)
        Share of zeros of each variable.

    Returns
    -------
    array of shape (k, k)
        Without any zeros, ``2 * sin(pi / 6 * ranked)``.

    Notes
    -----
    The rank of a weight is an increasing function g of its Gaussian number z. With the
    coefficients c of g in normalised Hermite polynomials, Mehler's formula gives the
    correlation of two ranks as the power series ``sum(c_i[m] * c_j[m] * r**m)`` in the
    correlation r of the Gaussian numbers. It increases with r, and is inverted by
    bisection (the idea of NORTA: M. C. Cario, B. L. Nelson 1997).
    """
    series = _hermite_coefficients(zeros)
    i, j = np.triu_indices(len(zeros), 1)
    pairs = _inverted(series[:, i] * series[:, j], ranked[i, j])
    found = np.eye(len(zeros))
    found[i, j] = found[j, i] = np.where((zeros[i] < 1) & (zeros[j] < 1), pairs, 0.0)
    return found


def _inverted(
    products: NDArray[np.float64], wanted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return r, -1 to 1, with ``sum(products[m] * r**(m + 1)) == wanted``: shape (pairs,)."""
    low, high = -np.ones_like(wanted), np.ones_like(wanted)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        value = np.zeros_like(middle)
        for product in products[::-1]:
            value += product
            value *= middle
        is_low = value < wanted
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    return (low + high) / 2


def _hermite_coefficients(zeros: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return coefficients 1, 2, ... of the ranks, which have variance 1: shape (terms, k).

    A rank is half the share of zeros up to the last zero, then jumps by as much and
    follows the normal distribution function. The integral of each coefficient is taken
    by parts: a value at the jump, and a smooth integral above it. What the series
    leaves out of the variance is put into its last term.
    """
    from scipy.special import ndtri

    share = np.clip(zeros, 0.0, 1.0)
    jump = np.clip(ndtri(share), -_FAR, _FAR)
    nodes, node_weights = np.polynomial.legendre.leggauss(_NODES)
    half = (_FAR - jump) / 2
    z = jump[:, None] + half[:, None] * (nodes + 1)
    smooth = _density(z) ** 2 * node_weights * half[:, None]
    spread = np.sqrt(np.maximum((1 - share**3) / 12, np.finfo(float).tiny))
    found = np.empty((_TERMS, len(zeros)))
    at_jump, inside = _hermite(jump), _hermite(z)
    for m in range(1, _TERMS + 1):
        value = share / 2 * _density(jump) * next(at_jump)
        value = value + (smooth * next(inside)).sum(axis=1)
        found[m - 1] = value / np.sqrt(m) / spread
    left = np.maximum(1 - (found**2).sum(axis=0), 0.0)
    found[-1] = np.sqrt(found[-1] ** 2 + left)
    return found


def _density(z: NDArray[np.float64]) -> NDArray[np.float64]:
    density: NDArray[np.float64] = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return density


def _hermite(z: NDArray[np.float64]) -> Any:
    """Yield the normalised Hermite polynomials of degree 0, 1, ... at `z`."""
    before, now = np.zeros_like(z), np.ones_like(z)
    m = 0
    while True:
        yield now
        before, now = now, (z * now - np.sqrt(m) * before) / np.sqrt(m + 1)
        m += 1


# -- Random weights that look like those of the fitted faces ---------------------------

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
    See `napari_latent_faces.mixing.sampling.copula_factor`.

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
