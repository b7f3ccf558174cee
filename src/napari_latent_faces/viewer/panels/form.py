"""Form fields made from parameters, and choices of models."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any
from weakref import ref

from magicgui.types import Separator
from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FloatSlider,
    Label,
    LineEdit,
    PushButton,
    SpinBox,
)
from magicgui.widgets.bases import Widget
from psygnal import Signal
from qtpy.QtCore import QEvent, QObject, QRect, QRegularExpression, QSignalBlocker, Qt
from qtpy.QtGui import QHelpEvent, QRegularExpressionValidator
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from napari_latent_faces.model import LatentFaces
from napari_latent_faces.model_file import ENDING
from napari_latent_faces.stack import harmless
from napari_latent_faces.viewer.jobs import Job
from napari_latent_faces.viewer.layers import FACES_KEY, MODEL_KEY, ROLE_KEY, model_words

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    import napari
    from magicgui.widgets.bases import ValueWidget
    from napari.layers import Layer

__all__ = [
    "FacesChoice",
    "ModelChoice",
    "Section",
    "allow_long_names",
    "form_of",
    "in_a_row",
    "is_shortened",
    "make_fields",
    "make_method_fields",
    "name_models",
    "native",
    "read_fields",
    "show_rows",
    "wrap",
]

# -- Form fields made from the fields of a frozen dataclass of parameters --------------

_OPEN = "\N{BLACK DOWN-POINTING SMALL TRIANGLE}"
_FOLDED = "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}"
_LARGEST = 2**31 - 1  # of Qt's spin boxes


class NumberEdit(LineEdit):
    """A number typed as text, so that no digit is rounded away."""

    def get_value(self) -> Any:
        """Return the number, or the text as it stands if it is none."""
        text = str(super().get_value()).strip()
        try:
            return float(text)
        except ValueError:
            return text


class CountBox(SpinBox):
    """A whole number of 0 or more; only digits can be typed.

    superqt's box lets a minus be typed, and raises when that is all there is.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        line = self.native.lineEdit()
        line.setValidator(QRegularExpressionValidator(QRegularExpression("[0-9]*"), line))


def make_fields(
    parameters: type[Any], only: Collection[str] | None = None
) -> dict[str, ValueWidget[Any]]:
    """Return an input for each field of a dataclass, with its default, label and tooltip.

    Parameters
    ----------
    parameters : dataclass
        Its fields' metadata may hold `label`, `help`, `min`, `max`, `choices` and
        `optional`.
    only : collection of str, optional
        Names of the fields; all by default.
    """
    return {
        declared.name: _make_field(declared)
        for declared in fields(parameters)
        if only is None or declared.name in only
    }


def make_method_fields(
    methods: Mapping[str, type[Any]],
) -> dict[str, dict[str, ValueWidget[Any]]]:
    """Return the inputs of several methods, by method and field.

    Fields that are the same for several methods, defaults and words included, have one
    input: what is typed there counts for all of them.

    Parameters
    ----------
    methods : dict of dataclass
        The parameters of each method by its name.
    """
    made: list[tuple[Any, ValueWidget[Any]]] = []

    def shared(declared: Any) -> ValueWidget[Any]:
        for other, widget in made:
            if (declared.name, declared.default) == (other.name, other.default) and dict(
                declared.metadata
            ) == dict(other.metadata):
                return widget
        made.append((declared, _make_field(declared)))
        return made[-1][1]

    return {
        method: {declared.name: shared(declared) for declared in fields(kind)}
        for method, kind in methods.items()
    }


def read_fields(parameters: type[Any], inputs: Mapping[str, ValueWidget[Any]]) -> Any:
    """Return the dataclass that the inputs spell.

    Raises
    ------
    TypeError, ValueError
        Whatever the dataclass finds wrong.
    """
    return parameters(**{name: each.value for name, each in inputs.items()})


