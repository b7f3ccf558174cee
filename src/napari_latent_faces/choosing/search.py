"""Which numbers of components to measure, and in which order."""

from __future__ import annotations

import operator
import time
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.choosing.choice import KChoice
from napari_latent_faces.comparing import pair_most_alike
from napari_latent_faces.fitting import iter_fit
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.options import ChoiceOptions
from napari_latent_faces.params import NMFParams
from napari_latent_faces.solvers.multilevel import initial_factors
from napari_latent_faces.stack import FaceStack, as_matrix, as_stack
from napari_latent_faces.steps import drain

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Start = tuple[NDArray[Any], NDArray[Any]]

    Message = Literal["stop"] | None

    Searching = Generator["KStep", Message, KChoice]

__all__ = [
    "KStep",
    "check_ks",
    "choose_k",
    "face_folds",
    "further_ks",
    "held_out_error",
    "iter_choose_k",
    "iter_whole_model",
    "nearest_fit",
    "pair_pictures",
    "pixel_halves",
    "sample_faces",
    "spread_out",
    "stability",
    "start_grid",
    "warm_start",
]

# -- Which numbers of components to measure, and in which order ------------------------

_GRID_END, _SEARCH_END = 64, 128
_FINEST = 20  # neighbours of k that are nearer than k / 20 are not told apart


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


# -- What is held out: parts of the faces, and halves of the pixels --------------------

_TILES = 8  # along the shorter side of a face


