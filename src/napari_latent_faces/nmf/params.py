"""The parameters of a fit: one object for the form, the solver, the file and the command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_latent_faces.parameters import Parameters, parameter

__all__ = ["NMFParams"]


@dataclass(frozen=True)
class NMFParams(Parameters):
    """Parameters of a non-negative matrix factorization, as in scikit-learn.

    Every name keeps the meaning it has in :class:`sklearn.decomposition.NMF`; the solver
    ``"multilevel"`` is this package's own.

    Parameters
    ----------
    n_components : int, default=20
        How many latent faces to look for: 1 up to the number of faces.
    init : {None, "nndsvd", "nndsvda", "nndsvdar", "random", "custom"}, default=None
        How the factors start. None is ``"nndsvda"``, or ``"random"`` when there are
        more components than pixels; ``"custom"`` is the `start` that `iter_fit` is given.
    solver : {"multilevel", "cd", "mu"}, default="multilevel"
        ``"multilevel"`` fits small pictures first and then the full ones, block by
        block: many times faster than the others, to the same or a lower error.
        ``"cd"`` and ``"mu"`` are scikit-learn's coordinate descent and multiplicative
        updates (the only one for losses other than ``"frobenius"``).
    beta_loss : {"frobenius", "kullback-leibler", "itakura-saito"}, default="frobenius"
        What the factors minimise.
    max_iter : int, default=200
        The most iterations to make. Those of ``"multilevel"`` on small pictures count;
        they are at most half.
    tol : float, default=1e-4
        When to stop earlier; 0 means never. For ``"multilevel"`` the fall of the error
        (of the root of the loss, with penalties) in an iteration relative to the error,
        twice in a row; for ``"cd"`` the projected gradient relative to its start, for
        ``"mu"`` the fall of the loss over ten iterations relative to its start.
    alpha_W : float, default=0.0
        Strength of the penalty on the weights.
    alpha_H : float or "same", default="same"
        Strength of the penalty on the components; ``"same"`` takes `alpha_W`.
    l1_ratio : float, default=0.0
        Share of the penalty that is L1 (sparse), from 0 to 1; the rest is L2.
    random_state : int or None, default=42
        Seed. None draws a new one for each fit.

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range; the message names the field and the range.
    """

    max_iter: int = parameter(
        200, "Max. iterations", "The most iterations to make (max_iter).", min=1, advanced=True
    )
    tol: float = parameter(
        1e-4,
        "Tolerance",
        "Stop when an iteration lowers the error by less than this share (multilevel), or "
        "when the projected gradient (cd) or the fall of the loss (mu) is this small, "
        "relative to the start (tol). 0 never stops early.",
        min=0.0,
        advanced=True,
    )
    init: Literal["nndsvd", "nndsvda", "nndsvdar", "random"] | None = parameter(
        None,
        "Start",
        "How components and weights start (init). None is nndsvda: from the singular "
        "vectors of the stack.",
        choices=("nndsvd", "nndsvda", "nndsvdar", "random"),
        unlisted=("custom",),
        optional=True,
        advanced=True,
    )
    solver: Literal["multilevel", "cd", "mu"] = parameter(
        "multilevel",
        "Solver",
        "multilevel: the fastest, from coarse to fine. cd: coordinate descent. mu: "
        "multiplicative updates, needed for losses other than frobenius (solver).",
        choices=("multilevel", "cd", "mu"),
        advanced=True,
    )
    beta_loss: Literal["frobenius", "kullback-leibler", "itakura-saito"] = parameter(
        "frobenius",
        "Loss",
        "What is minimised (beta_loss): squared differences (frobenius), or a divergence for "
        "counts (kullback-leibler) or relative differences (itakura-saito).",
        choices=("frobenius", "kullback-leibler", "itakura-saito"),
        advanced=True,
    )
    alpha_W: float = parameter(
        0.0,
        "Penalty on weights",
        "Keeps weights small (alpha_W). 0: none.",
        min=0.0,
        advanced=True,
    )
    alpha_H: float | Literal["same"] = parameter(
        "same",
        "Penalty on components",
        "Keeps components small (alpha_H). 'same': as on the weights.",
        min=0.0,
        choices=("same",),
        advanced=True,
    )
    l1_ratio: float = parameter(
        0.0,
        "L1 ratio",
        "Share of the penalties that asks for zeros, from 0 to 1 (l1_ratio).",
        min=0.0,
        max=1.0,
        advanced=True,
    )

    method = "nmf"
    title = "NMF"
    summary = "Adds up non-negative parts: foreheads, beards, light from one side."
    coding = "non-negative"
    takes_mask = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta_loss != "frobenius" and self.solver != "mu":
            raise ValueError(
                f"solver={self.solver!r} works for beta_loss='frobenius' only; "
                f"choose solver='mu' for beta_loss={self.beta_loss!r}."
            )
