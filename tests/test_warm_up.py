"""Libraries are loaded when the panel has been drawn, in a thread, and not before."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.patience import PATIENCE

_PANEL = """
import sys
from napari.components import ViewerModel
from qtpy.QtCore import QThreadPool, QTimer
from qtpy.QtWidgets import QApplication

app = QApplication([])
from napari_latent_faces import _warm_up
from napari_latent_faces.viewer.panels.fit import FitWidget

_warm_up._DELAY = 0
widget = FitWidget(ViewerModel())
warm_up = widget._warm_up
"""


def run(code):
    code += "\nQThreadPool.globalInstance().waitForDone()\n"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)


_OPENED = """
assert warm_up._job is None, "begun while the panel is being built"
assert "sklearn" not in sys.modules, "loaded by the panel itself"
warm_up._soon.timeout.connect(lambda: warm_up._job.ended.connect(lambda: app.quit()))
app.exec()
assert "sklearn.decomposition" in sys.modules, "not loaded"
again = _warm_up.WarmUp(widget.native)
again.start()
again._soon.timeout.connect(app.quit)
app.exec()
assert again._job is None, "loaded twice"
"""


def test_the_panel_loads_what_a_fit_needs_without_being_asked_to_fit():
    run(_PANEL + _OPENED)


_BEGIN = {"before it begins": "", "while it loads": "warm_up._begin()"}
_CLOSED = """
gone = []
warm_up._soon.destroyed.connect(lambda: gone.append(True))
widget.native.deleteLater()
QTimer.singleShot(0, app.quit)
app.exec()
assert gone
assert warm_up._job is None
"""


@pytest.mark.parametrize("when", _BEGIN)
def test_closing_the_panel_ends_it(when):
    run(_PANEL.replace("_DELAY = 0", "_DELAY = 10**6") + _BEGIN[when] + _CLOSED)
