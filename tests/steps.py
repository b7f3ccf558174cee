"""Work in steps, run to its end."""

from __future__ import annotations


def consume(steps, stop_after=None):
    """Return all steps and the value; after a number of steps, ask to stop."""
    seen, answer = [], None
    while True:
        try:
            seen.append(steps.send(answer))
        except StopIteration as end:
            return seen, end.value
        answer = "stop" if len(seen) == stop_after else None
