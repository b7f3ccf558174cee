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

    from napari_latent_faces.choosing.options import ChoiceOptions
    from napari_latent_faces.model import LatentFaces

__all__ = ["KChoice"]

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
        from napari_latent_faces.choosing.words import reason

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
