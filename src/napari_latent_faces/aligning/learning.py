"""The model that faces are brought onto, learnt from them as they move."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_latent_faces.aligning.alignment import AlignStep
from napari_latent_faces.aligning.levels import Basis, centred, unmoved
from napari_latent_faces.aligning.pictures import BLOCK, in_threads

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_latent_faces.aligning.levels import Work

    Matrices = NDArray[np.float64]  # (n, 3, 3), of homogeneous points (y, x, 1)
    Pixels = NDArray[np.float32]
    Rows = list[tuple[Pixels, NDArray[np.bool_] | None]]

__all__ = ["COARSE_RANK", "Learning", "iter_learn", "ladder", "learnt"]

COARSE_RANK = 6
# Share of a face's detail that the coarse model leaves unexplained, above which it is no face
# like the others: so many robust standard deviations above the median, but less than 1
_STRANGE, _STRANGE_AT_MOST = 5.0, 0.95


def _improved(X: Pixels, H: Pixels, rounds: int = 1) -> Pixels:
    """Return the basis (k, p) of `X` (n, p) after rounds of subspace iteration."""
    for _ in range(rounds):
        products = sum(X[i : i + 512].T @ (X[i : i + 512] @ H.T) for i in range(0, len(X), 512))
        H = np.ascontiguousarray(np.linalg.qr(products)[0].T)
    return H


def ladder(n_levels: int, k: int) -> list[list[tuple[int, int]]]:
    """Return, for each level, numbers of components and how many rounds are made of them.

    A model of few components is blurred by faces that lie differently; that of many would
    have components for it.
    """
    few = [(1, 12), *((rank, 8) for rank in (2, 4, 6, 10))]
    steps = [[step for step in few if step[0] <= k], [((min(10, k) + k) // 2, 6), (k, 14)]]
    steps += [[(k, 5)]] * (n_levels - 3) + [[(k, 6)]]
    while len(steps) > n_levels:
        steps[-2:] = [steps[-2] + steps[-1]]
    return steps


class Learning:
    """Faces that move towards the model that is learnt from them."""

    def __init__(self, work: Work, faces: NDArray[np.intp], seed: int | None) -> None:
        self.work = work
        self.pictures = work.pictures(faces)
        self.transforms = unmoved(len(faces))
        self.members = np.ones(len(faces), bool)
        self._rng = np.random.default_rng(seed)
        self._parts = [slice(i, i + BLOCK) for i in range(0, len(faces), BLOCK)]
        self.H = np.zeros((0, 0), np.float32)
        self.mean = np.zeros(work.levels[0].shape, np.float32)

    def rows(self, i: int) -> list[tuple[Pixels, NDArray[np.bool_] | None]]:
        """Return the faces as they lie, a block of rows each, at a level."""
        level = self.work.levels[i]
        return in_threads(
            lambda part: level.rows(self.pictures[i][part], self.transforms[part]), self._parts
        )

    def fit(self, i: int, rank: int) -> list[tuple[Pixels, NDArray[np.bool_] | None]]:
        """Improve the basis at a level; return the rows that it was made from."""
        blocks = self.rows(i)
        X = np.concatenate([rows for rows, _ in blocks])
        X[~self.members] = 0
        self.mean = X.mean(0).reshape(self.work.levels[i].shape)
        is_new = self.H.shape[1:] != X.shape[1:]
        H = np.zeros((0, X.shape[1]), np.float32) if is_new else self.H[:rank]
        if len(H) < rank:
            mixed = self._rng.standard_normal((rank - len(H), len(X)), np.float32) @ X
            H, is_new = np.concatenate([H, mixed]), True
        self.H = _improved(X, H, 3 if is_new else 1)
        return blocks

    def turn(self, i: int, rank: int) -> NDArray[np.float64]:
        """Refit the model and move the faces towards it once; return their residuals."""
        level, blocks = self.work.levels[i], self.fit(i, rank)
        basis = Basis(self.H, level)

        def move(j: int) -> tuple[Matrices, NDArray[np.float64]]:
            transforms, residual = level.step(
                *blocks[j], basis, self.transforms[self._parts[j]]
            )
            return transforms, level.unexplained(blocks[j][0], residual)

        moved, residuals = zip(*in_threads(move, list(range(len(blocks)))), strict=True)
        transforms = centred(np.concatenate(moved), self.members)
        self.transforms = self.work.limits(transforms)
        return np.concatenate(residuals)

    def ordered(self, blocks: list[tuple[Pixels, NDArray[np.bool_] | None]]) -> Pixels:
        """Return the basis turned so that what explains most comes first."""
        products = [(X @ self.H.T) for X, _ in blocks]
        turn = np.linalg.svd(np.concatenate(products)[self.members], full_matrices=False)[2]
        ordered: Pixels = turn @ self.H
        return ordered

    def unexplained(
        self, blocks: list[tuple[Pixels, NDArray[np.bool_] | None]]
    ) -> NDArray[np.float64]:
        """Return the share of each face's detail that the basis leaves, at the coarse level."""
        shares = []
        for X, _ in blocks:
            explained = X @ self.H.T
            left = (X * X).sum(1) - (explained * explained).sum(1)
            shares.append(self.work.levels[0].unexplained(X, left.astype(np.float64)))
        return np.concatenate(shares)


def strange(unexplained: NDArray[np.float64]) -> float:
    """Return the unexplained share above which a face is not like the others."""
    middle = np.median(unexplained)
    spread = 1.4826 * np.median(np.abs(unexplained - middle))
    return float(min(_STRANGE_AT_MOST, max(middle + _STRANGE * spread, 1.5 * middle)))


def iter_learn(
    learning: Learning, ladder: list[list[tuple[int, int]]], most: float
) -> Generator[AlignStep, None, None]:
    """Let the faces move, up to `most` of all the work."""
    plan = [(i, rank) for i, steps in enumerate(ladder) for rank, m in steps for _ in range(m)]
    for done, (i, rank) in enumerate(plan, 1):
        unexplained = learning.turn(i, rank)
        if (i, rank) == (0, COARSE_RANK):  # those that are strange teach nothing from now on
            learning.members = unexplained <= strange(unexplained)
        yield AlignStep(most * done / len(plan), "Aligning faces", learning.mean)


def learnt(
    learning: Learning, ladder: list[list[tuple[int, int]]]
) -> tuple[list[Pixels], float, NDArray[np.bool_]]:
    """Return a basis for each level, and who is strange to the coarse one.

    The number is the share of a face's detail that it may leave unexplained.
    """
    bases, most = [], 1.0
    is_strange = np.zeros(len(learning.transforms), bool)
    for i, steps in enumerate(ladder):
        rank = steps[-1][0]
        blocks = learning.fit(i, min(rank, COARSE_RANK) if i == 0 < len(ladder) - 1 else rank)
        bases.append(learning.ordered(blocks))
        if i == 0:
            unexplained = learning.unexplained(blocks)
            most = strange(unexplained[learning.members])
            is_strange[:] = unexplained > most
    return bases, most, is_strange
