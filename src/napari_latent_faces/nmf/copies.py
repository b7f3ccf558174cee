"""Copies of weights on a second worker, so that a lost one costs little."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Copies"]


class Copies:
    """Keeps weights of some iterations ago on a second worker.

    dask makes again what was lost from what still exists, the copies, and no further back.
    Its memory manager would drop copies, and rests as long.

    Parameters
    ----------
    client : distributed.Client
        Connected to the cluster.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._kept: tuple[Any, ...] = ()  # futures whose copies are there
        self._coming: tuple[Any, ...] = ()
        self._work: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, "latent-faces-copies")
        self._managed = client.amm.running()
        if self._managed:
            client.amm.stop()

    def make(self, *weights: list[Any]) -> None:
        """Begin to copy futures, unless that of others is still going on."""
        if self._work is not None:
            if not self._work.done():
                return
            # without them, a lost worker only costs more: the older copies stay
            if self._work.exception() is None:
                self._kept = self._coming
        self._coming = weights
        futures = [each for some in weights for each in some]
        self._work = self._thread.submit(self._client.replicate, futures, n=2)

    def close(self, *, is_lost: bool) -> None:
        """Let the copies go; without a scheduler, nobody can be asked for anything."""
        self._thread.shutdown(wait=not is_lost, cancel_futures=True)
        self._kept = self._coming = ()
        if self._managed and not is_lost:
            with suppress(OSError):  # it may go now
                self._client.amm.start()
