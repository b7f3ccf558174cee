"""Fitting on more than one machine, with `dask.distributed`.

The stack is cut into shares, a few blocks each. A worker reads a share once and keeps its
pixels; the weights of a share are made by a task from those that the last tasks made, and
stay where they are. Every task is a pure function of other tasks, so that dask makes again
what a lost worker held: from the last copies on other workers, if there are any, else from
the first iteration on.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from copy import deepcopy
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakSet

import numpy as np

from napari_latent_faces.nmf.blocks import FaceBlocks
from napari_latent_faces.nmf.copies import Copies
from napari_latent_faces.nmf.crew import HANDOVER
from napari_latent_faces.nmf.shares import (
    Way,
    added,
    advance_share,
    each_share,
    face_of_share,
    into_shares,
    task,
)
from napari_latent_faces.pixels import peak
from napari_latent_faces.steps import drain

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.nmf.crew import Advance

    Array = NDArray[np.float32]

__all__ = ["Cluster", "ClusterCrew"]

Result = TypeVar("Result")

# Passes after which weights are copied to a second worker: a lost worker costs its share of
# so many passes, and the copies a small part of the time of one.
_COPY_EVERY = 5


class Cluster:
    """The pictures of a stack on the workers of a cluster, for the time of a fit.

    Parameters
    ----------
    client : distributed.Client
        Connected to the cluster.
    images : dask array of shape (n, h, w)
        The pictures. The workers read them, and keep them in their own type.
    """

    def __init__(self, client: Any, images: Any) -> None:
        self.client = client
        self.address = client.scheduler.address
        self.n, h, w = images.shape
        self.p = h * w
        self.shares = into_shares(FaceBlocks(images, budget=0).rows)
        self._live: WeakSet[Any] = WeakSet()
        self._is_over = self._is_lost = False
        self.homes: list[str] = []
        self.find_homes()
        self.pixels = self._read(images)
        self.copies = Copies(client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_over = True
        self.copies.close(is_lost=self._is_lost)
        for each in self._live:  # steps that are still held have some
            each.release()

    def peak(self, names: Sequence[str], mask: NDArray[np.bool_] | None = None) -> float:
        """Check all pixels; return the largest, or say which face has a bad one."""
        jobs = [
            partial(peak, names=tuple(names[each.place]), mask=mask) for each in self.shares
        ]
        return float(max(self.results(self.start(self.tasks(jobs)))))

    def find_homes(self) -> None:
        """Choose a worker for each share, the same for neighbours: sums stay short.

        A share stays where it is as long as its worker lives, those of a lost worker
        go to the others.
        """
        workers = sorted(self._asked(self.client.nthreads))
        if not workers:
            raise ConnectionError(
                f"The scheduler {self.address} has no workers: start some (dask worker)."
            )
        n = len(self.shares)
        fresh = [workers[i * len(workers) // n] for i in range(n)]
        homes = self.homes or fresh
        self.homes = [
            home if home in workers else new for home, new in zip(homes, fresh, strict=True)
        ]

    def _read(self, images: Any) -> list[Any]:
        futures: list[Any] = []
        for home, group in groupby(zip(self.homes, self.shares, strict=True), itemgetter(0)):
            pictures = [images[share.place] for _, share in group]
            futures += self.client.compute(pictures, workers=[home], allow_other_workers=True)
        self._live.update(futures)
        return futures

    def tasks(self, jobs: Sequence[Callable[..., Any]], *arguments: Sequence[Any]) -> list[Any]:
        """Describe a task for each share, which begins with the share's pixels."""
        import dask

        found = []
        all_arguments = zip(self.pixels, *arguments, strict=True)
        for home, job, each in zip(self.homes, jobs, all_arguments, strict=True):
            # a wish: when the worker is lost, the next one takes over
            with dask.annotate(  # type: ignore[attr-defined]
                workers=[home], allow_other_workers=True
            ):
                found.append(task(job)(*each))
        return found

    def start(self, tasks: list[Any]) -> list[Any]:
        """Hand tasks to the scheduler; return their futures."""
        import dask

        # components of large pictures are no mistake
        quiet = {"distributed.admin.large-graph-warning-threshold": "1 GiB"}
        with dask.config.set(quiet):
            futures: list[Any] = self._asked(self.client.compute, tasks, optimize_graph=False)
        self._live.update(futures)
        return futures

    def results(self, futures: list[Any]) -> list[Any]:
        """Wait for results and fetch them."""
        return drain(self.awaited(futures))

    def awaited(self, futures: list[Any]) -> Generator[None, None, list[Any]]:
        """Wait for results and fetch them; yield now and then."""
        from distributed import wait

        if self._is_over:
            raise RuntimeError(
                "The fit is over, and the weights of its steps are gone: those of the last "
                "are in its model."
            )
        while True:
            try:
                self._asked(wait, futures, timeout=HANDOVER)
            except TimeoutError:
                self._check_scheduler()
                yield
            else:
                results: list[Any] = self._asked(self.client.gather, futures)
                return results

    def _asked(self, question: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Ask the scheduler something; say so if it is gone.

        Errors of tasks are raised as they are, also those of reading files.
        """
        try:
            with self.client.as_current():  # there may be others, or no active one
                return question(*arguments, **options)
        except TimeoutError:
            raise
        except (CancelledError, OSError) as error:
            self._check_scheduler(error)
            raise

    def _check_scheduler(self, error: BaseException | None = None) -> None:
        from distributed.comm.core import CommClosedError

        # a broken connection is known before the client's status tells of it
        broken = isinstance(error, (CancelledError, CommClosedError))
        if broken or self.client.status != "running":
            self._is_lost = True
            raise ConnectionError(
                f"The scheduler {self.address} is gone, or has dropped this fit's work: see "
                "that it runs, and fit again."
            ) from error


class ClusterCrew:
    """The workers of a cluster; weights are futures, one for each share.

    Parameters
    ----------
    cluster : Cluster
        Where the pictures are.
    unit : float
        The pixel value that becomes 1.
    hidden : array of int, optional
        Pixels that are left out.
    """

    def __init__(
        self, cluster: Cluster, unit: float, hidden: NDArray[np.intp] | None = None
    ) -> None:
        self.cluster, self._way = cluster, Way(unit, hidden)
        self.n, self.p = cluster.n, cluster.p
        self._passes = 0

    def each(
        self, job: Callable[..., Result], shared: Any, *weights: list[Any]
    ) -> Iterator[Result]:
        """Fetch what all blocks give; see `Crew`."""
        tasks = self._tasks(each_share, job, shared, weights)
        for results in self.cluster.results(self.cluster.start(tasks)):
            yield from results

    def advance(self, job: Callable[..., Any], shared: Any, *weights: list[Any]) -> Advance:
        """Leave the weights where they are made, and fetch the sum; see `Crew`."""
        self.cluster.find_homes()
        pairs = self._tasks(advance_share, job, shared, weights)
        total, *new = self.cluster.start(
            [added([pair[1] for pair in pairs]), *(pair[0] for pair in pairs)]
        )
        [found] = yield from self.cluster.awaited([total])
        self._passes += 1
        if self._passes % _COPY_EVERY == 0:
            self.cluster.copies.make(new, weights[0])  # all that the next pass needs
        return new, found

    def hand_out(self, W: Array) -> list[Any]:
        """Send weights to the cluster; see `Crew`."""
        parts = (W[:, share.place] for share in self.cluster.shares)
        return self.cluster.start([task(np.ascontiguousarray)(part) for part in parts])

    def repeat(self, column: Array) -> list[Any]:
        """Make the same weights for each face, on the cluster; see `Crew`."""
        sizes = (share.place.stop - share.place.start for share in self.cluster.shares)
        return self.cluster.start([task(np.repeat)(column, n, axis=1) for n in sizes])

    def collect(self, weights: list[Any]) -> Array:
        """Fetch weights as one array of shape (k, n)."""
        return np.concatenate(self.cluster.results(weights), axis=1)

    def face(self, i: int, weights: list[Any]) -> tuple[Array, Array]:
        """Fetch the pixels and the weights of one face."""
        at = next(at for at, each in enumerate(self.cluster.shares) if i < each.place.stop)
        share = self.cluster.shares[at]
        job = partial(face_of_share, i - share.place.start, share)
        asked = task(job)(self.cluster.pixels[at], self._way, weights[at])
        found: tuple[Array, Array] = self.cluster.results(self.cluster.start([asked]))[0]
        return found

    def _tasks(
        self,
        work: Callable[..., Any],
        job: Callable[..., Any],
        shared: Any,
        weights: tuple[list[Any], ...],
    ) -> list[Any]:
        """Describe the work on each share; what all share is a task, to be had again."""
        shares = self.cluster.shares
        jobs = [partial(work, job, share) for share in shares]
        # a copy: the caller's may change before it is sent
        common = [task(deepcopy((self._way, shared)))] * len(shares)
        return self.cluster.tasks(jobs, common, *weights)
