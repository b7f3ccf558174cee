"""What all parts are told: how much to measure, and where to put their files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Setting", "Skipped"]


class Skipped(Exception):  # noqa: N818 - it is no error
    """A part cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Setting:
    """How a part runs.

    Parameters
    ----------
    folder : Path
        Where it may put files; removed at the end.
    quick : bool
        Small sizes, one run of each: to see that the benchmark works.
    asked_runs : int, optional
        Runs of each contestant, instead of the part's own number.
    """

    folder: Path
    quick: bool = False
    asked_runs: int | None = None

    def runs(self, usual: int) -> int:
        """Return how often to run what is usually run `usual` times."""
        return 1 if self.quick else self.asked_runs or usual
