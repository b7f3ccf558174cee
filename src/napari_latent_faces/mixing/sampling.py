"""Random weights that look like those of the fitted faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.mixing.mix import as_weights, some_rows
from napari_latent_faces.solvers.blocks import importing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["WeightSampler", "sample_weights"]


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
    The ranks of the fitted weights become Gaussian scores, whose correlation matrix is that
    of the numbers that are drawn. These become uniform by the normal distribution function,
    and weights by the quantiles of each component (R. B. Nelsen: An Introduction to Copulas,
    2006, doi:10.1007/0-387-28678-0).

    Weights that are 0 share a rank, which weakens the correlations of the scores. Those of
    the numbers that are drawn are raised until the weights made of them have the rank
    correlations of the fitted ones. Of no more faces than components they are mostly noise,
    and are shrunk towards 0 by the share that is noise (J. Schaefer, K. Strimmer 2005,
    doi:10.2202/1544-6115.1175).

    Of more than 20,000 faces a random part of 20,000, always the same, tells both.
    """

    def __init__(self, model: LatentFaces) -> None:
        self.model = model
        weights = some_rows(model.weights).astype(np.float64)
        columns = np.sort(weights, axis=0).T
        # zeros are a group of their own only where they are the least
        counts = [np.searchsorted(each, 0.0, "right") * (each[0] == 0) for each in columns]
        self._zeros = np.array(counts) / len(weights)
        self._used = [each[count:] for each, count in zip(columns, counts, strict=True)]
        self._factor = _copula_factor(weights, self._zeros)

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
        step = 4096  # so that memory does not grow
        for first in range(0, n, step):
            block = drawn[first : first + step]
            block[:] = self._draw(len(block), rng, centre, strength)
        return drawn

    def _draw(
        self,
        n: int,
        rng: np.random.Generator,
        centre: NDArray[np.float64] | None,
        strength: float,
    ) -> NDArray[np.float64]:
        with importing():
            from scipy.special import ndtr, ndtri

        z = rng.standard_normal((n, len(self._used))) @ self._factor.T
        if centre is not None:
            scores = ndtri(np.clip(self._grades(centre, n, rng), 1e-12, 1 - 1e-12))
            z = strength * scores + np.sqrt(1 - strength**2) * z
        grades: NDArray[np.float64] = ndtr(z)
        drawn = np.zeros_like(grades)
        for j, (zeros, used) in enumerate(zip(self._zeros, self._used, strict=True)):
            if m := len(used):
                place = (grades[:, j] - zeros) / (1 - zeros) * m - 0.5
                found = np.interp(place, np.arange(m), used)
                drawn[:, j] = np.where(grades[:, j] > zeros, found, 0.0)
        return drawn

    def _grades(
        self, weights: NDArray[np.float64], n: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return the share of faces below each weight, a zero at a random place of zeros."""
        grades = rng.random((n, len(weights))) * self._zeros
        for j, (zeros, used) in enumerate(zip(self._zeros, self._used, strict=True)):
            if (m := len(used)) and not (zeros > 0 and weights[j] <= 0):
                place = (np.interp(weights[j], used, np.arange(m)) + 0.5) / m
                grades[:, j] = zeros + (1 - zeros) * place
        return grades


def _copula_factor(
    weights: NDArray[np.float64], zeros: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return F, (k, k): weights made of ``z @ F.T`` have the rank correlations of these."""
    with importing():
        from scipy.special import ndtr

    n, k = weights.shape
    wanted = _correlations(np.stack([_mean_ranks(each) for each in weights.T], axis=1))
    if n <= k:
        wanted *= 1 - _noise_share(wanted, n)
        np.fill_diagonal(wanted, 1.0)
    # orthonormal, so that chance blurs the correlations little
    z = np.random.default_rng(0).standard_normal((max(3000, 4 * k), k))
    z = np.linalg.qr(z - z.mean(axis=0))[0] * np.sqrt(len(z))
    # as angles, since rank correlations near 1 change with the root of 1 - r
    angles, factor = np.arcsin(wanted), np.eye(k)
    for _ in range(8):
        values, vectors = np.linalg.eigh(np.sin(angles))
        factor = vectors * np.sqrt(np.maximum(values, 1e-9))
        factor /= np.linalg.norm(factor, axis=1, keepdims=True)
        grades = ndtr(z @ factor.T)
        ranks = np.where(grades > zeros, grades, zeros / 2)
        angles += 1.5 * (wanted - _correlations(ranks))
        np.clip(angles, -np.pi / 2, np.pi / 2, out=angles)
    return factor


def _correlations(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlations of columns; one that never changes has none with the others."""
    centred = columns - columns.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=0)
    centred /= np.where(lengths > 0, lengths, 1.0)
    found: NDArray[np.float64] = np.clip(centred.T @ centred, -1.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return found


def _mean_ranks(column: NDArray[np.float64]) -> NDArray[np.float64]:
    ordered = np.sort(column)
    below, up_to = (np.searchsorted(ordered, column, side) for side in ("left", "right"))
    ranks: NDArray[np.float64] = (below + up_to) / 2
    return ranks


def _noise_share(correlations: NDArray[np.float64], n: int) -> float:
    above = correlations[np.triu_indices(len(correlations), 1)]
    squares = float(np.sum(above**2))
    variances = float(np.sum((1 - above**2) ** 2)) / max(n - 1, 1)
    return min(1.0, variances / squares) if squares > 0 else 1.0


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
