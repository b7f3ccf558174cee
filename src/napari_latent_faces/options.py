"""How a folder is read, faces are aligned and k is chosen: one object for all who ask."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, Literal

from napari_latent_faces.params import changed, parameter

__all__ = ["AlignOptions", "ChoiceOptions", "ReadOptions", "parse_ks"]

Channel = Literal["luminance", "red", "green", "blue"]
Resize = Literal["crop", "pad", "stretch", "error"]
Rows = Literal["rows", "columns"]
Order = Literal["C", "F"]

LARGEST_SIDE = 16384  # pixels; a face has fewer


@dataclass(frozen=True)
class ReadOptions:
    r"""Options of `read_faces`.

    Parameters
    ----------
    channel : {"luminance", "red", "green", "blue"}, default="luminance"
        What is taken of a colour picture. Grey pictures are the same in every channel.
    size : int or (int, int), optional
        Height, or height and width, in pixels, that all pictures are scaled to. With a
        height alone, the width follows the shape of the commonest picture.
    resize : {"crop", "pad", "stretch", "error"}, default="crop"
        What is done with a picture of another size than the commonest: scaled until it
        fills the frame and cut at the middle, scaled until it fits and padded with
        black, scaled out of shape, or nothing but an error.
    subjects : str or False, optional
        How names tell whose face it is: a regular expression that is searched for in
        each relative name, whose group ``subject``, else its first group, else its
        whole match is the subject (``r"_(\d+)\."``); a name without a match has the
        subject ``""``. False: there are no subjects. None: found out from the names.
    lazy : bool, optional
        Whether pictures are decoded only when they are looked at. None: when the stack
        is larger than `memory_budget`.
    memory_budget : int, optional
        Bytes that a stack may take before it is lazy. None: a quarter of the memory
        that is free, at most 512 MiB.
    variable : str, optional
        Which variable of a file of numbers holds the faces (``"fea"``, ``"data.images"``).
        None: found out from names and shapes.
    shape : (int, int), optional
        Height and width of the faces in a file of numbers. None: found out.
    faces : {"rows", "columns"}, optional
        Where the faces are in a file of numbers: along the first axis or the last. None:
        found out.
    order : {"C", "F"}, optional
        Whether the pixels of a flattened face come row by row ("C", NumPy) or column by
        column ("F", MATLAB); of faces that are not flattened, "F" swaps height and width.
        None: found out.
    colour : "auto" or bool, default="auto"
        Whether the stack is in colour, (n, h, w, 3). "auto": if most pictures have colour,
        that is more than equal channels, and `channel` is "luminance".

    Raises
    ------
    ValueError
        If a value is not allowed; the message names the option and what it takes.
    """

    channel: Literal["luminance", "red", "green", "blue"] = parameter(
        "luminance",
        "Channel",
        "What is taken of a colour picture.",
        choices=("luminance", "red", "green", "blue"),
    )
    size: int | tuple[int, int] | None = parameter(
        None,
        "Size",
        "Scale all pictures to this height, or height and width, in pixels.",
        min=1,
        max=LARGEST_SIDE,
        optional=True,
    )
    resize: Literal["crop", "pad", "stretch", "error"] = parameter(
        "crop",
        "Other sizes",
        "Pictures of another size are cut to fit (crop), get black borders (pad), are "
        "pulled out of shape (stretch), or stop the read (error).",
        choices=("crop", "pad", "stretch", "error"),
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
    faces: Literal["rows", "columns"] | None = parameter(
        None,
        "Faces are",
        "Where the faces are in a matrix: its rows (first axis) or columns (last axis); by "
        "default found out.",
        choices=("rows", "columns"),
        optional=True,
        advanced=True,
    )
    order: Literal["C", "F"] | None = parameter(
        None,
        "Order of pixels",
        "Whether the pixels of a face in a matrix come row by row (C, NumPy) or column by "
        "column (F, MATLAB); by default found out.",
        choices=("C", "F"),
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
        for declared in fields(self):
            choices = declared.metadata.get("choices")
            value = getattr(self, declared.name)
            if choices and value not in (*choices, declared.default):
                raise ValueError(f"{declared.name} must be one of {choices}, got {value!r}.")
        object.__setattr__(self, "size", _checked_size(self.size))
        object.__setattr__(self, "shape", _checked_shape(self.shape))
        _check_subjects(self.subjects)
        if self.colour is True and self.channel != "luminance":
            raise ValueError(
                f"channel={self.channel!r} makes grey pictures: leave it out, or colour=True."
            )
        if self.variable is not None and not isinstance(self.variable, str):
            raise ValueError(
                f"variable must be the name of a variable or None, got {self.variable!r}."
            )
        if not isinstance(self.lazy, bool | None):
            raise ValueError(  # noqa: TRY004 - as other options
                f"lazy must be True, False or None, got {self.lazy!r}."
            )
        if self.memory_budget is not None and not _is_whole(self.memory_budget, 0):
            raise ValueError(
                f"memory_budget must be a number of bytes (0 or more) or None, "
                f"got {self.memory_budget!r}."
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


def _is_whole(value: Any, least: int, most: float = float("inf")) -> bool:
    try:
        return not isinstance(value, bool) and int(value) == value and least <= value <= most
    except (TypeError, ValueError, OverflowError):
        return False


def _checked_size(size: Any) -> int | tuple[int, int] | None:
    """Return `size` as plain numbers, or say what is wrong with it."""
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size,)
    if len(sides) in {1, 2} and all(_is_whole(side, 1, LARGEST_SIDE) for side in sides):
        numbers = tuple(int(side) for side in sides)
        return numbers[0] if numbers[1:] == () else (numbers[0], numbers[1])
    raise ValueError(
        f"size must be a height or (height, width) from 1 to {LARGEST_SIDE} pixels, or None, "
        f"got {size!r}."
    )


def _checked_shape(shape: Any) -> tuple[int, int] | None:
    """Return `shape` as plain numbers, or say what is wrong with it."""
    if shape is None:
        return None
    sides = tuple(shape) if isinstance(shape, (tuple, list)) else ()
    if len(sides) == 2 and all(_is_whole(side, 1, LARGEST_SIDE) for side in sides):
        return int(sides[0]), int(sides[1])
    raise ValueError(
        f"shape must be (height, width) from 1 to {LARGEST_SIDE} pixels, or None, got "
        f"{shape!r}."
    )


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
        _check("n_components", self.n_components, {"min": 1, "max": 1000})
        if self.random_state is not None:
            _check("random_state", self.random_state, {"min": 0})
        if self.transform not in ("similarity", "affine"):
            raise ValueError(
                f"transform must be 'similarity' or 'affine', got {self.transform!r}."
            )
        for declared in fields(self):
            if declared.type == "float":
                _check_number(declared.name, getattr(self, declared.name), declared.metadata)
        if self.size is not None:
            size = _checked_size(self.size)
            if not isinstance(size, tuple):
                raise ValueError(f"size must be (height, width) or None, got {self.size!r}.")
            object.__setattr__(self, "size", size)


def _check_number(name: str, value: Any, limits: Any) -> None:
    low, high = limits["min"], limits["max"]
    try:
        is_allowed = not isinstance(value, bool) and low <= float(value) <= high
    except (TypeError, ValueError):
        is_allowed = False
    if not is_allowed:
        raise ValueError(f"{name} must be a number from {low} to {high}, got {value!r}.")


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
        for declared in fields(self):
            _check(declared.name, getattr(self, declared.name), declared.metadata)


def _check(name: str, value: Any, limits: Any) -> None:
    low, high = limits["min"], limits.get("max")
    allowed = f"{low} or more" if high is None else f"from {low} to {high}"
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number ({allowed}), got {value!r}.")
    if value < low or (high is not None and value > high):
        raise ValueError(f"{name} must be {allowed}, got {value!r}.")


def parse_ks(text: str) -> list[int] | None:
    """Return the numbers that a user's text spells.

    Parameters
    ----------
    text : str
        ``"auto"``, numbers such as ``"2,4,8"``, or a range ``"from:to:step"`` such as
        ``"5:60:5"`` that includes its end; ranges and numbers may be mixed.

    Returns
    -------
    list of int or None
        None for ``"auto"``.

    Raises
    ------
    ValueError
        If it spells neither.
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
