"""The way of a user without rights to the files of a test."""

from __future__ import annotations

import os
from contextlib import contextmanager
from stat import S_IMODE


@contextmanager
def open_to_all(folder):
    """Let everybody see into a folder, and through those above that are ours."""
    before = {}
    for place in (folder, *folder.parents):
        found = place.stat()
        if found.st_uid == os.getuid() and found.st_mode & 0o555 != 0o555:
            before[place] = S_IMODE(found.st_mode)
            place.chmod(before[place] | 0o555)
    try:
        yield
    finally:
        for place, mode in before.items():
            place.chmod(mode)
