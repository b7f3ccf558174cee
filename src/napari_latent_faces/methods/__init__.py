"""Other factorizations than our own NMF, from scikit-learn, for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_latent_faces.methods.params import (
    DictionaryParams,
    ICAParams,
    KMeansParams,
    MiniBatchNMFParams,
    PCAParams,
)
from napari_latent_faces.nmf.params import NMFParams

if TYPE_CHECKING:
    from napari_latent_faces.parameters import Parameters

__all__ = [
    "METHODS",
    "DictionaryParams",
    "ICAParams",
    "KMeansParams",
    "MiniBatchNMFParams",
    "PCAParams",
    "params_of",
]

METHODS: dict[str, type[Parameters]] = {
    kind.method: kind
    for kind in (
        NMFParams,
        PCAParams,
        ICAParams,
        DictionaryParams,
        MiniBatchNMFParams,
        KMeansParams,
    )
}
"""The parameters of each method by its name, in the order in which they are offered."""


def params_of(method: str, **values: Any) -> Parameters:
    """Return the parameters of a method.

    Raises
    ------
    ValueError
        If there is no such method, or it has no such parameter; the message names it.
    """
    kind = METHODS.get(method)
    if kind is None:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
    for name in values:
        if name not in kind.names():
            raise ValueError(f"{name} is no parameter of the method {method!r}.")
    return kind(**values)
