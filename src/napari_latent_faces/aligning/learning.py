"""How faces move onto a model that is learnt from them, from coarse to fine pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from napari_latent_faces.solvers.blocks import Workers
from napari_latent_faces.tiles import reduced

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from numpy.typing import NDArray

    from napari_latent_faces.params import AlignOptions
    from napari_latent_faces.stack import FaceStack

    Floats = NDArray[np.float64]
    Matrices = NDArray[np.float64]  # (n, 3, 3), of homogeneous points (y, x, 1)
    Pixels = NDArray[np.float32]
    Mask = NDArray[np.bool_]
    Faces = NDArray[np.intp]
    Box = tuple[int, int, int, int]  # top, left, height, width
    Rows = list[tuple[Pixels, Mask | None]]
    Basis = tuple[Pixels, Pixels, Pixels]  # H (k, p), tangents (k m, p), their Gram matrix

Result = TypeVar("Result")

BLOCK = 64  # faces that a thread works on at a time


def unmoved(n: int) -> Matrices:
    """Return the transforms of faces that stay where they are."""
    return np.tile(np.eye(3), (n, 1, 1))


def centred(transforms: Matrices, members: Mask) -> Matrices:
    """Change where all lie so that the mean transform is the identity."""
    if not members.any():
        return transforms
    moved = transforms.copy()
    moved[members] = transforms[members] @ np.linalg.inv(transforms[members].mean(0))
    return moved


def limited(transforms: Matrices, box: Box, options: AlignOptions) -> Matrices:
    """Return transforms that move faces no farther than the options allow."""
    top, left, h, w = box
    centre = np.array([top + (h - 1) / 2, left + (w - 1) / 2])
    linear = transforms[:, :2, :2]
    shift = linear @ centre + transforms[:, :2, 2] - centre
    U, s, V = np.linalg.svd(linear)
    turn, widest = U @ V, math.radians(options.max_rotation)
    angle = np.arctan2(turn[:, 1, 0], turn[:, 0, 0]).clip(-widest, widest)
    cos, sin = np.cos(angle), np.sin(angle)
    turned = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], 1)
    s = s.clip(1 / options.max_scale, options.max_scale)
    moved = transforms.copy()
    moved[:, :2, :2] = turned @ (s[:, None] * np.swapaxes(V, 1, 2) @ V)
    most = options.max_shift * np.array([h, w])
    moved[:, :2, 2] = shift.clip(-most, most) + centre - moved[:, :2, :2] @ centre
    return moved


def grid(box: tuple[float, float, int, int]) -> Pixels:
    """Return the places (y, x) of the pixels of a box, shape (2, p)."""
    places = np.indices(box[2:]).reshape(2, -1) + np.reshape(box[:2], (2, 1))
    return np.asarray(places, np.float32)


def warp(pictures: Pixels, transforms: Matrices, grid: Pixels) -> tuple[Pixels, Mask | None]:
    """Return the values (m, p) of pictures at transformed places, and which lie outside."""
    m, height, width = pictures.shape
    t = transforms.astype(np.float32)[..., None]
    Y, X = grid
    y = t[:, 0, 0] * Y + t[:, 0, 1] * X + t[:, 0, 2]
    x = t[:, 1, 0] * Y + t[:, 1, 1] * X + t[:, 1, 2]
    outside = None
    if min(y.min(), x.min()) < -0.5 or y.max() > height - 0.5 or x.max() > width - 0.5:
        outside = (y < -0.5) | (y > height - 0.5) | (x < -0.5) | (x > width - 0.5)
    y.clip(0, height - 1.001, out=y)
    x.clip(0, width - 1.001, out=x)
    place, column = y.astype(np.int32), x.astype(np.int32)
    y -= place
    x -= column
    place *= width
    place += column
    place += (np.arange(m, dtype=np.int32) * (height * width))[:, None]
    flat = pictures.reshape(-1)

    def along_row(place: NDArray[np.int32]) -> Pixels:
        left = flat.take(place)
        left += x * (flat.take(place + 1) - left)
        return left

    above = along_row(place)
    above += y * (along_row(place + width) - above)
    return above, outside


def in_blocks(job: Callable[[slice], Result], n: int) -> list[Result]:
    """Return what a job makes of each block of n faces, in threads, in their order."""
    parts = [slice(first, min(first + BLOCK, n)) for first in range(0, n, BLOCK)]
    with Workers() as workers:
        return list(workers.each(job, parts))


@dataclass(frozen=True, eq=False)
class AlignStep:
    """How far the work has come.

    Parameters
    ----------
    done, task : float and str
        Share of the work that is done, 0 to 1, and what is being done.
    mean : array of shape (h, w)
        The mean of the faces as they lie now, grey, at the size that is worked on; mean 0.
    """

    done: float
    task: str
    mean: NDArray[np.float32] = field(repr=False)


COARSE_RANK = 6
_LEAST_DETAIL = 0.05  # of the variance


def generators(centre: tuple[float, float], radius: float, transform: str) -> Matrices:
    """Return the directions (m, 3, 3) to move in, each by one pixel at `radius`."""
    turns = np.eye(4) if transform == "affine" else np.array([[1, 0, 0, 1], [0, -1, 1, 0]])
    turns = turns.reshape(-1, 2, 2) / radius
    found = np.zeros((2 + len(turns), 3, 3))
    found[[0, 1], [0, 1], 2] = 1
    found[2:, :2, :2], found[2:, :2, 2] = turns, -turns @ centre
    return found


class Level:
    """The frame at one size: cells of `factor` by `factor` pixels are one."""

    def __init__(self, box: Box, factor: int, transform: str, mask: Mask | None) -> None:
        self.factor = factor
        top, left, h, w = box
        self.shape = max(1, round(h / factor)), max(1, round(w / factor))
        centre = (top + h / 2) / factor - 0.5, (left + w / 2) / factor - 0.5
        y0, x0 = (c - (length - 1) / 2 for c, length in zip(centre, self.shape, strict=True))
        self.box = (y0, x0, *self.shape)
        self.grid = grid(self.box)
        self.radius = math.hypot(*self.shape) / 4
        self.generators = generators(centre, self.radius, transform)
        self._along = np.linalg.pinv(self.generators.reshape(-1, 9))
        y, x = (self.grid - self.grid.mean(1, keepdims=True)) / self.radius
        smooth = np.stack([np.ones_like(y), y, x, y * y, x * y, x * x], 1)
        self._shading = np.linalg.qr(smooth)[0].T
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
        return np.asarray(self._down @ transforms @ self._up)

    def rows(self, pictures: Pixels, transforms: Matrices) -> tuple[Pixels, Mask | None]:
        """Return faces as they lie, with mean 0 and norm 1, and what they do not show."""
        X, outside = self._centred(pictures, self.on_level(transforms), self.grid)
        X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-6)
        return X, outside

    def faces(self, pictures: Pixels) -> Pixels:
        """Return pictures of the box alone as rows with mean 0."""
        return self._centred(pictures, unmoved(len(pictures)), self._inside)[0]

    def _centred(self, *picked: Any) -> tuple[Pixels, Mask | None]:
        X, outside = warp(*picked)
        if self._hidden.any():
            X[:, self._hidden] = X[:, ~self._hidden].mean(1, keepdims=True)
        X -= X.mean(1, keepdims=True)
        return X, outside

    def unexplained(self, X: Pixels, residual: Floats) -> Floats:
        """Return residuals as a share of the detail of each face, 0 to 1."""
        # detail is what smooth shading is not, which any model of faces can explain
        shading = X @ self._shading.T
        detail = 1 - np.einsum("nk,nk->n", shading, shading)
        share = np.minimum(1, residual / np.maximum(detail, _LEAST_DETAIL))
        return np.where(X.any(axis=1) & (detail > _LEAST_DETAIL), share, 1.0)

    def basis(self, H: Pixels) -> Basis:
        """Return an orthonormal basis (k, p) with how it changes along each generator."""
        pictures = H.reshape(-1, *self.shape)
        slopes = np.stack(np.gradient(pictures, axis=(1, 2)), 1).reshape(len(H), 2, -1)
        slopes[..., self._beside] = 0  # the edge of a mask is no edge of a face
        places = np.vstack([self.grid, np.ones_like(self.grid[:1])])
        motions = (self.generators[:, :2] @ places).astype(np.float32)  # (m, 2, p)
        tangents = np.einsum("kcp,mcp->kmp", slopes, motions).reshape(-1, H.shape[1])
        return H, tangents, tangents @ tangents.T

    def step(
        self, X: Pixels, outside: Mask | None, basis: Basis, transforms: Matrices
    ) -> tuple[Matrices, Floats]:
        """Make a Gauss-Newton step; return transforms and each face's residual, 0 to 1."""
        H, tangents, gram = basis
        n, k, m = len(X), len(H), len(self.generators)
        C = X @ H.T
        if outside is not None:  # what a picture does not show is taken from the model
            X = np.where(outside, C @ H, X)
            C = X @ H.T
        R = X - C @ H
        residual = np.einsum("np,np->n", R, R).astype(np.float64)
        b = np.einsum("nk,nkj->nj", C, (R @ tangents.T).reshape(n, k, m))
        half = (C @ gram.reshape(k, m * k * m)).reshape(n, m, k, m)
        A = np.einsum("nikj,nk->nij", half, C).astype(np.float64)
        # towards where a face was: a quarter of its residual to move it by the radius
        pull = 0.25 * residual / self.radius**2
        damping = 0.03 * np.einsum("nii->n", A).mean() / m
        A += (pull + damping + 1e-9)[:, None, None] * np.eye(m)
        # how far faces lie along each generator, in pixels of this level
        moved = (self.on_level(transforms) - np.eye(3)).reshape(n, 9) @ self._along
        b = b + pull[:, None] * moved
        d = np.linalg.solve(A, b[..., None])[..., 0].clip(-2, 2)
        change = np.eye(3) - np.einsum("nm,mab->nab", d, self.generators)
        return transforms @ self._up @ change @ self._down, residual


