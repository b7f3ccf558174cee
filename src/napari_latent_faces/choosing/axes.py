"""Where values lie on an axis, and which of them to write beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Axis"]

_NICE = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Axis:
    """Maps values to places.

    Parameters
    ----------
    low, high : float
        The values at the ends; equal ones are moved apart.
    start, end : float
        Their places, such as pixels; `end` may be the smaller.
    is_log : bool, default=False
        Equal ratios, not differences, are equally far apart. Needs `low` above 0.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __post_init__(self) -> None:
        if self.high <= self.low:
            margin = abs(self.low) / 2 or 0.5
            object.__setattr__(self, "low", self.low - margin)
            object.__setattr__(self, "high", self.high + 2 * margin)

    def place(self, value: float) -> float:
        """Return where a value lies; beyond the ends for values beyond them."""
        low, high, at = map(self._scaled, (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        """Return up to `most` round values within the ends, rising."""
        if self.is_log:
            return self._log_ticks(most)
        return self._even_ticks(most)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.is_log else value

    def _even_ticks(self, most: int) -> list[float]:
        rough = (self.high - self.low) / max(1, most)
        power = 10.0 ** math.floor(math.log10(rough))
        for step in (nice * power for scale in (1, 10) for nice in (scale * n for n in _NICE)):
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            if last - first + 1 <= most:
                return [i * step for i in range(first, last + 1)]
        return []

    def _log_ticks(self, most: int) -> list[float]:
        first, last = math.ceil(math.log2(self.low)), math.floor(math.log2(self.high))
        every = max(1, math.ceil((last - first + 1) / most))
        return [2.0**power for power in range(first, last + 1, every)]
