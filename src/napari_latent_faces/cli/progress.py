"""Progress of a command: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Show = Callable[..., None]

__all__ = ["progress", "write_line"]

_PERIOD = 10.0  # seconds between two lines


@contextmanager
def progress(title: str) -> Iterator[Show]:
    """Show on stderr how far the block is.

    Parameters
    ----------
    title : str
        What is going on.

    Yields
    ------
    callable
        Takes the steps done, their total (0 while that is not known), and a note.
    """
    if sys.stderr is not None and sys.stderr.isatty():
        with _bar(title) as show:
            yield show
    else:
        yield _lines(title)


def write_line(text: str) -> None:
    """Write a line to stderr, above a bar if there is one."""
    from tqdm import tqdm

    if sys.stderr is not None:
        tqdm.write(text, file=sys.stderr)


@contextmanager
def _bar(title: str) -> Iterator[Show]:
    from tqdm import tqdm

    with tqdm(desc=title, leave=False, dynamic_ncols=True) as bar:

        def show(done: int, total: int, note: str = "") -> None:
            bar.total = total or None
            bar.set_postfix_str(note, refresh=False)
            bar.update(done - bar.n)

        yield show


def _lines(title: str) -> Show:
    write_line(f"{title} ...")
    last = time.monotonic()

    def show(done: int, total: int, note: str = "") -> None:
        nonlocal last
        if total and time.monotonic() - last >= _PERIOD:
            last = time.monotonic()
            write_line(f"{title}: {done} of {total}{', ' * bool(note)}{note}")

    return show
