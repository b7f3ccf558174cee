"""Which numbers of components to measure, and in which order."""

from __future__ import annotations

import operator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_latent_faces.choosing.choice import KChoice

__all__ = ["check_ks", "further_ks", "parse_ks", "spread_out", "start_grid"]

_GRID_END, _SEARCH_END = 64, 128
_FINEST = 20  # neighbours of k that are nearer than k / 20 are not told apart
_LONGEST = 10_000  # numbers of a range: more are a slip of the finger


def check_ks(ks: Iterable[int], most: int, n_folds: int) -> list[int]:
    """Return the numbers in order, each once, or say what is wrong with them.

    Parameters
    ----------
    ks : iterable of int
        Numbers of components.
    most : int
        The largest that can be fitted when a part of the faces is held out.
    n_folds : int
        Number of parts, for the message.
    """
    try:
        numbers = sorted({operator.index(k) for k in ks})
    except TypeError:
        raise TypeError(f"ks must be whole numbers of components, got {ks!r}.") from None
    if not numbers:
        raise ValueError("ks is empty: give the numbers of components to measure.")
    for k in (numbers[0], numbers[-1]):
        if not 1 <= k <= most:
            raise ValueError(
                f"k must be from 1 to {most} (the faces left when one of {n_folds} parts is "
                f"held out), got {k}."
            )
    return numbers


def start_grid(most: int) -> list[int]:
    """Return the numbers that a search without any given begins with."""
    grid = [2**i for i in range(1, 7) if 2**i <= min(most, _GRID_END)]
    return grid or [1]


def spread_out(ks: list[int]) -> list[int]:
    """Return numbers in an order that soon shows the whole range: ends, middle, quarters."""
    places = {0: None, len(ks) - 1: None}
    step = len(ks) - 1
    while step > 1:
        step = -(-step // 2)
        places.update(dict.fromkeys(range(0, len(ks), step)))
    return [ks[place] for place in [*places, *set(range(len(ks))) - set(places)]]


def further_ks(choice: KChoice, most: int) -> list[int]:
    """Return which numbers to measure next, none when the suggestion is sharp enough.

    Parameters
    ----------
    choice : KChoice
        What is measured.
    most : int
        The largest number that can be measured.
    """
    ks = choice.ks.tolist()
    if choice.lowest == len(ks) - 1 and ks[-1] < min(most, _SEARCH_END):
        return [min(2 * ks[-1], most, _SEARCH_END)]
    at = int(np.searchsorted(choice.ks, choice.suggested))
    near = ks[max(at - 1, 0) : at + 2]
    if at == 0 and ks[0] > 1:
        near = [1, *near] if 1 not in near else near
    fine = max(1, choice.suggested // _FINEST)
    middles = [(low + high) // 2 for low, high in pairwise(near) if high - low > fine]
    if at == 0 and ks[0] > 1:
        middles.insert(0, 1)
    return [k for k in dict.fromkeys(middles) if k not in ks]


def parse_ks(text: str) -> list[int] | None:
    """Return the numbers that a user's text spells.

    Parameters
    ----------
    text : str
        ``"auto"``, numbers such as ``"2,4,8"``, or a range ``"from:to:step"`` such as
        ``"5:60:5"`` that includes its end; ranges and numbers may be mixed.

    Returns
    -------
    list of int or None
        None for ``"auto"``.

    Raises
    ------
    ValueError
        If it spells neither.
    """
    if text.strip().lower() == "auto":
        return None
    try:
        return [k for part in text.split(",") for k in _parse_range(part)]
    except ValueError:
        raise ValueError(
            f"k must be 'auto', numbers such as '2,4,8', or 'from:to:step' such as '5:60:5', "
            f"got {text!r}."
        ) from None


def _parse_range(part: str) -> list[int]:
    first, *rest = map(int, part.split(":"))
    if not rest:
        return [first]
    last, step = (*rest, 1)[:2]
    if len(rest) > 2 or step < 1 or last < first or last - first > _LONGEST * step:
        raise ValueError(part)
    return list(range(first, last + 1, step))
