"""Call a function of the benchmarks in a process of its own."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.setting import Skipped

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["apart", "on_screen"]

_ROOT = Path(__file__).parents[1]


def apart(job: Callable[..., Any], *arguments: Any) -> Any:
    """Call `job` in a new process; arguments and result are what JSON can hold.

    Raises
    ------
    RuntimeError
        If the process fails, with what it said last.
    """
    return _call([], job, arguments)


def on_screen(job: Callable[..., Any], *arguments: Any) -> Any:
    """Call `job` as `apart` does, on a virtual screen where there is no other."""
    if sys.platform != "linux" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        return apart(job, *arguments)
    if shutil.which("xvfb-run") is None:
        raise Skipped("there is no screen, and no xvfb-run to make one")
    return _call(["sh", "scripts/with-screen.sh"], job, arguments)


def _call(prefix: list[str], job: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    request = json.dumps([job.__module__, job.__name__, arguments])
    done = subprocess.run(  # noqa: S603
        [*prefix, sys.executable, "-m", "benchmarks.apart", request],
        cwd=_ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{job.__name__}{arguments} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _answer(request: str) -> None:
    """Do what a request asks for, and print the result as the last line."""
    warnings.simplefilter("ignore")
    module, name, arguments = json.loads(request)
    result = getattr(importlib.import_module(module), name)(*arguments)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    _answer(sys.argv[1])
