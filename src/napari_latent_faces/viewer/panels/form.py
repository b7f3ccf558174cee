"""Form fields made from parameters, choices of faces and models, and how parts are placed."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from magicgui import widgets
from magicgui.types import Separator
from magicgui.widgets.bases import Widget
from qtpy import QtWidgets as QtW
from qtpy.QtCore import QEvent, QObject, QRegularExpression, QSignalBlocker, Qt
from qtpy.QtGui import QRegularExpressionValidator

from napari_latent_faces.model import ENDING, LatentFaces
from napari_latent_faces.stack import harmless
from napari_latent_faces.viewer.jobs import Job
from napari_latent_faces.viewer.layers import FACES_KEY, MODEL_KEY, ROLE_KEY, model_words
from napari_latent_faces.viewer.session import session_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel
    from napari.layers import Layer

    Run = Callable[[Job, str], object]  # runs a job, and shows words meanwhile

Part = Widget | QtW.QWidget  # of a panel: of magicgui, or of Qt

NO_FACES = (
    "No faces yet. Open some with File > IO Utilities > Open folder of faces..., or a sample "
    "with File > Open Sample > Latent faces."
)
NO_MODEL = "No model yet: fit one with Plugins > Latent faces, or open a file."

LARGEST = 2**31 - 1  # of Qt's numbers
_LEAST = 8  # letters of a name that are always seen
_BOX = QtW.QStyle.ComplexControl.CC_ComboBox


class NumberEdit(widgets.LineEdit):
    """A number typed as text, so that no digit is rounded away."""

    def get_value(self) -> Any:
        text = str(super().get_value()).strip()
        try:
            return float(text)
        except ValueError:
            return text


def make_fields(
    parameters: type[Any], *only: str, shared: dict[str, ValueWidget[Any]] | None = None
) -> dict[str, ValueWidget[Any]]:
    """Return inputs for the fields of a dataclass; several may have `shared` those alike."""
    made, inputs = {} if shared is None else shared, {}
    for declared in fields(parameters):
        if not only or declared.name in only:
            alike = repr((declared.name, declared.default, dict(declared.metadata)))
            made[alike] = inputs[declared.name] = made.get(alike) or _make_field(declared)
    return inputs


def read_fields(parameters: type[Any], inputs: Mapping[str, ValueWidget[Any]]) -> Any:
    """Return the dataclass that the inputs spell; it raises what it finds wrong."""
    return parameters(**{name: each.value for name, each in inputs.items()})


def _make_field(declared: Any) -> ValueWidget[Any]:
    known, default = declared.metadata, declared.default
    told: dict[str, Any] = {"name": declared.name, "label": known["label"]}
    told["tooltip"] = fill(known["help"], 72)
    if bool in known["types"]:
        return widgets.CheckBox(value=default, text=told.pop("label"), **told)
    if known.get("slider"):
        told |= {"min": known["min"], "max": known["max"], "step": 0.01}
        slider = widgets.FloatSlider(value=default or known["min"], **told)
        number = slider.native.findChild(QtW.QDoubleSpinBox)
        # else napari's style gives the number more room than the slider
        width = "min-width: 2.5em; max-width: 2.5em; padding: 0;"
        number.setStyleSheet(f"{number.styleSheet()} {width}")
        return slider
    if int in known["types"]:
        most = min(known.get("max", LARGEST), LARGEST)
        count = widgets.SpinBox(value=default, min=known["min"], max=most, **told)
        line = count.native.lineEdit()
        # superqt's box lets a minus or a comma be typed, and raises when it reads them
        line.setValidator(QRegularExpressionValidator(QRegularExpression("[0-9]*"), line))
        return count
    if "min" in known:
        return NumberEdit(value=str(default), **told)
    choices = [("automatic", None)] * known["optional"]
    choices += [(choice, choice) for choice in known["choices"]]
    return widgets.ComboBox(value=default, choices=choices, **told)


def button(
    text: str, tooltip: str, pressed: Callable[[], object] | None = None, **options: Any
) -> widgets.PushButton:
    """Return a button that calls `pressed`."""
    made = widgets.PushButton(text=text, tooltip=tooltip, **options)
    made.native.setAutoDefault(True)  # Enter presses it, as in a dialog, not only Space
    if pressed is not None:
        made.changed.connect(pressed, max_args=0)
    return made


def native(part: Part) -> QtW.QWidget:
    """Return the Qt widget that a part of a panel is."""
    found: QtW.QWidget = part.native if isinstance(part, Widget) else part
    return found


def put(layout: QtW.QBoxLayout, *parts: Part, stretched: Part | None = None) -> None:
    """Put parts into a layout without margins; one of them takes the room that is left."""
    layout.setContentsMargins(0, 0, 0, 0)
    for each in parts:
        layout.addWidget(native(each), int(each is stretched))


def in_a_row(*parts: Part, stretched: Part | None = None) -> QtW.QWidget:
    """Return a Qt widget with parts beside one another."""
    row = QtW.QWidget()
    put(QtW.QHBoxLayout(row), *parts, stretched=stretched)
    return row


def form_of(inputs: Iterable[Widget | tuple[str, QtW.QWidget]]) -> QtW.QWidget:
    """Return a Qt widget with the inputs below each other, their labels in a column."""
    form = QtW.QWidget()
    layout = QtW.QFormLayout(form)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QtW.QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for each in inputs:
        if isinstance(each, widgets.ComboBox):
            allow_long_names(each.native)
        if isinstance(each, tuple):
            layout.addRow(*each)
        elif isinstance(each, (widgets.CheckBox, widgets.Label)):
            layout.addRow(each.native)
        else:
            label = QtW.QLabel(each.label)
            label.setToolTip(each.tooltip)
            label.setMinimumWidth(label.sizeHint().width())
            each.native.setToolTip(each.tooltip)  # of all its parts
            layout.addRow(label, each.native)
    return form


class Section(QtW.QWidget):
    """A part below a title, which folds it when it is pressed; it is folded at first."""

    def __init__(self, title: str, part: QtW.QWidget) -> None:
        super().__init__()
        self._title, self._part = title, part
        self._head = button("", "", lambda: self.unfold(part.isHidden()))
        self._head.native.setStyleSheet("text-align: left; border: none; background: none;")
        put(QtW.QVBoxLayout(self), self._head, part)
        self.unfold(False)

    def unfold(self, is_open: bool = True) -> None:
        arrow = "\u25b8\u25be"[is_open]  # a small triangle that points right, or down
        self._head.text = f"{arrow} {self._title}"
        self._part.setVisible(is_open)


def text(lines: int = 0) -> widgets.Label:
    """Return a label that takes the width there is, and the lines it needs, at least some."""
    made = widgets.Label(value="")
    label = made.native
    label.setAlignment(Qt.AlignmentFlag.AlignTop)
    label.setSizePolicy(QtW.QSizePolicy.Policy.Ignored, QtW.QSizePolicy.Policy.Minimum)
    label.setWordWrap(True)  # last: a new policy would forget that the width decides the height
    label.setMinimumHeight(lines * (label.fontMetrics().lineSpacing() + 2))
    return made


def allow_long_names(box: QtW.QComboBox) -> None:
    """Let a box be narrower than its entries; a name that does not fit is in the tooltip."""
    policy = QtW.QComboBox.SizeAdjustPolicy
    box.setSizeAdjustPolicy(policy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(_LEAST)
    box.installEventFilter(_LongNames(box))


def shortened(box: QtW.QComboBox) -> str:
    """Return the chosen name as it is seen: as many parts between commas as fit, and "..."."""
    style: Any = box.style()
    part = QtW.QStyle.SubControl.SC_ComboBoxEditField
    room = style.subControlRect(_BOX, _option(box), part, box).width()
    letters, name = box.fontMetrics(), box.currentText()
    whole = name  # Qt's "40..." for 400 faces would tell a lie
    while letters.horizontalAdvance(name) > room and ", " in whole:
        whole = whole.rpartition(", ")[0]
        name = f"{whole}, \N{HORIZONTAL ELLIPSIS}"
    return letters.elidedText(name, Qt.TextElideMode.ElideMiddle, room)


def _option(box: QtW.QComboBox) -> QtW.QStyleOptionComboBox:
    option = QtW.QStyleOptionComboBox()
    box.initStyleOption(option)
    return option


class _LongNames(QObject):
    """Paints a box, and says what its tooltip says, where a name does not fit."""

    def eventFilter(self, box: Any, event: Any) -> bool:
        kind = event.type()
        if kind not in {QEvent.Type.Paint, QEvent.Type.ToolTip}:
            return False  # a box that is being destroyed cannot be asked for its style
        name, seen = box.currentText(), shortened(box)
        if seen == name:
            return False
        if kind == QEvent.Type.ToolTip:
            QtW.QToolTip.showText(event.globalPos(), f"{name}\n\n{box.toolTip()}", box)
            return True
        option, painter = _option(box), QtW.QStylePainter(box)
        option.currentText = seen
        painter.drawComplexControl(_BOX, option)
        painter.drawControl(QtW.QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()  # Qt crashes where one is left open
        return True


class FacesChoice(widgets.ComboBox):
    """Offers layers; those that `why_not` speaks against are grey, with its sentence."""

    def __init__(self, viewer: ViewerModel, why_not: Callable[[Layer], str], tip: str) -> None:
        self._viewer, self._why_not = viewer, why_not
        self._listed: list[tuple[str, Layer, str]] = []
        super().__init__(label="Faces", tooltip=tip)

    @property
    def missing(self) -> str:
        whys = (why for _, _, why in self._listed if why)
        return next(whys, NO_FACES) if self.value is None else ""

    def follow(self, layer: Layer | None) -> None:
        """Choose the layer that was selected, or the faces that it belongs to, if offered."""
        owner = None if layer is None else layer.metadata.get(FACES_KEY)
        for each in self.choices:
            if each is not None and (each is layer or str(each.unique_id) == owner):
                self.value = each

    def reset_choices(self, *_: Any) -> None:
        """List the layers, those that are offered first, if there are others than before."""
        layers = (each for each in self._viewer.layers if ROLE_KEY not in each.metadata)
        found = [(layer.name, layer, self._why_not(layer)) for layer in layers]
        found.sort(key=lambda each: bool(each[2]))
        if found == self._listed:
            return
        before, self._listed, box = self.value, found, self.native
        offered = [layer for _, layer, why in found if not why]
        chosen = before if before in offered else next(iter(offered), None)
        with QSignalBlocker(box):
            box.clear()
            for row, (name, layer, why) in enumerate(found):
                # magicgui does not count separators as choices
                box.addItem(name, Separator if why else layer)
                box.model().item(row).setEnabled(not why)
                box.setItemData(row, why, Qt.ItemDataRole.ToolTipRole)
            box.setCurrentIndex(offered.index(chosen) if chosen is not None else -1)
        if chosen is not None and chosen is not before:
            self.changed.emit(chosen)


class ModelChoice(widgets.Container[Widget]):
    """Offers the models that layers of a viewer carry, and opens others."""

    def __init__(
        self, viewer: ViewerModel, run: Run, label: str = "Model", *, follows: bool = True
    ) -> None:
        self._viewer, self._run, self._follows = viewer, run, follows
        self._opened: dict[str, LatentFaces] = {}  # by the names of their files
        self._about: LatentFaces | None = None  # the model that was followed last
        tip = "The model: of a layer that shows one, or opened from a file."
        self.combo = widgets.ComboBox(tooltip=tip)
        self.open_button = button("Open...", "Open a model file that was saved.", self._ask)
        parts, look = [self.combo, self.open_button], {"layout": "horizontal", "labels": False}
        super().__init__(widgets=parts, label=label, tooltip=tip, **look)  # type: ignore[arg-type]
        self.margins = (0, 0, 0, 0)
        self.chosen = self.combo.changed
        allow_long_names(self.combo.native)
        policy = QtW.QSizePolicy.Policy  # the names of models need the room
        self.combo.native.setSizePolicy(policy.Expanding, policy.Fixed)
        self.open_button.native.setSizePolicy(policy.Maximum, policy.Fixed)

    @property
    def model(self) -> LatentFaces | None:
        model: LatentFaces | None = self.combo.value
        return model

    @property
    def missing(self) -> str:
        return NO_MODEL if self.model is None else ""

    def follow(self, _layer: Layer | None) -> None:
        """Stay: `reset_choices` follows the session, which tells the model of a layer."""

    def reset_choices(self, *_: Any) -> None:
        """List the models; choose a new one, or the one that the viewer is about now."""
        found, known, before = self._models(), self.combo.choices, self.model
        wanted = about = session_of(self._viewer).model
        self.combo.choices = found
        is_gone = all(model is not before for _, model in found)
        if is_gone:  # a new one has mostly taken its place
            others = (model for _, model in found if all(model is not each for each in known))
            wanted = next(others, about)
        is_news = self._follows and about is not self._about
        if wanted is not None and (is_gone or is_news):
            # it is once for all that share its components
            same = (each for _, each in found if each.components is wanted.components)
            self.combo.value = next(same, self.model)
        self._about = about

    def open_file(self, path: str) -> Job:
        name = harmless(Path(path).name)

        def take(model: LatentFaces) -> None:
            self._opened[name] = model
            self.reset_choices()
            self.combo.value = model

        job = Job(LatentFaces.load, path)
        job.returned.connect(take)
        self._run(job, f"Opening {name} ...")
        return job

    def _ask(self) -> None:
        path, _ = QtW.QFileDialog.getOpenFileName(
            self.native, "Open a model", "", f"Models of latent faces (*{ENDING} *.npz)"
        )
        if path:
            self.open_file(path)

    def _models(self) -> list[tuple[str, LatentFaces]]:
        """Return models with names of their own, each once: encoded faces share components."""
        known = (each.metadata for each in reversed(self._viewer.layers))
        found = [(each[MODEL_KEY], "") for each in known if MODEL_KEY in each]
        found += [(model, file) for file, model in self._opened.items()]
        # a fit before what was encoded with it
        found.sort(key=lambda each: each[0].provenance.encoded_from is not None)
        once: dict[int, tuple[LatentFaces, str]] = {}
        for model, file in found:
            once.setdefault(id(model.components), (model, file))
        named: dict[str, LatentFaces] = {}
        for model, file in once.values():
            name = model_words(model, file)
            taken = sum(each == name or each.startswith(f"{name} (") for each in named)
            named[f"{name} ({taken + 1})" if taken else name] = model
        return list(named.items())
