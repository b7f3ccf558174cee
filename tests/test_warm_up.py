"""Libraries are loaded when the panel opens, in a thread, and not before."""

from __future__ import annotations

import subprocess
import sys

from tests.patience import PATIENCE

_OPENED = """
import sys
from napari.components import ViewerModel
from qtpy.QtCore import QThreadPool, QTimer
from qtpy.QtWidgets import QApplication

app = QApplication([])
from napari_latent_faces._warm_up import WarmUp
from napari_latent_faces._widgets.fit import FitWidget

assert "sklearn" not in sys.modules, "loaded by the import of the panel"
widget = FitWidget(ViewerModel())
widget._warm_up._job.ended.connect(lambda: app.quit())
app.exec()
assert "sklearn.decomposition" in sys.modules, "not loaded by the panel"
again = WarmUp()
again.start()
assert again._job is None, "loaded twice"
QThreadPool.globalInstance().waitForDone()
"""


def test_the_panel_loads_what_a_fit_needs_without_being_asked_to_fit():
    subprocess.run([sys.executable, "-c", _OPENED], check=True, timeout=PATIENCE)


_CLOSED = """
import sys
from napari.components import ViewerModel
from qtpy.QtCore import QThreadPool, QTimer
from qtpy.QtWidgets import QApplication

app = QApplication([])
from napari_latent_faces._widgets.fit import FitWidget

widget = FitWidget(ViewerModel())
widget.native.deleteLater()
QTimer.singleShot(0, app.quit)
app.exec()
assert widget._warm_up._job is None
QThreadPool.globalInstance().waitForDone()
"""


def test_closing_the_panel_at_once_ends_it():
    subprocess.run([sys.executable, "-c", _CLOSED], check=True, timeout=PATIENCE)
