"""New faces are new weights: which are usual, made by hand or by chance, and written down."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_latent_faces.encoding import LazyReconstruction
from napari_latent_faces.export import GENERATED, component_heads, save_table, write_pictures
from napari_latent_faces.files import writing_folder
from napari_latent_faces.solvers.blocks import importing
from napari_latent_faces.stack import as_pixels
from napari_latent_faces.steps import consume

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from os import PathLike

    from numpy.typing import DTypeLike, NDArray

    from napari_latent_faces.export import Count
    from napari_latent_faces.model import LatentFaces

    Weights = Sequence[float] | NDArray[Any]
    Face = int | Weights  # a face of a model, or weights (k,)
    Floats = NDArray[np.float64]

_MOST_FACES = 20_000  # that quantiles and correlations are found from
_USUAL, _FAR = 0.99, 3.0  # quantile and standard deviations that few faces go beyond


def as_weights(model: LatentFaces, face: Face) -> Floats:
    """Return the weights (k,) of a face of the model, or a checked copy of weights."""
    if isinstance(face, (int, np.integer)):
        n = len(model.weights)
        if not 0 <= face < n:
            raise IndexError(f"There is no face {face}: the model has {n}, counted from 0.")
        return np.array(model.weights[face], np.float64)
    weights = np.array(face, np.float64)
    if weights.shape != (model.n_components,):
        wanted = f"{model.n_components} weights are needed, one a component"
        raise ValueError(f"{wanted}; got the shape {weights.shape}.")
    if not np.isfinite(weights).all():
        raise ValueError("Weights must be numbers, neither NaN nor infinite.")
    return weights


def weight_ranges(model: LatentFaces) -> tuple[Floats, Floats]:
    """Return the lowest and highest usual weights (k, 2), and their units (k,)."""
    weights = _some_rows(model.weights).astype(np.float64)
    used = [column[column != 0] for column in weights.T]
    if model.is_signed:
        units = np.array([np.sqrt(np.square(each).mean()) if len(each) else 1 for each in used])
        return np.outer(units, [-_FAR, _FAR]), units
    highest = [np.quantile(each, _USUAL) if len(each) else 1 for each in used]
    return np.outer(highest, [0, 1]), np.ones(len(used))


def _some_rows(weights: NDArray[Any]) -> NDArray[Any]:
    """Return the rows of `weights`, or of very many a random part, always the same."""
    n = len(weights)
    if n <= _MOST_FACES:
        return weights
    return weights[np.sort(np.random.default_rng(0).choice(n, _MOST_FACES, replace=False))]


def mean_weights(model: LatentFaces) -> Floats:
    """Return the weights (k,) of the mean face: 0 where a model adds to a mean face."""
    mean: Floats = model.weights.mean(axis=0, dtype=np.float64)
    return mean if model.mean is None else np.zeros_like(mean)


def mattering(
    model: LatentFaces, weights: NDArray[Any], share: float = 0.9
) -> NDArray[np.intp]:
    """Return the fewest components that carry a share of a mixed face, or of the model's."""
    rows = model.components.reshape(model.n_components, -1)
    carried = np.abs(weights) * np.abs(rows).sum(axis=1, dtype=np.float64)
    if not carried.any():
        carried = model.shares
    order = np.argsort(-carried, kind="stable")
    total = np.cumsum(carried[order])
    return np.sort(order[: np.searchsorted(total, share * total[-1]) + 1])


def listed(
    model: LatentFaces, weights: NDArray[Any], which: str = "all", numbers: str = ""
) -> list[int]:
    """Return which components "matter", are "used", or "all", or those of ``"3, 10-20"``."""
    every = range(model.n_components)
    if numbers.strip():
        ranges = re.findall(r"(\d+)(?:\s*-\s*(\d+))?", numbers)
        spans = [range(int(first), int(last or first) + 1) for first, last in ranges]
        return [i for i in every if any(i in span for span in spans)]
    if which == "matter":
        return [int(i) for i in mattering(model, weights)]
    return [i for i in every if which == "all" or weights[i]]


def morph(model: LatentFaces, a: Face, b: Face, steps: int) -> Floats:
    """Return the weights (steps, k) on the way from one face, or weights, to another."""
    if steps < 2:
        raise ValueError(f"steps must be 2 or more, both ends included; got {steps}.")
    return np.linspace(as_weights(model, a), as_weights(model, b), steps)


