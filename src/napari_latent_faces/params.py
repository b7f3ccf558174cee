"""Parameters of methods: they make the form, the command line, the file and the script.

What a parameter is for stands in the docstring of its class, what it takes in its type, and
its label and limits beside its default.
"""

import re
import sys
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from types import MappingProxyType, NoneType
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

Coding = Literal["non-negative", "signed", "sparse", "one-hot"]

LARGEST_SIDE = 16384  # pixels; a face has fewer
_SIDE: Any = {"min": 1, "max": LARGEST_SIDE}

# a parameter in a docstring, as numpydoc has it
_EXPLAINED = re.compile(r"^( *)(\w+) : .*\n((?:\1    .*\n)+)", re.MULTILINE)


def parameter(default: Any, label: str = "", **limits: Any) -> Any:
    """Declare a field with its default, its label in a form, and limits.

    These are ``min``, ``max``, ``advanced`` (shown when asked for), ``slider``, ``unlisted``
    (choices of scripts only), ``text`` (what is asked for), and ``off`` (what False means).
    """
    return field(default=default, metadata={"label": label, **limits})


advanced = partial(parameter, advanced=True)


def describe(kind: type[Any]) -> None:
    """Add what its docstring (or a base) and their types say to the metadata of fields."""
    told = {
        name: f"{name}: {' '.join(text.replace('`', '').replace(':class:', '').split())}"
        for _, name, text in _EXPLAINED.findall(kind.__doc__ or "")
    }
    before = {each.name: each.metadata for each in fields(kind.__mro__[1])}
    hints = get_type_hints(kind)
    for each in fields(kind):
        if "help" not in each.metadata:
            allowed = _alternatives(hints[each.name])
            known = {
                "help": told.get(each.name) or before[each.name]["help"],
                "types": tuple(one for one in allowed if isinstance(one, type)),
                "choices": tuple(one for one in allowed if not isinstance(one, type)),
                "optional": NoneType in allowed,
            }
            each.metadata = MappingProxyType({**known, **each.metadata})


def _alternatives(hint: Any) -> list[Any]:
    """Return the plain types and the single values that a type hint allows."""
    if get_origin(hint) in (Literal, tuple):
        return list(get_args(hint)) if get_origin(hint) is Literal else [tuple]
    parts = [each for part in get_args(hint) for each in _alternatives(part)]  # of a union
    return parts or ([bool, True, False] if hint is bool else [hint])


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Options:
    """Base of frozen values that are checked when they are made."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return what the fields are called."""
        return tuple(each.name for each in fields(cls))

    def __post_init__(self) -> None:
        for each in fields(self):
            value = _checked(each.name, each.metadata, getattr(self, each.name))
            object.__setattr__(self, each.name, value)

    def changed(self) -> dict[str, Any]:
        """Return the values that differ from their defaults, by name."""
        pairs = {each.name: (getattr(self, each.name), each.default) for each in fields(self)}
        return {name: value for name, (value, default) in pairs.items() if value != default}

    def to_dict(self) -> dict[str, Any]:
        """Return the values as a plain dictionary."""
        return asdict(self)


def _checked(name: str, known: Any, value: Any) -> Any:
    types, is_text = known["types"], isinstance(value, str)
    is_listed = value in (*known["choices"], *known.get("unlisted", ()))
    if is_listed or (value is None and known["optional"]) or (is_text and str in types):
        return value
    is_pair = tuple in types and isinstance(value, (tuple, list)) and len(value) == 2
    kind, words = (float, "a number") if float in types else (int, "a whole number")
    parts = tuple(value) if is_pair else (value,)
    try:
        numbers = tuple(kind(part) for part in parts if not isinstance(part, (bool, str)))
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    limits = _range(known)
    if is_pair or kind in types:
        if numbers == parts:
            most = known.get("max", sys.float_info.max)
            if all(known["min"] <= number <= most for number in numbers):
                return numbers if is_pair else numbers[0]
        elif tuple not in types:
            raise TypeError(f"{name} must be {words} ({limits}), got {value!r}.")
    raise ValueError(f"{name} must be {limits}, got {value!r}.")


def _range(known: Any) -> str:
    limits = "from {min} to {max}" if "max" in known else "{min} or more" * ("min" in known)
    words = [f"{known.get('text', '')} {limits.format_map(known)}".strip()]
    words += [repr(choice) for choice in known["choices"]] + ["None"] * known["optional"]
    return " or ".join(filter(None, words))


