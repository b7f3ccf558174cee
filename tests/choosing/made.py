"""Faces of which it is known how many parts they are made of."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_latent_faces.choosing.choice import KChoice
from napari_latent_faces.options import ChoiceOptions


def made_faces(k, seed, *, n=300, size=(24, 24), noise=0.2, blur=0.0):
    """Return 8-bit faces that are sums of `k` non-negative parts, and noise.

    One part is as wide as the face, and in all of them; the others are spots of 2 to 5
    pixels across, each in half of the faces, one in a cell of a grid: of two at one place
    nobody could say that they are two. `noise` is in units of the standard
    deviation of the pixels; with `blur`, neighbours share it.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    wide = np.exp(-(((y / size[0] - 0.5) / 0.6) ** 2) - ((x / size[1] - 0.5) / 0.6) ** 2)
    cells = int(np.ceil(np.sqrt(k - 1)))
    places = np.argwhere(np.ones((cells, cells)))[rng.permutation(cells**2)[: k - 1]]
    centres = (places + rng.uniform(0.25, 0.75, (k - 1, 2))) * np.array(size) / cells
    centres = centres[..., None, None]
    widths = rng.uniform(1.2, 2.5, (k - 1, 2))[..., None, None]
    spots = np.exp(
        -(((y - centres[:, 0]) / widths[:, 0]) ** 2 + ((x - centres[:, 1]) / widths[:, 1]) ** 2)
        / 2
    )
    weights = rng.exponential(0.5, (n, k)) * (rng.random((n, k)) < 0.5)
    weights[:, 0] = rng.uniform(0.6, 1.4, n)
    clean = np.tensordot(weights, np.concatenate([wide[None], spots]), 1)
    grain = gaussian_filter(rng.standard_normal(clean.shape), (0, blur, blur))
    noisy = np.maximum(clean + noise * clean.std() * grain / grain.std(), 0)
    return np.round(noisy / noisy.max() * 255).astype(np.uint8)


def choice_of(ks, held_out, *, spread=0.0, stabilities=None, n_faces=50, faces=50):
    """Return a `KChoice` with these measures, and no models.

    `spread` is the standard error of all differences to the lowest held-out error.
    """
    held_out = np.asarray(held_out, float)
    wobble = np.array([-1.0, 1.0]) * spread
    folds = held_out[:, None] + wobble * (np.arange(len(ks)) != held_out.argmin())[:, None]
    return KChoice(
        ks=np.array(ks),
        errors=held_out / 2,
        fold_errors=folds,
        stabilities=np.full(len(ks), 0.9) if stabilities is None else np.array(stabilities),
        unconverged=np.zeros(len(ks), int),
        models={},
        faces=np.arange(faces),
        n_faces=n_faces,
        options=ChoiceOptions(n_folds=2),
    )
