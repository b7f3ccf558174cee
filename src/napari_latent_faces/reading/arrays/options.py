"""How a matrix is read as faces."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

Rows = Literal["rows", "columns"]


Order = Literal["C", "F"]


@dataclass(frozen=True)
class ArrayOptions:
    """How a matrix is read as faces; None is found out.

    Parameters
    ----------
    variable : str, optional
        Which variable of the file holds the faces (``"fea"``, ``"data.images"``).
    shape : (int, int), optional
        Height and width of a face in pixels.
    faces : {"rows", "columns"}, optional
        Where the faces are: along the first axis or the last.
    order : {"C", "F"}, optional
        Whether the pixels of a flattened face come row by row ("C", NumPy) or column by
        column ("F", MATLAB). Of faces that are not flattened, "F" swaps height and width.

    Raises
    ------
    ValueError
        If a value is not allowed.
    """

    variable: str | None = None
    shape: tuple[int, int] | None = None
    faces: Rows | None = None
    order: Order | None = None

    def __post_init__(self) -> None:
        if self.variable is not None and not isinstance(self.variable, str):
            raise ValueError(f"variable must be a name or None, got {self.variable!r}.")
        object.__setattr__(self, "shape", _checked_shape(self.shape))
        for name, allowed in (("faces", ("rows", "columns")), ("order", ("C", "F"))):
            if getattr(self, name) not in {None, *allowed}:
                raise ValueError(
                    f"{name} must be one of {allowed} or None, got {getattr(self, name)!r}."
                )

    @property
    def given(self) -> bool:
        """Whether any of them is set."""
        return any(getattr(self, field.name) is not None for field in fields(self))


def _checked_shape(shape: Any) -> tuple[int, int] | None:
    if shape is None:
        return None
    try:
        h, w = (int(side) for side in shape)
        right = h >= 1 and w >= 1 and all(int(s) == s for s in shape)
    except (TypeError, ValueError, OverflowError):
        right = False
    if not right:
        raise ValueError(f"shape must be (height, width) in pixels or None, got {shape!r}.")
    return h, w
