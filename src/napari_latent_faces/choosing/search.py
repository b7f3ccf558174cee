"""The search for k as a generator: every front end drains the same one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.choosing.candidates import (
    check_ks,
    further_ks,
    spread_out,
    start_grid,
)
from napari_latent_faces.choosing.choice import KChoice
from napari_latent_faces.choosing.heldout import held_out_error
from napari_latent_faces.choosing.matching import stability
from napari_latent_faces.choosing.options import ChoiceOptions
from napari_latent_faces.choosing.splits import face_folds, pixel_halves, sample_faces
from napari_latent_faces.choosing.warm import nearest_fit, warm_start
from napari_latent_faces.nmf import NMFParams, iter_fit
from napari_latent_faces.pixels import as_stack
from napari_latent_faces.stack import FaceStack
from napari_latent_faces.steps import drain

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

    Message = Literal["stop"] | None
    Searching = Generator["KStep", Message, KChoice]

__all__ = ["KStep", "choose_k", "iter_choose_k"]

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
            [pixel_halves(stack.shape[1:], self._rng) for _ in range(_HALVES)]
            for _ in self._folds
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
