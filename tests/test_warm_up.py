"""Libraries are loaded when the panel opens, in a thread, and not before."""

from __future__ import annotations

import subprocess
import sys

_OPENED = """
import sys
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication
from superqt.utils import WorkerBase

app = QApplication([])
from napari_latent_faces._warm_up import WarmUp
from napari_latent_faces._widgets.fit import FitWidget

assert "sklearn" not in sys.modules, "loaded by the import of the panel"
widget = FitWidget(ViewerModel())
widget._warm_up._job.ended.connect(app.quit)
app.exec()
assert "sklearn.decomposition" in sys.modules, "not loaded by the panel"
again = WarmUp()
again.start()
assert again._job is None, "loaded twice"
"""


def test_the_panel_loads_what_a_fit_needs_without_being_asked_to_fit():
    subprocess.run([sys.executable, "-c", _OPENED], check=True, timeout=120)


_CLOSED = """
import sys
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication
from superqt.utils import WorkerBase

app = QApplication([])
from napari_latent_faces._widgets.fit import FitWidget

widget = FitWidget(ViewerModel())
widget.native.deleteLater()
app.processEvents()
assert widget._warm_up._job is None
WorkerBase.await_workers(60_000)
"""


def test_closing_the_panel_at_once_ends_it():
    subprocess.run([sys.executable, "-c", _CLOSED], check=True, timeout=120)
