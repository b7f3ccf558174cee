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

__all__ = ["KChoice"]


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

    @cached_property
    def held_out(self) -> NDArray[np.float64]:
        """Held-out error of each k, the mean over the parts: shape (m,)."""
        means: NDArray[np.float64] = self.fold_errors.mean(axis=1)
        return means

    @cached_property
    def lowest(self) -> int:
        """Where in `ks` the held-out error is lowest."""
        if not len(self):
            raise ValueError("No number of components was measured to the end.")
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
        # 2 % no eye sees, and pixels of 8 bits are rounded to more than 0.0001
        margin = np.maximum(self.spread, max(0.02 * self.held_out[self.lowest], 1e-4))
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
        return int(self.ks[stablest if gain >= 0.05 else smallest])

    @cached_property
    def reason(self) -> str:
        """Why this number is suggested and what speaks against it, in a few sentences."""
        k, lowest, at = self.suggested, self.lowest, self._at_suggested
        error, good = f"{self.held_out[at]:.4f}", self.ks[self.as_good].tolist()
        as_good = (
            f"within one standard error or 2 % of the lowest ({self.held_out[lowest]:.4f}, at "
            f"k = {self.ks[lowest]})"
        )
        if len(self) == 1:
            sentences = [f"k = {k} is the only one measured: held-out error {error}."]
        elif at == lowest:
            sentences = [f"k = {k} has the lowest held-out error, {error}."]
        elif k == good[0]:
            sentences = [
                f"k = {k} is the smallest whose held-out error, {error}, is {as_good}."
            ]
        else:
            words = (
                f"k = {k}: its held-out error, {error}, is {as_good}, and its components are "
                f"more stable ({self.stabilities[at]:.2f}) than those of the smallest such k, "
                f"{good[0]}."
            )
            sentences = [words]
        if others := [str(each) for each in good if each != k]:
            more = " ..." if len(others) > 8 else ""
            sentences.append(
                f"The data does not tell it from k = {', '.join(others[:8])}{more}."
            )
        return " ".join([*sentences, *self._cautions()])

    def _cautions(self) -> list[str]:
        at, sentences = self._at_suggested, []
        if 1 < len(self) == self.lowest + 1:
            sentences.append("The lowest is at the largest k tried: try larger ones, too.")
        elif len(self) > 1 and at == 0 and self.suggested > 1:
            sentences.append("It is the smallest k tried: try smaller ones, too.")
        if self.stabilities[at] < 0.8:
            sentences.append(
                f"Its components depend on the start (stability {self.stabilities[at]:.2f})."
            )
        if fits := int(self.unconverged[at]):
            sentences.append(f"{fits} of its fits did not converge: raise max_iter or tol.")
        if self.is_sample:
            sentences.append(
                f"Measured on a random sample of {len(self.faces)} of {self.n_faces} faces."
            )
        return sentences

    @property
    def _at_suggested(self) -> int:
        return int(np.searchsorted(self.ks, self.suggested))

    @property
    def model(self) -> LatentFaces:
        """The model with the suggested number of components."""
        return self.models[self.suggested]

    def rows(self) -> list[dict[str, Any]]:
        """Return the measures of each k as a dictionary of plain numbers."""
        return [
            {
                "k": k,
                "relative_error": float(self.errors[i]),
                "held_out_error": float(self.held_out[i]),
                "standard_error_to_lowest": float(self.spread[i]),
                "stability": float(self.stabilities[i]),
                "unconverged_fits": int(self.unconverged[i]),
                "suggested": int(k == self.suggested),
                **{
                    f"held_out_error_{fold}": error
                    for fold, error in enumerate(self.fold_errors[i].tolist(), start=1)
                },
            }
            for i, k in enumerate(self.ks.tolist())
        ]

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
        if not (rows := self.rows()):
            raise ValueError("No number of components was measured to the end.")
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
