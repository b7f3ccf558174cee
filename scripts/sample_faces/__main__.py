"""Draw the sample faces, which the package ships: faces of people who do not exist, in colour.

    python scripts/sample_faces

writes ``samples.zip`` into the package: 40 people with 10 pictures each, as JPEG. Seeded: the
same pictures each time. It takes some seconds.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import outfit
import parts
from brushes import Frame, Noise, paint
from palette import CHANNELS, random_palette
from PIL import Image
from traits import random_person, random_takes

if TYPE_CHECKING:
    from brushes import Pixels, Surface
    from numpy.typing import NDArray
    from traits import Person, Takes

ARCHIVE = Path(__file__).parents[2] / "src" / "napari_latent_faces" / "samples.zip"
SUBJECTS, PICTURES, SHAPE, SEED = 40, 10, (112, 92), 42
QUALITY = 88

_ASPECT = 92 / 112  # width to height of the frame that a face fits in
_FINE = 48  # half the height, in pixels, from which eyes and glasses are drawn well
_EYE_LEVEL = -0.13  # where the eyes are, from the middle of the picture (0) to its top (-1)


def main() -> None:
    """Draw all faces into the archive."""
    noise = Noise(_generator())
    with zipfile.ZipFile(ARCHIVE, "w", zipfile.ZIP_STORED) as archive:
        for i in range(SUBJECTS):
            for j, picture in enumerate(draw_person(i, noise)):
                content = io.BytesIO()
                Image.fromarray(picture).save(content, "JPEG", quality=QUALITY)
                # a fixed date, so that the same pictures are the same file
                name = zipfile.ZipInfo(f"s{i + 1:02}/{j + 1:02}.jpg", (2026, 1, 1, 0, 0, 0))
                archive.writestr(name, content.getvalue())


def draw_person(i: int, noise: Noise) -> NDArray[np.uint8]:
    """Return all pictures of a person: (pictures, height, width, 3)."""
    person = random_person(_generator(i))
    palette = random_palette(_generator(i, PICTURES), person)
    takes = random_takes([_generator(i, j) for j in range(PICTURES)], person)
    channels = []
    for channel in CHANNELS:
        clean = _draw_finely(palette.seen(person, channel), takes, SHAPE, noise)
        # each channel has the same grain
        rngs = [_generator(i, j, 0) for j in range(PICTURES)]
        channels.append(_photograph(clean, takes, rngs))
    return np.stack(channels, axis=-1)


def _generator(*key: int) -> np.random.Generator:
    """Return the generator of one subject or picture, whatever else is drawn."""
    return np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=key))


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


if __name__ == "__main__":
    main()
