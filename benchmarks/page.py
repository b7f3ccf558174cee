"""The page that the parts write their tables into."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["megabytes", "milliseconds", "put", "ratio", "seconds", "table"]

_NONE = "-"


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between the markers of a part.

    Raises
    ------
    ValueError
        If the page does not have both markers once.
    """
    begin, end = f"<!-- {name}: written by make bench -->", f"<!-- {name}: end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    whole, found = pattern.subn(
        lambda _: f"{begin}\n\n{text.strip()}\n\n{end}", page.read_text("utf-8")
    )
    if found != 1:
        raise ValueError(f"{page} needs the markers {begin} and {end} once, found {found}.")
    page.write_text(whole, "utf-8")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def seconds(value: float) -> str:
    """Return seconds with two digits that count; NaN is a dash."""
    if math.isnan(value):
        return _NONE
    return f"{value:.2f} s" if value < 9.95 else f"{value:.0f} s"


def milliseconds(value: float) -> str:
    """Return seconds as milliseconds."""
    return f"{1000 * value:.1f} ms" if value < 0.00995 else f"{1000 * value:.0f} ms"


def ratio(whole: float, part: float) -> str:
    """Return how many times `part` goes into `whole`; NaN is a dash."""
    times = whole / part
    if math.isnan(times):
        return _NONE
    return f"{times:.1f}x" if times < 9.95 else f"{times:.0f}x"


def megabytes(value: float) -> str:
    """Return bytes as MB of 2^20 bytes."""
    return f"{value / 2**20:.0f} MB"
