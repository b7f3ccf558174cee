"""Parameters of all methods: they make the form, the command line, the file and the script."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "METHODS",
    "Coding",
    "DictionaryParams",
    "ICAParams",
    "KMeansParams",
    "MiniBatchNMFParams",
    "NMFParams",
    "PCAParams",
    "Parameters",
    "about",
    "changed",
    "check_fields",
    "parameter",
    "params_of",
    "takers",
]

# -- Frozen dataclasses of parameters: what their fields tell, and how values are checked

Coding = Literal["non-negative", "signed", "sparse", "one-hot"]


def about(label: str, text: str, **limits: Any) -> dict[str, Any]:
    """Return the metadata of a field: its label, explanation and limits.

    Limits are ``min`` and ``max`` (inclusive), ``choices``, ``optional`` (None is
    allowed), ``advanced`` (out of sight until asked for) and ``slider`` (how a form asks).
    """
    return {"label": label, "help": text, **limits}


def parameter(default: Any, label: str, text: str, **limits: Any) -> Any:
    """Declare a field with its default, label, explanation and limits (see `about`)."""
    return field(default=default, metadata=about(label, text, **limits))


def changed(values: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their defaults, by name."""
    pairs = {each.name: (getattr(values, each.name), each.default) for each in fields(values)}
    return {name: value for name, (value, default) in pairs.items() if value != default}


@dataclass(frozen=True)
class Parameters:
    """Base of the parameters of a method: what all have, and how they are checked.

    Parameters
    ----------
    n_components : int, default=20
        How many components to look for.
    random_state : int or None, default=42
        Seed of whatever a method leaves to chance. None draws a new one for each fit.

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range; the message names the field and the range.

    Attributes
    ----------
    method : str
        Name of the method, as files and the command line have it.
    title : str
        Its name as people read it.
    summary : str
        What it does to faces, in one sentence.
    coding : {"non-negative", "signed", "sparse", "one-hot"}
        How the weights of a face are found for given components: non-negative least
        squares, least squares, least squares with a penalty on the size of the weights,
        or all on the nearest component.
    is_signed : bool
        Whether components and weights can be negative.
    takes_mask : bool
        Whether a fit can leave pixels out.
    """

    method: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    coding: ClassVar[Coding]

    is_signed: ClassVar[bool] = False
    takes_mask: ClassVar[bool] = False

    n_components: int = parameter(
        20, "Components", "How many latent faces to look for (n_components).", min=1
    )
    random_state: int | None = parameter(
        42,
        "Random state",
        "Seed: the same number gives the same result (random_state).",
        min=0,
        max=2**32 - 1,
        optional=True,
    )

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return what the parameters are called."""
        return tuple(declared.name for declared in fields(cls))

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as a plain dictionary."""
        return asdict(self)

    def changed(self) -> dict[str, Any]:
        """Return the parameters that differ from their defaults."""
        return changed(self)


def check_fields(values: Any, *, leave: Collection[str] = ()) -> None:
    """Give the fields of a frozen dataclass their plain types, or say which is wrong."""
    for declared in fields(values):
        if declared.name not in leave:
            value = _checked(declared, getattr(values, declared.name))
            object.__setattr__(values, declared.name, value)


def _checked(declared: Any, value: Any) -> Any:
    """Return `value` as the plain type of its field, or say what is wrong with it."""
    limits = declared.metadata
    choices = limits.get("choices", ())
    # some values are for scripts only: neither form nor command line offers them
    if value in (*choices, *limits.get("unlisted", ())) or (
        value is None and limits.get("optional")
    ):
        return value
    if "min" not in limits:
        raise ValueError(f"{declared.name} must be {_range(limits)}, got {value!r}.")
    whole = declared.type.startswith("int")
    try:
        number = int(value) if whole else float(value)
        fits = number == value and not isinstance(value, (bool, str))
    except (TypeError, ValueError):
        fits = False
    if not fits:
        kind = "a whole number" if whole else "a number"
        raise TypeError(f"{declared.name} must be {kind} ({_range(limits)}), got {value!r}.")
    if not limits["min"] <= number <= limits.get("max", float("inf")) or number == float("inf"):
        raise ValueError(f"{declared.name} must be {_range(limits)}, got {value!r}.")
    return number


def _range(limits: Any) -> str:
    """Spell out which values a field takes."""
    words = []
    if "max" in limits:
        words.append(f"from {limits['min']} to {limits['max']}")
    elif "min" in limits:
        words.append(f"{limits['min']} or more")
    words += [repr(choice) for choice in limits.get("choices", ())]
    if limits.get("optional"):
        words.append("None")
    return " or ".join(words)


