"""What a model tells of a face, as rows of small pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces._widgets.strip import StripItem
from napari_latent_faces.explain import Explainer, Parts, build_up, shrunk
from napari_latent_faces.nearest import NearestFaces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["LONGEST", "MEAN", "Explained"]

LONGEST = 96
"""Pixels of a small picture's side: enough for screens with fine pixels."""


MEAN = -1
"""Stands for the mean face in the rows of components."""


@dataclass(frozen=True, eq=False)
class Explained:
    """What is prepared once for a model, and asked at every move of the slider.

    Parameters
    ----------
    model : LatentFaces
        The model.
    explainer : Explainer
        What builds its faces.
    nearest : NearestFaces
        Which of them are alike.
    components : array of shape (k, h, w)
        Its components, in small.
    mean : array of shape (h, w) or None
        The mean face that they are added to, in small, if the model has one.
    """

    model: LatentFaces
    explainer: Explainer
    nearest: NearestFaces
    components: NDArray[Any]
    mean: NDArray[Any] | None

    @classmethod
    def of(cls, model: LatentFaces) -> Explained:
        """Prepare a model; for large ones this takes a second."""
        small = shrunk(model.components, LONGEST)
        mean = None if model.mean is None else shrunk(model.mean, LONGEST)
        return cls(model, Explainer(model), NearestFaces(model), small, mean)

    def built(self, face: int) -> NDArray[Any]:
        """Return the small reconstruction of a face, in its own units."""
        weights = self.model.weights[face] * self.model.components.dtype.type(self.model.scale)
        picture: NDArray[Any] = np.tensordot(weights, self.components, 1)
        if self.mean is not None:
            picture += self.mean * picture.dtype.type(self.model.scale)
        return picture

    def name(self, face: int) -> str:
        """Return the name of a face, else its number."""
        names = self.model.provenance.names
        return names[face] if names else f"face {face}"

    def lines(self, face: int) -> list[str]:
        """Return name, subject and number of a face."""
        subjects = self.model.provenance.subjects
        subject = [f"subject {subjects[face]}"] if subjects else []
        return [self.name(face), *subject, f"{face + 1} of {len(self.model.weights)}"]

    def part_items(
        self, parts: Parts, face: int, limits: tuple[float, float]
    ) -> list[StripItem]:
        """Return weight x picture of each part, all brightened alike, after the mean face."""
        signed = self.model.is_signed
        levels = parts.weights / (np.abs(parts.weights).max(initial=0) or 1)
        return self._mean_item(limits) + [
            StripItem(
                i,
                self.components[i] * level,
                (0, 1),
                f"#{i}\n{_sign(level) if signed else ''}{share:.1%}",
                self.explainer.caption(i, face),
                signed,
            )
            for i, level, share in zip(
                parts.components.tolist(), levels, parts.shares.tolist(), strict=True
            )
        ]

    def sum_items(self, parts: Parts, limits: tuple[float, float]) -> list[StripItem]:
        """Return the sums of the first part, the first two, and so on, from the mean face.

        `limits` are in the units of the faces.
        """
        steps = build_up(self.components[parts.components], parts.weights, self.mean)
        shown = self._shown(limits)
        reached = np.cumsum(parts.shares).tolist()
        return self._mean_item(limits) + [
            StripItem(i, step, shown, f"{n}\n{share:.0%}", f"the first {n}: {share:.1%}")
            for n, (i, step, share) in enumerate(
                zip(parts.components.tolist(), steps, reached, strict=True), 1
            )
        ]

    def _mean_item(self, limits: tuple[float, float]) -> list[StripItem]:
        """Return what the sums begin with, if it is not black."""
        if self.mean is None:
            return []
        hint = "the mean face, which the components are added to"
        return [StripItem(MEAN, self.mean, self._shown(limits), "mean\nface", hint)]

    def _shown(self, limits: tuple[float, float]) -> tuple[float, float]:
        """Return what is black and white in the units of the fit."""
        low, high = limits
        return low / self.model.scale, high / self.model.scale

    def face_items(
        self,
        faces: Iterable[int],
        values: Iterable[float],
        small: Callable[[int], NDArray[Any] | None],
        limits: tuple[float, float],
        what: str,
    ) -> list[StripItem]:
        """Return faces, each with a number; `what` says what the number is.

        What is built of a face stands in for one whose small picture is not known yet.
        """
        items = []
        for face, value in zip(faces, values, strict=True):
            seen = small(face)
            pixels = self.built(face) if seen is None else seen
            text, hint = (
                f"{self._who(face)}\n{value:.3g}",
                f"{self.name(face)}: {what} {value:.3g}",
            )
            items.append(StripItem(face, pixels, limits, text, hint))
        return items

    def _who(self, face: int) -> str:
        """Return the subject of a face, else its file's name."""
        subjects = self.model.provenance.subjects
        return subjects[face] if subjects else self.name(face).rpartition("/")[2]


def _sign(number: float) -> str:
    return "\N{MINUS SIGN}" if number < 0 else "+"
