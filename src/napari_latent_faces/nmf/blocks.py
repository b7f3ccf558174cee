"""A stack read as rows of float32 pixels, some faces at a time, by several threads."""

from __future__ import annotations

import math
import mmap
import os
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

__all__ = [
    "SHARES",
    "FaceBlocks",
    "Workers",
    "block_bytes",
    "cut",
    "one_blas_thread",
    "processors",
]

Item = TypeVar("Item")
Result = TypeVar("Result")

_BLOCK_VALUES = 2**21  # pixels of a block: 8 MB in float32
_BLOCK_FACES = (64, 4096)  # fewer waste time between the products, more waste memory
# A small stack is cut so often, for up to as many processors, as long as the shares are
# large enough to be worth a thread.
SHARES = 4
_SHARE_VALUES = 2**19


def cut(n: int, most: int, least: int = 1, shares: int = 1) -> list[slice]:
    """Cut `n` rows or columns into slices of nearly one length.

    Parameters
    ----------
    n : int
        How many there are.
    most : int
        The longest slice.
    least : int
        Slices are not made shorter than this for the sake of `shares`.
    shares : int
        How many slices there should be at least.
    """
    length = max(1, min(most, max(least, -(-n // shares))))
    length = max(1, -(-n // max(1, -(-n // length))))
    return [slice(first, min(first + length, n)) for first in range(0, n, length)]


def block_bytes(n: int, p: int) -> int:
    """Return what a block of a stack in memory takes: `n` faces of `p` pixels, as floats."""
    least, most = _BLOCK_FACES
    return 4 * p * min(n, most, max(least, _BLOCK_VALUES // p))


class FaceBlocks:
    """A stack of pictures, read as float32 rows a block of faces at a time.

    Where the blocks begin depends on the stack alone, not on the machine, so that sums
    over them repeat. Faces that have to be decoded each time they are read are kept as
    they are, once read, if there is ample memory.

    Parameters
    ----------
    images : array of shape (n, h, w)
        numpy in any layout, a memory map, dask, or anything else that can be sliced.
    unit : float
        The pixel value that becomes 1.
    budget : int, optional
        Bytes that faces may take that are not in memory yet; by default a quarter of
        the memory that is free. A larger stack is read anew each time.
    rows : list of slice, optional
        The faces of each block, the longest first, where they are already known.
    hidden : array of int, optional
        Pixels that are left out: they are read as 0.

    Attributes
    ----------
    n, p : int
        Number of faces and of pixels of each.
    rows : list of slice
        The faces of each block.
    """

    def __init__(
        self,
        images: Any,
        unit: float = 1.0,
        budget: int | None = None,
        rows: list[slice] | None = None,
        hidden: NDArray[np.intp] | None = None,
    ) -> None:
        self.images = images
        self.unit = unit
        self.hidden = hidden
        self._kept: NDArray[Any] | None = None
        if not isinstance(images, np.ndarray) and _size(images) <= _budget(budget):
            self._kept = np.empty(images.shape, images.dtype)
            self._is_kept = np.zeros(len(images), bool)
        self.n, h, w = images.shape
        self.p = h * w
        self.rows = rows or self._cut()
        self._is_ready = (
            isinstance(images, np.ndarray)
            and images.dtype == np.float32
            and images.flags.c_contiguous
            and unit == 1
            and hidden is None
        )
        dtype = np.dtype(images.dtype)
        # others may leave the range of float32, or of its squares, unless divided first
        self._is_whole = dtype.kind in "iub" and np.can_cast(dtype, np.float32)
        self.gain = np.float32(1 / unit if self._is_whole else 1)
        self._buffers = threading.local()

    def _cut(self) -> list[slice]:
        least, most = _BLOCK_FACES
        most = min(most, max(least, _BLOCK_VALUES // self.p))
        chunk: int = max(getattr(self.images, "chunks", ((1,),))[0], default=1)
        if 1 < chunk <= 4 * most:  # whole chunks: each is then read once
            length = chunk * max(1, most // chunk)
            return [slice(i, min(i + length, self.n)) for i in range(0, self.n, length)]
        return cut(self.n, most, max(least, _SHARE_VALUES // self.p), SHARES)

    @property
    def longest(self) -> int:
        """Number of faces of the largest block."""
        rows = self.rows[0]
        longest: int = rows.stop - rows.start
        return longest

    def raw(self, rows: slice) -> NDArray[Any]:
        """Return some faces as they are: shape (m, h, w)."""
        if self._kept is None:
            return np.asarray(self.images[rows])
        if not self._is_kept[rows].all():
            self._kept[rows] = np.asarray(self.images[rows])
            self._is_kept[rows] = True
        return self._kept[rows]

    def read(self, rows: slice) -> NDArray[np.float32]:
        """Return some faces as rows in units of `unit`, shape (m, p).

        The array is the calling thread's own and is used again for its next block.
        """
        pixels = self.read_as_is(rows)
        if self.gain != 1:
            pixels *= self.gain
        return pixels

    def read_as_is(self, rows: slice, faces: NDArray[Any] | None = None) -> NDArray[np.float32]:
        """Return some faces like `read`, but in units of `unit` times `gain`.

        Whoever multiplies them with matrices can multiply the smaller products by `gain`.
        `faces` is what `raw` returned for these rows, if that has been called already.
        """
        if self._is_ready:
            view: NDArray[np.float32] = self.images[rows].reshape(-1, self.p)
            return view
        if faces is None:
            faces = self.raw(rows)
        buffer = getattr(self._buffers, "values", None)
        if buffer is None:
            buffer = self._buffers.values = np.empty((self.longest, self.p), np.float32)
        block: NDArray[np.float32] = buffer[: len(faces)]
        pictures = block.reshape(faces.shape)
        if self._is_whole:
            np.copyto(pictures, faces, casting="unsafe")
        else:
            wide = np.result_type(faces.dtype, np.float32)
            np.divide(faces, wide.type(self.unit), out=pictures, dtype=wide, casting="unsafe")
        if isinstance(self.images, np.memmap):
            _forget(self.images[rows])
        if self.hidden is not None:
            block[:, self.hidden] = 0
        return block


def _forget(faces: Any) -> None:
    """Let the system take back the memory that pages of a mapped file have come to.

    They would count as the program's own until there is no other memory left. What has
    been changed in a shared map is in the file's cache, and is not lost.
    """
    pages = getattr(faces, "_mmap", None)
    if pages is None or faces.mode == "c" or not hasattr(mmap, "MADV_DONTNEED"):
        return
    origin = np.frombuffer(pages, np.uint8).ctypes.data
    start = -(-(faces.ctypes.data - origin) // mmap.PAGESIZE) * mmap.PAGESIZE
    stop = faces.ctypes.data - origin + faces.nbytes
    if stop > start and faces.flags.c_contiguous:
        pages.madvise(mmap.MADV_DONTNEED, start, stop - start)


def _size(images: Any) -> int:
    """Return the bytes that all pictures take."""
    size: int = math.prod(images.shape) * np.dtype(images.dtype).itemsize
    return size


def _budget(budget: int | None) -> int:
    if budget is not None:
        return budget
    import psutil

    available: int = psutil.virtual_memory().available
    return available // 4


class Workers:
    """Threads that work on blocks; what they find comes back in the blocks' order.

    The thread that waits for them works as well.

    Parameters
    ----------
    threads : int, optional
        How many; by default one for each processor that may be used.
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
        waiting: deque[Future[Result]] = deque()
        last = len(items) - 1
        try:
            for i, item in enumerate(items):
                others = sum(not each.done() for each in waiting)
                if i < last and others < self.threads - 1:
                    waiting.append(self._pool.submit(job, item))
                    continue
                waiting.append(_done(job(item)))
                while len(waiting) > self.threads or (waiting and waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()


def _done(result: Result) -> Future[Result]:
    future: Future[Result] = Future()
    future.set_result(result)
    return future


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _SharedLimit:
    """Keeps BLAS at one thread while anyone asks for it; the last to leave lifts it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limit: Any = None
        self._controller: Any = None

    def enter(self) -> None:
        import scipy.linalg  # noqa: F401 - has a BLAS of its own, to be limited as well
        from threadpoolctl import ThreadpoolController

        with self._lock:
            if self._users == 0:
                self._controller = self._controller or ThreadpoolController()
                self._limit = self._controller.limit(limits=1, user_api="blas")
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limit.restore_original_limits()


_LIMIT = _SharedLimit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS at one thread a caller: the blocks are what runs side by side.

    Fits that overlap share the limit, so that none lifts it under another.
    """
    _LIMIT.enter()
    try:
        yield
    finally:
        _LIMIT.leave()
