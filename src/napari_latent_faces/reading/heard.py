"""Warnings of one thread's work, without touching those of others."""

from __future__ import annotations

import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["heard_warnings"]

_thread = threading.local()


class _Ear:
    """Stands where a warning filter has its pattern, and matches on listening threads only.

    `warnings.catch_warnings` changes the state of the whole process: entered on several
    threads, one puts back what another had set, for good. This filter does nothing on a
    thread that does not listen, so that it can simply stay.
    """

    def match(self, text: str) -> bool:
        messages: list[str] | None = getattr(_thread, "messages", None)
        if messages is None:
            return False
        messages.append(text)
        return True


_FILTER = ("ignore", _Ear(), Warning, None, 0)


@contextmanager
def heard_warnings() -> Iterator[list[str]]:
    """Keep the warnings of the code in the block, on this thread, from being shown.

    Yields
    ------
    list of str
        Their messages, as they arrive.
    """
    filters = cast("list[Any]", warnings.filters)
    if not filters or filters[0] is not _FILTER:
        filters.insert(0, _FILTER)
    outer = getattr(_thread, "messages", None)
    messages: list[str] = []
    _thread.messages = messages
    try:
        yield messages
    finally:
        _thread.messages = outer