@dataclass(frozen=True, repr=False, eq=False)
class Parameters(Options):
    """What the parameters of all methods have."""

    method: ClassVar[str]  # as files and the command line have it
    title: ClassVar[str]
    summary: ClassVar[str]  # what it does to faces
    coding: ClassVar[Coding]  # how weights are found: see solvers.nnls
    is_signed: ClassVar[bool] = False  # whether components and weights can be negative
    takes_mask: ClassVar[bool] = False  # whether a fit can leave pixels out

    n_components: int = parameter(20, "Components", min=1)
    random_state: int | None = parameter(42, "Random state", min=0, max=2**32 - 1)


@dataclass(frozen=True)
class NMFParams(Parameters):
    """Parameters of a non-negative matrix factorization, as in scikit-learn.

    The solver ``"multilevel"`` and `sparseness` are this package's own.

    P. O. Hoyer: Non-negative matrix factorization with sparseness constraints. Journal of
    Machine Learning Research 5 (2004), doi:10.5555/1005332.1044709. His measure is
    ``(sqrt(p) - L1 / L2) / (sqrt(p) - 1)`` of the p values that no mask hides.

    Parameters
    ----------
    n_components : int, default=20
        How many latent faces to look for: 1 up to the number of faces.
    random_state : int or None, default=42
        Seed, so that the same number gives the same result. None draws a new one for each fit.
    max_iter : int, default=200
        The most iterations to make. Those of ``"multilevel"`` on small pictures count; they
        are at most half.
    tol : float, default=1e-4
        When to stop earlier; 0 means never. For ``"multilevel"`` the relative fall of the error
        (of the root of the loss, with penalties), twice in a row; relative to the start, for
        ``"cd"`` the projected gradient, for ``"mu"`` the fall of the loss in ten iterations.
    init : {None, "nndsvd", "nndsvda", "nndsvdar", "random"}, default=None
        How components and weights start. None is ``"nndsvda"``, from the singular vectors of
        the stack, or ``"random"`` when there are more components than pixels.
    solver : {"multilevel", "cd", "mu"}, default="multilevel"
        ``"multilevel"`` fits small pictures first and then the full ones, block by block: many
        times faster, to the same or a lower error. ``"cd"`` and ``"mu"`` are coordinate descent
        and multiplicative updates (the only one for other losses) of scikit-learn.
    beta_loss : {"frobenius", "kullback-leibler", "itakura-saito"}, default="frobenius"
        What is minimised: squared differences (``"frobenius"``), or a divergence for counts
        (``"kullback-leibler"``) or relative differences (``"itakura-saito"``).
    alpha_W : float, default=0.0
        Strength of the penalty on the weights, which keeps them small. 0: none.
    alpha_H : float or "same", default="same"
        Strength of the penalty on the components; ``"same"`` takes that on the weights.
    l1_ratio : float, default=0.0
        Share of the penalties that is L1 and asks for zeros, from 0 to 1; the rest is L2.
    sparseness : float or None, default=None
        How sparse each component is at least, by Hoyer's measure, for the solver
        ``"multilevel"``. 0 and None ask for nothing: components are then mostly whole faces,
        of 0.3 or so. At 0.5 and more they are parts of faces.
    """

    max_iter: int = advanced(200, "Max. iterations", min=1)
    tol: float = advanced(1e-4, "Tolerance", min=0.0)
    init: Literal["nndsvd", "nndsvda", "nndsvdar", "random"] | None = advanced(
        None, "Start", unlisted=("custom",)
    )
    solver: Literal["multilevel", "cd", "mu"] = advanced("multilevel", "Solver")
    beta_loss: Literal["frobenius", "kullback-leibler", "itakura-saito"] = advanced(
        "frobenius", "Loss"
    )
    alpha_W: float = advanced(0.0, "Penalty on weights", min=0.0)
    alpha_H: float | Literal["same"] = advanced("same", "Penalty on components", min=0.0)
    l1_ratio: float = advanced(0.0, "L1 ratio", min=0.0, max=1.0)
    sparseness: float | None = parameter(
        None, "Whole faces - Parts", min=0.0, max=0.95, slider=True
    )

    method = "nmf"
    title = "NMF"
    summary = "Adds up non-negative parts: foreheads, beards, light from one side."
    coding = "non-negative"
    takes_mask = True

    def __post_init__(self) -> None:
        super().__post_init__()
        who = f"solver={self.solver!r}"
        if self.beta_loss != "frobenius" and self.solver != "mu":
            words = f"choose solver='mu' for beta_loss={self.beta_loss!r}."
            raise ValueError(f"{who} takes beta_loss='frobenius' only; {words}")
        if not self.sparseness:
            object.__setattr__(self, "sparseness", None)
        elif self.solver != "multilevel":
            words = f"choose solver='multilevel' for sparseness={self.sparseness!r}."
            raise ValueError(f"{who} cannot keep components sparse; {words}")


