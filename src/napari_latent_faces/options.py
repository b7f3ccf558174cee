"""How a folder is read, faces are aligned and k is chosen: one object for all who ask."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from napari_latent_faces.params import changed, check_fields, described, parameter

Channel = Literal["luminance", "red", "green", "blue"]
Resize = Literal["crop", "pad", "stretch", "error"]
Rows = Literal["rows", "columns"]
Order = Literal["C", "F"]

LARGEST_SIDE = 16384  # pixels; a face has fewer


@described
@dataclass(frozen=True)
class ReadOptions:
    """Options of `read_faces`, which explains them at length.

    Parameters
    ----------
    channel : str
        What is taken of a colour picture.
    size : int or (int, int), optional
        Scale all pictures to this height, or height and width, in pixels.
    resize : str
        Pictures of another size are cut to fit (crop), get black borders (pad), are pulled out
        of shape (stretch), or stop the read (error).
    subjects : str, optional
        Regular expression that finds the subject in a picture's name; by default the folder,
        or what the names show.
    lazy : bool, optional
        Decode pictures only when they are looked at; by default when they would fill the
        memory budget.
    memory_budget : int, optional
        Bytes that a stack may take before it is read lazily.
    variable : str, optional
        Which variable of a .mat, .npz or .h5 file holds the faces; by default found out from
        names and shapes.
    shape : (int, int), optional
        Height and width, in pixels, of the faces in a matrix; by default found out.
    faces : str, optional
        Where the faces are in a matrix: its rows (first axis) or columns (last axis); by
        default found out.
    order : str, optional
        Whether the pixels of a face in a matrix come row by row (C, NumPy) or column by column
        (F, MATLAB); by default found out.
    colour : bool or "auto"
        Keep the colours of the pictures; by default if most of them have any (auto).
    """

    channel: Channel = parameter("luminance", "Channel")
    size: int | tuple[int, int] | None = parameter(None, "Size", min=1, max=LARGEST_SIDE)
    resize: Resize = parameter("crop", "Other sizes")
    subjects: str | Literal[False] | None = parameter(
        None, "Subjects", off="Leave out whose faces they are."
    )
    lazy: bool | None = parameter(None, "Lazy", off="Decode all pictures first.", advanced=True)
    memory_budget: int | None = parameter(None, "Memory budget", min=0, advanced=True)
    variable: str | None = parameter(None, "Variable", advanced=True)
    shape: tuple[int, int] | None = parameter(None, "Shape in the file", advanced=True)
    faces: Rows | None = parameter(None, "Faces are", advanced=True)
    order: Order | None = parameter(None, "Order of pixels", advanced=True)
    colour: bool | Literal["auto"] = parameter(
        "auto", "In colour", off="Make all pictures grey."
    )

    def __post_init__(self) -> None:
        check_fields(self, leave=("size", "subjects", "variable", "shape"))
        object.__setattr__(self, "size", _checked_sides("size", self.size, or_height=True))
        object.__setattr__(self, "shape", _checked_sides("shape", self.shape))
        self._check_subjects()
        if self.colour is True and self.channel != "luminance":
            raise ValueError(
                f"channel={self.channel!r} makes grey pictures: leave it out, or colour=True."
            )
        if not isinstance(self.variable, str | None):
            raise ValueError(  # noqa: TRY004 - as other options
                f"variable must be the name of a variable or None, got {self.variable!r}."
            )

    def changed(self) -> dict[str, Any]:
        """Return the options that differ from their defaults, by name."""
        return changed(self)

    def frame(self, commonest: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width of the stack, given those of most pictures."""
        if self.size is None:
            return commonest
        if isinstance(self.size, tuple):
            return self.size
        height, width = commonest
        return self.size, min(max(1, round(self.size * width / height)), LARGEST_SIDE)

    def budget(self) -> int:
        """Return the bytes that a stack may take before it is lazy."""
        if self.memory_budget is not None:
            return self.memory_budget
        import psutil

        return min(512 * 2**20, int(psutil.virtual_memory().available) // 4)

    def _check_subjects(self) -> None:
        if self.subjects is None or self.subjects is False:
            return
        allowed = "subjects must be a regular expression, False or None"
        if not isinstance(self.subjects, str):
            raise ValueError(f"{allowed}, got {self.subjects!r}.")  # noqa: TRY004
        try:
            re.compile(self.subjects)
        except re.error as error:
            raise ValueError(f"{allowed}; {self.subjects!r} is not one: {error}.") from error


def _checked_sides(name: str, size: Any, *, or_height: bool = False) -> Any:
    """Return (height, width), or a height if that is allowed, as plain numbers, or None."""
    if size is None:
        return None
    sides = size if isinstance(size, (tuple, list)) else [size] * or_height
    try:
        numbers = [int(side) for side in sides if not isinstance(side, (bool, str))]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if numbers == list(sides) and all(1 <= n <= LARGEST_SIDE for n in numbers):
        if len(numbers) == 2:
            return tuple(numbers)
        if len(numbers) == 1 and or_height:
            return numbers[0]
    raise ValueError(
        f"{name} must be {'a height or ' * or_height}(height, width) from 1 to {LARGEST_SIDE} "
        f"pixels, or None, got {size!r}."
    )


# -- How faces are aligned -------------------------------------------------------------


@described
@dataclass(frozen=True)
class AlignOptions:
    """Options of `align_faces`.

    Parameters
    ----------
    n_components : int, default=20
        Components of the model that faces are brought onto.
    size : (int, int), optional
        Height and width of the middle part to keep, in pixels. By default the faces are
        cropped to the area that all aligned pictures cover.
    transform : {"similarity", "affine"}, default="similarity"
        What may be done to a face: shift, rotation and scale (similarity), or shear and
        unequal scales, too (affine).
    max_shift : float, default=0.15
        The farthest shift, as a share of height and width.
    max_rotation : float, default=20
        The largest rotation, in degrees.
    max_scale : float, default=1.25
        The largest scale, and one over the smallest.
    random_state : int or None, default=42
        Seed of the model's start, and of the sample that it is learnt from if there are
        more than 2,000 faces.

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range; the message names the option.
    """

    n_components: int = parameter(20, "Components", min=1, max=1000)
    size: tuple[int, int] | None = parameter(None, "Size")
    transform: Literal["similarity", "affine"] = parameter("similarity", "Transform")
    max_shift: float = parameter(0.15, "Farthest shift", min=0, max=0.5, advanced=True)
    max_rotation: float = parameter(20.0, "Largest rotation", min=0, max=90, advanced=True)
    max_scale: float = parameter(1.25, "Largest scale", min=1, max=4, advanced=True)
    random_state: int | None = parameter(42, "Seed", min=0, advanced=True)

    def __post_init__(self) -> None:
        check_fields(self, leave=("size",))
        object.__setattr__(self, "size", _checked_sides("size", self.size))


# -- How hard to look for k ------------------------------------------------------------

_LONGEST = 10_000  # numbers of a range: more are a slip of the finger


@described
@dataclass(frozen=True)
class ChoiceOptions:
    """Effort of `choose_k`.

    Parameters
    ----------
    n_starts : int, default=3
        Fits of all faces for each k: the first from the usual start, the others from random
        factors. The best is kept, and how alike they are is the stability.
    n_folds : int, default=5
        Parts that the faces are cut into. Each is held out once, from a fit of the
        other parts.
    max_faces : int, default=2000
        Of a larger stack, a random sample of so many faces is looked at.

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range; the message names the option.
    """

    n_starts: int = parameter(3, "Starts", min=2, max=100)
    n_folds: int = parameter(5, "Folds", min=2, max=100)
    max_faces: int = parameter(2000, "Most faces", min=10)

    def __post_init__(self) -> None:
        check_fields(self)


def parse_ks(text: str) -> list[int] | None:
    """Return the numbers that a user's text spells, None for ``"auto"``.

    They are numbers such as ``"2,4,8"``, ranges ``"from:to:step"`` such as ``"5:60:5"`` that
    include their end, or both.
    """
    if text.strip().lower() == "auto":
        return None
    try:
        return [k for part in text.split(",") for k in _parse_range(part)]
    except ValueError:
        raise ValueError(
            f"k must be 'auto', numbers such as '2,4,8', or 'from:to:step' such as '5:60:5', "
            f"got {text!r}."
        ) from None


def _parse_range(part: str) -> list[int]:
    first, *rest = map(int, part.split(":"))
    if not rest:
        return [first]
    last, step = (*rest, 1)[:2]
    if len(rest) > 2 or step < 1 or last < first or last - first > _LONGEST * step:
        raise ValueError(part)
    return list(range(first, last + 1, step))
