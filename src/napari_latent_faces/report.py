"""What a read found, changed and left out."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_latent_faces.reading.options import ReadOptions

__all__ = ["ReadReport", "harmless", "harmless_lines", "in_one_line"]


@dataclass(frozen=True)
class ReadReport:
    """What became of each file of a folder of faces.

    Parameters
    ----------
    n_read : int
        How many faces are in the stack.
    skipped : tuple of (name, reason)
        Files that look like pictures but could not be read.
    resized : tuple of (name, (height, width))
        Pictures that had another size, and that size.
    passed_over : tuple of (name, reason)
        Files that are no pictures (README, Thumbs.db, ...).
    notes : tuple of str
        What else the reader did to all pictures (bit depth, colour, ...).
    lazy : bool
        Whether only the headers were read so far: a picture can still prove broken.
    options : ReadOptions or None
        How `read_faces` read them; None if it did not, or they are a part of what it read.
    """

    n_read: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    resized: tuple[tuple[str, tuple[int, int]], ...] = ()
    passed_over: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    lazy: bool = False
    options: ReadOptions | None = None

    def summary(self) -> str:
        """Return the report in one line, such as ``398 faces read, 2 skipped``."""
        parts = [f"{_counted(self.n_read, 'face')} read"]
        if self.skipped:
            parts.append(f"{len(self.skipped)} skipped")
        if self.resized:
            parts.append(f"{len(self.resized)} resized")
        if self.passed_over:
            parts.append(f"{_counted(len(self.passed_over), 'other file')} passed over")
        return ", ".join(parts) + (" (lazy)" if self.lazy else "")

    def details(self) -> str:
        """Return the whole report, one line for each file that is not simply in the stack."""
        lines = [self.summary()]
        if self.lazy:
            lines.append("Lazy: pictures are decoded when they are looked at.")
        lines += _section("Skipped", (f"{in_one_line(n)}: {why}" for n, why in self.skipped))
        lines += _section(
            "Resized",
            (f"{in_one_line(n)}: from {w} x {h} pixels" for n, (h, w) in self.resized),
        )
        lines += _section("Passed over", _grouped(self.passed_over))
        lines += _section("Notes", (in_one_line(note) for note in self.notes))
        return "\n".join(lines)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _section(title: str, entries: Iterable[str]) -> list[str]:
    lines = [f"  {entry}" for entry in entries]
    return [f"{title}:", *lines] if lines else []


def _grouped(passed_over: tuple[tuple[str, str], ...]) -> list[str]:
    """Count the files for each reason, the commonest first, and name one of each."""
    first = {reason: name for name, reason in reversed(passed_over)}
    counts = Counter(reason for _, reason in passed_over)
    return [
        f"{_counted(count, 'file')}: {reason}, such as {in_one_line(first[reason])}"
        if count > 1
        else f"{in_one_line(first[reason])}: {reason}"
        for reason, count in counts.most_common()
    ]


def in_one_line(text: str) -> str:
    """Return a text on one line: what cannot be printed is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


_UNSEEN = "\N{COMBINING GRAPHEME JOINER}"  # takes no room, and no tag or entity has one


def harmless(name: str) -> str:
    """Return a name from a file in a form that can be shown anywhere.

    Qt takes texts with a tag for HTML, and would open the pictures that they name; a
    terminal obeys control characters. The former get a character that is not seen, the
    latter are escaped. A harmless name stays as it is.
    """
    return re.sub(rf"<(?!{_UNSEEN})|&(?=lt;)", rf"\g<0>{_UNSEEN}", in_one_line(name))


def harmless_lines(text: str) -> str:
    """Return a message, which may hold names of files, with each of its lines harmless."""
    return "\n".join(map(harmless, text.split("\n")))
