"""What several panels are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

from napari.layers import Image, Labels, Layer, Shapes
from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import QLabel

from napari_latent_faces._widgets.crowding import make_room
from napari_latent_faces._widgets.tab_order import tab_in_reading_order
from napari_latent_faces._widgets.whole_title import show_whole_title
from napari_latent_faces.layers import ROLE_KEY

if TYPE_CHECKING:
    import napari
    from qtpy.QtWidgets import QProgressBar, QWidget
    from superqt import QCollapsible

__all__ = [
    "NO_FACES",
    "face_stacks",
    "fill_section",
    "mark_layers",
    "settle",
    "show_progress",
]

_NARROWEST = 340  # pixels: all words fit in
_OPEN = "\N{BLACK DOWN-POINTING SMALL TRIANGLE}"
_FOLDED = "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}"

NO_FACES = (
    "No stack of faces yet. Open one with File > IO Utilities > Open folder of faces..., or "
    "a sample with File > Open Sample > Latent faces."
)
"""What a panel says that has nothing to work on."""


def face_stacks(viewer: napari.components.ViewerModel) -> list[Image]:
    """Return the layers of a viewer that can be factorized."""
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, Image)
        and layer.ndim == 3
        and not layer.rgb
        and ROLE_KEY not in layer.metadata
    ]


def fill_section(section: QCollapsible, part: QWidget) -> None:
    """Put a part into a section that can be folded, without the gaps that Qt leaves.

    Tab does not go into a folded section.
    """
    _mark_with_arrow(section)
    section.addWidget(part)
    policy = part.sizePolicy()
    policy.setRetainSizeWhenHidden(True)  # it tells the section how far to unfold
    part.setSizePolicy(policy)
    part.hide()
    section.toggled.connect(part.setVisible)
    for widget in (section, section.content()):
        layout = widget.layout()
        assert layout is not None
        layout.setContentsMargins(0, 0, 0, 0)


def _mark_with_arrow(section: QCollapsible) -> None:
    """Show by an arrow in the title whether a section is folded.

    superqt's icons keep the colour of the theme in which they were made. No icon at all
    would leave them there with PySide6, where it counts as false.
    """
    nothing = QPixmap(1, 1)
    nothing.fill(Qt.GlobalColor.transparent)
    title, known = section.text(), ref(section)  # PySide would keep it, and all around it

    def show(is_open: bool) -> None:
        section = known()
        if section is not None:
            section.setText(f"{_OPEN if is_open else _FOLDED} {title}")

    for set_icon in (section.setExpandedIcon, section.setCollapsedIcon):
        set_icon(QIcon(nothing))
    section.toggled.connect(show)
    show(is_open=False)


def mark_layers(viewer: napari.components.ViewerModel) -> list[Layer]:
    """Return the layers of a viewer that can mark pixels, the uppermost first."""
    return [layer for layer in reversed(viewer.layers) if isinstance(layer, (Labels, Shapes))]


def settle(panel: QWidget, lowest: int = 0) -> None:
    """Prepare a panel for its dock: its least size, the order of Tab, and its neighbours.

    Parameters
    ----------
    panel : QWidget
        The panel, all of whose layouts are filled.
    lowest : int, default=0
        Pixels that it is high at least; 0 leaves that to its parts.
    """
    for label in panel.findChildren(QLabel):  # names of files are no HTML
        label.setTextFormat(Qt.TextFormat.PlainText)
    panel.setMinimumSize(_NARROWEST, lowest)
    tab_in_reading_order(panel)
    make_room(panel)
    show_whole_title(panel)


def show_progress(bar: QProgressBar, done: int, total: int) -> None:
    """Set a bar, without Qt drawing the whole window before it returns."""
    if bar.maximum() != total:
        bar.setMaximum(total)
    bar.setUpdatesEnabled(False)
    bar.setValue(done)
    bar.setUpdatesEnabled(True)
