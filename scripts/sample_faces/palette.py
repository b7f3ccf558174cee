"""The colours of a person: by how much each channel is brighter or darker than grey."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from traits import Person

CHANNELS = (0, 1, 2)
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, which grey pictures follow

_Colour = tuple[float, float, float]

_SKINS = ((1.16, 0.96, 0.84), (1.22, 0.94, 0.76), (1.28, 0.92, 0.68))  # fair, olive, brown
_DARK_HAIR: _Colour = (1.12, 0.97, 0.88)
_HAIRS = ((1.3, 0.93, 0.68), (1.62, 0.78, 0.46), (1.24, 0.98, 0.62), (1.02, 1.0, 0.98))
_HAIR_ODDS = (0.5, 0.15, 0.25, 0.1)  # brown, red, fair, grey
_IRISES = ((1.45, 0.92, 0.58), (0.66, 1.02, 1.75), (0.88, 1.1, 0.8))  # brown, blue, green
_IRIS_ODDS = (0.5, 0.32, 0.18)
_LIPS: _Colour = (1.13, 0.93, 0.95)  # beside the skin


@dataclass(frozen=True)
class Palette:
    """Gains (red, green, blue) of each thing that has a colour; grey stays as it was."""

    skin: _Colour
    hair: _Colour
    iris: _Colour
    cloth: _Colour
    linen: _Colour
    rims: _Colour
    backdrop: _Colour

    def seen(self, person: Person, channel: int) -> Person:
        """Return the person as one channel of the camera sees them."""
        lips = _balanced(_LIPS)[channel]
        return replace(
            person,
            skin=person.skin * self.skin[channel],
            hair_tone=person.hair_tone * self.hair[channel],
            brow_tone=person.brow_tone * self.hair[channel],
            iris=person.iris * self.iris[channel],
            lip_tone=person.lip_tone * lips,
            rim_tone=person.rim_tone * self.rims[channel],
            cloth=person.cloth * self.cloth[channel],
            linen=person.linen * self.linen[channel],
            backdrop=person.backdrop * self.backdrop[channel],
        )


def random_palette(rng: Generator, person: Person) -> Palette:
    """Return colours that suit a person whose tones are known."""
    depth = np.interp(person.skin, (0.45, 0.62, 0.76), (2, 1, 0))
    skin = [np.interp(depth, (0, 1, 2), [each[c] for each in _SKINS]) for c in CHANNELS]
    dark = person.hair_tone < 0.15
    hair = _DARK_HAIR if dark else _HAIRS[int(rng.choice(len(_HAIRS), p=_HAIR_ODDS))]
    iris = _IRISES[0 if person.skin < 0.6 else int(rng.choice(len(_IRISES), p=_IRIS_ODDS))]
    return Palette(
        skin=_balanced(skin),
        hair=_balanced(hair),
        iris=_balanced(iris),
        cloth=_hue(rng, 0.2, 0.75),
        linen=_hue(rng, 0.0, 0.25),
        rims=_hue(rng, 0.0, 0.5),
        backdrop=_hue(rng, 0.08, 0.4),
    )


def _hue(rng: Generator, low: float, high: float) -> _Colour:
    return _balanced(colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(low, high), 1.0))


def _balanced(colour: tuple[float, ...] | list[float]) -> _Colour:
    """Return a colour of luminance 1."""
    red, green, blue = np.asarray(colour) / (_LUMINANCE @ np.asarray(colour))
    return float(red), float(green), float(blue)
