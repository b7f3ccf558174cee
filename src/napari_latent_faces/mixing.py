"""New faces from a model: by hand, by chance, and between two others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_latent_faces.export import component_heads, numbers, save_table
from napari_latent_faces.files import check_folder, writing_folder
from napari_latent_faces.solvers.blocks import importing
from napari_latent_faces.stack import as_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    from numpy.typing import DTypeLike, NDArray

    from napari_latent_faces.model import LatentFaces

# -- How much of each component: usual amounts, those that matter, those between two faces

_MOST_FACES = 20_000  # that quantiles and correlations are found from
_DRAWN = 4096  # faces that are drawn at a time
_FAR = 3.0  # standard deviations that hardly any face goes beyond


def as_weights(
    model: LatentFaces, face: int | Sequence[float] | NDArray[Any]
) -> NDArray[np.float64]:
    """Return the weights (k,) of a face of the model, or a checked copy of weights."""
    if isinstance(face, (int, np.integer)):
        n = len(model.weights)
        if not 0 <= face < n:
            raise IndexError(f"There is no face {face}: the model has {n}, counted from 0.")
        return np.array(model.weights[face], np.float64)
    weights = np.array(face, np.float64)
    if weights.shape != (model.n_components,):
        raise ValueError(
            f"{model.n_components} weights are needed, one a component; got the shape "
            f"{weights.shape}."
        )
    if not np.isfinite(weights).all():
        raise ValueError("Weights must be numbers, neither NaN nor infinite.")
    return weights


def weight_ranges(model: LatentFaces, quantile: float = 0.99) -> NDArray[np.float64]:
    """Return the lowest and the highest usual weight for each component: shape (k, 2).

    From 0 to a quantile of the weights that are not 0, since a part that few faces have would
    get no range otherwise; (0, 1) where there are none. Of a signed model, where 0 is the mean
    face, three `weight_units` to both sides.
    """
    if model.is_signed:
        far = _FAR * weight_units(model)
        return np.stack([-far, far], axis=1)
    used = [column[column != 0] for column in _some_rows(model.weights).T]
    return np.array([(0.0, np.quantile(each, quantile) if len(each) else 1.0) for each in used])


def weight_units(model: LatentFaces) -> NDArray[np.float64]:
    """Return in what units weights are best told to people: shape (k,).

    For signed models, whose bare weights mean little, the standard deviation around the mean
    face over the faces that use the component; else, and where no face uses it, 1.
    """
    if not model.is_signed:
        return np.ones(model.n_components)
    weights = _some_rows(model.weights).astype(np.float64)
    used = np.maximum(np.count_nonzero(weights, axis=0), 1)
    units: NDArray[np.float64] = np.sqrt(np.square(weights).sum(axis=0) / used)
    return np.where(units > 0, units, 1.0)


def _some_rows(weights: NDArray[Any]) -> NDArray[Any]:
    """Return the rows of `weights`, or of very many a random part, always the same."""
    n = len(weights)
    if n <= _MOST_FACES:
        return weights
    return weights[np.sort(np.random.default_rng(0).choice(n, _MOST_FACES, replace=False))]


def mean_weights(model: LatentFaces) -> NDArray[np.float64]:
    """Return the weights (k,) of the mean face: 0 where a model adds to a mean face."""
    if model.mean is not None:
        return np.zeros(model.n_components)
    mean: NDArray[np.float64] = model.weights.mean(axis=0, dtype=np.float64)
    return mean


def mattering(
    model: LatentFaces, weights: NDArray[Any], share: float = 0.9
) -> NDArray[np.intp]:
    """Return the fewest components that carry most of a mixed face, in their order.

    That is a `share` of its brightness. For a face of nothing, the model's own shares decide.
    """
    rows = model.components.reshape(model.n_components, -1)
    carried = np.abs(weights) * np.abs(rows).sum(axis=1, dtype=np.float64)
    if not carried.any():
        carried = model.shares
    order = np.argsort(-carried, kind="stable")
    total = np.cumsum(carried[order])
    fewest = int(np.searchsorted(total, share * total[-1])) + 1
    return np.sort(order[:fewest])


def morph(
    model: LatentFaces,
    a: int | Sequence[float] | NDArray[Any],
    b: int | Sequence[float] | NDArray[Any],
    steps: int,
) -> NDArray[np.float64]:
    """Return the weights on the way from one face to another, in equal steps.

    Parameters
    ----------
    model : LatentFaces
        The model; ``model.blend`` turns the weights into pictures.
    a, b : int or array of shape (k,)
        Faces of the model, or weights.
    steps : int
        How many faces, both ends included; at least 2.

    Returns
    -------
    array of shape (steps, k)
        The first row is `a`, the last `b`.

    Raises
    ------
    IndexError, ValueError
        If there is no such face, the weights do not fit, or `steps` is less than 2.
    """
    if steps < 2:
        raise ValueError(f"steps must be 2 or more, both ends included; got {steps}.")
    start, end = as_weights(model, a), as_weights(model, b)
    way = np.linspace(0.0, 1.0, steps)[:, None]
    return (1 - way) * start + way * end


def listed(
    model: LatentFaces, weights: NDArray[Any], which: str = "all", numbers: str = ""
) -> list[int]:
    """Return the components that a list shows: those that "matter", are "used", or "all".

    With numbers and ranges such as ``"3, 10-20"``, these and no others, whatever `which` says.
    """
    k = model.n_components
    if numbers.strip():
        ranges = re.findall(r"(\d+)(?:\s*-\s*(\d+))?", numbers)
        asked = {i for a, b in ranges for i in range(int(a), min(int(b or a), k - 1) + 1)}
        return sorted(i for i in asked if i < k)
    if which == "matter":
        return [int(i) for i in mattering(model, weights)]
    if which == "used":
        return [int(i) for i in np.flatnonzero(weights)]
    return list(range(k))


def to_pixels(faces: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Return floats in the units of the faces as pixels of a type; of booleans, as floats."""
    dtype = np.dtype(dtype)
    return faces.copy() if dtype.kind == "b" else as_pixels(faces, dtype)


