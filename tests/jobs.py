"""Work in threads, waited for, and what a viewer shows."""

from __future__ import annotations

import threading

from pytestqt.qtbot import QtBot
from superqt.utils import WorkerBase

from napari_latent_faces.viewer.layers import ROLE_KEY
from tests.helpers import PATIENCE


class PatientBot(QtBot):
    """Waits for as long as a slow machine may take, whatever a test thinks it needs."""

    def waitUntil(self, callback, *, timeout=0):
        super().waitUntil(callback, timeout=max(timeout, PATIENCE * 1000))


class HeldWork:
    """A generator of two steps that waits in between, and must be closed there.

    Parameters
    ----------
    first, second : object
        What it yields.
    """

    def __init__(self, first, second):
        self.first, self.second = first, second
        self.go_on, self.closed = threading.Event(), threading.Event()

    def __call__(self, *_args, **_options):
        try:
            yield self.first
            self.go_on.wait(PATIENCE)
            yield self.second
            raise AssertionError("it goes on")
        finally:
            self.closed.set()


def run(qtbot, job):
    """Run a job to its end and return what it tells."""
    told = []
    job.ended.connect(told.append)
    job.start()
    qtbot.waitUntil(lambda: bool(told))
    return told[0]


def wait_for_model(panel, qtbot):
    """Let a panel read the model file that it was told to open."""
    qtbot.waitUntil(lambda: not panel.is_working)


def end_all_work():
    """Ask everything that runs in threads to end, and wait for it."""
    WorkerBase.await_workers(PATIENCE * 1000)


def layers_in(viewer):
    """Return the layers but for the captions, which come when Qt has time for them."""
    return [each for each in viewer.layers if each.metadata.get(ROLE_KEY) != "captions"]
