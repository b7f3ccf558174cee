"""Work in threads, waited for."""

from __future__ import annotations


def run(qtbot, job):
    """Run a job to its end and return what it tells."""
    told = []
    job.ended.connect(told.append)
    job.start()
    qtbot.waitUntil(lambda: bool(told), timeout=30_000)
    return told[0]