# -- One face that is being mixed: its weights, its picture, and the way back ----------


class Mix:
    """The weights of a mixed face, with undo and redo.

    Parameters
    ----------
    model : LatentFaces
        Where the components come from.
    weights : array of shape (k,), optional
        What to begin with, and to go back to by `reset`; nothing by default.
    depth : int
        How many steps can be undone.

    Attributes
    ----------
    changed : psygnal signal
        Emitted after every change, with the component that changed, or None if several may
        have.

    Notes
    -----
    IndexError is raised for a component that is not there, ValueError for weights that the
    model cannot have: not finite, or below 0 unless it is signed.

    While one component is changed again and again, what all the others make is kept: a new
    weight costs one multiplication and one addition a pixel, whatever the number of
    components. The picture is always the sum of two, so that no error builds up.
    """

    changed = Signal(object)

    def __init__(
        self,
        model: LatentFaces,
        weights: Sequence[float] | NDArray[Any] | None = None,
        *,
        depth: int = 200,
    ) -> None:
        self.model = model
        self._is_signed = model.is_signed
        self._weights: NDArray[np.float64]  # replaced, never changed in place
        self._pixels: NDArray[Any]
        self._held: int | None  # the component that changes; `_rest` is what all others make
        self._start = self._checked(
            np.zeros(model.n_components) if weights is None else weights
        )
        self._depth = depth
        self._past: list[NDArray[np.float64]] = []
        self._future: list[NDArray[np.float64]] = []
        self._before: NDArray[np.float64] | None = None
        self._blend(self._start)

    @property
    def weights(self) -> NDArray[np.float64]:
        """The weights, a copy of shape (k,)."""
        return self._weights.copy()

    @property
    def start(self) -> NDArray[np.float64]:
        """What `reset` goes back to, a copy of shape (k,)."""
        return self._start.copy()

    @property
    def pixels(self) -> NDArray[Any]:
        """The mixed face in the units of the faces: shape (h, w), to be looked at only."""
        return self._pixels

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to undo."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone step."""
        return bool(self._future)

    def set_weight(self, component: int, weight: float) -> None:
        """Change one weight: a step, or a part of the one that `begin` began."""
        if not 0 <= component < self.model.n_components:
            raise IndexError(
                f"There is no component {component}: the model has {self.model.n_components}."
            )
        weights = self.weights
        if weights[component] == weight:
            return
        weights[component] = weight
        weights = self._checked(weights)
        self._remember(self._weights)
        if component != self._held:
            self._rest = self.model.blend(
                np.where(np.arange(len(weights)) == component, 0, weights)
            )
            self._held = component
        self._weights = weights
        amount = self._pixels.dtype.type(weight * self.model.scale)
        np.multiply(self.model.components[component], amount, out=self._pixels)
        self._pixels += self._rest
        self.changed.emit(component)

    def set_weights(self, weights: Sequence[float] | NDArray[Any]) -> None:
        """Change all weights (k,): a step, or a part of the one that `begin` began."""
        checked = self._checked(weights)
        if not np.array_equal(checked, self._weights):
            self._remember(self._weights)
            self._show(checked)

    def start_from(self, weights: Sequence[float] | NDArray[Any]) -> None:
        """Change all weights, and make them what `reset` goes back to."""
        self._start = self._checked(weights)
        self.set_weights(self._start)

    def reset(self) -> None:
        """Go back to the start: a step that can be undone."""
        self.set_weights(self._start)

    def begin(self) -> None:
        """Begin a step of many changes, such as the drag of a slider."""
        if self._before is None:
            self._before = self._weights

    def end(self) -> None:
        """End the step that `begin` began; without any change there was none."""
        before, self._before = self._before, None
        if before is not None and not np.array_equal(before, self._weights):
            self._remember(before)

    def undo(self) -> None:
        """Take the last step back, if there is one."""
        self.end()
        if self._past:
            self._future.append(self._weights)
            self._show(self._past.pop())

    def redo(self) -> None:
        """Take the last undone step again, if there is one."""
        self.end()
        if self._future:
            self._past.append(self._weights)
            self._show(self._future.pop())

    def _show(self, weights: NDArray[np.float64]) -> None:
        self._blend(weights)
        self.changed.emit(None)

    def _blend(self, weights: NDArray[np.float64]) -> None:
        self._weights, self._held = weights, None
        self._pixels = self.model.blend(weights)

    def _remember(self, before: NDArray[np.float64]) -> None:
        if self._before is None:
            self._past.append(before)
            del self._past[: -self._depth]
            self._future.clear()

    def _checked(self, weights: Sequence[float] | NDArray[Any]) -> NDArray[np.float64]:
        checked = as_weights(self.model, weights)
        if not self._is_signed and (checked < 0).any():
            raise ValueError(
                "Weights must be 0 or more: the components of this model are only added."
            )
        return checked