def sample_faces(n: int, most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Choose the faces that are measured.

    Parameters
    ----------
    n : int
        How many there are.
    most : int
        How many are looked at.
    rng : numpy Generator
        Chooses where there are more.

    Returns
    -------
    array of int
        The indices of all faces, or of a random sample of them, in order.
    """
    if n <= most:
        return np.arange(n)
    chosen: NDArray[np.intp] = np.sort(rng.choice(n, most, replace=False))
    return chosen


def face_folds(
    n: int, subjects: Sequence[str] | None, n_folds: int, rng: np.random.Generator
) -> list[NDArray[np.intp]]:
    """Cut faces into parts of nearly one size, no subject in two of them.

    Pictures of one person resemble each other: with some of them in the fit, the others
    would not be new to it. Where there are fewer than two subjects a part, or none are
    known, single faces are dealt out.

    Parameters
    ----------
    n : int
        Number of faces.
    subjects : sequence of str, length n, or None
        Whose faces they are.
    n_folds : int
        Number of parts.
    rng : numpy Generator
        Shuffles faces or subjects.

    Returns
    -------
    list of `n_folds` arrays of int
        The faces of each part, in order; together all, each once.
    """
    names, owners = np.unique(np.asarray(subjects or ()), return_inverse=True)
    if len(names) < 2 * n_folds:
        owners = np.arange(n)
    sizes = np.bincount(owners)
    shuffled = rng.permutation(len(sizes))
    largest_first = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    fold_of, filled = np.empty(len(sizes), int), np.zeros(n_folds)
    for owner in largest_first:
        fold_of[owner] = filled.argmin()
        filled[fold_of[owner]] += sizes[owner]
    return [np.flatnonzero(fold_of[owners] == fold) for fold in range(n_folds)]


def pixel_halves(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Cut a face into tiles and draw half of them.

    Single pixels would be told by their neighbours: whatever is smooth in a picture, noise
    included, would count as understood. Half faces would hide whole components, about
    whose weights nothing could be known. Tiles of an eighth of the shorter side are larger
    than what neighbours share and smaller than most components.

    Parameters
    ----------
    size : tuple of int
        Height and width.
    rng : numpy Generator
        Draws where the tiles begin, and which are seen.

    Returns
    -------
    array of shape (h * w,), bool
        True in one half; both halves have pixels.
    """
    side = max(1, round(min(size) / _TILES))
    lines = []
    for length in size:
        offset = rng.integers(side) if length > side else 0
        lines.append((np.arange(length) + offset) // side)
    rows, columns = lines
    tiles = (rows[:, None] * (columns[-1] + 1) + columns).reshape(-1)
    used = np.unique(tiles)
    drawn = rng.permutation(used)[: len(used) // 2]
    half: NDArray[np.bool_] = np.isin(tiles, drawn)
    return half


# -- How well components explain pixels that neither they nor the weights have seen ----


def held_out_error(
    model: LatentFaces, images: Any, halves: Sequence[NDArray[np.bool_]]
) -> float:
    """Predict each half of the pixels of new faces from the other half.

    The weights are the non-negative least-squares solution on the pixels of one half;
    with them the components predict the other half.

    Parameters
    ----------
    model : LatentFaces
        Components, fitted to other faces.
    images : array of shape (m, h, w)
        The held-out faces, in the units of the model's.
    halves : sequence of arrays of shape (h * w,), bool
        Ways to halve the pixels; each is used in both directions.

    Returns
    -------
    float
        Relative Frobenius error of the predictions, over all faces, pixels and halves.
        0 is perfect, 1 as bad as nothing.

    References
    ----------
    A. B. Owen, P. O. Perry: Bi-cross-validation of the SVD and the nonnegative matrix
    factorization. Annals of Applied Statistics 3 (2009), doi:10.1214/08-AOAS227.
    """
    X = images.reshape(len(images), -1) / np.float64(model.scale)
    H = model.components.reshape(model.n_components, -1).astype(np.float64)
    lost = sum(_lost(X, H, seen) for half in halves for seen in (half, ~half))
    norm = float(np.vdot(X, X)) * len(halves)
    return float(np.sqrt(lost / norm)) if norm > 0 else 0.0


def _lost(X: NDArray[Any], H: NDArray[Any], seen: NDArray[np.bool_]) -> float:
    """Sum the squared differences on the pixels that are not seen."""
    from napari_latent_faces.solvers.blocks import one_blas_thread
    from napari_latent_faces.solvers.nnls import solve_nnls

    with one_blas_thread():
        Q, R = np.linalg.qr(H[:, seen].T)
        weights = solve_nnls(R, X[:, seen] @ Q)
        missed = X[:, ~seen] - weights @ H[:, ~seen]
    return float(np.vdot(missed, missed))


# -- Which component of one model is which of another ----------------------------------


def pair_pictures(
    first: NDArray[Any], second: NDArray[Any]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Pair the components of two fits one to one, as alike as possible.

    Parameters
    ----------
    first, second : arrays of shape (k, ...)
        As many pictures in both.

    Returns
    -------
    partners : array of int, shape (k,)
        Which of `second` belongs to each of `first`: the pairing with the largest sum of
        cosines.
    cosines : array of shape (k,)
        How alike each pair is: 1 if they differ by a factor only, 0 if they share no
        pixel or one is empty.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"The components have the shapes {first.shape} and {second.shape}.")
    _, partners, cosines = pair_most_alike(
        first.astype(np.float64, copy=False), second.astype(np.float64, copy=False)
    )
    return partners, cosines


def stability(fits: Sequence[NDArray[Any]]) -> float:
    """Return the mean cosine of matched components over all pairs of fits of one k.

    Parameters
    ----------
    fits : sequence of arrays of shape (k, ...)
        The components of two fits or more.
    """
    pairs = [(a, b) for i, a in enumerate(fits) for b in fits[:i]]
    return float(np.mean([pair_pictures(a, b)[1].mean() for a, b in pairs]))


# -- Where a fit begins that has a fit of the same faces, with other k, to begin from --


def nearest_fit(fits: Mapping[int, LatentFaces], k: int) -> LatentFaces | None:
    """Return the fit whose number of components is next to `k`, the smaller of two."""
    return fits[min(fits, key=lambda other: (abs(other - k), other))] if fits else None


def warm_start(model: LatentFaces, stack: FaceStack, params: NMFParams) -> Start:
    """Return factors that a fit with more, or fewer, components can begin with.

    Of too many, those go that add least to the faces. Missing ones are found in what the
    model leaves over: they are the singular vectors of the positive part of the residual,
    made non-negative (NNDSVD, C. Boutsidis, E. Gallopoulos 2008,
    doi:10.1016/j.patcog.2007.09.010).

    Parameters
    ----------
    model : LatentFaces
        A fit of the same faces.
    stack : FaceStack
        The faces, n of h x w pixels. To find more components, their residual is held in
        memory as floats.
    params : NMFParams
        The parameters of the fit to come; `n_components` is that of the factors.

    Returns
    -------
    W, H : arrays of shape (n, k) and (k, h * w)
        Non-negative, as `fit` takes them as its `start`.
    """
    W, H = model.weights, model.components.reshape(model.n_components, -1)
    more = params.n_components - model.n_components
    if more <= 0:
        norms = np.linalg.norm(W, axis=0) * np.linalg.norm(H, axis=1)
        kept = np.sort(np.argsort(-norms, kind="stable")[: params.n_components])
        return W[:, kept], H[kept]
    rest, _ = as_matrix(stack, model.scale)
    rest -= W @ H
    np.maximum(rest, 0, out=rest)
    few = replace(params, n_components=more, init=_init(rest, params))
    new_W, new_H = initial_factors(rest, few, params.random_state)
    return np.hstack([W, new_W]), np.vstack([H, new_H])


def _init(rest: NDArray[Any], params: NMFParams) -> Any:
    """Return how new components start: zeros would stay zeros with solver 'mu'."""
    if params.solver == "mu":
        return None
    return "nndsvd" if params.n_components <= min(rest.shape) else "random"


# -- A model of a sample of faces, extended to all of them -----------------------------

_BLOCK_VALUES = 2**24  # pixels read at a time


def iter_whole_model(
    model: LatentFaces, images: Any
) -> Generator[tuple[int, int], None, LatentFaces]:
    """Find the weights of all faces of a stack for the components of a model.

    Parameters
    ----------
    model : LatentFaces
        A model of some of the faces.
    images : FaceStack or array of shape (n, h, w)
        All faces, in the units of the model's; read a block at a time.

    Yields
    ------
    tuple of int
        Faces done, and their number.

    Returns
    -------
    LatentFaces
        The same components in canonical form, with weights, names and error of all faces
        (the value of ``StopIteration``).

    Raises
    ------
    ValueError
        If the pictures have another size, or pixels that cannot be encoded.
    """
    stack = as_stack(images)
    n, h, w = stack.shape
    W = np.empty((n, model.n_components), model.weights.dtype)
    lost = norm = 0.0
    step = max(1, _BLOCK_VALUES // (h * w))
    for first in range(0, n, step):
        faces = slice(first, min(first + step, n))
        block = np.asarray(stack.images[faces])
        W[faces] = model.encode(block)
        missed = block - model.blend(W[faces])
        lost += float(np.vdot(missed, missed))
        norm += float(np.square(block, dtype=np.float64).sum())
        yield faces.stop, n
    error = float(np.sqrt(lost / norm)) if norm > 0 else 0.0
    return LatentFaces.from_factors(
        W,
        model.components.reshape(model.n_components, -1),
        (h, w),
        error=error,
        scale=model.scale,
        params=model.params,
        provenance=model.provenance.of_other_faces(stack),
    )


# -- The search for k as a generator: every front end drains the same one --------------

_HALVES = 4  # ways to halve the pixels, for each part of the faces
_PERIOD = 0.1  # seconds between two steps while a fit runs
_SAMPLE_VALUES = 2**28  # pixels that the sample may hold, however many faces
_FEWEST_FACES = 100  # but as many faces as this
_NO_MESSAGE: Message = None
_READ_AT_ONCE = 64  # faces


@dataclass(frozen=True, eq=False)
class KStep:
    """Where a search stands.

    Parameters
    ----------
    done : int
        Fits made so far.
    total : int
        Fits that are planned; more may follow in a search that chooses k itself.
    doing : str
        What is going on, in words.
    choice : KChoice
        What is measured so far: the k of which all fits are made. It may be empty.
    """

    done: int
    total: int
    doing: str
    choice: KChoice = field(repr=False)


def iter_choose_k(
    images: Any,
    ks: Iterable[int] | None = None,
    params: NMFParams | None = None,
    **changes: Any,
) -> Searching:
    """Measure how well different numbers of components describe faces, step by step.

    For each k, all faces are fitted from several starts (relative error, stability), and
    each part of the faces is left out of a fit once: its weights are found from half of
    the pixels, and what they say of the other half is compared with the truth (held-out
    error). More components always lower the relative error; the held-out error rises
    again when they describe what these faces do not share with others.

    Parameters
    ----------
    images : FaceStack or array of shape (n, h, w)
        Grey pictures, numpy or lazy, as for `iter_fit`. Of more than `max_faces` (or,
        with more than 100 faces, of more than 2**28 pixels in all) a random sample is
        read, and held in memory. Faces of one subject stay together, if subjects are
        known and there are two for each part.
    ks : iterable of int, optional
        The numbers of components to measure. By default they are searched for: 2, 4, 8
        and so on up to 64 (128 if the error still falls), then between the neighbours of
        the suggestion, until these are next to it (from k = 40 on, within 5 %).
    params : NMFParams, optional
        Parameters of the fits; `n_components` is not used. `random_state` is the seed of
        all that is drawn.
    **changes
        Single parameters of `NMFParams` or `ChoiceOptions` by name, such as ``n_folds=10``
        or ``random_state=0``.

    Yields
    ------
    KStep
        After each fit, and about ten times a second during one. Send ``"stop"`` to end
        the search and keep what was measured; close the generator to drop it.

    Returns
    -------
    KChoice
        The measures (the value of ``StopIteration``); empty if it was stopped before
        any k was measured.

    Raises
    ------
    TypeError, ValueError
        For wrong parameters, numbers or pictures; the message names them. The pixels are
        looked at after the first step.

    References
    ----------
    A. B. Owen, P. O. Perry: Bi-cross-validation of the SVD and the nonnegative matrix
    factorization. Annals of Applied Statistics 3 (2009), doi:10.1214/08-AOAS227.

    B. Kanagal, V. Sindhwani: Rank selection in low-rank matrix approximations: a study of
    cross-validation for NMFs. NIPS workshop on low-rank methods for large-scale machine
    learning (2010).
    """
    of_options = {each.name for each in fields(ChoiceOptions)} & set(changes)
    options = ChoiceOptions(**{name: changes.pop(name) for name in of_options})
    params = replace(params or NMFParams(), **changes)
    if params.random_state is None:
        params = replace(params, random_state=int(np.random.default_rng().integers(2**32)))
    return _Search(as_stack(images), ks, params, options).run()


def choose_k(
    images: Any,
    ks: Iterable[int] | None = None,
    params: NMFParams | None = None,
    **changes: Any,
) -> KChoice:
    """Measure different numbers of components and suggest one.

    Parameters
    ----------
    images, ks, params, **changes
        As in `iter_choose_k`.

    Returns
    -------
    KChoice
        Measures, models and a suggestion.

    Raises
    ------
    TypeError, ValueError
        As in `iter_choose_k`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> faces = np.tensordot(rng.random((40, 3)), rng.random((3, 9, 8)) ** 4, 1)
    >>> choose_k(faces, [1, 2, 3, 4], n_starts=2).suggested
    3
    """
    return drain(iter_choose_k(images, ks, params, **changes))


class _StoppedError(Exception):
    """The user wants no more than there is."""


@dataclass(frozen=True, eq=False)
class _Measured:
    """What is known of one k."""

    model: LatentFaces
    fold_errors: list[float]
    stability: float
    unconverged: int


class _Search:
    """One run of the search."""

    def __init__(
        self,
        stack: FaceStack,
        ks: Iterable[int] | None,
        params: NMFParams,
        options: ChoiceOptions,
    ) -> None:
        self.whole, self.params, self.options = stack, params, options
        if options.warm_start and params.init is not None:
            raise ValueError(
                f"init={params.init!r} and warm_start=True both say where fits begin: give one."
            )
        self._rng = np.random.default_rng(params.random_state)
        self._chosen = sample_faces(len(stack), _most(stack, options), self._rng)
        self._folds = self._cut_faces()
        self._halves = [
            [pixel_halves(stack.size, self._rng) for _ in range(_HALVES)] for _ in self._folds
        ]
        self._most_k = len(self._chosen) - max(map(len, self._folds))
        self._searches = ks is None
        if ks is None:
            first = start_grid(self._most_k)
        else:
            first = check_ks(ks, self._most_k, options.n_folds)
        self._queue = spread_out(first)
        self._measured: dict[int, _Measured] = {}
        # of each part, the fits of the others by their k: what further ones begin from
        self._fold_fits: list[dict[int, LatentFaces]] = [{} for _ in self._folds]
        self._choice = self._summed_up()
        self._done, self._shown = 0, 0.0

    def _cut_faces(self) -> list[NDArray[np.intp]]:
        n, n_folds = len(self._chosen), self.options.n_folds
        if n < 2 * n_folds:
            raise ValueError(
                f"n_folds={n_folds} needs at least {2 * n_folds} faces, got {n}: choose fewer "
                "parts."
            )
        subjects = self.whole.subjects
        if subjects is not None:
            subjects = tuple(subjects[i] for i in self._chosen)
        return face_folds(n, subjects, n_folds, self._rng)

    def run(self) -> Searching:
        """Measure one k after the other; return what was measured."""
        try:
            stack = yield from self._read()
            while self._queue:
                yield from self._measure(stack, self._queue[0])
                self._queue.pop(0)
                if self._searches and not self._queue:
                    self._queue = further_ks(self._choice, self._most_k)
        except _StoppedError:
            pass
        return self._choice

    def _tell(self, doing: str, *, now: bool = True) -> Generator[KStep, Message, None]:
        """Yield where the search stands, if it is time to; leave if that is asked for."""
        if not now and time.monotonic() - self._shown < _PERIOD:
            return
        fits = self.options.n_starts + self.options.n_folds
        total = fits * (len(self._measured) + len(self._queue))
        message = yield KStep(self._done, total, doing, self._choice)
        self._shown = time.monotonic()
        if message == "stop":
            raise _StoppedError

    # -- the faces ------------------------------------------------------------------

    def _read(self) -> Generator[KStep, Message, FaceStack]:
        """Read the faces that are looked at into memory."""
        whole, chosen = self.whole, self._chosen
        yield from self._tell("reading faces")
        images = np.empty((len(chosen), *whole.shape[1:]), whole.dtype)
        step = 1 if len(chosen) < len(whole) else _READ_AT_ONCE  # else whole blocks are read
        for first in range(0, len(chosen), step):
            faces = chosen[first : first + step]
            images[first : first + step] = whole.images[faces[0] : faces[-1] + 1]
            yield from self._tell("reading faces", now=False)
        names = tuple(whole.names[i] for i in chosen)
        subjects = whole.subjects and tuple(whole.subjects[i] for i in chosen)
        return FaceStack(images, names, subjects, source=whole.source)

    # -- one k ----------------------------------------------------------------------

    def _measure(self, stack: FaceStack, k: int) -> Generator[KStep, Message, None]:
        """Make all fits for one k, and add what they show to the choice."""
        fits = yield from self._fit_starts(stack, k)
        errors, unconverged = yield from self._fit_folds(stack, k)
        self._measured[k] = _Measured(
            min(fits, key=lambda model: model.error),
            errors,
            stability([model.components for model in fits]),
            unconverged + sum(map(_is_unconverged, fits)),
        )
        self._choice = self._summed_up()

    def _fit_starts(
        self, stack: FaceStack, k: int
    ) -> Generator[KStep, Message, list[LatentFaces]]:
        """Fit all faces from several starts: the given one, then random ones."""
        fits = []
        for start in range(self.options.n_starts):
            params = replace(self.params, n_components=k)
            if start:
                assert params.random_state is not None
                seed = (params.random_state + start) % 2**32
                params = replace(params, init="random", random_state=seed)
            doing = f"k = {k}, start {start + 1} of {self.options.n_starts}"
            fits.append((yield from self._fit(stack, params, doing)))
        return fits

    def _fit_folds(
        self, stack: FaceStack, k: int
    ) -> Generator[KStep, Message, tuple[list[float], int]]:
        """Leave each part of the faces out of a fit, and predict its pixels."""
        errors, unconverged = [], 0
        params = replace(self.params, n_components=k)
        for number, (held_out, halves, fits) in enumerate(
            zip(self._folds, self._halves, self._fold_fits, strict=True), start=1
        ):
            others = stack[np.setdiff1d(np.arange(len(stack)), held_out)]
            doing = f"k = {k}, part {number} of {len(self._folds)} held out"
            model = yield from self._fit(others, params, doing, nearest_fit(fits, k))
            if self.options.warm_start:
                fits[k] = model
            errors.append(held_out_error(model, stack.images[held_out], halves))
            unconverged += _is_unconverged(model)
        return errors, unconverged

    def _fit(
        self, stack: FaceStack, params: NMFParams, doing: str, near: LatentFaces | None = None
    ) -> Generator[KStep, Message, LatentFaces]:
        """Make one fit, from another of the same faces if there is one."""
        yield from self._tell(doing)
        start = None if near is None else warm_start(near, stack, params)
        steps, message = iter_fit(stack, params, start=start), _NO_MESSAGE
        while True:
            try:
                step = steps.send(message)
            except StopIteration as end:
                self._done += 1
                return _as_ended(end.value)
            yield from self._tell(doing, now=False)
            # stopped at the end, it does not warn: the choice counts what did not converge
            message = "stop" if step.iteration >= step.max_iter else _NO_MESSAGE

    def _summed_up(self) -> KChoice:
        """Return what is measured so far, in the order of k."""
        ks = sorted(self._measured)
        found = [self._measured[k] for k in ks]
        folds = np.array([each.fold_errors for each in found], np.float64)
        return KChoice(
            ks=np.array(ks, int),
            errors=np.array([each.model.error for each in found], np.float64),
            fold_errors=folds.reshape(len(ks), len(self._folds)),
            stabilities=np.array([each.stability for each in found], np.float64),
            unconverged=np.array([each.unconverged for each in found], int),
            models={k: self._measured[k].model for k in ks},
            faces=self._chosen,
            n_faces=len(self.whole),
            options=self.options,
        )


def _most(stack: FaceStack, options: ChoiceOptions) -> int:
    """Return how many faces may be held in memory."""
    _, h, w = stack.shape
    return min(options.max_faces, max(_FEWEST_FACES, _SAMPLE_VALUES // (h * w)))


def _is_unconverged(model: LatentFaces) -> bool:
    return model.provenance.stop_reason == "max_iter" and getattr(model.params, "tol", 0) > 0


def _as_ended(model: LatentFaces) -> LatentFaces:
    """Return a model that says how its fit would have ended by itself."""
    if model.provenance.stop_reason != "stopped":
        return model
    return replace(model, provenance=replace(model.provenance, stop_reason="max_iter"))
