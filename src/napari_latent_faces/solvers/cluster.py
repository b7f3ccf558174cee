"""The blocks of a fit on a cluster of dask.distributed."""

from __future__ import annotations

import logging
import math
import sys
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias, TypeVar
from weakref import WeakSet

import numpy as np

from napari_latent_faces.solvers.blocks import (
    HANDOVER,
    FaceBlocks,
    LocalBackend,
    add,
    one_blas_thread,
)
from napari_latent_faces.stack import peak
from napari_latent_faces.steps import consume

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from napari_latent_faces.solvers.blocks import Advance
    from napari_latent_faces.solvers.factors import Factors

    Array = NDArray[np.float32]
    Way = tuple[float, NDArray[np.intp] | None]  # the pixel that becomes 1, those left out

Result = TypeVar("Result")

_LOG = logging.getLogger(__name__)

# A task costs the scheduler about a millisecond, a block is some ten milliseconds' work.
_PARTITIONS = 64  # a stack is cut into so many before partitions grow
_PARTITION_BLOCKS = 16  # the most blocks of a partition: nobody can interrupt it
_SUMMANDS = 8  # that one task adds up
# Passes after which weights are copied to a second worker: a lost worker costs its partition of
# so many passes, and the copies a small part of the time of one.
_COPY_EVERY = 5
_WAIT = 60.0  # seconds for workers to come back


def chosen_client(client: Any, images: Any, solver: str) -> Any:
    """Return the client to fit with, or None for a fit in this process."""
    is_possible = hasattr(images, "__dask_graph__") and solver == "multilevel"
    if isinstance(client, str) and client == "auto":  # the one in use, without an import for it
        distributed = sys.modules.get("distributed") if is_possible else None
        if distributed is None:
            return None
        with suppress(ValueError):  # in a task: waiting for others would keep them from running
            distributed.get_worker()
            return None
        with suppress(ValueError):  # there is none
            active = distributed.default_client()
            return None if active.asynchronous else active
        return None
    if client is None:
        return None
    if not hasattr(client, "scheduler_info") or client.asynchronous:
        words = "client must be a distributed.Client that is not asynchronous, 'auto' or None"
        raise TypeError(f"{words}, got {client!r}.")
    if solver != "multilevel":
        raise ValueError(f"solver={solver!r} cannot run on a cluster: only 'multilevel' can.")
    if not is_possible:
        words = "they must be a dask array, such as read_faces(..., lazy=True) returns."
        raise ValueError(f"A cluster reads the pictures itself: {words}")
    return client


class WorkersLostError(ConnectionError):
    """No worker has come back in time."""

    def __init__(self, address: str, limit: float, factors: Factors | None) -> None:
        words = f"The scheduler {address} has had no workers for {limit:g} s: start some (dask "
        words += "worker), and fit again."
        if factors:
            n = factors.iteration
            words += f" What {n} iterations have reached is the error's model: see start=."
        setting = "The setting latent-faces.wait-for-workers of dask"
        super().__init__(f"{words} {setting} is the time to wait in seconds.")
        self.factors = factors  # of when weights were last fetched
        self.model: Any = None  # of the same


class _Partition(NamedTuple):
    """Blocks that a worker holds."""

    place: slice  # of their faces in the stack
    rows: list[slice]  # of each block, within it

    def backend(self, pixels: NDArray[Any], way: Way) -> LocalBackend:
        unit, hidden = way
        blocks = FaceBlocks(pixels, unit, rows=self.rows, hidden=hidden)
        return LocalBackend(blocks, None, self.place.start)


def each_partition(
    job: Callable[..., Result], partition: _Partition, pixels: Any, common: Any, *parts: Array
) -> list[Result]:
    """Do a job on each block of a partition; see `LocalBackend.each`."""
    way, shared = common
    with one_blas_thread():
        return list(partition.backend(pixels, way).each(job, shared, *parts))


def advance_partition(
    job: Callable[..., Any], partition: _Partition, pixels: Any, common: Any, *parts: Array
) -> tuple[Array, Any]:
    """Return new weights of a partition, and sums over its blocks: `LocalBackend.advance`."""
    way, shared = common
    # what came over a network may begin at any byte
    parts = tuple(np.require(each, requirements="A") for each in parts)
    with one_blas_thread():
        return consume(partition.backend(pixels, way).advance(job, shared, *parts))


