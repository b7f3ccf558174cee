"""How many components: what fits of several k leave out, and which k that speaks for."""

from __future__ import annotations

import logging
import math
import operator
import time
from concurrent.futures import FIRST_COMPLETED, CancelledError, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.explaining import pair_most_alike
from napari_latent_faces.export import save_table
from napari_latent_faces.fitting import iter_solve, needed
from napari_latent_faces.params import ChoiceOptions, NMFParams
from napari_latent_faces.solvers.blocks import on_one_blas_thread, one_blas_thread, processors
from napari_latent_faces.solvers.nnls import solve_nnls
from napari_latent_faces.stack import FaceStack, as_stack, over_channels
from napari_latent_faces.steps import consume, relayed
from napari_latent_faces.tiles import shrunk

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from os import PathLike

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

    _Fit = tuple[Any, bool]  # a model or a held-out error, and whether it did not converge
    Searching = Generator["KStep", Literal["stop"] | None, "KChoice"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, repr=False)
class KChoice:
    """Measures for several numbers of components k, in the order of k.

    Parameters
    ----------
    ks, errors, stabilities, unconverged : arrays of shape (m,)
        The numbers of components; for each the relative error of the best fit of all (sampled)
        faces, the mean cosine of matched components over pairs of starts, and how many of the
        fits ended at `max_iter` iterations.
    fold_errors : array of shape (m, n_folds)
        Relative error of held-out pixels of held-out faces, for each part of the faces.
    models : dict of int to LatentFaces
        The best fit for each k.
    faces, n_faces : array of int, and int
        Which faces were looked at, all or a sample, of how many.
    """

    ks: NDArray[np.int_]
    errors: NDArray[np.float64]
    fold_errors: NDArray[np.float64]
    stabilities: NDArray[np.float64]
    unconverged: NDArray[np.int_]
    models: dict[int, LatentFaces]
    faces: NDArray[np.intp]
    n_faces: int

    def __len__(self) -> int:
        return len(self.ks)

    @property
    def is_sample(self) -> bool:
        """Whether only some of the faces were looked at."""
        return len(self.faces) < self.n_faces

    @cached_property
    def held_out(self) -> NDArray[np.float64]:
        """Held-out error of each k, the mean over the parts: shape (m,)."""
        return np.asarray(self.fold_errors.mean(axis=1))

    @cached_property
    def lowest(self) -> int:
        """Where in `ks` the held-out error is lowest."""
        if not len(self):
            raise ValueError("No number of components was measured to the end.")
        return int(self.held_out.argmin())

    @cached_property
    def spread(self) -> NDArray[np.float64]:
        """Standard error of the difference to the lowest held-out error, part by part: (m,)."""
        differences = self.fold_errors - self.fold_errors[self.lowest]
        return np.asarray(differences.std(axis=1, ddof=1) / math.sqrt(differences.shape[1]))

    @cached_property
    def as_good(self) -> NDArray[np.bool_]:
        """Whether the held-out error is as good as the lowest: shape (m,).

        That is within one standard error (`spread`), 2 % of it, or 0.0001, as that of all k up
        to the lowest: with many k, a single one among worse neighbours is good by chance.
        """
        lowest = self.held_out[self.lowest]
        # 2 % no eye sees, and pixels of 8 bits are rounded to more than 0.0001
        is_worse = self.held_out - lowest > np.maximum(self.spread, max(0.02 * lowest, 1e-4))
        stretch = is_worse.cumsum()  # which of those that worse ones begin
        return np.asarray(~is_worse & (stretch == stretch[self.lowest]))

    @cached_property
    def suggested(self) -> int:
        """The smallest k that is `as_good`, or the stablest if by a mean cosine of 0.05."""
        good = np.flatnonzero(self.as_good)
        smallest, stablest = good[0], good[self.stabilities[good].argmax()]
        gain = self.stabilities[stablest] - self.stabilities[smallest]
        return int(self.ks[stablest if gain >= 0.05 else smallest])

    @cached_property
    def reason(self) -> str:
        """Why this number is suggested and what speaks against it, in a few sentences."""
        k, lowest = self.suggested, self.lowest
        at = int(np.searchsorted(self.ks, k))
        error, stable = f"{self.held_out[at]:.4f}", f"{self.stabilities[at]:.2f}"
        good = self.ks[self.as_good].tolist()
        others = [str(each) for each in good if each != k]
        best = f"({self.held_out[lowest]:.4f}, at k = {self.ks[lowest]})"
        as_good = f"within one standard error or 2 % of the lowest {best}"
        reasons = {
            f"k = {k} is the only one measured: held-out error {error}.": len(self) == 1,
            f"k = {k} has the lowest held-out error, {error}.": at == lowest,
            f"k = {k} is the smallest whose held-out error, {error}, is {as_good}.": k
            == good[0],
            f"k = {k}: its held-out error, {error}, is {as_good}, and its components are more "
            f"stable ({stable}) than those of the smallest such k, {good[0]}.": True,
        }
        is_at_end, is_at_start = 1 < len(self) == lowest + 1, at == 0 and len(self) > 1 < k
        more = " ..." if len(others) > 8 else ""
        fits, n, is_unstable = self.unconverged[at], len(self.faces), self.stabilities[at] < 0.8
        cautions = {
            f"The data does not tell it from k = {', '.join(others[:8])}{more}.": others,
            "The lowest is at the largest k tried: try larger ones, too.": is_at_end,
            "It is the smallest k tried: try smaller ones, too.": is_at_start and not is_at_end,
            f"Its components depend on the start (stability {stable}).": is_unstable,
            f"{fits} of its fits did not converge: raise max_iter or tol.": fits,
            f"Measured on a random sample of {n} of {self.n_faces} faces.": self.is_sample,
        }
        why = next(words for words, is_true in reasons.items() if is_true)
        return " ".join([why, *(words for words, is_true in cautions.items() if is_true)])

    @property
    def model(self) -> LatentFaces:
        """The model with the suggested number of components."""
        return self.models[self.suggested]

    def rows(self) -> list[dict[str, Any]]:
        """Return the measures of each k as a dictionary of plain numbers."""
        columns = {
            "k": self.ks,
            "relative_error": self.errors,
            "held_out_error": self.held_out,
            "standard_error_to_lowest": self.spread,
            "stability": self.stabilities,
            "unconverged_fits": self.unconverged,
            "suggested": (self.ks == self.suggested).astype(int),
            **{f"held_out_error_{i}": each for i, each in enumerate(self.fold_errors.T, 1)},
        }
        values = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in values]

    def save_csv(self, path: str | PathLike[str]) -> None:
        """Write the measures as a table with a line for each k, whole or not at all."""
        rows = self.rows()
        save_table(path, list(rows[0]), (row.values() for row in rows))


