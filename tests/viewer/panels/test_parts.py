from __future__ import annotations

from qtpy.QtWidgets import QLabel
from superqt import QCollapsible

from napari_latent_faces.viewer.panels.panel import fill_section


def test_a_section_has_one_arrow_and_no_icon_beside_it(qtbot):
    section = QCollapsible("More")
    qtbot.addWidget(section)
    fill_section(section, QLabel("part"))
    titles = []
    for turn in (section.expand, section.collapse):
        turn(animate=False)
        picture = section.toggleButton().icon().pixmap(16).toImage()
        colours = [
            picture.pixelColor(x, y).alpha()
            for x in range(picture.width())
            for y in range(picture.height())
        ]
        assert not any(colours)
        titles.append(section.text())
    assert all(title.endswith(" More") for title in titles)
    assert titles[0] != titles[1]
