"""A fit on a cluster beside the same fit on threads: time and bytes of an iteration.

All on this machine: a scheduler, and workers in processes of one thread each, so that what a
cluster costs shows and what it gains does not. Bytes are counted at the sockets of the client,
and in the workers' own logs of what they had from one another.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import statistics
import time
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import stacks
from benchmarks.apart import apart
from benchmarks.page import seconds, table
from benchmarks.setting import Skipped
from napari_latent_faces.fitting import iter_fit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.setting import Setting

__all__ = ["part"]

_WORKERS = 2
_CHUNK = 500  # faces that a worker reads at a time
_ITERATIONS = 10  # on the full pictures, that are counted
_BEFORE = 12  # iterations before a worker is killed: two after the last copies
_NEVER = 10**6


def part(setting: Setting) -> str:
    """Fit faces on disk, on threads and on a cluster, and kill a worker."""
    if find_spec("distributed") is None:
        raise Skipped("distributed is not installed")
    n, side, k = (1000, 48, 4) if setting.quick else (20_000, 64, 49)
    path = setting.folder / "faces.npy"
    stacks.varied_on_disk(path, n, (side, side))
    here = apart(on_threads, str(path), k)
    there = apart(on_cluster, str(path), k, None)
    bare = apart(on_cluster, str(path), k, _NEVER)
    lost = [apart(bereft, str(path), k, every) for every in (None, _NEVER)]
    rows = [
        ("an iteration on two threads, median of 10", seconds(here)),
        ("an iteration on two worker processes", seconds(there["seconds"])),
        ("the same without copies of the weights", seconds(bare["seconds"])),
        (f"iteration {_BEFORE + 1}, when a worker is killed before it", seconds(lost[0])),
        ("the same without copies of the weights", seconds(lost[1])),
        ("k x p as float32", _kilobytes(4 * k * side**2)),
        ("the client sends in an iteration", _kilobytes(bare["sent"])),
        ("the client receives", _kilobytes(bare["received"])),
        ("workers have from one another, without copies", _kilobytes(bare["between"])),
        ("copies of the weights, in an iteration on average", _kilobytes(8 * k * n / 5)),
    ]
    return table((f"{n:,} faces of {side} x {side}, uint8, k = {k}", ""), rows)


def _kilobytes(value: float) -> str:
    return f"{value / 1024:,.0f} KB"


# -- each in a process of its own ------------------------------------------------


def on_threads(path: str, k: int) -> float:
    """Return the seconds of an iteration of a memory-mapped stack on threads."""
    steps = _fine_steps(np.load(path, mmap_mode="r"), k, None)
    return statistics.median(_times(steps, _ITERATIONS))


def on_cluster(path: str, k: int, copy_every: int | None) -> dict[str, float]:
    """Return the seconds and the bytes of an iteration on a cluster."""
    with _client(copy_every) as client:
        counter = _Counter()
        steps = _fine_steps(_on_disk(path), k, client)
        before = counter.sent, counter.received, _between(client)
        times = _times(steps, _ITERATIONS)
        after = counter.sent, counter.received, _between(client)
        steps.close()
    per = [(last - first) / _ITERATIONS for first, last in zip(before, after, strict=True)]
    names = ("sent", "received", "between")
    return {"seconds": statistics.median(times), **dict(zip(names, per, strict=True))}


def bereft(path: str, k: int, copy_every: int | None) -> float:
    """Return the seconds of the iteration that follows the loss of a worker."""
    with _client(copy_every) as client:
        steps = _fine_steps(_on_disk(path), k, client)
        _times(steps, _BEFORE)
        victim = min(client.nthreads())
        [pid] = client.run(os.getpid, workers=[victim]).values()
        os.kill(pid, signal.SIGKILL)
        [time_of_next] = _times(steps, 1)
        steps.close()
    return time_of_next


# -- how it is done ---------------------------------------------------------------


def _fine_steps(images: Any, k: int, client: Any) -> Any:
    """Start a fit; return its steps once it has come to the full pictures."""
    steps = iter_fit(images, n_components=k, tol=0, max_iter=400, client=client)
    while next(steps).factors.level:
        pass
    return steps


def _times(steps: Any, iterations: int) -> list[float]:
    """Return the seconds of each of the next iterations."""
    times: list[float] = []
    last = next(steps).iteration
    begin = time.perf_counter()
    while len(times) < iterations:
        if (step := next(steps)).iteration > last:
            times.append(time.perf_counter() - begin)
            begin, last = time.perf_counter(), step.iteration
    return times


def _on_disk(path: str) -> Any:
    """Return the stack in a file as a dask array that each worker reads itself."""
    import dask.array as da

    n, h, w = np.load(path, mmap_mode="r").shape
    chunks = (tuple(min(_CHUNK, n - i) for i in range(0, n, _CHUNK)), (h,), (w,))
    meta = np.empty((0, 0, 0), np.uint8)
    return da.map_blocks(_read, path, chunks=chunks, dtype=np.uint8, meta=meta)


def _read(path: str, block_info: Any) -> np.ndarray:
    (first, last), _, _ = block_info[None]["array-location"]
    return np.array(np.load(path, mmap_mode="r")[first:last])


@contextmanager
def _client(copy_every: int | None) -> Iterator[Any]:
    """Connect to a new cluster, which lives in a process of its own."""
    from distributed import Client

    from napari_latent_faces.solvers import cluster

    if copy_every is not None:
        cluster._COPY_EVERY = copy_every  # noqa: SLF001 - what is measured
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(there,))
    process.start()
    try:
        with Client(here.recv(), set_as_default=False) as client:
            client.wait_for_workers(_WORKERS)
            yield client
    finally:
        here.send("end")
        process.join()


def _serve(addresses: Any) -> None:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=_WORKERS, processes=True, threads_per_worker=1, dashboard_address=":0"
    ) as cluster:
        addresses.send(cluster.scheduler_address)
        addresses.recv()


class _Counter:
    """Counts what goes through the TCP connections of this process."""

    def __init__(self) -> None:
        from distributed.comm import tcp

        self.sent = self.received = 0
        write, deserialize = tcp.TCP.write, tcp.from_frames

        async def writing(comm, message, serializers=None, on_error="message"):
            size = await write(comm, message, serializers=serializers, on_error=on_error)
            self.sent += size
            return size

        async def reading(frames, *args, **kwargs):
            self.received += sum(memoryview(each).nbytes for each in frames)
            return await deserialize(frames, *args, **kwargs)

        tcp.TCP.write, tcp.from_frames = writing, reading


def _between(client: Any) -> int:
    """Return the bytes that workers have had from one another so far."""
    found = client.run(
        lambda dask_worker: [each["total"] for each in dask_worker.transfer_incoming_log]
    )
    return sum(sum(each) for each in found.values())
