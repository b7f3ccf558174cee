"""What surrounds a drawn face: neck and clothes, hair, glasses.

The numbers are of the kinds that `parts` uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from brushes import Surface, between, bump, paint, step
from parts import SIDES, depth_in_head

if TYPE_CHECKING:
    from brushes import Frame, Noise, Pixels
    from traits import Person, Takes


def body(person: Person, frame: Frame, depth: Pixels, noise: Noise) -> tuple[Surface, Pixels]:
    """Return neck, shoulders and clothes, and their mask."""
    x, y, soft = frame.body_x, frame.body_y, 2 * frame.pixel
    spread = np.clip(y - 0.85, 0, 1)
    neck = step(0.76 * person.width + 0.25 * spread * spread - np.abs(x), soft)
    neck *= step(y - 0.3, 0.1)
    shoulders = step(y - 0.9 - 0.35 * np.clip(np.abs(x) - 0.42, 0, 2), soft)
    hollow = (x / (0.8 * person.width)) ** 2 + (np.clip(y - 0.9, 0, 2) / person.neckline) ** 2
    garment = shoulders * step((hollow - 1) * 0.15, soft)

    albedo = np.full_like(x, 0.93 * person.skin)
    paint(albedo, garment, person.cloth * (1 + 0.08 * noise(x, y + person.noise)))
    if person.shirt:
        collar = step(0.7 - np.abs(hollow - 1.7), 0.3) * garment
        paint(albedo, collar, person.linen)
    across = x / (0.75 * person.width)
    relief = 0.35 * np.sqrt(np.clip(1.05 - across * across, 0.02, 1)) * neck
    paint(relief, garment, 0.1 - 0.25 * x * x)
    # the chin keeps the light off the neck
    away = np.clip((y - person.chin) / 0.4, 0, 1)
    away -= 0.5 * np.clip(depth, -1, 0)
    albedo *= 0.55 + 0.45 * np.clip(away, 0, 1)
    return Surface(albedo, relief), np.maximum(neck, shoulders)


def hair(
    person: Person, takes: Takes, frame: Frame, depth: Pixels, noise: Noise
) -> tuple[Surface, Pixels]:
    """Return the hair on and beside the head, and its mask."""
    cut, x, y = person.hair, frame.x, frame.y
    height = depth_in_head(person, takes, frame, side=cut.side + 0.012, rise=cut.volume + 0.015)
    strands = _strands(person, frame, noise)
    locks = noise(0.16 * x + person.noise, 0.12 * y)
    uneven = cut.ragged * locks + 0.012 * strands
    mask = step(0.4 * height + uneven, 4 * frame.pixel)
    opening = _opening(person, x, y, uneven)
    if cut.long:
        beside = np.abs(frame.flat_x)
        hanging = step(person.width + cut.side + 0.02 + uneven - beside, 0.05)
        hanging *= step(frame.flat_y + 0.1, 0.2) * step(beside - 0.6 * person.width, 0.2)
        mask = np.maximum(mask, hanging)
        opening *= step(depth - 0.02, 0.1)
    mask *= (1 - opening) * step(cut.fall + 0.6 * uneven - y, 0.16)
    surface = Surface(
        albedo=person.hair_tone * np.clip(1.1 + 0.3 * strands + 0.12 * locks, 0.3, 2.5),
        relief=0.6 * np.sqrt(np.clip(height, 0.02, 1))
        + 0.012 * locks
        + (0.007 + 0.014 * cut.curl) * strands,
        gloss=0.14,
    )
    return surface, mask


def _opening(person: Person, x: Pixels, y: Pixels, uneven: Pixels) -> Pixels:
    """Return the mask of the opening in the hair that the face looks out of."""
    cut = person.hair
    up = np.clip(0.3 - y, 0, 2) / (0.3 + cut.hairline)
    for side in SIDES:
        up *= 1 - cut.temples * bump(x - side * 0.33, y + 0.4, 0.13, 0.3)
    up *= 1 + 0.25 * person.parting * x / person.width
    within = 1 - between(x / (0.93 * person.width), cut.square) - between(up, cut.square)
    opening = step(0.3 * within + uneven, 0.14)
    if cut.bare:
        opening = np.maximum(opening, step(0.4 * uneven - 0.22 - y, 0.14))
    return opening


def _strands(person: Person, frame: Frame, noise: Noise) -> Pixels:
    """Return the texture of hair: strands that fall from the parting, or curls."""
    curl = person.hair.curl
    y = frame.flat_y + person.crown + 0.6
    x = frame.flat_x + person.parting * (0.3 - 0.7 * y)
    angle, reach = np.arctan2(x, y), np.sqrt(x * x + y * y)
    waves = angle + 0.03 * np.sin(7 * reach + 4 * angle)
    straight = noise(0.9 * waves + person.noise, 0.16 * reach)
    curls = noise(0.8 * x + person.noise, 0.8 * y)
    return (1 - curl) * straight + curl * curls


def hair_behind(person: Person, frame: Frame) -> Pixels:
    """Return the mask of long hair behind the neck."""
    cut = person.hair
    mask = step(person.width + cut.side - 0.02 - np.abs(frame.flat_x), 0.04)
    return mask * step(cut.fall - frame.flat_y, 0.1) * step(frame.flat_y, 0.1)


def glasses(person: Person, takes: Takes, frame: Frame, picture: Pixels) -> None:
    """Put the glasses on in the pictures where they are worn."""
    if not takes.glasses.any():
        return
    # they stand off the face: turning the head moves them aside
    x, y = frame.x - 0.06 * np.sin(takes.yaw), frame.y - 0.035
    soft = 1.3 * np.maximum(frame.pixel, 0.012)
    thick, gap = person.rim_thickness, person.eye_gap
    inner = gap - person.rim_width
    bridge = step(thick - np.abs(y + 0.035 - 1.2 * x * x), soft)
    rims = bridge * step(inner + 0.03 - np.abs(x), 0.03)
    for side in SIDES:
        u = (x * side - gap - 0.012) / person.rim_width
        v = y / person.rim_height + 0.1 * u
        u = u * (1 + 0.16 * np.clip(v, -1, 1))
        power = person.rim_square
        round_ = (np.abs(u) ** power + np.abs(v) ** power) ** (1 / power)
        inside = (1 - round_) * 0.5 * (person.rim_width + person.rim_height)
        glare = 0.04 + 0.2 * bump(u - 0.35, v + 0.45, 0.35, 0.3) * np.clip(
            0.5 + takes.light_x, 0, 1
        )
        paint(picture, takes.glasses * step(inside, 2 * frame.pixel) * glare, 0.95)
        rims = np.maximum(rims, step(thick - np.abs(inside), soft))
        arm = step(thick - np.abs(y + 0.05), soft) * step(
            x * side - gap - person.rim_width, 0.04
        )
        arm *= step(person.width + 0.01 - np.abs(frame.flat_x), 0.03)
        rims = np.maximum(rims, 0.85 * arm)
    paint(picture, 0.9 * takes.glasses * rims, person.rim_tone)
