"""What builds a face, who is near, all faces on a plane, and two models side by side."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from napari_latent_faces.export import save_table
from napari_latent_faces.solvers.blocks import importing, row_blocks, row_squares
from napari_latent_faces.stack import in_pixels
from napari_latent_faces.steps import consume
from napari_latent_faces.tiles import shrunk

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray

    from napari_latent_faces.model import LatentFaces

    Pairs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]
    Placed = tuple[int, int, NDArray[np.float64]]  # stages done, at most, and places by now


@dataclass(frozen=True, eq=False)
class Parts:
    """The components that a face uses, the largest contribution first."""

    components: NDArray[np.intp]
    weights: NDArray[Any]
    # of the face's reconstruction, as the sum over its pixels; of a signed model, where light
    # and dark would cancel, of what is added to the mean face, as the sum of squares
    shares: NDArray[np.float64]
    used: int  # of them, from the first on, by the rule of `least_share`

    def __len__(self) -> int:
        return len(self.components)


class Explainer:
    """Tells what builds the faces of a model, and how many faces use each component."""

    def __init__(self, model: LatentFaces) -> None:
        self.model = model
        self.shares = model.shares
        rows = model.components.reshape(model.n_components, -1)
        self._sizes = row_squares(rows) if model.is_signed else rows.sum(1, dtype=np.float64)
        # a tenth of an equal share: some solvers never reach 0
        self.least_share = 0.1 / model.n_components
        self.uses = np.zeros(model.n_components, np.intp)
        for faces in row_blocks(*model.weights.shape):
            carried = self._carried(model.weights[faces])
            is_used = carried >= self.least_share * carried.sum(axis=1, keepdims=True)
            self.uses += np.count_nonzero(is_used & (carried > 0), axis=0)

    def parts(self, face: int) -> Parts:
        """Return what a face of the model is built of; nothing for a black face."""
        weights = self.model.weights[face]
        carried = self._carried(weights)
        order = np.argsort(-carried, kind="stable")[: np.count_nonzero(carried > 0)]
        shares = carried[order] / (carried.sum() or 1.0)
        used = int(np.count_nonzero(shares >= self.least_share))
        return Parts(order, weights[order], shares, used)

    def users(self, component: int, count: int) -> tuple[NDArray[np.intp], NDArray[Any]]:
        """Return the faces, `count` at most, that use a component most, and their weights."""
        weights = self.model.weights[:, component]
        used = np.abs(weights) if self.model.is_signed else weights
        faces = np.argsort(-used, kind="stable")[: min(count, np.count_nonzero(used > 0))]
        return faces, weights[faces]

    def caption(self, component: int, face: int | None = None) -> str:
        """Return in a line what is known of a component, with a face's weight for it."""
        whole = "variance" if self.model.is_signed else "reconstruction"
        text = (
            f"component {component}  |  {100 * self.shares[component]:.1f} % of the {whole}"
            f"  |  used by {self.uses[component]} of {len(self.model.weights)} faces"
        )
        if face is not None:
            text += f"  |  weight {self.model.weights[face, component]:.3g} in this face"
        return text

    def _carried(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Return how much each component adds to faces, in sums that never cancel."""
        amounts = np.asarray(weights, np.float64)
        return np.asarray(self._sizes * (amounts**2 if self.model.is_signed else amounts))


def prominence(weights: NDArray[Any]) -> NDArray[np.float64]:
    """Return how much of each component a face has, 0 to 1, beside its largest weight."""
    # as the root of their ratio, small weights, which are most of them, are told from none
    amounts = np.abs(np.asarray(weights, np.float64))
    return np.asarray(np.sqrt(amounts / (amounts.max(initial=0) or 1.0)))


def small_model(model: LatentFaces, longest: int) -> LatentFaces:
    """Return a model whose pictures are as small as `tiles.shrunk` makes them."""
    in_colour = len(model.picture_shape) == 3
    shrink = partial(shrunk, longest=longest, in_colour=in_colour)
    mean = None if model.mean is None else shrink(model.mean)
    return replace(model, components=shrink(model.components), mean=mean)


def build_up(
    components: NDArray[Any], weights: ArrayLike, start: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Return the sums of the first one, two, ... and of all weighted components, in order.

    They are added to `start`, the mean face of models that have one; 1 is the model's `scale`.
    It is Figure 1 of Lee & Seung (1999), doi:10.1038/44565, step by step.
    """
    factors = np.asarray(weights, components.dtype)
    scaled = components * factors.reshape(-1, *[1] * (components.ndim - 1))
    if start is not None:
        scaled[:1] += start
    return np.asarray(np.cumsum(scaled, axis=0, out=scaled))


def face_error(model: LatentFaces, face: int, pixels: NDArray[Any]) -> float:
    """Return the relative error of a face of a model, given its picture in its own units."""
    seen = pixels.astype(np.float64) / model.scale  # squares of tiny pixels would be 0
    missed = float(np.linalg.norm(seen - model.reconstruct(face) / model.scale))
    whole = float(np.linalg.norm(seen))
    return missed / whole if whole else float("inf") if missed else 0.0


_SPARE = 32  # faces beyond those asked for whose distance is computed exactly


class NearestFaces:
    """Finds the faces of a model whose reconstructions are nearest to weights.

    The distance of weights ``u`` and ``v`` is that of the pictures they build: the root of the
    mean squared difference of their pixels, in the units of the faces. No pixel is needed, as
    ``|u H - v H|^2 = (u - v) G (u - v)`` with ``G = H H^T``: a search is one product of all
    weights with one vector. It ranks by a difference of large numbers, so the best and some
    spare ones are measured again from the differences of the weights, in float64.
    """

    def __init__(self, model: LatentFaces) -> None:
        self.model = model
        rows = model.components.reshape(model.n_components, -1).astype(np.float64)
        self._gram = rows @ rows.T / rows.shape[1]
        self._lengths = np.empty(len(model.weights))
        for faces in row_blocks(*model.weights.shape):
            self._lengths[faces] = self._length(model.weights[faces])

    def find(
        self,
        weights: ArrayLike,
        count: int,
        exclude: int | Sequence[int] | NDArray[np.integer] | None = None,
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the faces nearest to weights (k,) or (m, k), and their distances."""
        asked, known = np.asarray(weights, np.float64), self.model.weights
        n, k = known.shape
        if asked.shape[-1:] != (k,) or asked.ndim > 2 or not np.isfinite(asked).all():
            wanted = f"{k} finite weights are needed, in the shape ({k},) or (m, {k})"
            raise ValueError(f"{wanted}; got the shape {asked.shape}.")
        left_out = np.unique(np.asarray([] if exclude is None else exclude, int))
        count = min(count, n - len(left_out))
        near = min(count + _SPARE, n - len(left_out))
        rows = asked.reshape(-1, k)
        faces, distances = np.empty((len(rows), count), np.intp), np.empty((len(rows), count))
        for part in row_blocks(len(rows), n):
            products = (rows[part] @ self._gram).astype(known.dtype)
            # squared distances but for the length of what is asked for, which ranks nothing
            rough = self._lengths - 2 * (products @ known.T)
            rough[:, left_out] = np.inf
            candidates = np.sort(np.argpartition(rough, near - 1, axis=1)[:, :near], axis=1)
            apart = self._length(known[candidates] - rows[part][:, None])
            exact = np.sqrt(np.maximum(apart, 0.0))
            order = np.argsort(exact, axis=1, kind="stable")[:, :count]
            faces[part] = np.take_along_axis(candidates, order, axis=1)
            distances[part] = np.take_along_axis(exact, order, axis=1)
        # only now in the units of the faces: their squares may be beyond any float
        shape = (*asked.shape[:-1], count)
        return faces.reshape(shape), distances.reshape(shape) * self.model.scale

    def _length(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Return the mean squared pixel, where 1 is the scale, that weights (..., k) build."""
        return np.asarray(((weights @ self._gram) * weights).sum(axis=-1))


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
        x and y of each face; by PCA and MDS, in the units of distances of `NearestFaces`.
    kept : float
        Share of the variance that the plane of PCA keeps, 0 to 1; NaN for other methods.
    """

    model: LatentFaces
    method: MapMethod
    positions: NDArray[np.float64]
    kept: float = float("nan")
    _axes: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)), repr=False)

    def project(self, weights: ArrayLike) -> NDArray[np.float64]:
        """Return where faces with other weights (m, k) or (k,) lie: shape (m, 2) or (2,).

        By t-SNE and MDS, that is the mean position of the five nearest known faces, weighted
        by the inverse square of their distance.
        """
        asked = np.asarray(weights, np.float64)
        if self.method == "pca":
            mean = self.model.weights.mean(axis=0, dtype=np.float64)
            return np.asarray((asked - mean) @ self._axes)
        faces, shares = _neighbours(self._nearest, asked)
        return np.asarray((self.positions[faces] * shares).sum(axis=-2))

    def save_csv(self, path: str | PathLike[str]) -> None:
        """Write the places as a table with a line for each face, whole or not at all."""
        origin, nothing = self.model.provenance, [""] * len(self.positions)
        texts = {"name": origin.names or nothing, "subject": origin.subjects or nothing}
        save_table(path, ["x", "y"], self.positions.tolist(), texts)

    @cached_property
    def _nearest(self) -> NearestFaces:
        return NearestFaces(self.model)


def map_faces(
    model: LatentFaces, method: MapMethod = "pca", *, random_state: int = 42
) -> FaceMap:
    """Place the faces of a model on a plane, those that look alike close together.

    Parameters
    ----------
    model : LatentFaces
        The model, whose reconstructions are compared.
    method : {"pca", "tsne", "mds"}, default="pca"
        The plane that keeps most of the variance, found at once; or by scikit-learn t-SNE,
        which keeps neighbours together, or metric MDS, which keeps distances. Of more than
        1,000 faces, MDS places 1,000 drawn at random, and the others between these as
        `FaceMap.project` does. Fewer than five faces, and equal ones, are placed by PCA.
    random_state : int, default=42
        Seed of t-SNE and MDS.

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
    # reconstructions of u and v differ by |u A - v A| where 1 is white
    rows = model.components.reshape(model.n_components, -1).astype(np.float64)
    values, vectors = np.linalg.eigh(rows @ rows.T / rows.shape[1])
    A = vectors * np.sqrt(np.maximum(values, 0.0))
    flat = _plane(model, A)
    if method == "pca" or len(flat.positions) < _FEWEST or not flat.positions.any():
        return flat
    points = (model.weights @ A.astype(model.weights.dtype)).astype(np.float32)
    placed = flat.positions
    if method == "tsne":
        steps = _tsne(points, placed / (np.abs(placed).max() or 1.0), random_state)
    else:
        rng = np.random.default_rng(random_state)
        some = np.sort(rng.permutation(len(points))[:_MOST_MDS])
        nearest = NearestFaces(replace(model, weights=model.weights[some]))
        faces, shares = _neighbours(nearest, model.weights)
        steps = (
            (done, total, (model.scale * known[faces] * shares).sum(axis=1))
            for done, total, known in _mds(points[some], placed[some] / model.scale)
        )
    for step in steps:
        yield step
        placed = step[2]
    return FaceMap(model, method, placed)


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
    options: dict[str, Any] = {"n_init": 1, "normalized_stress": False, "return_n_iter": True}
    for stage in range(_MDS_STAGES):
        placed, _, iterations = smacof(distances, init=placed, max_iter=_MDS_STAGE, **options)
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


def pair_most_alike(
    first: NDArray[Any], second: NDArray[Any], *, is_signed: bool = False
) -> Pairs:
    """Pair pictures (k, ...) and (l, ...) so that the sum of their cosines is largest.

    Returned are the numbers of both pictures of each pair, and the cosines.
    """
    with importing():
        from scipy.optimize import linear_sum_assignment

    A, B = (each.reshape(len(each), -1) for each in (first, second))
    # divided after the product, which needs no copy of the pictures; empty ones have none
    lengths = np.outer(np.sqrt(row_squares(A)), np.sqrt(row_squares(B)))
    cosines = A @ B.T / np.where(lengths > 0, lengths, 1)
    if is_signed:
        cosines = np.abs(cosines)
    of_first, of_second = linear_sum_assignment(cosines, maximize=True)
    return of_first, of_second, np.clip(cosines[of_first, of_second], 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Matching:
    """Components of two models in pairs, the most similar pair first."""

    pairs: NDArray[np.intp]  # (m, 2), of the first and the second model
    similarity: NDArray[np.float64]  # (m,): cosines, without their sign where one is signed
    unmatched: tuple[NDArray[np.intp], NDArray[np.intp]]  # of either model, in no pair


@dataclass(frozen=True, eq=False)
class Comparison:
    """What two models of one stack have in common, and how good they are."""

    matching: Matching
    errors: tuple[float, float]
    is_fair: bool  # both have the same number of components: more always explain more

    def summary(self) -> str:
        """Return the errors, and what they mean, in one or two sentences."""
        first, second = self.errors
        text = f"Relative error {first:.4f} (left) and {second:.4f} (right)"
        if not self.is_fair:
            return f"{text}, not at equal k: more components always explain more."
        if first == second:
            return f"{text} at equal k."
        where = "left" if first < second else "right"
        lower = 100 * (1 - min(self.errors) / max(self.errors))
        return f"{text} at equal k: the {where} one is {lower:.1f} % lower."


def match_components(a: LatentFaces, b: LatentFaces) -> Matching:
    """Pair the components of two models so that the sum of the similarities is largest.

    Similarity is the cosine of the angle between two pictures, without its sign where a model
    is signed; the pairs are the best assignment (Hungarian method; Kuhn 1955,
    doi:10.1002/nav.3800020109). Pictures are of one size, numbers of components can differ. The
    result has `pairs` (m, 2), the most similar first, their `similarity`, and the `unmatched`.
    """
    if a.picture_shape != b.picture_shape:
        one, other = map(in_pixels, (a.picture_shape, b.picture_shape))
        words = "only models of pictures of one size, grey or in colour, can be compared."
        raise ValueError(f"The components are {one} and {other}: {words}")
    is_signed = a.is_signed or b.is_signed
    first, second, similarity = pair_most_alike(a.components, b.components, is_signed=is_signed)
    order = np.argsort(-similarity, kind="stable")
    pairs = np.stack([first, second], axis=1)[order]
    lone_first = np.setdiff1d(range(a.n_components), first)
    lone_second = np.setdiff1d(range(b.n_components), second)
    return Matching(pairs, similarity[order], (lone_first, lone_second))


def compare_models(a: LatentFaces, b: LatentFaces) -> Comparison:
    """Compare two models of the same faces: their `matching`, `errors`, and a `summary`."""
    if a.shape != b.shape or a.provenance.names != b.provenance.names:
        raise ValueError("The models are of different faces: compare two of the same stack.")
    is_fair = a.n_components == b.n_components
    return Comparison(match_components(a, b), (a.error, b.error), is_fair)