def _make_field(declared: Any) -> ValueWidget[Any]:
    known = declared.metadata
    common = {
        "name": declared.name,
        "label": known["label"],
        "tooltip": fill(known["help"], 72),
        "value": declared.default,
    }
    if declared.type == "bool":
        return CheckBox(text=common.pop("label"), **common)
    if known.get("slider"):
        common["value"] = declared.default or known["min"]
        slider = FloatSlider(min=known["min"], max=known["max"], step=0.01, **common)
        number = slider.native.findChild(QDoubleSpinBox)
        # else napari's style gives the number more room than the slider
        number.setStyleSheet(
            f"{number.styleSheet()} min-width: 2.5em; max-width: 2.5em; padding: 0;"
        )
        return slider
    if declared.type.startswith("int"):
        return CountBox(
            min=known["min"], max=min(known.get("max", _LARGEST), _LARGEST), **common
        )
    if "min" in known:
        return NumberEdit(**{**common, "value": str(declared.default)})
    choices = [(choice, choice) for choice in known["choices"]]
    if known.get("optional"):
        choices.insert(0, ("automatic", None))
    return ComboBox(choices=choices, **common)


def form_of(inputs: Iterable[Widget]) -> QWidget:
    """Return a Qt widget with the inputs below each other, their labels in a column."""
    form = QWidget()
    layout = QFormLayout(form)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for each in inputs:
        if isinstance(each, ComboBox):
            allow_long_names(each.native)
        if isinstance(each, (CheckBox, Label)):
            layout.addRow(each.native)
        else:
            label = QLabel(each.label)
            label.setToolTip(each.tooltip)
            label.setMinimumWidth(label.sizeHint().width())
            each.native.setToolTip(each.tooltip)  # of all its parts
            layout.addRow(label, each.native)
    return form


def show_rows(
    form: QWidget,
    inputs: Iterable[ValueWidget[Any]],
    shown: Collection[ValueWidget[Any]],
) -> None:
    """Show those of the inputs of a form that are among `shown`, and hide the others."""
    layout = form.layout()
    assert isinstance(layout, QFormLayout)
    for each in inputs:
        layout.setRowVisible(each.native, any(each is other for other in shown))