@dataclass(frozen=True)
class PCAParams(Parameters):
    """Parameters of principal component analysis: eigenfaces.

    M. Turk, A. Pentland: Eigenfaces for recognition. Journal of Cognitive Neuroscience 3
    (1991), doi:10.1162/jocn.1991.3.1.71.

    Parameters
    ----------
    n_components, random_state
        As in `NMFParams`; one component less than there are faces is the most.
    svd_solver : {"auto", "full", "randomized", "incremental"}, default="auto"
        ``"full"`` is exact, ``"randomized"`` nearly so, and faster: both as in
        :class:`sklearn.decomposition.PCA`. ``"incremental"`` reads the faces block by block,
        as :class:`sklearn.decomposition.IncrementalPCA`; ``"auto"`` takes it for stacks of
        more than 2**27 pixels (512 MB as float32), else scikit-learn's own choice.
    """

    method = "pca"
    title = "PCA (eigenfaces)"
    summary = "The directions in which faces differ most from their mean, light and dark."
    coding = "signed"
    is_signed = True

    svd_solver: Literal["auto", "full", "randomized", "incremental"] = advanced(
        "auto", "Solver"
    )


@dataclass(frozen=True)
class ICAParams(Parameters):
    """Parameters of independent component analysis (FastICA).

    M. S. Bartlett, J. R. Movellan, T. J. Sejnowski: Face recognition by independent
    component analysis. IEEE Transactions on Neural Networks 13 (2002),
    doi:10.1109/TNN.2002.804287.

    Parameters
    ----------
    n_components, random_state
        As in `NMFParams`; one component less than there are faces is the most.
    independent : {"pictures", "weights"}, default="pictures"
        What is made independent. ``"pictures"``: the components, pixel by pixel, which makes
        them local (Bartlett's architecture I). ``"weights"``: the weights, face by face, as in
        :class:`sklearn.decomposition.FastICA` (architecture II).
    fun : {"logcosh", "exp", "cube"}, default="logcosh"
        The function that measures independence. ``"cube"`` is quick, and misled by outliers.
    max_iter : int, default=400
        The most iterations to make.
    tol : float, default=1e-4
        Stop when no component turns by more than this, as 1 - abs(cosine).
    """

    method = "ica"
    title = "ICA"
    summary = "Turns the eigenfaces until they are as independent as can be: local features."
    coding = "signed"
    is_signed = True

    independent: Literal["pictures", "weights"] = parameter("pictures", "Independent")
    fun: Literal["logcosh", "exp", "cube"] = advanced("logcosh", "Contrast")
    max_iter: int = advanced(400, "Max. iterations", min=1)
    tol: float = advanced(1e-4, "Tolerance", min=0.0)


@dataclass(frozen=True, repr=False, eq=False)
class _BatchParams(Parameters):
    """What the parameters of methods have that learn from some faces at a time."""

    batch_size: int = advanced(128, "Batch size", min=1)
    max_iter: int = advanced(20, "Max. passes", min=1)
    tol: float = advanced(1e-3, "Tolerance", min=0.0)


