"""Form fields made from parameters, and choices of faces and models."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

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
from qtpy.QtCore import QEvent, QObject, QRegularExpression, QSignalBlocker, Qt
from qtpy.QtGui import QRegularExpressionValidator
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

from napari_latent_faces.model import ENDING, LatentFaces
from napari_latent_faces.stack import harmless
from napari_latent_faces.viewer.jobs import Job
from napari_latent_faces.viewer.layers import FACES_KEY, MODEL_KEY, ROLE_KEY, model_words
from napari_latent_faces.viewer.session import session_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    import napari
    from magicgui.widgets.bases import ValueWidget
    from napari.layers import Layer

# -- Form fields made from the fields of a frozen dataclass of parameters --------------

_LARGEST = 2**31 - 1  # of Qt's spin boxes


class NumberEdit(LineEdit):
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
        most = min(known.get("max", _LARGEST), _LARGEST)
        count = SpinBox(min=known["min"], max=most, **common)
        line = count.native.lineEdit()
        # superqt's box lets a minus be typed, and raises when that is all there is
        line.setValidator(QRegularExpressionValidator(QRegularExpression("[0-9]*"), line))
        return count
    if "min" in known:
        return NumberEdit(**{**common, "value": str(declared.default)})
    choices = [(choice, choice) for choice in known["choices"]]
    if known.get("optional"):
        choices.insert(0, ("automatic", None))
    return ComboBox(choices=choices, **common)


# -- Parts of panels, beside and below one another -------------------------------------


def button(
    text: str, tooltip: str, pressed: Callable[[], object] | None = None, **options: Any
) -> PushButton:
    """Return a button that calls `pressed`."""
    made = PushButton(text=text, tooltip=tooltip, **options)
    made.native.setAutoDefault(True)  # Enter presses it, as in a dialog, not only Space
    if pressed is not None:
        made.changed.connect(pressed)
    return made


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
        self.head.setAutoDefault(True)
        self.head.setStyleSheet("text-align: left; border: none; background: none;")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.head)
        layout.addWidget(part)
        self.head.toggled.connect(self.unfold)
        self.unfold(False)

    def unfold(self, is_open: bool = True) -> None:
        right, down = (
            "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}\N{BLACK DOWN-POINTING SMALL TRIANGLE}"
        )
        self.head.setChecked(is_open)
        self.head.setText(f"{down if is_open else right} {self._title}")
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


def allow_long_names(box: QComboBox) -> None:
    """Let a box be narrower than its entries; a name that does not fit is in the tooltip."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(_LEAST)
    box.installEventFilter(_LongNames(box))


def shortened(box: QComboBox) -> str:
    """Return the chosen name as it is seen: as many parts between commas as fit, and "...".

    Qt's "40..." for 400 faces would tell a lie.
    """
    option, style = QStyleOptionComboBox(), box.style()
    assert style is not None
    box.initStyleOption(option)
    control, part = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
    room = style.subControlRect(control, option, part, box).width()
    letters, name = box.fontMetrics(), box.currentText()
    whole = name
    while letters.horizontalAdvance(name) > room and ", " in whole:
        whole = whole.rpartition(", ")[0]
        name = f"{whole}, \N{HORIZONTAL ELLIPSIS}"
    return letters.elidedText(name, Qt.TextElideMode.ElideMiddle, room)


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
            words = "\n\n".join(filter(None, (name, box.toolTip())))
            QToolTip.showText(event.globalPos(), words, box)
            return True
        option = QStyleOptionComboBox()
        box.initStyleOption(option)
        option.currentText = seen
        painter = QStylePainter(box)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()  # Qt crashes where one is left open
        return True


# -- A field that chooses faces among the layers ---------------------------------------


class FacesChoice(ComboBox):
    """Offers layers; those that `why_not` speaks against are grey, with its sentence."""

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        why_not: Callable[[Layer], str],
        tooltip: str,
    ) -> None:
        self._viewer, self._why_not, self.why_none = viewer, why_not, ""
        self._listed: list[tuple[str, Layer, str]] = []
        super().__init__(name="faces", label="Faces", tooltip=tooltip)

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
        self.why_none = next((why for _, _, why in found if why), "")
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


class _Opening(Job):
    cancelled = ""  # the panel says what is missing again


class ModelChoice(Container[Widget]):
    """Offers the models that layers of a viewer carry, and opens others."""

    chosen = Signal(object)

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        run: Callable[[Job, str], object],
        label: str = "Model",
        *,
        follows: bool = True,
    ) -> None:
        self._viewer, self._run, self._follows = viewer, run, follows
        self._opened: dict[str, LatentFaces] = {}
        self._listed: list[tuple[str, LatentFaces]] = []
        self._followed: LatentFaces | None = None
        tip = "The model: of a layer that shows one, or opened from a file."
        self.combo = ComboBox(choices=(), nullable=False, tooltip=tip)
        self.open_button = button(
            "Open...", "Open a model file that was saved earlier.", self._ask
        )
        super().__init__(
            widgets=[self.combo, self.open_button],
            layout="horizontal",
            labels=False,
            label=label,
            tooltip=tip,
        )
        self.margins = (0, 0, 0, 0)
        # the names of models need the room
        allow_long_names(self.combo.native)
        policy = QSizePolicy.Policy
        self.combo.native.setSizePolicy(policy.Expanding, policy.Fixed)
        self.open_button.native.setSizePolicy(policy.Maximum, policy.Fixed)
        # by `emit`: psygnal keeps a signal that is connected itself, and its panel, for ever
        self.combo.changed.connect(self.chosen.emit)

    @property
    def model(self) -> LatentFaces | None:
        model: LatentFaces | None = self.combo.value
        return model

    def reset_choices(self, *_: Any) -> None:
        """List the models, if there are others; choose the one that the viewer is about now."""
        found, before = self._models(), self.model
        wanted = about = session_of(self._viewer).model
        known = {id(model) for _, model in self._listed}
        if [id(model) for _, model in found] != [id(model) for _, model in self._listed]:
            self._listed = found
            self.combo.choices = found
        is_gone = not any(model is before for _, model in found)
        if is_gone:  # a new one has mostly taken its place
            wanted = next((model for _, model in found if id(model) not in known), about)
        is_news = self._follows and wanted is not self._followed
        if wanted is not None and (is_gone or is_news):
            # it is once for all that share its components
            same = (each for _, each in found if each.components is wanted.components)
            self.combo.value = next(same, self.model)
        self._followed = about

    def open_file(self, path: str) -> Job:
        name = harmless(Path(path).name)

        def take(model: LatentFaces) -> None:
            self._opened[name] = model
            self.reset_choices()
            self.combo.value = model

        job = _Opening(LatentFaces.load, path)
        job.returned.connect(take)
        self._run(job, f"Opening {name} ...")
        return job

    def _ask(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
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
        once = {id(each[0].components): each for each in reversed(found)}
        named: dict[str, LatentFaces] = {}
        for model, file in reversed(once.values()):
            name = model_words(model, file)
            taken = sum(each == name or each.startswith(f"{name} (") for each in named)
            named[f"{name} ({taken + 1})" if taken else name] = model
        return list(named.items())