def face_of_partition(
    i: int, partition: _Partition, pixels: Any, way: Way, W: Array
) -> tuple[Array, Array]:
    """Return the pixels and the weights of a face of the stack."""
    return partition.backend(pixels, way).face(i - partition.place.start, W)


def _sum(parts: list[Any]) -> Any:
    """Add up in order, and leave the parts as they are: another task may need them."""
    return reduce(add, parts[1:], deepcopy(parts[0]))


def _task(job: Any) -> Any:
    """Return the task that makes or does something, always a new one."""
    from dask.delayed import delayed

    return delayed(job, pure=False, traverse=False)


def _wait(futures: Sequence[Any], timeout: float) -> None:
    """Wait for tasks, or raise TimeoutError; distributed's `wait` needs a current client."""
    end = time.monotonic() + timeout
    for future in futures:
        future.exception(timeout=max(0.0, end - time.monotonic()))


class Cluster:
    """A `LocalBackend` of the workers of a cluster, which hold the pictures during a fit.

    Weights are futures, one for each partition. Those of some iterations ago are kept on a
    second worker: dask makes again what was lost from what still exists, the copies, and no
    further back. Its memory manager would drop copies, and rests as long.
    """

    def __init__(self, client: Any, images: Any) -> None:
        self.client, self.address = client, client.scheduler.address
        self.n, self.p = len(images), math.prod(images.shape[1:])
        self.way: Way = 1.0, None
        self._passes = 0
        self._live: WeakSet[Any] = WeakSet()
        self._is_over = self._is_lost = False
        self._kept: Factors | None = None
        self._copies: list[Any] = []  # futures that are on two workers
        self._copying: Future[None] | None = None
        self._fetching: Future[None] | None = None
        if not self._asked(client.nthreads):
            words = "has no workers: start some (dask worker)."
            raise ConnectionError(f"The scheduler {self.address} {words}")
        # where partitions begin depends on the stack alone
        blocks = FaceBlocks(images, budget=0).rows
        length = max(1, min(_PARTITION_BLOCKS, len(blocks) // _PARTITIONS))
        self.partitions = []
        for i in range(0, len(blocks), length):
            group, first = blocks[i : i + length], blocks[i].start
            rows = [slice(each.start - first, each.stop - first) for each in group]
            self.partitions.append(_Partition(slice(first, group[-1].stop), rows))
        self.pixels = client.compute([images[each.place] for each in self.partitions])
        self._live.update(self.pixels)
        self._thread = ThreadPoolExecutor(1, "latent-faces-copies")
        self._managed = client.amm.running()
        if self._managed:
            client.amm.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Let all go; without a scheduler, nobody can be asked for anything."""
        self._is_over = True
        self._thread.shutdown(wait=not self._is_lost, cancel_futures=True)
        self._copies = []
        if self._managed and not self._is_lost:
            with suppress(OSError):  # it may go now
                self.client.amm.start()
        for each in self._live:  # steps that are still held have some
            each.release()

    def keep(self, factors: Factors) -> None:
        """Now and then, fetch the weights of factors, for the case that all workers go."""

        def fetch() -> None:
            self._kept = replace(factors, weights=factors.W)

        is_free = self._fetching is None or self._fetching.done()
        if factors.iteration % _COPY_EVERY == 0 and is_free:
            self._fetching = self._thread.submit(fetch)

    def copy(self, *weights: list[Any]) -> None:
        """Begin to copy futures to a second worker, unless that of others still goes on."""
        futures = [each for some in weights for each in some]

        def replicate() -> None:
            self.client.replicate(futures, n=2)
            self._copies = futures  # if it fails, the older ones stay

        if self._copying is None or self._copying.done():
            self._copying = self._thread.submit(replicate)

    def peak(self, names: Sequence[str], mask: NDArray[np.bool_] | None = None) -> float:
        """Check all pixels; return the largest, or say which face has a bad one."""
        own = [tuple(names[each.place]) for each in self.partitions]
        jobs = [partial(peak, names=some, mask=mask) for some in own]
        return float(max(self._results(self._tasks(jobs))))

    def each(
        self, job: Callable[..., Result], shared: Any, *weights: list[Any]
    ) -> Iterator[Result]:
        """Fetch what all blocks give."""
        for results in self._results(self._work(each_partition, job, shared, weights)):
            yield from results

    def advance(self, job: Callable[..., Any], shared: Any, *weights: list[Any]) -> Advance:
        """Leave the weights where they are made, and fetch the sum."""
        pairs = self._work(advance_partition, job, shared, weights)
        sums = [pair[1] for pair in pairs]
        while len(sums) > 1:  # in a tree, neighbours first: one sum leaves the cluster
            groups = (sums[i : i + _SUMMANDS] for i in range(0, len(sums), _SUMMANDS))
            sums = [_task(_sum)(group) for group in groups]
        total, *new = self._started([*sums, *(pair[0] for pair in pairs)])
        [found] = yield from self.awaited([total])
        self._passes += 1
        if self._passes % _COPY_EVERY == 0:
            self.copy(new, weights[0])  # all that the next pass needs
        return new, tuple(np.require(each, requirements="A") for each in found)

    def hand_out(self, W: Array) -> list[Any]:
        """Send weights to the cluster."""
        parts = (W[:, partition.place] for partition in self.partitions)
        return self._started([_task(np.ascontiguousarray)(part) for part in parts])

    def repeat(self, column: Array) -> list[Any]:
        """Make the same weights for each face, on the cluster."""
        lengths = (each.place.stop - each.place.start for each in self.partitions)
        return self._started([_task(np.repeat)(column, n, axis=1) for n in lengths])

    def collect(self, weights: list[Any]) -> Array:
        """Fetch weights as one array of shape (k, n)."""
        return np.concatenate(consume(self.awaited(weights)), axis=1)

    def face(self, i: int, weights: list[Any]) -> tuple[Array, Array]:
        """Fetch the pixels and the weights of one face."""
        at = next(at for at, each in enumerate(self.partitions) if i < each.place.stop)
        job = _task(partial(face_of_partition, i, self.partitions[at]))
        [found] = self._results([job(self.pixels[at], self.way, weights[at])])
        return found[0], found[1]

    def _work(self, work: Callable[..., Any], job: Any, shared: Any, weights: Any) -> list[Any]:
        """Describe the work on each partition; what they share is a task, to be had again."""
        jobs = [partial(work, job, partition) for partition in self.partitions]
        # a copy: the caller's may change before it is sent
        common = [_task(deepcopy((self.way, shared)))] * len(jobs)
        return self._tasks(jobs, common, *weights)

    def _tasks(self, jobs: Sequence[Any], *arguments: Sequence[Any]) -> list[Any]:
        """Describe a task for each partition; bound to no worker, as that may be lost."""
        all_arguments = zip(self.pixels, *arguments, strict=True)
        return [_task(job)(*each) for job, each in zip(jobs, all_arguments, strict=True)]

    def _started(self, tasks: list[Any]) -> list[Any]:
        """Hand tasks to the scheduler; return their futures."""
        import dask

        # components of large pictures are no mistake
        quiet = {"distributed.admin.large-graph-warning-threshold": "1 GiB"}
        with dask.config.set(quiet):
            futures: list[Any] = self._asked(self.client.compute, tasks, optimize_graph=False)
        self._live.update(futures)
        return futures

    def _results(self, tasks: list[Any]) -> list[Any]:
        return consume(self.awaited(self._started(tasks)))

    def awaited(self, futures: list[Any]) -> Generator[None, None, list[Any]]:
        """Wait for results and fetch them; yield now and then."""
        import dask

        if self._is_over:
            words = "the weights of its steps are gone: those of the last are in its model."
            raise RuntimeError(f"The fit is over, and {words}")
        alone = None  # since when there has been no worker
        while True:
            try:
                self._asked(_wait, futures, timeout=HANDOVER)
                # what is done may be lost by now: without workers, it would never come
                gather = partial(self.client.gather, futures, asynchronous=True)
                results: list[Any] = self._asked(
                    self.client.sync, gather, callback_timeout=_WAIT
                )
            except TimeoutError:
                self._check_scheduler()
            else:
                return results
            limit = float(dask.config.get("latent-faces.wait-for-workers", _WAIT))
            if self._asked(self.client.nthreads):
                alone = None
            elif alone is None:
                _LOG.warning("All workers of %s are lost: waiting for others.", self.address)
                alone = time.monotonic()
            elif time.monotonic() - alone > limit:
                self._is_lost = True
                raise WorkersLostError(self.address, limit, self._kept) from None
            yield

    def _asked(self, question: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Ask the scheduler something; say so if it is gone, but raise errors of tasks."""
        try:
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
            words = "is gone, or has dropped this fit's work: see that it runs, and fit again."
            raise ConnectionError(f"The scheduler {self.address} {words}") from error


Backend: TypeAlias = LocalBackend | Cluster
