"""Faces that are brought onto one another by points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.aligning.levels import centred, unmoved

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrices = NDArray[np.float64]  # (n, 3, 3), of homogeneous points (y, x, 1)

__all__ = ["onto_points", "points_of_faces"]


def points_of_faces(points: Any, n: int) -> NDArray[np.float64]:
    """Return points as (n, k, 2), with NaN for faces that have none."""
    points = np.asarray(points, np.float64)
    spots: NDArray[np.float64]
    if points.ndim == 3:
        if points.shape[0] != n or points.shape[2] != 2:
            raise ValueError(
                f"points of shape {points.shape} do not fit {n} faces: (n, k, 2) is needed."
            )
        spots = points
    else:
        if points.ndim != 2 or points.shape[1] != 3:
            raise ValueError(
                "points must have the shape (m, 3), rows (face, y, x), or (n, k, 2), got "
                f"{points.shape}."
            )
        faces = np.rint(points[:, 0]).astype(int)
        if ((faces < 0) | (faces >= n)).any():
            raise ValueError(f"points name face {faces.max()}: there are {n}, from 0.")
        counts = np.bincount(faces, minlength=n)
        usual = int(np.bincount(counts[counts > 0]).argmax()) if len(faces) else 0
        wrong = np.flatnonzero((counts != usual) & (counts > 0))
        if len(wrong):
            raise ValueError(
                f"Face {wrong[0]} has {counts[wrong[0]]} points and others {usual}: each face "
                "needs the same points, in the same order."
            )
        spots = np.full((n, usual, 2), np.nan)
        for face in np.flatnonzero(counts):
            spots[face] = points[faces == face, 1:]
    if spots.shape[1] < 2:
        raise ValueError("Each face needs two points or more, such as its eyes.")
    if np.isfinite(spots).all((1, 2)).sum() < 2:
        raise ValueError("At least two faces need points.")
    return spots


def onto_points(
    spots: NDArray[np.float64], transform: str
) -> tuple[Matrices, NDArray[np.bool_]]:
    """Return transforms from the mean of all points to those of each face that has some.

    Procrustes analysis: the mean is that of the points as they lie aligned.
    """
    given = np.asarray(np.isfinite(spots).all((1, 2)))
    known = spots[given]
    k = spots.shape[1]
    if transform == "affine" and k < 3:
        raise ValueError("An affine transform needs three points or more on each face.")
    mean = known.mean(0)
    for _ in range(10):
        y, x = mean.T
        one, none = np.ones(k), np.zeros(k)
        if transform == "affine":
            solved = np.linalg.pinv(np.column_stack([y, x, one])) @ known  # (n, 3, 2)
            top = np.swapaxes(solved, 1, 2)
        else:  # y' = a y - b x + s, x' = b y + a x + t
            equations = np.vstack(
                [np.column_stack([y, -x, one, none]), np.column_stack([x, y, none, one])]
            )
            wanted = np.concatenate([known[:, :, 0], known[:, :, 1]], 1)
            a, b, s, t = np.linalg.pinv(equations) @ wanted.T
            top = np.stack([np.stack([a, -b, s], -1), np.stack([b, a, t], -1)], 1)
        found = unmoved(len(known))
        found[:, :2] = top
        if np.linalg.det(found).min() < 1e-6:
            face = int(np.flatnonzero(given)[np.linalg.det(found).argmin()])
            raise ValueError(f"The points of face {face} lie on one another.")
        found = centred(found, np.ones(len(found), bool))
        back = np.linalg.inv(found)
        mean = (np.einsum("nab,nkb->nka", back[:, :2, :2], known) + back[:, None, :2, 2]).mean(
            0
        )
    transforms = unmoved(len(spots))
    transforms[given] = found
    return transforms, given
