"""Frozen dataclasses of parameters: what their fields tell, and how values are checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal

__all__ = ["Coding", "Parameters", "about", "changed", "parameter"]

Coding = Literal["non-negative", "signed", "sparse", "one-hot"]


def about(label: str, text: str, **limits: Any) -> dict[str, Any]:
    """Return the metadata of a field: its label, explanation and limits.

    Limits are ``min`` and ``max`` (inclusive), ``choices``, ``optional`` (None is
    allowed) and ``advanced`` (out of sight until asked for).
    """
    return {"label": label, "help": text, **limits}


def parameter(default: Any, label: str, text: str, **limits: Any) -> Any:
    """Declare a field with its default, label, explanation and limits (see `about`)."""
    return field(default=default, metadata=about(label, text, **limits))


def changed(values: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their defaults, by name."""
    pairs = {each.name: (getattr(values, each.name), each.default) for each in fields(values)}
    return {name: value for name, (value, default) in pairs.items() if value != default}


@dataclass(frozen=True)
class Parameters:
    """Base of the parameters of a method: what all have, and how they are checked.

    Parameters
    ----------
    n_components : int, default=20
        How many components to look for.
    random_state : int or None, default=42
        Seed of whatever a method leaves to chance. None draws a new one for each fit.

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range; the message names the field and the range.

    Attributes
    ----------
    method : str
        Name of the method, as files and the command line have it.
    title : str
        Its name as people read it.
    summary : str
        What it does to faces, in one sentence.
    coding : {"non-negative", "signed", "sparse", "one-hot"}
        How the weights of a face are found for given components: non-negative least
        squares, least squares, least squares with a penalty on the size of the weights,
        or all on the nearest component.
    is_signed : bool
        Whether components and weights can be negative.
    takes_mask : bool
        Whether a fit can leave pixels out.
    """

    method: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    coding: ClassVar[Coding]

    is_signed: ClassVar[bool] = False
    takes_mask: ClassVar[bool] = False

    n_components: int = parameter(
        20, "Components", "How many latent faces to look for (n_components).", min=1
    )
    random_state: int | None = parameter(
        42,
        "Random state",
        "Seed: the same number gives the same result (random_state).",
        min=0,
        max=2**32 - 1,
        optional=True,
    )

    def __post_init__(self) -> None:
        for declared in fields(self):
            value = _checked(declared, getattr(self, declared.name))
            object.__setattr__(self, declared.name, value)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return what the parameters are called."""
        return tuple(declared.name for declared in fields(cls))

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as a plain dictionary."""
        return asdict(self)

    def changed(self) -> dict[str, Any]:
        """Return the parameters that differ from their defaults."""
        return changed(self)


def _checked(declared: Any, value: Any) -> Any:
    """Return `value` as the plain type of its field, or say what is wrong with it."""
    limits = declared.metadata
    choices = limits.get("choices", ())
    # some values are for scripts only: neither form nor command line offers them
    if value in (*choices, *limits.get("unlisted", ())) or (
        value is None and limits.get("optional")
    ):
        return value
    if "min" not in limits:
        raise ValueError(f"{declared.name} must be {_range(limits)}, got {value!r}.")
    whole = declared.type.startswith("int")
    try:
        number = int(value) if whole else float(value)
        fits = number == value and not isinstance(value, (bool, str))
    except (TypeError, ValueError):
        fits = False
    if not fits:
        kind = "a whole number" if whole else "a number"
        raise TypeError(f"{declared.name} must be {kind} ({_range(limits)}), got {value!r}.")
    if not limits["min"] <= number <= limits.get("max", float("inf")) or number == float("inf"):
        raise ValueError(f"{declared.name} must be {_range(limits)}, got {value!r}.")
    return number


def _range(limits: Any) -> str:
    """Spell out which values a field takes."""
    words = []
    if "max" in limits:
        words.append(f"from {limits['min']} to {limits['max']}")
    elif "min" in limits:
        words.append(f"{limits['min']} or more")
    words += [repr(choice) for choice in limits.get("choices", ())]
    if limits.get("optional"):
        words.append("None")
    return " or ".join(words)
