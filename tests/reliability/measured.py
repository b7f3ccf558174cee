"""Memory of a piece of work, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from textwrap import dedent
from typing import Any

# Not ru_maxrss: a process inherits that of the one that started it.
_PROGRAM = """
import json, sys, time
{setup}
def _kib(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field))
before, start = _kib("VmRSS"), time.perf_counter()
{work}
seconds = time.perf_counter() - start
print(json.dumps([result, seconds, (_kib("VmHWM") - before) / 1024]))
"""


def measured(setup: str, work: str, *arguments: object) -> tuple[Any, float, float]:
    """Return the `result` that a piece of work sets, its seconds and the MiB it added."""
    program = _PROGRAM.format(setup=dedent(setup), work=dedent(work))
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result, seconds, mebibytes = json.loads(done.stdout)
    return result, seconds, mebibytes
