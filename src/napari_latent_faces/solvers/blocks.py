"""A stack read as rows of pixels, in blocks, by several threads."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from napari_latent_faces.stack import as_declared, let_go

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

    Array = NDArray[np.float32]
    Sums = tuple[NDArray[Any], ...]
    Advance = Generator[None, None, tuple[Any, Any]]

Item = TypeVar("Item")
Result = TypeVar("Result")

_BLOCK_VALUES = 2**21  # pixels of a block: 8 MB in float32
_BLOCK_FACES = (64, 4096)  # fewer waste time between the products, more waste memory
_LARGE_VALUES = 2**22  # pixels of so few faces; of larger pictures, a quarter make a block
# A small stack is cut so often, for up to as many processors, as long as the shares are
# large enough to be worth a thread.
SHARES = 4
_SHARE_VALUES = 2**19


def cut(n: int, most: int, least: int = 1, shares: int = 1) -> list[slice]:
    """Cut `n` lines into like slices, `most` or fewer; for `shares` not less than `least`."""
    length = max(1, min(most, max(least, -(-n // shares))))
    length = max(1, -(-n // max(1, -(-n // length))))
    return [slice(first, min(first + length, n)) for first in range(0, n, length)]


def block_bytes(n: int, p: int) -> int:
    """Return what a block of a stack in memory takes: `n` faces of `p` pixels, as floats."""
    return 4 * p * min(n, _block_faces(p)[1])


def _block_faces(p: int) -> tuple[int, int]:
    """Return how many faces of `p` pixels a block has at least and at most."""
    least, most = _BLOCK_FACES
    least = min(least, max(least // 4, _LARGE_VALUES // p))
    return least, min(most, max(least, _BLOCK_VALUES // p))


class FaceBlocks:
    """A stack of pictures, read as float32 rows a block of faces at a time.

    Where blocks begin depends on the stack alone, so that sums over them repeat. Faces that
    are not in memory are kept once read, as they are, if they fit into `budget` bytes, by
    default a quarter of what is free. `unit` is the pixel value that becomes 1; `hidden` pixels
    are read as 0; `rows` are the faces of each block, the longest first.
    """

    def __init__(
        self,
        images: Any,
        unit: float = 1.0,
        budget: int | None = None,
        rows: list[slice] | None = None,
        hidden: NDArray[np.intp] | None = None,
    ) -> None:
        self.images, self.unit, self.hidden = images, unit, hidden
        self._kept: NDArray[Any] | None = None
        self.n, self.p = len(images), math.prod(images.shape[1:])
        dtype, in_memory = np.dtype(images.dtype), isinstance(images, np.ndarray)
        if not in_memory and self.n * self.p * dtype.itemsize <= _budget(budget):
            self._kept = np.empty(images.shape, images.dtype)
            self._is_kept = np.zeros(self.n, bool)
        self.rows = rows or self._cut()
        self.longest = max((each.stop - each.start for each in self.rows), default=0)
        is_plain = in_memory and images.flags.c_contiguous and hidden is None
        self._is_ready = is_plain and dtype == np.float32 and unit == 1
        self.is_bytes = dtype == np.uint8 and hidden is None
        # others may leave the range of float32, or of its squares, unless divided first
        self._is_whole = dtype.kind in "iub" and np.can_cast(dtype, np.float32)
        self.gain = np.float32(1 / unit if self._is_whole else 1)
        self._buffers = threading.local()

    def _cut(self) -> list[slice]:
        least, most = _block_faces(self.p)
        chunk: int = max(getattr(self.images, "chunks", ((1,),))[0], default=1)
        if 1 < chunk <= 4 * most:  # whole chunks: each is then read once
            length = chunk * max(1, most // chunk)
            return [slice(i, min(i + length, self.n)) for i in range(0, self.n, length)]
        return cut(self.n, most, max(least, _SHARE_VALUES // self.p), SHARES)

    def raw(self, rows: slice) -> NDArray[Any]:
        """Return some faces as they are: shape (m, h, w)."""
        if self._kept is None:
            return as_declared(self.images, rows)
        if not self._is_kept[rows].all():
            self._kept[rows] = as_declared(self.images, rows)
            self._is_kept[rows] = True
        return self._kept[rows]

    def read(self, rows: slice) -> Array:
        """Return some faces as rows in units of `unit`, shape (m, p); see `read_as_is`."""
        pixels = self.read_as_is(rows)
        if self.gain != 1:
            pixels *= self.gain
        return pixels

    def read_as_is(self, rows: slice, raw: NDArray[Any] | None = None) -> Array:
        """Return some faces as rows, shape (m, p); what one is, in `unit`, is `gain`.

        The array is the calling thread's own, used again for its next block. `raw` is what the
        method of that name returned for these rows, or a part: its caller lets it go.
        """
        faces = self.raw(rows) if raw is None else raw
        if self._is_ready:
            return faces.reshape(-1, self.p)
        buffer = getattr(self._buffers, "values", None)
        if buffer is None:
            buffer = self._buffers.values = np.empty((self.longest, self.p), np.float32)
        block: Array = buffer[: len(faces)]
        pictures = block.reshape(faces.shape)
        if self._is_whole:
            np.copyto(pictures, faces, casting="unsafe")
        else:
            wide = np.result_type(faces.dtype, np.float32)
            np.divide(faces, wide.type(self.unit), out=pictures, dtype=wide, casting="unsafe")
        if raw is None:
            let_go(self.images, rows)
        if self.hidden is not None:
            block[:, self.hidden] = 0
        return block


def _budget(budget: int | None) -> int:
    import psutil

    return int(psutil.virtual_memory().available) // 4 if budget is None else budget


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """Threads that work on blocks; what they find comes back in the blocks' order.

    The thread that waits for them works as well.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or processors()
        self._pool = ThreadPoolExecutor(max(1, self.threads - 1), "latent-faces")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def each(self, job: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield the result of `job` for each item, in order, with few waiting at a time."""
        if len(items) == 1:  # as of small pictures, which are soon done
            yield job(items[0])
            return
        waiting: deque[Future[Result]] = deque()
        try:
            for i, item in enumerate(items):
                others = sum(not each.done() for each in waiting)
                if i < len(items) - 1 and others < 2 * (self.threads - 1):
                    waiting.append(self._pool.submit(job, item))
                    continue
                own: Future[Result] = Future()
                own.set_result(job(item))
                waiting.append(own)
                while len(waiting) > self.threads or (waiting and waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()


_IMPORT_LOCK = threading.RLock()


@contextmanager
def importing() -> Iterator[None]:
    """Import SciPy or scikit-learn: one thread at a time, as first imports at once can fail.

    SciPy brings a BLAS of its own, which is limited at once where BLAS is.
    """
    with _IMPORT_LOCK:
        yield
    _BLAS_LIMIT.count(0)


class _BlasLimit:
    """Keeps BLAS at one thread while anyone asks for it; the last to leave lifts it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._n_modules = 0  # that were imported when `_libraries` were looked for
        self._libraries: list[Any] = []
        self._before: dict[str, int] = {}  # threads of each library that is limited

    def count(self, more: int) -> None:
        """Count who asks for the limit, and limit what has been loaded since.

        threadpoolctl 3.8 ignores all threads but the first that set a limit of OpenBLAS.
        """
        with self._lock:
            self._users += more
            if self._users and self._n_modules != len(sys.modules):  # a library may have come
                from threadpoolctl import ThreadpoolController

                self._n_modules = len(sys.modules)
                self._libraries = ThreadpoolController().select(user_api="blas").lib_controllers
            for library in self._libraries:
                is_limited = library.filepath in self._before
                if bool(self._users) == is_limited:
                    continue
                if not is_limited:
                    self._before[library.filepath] = library.num_threads
                release = getattr(library, "clear_controlling_thread", lambda **_: None)
                release(force=True)
                library.set_num_threads(
                    1 if self._users else self._before.pop(library.filepath)
                )
                release(force=True)


_BLAS_LIMIT = _BlasLimit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS at one thread, so that sums do not depend on the number of processors.

    Fits that overlap share the limit, so that none lifts it under another.
    """
    _BLAS_LIMIT.count(1)
    try:
        yield
    finally:
        _BLAS_LIMIT.count(-1)


def on_one_blas_thread(steps: Generator[Item, Any, Result]) -> Generator[Item, Any, Result]:
    """Run a generator with `one_blas_thread` while it works, not while it waits."""
    sent = None
    with closing(steps):
        while True:
            with one_blas_thread():
                try:
                    item = steps.send(sent)
                except StopIteration as end:
                    result: Result = end.value
                    return result
            sent = yield item


_LOSS_BLOCK_VALUES = 2**22  # of the reconstruction held at a time: 16 MB in float32
_CHUNK_VALUES = 2**17  # of float64 values held at a time: 1 MB
_FEW_COLUMNS = 1024  # whose sum float32 knows to 1e-7, and the mean of many such sums better


def row_blocks(n: int, p: int) -> list[slice]:
    """Cut `n` rows of `p` values into blocks that fit in a few megabytes."""
    rows = max(1, _LOSS_BLOCK_VALUES // max(p, 1))
    return [slice(first, min(first + rows, n)) for first in range(0, n, rows)]


def squares(values: NDArray[Any]) -> float:
    """Sum the squares of rows in float64."""
    return float(row_squares(values).sum())


def row_squares(values: NDArray[Any]) -> NDArray[np.float64]:
    """Sum the squares of each row: of some columns in their own type, all in float64."""
    m, p = values.shape
    whole = p // _FEW_COLUMNS * _FEW_COLUMNS
    most = values[:, :whole].reshape(m, whole // _FEW_COLUMNS, _FEW_COLUMNS)
    rest = values[:, whole:]
    sums: NDArray[np.float64] = np.vecdot(most, most).sum(axis=1, dtype=np.float64)
    sums += np.vecdot(rest, rest)
    return sums


def face_errors(
    pixels: NDArray[Any],
    W: NDArray[Any],
    H: NDArray[Any],
    scale: float = 1.0,
    mean: NDArray[Any] | None = None,
    hidden: NDArray[np.bool_] | None = None,
    dtype: DTypeLike = np.float64,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the squared error and the squared norm of each face, some pixels at a time."""
    m, p = pixels.shape
    W = W.astype(dtype)
    lost, size = np.zeros((2, m))
    step = max(1, _CHUNK_VALUES // max(m, len(H)))
    for first in range(0, p, step):
        some = slice(first, first + step)
        seen = np.divide(pixels[:, some], scale, dtype=dtype)
        left = W @ H[:, some].astype(dtype)
        if mean is not None:
            left += mean[some]
        np.subtract(seen, left, out=left)
        if hidden is not None:
            marked = np.broadcast_to(hidden[:, some], seen.shape)
            seen[marked] = left[marked] = 0
        lost += row_squares(left)
        size += row_squares(seen)
    return lost, size


def relative_error(parts: Iterable[tuple[NDArray[Any], NDArray[Any]]]) -> float:
    """Return the relative error of all faces, given `face_errors` of some at a time."""
    lost = size = 0.0
    for some_lost, some_size in parts:
        lost, size = lost + some_lost.sum(), size + some_size.sum()
    return float(np.sqrt(lost / size))


HANDOVER = 0.25  # seconds after which a long pass lets its caller look in


@dataclass(eq=False)
class Block:
    """Some faces that follow one another, of which compiled code can multiply bytes as well."""

    blocks: FaceBlocks
    rows: slice  # in `blocks`
    place: slice  # in the whole stack
    raw: NDArray[Any]  # (m, h, w) pictures as they came, in their own type

    @property
    def gain(self) -> np.float32:
        """What one is, in the unit of `as_is`, that of the fit."""
        return self.blocks.gain

    @cached_property
    def as_is(self) -> Array:
        """The pixels, shape (m, p), in the unit of the fit over `gain`; used for the next."""
        return self.blocks.read_as_is(self.rows, self.raw)

    @property
    def bytes_or_floats(self) -> NDArray[Any]:
        """The same pixels, as bytes if they came as bytes."""
        if self.blocks.is_bytes:
            return self.raw.reshape(len(self.raw), -1)
        return self.as_is if self.as_is.flags.aligned else self.as_is.copy()


class LocalBackend:
    """Threads, or the calling one alone, that work on the faces of a level block by block.

    A `job` takes a block, what all blocks share, and its part of weights (k, n). `first` is the
    place of the first of these faces in the whole stack. `Cluster` does the same.
    """

    def __init__(self, blocks: FaceBlocks, workers: Workers | None, first: int = 0) -> None:
        self.blocks, self.workers, self.first = blocks, workers, first
        self.n, self.p = blocks.n, blocks.p

    def each(
        self, job: Callable[..., Result], shared: Any, *weights: Array
    ) -> Iterator[Result]:
        """Yield ``job(block, shared, *parts)`` for each block, in order."""

        def work(rows: slice) -> Result:
            place = slice(self.first + rows.start, self.first + rows.stop)
            block = Block(self.blocks, rows, place, self.blocks.raw(rows))
            result = job(block, shared, *(W[:, rows] for W in weights))
            let_go(self.blocks.images, rows)
            return result

        rows = self.blocks.rows
        return map(work, rows) if self.workers is None else self.workers.each(work, rows)

    def advance(self, job: Callable[..., Any], shared: Any, *weights: Array) -> Advance:
        """Return new weights of all faces and sums over blocks; yield now and then meanwhile.

        `job` returns a block's new weights and what is added up, in the order of the stack.
        """
        W = np.empty_like(weights[0])

        def work(block: Block, shared: Any, *parts: Array) -> Any:
            part, sums = job(block, shared, *parts)
            W[:, block.place.start - self.first : block.place.stop - self.first] = part
            return sums

        total, seen = None, time.monotonic()
        for sums in self.each(work, shared, *weights):
            total = sums if total is None else add(total, sums)
            del sums  # of large pictures they take much, and the next come before
            if time.monotonic() - seen > HANDOVER:
                yield
                seen = time.monotonic()
        return W, total

    def hand_out(self, W: Array) -> Array:
        """Return the weights in `W`, a component a row, where the backend wants them."""
        return W

    def repeat(self, column: Array) -> Array:
        """Return the same weights, shape (k, 1), for each face."""
        return np.repeat(column, self.n, axis=1)

    def collect(self, weights: Array) -> Array:
        """Return weights as one array of shape (k, n)."""
        return weights

    def face(self, i: int, weights: Array) -> tuple[Array, Array]:
        """Return the pixels and the weights of one face."""
        return self.blocks.read(slice(i, i + 1))[0].copy(), weights[:, i].copy()


def add(total: Sums, more: Sums) -> Sums:
    """Add arrays to those that have the same place in `total`, and return it."""
    for one, other in zip(total, more, strict=True):
        np.add(one, other, out=one)
    return total
