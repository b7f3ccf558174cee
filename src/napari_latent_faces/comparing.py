"""Two models of one stack side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.solvers.blocks import importing
from napari_latent_faces.steps import consume

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

    Pairs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]

    Matched = Generator[tuple[int, int], None, "Matching"]

    Comparing = Generator[tuple[int, int], None, "Comparison"]

__all__ = [
    "Comparison",
    "Matching",
    "compare_models",
    "iter_compare",
    "iter_pair_most_alike",
    "match_components",
    "pair_most_alike",
]

# -- Which pictures of one set are which of another ------------------------------------

_AT_A_TIME = 2**29  # multiplications of one step: 0.01 to 0.1 s


def pair_most_alike(
    first: NDArray[Any], second: NDArray[Any], *, is_signed: bool = False
) -> Pairs:
    """Pair pictures (k, ...) and (l, ...) so that the sum of their cosines is largest.

    Returns the numbers of the first and of the second in each pair, in the order of the first,
    and how alike they are: 1 if they differ by a factor only, 0 if they share no pixel. With
    `is_signed` the sign of a picture means nothing. The assignment is that of Kuhn (1955),
    doi:10.1002/nav.3800020109.
    """
    return consume(iter_pair_most_alike(first, second, is_signed=is_signed))


def iter_pair_most_alike(
    first: NDArray[Any], second: NDArray[Any], *, is_signed: bool = False
) -> Generator[tuple[int, int], None, Pairs]:
    """Do what `pair_most_alike` does, and yield how many pixels of how many are compared."""
    with importing():
        from scipy.optimize import linear_sum_assignment

    cosines = yield from _cosines(first, second)
    if is_signed:
        cosines = np.abs(cosines)
    of_first, of_second = linear_sum_assignment(cosines, maximize=True)
    return of_first, of_second, np.clip(cosines[of_first, of_second], 0.0, 1.0)


def _cosines(
    first: NDArray[Any], second: NDArray[Any]
) -> Generator[tuple[int, int], None, NDArray[np.float64]]:
    """Return the cosines between all pictures, 0 for those that are empty."""
    # divided after the product, which needs no copy of the pictures
    rows = [each.reshape(len(each), -1) for each in (first, second)]
    products = np.zeros((len(first), len(second)))
    squares = [np.zeros(len(each)) for each in rows]
    pixels = rows[0].shape[1]
    width = max(1, _AT_A_TIME // ((len(first) + 1) * (len(second) + 1)))
    for start in range(0, pixels, width):
        yield start, pixels
        one, other = (each[:, start : start + width] for each in rows)
        products += one @ other.T
        squares = [
            sums + np.einsum("kp,kp->k", part, part)
            for sums, part in zip(squares, (one, other), strict=True)
        ]
    yield pixels, pixels
    lengths = np.outer(*(np.sqrt(each) for each in squares))
    cosines: NDArray[np.float64] = products / np.where(lengths > 0, lengths, 1)
    return cosines


# -- Two models of one stack side by side: which components are the same, and how good each is


@dataclass(frozen=True, eq=False)
class Matching:
    """Components of two models in pairs, the most similar pair first.

    Parameters
    ----------
    pairs : array of int, shape (m, 2)
        Numbers of the components in the first and in the second model; m is the smaller
        number of components.
    similarity : array of shape (m,)
        Cosine of the angle between the two pictures, 0 to 1: without its sign where a
        model is signed.
    unmatched : tuple of two arrays of int
        Components of either model that are in no pair.
    """

    pairs: NDArray[np.intp]
    similarity: NDArray[np.float64]
    unmatched: tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What two models of one stack have in common, and how good they are.

    Parameters
    ----------
    matching : Matching
        Their components in pairs.
    errors : tuple of two floats
        Relative errors of the models.
    is_fair : bool
        Whether both have the same number of components: more always explain more.
    """

    matching: Matching
    errors: tuple[float, float]
    is_fair: bool

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
    the best assignment (Hungarian method): see `napari_latent_faces.comparing`.

    Parameters
    ----------
    a, b : LatentFaces
        The models; the numbers of components can differ.

    Returns
    -------
    Matching
        The pairs, most similar first.

    Raises
    ------
    ValueError
        If the pictures of the models differ in size.
    """
    return consume(_iter_match(a, b))


def _iter_match(a: LatentFaces, b: LatentFaces) -> Matched:
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
    pairs = np.stack([first, second], axis=1)[order]
    return Matching(
        pairs,
        similarity[order],
        (
            np.setdiff1d(np.arange(a.n_components), first),
            np.setdiff1d(np.arange(b.n_components), second),
        ),
    )


def compare_models(a: LatentFaces, b: LatentFaces) -> Comparison:
    """Compare two models of one stack.

    Parameters
    ----------
    a, b : LatentFaces
        The models.

    Returns
    -------
    Comparison
        Components in pairs, and errors.

    Raises
    ------
    ValueError
        If the models are not of the same faces.
    """
    return consume(iter_compare(a, b))


def iter_compare(a: LatentFaces, b: LatentFaces) -> Comparing:
    """Do what `compare_models` does, some pixels at a time.

    Parameters
    ----------
    a, b : LatentFaces
        The models.

    Yields
    ------
    (int, int)
        How many pixels of the components are compared, and how many they have. Close the
        generator to end the comparison. What follows the last step, the assignment, takes
        time only for thousands of components.

    Returns
    -------
    Comparison
        As `compare_models`, as the value of ``StopIteration``.

    Raises
    ------
    ValueError
        As in `compare_models`.
    """
    if a.shape != b.shape or a.provenance.names != b.provenance.names:
        raise ValueError(
            "The models are of different faces: compare two models of the same stack."
        )
    matching = yield from _iter_match(a, b)
    return Comparison(matching, (a.error, b.error), a.n_components == b.n_components)
