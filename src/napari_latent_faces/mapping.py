"""All faces of a model on one plane: those that look alike lie close together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from napari_latent_faces.explaining import NearestFaces
from napari_latent_faces.export import save_table
from napari_latent_faces.solvers.blocks import importing
from napari_latent_faces.steps import consume

if TYPE_CHECKING:
    from collections.abc import Generator
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray

    from napari_latent_faces.model import LatentFaces

    Placed = tuple[int, int, NDArray[np.float64]]

MapMethod = Literal["pca", "tsne", "mds"]

_FEWEST = 5  # faces that t-SNE and MDS have something to do with
_MOST_MDS = 1000  # faces placed by MDS, whose time and memory grow with their square
_NEIGHBOURS = 5  # known faces that tell where another one lies
_STAGES, _STAGE = 4, 250  # of t-SNE, and their iterations: scikit-learn does no fewer
_EXAGGERATION = 12.0  # of t-SNE's first stage
_MDS_STAGES, _MDS_STAGE = 30, 10


@dataclass(frozen=True, eq=False)
class FaceMap:
    """Where the faces of a model lie on a plane.

    Parameters
    ----------
    model : LatentFaces
        The model.
    method : {"pca", "tsne", "mds"}
        How they were placed.
    positions : float64 array of shape (n, 2)
        x and y of each face. Distances of PCA and MDS are in the units of the faces, as
        those of `NearestFaces`: root mean squared differences of the pixels.
    kept : float
        Share of the variance of the reconstructions that the plane keeps, 0 to 1; NaN for
        t-SNE and MDS, which do not project onto a plane.
    """

    model: LatentFaces
    method: MapMethod
    positions: NDArray[np.float64]
    kept: float = float("nan")
    _axes: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)), repr=False)

    def project(self, weights: ArrayLike) -> NDArray[np.float64]:
        """Return where other faces lie.

        On the plane of PCA this is exact. t-SNE and MDS have no rule for other faces: they
        lie at the mean position of the five nearest known ones, weighted by the inverse
        square of their distance, so that a known face is found where it is.

        Parameters
        ----------
        weights : array of shape (m, k) or (k,)
            Their weights, as those of `LatentFaces.encode` or of a mixed face.

        Returns
        -------
        array of shape (m, 2) or (2,)
        """
        asked = np.asarray(weights, np.float64)
        if self.method == "pca":
            mean = self.model.weights.mean(axis=0, dtype=np.float64)
            return np.asarray((asked - mean) @ self._axes)
        faces, shares = _neighbours(self._nearest, asked)
        return np.asarray((self.positions[faces] * shares).sum(axis=-2))

    def save_csv(self, path: str | PathLike[str]) -> None:
        """Write the places as a table with a head, a line for each face.

        Parameters
        ----------
        path : path-like
            As in `KChoice.save_csv`.
        """
        origin, n = self.model.provenance, len(self.positions)
        names, subjects = origin.names or [""] * n, origin.subjects or [""] * n
        rows = zip(names, subjects, *self.positions.T.tolist(), strict=True)
        save_table(path, ["name", "subject", "x", "y"], rows)

    @cached_property
    def _nearest(self) -> NearestFaces:
        return NearestFaces(self.model)


def map_faces(
    model: LatentFaces, method: MapMethod = "pca", *, random_state: int = 42
) -> FaceMap:
    """Place the faces of a model on a plane, those that look alike close together.

    What is compared are the reconstructions, from weights alone and without a pixel; see
    `NearestFaces`. The same model and seed give the same map.

    Parameters
    ----------
    model : LatentFaces
        The model.
    method : {"pca", "tsne", "mds"}, default="pca"
        The plane that keeps most of the variance of the reconstructions, found at once; or
        by scikit-learn t-SNE, which keeps neighbours together, or metric MDS, which keeps
        distances. Of more than 1,000 faces, MDS places 1,000 drawn at random, and the
        others between these as `FaceMap.project` does. Fewer than five faces, and faces that
        are all alike, are always placed by PCA.
    random_state : int, default=42
        Seed of t-SNE and MDS.

    Returns
    -------
    FaceMap

    Raises
    ------
    ValueError
        If there is no such method.

    References
    ----------
    van der Maaten & Hinton, Visualizing data using t-SNE, Journal of Machine Learning Research
    9 (2008); Borg & Groenen, Modern multidimensional scaling (2005), for SMACOF,
    doi:10.1007/0-387-28981-X.
    """
    return consume(iter_map_faces(model, method, random_state=random_state))


def iter_map_faces(
    model: LatentFaces, method: MapMethod = "pca", *, random_state: int = 42
) -> Generator[Placed, None, FaceMap]:
    """Do what `map_faces` does; yield stages done, their number at most, and places by now."""
    if method not in get_args(MapMethod):
        methods = ", ".join(get_args(MapMethod))
        raise ValueError(f"method must be one of {methods}, got {method!r}.")
    embedding = _embedding(model)
    flat = _plane(model, embedding)
    if method == "pca" or len(flat.positions) < _FEWEST or not flat.positions.any():
        return flat
    points = (model.weights @ embedding.astype(model.weights.dtype)).astype(np.float32)
    start = flat.positions / (np.abs(flat.positions).max() or 1.0)
    if method == "tsne":
        for done, total, placed in _tsne(points, start, random_state):
            yield done, total, placed
        return FaceMap(model, method, placed)
    rng = np.random.default_rng(random_state)
    some = np.sort(rng.permutation(len(points))[:_MOST_MDS])
    nearest = NearestFaces(replace(model, weights=model.weights[some]))
    faces, shares = _neighbours(nearest, model.weights)
    placed = flat.positions
    for done, total, known in _mds(points[some], placed[some] / model.scale):
        placed = (model.scale * known[faces] * shares).sum(axis=1)
        yield done, total, placed
    return FaceMap(model, method, placed)


def _embedding(model: LatentFaces) -> NDArray[np.float64]:
    """Return A (k, k): reconstructions of u and v differ by |u A - v A| where 1 is white."""
    rows = model.components.reshape(model.n_components, -1).astype(np.float64)
    values, vectors = np.linalg.eigh(rows @ rows.T / rows.shape[1])
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _plane(model: LatentFaces, embedding: NDArray[np.float64]) -> FaceMap:
    """Return the plane of the two first principal components of the reconstructions."""
    centred = model.weights.astype(np.float64)
    centred -= centred.mean(axis=0)
    covariance = embedding.T @ (centred.T @ centred) @ embedding
    values, vectors = np.linalg.eigh(covariance)  # ascending
    axes = embedding @ vectors[:, :-3:-1]
    axes = np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))  # of a model of one component
    # the sign is free: where there is most of what an axis tells, is right and above
    strongest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    axes = axes * np.where(strongest < 0, -model.scale, model.scale)
    kept = float(values[-2:].sum() / values.sum()) if values.sum() > 0 else 1.0
    return FaceMap(model, "pca", centred @ axes, min(kept, 1.0), axes)


def _tsne(
    points: NDArray[np.float32], start: NDArray[np.float64], random_state: int
) -> Generator[Placed]:
    """Run t-SNE in stages, each of which begins where the one before has ended."""
    with importing():
        from sklearn.manifold import TSNE
        from sklearn.neighbors import KNeighborsTransformer

    n = len(points)
    perplexity = min(30.0, (n - 2) / 3)
    neighbours = KNeighborsTransformer(n_neighbors=min(n - 1, int(3 * perplexity + 1)))
    graph = neighbours.fit_transform(points)
    placed = (1e-4 * start).astype(np.float32)
    for stage in range(_STAGES):
        stages = TSNE(
            metric="precomputed",
            perplexity=perplexity,
            early_exaggeration=1.0 if stage else _EXAGGERATION,
            learning_rate=max(n / _EXAGGERATION / 4, 50.0),
            init=placed,
            max_iter=_STAGE,
            random_state=random_state,
        )
        placed = stages.fit_transform(graph)
        yield stage + 1, _STAGES, placed.astype(np.float64)


def _mds(points: NDArray[np.float32], placed: NDArray[np.float64]) -> Generator[Placed]:
    """Run metric MDS (SMACOF) until the stress falls no more."""
    with importing():
        from sklearn.manifold import smacof
        from sklearn.metrics import euclidean_distances

    distances = euclidean_distances(points.astype(np.float64))
    for stage in range(_MDS_STAGES):
        placed, _, iterations = smacof(
            distances,
            init=placed,
            n_init=1,
            max_iter=_MDS_STAGE,
            normalized_stress=False,
            return_n_iter=True,
        )
        yield stage + 1, _MDS_STAGES, placed
        if iterations < _MDS_STAGE:
            return


def _neighbours(
    nearest: NearestFaces, weights: NDArray[Any]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the nearest known faces (..., 5), and their shares of a position (..., 5, 1)."""
    faces, distances = nearest.find(weights, _NEIGHBOURS)
    farthest = distances[..., -1:]
    ratios = distances / np.where(farthest > 0, farthest, 1.0)
    shares = 1 / (np.square(ratios) + 1e-12)  # a known face has all of it
    shares /= shares.sum(axis=-1, keepdims=True)
    return faces, shares[..., None]


