"""What was measured for each number of components, and which one that speaks for."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.files import replacing

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.options import ChoiceOptions

__all__ = ["KChoice", "reason"]

# -- What was measured for each number of components, and which one that speaks for ----

_SAME = 0.02  # of the lowest error: a gain that no eye sees
_ZERO = 1e-4  # an error that is none: pixels of 8 bits are rounded to more
_CLEARLY = 0.05  # more stable: what random starts alone hardly make of two equal k


@dataclass(frozen=True, eq=False)
class KChoice:
    """Measures for several numbers of components k, in the order of k.

    Parameters
    ----------
    ks : array of int, shape (m,)
        The numbers of components, rising.
    errors : array of shape (m,)
        Relative error of the best fit of all (sampled) faces, 0 to 1.
    fold_errors : array of shape (m, n_folds)
        Relative error of the predictions of held-out pixels of held-out faces, for each
        part of the faces; see `held_out_error`.
    stabilities : array of shape (m,)
        Mean cosine of matched components over pairs of starts.
    unconverged : array of int, shape (m,)
        How many of the fits ended at `max_iter` iterations.
    models : dict of int to LatentFaces
        The best fit for each k, of the faces `faces`.
    faces : array of int, shape (f,)
        The faces that were looked at: all, or a sample of a large stack.
    n_faces : int
        Number of faces of the stack.
    options : ChoiceOptions
        Starts, parts and the most faces.
    """

    ks: NDArray[np.int_]
    errors: NDArray[np.float64]
    fold_errors: NDArray[np.float64]
    stabilities: NDArray[np.float64]
    unconverged: NDArray[np.int_]
    models: dict[int, LatentFaces]
    faces: NDArray[np.intp]
    n_faces: int
    options: ChoiceOptions

    def __len__(self) -> int:
        return len(self.ks)

    @property
    def is_sample(self) -> bool:
        """Whether only some of the faces were looked at."""
        return len(self.faces) < self.n_faces

    # -- the rule ---------------------------------------------------------------

    @cached_property
    def held_out(self) -> NDArray[np.float64]:
        """Held-out error of each k, the mean over the parts: shape (m,)."""
        means: NDArray[np.float64] = self.fold_errors.mean(axis=1)
        return means

    @cached_property
    def lowest(self) -> int:
        """Where in `ks` the held-out error is lowest."""
        self._check_any()
        return int(self.held_out.argmin())

    @cached_property
    def spread(self) -> NDArray[np.float64]:
        """Standard error of the difference to the lowest held-out error: shape (m,).

        The differences are taken part by part, as the same faces are hard for every k;
        at the lowest it is 0.
        """
        differences = self.fold_errors - self.fold_errors[self.lowest]
        n_folds = self.fold_errors.shape[1]
        errors: NDArray[np.float64] = differences.std(axis=1, ddof=1) / np.sqrt(n_folds)
        return errors

    @cached_property
    def as_good(self) -> NDArray[np.bool_]:
        """Whether the held-out error is as good as the lowest: shape (m,).

        That is within one standard error (`spread`), 2 % of it, or 0.0001. Only k next to
        one another up to the lowest count: with many k, a single one among worse neighbours
        is good by chance.
        """
        rise = self.held_out - self.held_out[self.lowest]
        least = max(_SAME * self.held_out[self.lowest], _ZERO)
        margin = np.maximum(self.spread, least)
        worse = np.flatnonzero(rise > margin)
        first = worse[worse < self.lowest].max(initial=-1) + 1
        last = worse[worse > self.lowest].min(initial=len(self)) - 1
        places = np.arange(len(self))
        good: NDArray[np.bool_] = (first <= places) & (places <= last)
        return good

    @cached_property
    def suggested(self) -> int:
        """The suggested number of components.

        The smallest that is as good as the lowest held-out error (`as_good`), unless one
        of the larger ones among these is clearly more stable: by a mean cosine of 0.05.
        """
        good = np.flatnonzero(self.as_good)
        smallest, stablest = good[0], good[self.stabilities[good].argmax()]
        gain = self.stabilities[stablest] - self.stabilities[smallest]
        return int(self.ks[stablest if gain >= _CLEARLY else smallest])

    @property
    def reason(self) -> str:
        """Why this number is suggested, in a few sentences."""
        return reason(self)

    @property
    def model(self) -> LatentFaces:
        """The model with the suggested number of components."""
        return self.models[self.suggested]

    def _check_any(self) -> None:
        if not len(self):
            raise ValueError("No number of components was measured to the end.")

    # -- as a table ---------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """Return the measures of each k as a dictionary of plain numbers."""
        if not len(self):
            return []
        return [self._row(i) for i in range(len(self))]

    def _row(self, i: int) -> dict[str, Any]:
        folds = enumerate(self.fold_errors[i].tolist(), start=1)
        return {
            "k": int(self.ks[i]),
            "relative_error": float(self.errors[i]),
            "held_out_error": float(self.held_out[i]),
            "standard_error_to_lowest": float(self.spread[i]),
            "stability": float(self.stabilities[i]),
            "unconverged_fits": int(self.unconverged[i]),
            "suggested": int(self.ks[i] == self.suggested),
            **{f"held_out_error_{fold}": error for fold, error in folds},
        }

    def save_csv(self, path: str | PathLike[str]) -> None:
        """Write the measures as a table with a head, a line for each k.

        Parameters
        ----------
        path : path-like
            The file; an existing one is replaced, whole or not at all.

        Raises
        ------
        OSError
            If it cannot be written.
        ValueError
            If nothing was measured.
        """
        self._check_any()
        rows = self.rows()
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        with replacing(path) as file:
            file.write(text.getvalue().encode())

    def __repr__(self) -> str:
        if not len(self):
            return "KChoice(nothing measured)"
        return f"KChoice(k={self.suggested} suggested of {self.ks.tolist()})"


# -- Why a number of components is suggested, in words ---------------------------------

_UNSTABLE = 0.8  # mean cosine under which the parts depend on the start


def reason(choice: KChoice) -> str:
    """Say which number a choice suggests, by which rule, and what speaks against it."""
    sentences = [_rule(choice), _flatness(choice), _edges(choice), _caution(choice)]
    return " ".join(filter(None, sentences))


def _rule(choice: KChoice) -> str:
    k, lowest = choice.suggested, choice.lowest
    at = int(np.searchsorted(choice.ks, k))
    error = f"{choice.held_out[at]:.4f}"
    if len(choice) == 1:
        return f"k = {k} is the only one measured: held-out error {error}."
    if at == lowest:
        return f"k = {k} has the lowest held-out error, {error}."
    best = f"the lowest ({choice.held_out[lowest]:.4f}, at k = {choice.ks[lowest]})"
    smallest = int(choice.ks[choice.as_good].min())
    if k == smallest:
        return (
            f"k = {k} is the smallest whose held-out error, {error}, is within one standard "
            f"error or 2 % of {best}."
        )
    return (
        f"k = {k}: its held-out error, {error}, is within one standard error or 2 % of {best}, "
        f"and its components are more stable ({choice.stabilities[at]:.2f}) than those of the "
        f"smallest such k, {smallest}."
    )


def _flatness(choice: KChoice) -> str:
    others = [int(k) for k in choice.ks[choice.as_good] if k != choice.suggested]
    if len(choice) == 1 or not others:
        return ""
    listed = ", ".join(map(str, others[:8])) + (" ..." if len(others) > 8 else "")
    return f"The data does not tell it from k = {listed}."


def _edges(choice: KChoice) -> str:
    if len(choice) == 1:
        return ""
    if choice.lowest == len(choice) - 1:
        return "The lowest is at the largest k tried: try larger ones, too."
    if choice.suggested == choice.ks[0] > 1:
        return "It is the smallest k tried: try smaller ones, too."
    return ""


def _caution(choice: KChoice) -> str:
    at = int(np.searchsorted(choice.ks, choice.suggested))
    sentences = []
    if choice.stabilities[at] < _UNSTABLE:
        sentences.append(
            f"Its components depend on the start (stability {choice.stabilities[at]:.2f})."
        )
    if fits := int(choice.unconverged[at]):
        sentences.append(f"{fits} of its fits did not converge: raise max_iter or tol.")
    if choice.is_sample:
        sentences.append(
            f"Measured on a random sample of {len(choice.faces)} of {choice.n_faces} faces."
        )
    return " ".join(sentences)