def in_a_row(*parts: Widget | QWidget, stretched: Widget | QWidget | None = None) -> QWidget:
    """Return a Qt widget with parts, of magicgui or Qt, beside one another."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for each in parts:
        layout.addWidget(native(each), int(each is stretched))
    return row


class Section(QWidget):
    """A part below a title, which folds it when it is pressed; it is folded at first."""

    def __init__(self, title: str, part: QWidget) -> None:
        super().__init__()
        self._title, self._part = title, part
        self.head = QPushButton()
        self.head.setCheckable(True)
        self.head.setStyleSheet("text-align: left; border: none; background: none;")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.head)
        layout.addWidget(part)
        self.head.toggled.connect(self.unfold)
        self.unfold(False)

    def unfold(self, is_open: bool = True) -> None:
        """Show the part, or fold it."""
        self.head.setChecked(is_open)
        self.head.setText(f"{_OPEN if is_open else _FOLDED} {self._title}")
        self._part.setVisible(is_open)


def native(part: Widget | QWidget) -> QWidget:
    """Return the Qt widget that a part of a panel is."""
    found: QWidget = part.native if isinstance(part, Widget) else part
    return found


def wrap(label: QLabel, lines: int = 0) -> None:
    """Let a text take the width that there is, and the lines that it needs, at least some."""
    label.setAlignment(Qt.AlignmentFlag.AlignTop)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    label.setWordWrap(True)  # last: a new policy would forget that the width decides the height
    label.setMinimumHeight(lines * (label.fontMetrics().lineSpacing() + 2))


# -- Boxes of names that may be longer than the panel is wide --------------------------

_LEAST = 8  # letters that are always seen


def allow_long_names(
    box: QComboBox, elide: Qt.TextElideMode = Qt.TextElideMode.ElideMiddle
) -> None:
    """Let a box be narrower than its entries; a name that does not fit is in the tooltip.

    Parameters
    ----------
    box : QComboBox
        The box, which is not editable.
    elide : Qt.TextElideMode
        Where such a name is cut: in the middle, or where it matters least.
    """
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(_LEAST)
    names = box.view()
    assert names is not None
    names.setTextElideMode(elide)
    box.installEventFilter(_LongNames(box))


def is_shortened(box: QComboBox) -> bool:
    """Tell whether the chosen name is too long for its box."""
    room = _room(box, _option(box)).width()
    return bool(box.fontMetrics().horizontalAdvance(box.currentText()) > room)


class _LongNames(QObject):
    """Paints a box, and says what its tooltip says, with a name that may not fit."""

    def eventFilter(self, box: QObject | None, event: QEvent | None) -> bool:
        if event is None or event.type() not in {QEvent.Type.Paint, QEvent.Type.ToolTip}:
            return False  # a box that is being destroyed cannot be asked for its style
        if not isinstance(box, QComboBox) or not is_shortened(box):
            return False
        if event.type() == QEvent.Type.Paint:
            _paint(box)
            return True
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            words = "\n\n".join(filter(None, (box.currentText(), box.toolTip())))
            QToolTip.showText(event.globalPos(), words, box)
            return True
        return False


def _option(box: QComboBox) -> QStyleOptionComboBox:
    option = QStyleOptionComboBox()
    box.initStyleOption(option)
    return option


def _room(box: QComboBox, option: QStyleOptionComboBox) -> QRect:
    """Return where the name is written."""
    style = box.style()
    control, part = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
    return QRect() if style is None else style.subControlRect(control, option, part, box)


def _paint(box: QComboBox) -> None:
    option = _option(box)
    names = box.view()
    assert names is not None
    option.currentText = box.fontMetrics().elidedText(
        box.currentText(), names.textElideMode(), _room(box, option).width()
    )
    painter = QStylePainter(box)
    painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
    painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
    painter.end()  # Qt crashes where one is left open


# -- A field that chooses faces among the layers ---------------------------------------


class FacesChoice(ComboBox):
    """Offers layers of a viewer; others are listed in grey, with the reason in a tooltip.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    why_not : callable
        Says in a sentence why a layer is not offered; "" if it is.
    tooltip : str
        What the faces are for.
    """

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        why_not: Callable[[Layer], str],
        tooltip: str,
    ) -> None:
        self._viewer, self._why_not = viewer, why_not
        self._listed: list[tuple[str, Layer, str]] = []
        super().__init__(name="faces", label="Faces", tooltip=tooltip)

    @property
    def why_none(self) -> str:
        """Why the first of the layers that are listed is not offered; "" without one."""
        return next((why for _, _, why in self._listed if why), "")

    def refresh(self) -> None:
        """Look at the layers again; the chosen one stays if it can."""
        self.reset_choices()

    def follow(self, layer: Layer | None) -> None:
        """Choose the layer that was selected, or the faces that it belongs to, if offered."""
        self.refresh()
        owner = None if layer is None else layer.metadata.get(FACES_KEY)
        for each in self.choices:
            if each is not None and (each is layer or str(each.unique_id) == owner):
                self.value = each

    def cancel(self) -> None:
        """Do nothing: there is nothing that is read."""

    abandon = cancel

    def reset_choices(self, *_: Any) -> None:
        """List the layers, those that are offered first, if there are others than before."""
        found = [
            (layer.name, layer, self._why_not(layer))
            for layer in self._viewer.layers
            if ROLE_KEY not in layer.metadata
        ]
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
                if why:
                    box.model().item(row).setEnabled(False)
                    box.setItemData(row, why, Qt.ItemDataRole.ToolTipRole)
            box.setCurrentIndex(offered.index(chosen) if chosen is not None else -1)
        if chosen is not None and chosen is not before:
            self.changed.emit(chosen)


# -- A field that chooses a model: of a layer, or from a file --------------------------

_NOTHING = object()  # what a layer without a model carries


class ModelChoice(Container[Widget]):
    """Offers the models that layers of a viewer carry, and opens others.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    """

    chosen = Signal(object)
    opening = Signal(str)  # the name of the file that is read; empty when it no longer is

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
        self._viewer = viewer
        self._opened: dict[str, LatentFaces] = {}
        self._carrier: Any = None  # weakly, the layer whose model is chosen
        self._job: Job | None = None
        self.combo = ComboBox(
            label="Model",
            choices=self._models,
            nullable=False,
            tooltip="The model: of a layer that shows one, or opened from a file.",
        )
        self.open_button = PushButton(
            text="Open...", tooltip="Open a model file that was saved earlier."
        )
        super().__init__(
            widgets=[self.combo, self.open_button],
            layout="horizontal",
            labels=False,
            label="Model",
            tooltip=self.combo.tooltip,
        )
        self.margins = (0, 0, 0, 0)
        # the names of models need the room
        allow_long_names(self.combo.native, Qt.TextElideMode.ElideRight)
        policy = QSizePolicy.Policy
        self.combo.native.setSizePolicy(policy.Expanding, policy.Fixed)
        self.open_button.native.setSizePolicy(policy.Maximum, policy.Fixed)
        self.combo.changed.connect(self._on_chosen)
        self.open_button.changed.connect(self._ask)

    @property
    def model(self) -> LatentFaces | None:
        """The chosen model, or None if there is none."""
        model: LatentFaces | None = self.combo.value
        return model

    def refresh(self) -> None:
        """Look at the layers again; where the chosen one was fitted anew, choose that fit."""
        layer = None if self._carrier is None else self._carrier()
        self.combo.reset_choices()
        if layer is not None and layer in self._viewer.layers and MODEL_KEY in layer.metadata:
            components = layer.metadata[MODEL_KEY].components
            offered = (each for _, each in self._models() if each.components is components)
            self.combo.value = next(offered)  # once for all layers that share them
        self._remember()

    def follow(self, model: LatentFaces | None) -> None:
        """Choose the model that the viewer is about, if it is offered."""
        self.refresh()
        for each in self.combo.choices:
            if model is not None and each is not None and each.components is model.components:
                self.combo.value = each

    def _on_chosen(self, model: LatentFaces | None) -> None:
        self._remember()
        self.chosen.emit(model)

    def _remember(self) -> None:
        """Note which layer carries the chosen model; none if it was opened from a file."""
        carriers = [
            ref(layer)
            for layer in reversed(self._viewer.layers)
            if layer.metadata.get(MODEL_KEY, _NOTHING) is self.model
        ]
        self._carrier = carriers[0] if carriers else None

    @property
    def is_opening(self) -> bool:
        """Whether a file is being read."""
        return self._job is not None

    def open_file(self, path: str) -> Job:
        """Read a model file in a thread and choose it; what is wrong is shown in napari.

        Parameters
        ----------
        path : str
            The file. One that is still being read is dropped.

        Returns
        -------
        Job
            The running job; it returns the model.
        """
        self.abandon()
        name = harmless(Path(path).name)
        job = self._job = Job(LatentFaces.load, path)
        job.returned.connect(lambda model: self._take(name, model))
        job.ended.connect(self._end)
        self.opening.emit(name)
        job.start()
        return job

    def cancel(self) -> None:
        """Drop the file that is being read."""
        if self._job is not None:
            self._job.cancel()

    def abandon(self) -> None:
        """Drop it without a word, for a window that is gone."""
        if self._job is not None:
            self._job.abandon()
            self._job = None

    def _take(self, name: str, model: LatentFaces) -> None:
        self._opened[name] = model
        self.refresh()
        self.combo.value = model

    def _end(self, _text: str) -> None:
        self._job = None
        self.opening.emit("")

    def _ask(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self.native, "Open a model", "", f"Models of latent faces (*{ENDING} *.npz)"
        )
        if path:
            self.open_file(path)

    def _models(self, _widget: Any = None) -> list[tuple[str, LatentFaces]]:
        """Return models with their names, each once: encoded faces share components."""
        named = [
            (layer.name, layer.metadata[MODEL_KEY])
            for layer in reversed(self._viewer.layers)
            if MODEL_KEY in layer.metadata
        ]
        named += self._opened.items()
        # a fit before what was encoded with it
        named.sort(key=lambda each: each[1].provenance.encoded_from is not None)
        found = {id(model.components): (name, model) for name, model in reversed(named)}
        files = self._opened
        names = name_models(
            (model, name if name in files else "") for name, model in reversed(found.values())
        )
        return list(zip(names, (model for _, model in reversed(found.values())), strict=True))


def name_models(models: Iterable[tuple[LatentFaces, str]]) -> list[str]:
    """Return a name for each model, with the file that it is from or "", and none twice."""
    names: list[str] = []
    for model, file in models:
        name = model_words(model, file)
        taken = sum(each == name or each.startswith(f"{name} (") for each in names)
        names.append(f"{name} ({taken + 1})" if taken else name)
    return names
