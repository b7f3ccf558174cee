"""What a read does to pictures that are not all alike, in words."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_latent_faces.reading.decode import Header
    from napari_latent_faces.reading.frames import Frame

__all__ = ["changes", "in_pixels"]

_DEPTH_WORDS = {"uint8": "8-bit", "uint16": "16-bit", "float32": "float"}


def changes(headers: Sequence[Header], commonest: tuple[int, int], frame: Frame) -> list[str]:
    """Say what was done to the pictures.

    Parameters
    ----------
    headers : sequence of Header
        Those of all pictures that were read.
    commonest : (height, width)
        The size that most of them have.
    frame : Frame
        What they were brought to.
    """
    notes = []
    depths = Counter(header.depth.name for header in headers)
    if len(depths) > 1:
        named = ", ".join(
            f"{depths[k]} {word}" for k, word in _DEPTH_WORDS.items() if depths[k]
        )
        white = "1 is white" if frame.depth.kind == "f" else "65535 is white"
        notes.append(
            f"Depths differ ({named}): all are {_DEPTH_WORDS[frame.depth.name]} now, {white}."
        )
    coloured = sum(header.in_colour for header in headers)
    if coloured:
        taken = "luminance" if frame.channel == "luminance" else f"{frame.channel} channel"
        notes.append(f"{coloured} of {len(headers)} in colour: the {taken} is taken.")
    if frame.shape != commonest:
        notes.append(f"Scaled from {in_pixels(commonest)} to {in_pixels(frame.shape)} pixels.")
    return notes


def in_pixels(shape: tuple[int, int]) -> str:
    """Spell a size out as width x height."""
    return f"{shape[1]} x {shape[0]}"
