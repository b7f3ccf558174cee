"""Who is drawn and how each picture of them is taken: the numbers behind a drawn face."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Hair:
    """How hair lies on a head: lengths in face units, shares between 0 and 1."""

    volume: float  # height above the skull
    side: float  # thickness beside the skull
    hairline: float  # height of the hairline above the eyes
    temples: float  # share by which it recedes on both sides of the forehead
    square: float  # 2: the face looks out of an ellipse, 4: of a rounded rectangle
    fall: float  # how far down it reaches beside the face
    curl: float  # share of curls
    ragged: float  # unevenness of its edges
    bare: bool = False  # nothing grows on top

    @property
    def long(self) -> bool:
        """Whether it hangs down beside the face."""
        return self.fall > 0.5


@dataclass(frozen=True)
class Person:
    """What stays the same in all pictures of a person.

    Lengths are in face units, tones between 0 (black) and 1 (white), shares between 0 and 1.
    """

    # head
    width: float
    crown: float
    chin: float
    jaw: float
    taper: float
    skin: float
    age: float
    ears: float
    # hair
    hair: Hair
    hair_tone: float
    parting: float
    # eyes and brows
    eye_gap: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    iris: float
    brow_height: float
    brow_thickness: float
    brow_arch: float
    brow_tone: float
    # nose and mouth
    nose_width: float
    nose_length: float
    nose_height: float
    mouth_y: float
    mouth_width: float
    lips: float
    lip_tone: float
    beard: float
    moustache: float
    # glasses: in what share of the pictures, and their rims
    glasses: float
    rim_width: float
    rim_height: float
    rim_square: float
    rim_thickness: float
    rim_tone: float
    # clothes and backdrop
    neckline: float
    shirt: bool
    cloth: float
    linen: float
    backdrop: float
    backdrop_tilt: float
    # where they sit and where the lamp stands
    closeness: float
    light_x: float
    light_y: float
    # where their skin and hair lie in the noise
    noise: float


@dataclass(frozen=True)
class Takes:
    """What differs between the pictures of a person: arrays of shape (pictures, 1, 1)."""

    shift_x: NDArray[np.float32]  # face units
    shift_y: NDArray[np.float32]
    scale: NDArray[np.float32]
    roll: NDArray[np.float32]  # radians
    yaw: NDArray[np.float32]
    pitch: NDArray[np.float32]
    smile: NDArray[np.float32]  # -0.4 sullen .. 1 beaming
    gape: NDArray[np.float32]  # 0 mouth shut .. 1 wide open
    lids: NDArray[np.float32]  # 0 eyes shut .. 1 open
    brows: NDArray[np.float32]  # 0 at rest .. 1 raised
    gaze: NDArray[np.float32]  # -1 left .. 1 right
    glasses: NDArray[np.float32]  # 1 worn
    light_x: NDArray[np.float32]  # how far the lamp stands to the right, 1 is 45 degrees
    light_y: NDArray[np.float32]  # how far it hangs above
    exposure: NDArray[np.float32]
    blur: NDArray[np.float32]  # 0 sharp .. 1 soft


HAIRCUTS = {
    #               volume  side  line  temples square fall curl ragged
    "short": Hair(0.085, 0.012, 0.5, 0.06, 2.7, 0.14, 0.2, 0.03),
    "cropped": Hair(0.035, 0.002, 0.5, 0.08, 3.0, 0.08, 0.5, 0.015),
    "fringe": Hair(0.1, 0.045, 0.28, 0.0, 3.2, 0.24, 0.1, 0.06),
    "curly": Hair(0.15, 0.085, 0.42, 0.0, 2.5, 0.18, 1.0, 0.05),
    "receding": Hair(0.04, 0.015, 0.6, 0.16, 2.6, 0.16, 0.2, 0.04),
    "bald": Hair(0.0, 0.02, 0.7, 0.0, 2.2, 0.2, 0.3, 0.012, bare=True),
    "long": Hair(0.1, 0.11, 0.46, 0.0, 2.4, 1.5, 0.1, 0.04),
    "bob": Hair(0.11, 0.12, 0.36, 0.0, 2.8, 0.75, 0.1, 0.04),
}
_HAIRCUT_ODDS = (0.29, 0.12, 0.11, 0.12, 0.12, 0.06, 0.11, 0.07)
_HAIR_TONES = (0.07, 0.12, 0.2, 0.36, 0.55)
_HAIR_TONE_ODDS = (0.3, 0.3, 0.2, 0.13, 0.07)

_MOODS = ("calm", "smile", "talk", "blink", "surprise")
_MOOD_ODDS = (0.41, 0.29, 0.14, 0.06, 0.1)


def random_person(rng: Generator) -> Person:
    """Return a person who looks like no other."""
    hair = _random_hair(rng)
    fine = 1.0 if hair.long else 0.0  # finer features and no beard under long hair
    hair_tone = _pick(rng, _HAIR_TONES, _HAIR_TONE_ODDS) * rng.uniform(0.85, 1.15)
    return Person(
        width=rng.uniform(0.53, 0.6) - 0.02 * fine,
        crown=rng.uniform(0.72, 0.8),
        chin=rng.uniform(0.93, 1.05) - 0.03 * fine,
        jaw=rng.uniform(2.2, 2.9) - 0.15 * fine,
        taper=rng.uniform(0.1, 0.24),
        skin=_clipped_normal(rng, 0.68, 0.09, 0.42, 0.8),
        age=float(rng.beta(1.3, 1.8)),
        ears=rng.uniform(0.85, 1.15),
        hair=hair,
        hair_tone=hair_tone,
        parting=rng.uniform(-1.0, 1.0),
        eye_gap=rng.uniform(0.235, 0.27),
        eye_width=rng.uniform(0.11, 0.13),
        eye_height=rng.uniform(0.75, 1.15),
        eye_tilt=rng.uniform(-0.06, 0.14),
        iris=rng.uniform(0.05, 0.2),
        brow_height=rng.uniform(0.105, 0.14),
        brow_thickness=rng.uniform(0.026, 0.044) * (1 - 0.3 * fine),
        brow_arch=rng.uniform(0.0, 0.045),
        brow_tone=0.6 * hair_tone + 0.06,
        nose_width=rng.uniform(0.095, 0.13) - 0.01 * fine,
        nose_length=rng.uniform(0.35, 0.42),
        nose_height=rng.uniform(0.8, 1.25),
        mouth_y=rng.uniform(0.58, 0.64),
        mouth_width=rng.uniform(0.19, 0.235),
        lips=rng.uniform(0.65, 1.15) + 0.2 * fine,
        lip_tone=rng.uniform(0.62, 0.8),
        beard=(1 - fine) * _pick(rng, (0.0, 0.3, 0.9), (0.55, 0.25, 0.2)),
        moustache=(1 - fine) * _pick(rng, (0.0, 0.9), (0.87, 0.13)),
        glasses=_pick(rng, (0.0, 0.5, 1.0), (0.6, 0.15, 0.25)),
        rim_width=rng.uniform(0.18, 0.215),
        rim_height=rng.uniform(0.125, 0.17),
        rim_square=rng.uniform(2.0, 3.6),
        rim_thickness=rng.uniform(0.007, 0.018),
        rim_tone=rng.uniform(0.05, 0.4),
        neckline=_pick(rng, (0.2, 0.5), (0.6, 0.4)),
        shirt=bool(rng.uniform() < 0.5),
        cloth=rng.uniform(0.08, 0.6),
        linen=rng.uniform(0.5, 0.9),
        backdrop=rng.uniform(0.14, 0.52),
        backdrop_tilt=rng.uniform(-0.06, 0.06),
        closeness=rng.normal(1.14, 0.04),
        light_x=rng.normal(0.0, 0.28),
        light_y=rng.uniform(0.25, 0.6),
        noise=rng.uniform(),
    )


def random_takes(rngs: Sequence[Generator], person: Person) -> Takes:
    """Return how the pictures of a person are taken, one from each generator.

    The first one is as for a passport.
    """
    takes = [_random_take(rng, person, posed=i == 0) for i, rng in enumerate(rngs)]
    columns = {
        f.name: np.array([take[f.name] for take in takes], np.float32).reshape(-1, 1, 1)
        for f in fields(Takes)
    }
    return Takes(**columns)


def _random_take(rng: Generator, person: Person, *, posed: bool) -> dict[str, float]:
    mood = "calm" if posed else _MOODS[int(rng.choice(len(_MOODS), p=_MOOD_ODDS))]
    beaming = mood == "smile"
    return {
        "shift_x": rng.normal(0.0, 0.035),
        "shift_y": rng.normal(0.0, 0.03),
        "scale": person.closeness * rng.normal(1.0, 0.025),
        "roll": rng.normal(0.0, 0.045),
        "yaw": _clipped_normal(rng, 0.0, 0.05 if posed else 0.2, -0.45, 0.45),
        "pitch": _clipped_normal(rng, 0.0, 0.09, -0.2, 0.2),
        "smile": rng.uniform(0.6, 1.0) if beaming else rng.normal(0.1, 0.14),
        "gape": _random_gape(rng, mood),
        "lids": rng.uniform(0.0, 0.1) if mood == "blink" else rng.uniform(0.85, 1.1),
        "brows": rng.uniform(0.6, 1.0) if mood == "surprise" else rng.normal(0.0, 0.12),
        "gaze": rng.normal(0.0, 0.25),
        "glasses": float(rng.uniform() < person.glasses),
        "light_x": person.light_x + rng.normal(0.0, 0.2),
        "light_y": person.light_y + rng.normal(0.0, 0.08),
        "exposure": rng.normal(1.07, 0.06),
        "blur": rng.uniform(0.0, 1.0),
    }


def _random_gape(rng: Generator, mood: str) -> float:
    wide = rng.uniform(0.5, 1.0)
    if mood == "talk":
        return wide
    return 0.45 * wide if mood == "smile" and rng.uniform() < 0.6 else 0.0


def _random_hair(rng: Generator) -> Hair:
    """Return a haircut that is a little different on everyone."""
    cut = list(HAIRCUTS.values())[int(rng.choice(len(HAIRCUTS), p=_HAIRCUT_ODDS))]
    lengths = [f.name for f in fields(Hair) if f.name not in ("square", "bare")]
    varied = {name: getattr(cut, name) * rng.uniform(0.88, 1.12) for name in lengths}
    return Hair(**varied, square=cut.square, bare=cut.bare)


def _pick(rng: Generator, values: Sequence[float], odds: Sequence[float]) -> float:
    return values[int(rng.choice(len(values), p=odds))]


def _clipped_normal(rng: Generator, mean: float, sd: float, low: float, high: float) -> float:
    return min(max(rng.normal(mean, sd), low), high)