class Work:
    """A stack, and the sizes at which it is worked on."""

    def __init__(
        self, stack: FaceStack, box: Box, options: AlignOptions, mask: Mask | None = None
    ) -> None:
        self.stack, self.box, self.options = stack, box, options
        factors = [-(-max(box[2:]) // 112)]
        while min(box[2:]) / (2 * factors[0]) >= 16:  # pixels of a side
            factors.insert(0, 2 * factors[0])
        self.levels = [Level(box, factor, options.transform, mask) for factor in factors]

    def pictures(self, faces: Faces) -> list[Pixels]:
        """Return faces in grey at the size of each level."""
        step = max(1, 2**25 // math.prod(self.stack.picture_shape))  # faces read at a time
        parts = []
        for first in range(0, len(faces), step):
            some: Any = faces[first : first + step]
            if some[-1] - some[0] == len(some) - 1:  # a slice, which dask likes best
                some = slice(int(some[0]), int(some[-1]) + 1)
            pixels = np.asarray(self.stack.images[some])
            if pixels.ndim == 4:
                pixels = pixels.mean(-1, dtype=np.float32)
            parts.append(reduced(pixels, self.levels[-1].factor))
        found = [np.concatenate(parts)]
        is_whole = np.isfinite(found[0]).all(axis=(1, 2))
        if not is_whole.all():
            name = self.stack.names[int(faces[is_whole.argmin()])]
            raise ValueError(f"{name!r} has NaN or infinite pixels: replace them first.")
        for _ in self.levels[1:]:
            found.insert(0, reduced(found[0], 2))
        return found

    def bring(
        self, transforms: Matrices, chosen: Faces, bases: list[Pixels], most: float
    ) -> Generator[int, None, Mask]:
        """Bring some of all faces onto a basis for each level; yield how many are done.

        Returned is which stay: the coarse basis leaves more than `most` of them unexplained.
        """
        stages = [(0, bases[0][:rank], 8) for rank in (1, 2, 4)]
        stages += [(i, H, 10 if i < 2 else 4) for i, H in enumerate(bases)]
        plan = [(i, self.levels[i].basis(H), rounds) for i, H, rounds in stages]
        is_misfit = np.zeros(len(transforms), bool)

        def move(pictures: list[Pixels], part: slice) -> tuple[Matrices, Mask]:
            moved = unmoved(len(pictures[0][part]))
            for i, basis, rounds in plan:
                level = self.levels[i]
                for _ in range(rounds):
                    X, outside = level.rows(pictures[i][part], moved)
                    moved, residual = level.step(X, outside, basis, moved)
                    moved = limited(moved, self.box, self.options)
                if i == 0:
                    is_strange = level.unexplained(X, residual) > most
            moved[is_strange] = np.eye(3)
            return moved, is_strange

        for first in range(0, len(chosen), 512):
            faces = chosen[first : first + 512]
            found = in_blocks(partial(move, self.pictures(faces)), len(faces))
            parts = map(np.concatenate, zip(*found, strict=True))
            transforms[faces], is_misfit[faces] = parts
            yield int(faces[-1]) + 1
        return is_misfit


class Learner:
    """Faces that move towards the model that is learnt from them."""

    def __init__(self, work: Work, faces: Faces, n_components: int, seed: int | None) -> None:
        self.work = work
        self.pictures = work.pictures(faces)
        self.transforms = unmoved(len(faces))
        self._members = np.ones(len(faces), bool)
        self._rng = np.random.default_rng(seed)
        self._plan = _plan(len(work.levels), n_components)
        self._H = np.zeros((0, 0), np.float32)
        total = sum(rows.sum(0) for rows, _ in self._rows(len(work.levels) - 1))
        self.mean = (total / np.float32(len(faces))).reshape(work.levels[-1].shape)

    def run(self) -> Iterator[float]:
        """Let the faces move; yield the share of the work that is done."""
        for done, (i, rank) in enumerate(self._plan, 1):
            unexplained = self._turn(i, rank)
            if (i, rank) == (0, COARSE_RANK):  # strange faces teach nothing from now on
                self._members = unexplained <= _strange(unexplained)
            yield done / len(self._plan)

    def learnt(self) -> tuple[list[Pixels], float, Mask]:
        """Return a basis for each level, the most the coarse may leave, and who exceeds it."""
        bases = []
        last = dict(self._plan)  # the number of components that each level ends with
        for i, rank in last.items():
            rows = self._fit(i, min(rank, COARSE_RANK) if i == 0 < len(last) - 1 else rank)
            X = np.concatenate([X for X, _ in rows])
            C = X @ self._H.T
            # turned so that what explains most comes first
            turn = np.linalg.svd(C[self._members], full_matrices=False)[2]
            bases.append(turn @ self._H)
            if i == 0:
                sizes, explained = (np.square(A).sum(1, dtype=np.float64) for A in (X, C))
                unexplained = self.work.levels[0].unexplained(X, sizes - explained)
        most = _strange(unexplained[self._members])
        return bases, most, unexplained > most

    def _rows(self, i: int) -> Rows:
        """Return the faces as they lie, a block of rows each, at a level."""
        rows, pictures, moved = self.work.levels[i].rows, self.pictures[i], self.transforms
        return in_blocks(lambda part: rows(pictures[part], moved[part]), len(moved))

    def _fit(self, i: int, rank: int) -> Rows:
        """Improve the basis at a level by subspace iteration; return the rows it is of."""
        rows = self._rows(i)
        X = np.concatenate([X for X, _ in rows])
        X[~self._members] = 0
        self.mean = X.mean(0).reshape(self.work.levels[i].shape)
        if self._H.shape[1] != X.shape[1]:
            self._H = np.zeros((0, X.shape[1]), np.float32)
        is_new = len(self._H) < rank
        if is_new:
            mixed = self._rng.standard_normal((rank - len(self._H), len(X)), np.float32) @ X
            self._H = np.concatenate([self._H, mixed])
        for _ in range(3 if is_new else 1):
            self._H = np.ascontiguousarray(np.linalg.qr(X.T @ (X @ self._H[:rank].T))[0].T)
        return rows

    def _turn(self, i: int, rank: int) -> Floats:
        """Refit the model and move the faces towards it once; return what it leaves."""
        level, rows = self.work.levels[i], self._fit(i, rank)
        basis = level.basis(self._H)

        def move(part: slice) -> tuple[Matrices, Floats]:
            X, outside = rows[part.start // BLOCK]
            transforms, residual = level.step(X, outside, basis, self.transforms[part])
            return transforms, level.unexplained(X, residual)

        steps = in_blocks(move, len(self.transforms))
        moved, unexplained = map(np.concatenate, zip(*steps, strict=True))
        moved = centred(moved, self._members)
        self.transforms = limited(moved, self.work.box, self.work.options)
        return unexplained


def _plan(n_levels: int, k: int) -> list[tuple[int, int]]:
    """Return the level and the number of components of each round."""
    # few are blurred by faces that lie differently, while many would have components for it
    stages = [(0, rank, 12 if rank == 1 else 8) for rank in (1, 2, 4, 6, 10) if rank <= k]
    stages += [(1, (min(10, k) + k) // 2, 6), (1, k, 14)]
    stages += [*((i, k, 5) for i in range(2, n_levels - 1)), (n_levels - 1, k, 6)]
    return [(min(i, n_levels - 1), rank) for i, rank, n in stages for _ in range(n)]


def _strange(unexplained: Floats) -> float:
    """Return the unexplained share above which a face is not like the others.

    That is five robust standard deviations above the median, and less than 1.
    """
    middle = np.median(unexplained)
    spread = 1.4826 * np.median(np.abs(unexplained - middle))
    return float(min(0.95, max(middle + 5 * spread, 1.5 * middle)))
