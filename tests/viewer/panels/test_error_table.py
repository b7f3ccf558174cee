from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_latent_faces.viewer.panels.encode import Errors, ErrorTable

DOWN, UP = Qt.SortOrder.DescendingOrder, Qt.SortOrder.AscendingOrder


@pytest.fixture
def table(qtbot):
    table = ErrorTable()
    qtbot.addWidget(table)
    names = ("s2/1", "s2/2", "s10/1", "s10/2", "s2/3")
    table.show_faces(names, tuple(name[:-2] for name in names), np.array([3, 1, 4, 1, 5.0]))
    return table


def order(table):
    return [table.faces.row_at(row) for row in range(table.faces.rowCount())]


def test_the_worst_come_first(table):
    assert order(table) == [4, 2, 0, 1, 3]


@pytest.mark.parametrize(
    ("column", "direction", "expected"),
    [
        (0, UP, [0, 1, 2, 3, 4]),
        (0, DOWN, [4, 3, 2, 1, 0]),
        (1, UP, [0, 1, 4, 2, 3]),
        (1, DOWN, [2, 3, 0, 1, 4]),
        (2, UP, [1, 3, 0, 2, 4]),
        (2, DOWN, [4, 2, 0, 1, 3]),
    ],
)
def test_every_column_sorts(table, column, direction, expected):
    table.sortByColumn(column, direction)
    assert order(table) == expected


def test_a_click_on_a_row_chooses_its_face(table, qtbot):
    chosen = []
    table.face_chosen.connect(chosen.append)
    table.resize(400, 300)
    table.show()
    place = table.visualRect(table.faces.index(2, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert chosen == [0]


def test_marking_a_row_chooses_nothing(table):
    chosen = []
    table.face_chosen.connect(chosen.append)
    table.select_face(2)
    assert table.currentIndex().row() == 1
    table.select_face(None)
    table.select_face(99)
    assert not table.selectedIndexes()
    assert not chosen


def test_without_subjects_there_is_no_column_for_them(table):
    table.show_faces(("a", "b"), None, np.array([1.0, 2.0]))
    assert table.isColumnHidden(1)
    table.sortByColumn(1, UP)
    assert order(table) == [0, 1]


def test_only_the_rows_that_are_seen_are_asked_for(qtbot, monkeypatch):
    asked = set()
    original = Errors.data

    def data(self, index, role=Qt.ItemDataRole.DisplayRole):
        asked.add(index.row())
        return original(self, index, role)

    monkeypatch.setattr(Errors, "data", data)
    n = 200_000
    errors = np.random.default_rng(0).random(n)
    table = ErrorTable()
    qtbot.addWidget(table)
    table.resize(400, 300)
    table.show()
    table.show_faces([f"{i}.png" for i in range(n)], [str(i % 999) for i in range(n)], errors)
    for column in (2, 1, 0, 2):
        table.sortByColumn(column, UP)
        table.grab()  # draws it
    table.select_face(int(errors.argmax()))
    table.grab()  # draws it
    assert table.faces.rowCount() == n
    assert table.faces.row_at(0) == errors.argmin()
    assert 0 < len(asked) < 300