def to_pixels(faces: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Return floats in the units of the faces as pixels of a type; of booleans, as floats."""
    dtype = np.dtype(dtype)
    return faces.copy() if dtype.kind == "b" else as_pixels(faces, dtype)


class Mix:
    """The weights of a mixed face, which begin with nothing or with what is given, and undo.

    `weights`, those that `reset` goes back to (`start`), and `pixels`, the mixed face in the
    units of the faces, are to be looked at only. `changed` is emitted after every change, with
    the component that changed, or None if several may have. Of the steps, `depth` can be
    undone. Weights that the model cannot have raise ValueError: not finite, or below 0 unless
    it is signed.
    """

    changed = Signal(object)

    def __init__(
        self, model: LatentFaces, weights: Weights | None = None, *, depth: int = 200
    ) -> None:
        self.model, self._depth = model, depth
        nothing = np.zeros(model.n_components)
        self.start = self._checked(nothing if weights is None else weights)
        self._states = [self.start]  # that undo and redo go through
        self._place, self._is_dragged = 0, False
        self.weights, self.pixels = self.start, model.blend(self.start)
        self._held: int | None = None  # the component that changes while `_rest` stays

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to undo."""
        return self._place > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone step."""
        return self._place < len(self._states) - 1

    def set_weight(self, component: int, weight: float) -> None:
        """Change one weight: a step, or a part of the one that `begin` began."""
        if self.weights[component] == weight:
            return
        weights = self.weights.copy()
        weights[component] = weight
        self.weights = self._checked(weights)
        # what all the others make is kept; a sum of two, so that no error builds up
        if component != self._held:
            weights[component] = 0
            self._held, self._rest = component, self.model.blend(weights)
        amount = self.pixels.dtype.type(weight * self.model.scale)
        np.multiply(self.model.components[component], amount, out=self.pixels)
        self.pixels += self._rest
        self._remember()
        self.changed.emit(component)

    def set_weights(self, weights: Weights) -> None:
        """Change all weights (k,): a step, or a part of the one that `begin` began."""
        checked = self._checked(weights)
        if not np.array_equal(checked, self.weights):
            self._show(checked)
            self._remember()

    def start_from(self, weights: Weights) -> None:
        """Change all weights, and make them what `reset` goes back to."""
        self.start = self._checked(weights)
        self.set_weights(self.start)

    def reset(self) -> None:
        """Go back to the start: a step that can be undone."""
        self.set_weights(self.start)

    def begin(self) -> None:
        """Begin a step of many changes, such as the drag of a slider."""
        self._is_dragged = True

    def end(self) -> None:
        """End the step that `begin` began; without any change there was none."""
        self._is_dragged = False
        self._remember()

    def undo(self) -> None:
        """Take the last step back, if there is one."""
        self._go(-1)

    def redo(self) -> None:
        """Take the last undone step again, if there is one."""
        self._go(1)

    def _go(self, step: int) -> None:
        self.end()
        if 0 <= self._place + step < len(self._states):
            self._place += step
            self._show(self._states[self._place])

    def _remember(self) -> None:
        is_new = not np.array_equal(self.weights, self._states[self._place])
        if is_new and not self._is_dragged:
            self._states[self._place + 1 :] = [self.weights]
            del self._states[: -self._depth - 1]
            self._place = len(self._states) - 1

    def _show(self, weights: Floats) -> None:
        self.weights, self.pixels = weights, self.model.blend(weights)
        self._held = None
        self.changed.emit(None)

    def _checked(self, weights: Weights) -> Floats:
        checked = as_weights(self.model, weights)
        if not self.model.is_signed and (checked < 0).any():
            raise ValueError("Weights must be 0 or more: this model only adds components.")
        checked.flags.writeable = False
        return checked


class WeightSampler:
    """Draws random weights from the distribution of a model's weights.

    A Gaussian copula with empirical marginals: every weight keeps its own distribution, zeros
    included, and the weights keep their rank correlations (R. B. Nelsen: An Introduction to
    Copulas, 2006, doi:10.1007/0-387-28678-0). Weights of 0 share a rank, which weakens the
    correlations of the scores: those that are drawn are raised until the weights have the rank
    correlations of the fitted ones. Of no more faces than components these are mostly noise,
    and are shrunk towards 0 by its share (J. Schaefer, K. Strimmer 2005,
    doi:10.2202/1544-6115.1175). Of very many faces a random part tells both.
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
        near: Face | None = None,
        strength: float = 0.7,
    ) -> NDArray[Any]:
        """Draw the weights (n, k) of random faces, the same ones for a seed.

        They stay close to the face `near` of the model, or to weights: from `strength` 0, which
        says nothing, to 1, which is that face. The Gaussian numbers z of a face become
        ``s * z + sqrt(1 - s**2) * random``, so that the strength s is their correlation with
        the new ones. Over all faces to stay close to, each weight keeps its distribution.
        """
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must be from 0 to 1, got {strength}.")
        with importing():
            from scipy.special import ndtr, ndtri

        rng, dtype = np.random.default_rng(random_state), self.model.weights.dtype
        z = rng.standard_normal((n, len(self._used))) @ self._factor.T
        columns = list(zip(self._zeros, self._used, strict=True))
        if near is not None:
            centre = as_weights(self.model, near)
            if strength == 1:
                return np.tile(centre, (n, 1)).astype(dtype)
            # the share of faces below each weight, a zero at a random place of zeros
            grades = rng.random(z.shape) * self._zeros
            for j, (zeros, used) in enumerate(columns):
                if (m := len(used)) and not (zeros > 0 and centre[j] <= 0):
                    place = (np.interp(centre[j], used, np.arange(m)) + 0.5) / m
                    grades[:, j] = zeros + (1 - zeros) * place
            scores = ndtri(np.clip(grades, 1e-12, 1 - 1e-12))
            z = strength * scores + np.sqrt(1 - strength**2) * z
        grades = np.asarray(ndtr(z), np.float64)
        drawn = np.zeros(z.shape, dtype)
        for j, (zeros, used) in enumerate(columns):
            if m := len(used):
                place = (grades[:, j] - zeros) / (1 - zeros) * m - 0.5
                found = np.interp(place, np.arange(m), used)
                drawn[:, j] = np.where(grades[:, j] > zeros, found, 0.0)
        return drawn


