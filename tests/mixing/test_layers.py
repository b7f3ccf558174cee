from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_latent_faces.mixing.recipes import number_recipes
from napari_latent_faces.viewer.layers import (
    FACES_KEY,
    MODEL_KEY,
    RECIPES_KEY,
    ROLE_KEY,
    FacesView,
    free_place,
    mixed_layer,
    recipes_layer,
)

VIEW = FacesView("orl", (10.0, 200.0), "magma", (1.0, 2.0, 3.0), (0.0, 5.0, 7.0), "key")
box = st.tuples(*[st.floats(-300, 300)] * 2, *[st.floats(0, 200)] * 2)


def test_a_mixed_face_looks_as_the_faces_do_and_stays_under_the_slider():
    data, kwargs, kind = mixed_layer(np.zeros((4, 5)), VIEW, -1)
    assert kind == "image"
    assert data.ndim == 2
    assert kwargs["name"] == "mixed face [orl]"
    assert (kwargs["colormap"], kwargs["contrast_limits"]) == ("magma", (10, 200))
    assert kwargs["scale"] == (2, 3)
    assert kwargs["translate"] == VIEW.beside(-1, 5)[-2:]
    assert kwargs["metadata"] == {ROLE_KEY: "mixed", FACES_KEY: "key"}


@pytest.mark.parametrize(
    ("role", "name"), [("generated", "generated faces [orl]"), ("morph", "morph [orl]")]
)
def test_generated_faces_know_their_recipes(role, name):
    recipes = number_recipes(np.eye(3), "by hand")
    data, kwargs, _ = recipes_layer(np.zeros((3, 4, 5)), recipes, VIEW, -2, role)
    assert data.shape == (3, 4, 5)
    assert kwargs["name"] == name
    known = kwargs["metadata"]
    assert known[RECIPES_KEY] == recipes
    assert known["names"] == ("generated 0", "generated 1", "generated 2")
    assert known[ROLE_KEY] == role
    assert MODEL_KEY not in known  # it is no result of a fit: a new fit leaves it alone


@given(st.lists(box, max_size=12))
def test_the_free_place_overlaps_nothing_and_is_the_nearest(boxes):
    taken = [(np.array(b[:2]), np.array(b[:2]) + b[2:]) for b in boxes]
    h, w = 10, 8

    def overlaps(place):
        y, x = VIEW.beside(place, w)[-2:]
        end = y + (h - 1) * 2, x + (w - 1) * 3
        return any(
            low[0] < end[0] and y < high[0] and low[1] < end[1] and x < high[1]
            for low, high in taken
        )

    place = free_place(VIEW, (h, w), taken)
    assert place < 0
    assert not overlaps(place)
    assert all(overlaps(nearer) for nearer in range(place + 1, 0))
