"""Work in threads, waited for."""

from __future__ import annotations


def run(qtbot, job):
    """Run a job to its end and return what it tells."""
    told = []
    job.ended.connect(told.append)
    job.start()
    qtbot.waitUntil(lambda: bool(told), timeout=30_000)
    return told[0]


def wait_for_model(panel, qtbot):
    """Let a panel read the model file that it was told to open."""
    qtbot.waitUntil(lambda: not panel.model_choice.is_opening, timeout=30_000)
