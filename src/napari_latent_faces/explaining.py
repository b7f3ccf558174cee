"""What builds a face, who is near, and two models side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.solvers.blocks import importing
from napari_latent_faces.steps import consume

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_latent_faces.model import LatentFaces

    Pairs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]

# -- What builds a face: the components it uses, their sum step by step, and who else does

_BLOCK_VALUES = 2**22  # numbers held at a time, beside model and result


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
    """Tells what builds the faces of a model; what all faces have in common is kept.

    Parameters
    ----------
    model : LatentFaces
        The model.

    Attributes
    ----------
    shares : array of shape (k,)
        Share of the reconstruction of all faces that each component carries.
    uses : array of int, shape (k,)
        How many faces use each component, by the rule of `least_share`.
    """

    def __init__(self, model: LatentFaces) -> None:
        self.model = model
        self.shares = model.shares
        rows = model.components.reshape(model.n_components, -1)
        self._sizes: NDArray[np.float64] = (
            np.einsum("kp,kp->k", rows, rows, dtype=np.float64)
            if model.is_signed
            else rows.sum(axis=1, dtype=np.float64)
        )
        least = least_share(model.n_components)
        self.uses = np.zeros(model.n_components, np.intp)
        for weights in _blocks(model.weights):
            carried = self._carried(weights)
            is_used = carried >= least * carried.sum(axis=1, keepdims=True)
            self.uses += np.count_nonzero(is_used & (carried > 0), axis=0)

    def parts(self, face: int) -> Parts:
        """Return what a face of the model is built of.

        Returns
        -------
        Parts
            The `components` with a weight above 0 (of a signed model, any but 0), the largest
            contribution first; their `weights`; their `shares` of the reconstruction, which
            sum to 1; and how many of them count as `used`. Empty for a black face.

        Raises
        ------
        IndexError
            If there is no such face.
        """
        self._check("face", face, len(self.model.weights))
        weights = self.model.weights[face]
        carried = self._carried(weights)
        order = np.argsort(-carried, kind="stable")[: np.count_nonzero(carried > 0)]
        shares = carried[order] / (carried.sum() or 1.0)
        used = int(np.count_nonzero(shares >= least_share(self.model.n_components)))
        return Parts(order, weights[order], shares, used)

    def users(self, component: int, count: int) -> tuple[NDArray[np.intp], NDArray[Any]]:
        """Return the faces that use a component most, and their weights for it.

        Parameters
        ----------
        component : int
            Which component.
        count : int
            How many faces at most.

        Returns
        -------
        faces : array of int, shape (m,)
            The one that uses it most first, none whose weight is 0. Of a signed model, those
            whose weights are farthest from 0, to either side.
        weights : array of shape (m,)

        Raises
        ------
        IndexError
            If there is no such component.
        """
        self._check("component", component, self.model.n_components)
        weights = self.model.weights[:, component]
        used = np.abs(weights) if self.model.is_signed else weights
        count = min(count, int(np.count_nonzero(used > 0)))
        some = np.argpartition(-used, count - 1)[:count] if count else np.empty(0, np.intp)
        faces = some[np.lexsort((some, -used[some]))]
        return faces, weights[faces]

    def caption(self, component: int, face: int | None = None) -> str:
        """Return in a line what is known of a component, with a face's weight for it."""
        n = len(self.model.weights)
        whole = "variance" if self.model.is_signed else "reconstruction"
        parts = [
            f"component {component}",
            f"{100 * self.shares[component]:.1f} % of the {whole}",
            f"used by {self.uses[component]} of {n} faces",
        ]
        if face is not None:
            parts.append(f"weight {self.model.weights[face, component]:.3g} in this face")
        return "  |  ".join(parts)

    @staticmethod
    def _check(what: str, number: int, count: int) -> None:
        if not 0 <= number < count:
            raise IndexError(f"There is no {what} {number}: the model has {count}.")

    def _carried(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Return how much each component adds to faces, in sums that never cancel."""
        amounts = np.asarray(weights, np.float64)
        return np.asarray(self._sizes * (amounts**2 if self.model.is_signed else amounts))


def least_share(n_components: int) -> float:
    """Return the share of a face from which on a component counts as used.

    A tenth of an equal share, with 20 components 0.5 %: some solvers never reach 0, and one
    bound for all numbers of components would leave none used where there are many.
    """
    return 0.1 / n_components


def prominence(weights: NDArray[Any]) -> NDArray[np.float64]:
    """Return how much of each component a face has, 0 to 1, beside its largest weight.

    The root of their ratio, whatever the signs: small weights, which are most of them, can
    still be told from none.
    """
    amounts = np.abs(np.asarray(weights, np.float64))
    return np.asarray(np.sqrt(amounts / (amounts.max(initial=0) or 1.0)))


def build_up(
    components: NDArray[Any], weights: ArrayLike, start: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Return the sums of the first one, two, ... and of all weighted components.

    Parameters
    ----------
    components : array of shape (m, h, w) or (m, h, w, 3)
        The components, in the order in which they are added.
    weights : array of shape (m,)
        Their weights.
    start : array of shape (h, w) or (h, w, 3), optional
        What they are added to: the mean face of models that have one, else black.

    Returns
    -------
    array of the shape of the components
        Picture ``i`` is that of the components up to ``i``; the last is the whole face.
        In the units of the fit: 1 is the model's `scale`.

    References
    ----------
    Figure 1 of Lee & Seung (1999), doi:10.1038/44565, drawn step by step.
    """
    factors = np.asarray(weights, components.dtype)
    scaled = components * factors.reshape(-1, *[1] * (components.ndim - 1))
    if start is not None and len(scaled):
        scaled[0] += start
    return np.asarray(np.cumsum(scaled, axis=0, out=scaled))


def face_error(model: LatentFaces, face: int, pixels: NDArray[Any]) -> float:
    """Return the relative error of one face's reconstruction.

    Parameters
    ----------
    model : LatentFaces
        The model.
    face : int
        Which face of the model.
    pixels : array of shape (h, w)
        Its picture, in the units of the faces that the model was fitted to.

    Returns
    -------
    float
        Norm of face minus reconstruction over norm of the face: 0 for an exact one. For
        a black face 0 if its reconstruction is black as well, otherwise infinite.

    Raises
    ------
    ValueError
        If the picture has another size than the model's faces.
    """
    if pixels.shape != model.shape[1:]:
        raise ValueError(
            f"The picture has the shape {pixels.shape}, the model's faces {model.shape[1:]}."
        )
    seen = pixels.astype(np.float64) / model.scale  # squares of tiny pixels would be 0
    missed = float(np.linalg.norm(seen - model.reconstruct(face) / model.scale))
    if missed == 0:
        return 0.0
    whole = float(np.linalg.norm(seen))
    return missed / whole if whole else float("inf")


def shrunk(pictures: NDArray[Any], longest: int, *, in_colour: bool = False) -> NDArray[Any]:
    """Return smaller pictures (..., h, w), of means over squares of pixels.

    Sides shrink by one whole factor to at most `longest`; what does not fill a square at the
    right and below is left out. Sums of shrunk pictures are the shrunk sums, so that a face
    can be built up from small components.
    """
    if in_colour:
        return np.moveaxis(shrunk(np.moveaxis(pictures, -1, 0), longest), 0, -1)
    h, w = pictures.shape[-2:]
    factor = -(-max(h, w) // longest)
    if factor == 1 or factor > min(h, w):
        return pictures
    rows, columns = h // factor, w // factor
    # one strided sum for each pixel of a square: faster than a mean over two short axes
    means = np.zeros(
        (*pictures.shape[:-2], rows, columns), np.result_type(pictures, np.float32)
    )
    for y in range(factor):
        for x in range(factor):
            means += pictures[..., y : rows * factor : factor, x : columns * factor : factor]
    means /= factor**2
    return means


# -- The faces of a model that look most like given weights ----------------------------

_SPARE = 32  # faces beyond those asked for whose distance is computed exactly


class NearestFaces:
    """Finds the faces of a model whose reconstructions are nearest to weights.

    The distance of weights ``u`` and ``v`` is that of the pictures they build: the root
    of the mean squared difference of their pixels, in the units of the faces (grey
    values of 255 for 8-bit faces). Unlike a distance of the bare weights it takes into account
    how bright and how alike the components are.

    Parameters
    ----------
    model : LatentFaces
        The model.

    Notes
    -----
    No pixel is needed, since ``|u H - v H|^2 = (u - v) G (u - v)`` with ``G = H H^T``: a search
    is one product of all weights with one vector. It ranks by a difference of large numbers,
    so the best of its finds and some spare ones are measured again from the differences of
    the weights, in float64.
    """

    def __init__(self, model: LatentFaces) -> None:
        self.model = model
        rows = model.components.reshape(model.n_components, -1).astype(np.float64)
        self._gram = rows @ rows.T / rows.shape[1]
        lengths = [self._length(block) for block in _blocks(model.weights)]
        self._lengths = np.concatenate([np.empty(0), *lengths])

    def find(
        self,
        weights: ArrayLike,
        count: int,
        exclude: int | Sequence[int] | NDArray[np.integer] | None = None,
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the nearest faces, the nearest first, and their distances.

        Parameters
        ----------
        weights : array of shape (k,) or (m, k)
            Weights of one picture or of several.
        count : int
            How many faces; fewer are returned if there are no more.
        exclude : int or sequence of int, optional
            Faces to leave out, as the one that the weights were taken from.

        Returns
        -------
        indices : array of shape (count,) or (m, count)
            Faces of the model.
        distances : array of shape (count,) or (m, count)
            Root mean squared differences of the pixels, in the units of the faces.

        Raises
        ------
        ValueError
            If `weights` do not have k columns or are not finite, or `count` is below 1.
        """
        asked, k = np.asarray(weights, np.float64), self.model.n_components
        if asked.ndim not in (1, 2) or asked.shape[-1] != k:
            raise ValueError(
                f"The weights of {k} components are needed, in the shape ({k},) or (m, {k}); "
                f"got the shape {asked.shape}."
            )
        if not np.isfinite(asked).all():
            raise ValueError("The weights must be finite numbers.")
        if count < 1:
            raise ValueError(f"count must be 1 or more, got {count}.")
        left_out = np.unique(np.atleast_1d(np.asarray([] if exclude is None else exclude, int)))
        count = min(count, len(self._lengths) - len(left_out))
        several = asked.reshape(-1, k)
        indices, distances = (
            np.empty((len(several), count), np.intp),
            np.empty((len(several), count)),
        )
        for rows in _blocks(np.arange(len(several)), len(self._lengths)):
            indices[rows], distances[rows] = self._search(several[rows], count, left_out)
        shape = (*asked.shape[:-1], count)
        # only now in the units of the faces: their squares may be beyond any float
        return indices.reshape(shape), distances.reshape(shape) * self.model.scale

    def _search(
        self, asked: NDArray[np.float64], count: int, left_out: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Do what `find` does for weights (m, k), all in memory."""
        products = (asked @ self._gram).astype(self.model.weights.dtype)
        # squared distances but for the length of what is asked for, which ranks nothing
        rough = self._lengths - 2 * (products @ self.model.weights.T)
        rough[:, left_out] = np.inf
        near = min(count + _SPARE, rough.shape[1] - len(left_out))
        if near < rough.shape[1]:
            candidates = np.argpartition(rough, near - 1 if near else 0, axis=1)[:, :near]
        else:
            candidates = np.tile(np.arange(near), (len(asked), 1))
        apart = self.model.weights[candidates] - asked[:, None]
        exact = np.sqrt(np.maximum(self._length(apart), 0.0))
        order = np.argsort(exact, axis=1, kind="stable")[:, :count]
        return (
            np.take_along_axis(candidates, order, axis=1),
            np.take_along_axis(exact, order, axis=1),
        )

    def _length(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Return the mean squared pixel, where 1 is the scale, that weights (..., k) build."""
        return np.asarray(((weights @ self._gram) * weights).sum(axis=-1))


def _blocks(rows: NDArray[Any], width: int = 0) -> list[NDArray[Any]]:
    """Cut rows into blocks that need little memory, at `width` or as many numbers a row."""
    step = max(1, _BLOCK_VALUES // max(1, width or rows.shape[1]))
    return [rows[first : first + step] for first in range(0, len(rows), step)]


# -- Two models of one stack: which components are the same, and how good each is ------

_AT_A_TIME = 2**29  # multiplications of one step: 0.01 to 0.1 s


def iter_pair_most_alike(
    first: NDArray[Any], second: NDArray[Any], *, is_signed: bool = False
) -> Generator[tuple[int, int], None, Pairs]:
    """Pair pictures (k, ...) and (l, ...) so that the sum of their cosines is largest.

    Yields how many pixels of how many are compared. Returns the numbers of the first and of
    the second in each pair, in the order of the first, and how alike they are: 1 if they differ
    by a factor only, 0 if they share no pixel. With `is_signed` the sign means nothing.
    """
    with importing():
        from scipy.optimize import linear_sum_assignment

    rows = [each.reshape(len(each), -1) for each in (first, second)]
    cosines, squares = (
        np.zeros((len(first), len(second))),
        [np.zeros(len(each)) for each in rows],
    )
    pixels = rows[0].shape[1]
    width = max(1, _AT_A_TIME // ((len(first) + 1) * (len(second) + 1)))
    for start in range(0, pixels, width):
        yield start, pixels
        one, other = (each[:, start : start + width] for each in rows)
        cosines += one @ other.T
        squares[0] += np.einsum("kp,kp->k", one, one)
        squares[1] += np.einsum("kp,kp->k", other, other)
    yield pixels, pixels
    # divided after the product, which needs no copy of the pictures; empty ones have none
    lengths = np.outer(*map(np.sqrt, squares))
    cosines /= np.where(lengths > 0, lengths, 1)
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
        better, worse = sorted(self.errors)
        where = "left" if first < second else "right"
        return (
            f"{text} at equal k: the {where} one is {100 * (1 - better / worse):.1f} % lower."
        )


def match_components(a: LatentFaces, b: LatentFaces) -> Matching:
    """Pair the components of two models so that the sum of the similarities is largest.

    Similarity is the cosine of the angle between two pictures; its sign does not count
    where a model is signed, as the sign of such a component means nothing. The pairs are
    the best assignment (Hungarian method; Kuhn 1955, doi:10.1002/nav.3800020109).

    Parameters
    ----------
    a, b : LatentFaces
        The models; the numbers of components can differ.

    Returns
    -------
    Matching
        `pairs` of shape (m, 2) and their `similarity`, most similar first; `unmatched`
        components of either model.

    Raises
    ------
    ValueError
        If the pictures of the models differ in size.
    """
    return consume(_iter_match(a, b))


def _iter_match(a: LatentFaces, b: LatentFaces) -> Generator[tuple[int, int], None, Matching]:
    if a.picture_shape != b.picture_shape:
        one, other = (
            f"{w} x {h} pixels{' in colour' * len(channels)}"
            for h, w, *channels in (a.picture_shape, b.picture_shape)
        )
        raise ValueError(
            f"The components are {one} and {other}: only models of pictures of one size, grey "
            "or in colour, can be compared."
        )
    first, second, similarity = yield from iter_pair_most_alike(
        a.components, b.components, is_signed=a.is_signed or b.is_signed
    )
    order = np.argsort(-similarity, kind="stable")
    unmatched = (
        np.setdiff1d(np.arange(a.n_components), first),
        np.setdiff1d(np.arange(b.n_components), second),
    )
    return Matching(np.stack([first, second], axis=1)[order], similarity[order], unmatched)


def compare_models(a: LatentFaces, b: LatentFaces) -> Comparison:
    """Compare two models of one stack.

    Parameters
    ----------
    a, b : LatentFaces
        The models.

    Returns
    -------
    Comparison
        Components in pairs (`matching`), both `errors`, and a `summary` in words.

    Raises
    ------
    ValueError
        If the models are not of the same faces.
    """
    return consume(iter_compare(a, b))


def iter_compare(
    a: LatentFaces, b: LatentFaces
) -> Generator[tuple[int, int], None, Comparison]:
    """Do what `compare_models` does, and yield how many pixels of how many are compared."""
    if a.shape != b.shape or a.provenance.names != b.provenance.names:
        raise ValueError(
            "The models are of different faces: compare two models of the same stack."
        )
    matching = yield from _iter_match(a, b)
    return Comparison(matching, (a.error, b.error), a.n_components == b.n_components)