# -- Which faces are drawn as pictures, and which as dots ------------------------------

_REACH = 2  # cells to a face that could overlap
_ROUNDS = 4
_AROUND = np.argwhere(np.ones((2 * _REACH + 1, 2 * _REACH + 1))) - _REACH
_AROUND = _AROUND[_AROUND.any(axis=1)]  # the cells of the reach but the one in the middle


def pictured(
    positions: NDArray[np.float64],
    cell: tuple[float, float],
    low: tuple[float, float],
    high: tuple[float, float],
) -> NDArray[np.intp]:
    """Choose faces whose pictures do not overlap, the same ones wherever the window is.

    Positions (n, 2) are x and y, `cell` is the width and height of a picture, `low` and `high`
    are corners of the window. Earlier faces go first: in a random order, the pictures are a
    fair sample, and those of a coarse map are mostly there in a finer one, too.

    In each cell of a grid, of half the size of a picture, the first face may have a picture.
    Of those that would overlap the first gets it, and so on among those that are left. No
    loop runs over faces, and only cells that are seen are looked at.
    """
    size, margin = np.asarray(cell), 2 * _REACH * (_ROUNDS + 1)
    first = np.floor(np.asarray(low) / size * 2).astype(np.int64) - margin
    columns, rows = np.floor(np.asarray(high) / size * 2).astype(np.int64) - first + margin + 1
    places = np.floor(positions / size * 2).astype(np.int64) - first
    inner = (places >= _REACH) & (places < (columns - _REACH, rows - _REACH))
    near = np.flatnonzero(inner.all(axis=1))
    n = len(positions)
    grid = np.full((rows, columns), n)  # the first face of each cell; n where there is none
    np.minimum.at(grid, (places[near, 1], places[near, 0]), near)
    where = np.vstack([positions, np.full((1, 2), np.nan)])
    cells = np.argwhere(grid < n)
    around = cells[:, None] + _AROUND  # (m, 24, 2)
    faces, others = grid[cells[:, 0], cells[:, 1]], grid[around[..., 0], around[..., 1]]
    overlaps = (np.abs(where[others] - where[faces][:, None]) < size).all(axis=-1)
    rivals = overlaps & (others < faces[:, None])
    chosen, left = np.zeros(n + 1, bool), np.zeros(n + 1, bool)
    left[faces] = True
    for _ in range(_ROUNDS):
        wins = faces[left[faces] & ~(rivals & left[others]).any(axis=1)]
        chosen[wins] = True
        left[faces] &= ~chosen[faces] & ~(overlaps & chosen[others]).any(axis=1)
    found = np.flatnonzero(chosen)
    seen = (where[found] > np.asarray(low) - size / 2) & (where[found] < high + size / 2)
    return found[seen.all(axis=1)]
