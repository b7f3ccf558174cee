"""Which Gaussian correlations give weights their rank correlations, zeros and all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["copula_factor", "latent_correlations", "spearman"]

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