def face_folds(
    n: int, subjects: Sequence[str] | None, n_folds: int, rng: np.random.Generator
) -> list[NDArray[np.intp]]:
    """Cut faces into folds of nearly one size, no subject in two of them."""
    names, owners = np.unique(np.asarray(subjects or ()), return_inverse=True)
    if len(names) < 2 * n_folds:  # or none are known
        owners = np.arange(n)
    sizes = np.bincount(owners)
    shuffled = rng.permutation(len(sizes))
    fold_of, filled = np.empty(len(sizes), int), np.zeros(n_folds)
    for owner in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:  # the largest first
        fold_of[owner] = filled.argmin()
        filled[fold_of[owner]] += sizes[owner]
    return [np.flatnonzero(fold_of[owners] == fold) for fold in range(n_folds)]


def pixel_half(picture_shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Cut a face into tiles and draw half of them: shape (p,)."""
    size = picture_shape[:2]
    # single pixels would be told by their neighbours; half faces would hide whole components
    side = max(1, round(min(size) / 8))
    rows, columns = (
        (np.arange(length) + (rng.integers(side) if length > side else 0)) // side
        for length in size
    )
    tiles = rows[:, None] * (columns[-1] + 1) + columns
    used = np.unique(tiles)
    half = np.isin(tiles, rng.permutation(used)[: len(used) // 2])
    return over_channels(half, picture_shape).reshape(-1)


def held_out_error(
    model: LatentFaces, images: NDArray[Any], halves: Sequence[NDArray[np.bool_]]
) -> float:
    """Return the relative error of each half of pixels with the best weights of the other."""
    X = images.reshape(len(images), -1) / np.float64(model.scale)
    H = model.components.reshape(model.n_components, -1).astype(np.float64)
    lost = 0.0
    with one_blas_thread():
        for seen in (each for half in halves for each in (half, ~half)):
            Q, R = np.linalg.qr(H[:, seen].T)
            weights = solve_nnls(R, X[:, seen] @ Q)
            missed = X[:, ~seen] - weights @ H[:, ~seen]
            lost += float(np.vdot(missed, missed))
    norm = float(np.vdot(X, X)) * len(halves)
    return float(np.sqrt(lost / norm)) if norm > 0 else 0.0


def stability(fits: Sequence[NDArray[Any]]) -> float:
    """Return the mean cosine of matched components (k, ...) over all pairs of fits."""
    exact = [fit.astype(np.float64) for fit in fits]
    return float(np.mean([pair_most_alike(*pair)[2] for pair in combinations(exact, 2)]))


_LARGEST_K = 128  # that a search looks at by itself
_OVERHEAD = 8  # a fit takes about as long as that of so many components more would

# The first look of a window: so many k up to so large, faces, pixels of the longer side
_FEW_KS, _MOST_FEW, _FEW_FACES, _SMALL = 5, 32, 500, 80
_LITTLE_EFFORT = ChoiceOptions(n_starts=2, n_folds=3)


def spread_out(ks: list[int]) -> list[int]:
    """Return numbers in an order that soon shows the whole range: ends, middle, quarters."""
    step = len(ks) - 1
    places = [0, step]
    while step > 1:
        step = -(-step // 2)
        places += range(0, len(ks), step)
    return [ks[place] for place in dict.fromkeys(places)]


def further_ks(choice: KChoice, most: int) -> list[int]:
    """Return which k up to `most` to measure next, none when the suggestion is sharp enough."""
    ks, most = choice.ks.tolist(), min(most, _LARGEST_K)
    if choice.lowest == len(ks) - 1 and ks[-1] < most:
        return [min(2 * ks[-1], most)]
    at = ks.index(choice.suggested)
    first = [1] if at == 0 else []
    near = sorted({*first, *ks[max(at - 1, 0) : at + 2]})
    fine = max(1, choice.suggested // 20)  # nearer neighbours are not told apart
    middles = [(low + high) // 2 for low, high in pairwise(near) if high - low > fine]
    return [k for k in dict.fromkeys([*first, *middles]) if k not in ks]


@dataclass(frozen=True, eq=False)
class KStep:
    """Where a search stands."""

    done: int  # fits made so far
    total: int  # fits at most: it never grows, and a search that chooses k may need fewer
    doing: str  # in words
    choice: KChoice  # the k of which all fits are made; it may be empty
    is_preview: bool = False  # a first look, at fewer and smaller pictures
    seconds_left: float | None = None  # at most, if that can be told yet


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
    the pixels, and compared with what the other half shows (held-out error). Fits run side
    by side; how many there are changes no result.

    Parameters
    ----------
    images : FaceStack or array of shape (n, h, w) or (n, h, w, 3)
        As for `iter_fit`. Of more than `max_faces` (or, with more than 100 faces, of more
        than 2**28 pixels in all) a random sample is read, and held in memory. Faces of one
        subject stay together, if subjects are known and there are two for each fold.
    ks : iterable of int, optional
        The numbers of components to measure. By default they are searched for: 2, 4, 8
        and so on up to 64 (128 if the error still falls), then between the neighbours of
        the suggestion, until these are next to it (from k = 40 on, within 5 %).
    params : NMFParams, optional
        Parameters of the fits but for `n_components`; `random_state` is the seed of all.
    preview : bool, default=False
        Begin with a first look at a few k of at most 500 faces, made smaller by a whole factor
        until the longer side has at most 80 pixels. Its choice comes with the steps, and is no
        part of the result. Of small stacks there is none.
    **changes
        Single parameters of `NMFParams` or `ChoiceOptions` by name, such as ``n_folds=10``.

    Yields
    ------
    KStep
        About ten times a second. Send ``"stop"`` to end the search and keep what was
        measured; close the generator to drop it.

    Returns
    -------
    KChoice
        Measures, models and a suggestion; empty if it was stopped before any k was measured.

    References
    ----------
    Owen & Perry (2009), doi:10.1214/08-AOAS227; Kanagal & Sindhwani, Rank selection in low-rank
    matrix approximations: a study of cross-validation for NMFs, NIPS workshop on low-rank
    methods for large-scale machine learning (2010).
    """
    of_options = {each.name for each in fields(ChoiceOptions)} & set(changes)
    options = ChoiceOptions(**{name: changes.pop(name) for name in of_options})
    params = replace(params or NMFParams(), **changes)
    if params.random_state is None:
        params = replace(params, random_state=int(np.random.default_rng().integers(2**32)))
    return on_one_blas_thread(_Search(as_stack(images), ks, params, options, preview).run())


def choose_k(
    images: Any,
    ks: Iterable[int] | None = None,
    params: NMFParams | None = None,
    **changes: Any,
) -> KChoice:
    """Measure different numbers of components and suggest one; see `iter_choose_k`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> faces = np.tensordot(rng.random((40, 3)), rng.random((3, 9, 8)) ** 4, 1)
    >>> choose_k(faces, [1, 2, 3, 4], n_starts=2).suggested
    3
    """
    return consume(iter_choose_k(images, ks, params, **changes))


class _Search:
    def __init__(
        self,
        stack: FaceStack,
        ks: Iterable[int] | None,
        params: NMFParams,
        options: ChoiceOptions,
        preview: bool = False,
    ) -> None:
        self.whole, self.params, self.n_starts = stack, params, options.n_starts
        rng = np.random.default_rng(params.random_state)
        whole, n_folds = len(stack), options.n_folds
        # faces of 2**28 pixels are held in memory
        n = min(whole, options.max_faces, max(100, 2**28 // math.prod(stack.picture_shape)))
        chosen = np.arange(n) if n == whole else np.sort(rng.choice(whole, n, replace=False))
        if n < 2 * n_folds:
            raise ValueError(f"n_folds={n_folds} needs at least {2 * n_folds} faces, got {n}.")
        self._subjects = stack.subjects and tuple(stack.subjects[i] for i in chosen)
        self._folds = face_folds(n, self._subjects, n_folds, rng)
        # four ways to halve the pixels, for each fold
        shape = stack.picture_shape
        self._halves = [[pixel_half(shape, rng) for _ in range(4)] for _ in self._folds]
        self._most_k = n - max(map(len, self._folds))
        if ks is None:
            self._first = [k for k in (2, 4, 8, 16, 32, 64) if k <= self._most_k]
            self._further = 12  # numbers beyond the first ones
        else:
            wanted = sorted({operator.index(k) for k in ks})
            if not wanted or wanted[0] < 1 or wanted[-1] > self._most_k:
                words = f"(the faces left when one of {n_folds} parts is held out)"
                raise ValueError(f"k must be from 1 to {self._most_k} {words}, got {wanted}.")
            self._first, self._further = spread_out(wanted), 0
        self._fits_of_one = options.n_starts + n_folds
        self.total = self._fits_of_one * (len(self._first) + self._further)
        self._few: list[int] = []  # the k of a first look, unless pictures are small as it is
        if preview and max(stack.size) > _SMALL and n >= _FEW_FACES // 10:
            largest = min(min(n, _FEW_FACES) // 2, _MOST_FEW)
            self._few = spread_out(sorted(k for k in self._first if k <= largest))[:_FEW_KS]
            self.total += (_LITTLE_EFFORT.n_starts + _LITTLE_EFFORT.n_folds) * len(self._few)
        none, folds, counts = np.empty(0), np.empty((0, n_folds)), np.empty(0, int)
        measures = counts, none, folds, none, counts, dict[int, Any]()
        self.choice = KChoice(*measures, chosen, whole)
        self._fits: dict[int, list[Future[_Fit]]] = {}  # of k that are not in `choice` yet
        self._looked, self._began, self._is_over = 0, 0.0, False

    def run(self) -> Searching:
        with closing(self._steps()) as steps:
            for step in steps:
                if (yield step) == "stop":
                    break
        return self.choice

    def _steps(self) -> Generator[KStep]:
        whole, chosen = self.whole, self.choice.faces
        images = np.empty((len(chosen), *whole.picture_shape), whole.dtype)
        length, told = 1 if self.choice.is_sample else 64, -math.inf
        for first in range(0, len(chosen), length):  # a sample is read face by face
            if time.monotonic() - told > 0.1:
                yield self._step("reading faces")
                told = time.monotonic()
            faces = chosen[first : first + length]
            images[first : first + length] = whole.images[faces[0] : faces[-1] + 1]
        names, subjects = tuple(whole.names[i] for i in chosen), self._subjects
        stack = replace(whole, images=images, names=names, subjects=subjects, transforms=None)
        if self._few:
            yield from self._look(stack)
        self._began, seed = time.monotonic(), self.params.random_state or 0
        pool = ThreadPoolExecutor(self._side_by_side(stack), "choose-k")
        try:
            ks = self._first
            while ks:
                for k in ks:
                    params = replace(self.params, n_components=k)
                    seeds = ((seed + start) % 2**32 for start in range(1, self.n_starts))
                    others = [replace(params, init="random", random_state=s) for s in seeds]
                    jobs: list[Any] = [(each, None) for each in (params, *others)]
                    jobs += [(params, fold) for fold in range(len(self._folds))]
                    self._fits[k] = [pool.submit(self._fit, stack, *job) for job in jobs]
                for k in ks:
                    yield from self._measure(k)
                ks = further_ks(self.choice, self._most_k)[: self._further]
                self._further -= len(ks)
        finally:
            self._is_over = True
            pool.shutdown(cancel_futures=True)

    def _measure(self, k: int) -> Iterator[KStep]:
        left: Iterable[Future[_Fit]] = self._fits[k]
        while left:
            number = sum(fit.done() for fit in self._fits[k]) + 1
            yield self._step(f"k = {k}, fit {number} of {self._fits_of_one}")
            made, left = wait(left, timeout=0.1, return_when=FIRST_COMPLETED)
            for fit in made:
                fit.result()  # raises what went wrong
        results, failed = zip(*(fit.result() for fit in self._fits.pop(k)), strict=True)
        models, old = results[: self.n_starts], self.choice
        best = min(models, key=lambda model: model.error)
        stable = stability([model.components for model in models])
        found = [k, best.error, results[self.n_starts :], stable, sum(failed)]
        known = [old.ks, old.errors, old.fold_errors, old.stabilities, old.unconverged]
        at = np.searchsorted(old.ks, k)
        grown: list[Any] = [np.insert(known[i], at, found[i], axis=0) for i in range(5)]
        grown += [old.models | {k: best}, old.faces, old.n_faces]
        self.choice = KChoice(*grown)

    def _step(self, doing: str) -> KStep:
        """Return where the search stands; a fit takes longer for more k."""
        choice, each = self.choice, self._fits_of_one
        fits = [(k + _OVERHEAD, fit.done()) for k in self._fits for fit in self._fits[k]]
        work = sum(size for size, is_done in fits if is_done)
        work += each * int((choice.ks + _OVERHEAD).sum())
        guess = choice.suggested if choice else _LARGEST_K // 4
        more = self._further * each * (guess + _OVERHEAD)
        more += sum(size for size, is_done in fits if not is_done)
        left = more * (time.monotonic() - self._began) / work if work else None
        done = self._looked + each * len(choice) + sum(is_done for _, is_done in fits)
        return KStep(done, self.total, doing, choice, seconds_left=left)

    def _look(self, stack: FaceStack) -> Iterator[KStep]:
        """Tell what small pictures of some faces say of a few k."""
        n = len(stack)
        some = stack[np.linspace(0, n, min(n, _FEW_FACES), endpoint=False).astype(int)]
        small = shrunk(some.images, _SMALL, in_colour=some.in_colour)
        pictures = FaceStack(small, some.names, some.subjects)
        search = _Search(pictures, self._few, self.params, _LITTLE_EFFORT)
        known: Any = {"total": self.total, "is_preview": True}
        choice = yield from relayed(search.run(), lambda step: replace(step, **known))
        self._looked = search.total
        yield KStep(self._looked, self.total, "refining", choice, is_preview=True)

    def _side_by_side(self, stack: FaceStack) -> int:
        """Return how many fits run at a time: one a processor, as far as memory goes."""
        if self.params.solver != "multilevel":
            return 1  # scikit-learn's solvers take the processors that there are
        import psutil

        largest = replace(self.params, n_components=min(self._most_k, _LARGEST_K))
        size = needed(stack, largest, threads=1) + stack.images.nbytes
        found = max(1, min(processors(), int(psutil.virtual_memory().available / size)))
        _LOG.info("%d fits run at a time.", found)
        return found

    def _fit(self, stack: FaceStack, params: NMFParams, fold: int | None) -> _Fit:
        """Fit all faces, or all but a fold, whose pixels are then predicted."""
        faces = np.empty(0, int) if fold is None else self._folds[fold]
        some = stack if fold is None else stack[np.setdiff1d(np.arange(len(stack)), faces)]
        with closing(iter_solve(some, params, client=None, threads=1)) as steps:
            model = consume(steps, self._look_in)
        failed = model.provenance.stop_reason == "max_iter" and params.tol > 0
        if fold is None:
            return model, failed
        return held_out_error(model, stack.images[faces], self._halves[fold]), failed

    def _look_in(self, _: object) -> None:
        if self._is_over:
            raise CancelledError
