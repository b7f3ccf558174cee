"""Run the benchmarks, and write what they find into the page.

    python -m benchmarks [PART ...] [--quick] [--runs N] [--page FILE]

Run from the top of the repository; ``make bench ARGS="..."`` sets everything up first.
Real faces are read from the folder that LATENT_FACES_DATA names (``orl``, ``archive``).
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks import (
    aligning,
    cluster,
    colour,
    disk,
    explore,
    levels,
    machine,
    mixing,
    page,
    parts,
    reading,
    solver,
    waiting,
    window,
)
from benchmarks.setting import Setting, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable

_DOCS = Path(__file__).parents[1] / "docs"
_PAGE = _DOCS / "performance.md"

PARTS: dict[str, Callable[[Setting], str]] = {  # what matters most first
    "machine": machine.part,
    "waiting": waiting.part,
    "orl": solver.orl,
    "archive": solver.archive,
    "levels": levels.part,
    "many": solver.many,
    "disk": disk.part,
    "colour": colour.part,
    "window": window.part,
    "explore": explore.part,
    "mixing": mixing.part,
    "reading": reading.part,
    "aligning": aligning.part,
    "parts": parts.part,
    "drawn": solver.drawn,
}
# parts that are run only when asked for, with the pages they write into
MORE: dict[str, Callable[[Setting], str]] = {"cluster": cluster.part}
_PAGES = {"cluster": _DOCS / "scaling.md"}
GROUPS = {"solver": ("orl", "archive", "many", "disk", "drawn")}


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that are asked for; return 1 if one of them failed."""
    options = _parser().parse_args(arguments)
    chosen = [part for name in options.parts for part in GROUPS.get(name, (name,))]
    parts = [name for name in PARTS | MORE if name in (chosen or PARTS)]
    began = time.perf_counter()
    done = [_measure(name, options) for name in parts]
    minutes = (time.perf_counter() - began) / 60
    if (where := _page("total", options)) and parts == [*PARTS] and all(done):
        page.put(where, "total", f"The last full run took {minutes:.0f} minutes.")
    print(f"{minutes:.1f} minutes in all")
    return 0 if all(done) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        type=_part,
        help=f"{', '.join([*PARTS, *GROUPS])}, by default all; {', '.join(MORE)}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see it work; writes no page"
    )
    parser.add_argument("--runs", type=int, help="runs of each, instead of the usual number")
    parser.add_argument("--page", type=Path, help="the page to write into, also when quick")
    return parser


def _part(name: str) -> str:
    if name not in PARTS | MORE | GROUPS:
        raise argparse.ArgumentTypeError(f"there is no part {name!r}")
    return name


def _page(name: str, options: argparse.Namespace) -> Path | None:
    """Return the page that a part writes into, or None if it shall write none."""
    return options.page or (None if options.quick else _PAGES.get(name, _PAGE))


def _measure(name: str, options: argparse.Namespace) -> bool:
    """Measure a part and write it down; tell whether that worked.

    A part that fails leaves the page as it was, and the others still run.
    """
    print(f"{name} ...", flush=True)
    began = time.perf_counter()
    try:
        with TemporaryDirectory() as folder:
            text = (PARTS | MORE)[name](Setting(Path(folder), options.quick, options.runs))
    except Skipped as why:
        text = f"Not measured: {why}."
    except Exception:  # noqa: BLE001 - whatever it is, the other parts are not at fault
        traceback.print_exc()
        return False
    else:
        text += f"\n\nMeasured in {time.perf_counter() - began:.0f} s."
    if options.quick:
        text = f"**A quick run on small sizes; its numbers mean nothing.**\n\n{text}"
    if where := _page(name, options):
        page.put(where, name, text)
    print(text, flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
