"""The model that faces are brought onto, and the steps that bring them, from coarse to fine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_latent_faces.aligning.alignment import (
    BLOCK,
    AlignStep,
    centred,
    grid,
    in_memory,
    in_threads,
    reduced,
    unmoved,
    warp,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from napari_latent_faces.options import AlignOptions
    from napari_latent_faces.stack import FaceStack

    Matrices = NDArray[np.float64]  # (n, 3, 3), of homogeneous points (y, x, 1)
    Pixels = NDArray[np.float32]
    Box = tuple[int, int, int, int]  # top, left, height, width
    Rows = list[tuple[Pixels, NDArray[np.bool_] | None]]

__all__ = ["COARSE_RANK", "Learning", "Level", "Work", "iter_learn", "ladder", "learnt"]

# -- Steps of faces onto a basis -------------------------------------------------------

_LONGEST_SIDE = 112  # of the pictures that are worked on
_SHORTEST_SIDE = 16  # of the coarsest ones
_PULL = 0.25  # towards where a face was: this times its residual to move it by the radius
_DAMPING = 0.03  # of the Gauss-Newton steps
_LONGEST_STEP = 2.0  # pixels of a level
_BLOCK_VALUES = 2**25  # pixels read at a time
_LEAST_DETAIL = 0.05  # of the variance
_ROUNDS_ONTO = (10, 10, 4)  # of steps at the coarse, middle and fine levels


def _generators(centre: tuple[float, float], radius: float, transform: str) -> Matrices:
    """Return the directions (m, 3, 3) to move in, each by one pixel at `radius`."""
    turns = {
        "similarity": [((1, 0), (0, 1)), ((0, -1), (1, 0))],
        "affine": [((1, 0), (0, 0)), ((0, 1), (0, 0)), ((0, 0), (1, 0)), ((0, 0), (0, 1))],
    }[transform]
    found = np.zeros((2 + len(turns), 3, 3))
    found[0, 0, 2] = found[1, 1, 2] = 1
    for each, turn in zip(found[2:], turns, strict=True):
        each[:2, :2] = np.array(turn) / radius
        each[:2, 2] = -each[:2, :2] @ centre
    return found


class Limits:
    """How far a face may be moved."""

    def __init__(self, box: Box, options: AlignOptions) -> None:
        self.box, self.shift, self.scale = box, options.max_shift, options.max_scale
        self.rotation = math.radians(options.max_rotation)

    def __call__(self, transforms: Matrices) -> Matrices:
        """Return transforms within the limits."""
        top, left, h, w = self.box
        centre = np.array([top + (h - 1) / 2, left + (w - 1) / 2])
        linear = transforms[:, :2, :2]
        shift = linear @ centre + transforms[:, :2, 2] - centre
        U, s, V = np.linalg.svd(linear)
        turn = U @ V
        angle = np.arctan2(turn[:, 1, 0], turn[:, 0, 0])
        kept = angle.clip(-self.rotation, self.rotation)
        cos, sin = np.cos(kept), np.sin(kept)
        turned = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], 1)
        stretch = s.clip(1 / self.scale, self.scale)[:, None] * np.swapaxes(V, 1, 2) @ V
        moved = transforms.copy()
        moved[:, :2, :2] = turned @ stretch
        most = self.shift * np.array([h, w])
        moved[:, :2, 2] = shift.clip(-most, most) + centre - moved[:, :2, :2] @ centre
        return moved


class Level:
    """The frame at one size: cells of `factor` by `factor` pixels are one."""

    def __init__(
        self,
        box: Box,
        factor: int,
        transform: str,
        mask: NDArray[np.bool_] | None = None,
    ) -> None:
        self.factor = factor
        top, left, h, w = box
        self.shape = max(1, round(h / factor)), max(1, round(w / factor))
        centre = (
            (top + h / 2) / factor - 0.5,
            (left + w / 2) / factor - 0.5,
        )
        y0, x0 = (c - (length - 1) / 2 for c, length in zip(centre, self.shape, strict=True))
        self.grid = grid((y0, x0, *self.shape))
        self.radius = math.hypot(*self.shape) / 4
        self.generators = _generators(centre, self.radius, transform)
        y, x = (self.grid - self.grid.mean(1, keepdims=True)) / self.radius
        smooth = np.stack([np.ones_like(y), y, x, y * y, x * y, x * x], 1)
        self._shading = np.linalg.qr(smooth)[0].T
        self._centre = np.array(centre)
        half = (factor - 1) / 2
        self._up = np.array([[factor, 0, half], [0, factor, half], [0, 0, 1.0]])
        self._down = np.linalg.inv(self._up)
        corner = np.array([[top], [left]], np.float32) / np.float32(factor)
        self._inside: Pixels = self.grid - corner  # the same places in the box alone
        self._hidden = self._beside = np.zeros(len(smooth), bool)
        if mask is not None:
            share, _ = warp(reduced(mask[None], factor), unmoved(1), self._inside)
            self._hidden = share[0] > 0
            slopes = np.gradient(self._hidden.reshape(self.shape).astype(np.float32))
            self._beside = (self._hidden.reshape(self.shape) | np.any(slopes, 0)).ravel()

    def on_level(self, transforms: Matrices) -> Matrices:
        """Return transforms of whole pictures as those of this level's pixels."""
        moved: Matrices = self._down @ transforms @ self._up
        return moved

    def rows(
        self, pictures: Pixels, transforms: Matrices
    ) -> tuple[Pixels, NDArray[np.bool_] | None]:
        """Return faces as they lie, with mean 0 and norm 1, and what they do not show."""
        X, outside = warp(pictures, self.on_level(transforms), self.grid)
        self._centre_rows(X)
        X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-6)
        return X, outside

    def faces(self, pictures: Pixels) -> Pixels:
        """Return pictures of the box alone as rows with mean 0."""
        X, _ = warp(pictures, unmoved(len(pictures)), self._inside)
        self._centre_rows(X)
        return X

    def _centre_rows(self, X: Pixels) -> None:
        if self._hidden.any():
            X[:, self._hidden] = X[:, ~self._hidden].mean(1, keepdims=True)
        X -= X.mean(1, keepdims=True)

    def unexplained(self, X: Pixels, residual: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return residuals as a share of the detail of each face, 0 to 1.

        Detail is what smooth shading is not, which any model of faces can explain.
        """
        shading = X @ self._shading.T
        detail = 1 - np.einsum("nk,nk->n", shading, shading)
        share = np.minimum(1, residual / np.maximum(detail, _LEAST_DETAIL))
        return np.where(X.any(axis=1) & (detail > _LEAST_DETAIL), share, 1.0)

    def tangents(self, H: Pixels) -> Pixels:
        """Return how a basis (k, p) changes along each generator: shape (k, m, p)."""
        pictures = H.reshape(-1, *self.shape)
        slopes = np.stack(np.gradient(pictures, axis=(1, 2)), 1).reshape(len(H), 2, -1)
        slopes[..., self._beside] = 0  # the edge of a mask is none of the faces
        places = np.vstack([self.grid, np.ones_like(self.grid[:1])])
        motions = (self.generators[:, :2] @ places).astype(np.float32)  # (m, 2, p)
        tangents: Pixels = np.einsum("kcp,mcp->kmp", slopes, motions)
        return tangents

    def step(
        self, X: Pixels, outside: NDArray[np.bool_] | None, basis: Basis, transforms: Matrices
    ) -> tuple[Matrices, NDArray[np.float64]]:
        """Make a Gauss-Newton step; return transforms and each face's residual, 0 to 1."""
        n, k, m = len(X), len(basis.H), len(self.generators)
        C = X @ basis.H.T
        if outside is not None:  # what a picture does not show is as the model has it
            X = np.where(outside, C @ basis.H, X)
            C = X @ basis.H.T
        R = X - C @ basis.H
        residual = np.einsum("np,np->n", R, R).astype(np.float64)
        b = np.einsum("nk,nkj->nj", C, (R @ basis.tangents.T).reshape(n, k, m))
        half = (C @ basis.gram.reshape(k, m * k * m)).reshape(n, m, k, m)
        A = np.einsum("nikj,nk->nij", half, C).astype(np.float64)
        pull = _PULL * residual / self.radius**2
        damping = _DAMPING * np.einsum("nii->n", A).mean() / m
        A += (pull + damping + 1e-9)[:, None, None] * np.eye(m)
        b = b + pull[:, None] * self._moved_by(transforms)
        d = np.linalg.solve(A, b[..., None])[..., 0].clip(-_LONGEST_STEP, _LONGEST_STEP)
        change = np.eye(3) - np.einsum("nm,mab->nab", d, self.generators)
        return transforms @ self._up @ change @ self._down, residual

    def _moved_by(self, transforms: Matrices) -> NDArray[np.float64]:
        """Return how far faces lie along each generator, in pixels of this level."""
        moved = self.on_level(transforms) - np.eye(3)
        turns = self.generators[:, :2, :2]
        size = np.einsum("mab,mab->m", turns, turns)
        size[:2] = 1
        along: NDArray[np.float64] = np.einsum("nab,mab->nm", moved[:, :2, :2], turns) / size
        along[:, :2] = moved[:, :2, :2] @ self._centre + moved[:, :2, 2]
        return along


class Basis:
    """An orthonormal basis of faces (k, p), and what steps need of it."""

    def __init__(self, H: Pixels, level: Level) -> None:
        tangents = level.tangents(H)
        k, m, _ = tangents.shape
        self.H = H
        self.tangents = tangents.reshape(k * m, -1)
        self.gram = (self.tangents @ self.tangents.T).reshape(k, m, k, m)


class Work:
    """A stack, and the sizes at which it is worked on."""

    def __init__(
        self,
        stack: FaceStack,
        box: Box,
        options: AlignOptions,
        mask: NDArray[np.bool_] | None = None,
    ) -> None:
        self.stack, self.box = stack, box
        self.limits = Limits(box, options)
        factor = -(-max(box[2:]) // _LONGEST_SIDE)
        factors = [factor]
        while min(box[2:]) / (2 * factors[0]) >= _SHORTEST_SIDE:
            factors.insert(0, 2 * factors[0])
        self.levels = [Level(box, factor, options.transform, mask) for factor in factors]

    def pictures(self, faces: NDArray[np.intp]) -> list[Pixels]:
        """Return faces in grey at the size of each level."""
        step = max(1, _BLOCK_VALUES // math.prod(self.stack.picture_shape))
        parts = []
        for first in range(0, len(faces), step):
            some = faces[first : first + step]
            pixels = in_memory(self.stack.images, some, scheduler="threads")
            if pixels.ndim == 4:
                pixels = pixels.mean(-1, dtype=np.float32)
            parts.append(reduced(pixels, self.levels[-1].factor))
        found = [np.concatenate(parts)]
        broken = ~np.isfinite(found[0]).all(axis=(1, 2))
        if broken.any():
            name = self.stack.names[int(faces[broken.argmax()])]
            raise ValueError(
                f"{name!r} has NaN or infinite pixels: replace them before faces are aligned."
            )
        for _ in self.levels[1:]:
            found.insert(0, reduced(found[0], 2))
        return found

    def blocks(self, faces: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
        """Cut faces into blocks that are read at a time."""
        step = 512
        return (faces[i : i + step] for i in range(0, len(faces), step))

    def bring(
        self, faces: NDArray[np.intp], bases: list[Pixels]
    ) -> tuple[Matrices, NDArray[np.float64]]:
        """Bring faces onto a basis for each level; return transforms and coarse residuals."""
        pictures = self.pictures(faces)
        plan = [(0, Basis(bases[0][:rank], self.levels[0]), 8) for rank in (1, 2, 4)]
        for i, (H, level) in enumerate(zip(bases, self.levels, strict=True)):
            plan.append((i, Basis(H, level), _ROUNDS_ONTO[min(i, 2)]))

        def bring(part: slice) -> tuple[Matrices, NDArray[np.float64]]:
            transforms = unmoved(len(pictures[0][part]))
            coarse = np.zeros(len(transforms))
            for i, basis, rounds in plan:
                level = self.levels[i]
                for _ in range(rounds):
                    X, outside = level.rows(pictures[i][part], transforms)
                    transforms, residual = level.step(X, outside, basis, transforms)
                    transforms = self.limits(transforms)
                if i == 0:
                    coarse = level.unexplained(X, residual)
            return transforms, coarse

        parts = [slice(i, i + BLOCK) for i in range(0, len(faces), BLOCK)]
        moved, residuals = zip(*in_threads(bring, parts), strict=True)
        return np.concatenate(moved), np.concatenate(residuals)


# -- The basis, learnt from the faces as they move -------------------------------------

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
        total = sum(rows.sum(0) for rows, _ in self.rows(len(work.levels) - 1))
        self.mean = (total / np.float32(len(faces))).reshape(work.levels[-1].shape)

    def rows(self, i: int) -> Rows:
        """Return the faces as they lie, a block of rows each, at a level."""
        level = self.work.levels[i]
        return in_threads(
            lambda part: level.rows(self.pictures[i][part], self.transforms[part]), self._parts
        )

    def fit(self, i: int, rank: int) -> Rows:
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

    def ordered(self, blocks: Rows) -> Pixels:
        """Return the basis turned so that what explains most comes first."""
        products = [(X @ self.H.T) for X, _ in blocks]
        turn = np.linalg.svd(np.concatenate(products)[self.members], full_matrices=False)[2]
        ordered: Pixels = turn @ self.H
        return ordered

    def unexplained(self, blocks: Rows) -> NDArray[np.float64]:
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