@dataclass(frozen=True)
class MiniBatchNMFParams(_BatchParams):
    """Parameters of non-negative matrix factorization in mini-batches.

    A. Lefevre, F. Bach, C. Fevotte: Online algorithms for nonnegative matrix factorization
    with the Itakura-Saito divergence. WASPAA (2011), doi:10.1109/ASPAA.2011.6082314.

    Parameters
    ----------
    n_components, random_state
        As in `NMFParams`.
    batch_size : int, default=128
        How many faces are learned from at a time; never fewer than there are components.
    max_iter : int, default=20
        How often all faces are seen, at most.
    tol : float, default=1e-3
        Stop when a pass lowers the error by less than this share; 0 never stops early.
    forget_factor : float, default=0.7
        How much is remembered of earlier batches, from 0 to 1.
    """

    method = "minibatch-nmf"
    title = "Mini-batch NMF"
    summary = "scikit-learn's NMF for many faces: learned from a part of them at a time."
    coding = "non-negative"

    forget_factor: float = advanced(0.7, "Memory", min=0.0, max=1.0)


@dataclass(frozen=True)
class DictionaryParams(_BatchParams):
    """Parameters of sparse dictionary learning, in mini-batches.

    J. Mairal, F. Bach, J. Ponce, G. Sapiro: Online dictionary learning for sparse coding.
    ICML (2009), doi:10.1145/1553374.1553463.

    Parameters
    ----------
    n_components, random_state, batch_size, max_iter, tol
        As in `MiniBatchNMFParams`, but 64 faces a batch by default.
    alpha : float, default=1.0
        Penalty on the sum of the absolute weights of a face, for components of unit length and
        pixels from 0 to 1: the more, the fewer components a face uses.
    """

    method = "dictionary"
    title = "Sparse dictionary"
    summary = "Components of which each face needs only a few, light and dark."
    coding = "sparse"
    is_signed = True

    batch_size: int = advanced(64, "Batch size", min=1)
    alpha: float = parameter(1.0, "Sparsity", min=0.0)


@dataclass(frozen=True)
class KMeansParams(_BatchParams):
    """Parameters of k-means, in mini-batches.

    D. Sculley: Web-scale k-means clustering. WWW (2010), doi:10.1145/1772690.1772862.

    Parameters
    ----------
    n_components, random_state, batch_size, max_iter, tol
        As in `MiniBatchNMFParams`, but 256 faces a batch and at most 50 passes by default.
    """

    method = "kmeans"
    title = "k-means"
    summary = "Mean faces of groups: every face is shown as that of its group."
    coding = "one-hot"

    batch_size: int = advanced(256, "Batch size", min=1)
    max_iter: int = advanced(50, "Max. passes", min=1)


_KINDS = (NMFParams, PCAParams, ICAParams, DictionaryParams, MiniBatchNMFParams, KMeansParams)
METHODS: dict[str, type[Parameters]] = {kind.method: kind for kind in _KINDS}
"""The parameters of each method by its name, in the order in which they are offered."""


Channel = Literal["luminance", "red", "green", "blue"]
Resize = Literal["crop", "pad", "stretch", "error"]
Rows = Literal["rows", "columns"]
Order = Literal["C", "F"]


