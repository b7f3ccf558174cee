"""Why a number of components is suggested, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_latent_faces.choosing.choice import KChoice

__all__ = ["reason"]

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
