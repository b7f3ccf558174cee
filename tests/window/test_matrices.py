"""Files of numbers in the window: it asks what it cannot find out, and asks again."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QDialogButtonBox

from napari_latent_faces.viewer import reader
from tests.reading.arrays import made
from tests.window.conftest import PLUGIN

FACES = made.faces(20, 40, 32)
OTHERS = made.LAYOUTS["rows F"](FACES[::-1])


class Answers:
    """Goes through the dialog as soon as it is there, one step whenever its preview is."""

    def __init__(self, qtbot, *steps):
        self.seen, self.pictures = [], []
        self._steps = list(steps)
        self._timer = QTimer()
        self._timer.timeout.connect(self._on_time)
        self._timer.start(50)
        self._qtbot = qtbot

    def stop(self):
        self._timer.stop()

    def _on_time(self):
        dialog = QApplication.activeModalWidget()
        words = dialog.words.text() if isinstance(dialog, reader.MatrixDialog) else "Reading"
        if words.startswith("Reading"):
            return
        self.seen.append(words)
        picture = dialog.preview.pixmap()
        self.pictures.append(None if picture.isNull() else picture.toImage())
        step = self._steps.pop(0)
        if step in {"Open", "Cancel"}:
            self._timer.stop()
            button = dialog.buttons.button(getattr(QDialogButtonBox.StandardButton, step))
            self._qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
            if dialog.isVisible():  # then it would keep the test for ever
                dialog.reject()
        else:
            step(dialog)


def choose(box, index):
    return lambda dialog: dialog.inputs[box].native.setCurrentIndex(index)


second, in_c_order, in_f_order = choose("variable", 1), choose("order", 1), choose("order", 2)


def test_the_window_asks(qtbot, viewer, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr("napari.utils.notifications.show_info", told.append)
    path = tmp_path / "two.npz"
    path.write_bytes(made.npz(one=FACES.reshape(20, -1), two=OTHERS, gnd=made.owners(20)))

    answers = Answers(qtbot, "Cancel")
    assert viewer.open(path, plugin=PLUGIN) == []
    assert "from the rows of 'one', row by row" in answers.seen[0]
    assert told == ["Nothing was opened."]

    answers = Answers(qtbot, second, in_c_order, in_f_order, "Open")
    [layer] = viewer.open(path, plugin=PLUGIN)
    np.testing.assert_array_equal(layer.data, FACES[::-1])
    assert layer.metadata["subjects"][0] == "1"
    assert "'two', MATLAB order (F)" in answers.seen[-1]
    assert "'two', row by row (C)" in answers.seen[2]
    assert answers.pictures[2] != answers.pictures[3] == answers.pictures[1]
    assert told[-1].startswith("20 faces of 40 x 32 (height x width) from the rows of 'two'")
    assert "Open faces again otherwise" in told[-1]

    # again, with what was chosen before, and otherwise
    answers = Answers(qtbot, in_c_order, "Open")
    reader.open_again(viewer)
    [again] = viewer.layers
    np.testing.assert_array_equal(again.data, OTHERS.reshape(20, 32, 40))
    assert "MATLAB order (F)" in answers.seen[0]

    viewer.layers.clear()
    reader.open_again(viewer)
    assert told[-1].startswith("Choose a layer of faces that were read from a file of numbers")


def test_what_is_wrong_is_told_and_colour_becomes_grey(qtbot, viewer, tmp_path):
    path = tmp_path / "two.npz"
    path.write_bytes(made.npz(one=FACES.reshape(20, -1), two=OTHERS))

    def shape(text):
        return lambda dialog: setattr(dialog.inputs["shape"], "value", text)

    def enter(dialog):
        answers.stop()
        qtbot.keyClick(dialog.inputs["shape"].native, Qt.Key.Key_Return)
        assert not dialog.isVisible()

    answers = Answers(qtbot, shape("40"), shape("40, 31"), shape("40 x 32"), enter)
    reader.open_path(viewer, str(path))
    [layer] = viewer.layers
    np.testing.assert_array_equal(layer.data, FACES)
    assert answers.seen[1] == "Give both height and width, or neither."
    assert "a face of 40 x 31 has 1240 pixels" in answers.seen[2]
    assert answers.pictures[1] is answers.pictures[2] is None

    viewer.layers.clear()  # and what has colours can be made grey
    colour = np.stack([FACES, FACES // 2, 255 - FACES], axis=-1)
    np.save(tmp_path / "a.npy", colour)
    [layer] = viewer.open(tmp_path / "a.npy", plugin=PLUGIN)
    assert layer.rgb
    layer.scale = (1, 2, 3)
    reader.make_grey(viewer)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    grey = viewer.layers[1]
    assert np.abs(grey.data - colour @ [0.299, 0.587, 0.114]).max() < 1
    assert grey.metadata["names"] == layer.metadata["names"]
    assert np.diag(grey.affine.affine_matrix).tolist() == [1, 2, 3, 1]
