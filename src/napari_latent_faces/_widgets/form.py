"""Form fields made from the fields of a frozen dataclass of parameters."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Label, LineEdit, SpinBox
from qtpy.QtCore import QRegularExpression
from qtpy.QtGui import QRegularExpressionValidator
from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

from napari_latent_faces._widgets.long_names import allow_long_names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from magicgui.widgets.bases import ValueWidget, Widget

__all__ = ["form_of", "make_fields", "make_method_fields", "read_fields", "show_rows"]

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


def make_fields(parameters: type[Any]) -> dict[str, ValueWidget[Any]]:
    """Return an input for each field of a dataclass, with its default, label and tooltip.

    Parameters
    ----------
    parameters : dataclass
        Its fields' metadata may hold `label`, `help`, `min`, `max`, `choices` and
        `optional`.
    """
    return {declared.name: _make_field(declared) for declared in fields(parameters)}


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
        "tooltip": known["help"],
        "value": declared.default,
    }
    if declared.type == "bool":
        return CheckBox(text=common.pop("label"), **common)
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
