"""The search for k as a generator: every front end runs the same one."""

from __future__ import annotations

import logging
import math
import operator
import threading
import time
from concurrent.futures import FIRST_COMPLETED, CancelledError, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from napari_latent_faces.choosing.choice import KChoice
from napari_latent_faces.choosing.measures import (
    face_folds,
    held_out_error,
    pixel_half,
    stability,
)
from napari_latent_faces.encoding import iter_encode
from napari_latent_faces.fitting import iter_fit
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.options import ChoiceOptions
from napari_latent_faces.params import NMFParams
from napari_latent_faces.solvers.blocks import on_one_blas_thread, processors
from napari_latent_faces.solvers.memory import needed
from napari_latent_faces.solvers.pyramid import cell_sizes, halve
from napari_latent_faces.stack import FaceStack, as_stack
from napari_latent_faces.steps import consume, relayed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from concurrent.futures import Future

    from numpy.typing import NDArray

    Steps = Generator["KStep", Literal["stop"] | None, None]
    Searching = Generator["KStep", Literal["stop"] | None, KChoice]

__all__ = [
    "KStep",
    "check_ks",
    "choose_k",
    "further_ks",
    "iter_choose_k",
    "iter_whole_model",
    "most_faces",
    "spread_out",
    "start_grid",
]

_LOG = logging.getLogger(__name__)

# -- Which numbers of components to measure, and in which order ------------------------

_LARGEST_K = 128  # that a search looks at by itself
_FURTHER = 12  # numbers of components that a search looks at beyond its first ones

# -- The first look of a window
_FEW_KS, _MOST_FEW, _FEW_FACES, _SMALL = 5, 32, 500, 40  # pixels of the shorter side
_LITTLE_EFFORT = ChoiceOptions(n_starts=2, n_folds=3)
_OVERHEAD = 8  # a fit takes about as long as that of so many components more would


def check_ks(ks: Iterable[int], most: int, n_folds: int) -> list[int]:
    """Return the numbers in order, each once, or say what is wrong with them.

    Parameters
    ----------
    ks : iterable of int
        Numbers of components.
    most : int
        The largest that can be fitted when a fold is held out.
    n_folds : int
        Number of folds, for the message.
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
    """Return the numbers that a search without any given begins with, the quickest first."""
    return [k for k in (2, 4, 8, 16, 32, 64) if k <= most] or [1]


def spread_out(ks: list[int]) -> list[int]:
    """Return numbers in an order that soon shows the whole range: ends, middle, quarters."""
    last = len(ks) - 1
    places = dict.fromkeys([0, last // 2, last])
    step = last
    while step > 1:
        step = -(-step // 2)
        places.update(dict.fromkeys(range(0, len(ks), step)))
    places.update(dict.fromkeys(range(len(ks))))
    return [ks[place] for place in places]


def further_ks(choice: KChoice, most: int) -> list[int]:
    """Return which numbers to measure next, none when the suggestion is sharp enough.

    Parameters
    ----------
    choice : KChoice
        What is measured.
    most : int
        The largest number that can be measured.
    """
    ks, most = choice.ks.tolist(), min(most, _LARGEST_K)
    if choice.lowest == len(ks) - 1 and ks[-1] < most:
        return [min(2 * ks[-1], most)]
    at = ks.index(choice.suggested)
    first = [1] if at == 0 else []
    near = sorted({*first, *ks[max(at - 1, 0) : at + 2]})
    fine = max(1, choice.suggested // 20)  # nearer neighbours are not told apart
    middles = [(low + high) // 2 for low, high in pairwise(near) if high - low > fine]
    return [k for k in dict.fromkeys([*first, *middles]) if k not in ks]


def most_faces(options: ChoiceOptions, pixels: int) -> int:
    """Return how many faces of so many pixels are held in memory at most."""
    return min(options.max_faces, max(100, 2**28 // pixels))


# -- The search ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class KStep:
    """Where a search stands.

    Parameters
    ----------
    done : int
        Fits made so far.
    total : int
        Fits that will be made at most. It never grows; a search that chooses k itself
        may need fewer.
    doing : str
        What is going on, in words.
    choice : KChoice
        What is measured so far: the k of which all fits are made. It may be empty.
    is_preview : bool
        Whether that is a first look, at fewer and smaller pictures.
    seconds_left : float or None
        What the other fits will take at most, if that can be told yet.
    """

    done: int
    total: int
    doing: str
    choice: KChoice = field(repr=False)
    is_preview: bool = False
    seconds_left: float | None = None


def iter_choose_k(
    images: Any,
    ks: Iterable[int] | None = None,
    params: NMFParams | None = None,
    *,
    preview: bool = False,
    **changes: Any,
) -> Searching:
    """Measure how well different numbers of components describe faces, step by step.

    For each k, all faces are fitted from several starts (relative error, stability), and
    each fold of the faces is left out of a fit once: its weights are found from half of
    the pixels, and what they say of the other half is compared with the truth (held-out
    error). More components always lower the relative error; the held-out error rises
    again when they describe what these faces do not share with others.

    Fits run side by side, one to a processor. What is measured does not depend on how many
    there are.

    Parameters
    ----------
    images : FaceStack or array of shape (n, h, w) or (n, h, w, 3)
        Pictures, numpy or lazy, as for `iter_fit`. Of more than `max_faces` (or,
        with more than 100 faces, of more than 2**28 pixels in all) a random sample is
        read, and held in memory. Faces of one subject stay together, if subjects are
        known and there are two for each fold.
    ks : iterable of int, optional
        The numbers of components to measure. By default they are searched for: 2, 4, 8
        and so on up to 64 (128 if the error still falls), then between the neighbours of
        the suggestion, until these are next to it (from k = 40 on, within 5 %).
    params : NMFParams, optional
        Parameters of the fits; `n_components` is not used. `random_state` is the seed of
        all that is drawn.
    preview : bool, default=False
        Begin with a first look: a few k, with few fits of at most 500 faces at a size of
        about 50 pixels. Its choice comes with the steps, and is no part of the result.
        Of small stacks there is none.
    **changes
        Single parameters of `NMFParams` or `ChoiceOptions` by name, such as ``n_folds=10``
        or ``random_state=0``.

    Yields
    ------
    KStep
        After fits, and about ten times a second during them. Send ``"stop"`` to end
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
    search = _Search(as_stack(images), ks, params, options)
    if preview:
        search.look_first()
    return on_one_blas_thread(search.run())


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
    return consume(iter_choose_k(images, ks, params, **changes))