# -- The parameters of a fit: one object for the form, the solver, the file and the command


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
    sparseness : float or None, default=None
        How sparse each component is at least, from 0 to 0.95, for the solver
        ``"multilevel"``: ``(sqrt(p) - L1 / L2) / (sqrt(p) - 1)`` of its p values that no
        mask hides (P. O. Hoyer, Journal of Machine Learning Research 5 (2004),
        doi:10.5555/1005332.1044709). 0 and None ask for nothing: faces then come to 0.3 or
        so; at 0.5 and more, components are parts of faces.
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
    sparseness: float | None = parameter(
        None,
        "Whole faces - Parts",
        "How sparse each component is at least, by Hoyer's measure (sparseness). 0: as NMF "
        "finds them, mostly whole faces. 0.5 and more: parts of faces.",
        min=0.0,
        max=0.95,
        optional=True,
        slider=True,
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
        if not self.sparseness:
            object.__setattr__(self, "sparseness", None)
        elif self.solver != "multilevel":
            raise ValueError(
                f"solver={self.solver!r} cannot keep components sparse; choose "
                f"solver='multilevel' for sparseness={self.sparseness!r}."
            )


# -- The parameters of the other methods, one frozen dataclass each --------------------

# what several methods share is the same field, so that a form shows it once
_PASSES = about(
    "Max. passes", "How often all faces are seen, at most (max_iter).", min=1, advanced=True
)
_FALL = about(
    "Tolerance",
    "Stop when a pass over all faces lowers the error by less than this share (tol). 0 "
    "never stops early.",
    min=0.0,
    advanced=True,
)
_BATCH = about(
    "Batch size",
    "How many faces are learned from at a time (batch_size).",
    min=1,
    advanced=True,
)


@dataclass(frozen=True)
class PCAParams(Parameters):
    """Parameters of principal component analysis: eigenfaces.

    Parameters
    ----------
    n_components : int, default=20
        How many components: 1 up to the number of faces less one.
    random_state : int or None, default=42
        Seed of the solver ``"randomized"``.
    svd_solver : {"auto", "full", "randomized", "incremental"}, default="auto"
        ``"full"`` and ``"randomized"`` are those of :class:`sklearn.decomposition.PCA`,
        ``"incremental"`` is :class:`sklearn.decomposition.IncrementalPCA`, which reads
        the faces block by block. ``"auto"`` is incremental for stacks of more than 2**27
        pixels (512 MB as float32), else scikit-learn's own choice.

    References
    ----------
    M. Turk, A. Pentland: Eigenfaces for recognition. Journal of Cognitive Neuroscience 3
    (1991), doi:10.1162/jocn.1991.3.1.71.
    """

    method = "pca"
    title = "PCA (eigenfaces)"
    summary = "The directions in which faces differ most from their mean, light and dark."
    coding = "signed"
    is_signed = True

    svd_solver: Literal["auto", "full", "randomized", "incremental"] = parameter(
        "auto",
        "Solver",
        "full: exact. randomized: nearly so, and faster. incremental: block by block, "
        "for stacks that do not fit in memory. auto: by the size of the stack "
        "(svd_solver).",
        choices=("auto", "full", "randomized", "incremental"),
        advanced=True,
    )


@dataclass(frozen=True)
class ICAParams(Parameters):
    """Parameters of independent component analysis (FastICA).

    Parameters
    ----------
    n_components : int, default=20
        How many components: 1 up to the number of faces less one.
    random_state : int or None, default=42
        Seed of the rotation that it starts from.
    independent : {"pictures", "weights"}, default="pictures"
        What is made independent. ``"pictures"``: the components, pixel by pixel, which
        makes them local (Bartlett's architecture I). ``"weights"``: the weights, face by
        face, as :class:`sklearn.decomposition.FastICA` does with faces as samples
        (architecture II).
    fun : {"logcosh", "exp", "cube"}, default="logcosh"
        The contrast function.
    max_iter : int, default=400
        The most iterations.
    tol : float, default=1e-4
        When to stop earlier: the largest change of a direction, as 1 - |cosine|.

    References
    ----------
    M. S. Bartlett, J. R. Movellan, T. J. Sejnowski: Face recognition by independent
    component analysis. IEEE Transactions on Neural Networks 13 (2002),
    doi:10.1109/TNN.2002.804287.
    """

    method = "ica"
    title = "ICA"
    summary = "Turns the eigenfaces until they are as independent as can be: local features."
    coding = "signed"
    is_signed = True

    independent: Literal["pictures", "weights"] = parameter(
        "pictures",
        "Independent",
        "pictures: the components, which makes them local. weights: how faces use "
        "them (independent).",
        choices=("pictures", "weights"),
    )
    fun: Literal["logcosh", "exp", "cube"] = parameter(
        "logcosh",
        "Contrast",
        "The function that measures independence (fun). cube is quick, and misled by outliers.",
        choices=("logcosh", "exp", "cube"),
        advanced=True,
    )
    max_iter: int = parameter(
        400, "Max. iterations", "The most iterations to make (max_iter).", min=1, advanced=True
    )
    tol: float = parameter(
        1e-4,
        "Tolerance",
        "Stop when no component turns by more than this, as 1 - |cosine| (tol).",
        min=0.0,
        advanced=True,
    )


@dataclass(frozen=True)
class DictionaryParams(Parameters):
    """Parameters of sparse dictionary learning, in mini-batches.

    Parameters
    ----------
    n_components : int, default=20
        How many components (atoms): 1 up to the number of faces.
    random_state : int or None, default=42
        Seed of the start and of the order in which faces are seen.
    alpha : float, default=1.0
        Penalty on the sum of the absolute weights of a face, for components of unit
        length and pixels from 0 to 1. More makes faces use fewer components.
    batch_size : int, default=64
        How many faces are learned from at a time; never fewer than there are components.
    max_iter : int, default=20
        How often all faces are seen, at most.
    tol : float, default=1e-3
        Stop when a pass lowers the error by less than this share; 0 never stops early.

    References
    ----------
    J. Mairal, F. Bach, J. Ponce, G. Sapiro: Online dictionary learning for sparse coding.
    ICML (2009), doi:10.1145/1553374.1553463.
    """

    method = "dictionary"
    title = "Sparse dictionary"
    summary = "Components of which each face needs only a few, light and dark."
    coding = "sparse"
    is_signed = True

    alpha: float = parameter(
        1.0,
        "Sparsity",
        "Penalty on the weights: the more, the fewer components a face uses (alpha).",
        min=0.0,
    )
    batch_size: int = field(default=64, metadata=_BATCH)
    max_iter: int = field(default=20, metadata=_PASSES)
    tol: float = field(default=1e-3, metadata=_FALL)


@dataclass(frozen=True)
class MiniBatchNMFParams(Parameters):
    """Parameters of non-negative matrix factorization in mini-batches.

    Parameters
    ----------
    n_components : int, default=20
        How many components: 1 up to the number of faces.
    random_state : int or None, default=42
        Seed of the start and of the order in which faces are seen.
    forget_factor : float, default=0.7
        How much is remembered of earlier batches, from 0 to 1.
    batch_size : int, default=128
        How many faces are learned from at a time; never fewer than there are components.
    max_iter : int, default=20
        How often all faces are seen, at most.
    tol : float, default=1e-3
        Stop when a pass lowers the error by less than this share; 0 never stops early.

    References
    ----------
    A. Lefevre, F. Bach, C. Fevotte: Online algorithms for nonnegative matrix factorization
    with the Itakura-Saito divergence. WASPAA (2011), doi:10.1109/ASPAA.2011.6082314.
    """

    method = "minibatch-nmf"
    title = "Mini-batch NMF"
    summary = "scikit-learn's NMF for many faces: learned from a part of them at a time."
    coding = "non-negative"

    forget_factor: float = parameter(
        0.7,
        "Memory",
        "How much is remembered of earlier batches, from 0 to 1 (forget_factor).",
        min=0.0,
        max=1.0,
        advanced=True,
    )
    batch_size: int = field(default=128, metadata=_BATCH)
    max_iter: int = field(default=20, metadata=_PASSES)
    tol: float = field(default=1e-3, metadata=_FALL)


@dataclass(frozen=True)
class KMeansParams(Parameters):
    """Parameters of k-means, in mini-batches.

    Parameters
    ----------
    n_components : int, default=20
        How many clusters: 1 up to the number of faces.
    random_state : int or None, default=42
        Seed of the start and of the order in which faces are seen.
    batch_size : int, default=256
        How many faces are learned from at a time; never fewer than there are components.
    max_iter : int, default=50
        How often all faces are seen, at most.
    tol : float, default=1e-3
        Stop when a pass lowers the error by less than this share; 0 never stops early.

    References
    ----------
    D. Sculley: Web-scale k-means clustering. WWW (2010), doi:10.1145/1772690.1772862.
    """

    method = "kmeans"
    title = "k-means"
    summary = "Mean faces of groups: every face is shown as that of its group."
    coding = "one-hot"

    batch_size: int = field(default=256, metadata=_BATCH)
    max_iter: int = field(default=50, metadata=_PASSES)
    tol: float = field(default=1e-3, metadata=_FALL)


# -- Other factorizations than our own NMF, from scikit-learn, for comparison ----------

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


def takers(name: str) -> list[str]:
    """Return the methods that have a parameter of this name."""
    return [method for method, kind in METHODS.items() if name in kind.names()]


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
            others = " or ".join(takers(name))
            hint = f": choose {others} for it" if others else ""
            raise ValueError(f"{name} is no parameter of the method {method!r}{hint}.")
    return kind(**values)
