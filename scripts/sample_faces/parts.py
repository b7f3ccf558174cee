"""The parts of a drawn face: each function paints one of them on all pictures of a person.

The numbers are places and sizes in face units (see `brushes`), the shares of light that
a crease takes away, and tones between 0 (black) and 1 (white).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from brushes import (
    Surface,
    between,
    bump,
    darken,
    hill,
    paint,
    step,
)

if TYPE_CHECKING:
    from brushes import Frame, Noise, Pixels
    from traits import Person, Takes

SIDES = (-1.0, 1.0)


# ------------------------------------------------------------------------------------ the head


def depth_in_head(
    person: Person, takes: Takes, frame: Frame, *, side: float = 0.0, rise: float = 0.0
) -> Pixels:
    """Return how deep inside the outline of the head each pixel lies.

    It is 0 on the outline and 1 in the middle. The outline is wider by `side` and its crown
    higher by `rise`.
    """
    y = frame.flat_y - 0.03
    down = np.clip(y / person.chin, 0, 1)
    down *= down
    # the chin stands out in front: turning the head moves it aside
    x = frame.flat_x - 0.3 * np.sin(takes.yaw) * down
    across = x / (person.width + side - person.width * person.taper * down)
    chin = person.chin + 0.07 * takes.gape
    along = y / np.where(y > 0, chin, person.crown + rise)
    power = 2.3 + (person.jaw - 2.3) * np.minimum(4 * down, 1)
    return 1 - between(across, power) - between(along, power)


def head(
    person: Person, takes: Takes, frame: Frame, depth: Pixels, noise: Noise
) -> tuple[Surface, Pixels]:
    """Return the bare head without its features, and its mask."""
    x, y = frame.x, frame.y
    mask = step((depth - 0.08) * 0.5 * person.width, 1.6 * frame.pixel)
    mottle = noise(0.4 * x + person.noise, 0.4 * y)
    skin = Surface(
        albedo=person.skin * (1 + 0.025 * mottle),
        relief=0.6 * np.sqrt(np.clip(depth, 0.005, 1)),
        gloss=0.05,
    )
    relief = skin.relief
    relief += 0.05 * bump(x, y + 0.36, 0.34, 0.22)  # forehead
    relief += 0.03 * bump(x, y + 0.15, 0.36, 0.07)  # ridge of the brows
    relief += 0.07 * bump(x, y - 0.93 * person.chin, 0.17, 0.1)  # chin
    relief -= 0.03 * bump(x, y - person.mouth_y - 0.16, 0.16, 0.045)  # below the lips
    glad = np.clip(takes.smile, 0, 1)
    for side in SIDES:
        cheek = bump(x - side * 0.31, y - 0.3 + 0.06 * glad, 0.15, 0.15)
        relief += (0.05 + 0.035 * glad) * cheek
        relief -= 0.03 * bump(x - side * 0.36, y - 0.58, 0.12, 0.16)  # hollow of the cheek
    return skin, mask


def ears(person: Person, takes: Takes, frame: Frame, depth: Pixels) -> tuple[Surface, Pixels]:
    """Return both ears and their mask: a turned head hides one of them."""
    relief, mask = np.zeros_like(frame.x), np.zeros_like(frame.x)
    albedo = np.full_like(frame.x, 0.88 * person.skin)
    outside = step(0.07 - depth, 0.06)
    y = frame.flat_y - 0.13
    for side in SIDES:
        behind = 0.25 * np.clip(side * np.sin(takes.yaw), 0, 1)
        x = frame.flat_x * side - person.width + behind + 0.25 * y
        size = person.ears * np.where(y > 0, np.float32(0.17), np.float32(0.2))
        inside = 1 - (x / (0.085 * person.ears)) ** 2 - (y / size) ** 2
        mask = np.maximum(mask, step(0.05 * inside, 1.5 * frame.pixel) * outside)
        relief += 0.09 * np.sqrt(np.clip(inside, 0, 1))
        darken(albedo, bump(x, y, 0.035, 0.09), 0.4)
    return Surface(albedo, relief, gloss=0.05), mask


# ---------------------------------------------------------------------------- eyes and brows


def eye(person: Person, takes: Takes, frame: Frame, skin: Surface, side: float) -> None:
    """Sink an eye into the head and paint eyeball, iris, lids and lashes."""
    right = frame.x - side * person.eye_gap
    x, y = right * side, frame.y
    _socket(person, skin, x, y)
    y = y + person.eye_tilt * x
    squint = 1 - 0.25 * np.clip(takes.smile, 0, 1)
    opening = takes.lids * squint * person.eye_height
    open_share = np.minimum(opening, 1)
    across = x / person.eye_width
    arch = np.clip(1 - across * across, 0, 1)
    # the upper lid is highest towards the nose; shut, it meets the lower one
    upper = arch * (0.018 * (1 - open_share) - 0.056 * opening * (1 - 0.2 * across))
    lower = 0.032 * squint * arch**1.5
    shade = 0.7 + 0.3 * step(y - upper - 0.02, 0.05)

    inside = step(y - upper, frame.pixel) * step(lower - y, frame.pixel)
    inside *= step(1 - np.abs(across), 0.2) * step(opening - 0.25, 0.3)
    white = (0.3 + 0.5 * person.skin) * shade * (0.7 + 0.3 * arch)
    paint(skin.albedo, inside, white)
    iris_x, iris_y = right - 0.03 * takes.gaze, y + 0.008
    radius = np.sqrt(iris_x * iris_x + iris_y * iris_y)
    iris = person.iris * (0.75 + 0.5 * step(radius - 0.02, 0.02)) * shade
    paint(skin.albedo, inside * step(0.053 - radius, 1.3 * frame.pixel), iris)
    paint(skin.albedo, inside * step(0.022 - radius, 1.2 * frame.pixel), 0.03)
    paint(skin.albedo, inside * bump(iris_x - 0.016, iris_y + 0.02, 0.013, 0.013), 1.3)

    lash = step(0.02 + 0.006 * across - np.abs(y - upper + 0.004), 1.1 * frame.pixel)
    lash *= step(1.12 - np.abs(across), 0.35)
    paint(skin.albedo, (0.45 + 0.35 * open_share) * lash, 0.05 + 0.3 * person.hair_tone)
    darken(skin.albedo, bump(across, y - upper + 0.042, 1.0, 0.018), 0.28 * open_share)
    darken(skin.albedo, bump(across, y - lower - 0.006, 1.0, 0.014), 0.22)


def _socket(person: Person, skin: Surface, x: Pixels, y: Pixels) -> None:
    """Sink the eye into the head; bags below it come with age. x points away from the nose."""
    relief, albedo = skin.relief, skin.albedo
    relief -= 0.075 * bump(x + 0.02, y + 0.01, 0.14, 0.1)
    relief += 0.035 * bump(x, y, 0.085, 0.06)
    darken(albedo, bump(x + 0.05, y + 0.03, 0.14, 0.1), 0.22)
    darken(albedo, bump(x + 0.02, y - 0.085, 0.09, 0.03), 0.07 + 0.12 * person.age)


def brow(
    person: Person, takes: Takes, frame: Frame, skin: Surface, noise: Noise, side: float
) -> None:
    """Paint an eyebrow: thick towards the nose, highest further out."""
    x, y = (frame.x - side * (person.eye_gap + 0.012)) * side, frame.y
    across = x / 0.155
    arch = 1 - ((across - 0.4) / 1.4) ** 2
    lift = person.brow_height + (0.05 + 0.03 * across) * takes.brows
    middle = 0.015 * across - lift - person.brow_arch * arch
    thickness = person.brow_thickness * (0.9 - 0.4 * np.clip(across + 0.2, 0, 1.2))
    mask = step(thickness - np.abs(y - middle), 0.035) * step(1 - np.abs(across), 0.55)
    hairs = np.clip(0.68 + 0.1 * noise(2.2 * (x + y), 0.9 * y + person.noise), 0, 1)
    paint(skin.albedo, mask * hairs, min(person.brow_tone, 0.6 * person.skin))


# --------------------------------------------------------------------------- nose and mouth


def nose(person: Person, takes: Takes, frame: Frame, skin: Surface) -> None:
    """Raise the nose out of the face and sink the nostrils into it."""
    length, width = person.nose_length, person.nose_width
    relief, albedo = skin.relief, skin.albedo
    down = frame.y / length
    reach = np.clip(down, 0, 1)
    # the tip stands out in front: turning the head moves it aside
    x, y = frame.x - 0.13 * np.sin(takes.yaw) * reach, frame.y
    ends = step(down + 0.1, 0.7) * step(1.15 - down - 12 * x * x, 0.75)
    ridge = hill(x, width * (0.7 + 0.35 * reach))
    relief += person.nose_height * (0.03 + 0.11 * reach) * ends * ridge
    relief += 0.04 * person.nose_height * bump(x, y - 0.86 * length, 0.75 * width, 0.08)
    for side in SIDES:
        relief += 0.045 * bump(x - side * 0.8 * width, y - 0.93 * length, 0.04, 0.042)
        darken(albedo, bump(x - side * 1.25 * width, y - 0.94 * length, 0.022, 0.04), 0.25)
        darken(albedo, bump(x - side * 0.5 * width, y - 1.02 * length, 0.032, 0.018), 0.6)
    shadow = bump(x + 0.12 * takes.light_x, y - 1.13 * length, 0.9 * width, 0.06)
    darken(albedo, shadow, 0.12)
    darken(albedo, bump(x, y - person.mouth_y + 0.13, 0.02, 0.06), 0.05)


def mouth(person: Person, takes: Takes, frame: Frame, skin: Surface) -> None:
    """Paint lips, teeth and the corners of the mouth."""
    smile, gape = takes.smile, takes.gape
    glad = np.clip(smile, 0, 1)
    half = person.mouth_width * (1 + 0.24 * glad - 0.12 * gape * (1 - glad))
    x = frame.x - 0.04 * np.sin(takes.yaw)
    y = frame.y - person.mouth_y + 0.02 * glad
    across = x / half
    arch = np.clip(1 - across * across, 0, 1)
    soft, ends = 1.8 * frame.pixel, step(1.02 - np.abs(across), 0.12)

    # where the lips meet (a smile lifts the corners), how far they part, how full they are
    line = 0.006 * np.cos(9 * across) * arch - 0.075 * smile * across * across
    gap = 0.13 * gape * arch**0.8
    top, bottom = line - 0.3 * gap, line + 0.7 * gap
    full = person.lips * (1 - 0.35 * glad)
    bow = 1 - 0.25 * hill(x, 0.03)
    upper_edge = top - 0.064 * full * arch**0.8 * bow
    lower_edge = bottom + 0.085 * full * arch**0.7

    tone = person.skin * person.lip_tone
    upper = step(y - upper_edge, soft) * step(top - y, soft) * ends
    paint(skin.albedo, 0.85 * upper, 0.78 * tone)
    lower = step(y - bottom, soft) * step(lower_edge - y, 2 * soft) * ends
    paint(skin.albedo, 0.7 * lower, 1.02 * tone)
    parted = step(gape - 0.05, 0.1)
    inside = step(y - top, soft) * step(bottom - y, soft) * ends * parted
    paint(skin.albedo, inside, 0.07)
    teeth = step(top + gap * (0.35 + 0.45 * glad) - y, 1.5 * soft)
    teeth *= inside * step(0.82 - np.abs(across), 0.25)
    paint(skin.albedo, 0.9 * teeth, 0.45 + 0.35 * person.skin)
    seam = hill(y - line, 0.014) * step(1.04 - np.abs(across), 0.16)
    darken(skin.albedo, seam, 0.62 * (1 - parted))

    relief = skin.relief
    relief += 0.026 * full * bump(across, y - 0.5 * (upper_edge + top), 0.8, 0.035)
    relief += 0.034 * full * bump(across, y - 0.5 * (lower_edge + bottom), 0.75, 0.035)
    darken(skin.albedo, bump(across, y - lower_edge - 0.03, 0.6, 0.03), 0.16)
    for side in SIDES:
        corner = bump(x - 1.02 * side * half, y + 0.075 * smile, 0.028, 0.03)
        darken(skin.albedo, corner, 0.28)


def smile_fold(person: Person, takes: Takes, frame: Frame, skin: Surface, side: float) -> None:
    """Crease the cheek between the wing of the nose and the corner of the mouth."""
    relief = skin.relief
    start = person.nose_length - 0.03
    along = (frame.y - start) / (person.mouth_y + 0.06 - start)
    glad = np.clip(takes.smile, 0, 1)
    course = 1.3 * person.nose_width + (0.12 + 0.05 * glad) * np.clip(along, 0, 1.3)
    away = frame.x * side - course
    depth = step(along, 0.4) * step(1.05 - along, 0.5)
    depth *= 0.03 + 0.3 * glad + 0.18 * person.age
    darken(skin.albedo, hill(away, 0.028), 0.5 * depth)
    relief += 0.035 * depth * hill(away - 0.06, 0.05)


def beard(person: Person, takes: Takes, frame: Frame, skin: Surface, noise: Noise) -> None:
    """Paint beard and moustache; a thin beard is stubble."""
    if not (person.beard or person.moustache):
        return
    glad = np.clip(takes.smile, 0, 1)
    x, y = np.abs(frame.x), frame.y - person.mouth_y + 0.02 * glad
    across = x / (person.mouth_width * (1 + 0.24 * glad))
    bend = y + 0.075 * takes.smile * np.minimum(across * across, 2)

    arch = np.clip(1 - across * across, 0, 1)
    lips = step((0.03 * takes.gape + 0.06 * person.lips) * arch + bend, 0.03)
    lips *= step((0.1 * takes.gape + 0.08 * person.lips) * arch - bend, 0.03)
    moustache = step(bend + 0.14 - 0.05 * across * across, 0.07) * step(
        0.07 * across - bend, 0.07
    )
    moustache *= step(1.2 - across, 0.5)
    # from the sideburns down the cheek and under the corners of the mouth
    edge = 0.04 - 0.55 * np.clip((x - 0.26) / 0.3, 0, 1.2)
    jaw = step(y - edge, 0.16)
    grown = np.maximum(
        person.beard * jaw, max(person.moustache, 0.9 * person.beard) * moustache
    )

    hairs = noise(1.6 * frame.x + 0.3 * y, 0.6 * y + person.noise)
    mask = np.clip(grown * (1 - 0.95 * lips) * (0.86 + 0.1 * hairs), 0, 1)
    paint(skin.albedo, mask, min(0.9 * person.hair_tone + 0.04, 0.7 * person.skin))
    relief = skin.relief
    relief += 0.012 * person.beard * mask * hairs
