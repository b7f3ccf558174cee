"""Faces drawn from nothing but numbers: sample data that is there at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.drawing import outfit, parts
from napari_latent_faces.drawing.brushes import Frame, Noise, paint
from napari_latent_faces.drawing.traits import random_person, random_takes
from napari_latent_faces.stack import FaceStack, ReadReport
from napari_latent_faces.steps import drain

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_latent_faces.drawing.brushes import Pixels, Surface
    from napari_latent_faces.drawing.traits import Person, Takes

__all__ = ["draw_faces", "iter_draw_faces"]

_ASPECT = 92 / 112  # width to height of the frame that a face fits in
_SMALLEST = 8  # pixels; a face has no parts below
_FINE = 48  # half the height, in pixels, from which eyes and glasses are drawn well
_EYE_LEVEL = -0.13  # where the eyes are, from the middle of the picture (0) to its top (-1)


def draw_faces(
    n_subjects: int = 40,
    n_pictures: int = 10,
    *,
    shape: tuple[int, int] = (112, 92),
    random_state: int = 42,
) -> FaceStack:
    """Draw a set of faces that do not exist.

    Each person has a face, hair, perhaps a beard or glasses, clothes and a backdrop of their
    own; each picture of them another expression, light and pose. The defaults give a set
    built like the ORL (Olivetti) faces.

    Parameters
    ----------
    n_subjects : int, 1 or more
        How many people.
    n_pictures : int, 1 or more
        How many pictures of each.
    shape : (int, int), each 8 or more
        Height and width of a picture in pixels. The face fits into it at any aspect ratio.
    random_state : int, 0 or more
        Seed. A person and a picture are the same however many others are drawn. Between
        machines a pixel may differ by one grey level, where rounding does.

    Returns
    -------
    FaceStack
        Images of type uint8 and shape (n_subjects * n_pictures, height, width), all pictures
        of one person after the other, with names such as ``s01/03.png``.

    Raises
    ------
    ValueError
        If a number is not whole or too small; the message names it.

    Examples
    --------
    >>> draw_faces(2, 3, shape=(56, 46))
    FaceStack(6 faces of 46 x 56 pixels, uint8, 'synthetic faces')
    """
    return drain(
        iter_draw_faces(n_subjects, n_pictures, shape=shape, random_state=random_state)
    )


def iter_draw_faces(
    n_subjects: int = 40,
    n_pictures: int = 10,
    *,
    shape: tuple[int, int] = (112, 92),
    random_state: int = 42,
) -> Generator[tuple[int, int], None, FaceStack]:
    """Draw a set of faces that do not exist, a person at a time.

    Parameters
    ----------
    n_subjects, n_pictures, shape, random_state
        As in `draw_faces`.

    Yields
    ------
    tuple of int
        How many pictures are drawn, and how many there will be.

    Returns
    -------
    FaceStack
        The faces (the value of ``StopIteration``).

    Raises
    ------
    ValueError
        As in `draw_faces`.
    """
    _check(n_subjects, "n_subjects", 1)
    _check(n_pictures, "n_pictures", 1)
    _check(random_state, "random_state", 0)
    height, width = _checked_shape(shape)
    noise = Noise(_generator(random_state))
    images = np.empty((n_subjects, n_pictures, height, width), np.uint8)
    for i in range(n_subjects):
        person = random_person(_generator(random_state, i))
        rngs = [_generator(random_state, i, j) for j in range(n_pictures)]
        takes = random_takes(rngs, person)
        clean = _draw_finely(person, takes, (height, width), noise)
        images[i] = _photograph(clean, takes, rngs)
        yield (i + 1) * n_pictures, n_subjects * n_pictures
    subjects, pictures = _numbered(n_subjects), _numbered(n_pictures)
    return FaceStack(
        images.reshape(-1, height, width),
        tuple(f"s{s}/{p}.png" for s in subjects for p in pictures),
        tuple(f"s{s}" for s in subjects for _ in pictures),
        ReadReport(n_read=n_subjects * n_pictures),
        "synthetic faces",
    )


def _check(value: Any, name: str, least: int) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:
        raise ValueError(f"{name} must be a whole number, {least} or more, got {value!r}.")


def _checked_shape(shape: tuple[int, int]) -> tuple[int, int]:
    try:
        height, width = shape
    except (TypeError, ValueError):
        raise ValueError(f"shape must be (height, width) in pixels, got {shape!r}.") from None
    _check(height, "shape[0], the height,", _SMALLEST)
    _check(width, "shape[1], the width,", _SMALLEST)
    return height, width


def _numbered(n: int) -> list[str]:
    """Return 1 to n as text of one length, two digits at least."""
    digits = max(2, len(str(n)))
    return [f"{i:0{digits}}" for i in range(1, n + 1)]


def _generator(random_state: int, *key: int) -> np.random.Generator:
    """Return the generator of one subject or picture, whatever else is drawn."""
    return np.random.default_rng(np.random.SeedSequence(random_state, spawn_key=key))


def _half_height(shape: tuple[int, int]) -> float:
    """Return half the height, in pixels, of the largest upright frame within the picture."""
    h, w = shape
    return min(h, w / _ASPECT) / 2


def _draw_finely(person: Person, takes: Takes, shape: tuple[int, int], noise: Noise) -> Pixels:
    """Return the pictures of a person, drawn larger and averaged where pixels are coarse."""
    h, w = shape
    times = math.ceil(_FINE / _half_height(shape))
    picture = _draw(person, takes, _frame(person, takes, (h * times, w * times)), noise)
    return picture.reshape(-1, h, times, w, times).mean(axis=(2, 4)) if times > 1 else picture


def _frame(person: Person, takes: Takes, shape: tuple[int, int]) -> Frame:
    """Return where the pixels lie on the head and the body of a person."""
    h, w = shape
    half = _half_height(shape)
    right = (np.arange(w, dtype=np.float32) - (w - 1) / 2) / half - takes.shift_x
    down = (np.arange(h, dtype=np.float32)[:, None] - (h - 1) / 2) / half - takes.shift_y
    down = down - _EYE_LEVEL
    cos, sin = np.cos(takes.roll) / takes.scale, np.sin(takes.roll) / takes.scale
    flat_x, flat_y = cos * right + sin * down, cos * down - sin * right
    # around the upright axis the head is a cylinder; nodding moves the middle of the face most
    radius = 1.02 * person.width
    x = radius * np.sin(np.arcsin(np.clip(flat_x / radius, -1, 1)) - takes.yaw)
    y = flat_y - 0.5 * takes.pitch * np.sqrt(np.clip(1 - flat_y * flat_y / 1.1, 0, 1))
    body_x = (right + 0.5 * takes.shift_x) / takes.scale + 0.2 * takes.roll * down
    body_y = np.broadcast_to(down / takes.scale, flat_y.shape)
    return Frame(flat_x, flat_y, x, y, body_x, body_y, 1 / (half * takes.scale))


def _draw(person: Person, takes: Takes, frame: Frame, noise: Noise) -> Pixels:
    """Return the pictures of a person as a perfect camera would take them, 0 to 1."""
    tilt = person.backdrop_tilt * (frame.body_x + frame.body_y - 0.5)
    picture = person.backdrop + tilt
    depth = parts.depth_in_head(person, takes, frame)

    hair, hair_mask = outfit.hair(person, takes, frame, depth, noise)
    hair_lit = hair.lit(takes, frame)
    if person.hair.long:
        paint(picture, outfit.hair_behind(person, frame), 0.5 * hair_lit)
    low = frame.window(-9, 9, 0.4, 9)
    torso, torso_mask = outfit.body(person, frame[low], depth[low], noise)
    paint(picture[low], torso_mask, torso.lit(takes, frame[low]))

    skin, head_mask = parts.head(person, takes, frame, depth, noise)
    _draw_features(person, takes, frame, skin, noise)
    paint(picture, head_mask, skin.lit(takes, frame))

    middle = frame.window(-9, 9, -0.2, 0.5)
    ears, ear_mask = parts.ears(person, takes, frame[middle], depth[middle])
    if person.hair.long:  # which covers the ears
        paint(picture[middle], ear_mask, ears.lit(takes, frame[middle]))
        paint(picture, hair_mask, hair_lit)
    else:
        paint(picture, hair_mask, hair_lit)
        paint(picture[middle], ear_mask, ears.lit(takes, frame[middle]))
    outfit.glasses(person, takes, frame[middle], picture[middle])
    return picture


def _draw_features(
    person: Person, takes: Takes, frame: Frame, skin: Surface, noise: Noise
) -> None:
    """Draw what makes a head a face, each part where it can be."""
    at = frame.window(-0.42, 0.42, -0.2, 0.68)
    parts.nose(person, takes, frame[at], skin[at])
    at = frame.window(-0.5, 0.5, 0.35, 1.0)
    parts.mouth(person, takes, frame[at], skin[at])
    at = frame.window(-9, 9, -0.2, 9)
    parts.beard(person, takes, frame[at], skin[at], noise)
    for side in parts.SIDES:
        left, right = sorted((-0.1 * side, 0.6 * side))
        at = frame.window(left, right, -0.4, 0.25)
        parts.eye(person, takes, frame[at], skin[at], side)
        parts.brow(person, takes, frame[at], skin[at], noise, side)
        at = frame.window(left, right, 0.2, 0.85)
        parts.smile_fold(person, takes, frame[at], skin[at], side)


def _photograph(
    clean: Pixels, takes: Takes, rngs: list[np.random.Generator]
) -> NDArray[np.uint8]:
    """Return the pictures as a camera takes them: exposed, a little soft, with grain, 8-bit."""
    from scipy.ndimage import gaussian_filter

    shape = clean.shape[1:]
    sigma = 0.8 * _half_height(shape) / 56
    picture = clean * takes.exposure
    soft = gaussian_filter(picture, (0, sigma, sigma))
    picture += (0.35 + 0.5 * takes.blur) * (soft - picture)
    grain = np.stack([rng.standard_normal(shape, dtype=np.float32) for rng in rngs])
    picture += 0.016 * gaussian_filter(grain, (0, 0.5, 0.5))
    return np.clip(255 * picture, 0, 255).round().astype(np.uint8)