# -- Random weights that look like those of the fitted faces ---------------------------


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
    Gaussian numbers with the correlations of the fitted weights' ranks become uniform by the
    normal distribution function, and weights by the quantiles of each component (R. B. Nelsen:
    An Introduction to Copulas, 2006, doi:10.1007/0-387-28678-0).

    Weights that are 0 share a rank, which weakens the correlations of the scores. Those of
    the numbers that are drawn are raised until the weights made of them have the rank
    correlations of the fitted ones. Of no more faces than components they are mostly noise,
    and are shrunk towards 0 by the share that is noise (J. Schaefer, K. Strimmer 2005,
    doi:10.2202/1544-6115.1175).

    Of more than 20,000 faces a random part of 20,000, always the same, tells both.
    """

    def __init__(self, model: LatentFaces) -> None:
        self.model = model
        weights = _some_rows(model.weights).astype(np.float64)
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
        for first in range(0, n, _DRAWN):
            block = drawn[first : first + _DRAWN]
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


# -- How generated faces were made, and their folders ----------------------------------


@dataclass(frozen=True)
class Recipe:
    """What a generated face is called, how it was made in words, and its k weights."""

    name: str
    made: str
    weights: tuple[float, ...]


def number_recipes(
    weights: NDArray[Any], made: str, name: str = "generated", first: int = 0
) -> tuple[Recipe, ...]:
    """Return recipes of faces with weights (m, k), numbered from `first` on."""
    return tuple(
        Recipe(f"{name} {i}", made, tuple(row.tolist()))
        for i, row in enumerate(weights, start=first)
    )


def save_recipes(path: str | PathLike[str], recipes: Sequence[Recipe]) -> None:
    """Write recipes as a CSV file; reading its weights gives the same numbers."""
    lengths = {len(recipe.weights) for recipe in recipes}
    if len(lengths) > 1:
        raise ValueError("The recipes are of models with different numbers of components.")
    heads = component_heads(max(lengths, default=0))
    rows = ([recipe.name, recipe.made, *recipe.weights] for recipe in recipes)
    save_table(path, ["name", "made", *heads], rows)


def write_generated(
    model: LatentFaces,
    weights: NDArray[Any],
    folder: str | PathLike[str],
    *,
    made: str = "",
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write mixed faces as files that any program reads.

    An 8-bit picture a face, ``faces/00.png`` on, where what is 1 in the fit is white, and
    ``recipes.csv`` with a line a face: the name of its picture, how it was made, and its
    weights. They are moved into place when all is written, or `folder` is as it was.

    Parameters
    ----------
    model : LatentFaces
        What the faces are made from.
    weights : array of shape (m, k)
        How much of each component.
    folder : path-like
        Where to. It is made; the folder that it lies in must be there.
    made : str
        How the faces came about, in words, for the table.
    force : bool, default=False
        Replace faces that were generated there earlier; a folder that holds anything else
        is refused.
    progress : callable, optional
        Is told how many faces are written, of how many.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OSError
        If the folder holds anything else, or cannot be written.
    """
    from PIL import Image

    recipes = [
        Recipe(f"{number}.png", made, tuple(row.tolist()))
        for number, row in zip(numbers(len(weights)), weights, strict=True)
    ]
    white = 255 / model.scale
    folder = Path(folder)
    with writing_folder(folder, "generated faces", force=force) as new:
        (new / "faces").mkdir()
        for done, (recipe, row) in enumerate(zip(recipes, weights, strict=True), start=1):
            picture = to_pixels(model.blend(row) * white, np.uint8)
            Image.fromarray(picture).save(new / "faces" / recipe.name)
            if progress is not None:
                progress(done, len(weights))
        save_recipes(new / "recipes.csv", recipes)
    return folder


def check_generated(folder: str | PathLike[str], *, force: bool = False) -> None:
    """Refuse, before the work, a folder that `write_generated` may not write to."""
    check_folder(Path(folder), "generated faces", force=force)
