"""How a folder is read, faces are aligned and k is chosen: one object for all who ask."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from napari_latent_faces.params import changed, check_fields, parameter

__all__ = ["AlignOptions", "ChoiceOptions", "ReadOptions", "parse_ks"]

Channel = Literal["luminance", "red", "green", "blue"]
Resize = Literal["crop", "pad", "stretch", "error"]
Rows = Literal["rows", "columns"]
Order = Literal["C", "F"]

LARGEST_SIDE = 16384  # pixels; a face has fewer


@dataclass(frozen=True)
class ReadOptions:
    """Options of `read_faces`, which explains them.

    Raises
    ------
    TypeError, ValueError
        If a value is not allowed; the message names the option and what it takes.
    """

    channel: Channel = parameter(
        "luminance",
        "Channel",
        "What is taken of a colour picture.",
        choices=get_args(Channel),
    )
    size: int | tuple[int, int] | None = parameter(
        None,
        "Size",
        "Scale all pictures to this height, or height and width, in pixels.",
        min=1,
        max=LARGEST_SIDE,
        optional=True,
    )
    resize: Resize = parameter(
        "crop",
        "Other sizes",
        "Pictures of another size are cut to fit (crop), get black borders (pad), are "
        "pulled out of shape (stretch), or stop the read (error).",
        choices=get_args(Resize),
    )
    subjects: str | Literal[False] | None = parameter(
        None,
        "Subjects",
        "Regular expression that finds the subject in a picture's name; by default the "
        "folder, or what the names show.",
        optional=True,
    )
    lazy: bool | None = parameter(
        None,
        "Lazy",
        "Decode pictures only when they are looked at; by default when they would fill "
        "the memory budget.",
        choices=(True, False),
        optional=True,
        advanced=True,
    )
    memory_budget: int | None = parameter(
        None,
        "Memory budget",
        "Bytes that a stack may take before it is read lazily.",
        min=0,
        optional=True,
        advanced=True,
    )
    variable: str | None = parameter(
        None,
        "Variable",
        "Which variable of a .mat, .npz or .h5 file holds the faces; by default found out "
        "from names and shapes.",
        optional=True,
        advanced=True,
    )
    shape: tuple[int, int] | None = parameter(
        None,
        "Shape in the file",
        "Height and width, in pixels, of the faces in a matrix; by default found out.",
        optional=True,
        advanced=True,
    )
    faces: Rows | None = parameter(
        None,
        "Faces are",
        "Where the faces are in a matrix: its rows (first axis) or columns (last axis); by "
        "default found out.",
        choices=get_args(Rows),
        optional=True,
        advanced=True,
    )
    order: Order | None = parameter(
        None,
        "Order of pixels",
        "Whether the pixels of a face in a matrix come row by row (C, NumPy) or column by "
        "column (F, MATLAB); by default found out.",
        choices=get_args(Order),
        optional=True,
        advanced=True,
    )

    colour: bool | Literal["auto"] = parameter(
        "auto",
        "In colour",
        "Keep the colours of the pictures; by default if most of them have any (auto).",
        choices=("auto", True, False),
    )

    def __post_init__(self) -> None:
        check_fields(self, leave=("size", "subjects", "variable", "shape"))
        object.__setattr__(self, "size", _checked_size(self.size))
        object.__setattr__(self, "shape", _checked_pair("shape", self.shape))
        _check_subjects(self.subjects)
        if self.colour is True and self.channel != "luminance":
            raise ValueError(
                f"channel={self.channel!r} makes grey pictures: leave it out, or colour=True."
            )
        if self.variable is not None and not isinstance(self.variable, str):
            raise ValueError(
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


def _checked_size(size: Any) -> int | tuple[int, int] | None:
    if size is None or (isinstance(size, (tuple, list)) and len(size) == 2):
        return _checked_pair("size", size)
    sides = _lengths(size if isinstance(size, (tuple, list)) else (size,))
    if len(sides) == 1:
        return sides[0]
    raise ValueError(
        f"size must be a height or (height, width) from 1 to {LARGEST_SIDE} pixels, or None, "
        f"got {size!r}."
    )


def _checked_pair(name: str, pair: Any) -> tuple[int, int] | None:
    if pair is None:
        return None
    sides = _lengths(pair) if isinstance(pair, (tuple, list)) else []
    if len(sides) == 2:
        return sides[0], sides[1]
    raise ValueError(
        f"{name} must be (height, width) from 1 to {LARGEST_SIDE} pixels, or None, got "
        f"{pair!r}."
    )


def _lengths(sides: Any) -> list[int]:
    """Return lengths as plain numbers, none of them if one is no length."""
    try:
        numbers = [int(side) for side in sides if not isinstance(side, (bool, str))]
    except (TypeError, ValueError, OverflowError):
        return []
    is_length = numbers == list(sides) and all(1 <= n <= LARGEST_SIDE for n in numbers)
    return numbers if is_length else []


def _check_subjects(subjects: Any) -> None:
    if subjects is None or subjects is False:
        return
    allowed = "subjects must be a regular expression, False or None"
    if not isinstance(subjects, str):
        raise ValueError(f"{allowed}, got {subjects!r}.")  # noqa: TRY004 - as other options
    try:
        re.compile(subjects)
    except re.error as error:
        raise ValueError(f"{allowed}; {subjects!r} is none: {error}.") from error


# -- How faces are aligned -------------------------------------------------------------


@dataclass(frozen=True)
class AlignOptions:
    """Options of `align_faces`.

    Parameters
    ----------
    n_components : int, default=20
        Components of the model that faces are brought onto.
    size : (int, int), optional
        Height and width of the middle part to keep. By default the faces are cropped to
        the area that all aligned pictures cover.
    transform : {"similarity", "affine"}, default="similarity"
        Shift, rotation and scale; or shear and unequal scales, too.
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

    n_components: int = parameter(
        20,
        "Components",
        "Components of the model that faces are brought onto (n_components).",
        min=1,
        max=1000,
    )
    size: tuple[int, int] | None = parameter(
        None,
        "Size",
        "Height and width of the middle part to keep, in pixels; by default what all "
        "aligned pictures cover.",
        optional=True,
    )
    transform: Literal["similarity", "affine"] = parameter(
        "similarity",
        "Transform",
        "What may be done to a face: shift, rotation and scale (similarity), or shear and "
        "unequal scales, too (affine).",
        choices=("similarity", "affine"),
    )
    max_shift: float = parameter(
        0.15,
        "Farthest shift",
        "The farthest shift, as a share of height and width (max_shift).",
        min=0,
        max=0.5,
        advanced=True,
    )
    max_rotation: float = parameter(
        20.0,
        "Largest rotation",
        "The largest rotation, in degrees (max_rotation).",
        min=0,
        max=90,
        advanced=True,
    )
    max_scale: float = parameter(
        1.25,
        "Largest scale",
        "The largest scale, and one over the smallest (max_scale).",
        min=1,
        max=4,
        advanced=True,
    )
    random_state: int | None = parameter(
        42,
        "Seed",
        "Seed of the model's start and of the sample that it is learnt from (random_state).",
        min=0,
        optional=True,
        advanced=True,
    )

    def __post_init__(self) -> None:
        check_fields(self, leave=("size",))
        object.__setattr__(self, "size", _checked_pair("size", self.size))


# -- How hard to look for k ------------------------------------------------------------

_LONGEST = 10_000  # numbers of a range: more are a slip of the finger


@dataclass(frozen=True)
class ChoiceOptions:
    """Effort of `choose_k`.

    Parameters
    ----------
    n_starts : int, default=3
        Fits of all faces for each k: the first as `NMFParams` says, the others from
        random factors. The best is kept, and how alike they are is the stability.
    n_folds : int, default=5
        Parts that the faces are cut into. Each is held out once, from a fit of the
        other parts.
    max_faces : int, default=2000
        Of a larger stack, a random sample of so many faces is read.

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range; the message names the option.
    """

    n_starts: int = parameter(
        3,
        "Starts",
        "Fits of all faces for each k, from different starts: the best is kept, and how "
        "alike they are is the stability (n_starts).",
        min=2,
        max=100,
    )
    n_folds: int = parameter(
        5,
        "Folds",
        "Parts that the faces are cut into, each held out once from a fit of the others "
        "(n_folds).",
        min=2,
        max=100,
    )
    max_faces: int = parameter(
        2000,
        "Most faces",
        "Of a larger stack, a random sample of so many faces is looked at (max_faces).",
        min=10,
    )

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