def _copula_factor(weights: Floats, zeros: Floats) -> Floats:
    """Return F, (k, k): weights made of ``z @ F.T`` have the rank correlations of these."""
    with importing():
        from scipy.special import ndtr

    n, k = weights.shape
    ordered = np.sort(weights, axis=0)
    ranks = np.empty_like(weights)  # of equal weights, the mean
    for j, column in enumerate(ordered.T):
        below, up_to = (np.searchsorted(column, weights[:, j], s) for s in ("left", "right"))
        ranks[:, j] = (below + up_to) / 2
    wanted = _correlations(ranks)
    if n <= k:
        above = wanted[np.triu_indices(k, 1)]
        noise, whole = np.sum((1 - above**2) ** 2) / max(n - 1, 1), np.sum(above**2)
        wanted *= 1 - min(1.0, noise / whole) if whole > 0 else 0.0
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
        angles += 1.5 * (wanted - _correlations(np.where(grades > zeros, grades, zeros / 2)))
        np.clip(angles, -np.pi / 2, np.pi / 2, out=angles)
    return factor


def _correlations(columns: Floats) -> Floats:
    """Return the correlations of columns; one that never changes has none with the others."""
    centred = columns - columns.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=0)
    centred /= np.where(lengths > 0, lengths, 1.0)
    found: Floats = np.clip(centred.T @ centred, -1.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return found


def sample_weights(
    model: LatentFaces,
    n: int,
    random_state: int | np.random.Generator | None = None,
    near: Face | None = None,
    strength: float = 0.7,
) -> NDArray[Any]:
    """Draw the weights (n, k) of random faces of a model, as `WeightSampler.draw` does."""
    return WeightSampler(model).draw(n, random_state, near=near, strength=strength)


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
    texts = {name: [getattr(each, name) for each in recipes] for name in ("name", "made")}
    save_table(path, heads, (each.weights for each in recipes), texts)


def write_generated(
    model: LatentFaces,
    weights: NDArray[Any],
    folder: str | PathLike[str],
    *,
    made: str = "",
    force: bool = False,
) -> Path:
    """Write mixed faces with weights (m, k) into a folder, which `export_model` explains.

    An 8-bit picture a face, ``faces/00.png`` on, where what is 1 in the fit is white, and
    ``recipes.csv`` with the name of each picture, how it was `made`, and its weights.
    """
    consume(iter_generated(model, weights, Path(folder), made=made, force=force))
    return Path(folder)


def iter_generated(
    model: LatentFaces, weights: NDArray[Any], folder: Path, *, made: str, force: bool
) -> Generator[Count]:
    """Do what `write_generated` does, in steps."""
    in_8_bits = LazyReconstruction(replace(model, weights=weights, scale=255.0))
    with writing_folder(folder, GENERATED, force=force) as new:
        pictures = yield from write_pictures(in_8_bits, np.dtype(np.uint8), new / "faces")
        named = zip(pictures, weights.tolist(), strict=True)
        recipes = [Recipe(Path(name).name, made, tuple(row)) for name, row in named]
        save_recipes(new / "recipes.csv", recipes)
