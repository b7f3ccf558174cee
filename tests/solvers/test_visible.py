from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.solvers.masked import VisibleParts, same_masks
from napari_latent_faces.solvers.nnls import solve_nnls


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 25))
@settings(max_examples=40, deadline=None)
def test_every_face_is_once_in_the_group_of_its_mask(seed, n, p):
    rng = np.random.default_rng(seed)
    hidden = (rng.random((3, p)) < 0.5)[rng.integers(0, 3, n)]
    if n == 1:  # one row would be for all
        return
    groups = {mask: faces for faces, mask in same_masks(hidden, n)}
    assert sorted(face for faces in groups.values() for face in faces) == list(range(n))
    for mask, faces in groups.items():
        bits = np.unpackbits(np.frombuffer(mask, np.uint8), count=p).astype(bool)
        assert (hidden[faces] == bits).all()
    assert len(groups) == len(np.unique(hidden, axis=0))


def test_no_mask_and_a_common_one_are_one_group():
    assert list(same_masks(None, 5)) == [(slice(0, 5), None)]
    [(faces, mask)] = same_masks(np.array([[True, False, True]]), 5)
    assert (faces, mask) == (slice(0, 5), b"\xa0")


def test_parts_are_taken_apart_over_what_is_visible():
    parts = np.random.default_rng(0).random((3, 20))
    parts[1, 4:] = 0
    hidden = np.arange(20) < 4
    [(_, mask)] = same_masks(hidden[None], 1)
    found = VisibleParts.of(parts, mask)
    assert (found.n_visible, found.lost) == (16, (1,))
    np.testing.assert_allclose(found.Q @ found.R, parts[:, ~hidden].T, atol=1e-12)
    whole = VisibleParts.of(parts, None)
    assert (whole.n_visible, whole.lost) == (20, ())
    weights = np.array([[1.0, 2, 3], [0, 0, 5]])
    np.testing.assert_allclose(
        solve_nnls(whole.R, whole.reduced(weights @ parts)), weights, atol=1e-9
    )
    seen = solve_nnls(found.R, found.reduced(weights @ parts))
    np.testing.assert_allclose(seen, weights * [1, 0, 1], atol=1e-9)


def test_nothing_visible_is_no_crash():
    [(_, mask)] = same_masks(np.ones((1, 9), bool), 1)
    found = VisibleParts.of(np.ones((2, 9)), mask)
    assert (found.n_visible, found.lost) == (0, (0, 1))