@dataclass(frozen=True)
class ReadOptions(Options):
    """Options of `read_faces`.

    Parameters
    ----------
    channel : str
        What is taken of a colour picture.
    size : int or (int, int), optional
        Scale all pictures to this height, or height and width, in pixels.
    resize : str
        Pictures of another size are cut to fit (crop), get black borders (pad), are pulled out
        of shape (stretch), or stop the read (error).
    subjects : str, optional
        Regular expression that finds the subject in a name; by default what the names show.
    lazy : bool, optional
        Decode pictures when they are looked at; by default if they exceed the memory budget.
    memory_budget : int, optional
        Bytes that a stack may take before it is read lazily.
    variable : str, optional
        Which variable of a .mat, .npz or .h5 file holds the faces; by default found out.
    shape : (int, int), optional
        Height and width, in pixels, of the faces in a matrix; by default found out.
    faces : str, optional
        Where the faces are in a matrix: its rows (first axis) or columns (last axis); by
        default found out.
    order : str, optional
        Whether the pixels of a face in a matrix come row by row (C, NumPy) or column by column
        (F, MATLAB); by default found out.
    colour : bool or "auto"
        Keep the colours of the pictures; by default if most of them have any (auto).
    """

    channel: Channel = "luminance"
    size: int | tuple[int, int] | None = parameter(
        None, text="a height or (height, width)", **_SIDE
    )
    resize: Resize = "crop"
    subjects: str | Literal[False] | None = parameter(
        None, text="a regular expression", off="Leave out whose faces they are."
    )
    lazy: bool | None = parameter(None, off="Decode all pictures first.")
    memory_budget: int | None = parameter(None, min=0)
    variable: str | None = parameter(None, text="the name of a variable")
    shape: tuple[int, int] | None = parameter(None, text="(height, width)", **_SIDE)
    faces: Rows | None = None
    order: Order | None = None
    colour: bool | Literal["auto"] = parameter("auto", off="Make all pictures grey.")

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            re.compile(self.subjects or "")
        except re.error as error:
            words = f"subjects must be a regular expression; {self.subjects!r} is not one"
            raise ValueError(f"{words}: {error}.") from error
        if self.colour is True and self.channel != "luminance":
            words = "makes grey pictures: leave it out, or colour=True."
            raise ValueError(f"channel={self.channel!r} {words}")

    def frame(self, commonest: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width of the stack, given those of most pictures."""
        if not isinstance(self.size, int):
            return self.size or commonest
        height, width = commonest
        return self.size, min(max(1, round(self.size * width / height)), LARGEST_SIDE)

    def budget(self) -> int:
        """Return the bytes that a stack may take before it is lazy."""
        if self.memory_budget is not None:
            return self.memory_budget
        import psutil

        return min(512 * 2**20, int(psutil.virtual_memory().available) // 4)


@dataclass(frozen=True)
class AlignOptions(Options):
    """Options of `align_faces`.

    Parameters
    ----------
    n_components : int, default=20
        Components of the model that faces are brought onto.
    size : (int, int), optional
        Height and width of the middle part to keep, by default what all aligned pictures cover.
    transform : {"similarity", "affine"}, default="similarity"
        Shift, rotate and scale a face (similarity), or also shear it and stretch it (affine).
    max_shift : float, default=0.15
        The farthest shift, as a share of height and width.
    max_rotation : float, default=20
        The largest rotation, in degrees.
    max_scale : float, default=1.25
        The largest scale, and one over the smallest.
    random_state : int or None, default=42
        Seed of the model's start, and of the sample that is drawn from over 2,000 faces.
    """

    n_components: int = parameter(20, "Components", min=1, max=1000)
    size: tuple[int, int] | None = parameter(None, text="(height, width)", **_SIDE)
    transform: Literal["similarity", "affine"] = parameter("similarity", "Transform")
    max_shift: float = advanced(0.15, "Farthest shift", min=0, max=0.5)
    max_rotation: float = advanced(20.0, "Largest rotation", min=0, max=90)
    max_scale: float = advanced(1.25, "Largest scale", min=1, max=4)
    random_state: int | None = advanced(42, "Seed", min=0)


@dataclass(frozen=True)
class ChoiceOptions(Options):
    """Effort of `choose_k`.

    Parameters
    ----------
    n_starts : int, default=3
        Fits of all faces for each k: the first from the usual start, the others from random
        factors. The best is kept, and how alike they are is the stability.
    n_folds : int, default=5
        Parts that the faces are cut into. Each is held out once, from a fit of the others.
    max_faces : int, default=2000
        Of a larger stack, a random sample of so many faces is looked at.
    """

    n_starts: int = parameter(3, "Starts", min=2, max=100)
    n_folds: int = parameter(5, "Folds", min=2, max=100)
    max_faces: int = parameter(2000, "Most faces", min=10)


ALL: tuple[type[Options], ...] = (*_KINDS, ReadOptions, AlignOptions, ChoiceOptions)
# others have parameters in common with the first ones
for _kind in (NMFParams, MiniBatchNMFParams, *ALL):
    describe(_kind)


def parse_ks(text: str) -> list[int] | None:
    """Return the numbers that "2,4,8", "5:60:5", or both spell, and None for "auto"."""
    if text.strip().lower() == "auto":
        return None
    try:
        return [k for part in text.split(",") for k in _parse_range(part)]
    except ValueError:
        words = "k must be 'auto', numbers such as '2,4,8', or 'from:to:step' such as '5:60:5'"
        raise ValueError(f"{words}, got {text!r}.") from None


def _parse_range(part: str) -> list[int]:
    first, *rest = map(int, part.split(":"))
    if not rest:
        return [first]
    last, step = (*rest, 1)[:2]
    # more than 10,000 numbers are a slip of the finger
    if len(rest) > 2 or step < 1 or not 0 <= last - first <= 10_000 * step:
        raise ValueError(part)
    return list(range(first, last + 1, step))
