"""What the commands print, and their progress."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_latent_faces.params import NMFParams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.stack import FaceStack

    Show = Callable[..., None]

# -- What the commands print -----------------------------------------------------------


def say(text: str) -> None:
    """Print a line."""
    print(text, flush=True)  # so that a closed pipe is noticed here


def tell(facts: Mapping[str, Any]) -> None:
    """Print facts by their names, a line each."""
    from napari_latent_faces.stack import in_one_line

    for name, value in facts.items():
        say(f"{name}: {in_one_line(str(value))}")


def model_facts(model: LatentFaces) -> dict[str, Any]:
    """Return all that ``info`` tells of a model."""
    origin, fitted = model.provenance, model.provenance.encoded_from
    return {
        "source": origin.source,
        **size_facts(model, origin.subjects),
        "pixels": f"{origin.dtype}, {model.scale:g} is 1 in the fit",
        **method_facts(model),
        **fit_facts(model),
        **({} if fitted is None else {"encoded with components of": fitted or "other faces"}),
        "parameters": _listed(model.params.to_dict()),
        "versions": _listed(origin.versions),
        **({"backend": origin.backend} if origin.backend else {}),
        "shares": " ".join(f"{share:.4f}" for share in model.shares),
    }


def size_facts(
    faces: FaceStack | LatentFaces, subjects: tuple[str, ...] | None
) -> dict[str, str]:
    """Return how many faces there are, of whom, and how large."""
    n, height, width, *channels = faces.shape
    colour = ", in colour" * len(channels)
    people = f" of {len(set(subjects))} subjects" if subjects else ""
    return {"faces": f"{n}{people}", "size": f"{width} x {height} pixels{colour}"}


def method_facts(model: LatentFaces) -> dict[str, str]:
    """Name the method, where it is not the usual one."""
    method = model.params.method
    return {} if method == NMFParams.method else {"method": method}


def fit_facts(model: LatentFaces) -> dict[str, Any]:
    """Return components, iterations, error, and the pixels that were left out, if any."""
    is_enough = model.provenance.stop_reason == "converged"
    count, total = model.left_out
    left_out = {"left out": f"{count} of {total} pixels ({100 * count / total:.3g} %)"}
    return {
        "components": model.n_components,
        "iterations": f"{model.provenance.n_iter} ({'' if is_enough else 'not '}converged)",
        "relative error": f"{model.error:.6f}",
        **(left_out if count else {}),
    }


def _listed(values: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


# -- Progress of a command: a bar on a terminal, now and then a line elsewhere ---------

_PERIOD = 10.0  # seconds between two lines
_REDRAWN = 0.1  # and between two states of a bar
_BAR = 20  # characters


@contextmanager
def progress(title: str) -> Iterator[Show]:
    """Show on stderr how far the block is, by a function of steps, total (or 0) and note."""
    if sys.stderr is not None and sys.stderr.isatty():
        with _bar(title) as show:
            yield show
    else:
        yield _lines(title)


def write_line(text: str) -> None:
    """Write a line to stderr, in place of a bar if there is one, which comes again."""
    if sys.stderr is not None:
        is_terminal = sys.stderr.isatty()
        try:
            print(f"{_blank() if is_terminal else ''}{text}", file=sys.stderr, flush=True)
        except OSError:  # full or gone: no reason to drop the work
            sys.stderr = None


@contextmanager
def _bar(title: str) -> Iterator[Show]:
    """Keep one line of a terminal up to date, and leave it empty."""
    drawn = -_REDRAWN

    def show(done: int, total: int, note: str = "") -> None:
        nonlocal drawn
        if time.monotonic() - drawn < _REDRAWN:
            return
        bar = f"{'#' * (_BAR * done // total):{_BAR}} {done}/{total}" if total else ""
        _draw("  ".join(filter(None, (title, bar, note))))
        drawn = time.monotonic()

    _draw(title)
    try:
        yield show
    finally:
        _draw("")


def _draw(line: str) -> None:
    """Write over the line that the cursor is in."""
    print(f"{_blank()}{line[: _columns() - 1]}", end="", file=sys.stderr, flush=True)


def _blank() -> str:
    """Return what empties the line of the cursor."""
    return f"\r{' ' * (_columns() - 1)}\r"


def _columns() -> int:
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):  # a stream that only says that it is a terminal
        columns = 0
    return columns or 80


def _lines(title: str) -> Show:
    write_line(f"{title} ...")
    last = time.monotonic()

    def show(done: int, total: int, note: str = "") -> None:
        nonlocal last
        if total and time.monotonic() - last >= _PERIOD:
            last = time.monotonic()
            write_line(f"{title}: {done} of {total}{', ' * bool(note)}{note}")

    return show