class _StoppedError(Exception):
    """The user wants no more than there is."""


class _Measured(NamedTuple):
    """What is known of one k."""

    model: LatentFaces
    fold_errors: list[float]
    stability: float
    unconverged: int


class _Fits(NamedTuple):
    """The fits for one k, made or still to be made."""

    starts: list[Future[LatentFaces]]
    folds: list[Future[tuple[float, bool]]]

    @property
    def all(self) -> list[Future[Any]]:
        return [*self.starts, *self.folds]


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
        rng = np.random.default_rng(params.random_state)
        n, most = len(stack), most_faces(options, math.prod(stack.picture_shape))
        self._chosen: NDArray[np.intp] = np.arange(n)
        if n > most:
            self._chosen = np.sort(rng.choice(n, most, replace=False))
        self._subjects = stack.subjects and tuple(stack.subjects[i] for i in self._chosen)
        n, n_folds = len(self._chosen), options.n_folds
        if n < 2 * n_folds:
            raise ValueError(
                f"n_folds={n_folds} needs at least {2 * n_folds} faces, got {n}: choose fewer "
                "parts."
            )
        self._folds = face_folds(n, self._subjects, n_folds, rng)
        # four ways to halve the pixels, for each fold
        self._halves = [
            [pixel_half(stack.picture_shape, rng) for _ in range(4)] for _ in self._folds
        ]
        self._most_k = n - max(map(len, self._folds))
        if ks is None:
            self._first, self._further = start_grid(self._most_k), _FURTHER
        else:
            self._first = spread_out(check_ks(ks, self._most_k, n_folds))
            self._further = 0
        self._fits: dict[int, _Fits] = {}
        self._measured: dict[int, _Measured] = {}
        self._choice = self._summed_up()
        self._done, self._told = 0, 0.0
        self._total = _fits_of_one(options) * (len(self._first) + self._further)
        self._work, self._began = 0.0, 0.0
        self._few: list[int] = []  # the k of a first look
        self._is_over = threading.Event()

    def look_first(self) -> None:
        """Have a first look at a few k, unless the pictures are as small as those of one."""
        n = min(len(self._chosen), _FEW_FACES)
        if self._halvings() and n >= _FEW_FACES // 10:
            few = [k for k in sorted(self._first) if k <= min(n // 2, _MOST_FEW)]
            self._few = spread_out(few)[:_FEW_KS] if few else []
            self._total += _fits_of_one(_LITTLE_EFFORT) * len(self._few)

    def _halvings(self) -> int:
        return max(0, int(math.log2(min(self.whole.picture_shape[:2]) / _SMALL)))

    def run(self) -> Searching:
        """Measure one k after the other; return what was measured."""
        try:
            stack = yield from self._read()
            if self._few:
                yield from self._look(stack)
            pool = ThreadPoolExecutor(self._side_by_side(stack), "choose-k")
            try:
                yield from self._measure_all(stack, pool)
            finally:
                self._is_over.set()
                pool.shutdown(cancel_futures=True)
        except _StoppedError:
            pass
        return self._choice

    def _measure_all(self, stack: FaceStack, pool: ThreadPoolExecutor) -> Steps:
        ks = self._first
        while ks:
            yield from self._measure(stack, ks, pool)
            ks = further_ks(self._choice, self._most_k)[: self._further]
            self._further -= len(ks)

    def _tell(self, doing: str) -> Steps:
        """Yield where the search stands; leave if that is asked for."""
        left = self._seconds_left()
        message = yield KStep(self._done, self._total, doing, self._choice, seconds_left=left)
        self._told = time.monotonic()
        if message == "stop":
            raise _StoppedError

    def _read(self) -> Generator[KStep, Literal["stop"] | None, FaceStack]:
        """Read the faces that are looked at into memory."""
        whole, chosen = self.whole, self._chosen
        yield from self._tell("reading faces")
        images = np.empty((len(chosen), *whole.picture_shape), whole.dtype)
        step = 1 if len(chosen) < len(whole) else 64  # a sample is read face by face
        for first in range(0, len(chosen), step):
            faces = chosen[first : first + step]
            images[first : first + step] = whole.images[faces[0] : faces[-1] + 1]
            if time.monotonic() - self._told > 0.1:
                yield from self._tell("reading faces")
        names = tuple(whole.names[i] for i in chosen)
        return replace(
            whole, images=images, names=names, subjects=self._subjects, transforms=None
        )

    def _look(self, stack: FaceStack) -> Steps:
        """Tell what small pictures of some faces say of a few k."""
        n, level = len(stack), self._halvings()
        some = np.linspace(0, n, min(n, _FEW_FACES), endpoint=False).astype(int)
        small = stack.images[some].astype(np.float32)
        for _ in range(level):
            small = halve(small)
        small /= cell_sizes(stack.picture_shape, level)
        subjects = stack.subjects and tuple(stack.subjects[i] for i in some)
        pictures = FaceStack(small, tuple(stack.names[i] for i in some), subjects)
        search = _Search(pictures, self._few, self.params, _LITTLE_EFFORT)
        steps = search.run()
        try:
            for step in steps:
                if (yield self._of_look(step.done, step.doing, step.choice)) == "stop":
                    raise _StoppedError
        finally:
            steps.close()
        self._done = search._total
        if (yield self._of_look(self._done, "refining", search._choice)) == "stop":
            raise _StoppedError

    def _of_look(self, done: int, doing: str, choice: KChoice) -> KStep:
        return KStep(done, self._total, doing, choice, is_preview=True)

    def _seconds_left(self) -> float | None:
        """Return what is left to do at the pace so far: a fit takes longer for more k."""
        if not self._work:
            return None
        ks = [k for k, fits in self._fits.items() for fit in fits.all if not fit.done()]
        guess = self._choice.suggested if len(self._choice) else _LARGEST_K // 4
        ks += [guess] * (self._further * _fits_of_one(self.options))
        return (time.monotonic() - self._began) / self._work * sum(k + _OVERHEAD for k in ks)

    def _side_by_side(self, stack: FaceStack) -> int:
        """Return how many fits run at a time: one a processor, as far as memory goes."""
        if self.params.solver != "multilevel":
            return 1  # scikit-learn's solvers take the processors that there are
        import psutil

        largest = replace(self.params, n_components=min(self._most_k, _LARGEST_K))
        size = needed(stack, largest, threads=1) + stack.images.nbytes
        at_once = int(psutil.virtual_memory().available / size)
        found = max(1, min(processors(), at_once))
        _LOG.info("%d fits run at a time.", found)
        return found

    # -- one k ----------------------------------------------------------------------

    def _measure(self, stack: FaceStack, ks: list[int], pool: ThreadPoolExecutor) -> Steps:
        """Make all fits for some k; add what they show to the choice, one k at a time."""
        self._began = self._began or time.monotonic()
        self._fits = {k: self._begin(stack, k, pool) for k in ks}
        k_of = {fit: k for k, fits in self._fits.items() for fit in fits.all}
        left = {fit for fits in self._fits.values() for fit in fits.all}
        while left:
            k, fits = next(iter(self._fits.items()))
            number = sum(fit.done() for fit in fits.all) + 1
            yield from self._tell(f"k = {k}, fit {number} of {len(fits.all)}")
            made, left = wait(left, timeout=0.1, return_when=FIRST_COMPLETED)
            for fit in made:
                fit.result()  # raises what went wrong
                self._work += k_of[fit] + _OVERHEAD
            self._done += len(made)
            for k in [k for k, fits in self._fits.items() if not left.intersection(fits.all)]:
                self._measured[k] = self._sum_up(self._fits.pop(k))
                self._choice = self._summed_up()

    def _begin(self, stack: FaceStack, k: int, pool: ThreadPoolExecutor) -> _Fits:
        """Queue the fits for one k: all faces from several starts, then without each fold."""
        params = replace(self.params, n_components=k)
        assert params.random_state is not None
        starts = [params] + [
            replace(params, init="random", random_state=(params.random_state + start) % 2**32)
            for start in range(1, self.options.n_starts)
        ]
        return _Fits(
            [pool.submit(self._fit, stack, each) for each in starts],
            [pool.submit(self._held_out, stack, params, i) for i in range(len(self._folds))],
        )

    def _held_out(self, stack: FaceStack, params: NMFParams, fold: int) -> tuple[float, bool]:
        """Leave a fold out of a fit and predict its pixels: the error, if it converged."""
        faces = self._folds[fold]
        model = self._fit(stack[np.setdiff1d(np.arange(len(stack)), faces)], params)
        error = held_out_error(model, stack.images[faces], self._halves[fold])
        return error, _is_unconverged(model)

    def _fit(self, stack: FaceStack, params: NMFParams) -> LatentFaces:
        steps = iter_fit(stack, params, client=None, threads=1)
        message: Literal["stop"] | None = None
        while True:
            try:
                step = steps.send(message)
            except StopIteration as end:
                model: LatentFaces = end.value
                break
            if self._is_over.is_set():
                steps.close()
                raise CancelledError
            # stopped at the end, it does not warn: the choice counts what did not converge
            message = "stop" if step.iteration >= step.max_iter else None
        if model.provenance.stop_reason != "stopped":
            return model
        return replace(model, provenance=replace(model.provenance, stop_reason="max_iter"))

    @staticmethod
    def _sum_up(fits: _Fits) -> _Measured:
        models = [fit.result() for fit in fits.starts]
        errors, unconverged = zip(*(fit.result() for fit in fits.folds), strict=True)
        return _Measured(
            min(models, key=lambda model: model.error),
            list(errors),
            stability([model.components for model in models]),
            sum(unconverged) + sum(map(_is_unconverged, models)),
        )

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


def _fits_of_one(options: ChoiceOptions) -> int:
    """Return how many fits are made for each k."""
    return options.n_starts + options.n_folds


def _is_unconverged(model: LatentFaces) -> bool:
    return model.provenance.stop_reason == "max_iter" and getattr(model.params, "tol", 0) > 0


# -- A model of a sample of faces, extended to all of them -----------------------------


def iter_whole_model(
    model: LatentFaces, images: Any
) -> Generator[tuple[int, int], None, LatentFaces]:
    """Find the weights of all faces of a stack for the components of a model.

    Parameters
    ----------
    model : LatentFaces
        A model of some of the faces.
    images : FaceStack or array of shape (n, h, w) or (n, h, w, 3)
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
    found = yield from relayed(iter_encode(model, stack), lambda done: (done, len(stack)))
    return LatentFaces.from_factors(
        found.weights,
        model.components.reshape(model.n_components, -1),
        model.picture_shape,
        error=found.error,
        scale=found.scale,
        params=model.params,
        provenance=model.provenance.of_other_faces(stack),
        transforms=stack.transforms,
    )
