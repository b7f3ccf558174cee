from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.viewer.panels.plots import Axis


@pytest.mark.parametrize("is_log", [False, True])
def test_the_ends_lie_at_the_ends(is_log):
    axis = Axis(2, 32, 300, 20, is_log=is_log)
    assert axis.place(2) == pytest.approx(300)
    assert axis.place(32) == pytest.approx(20)
    assert axis.place(8 if is_log else 17) == pytest.approx(160)


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 12))
def test_ticks_are_few_round_and_within(low, span, most):
    axis = Axis(low, low + span, 0, 100)
    ticks = axis.ticks(most)
    assert 1 <= len(ticks) <= most
    assert ticks == sorted(ticks)
    margin = 1e-6 * (abs(low) + span)
    assert all(axis.low - margin <= tick <= axis.high + margin for tick in ticks)


def test_round_means_round():
    assert Axis(0.137, 0.262, 0, 1).ticks(6) == pytest.approx([0.15, 0.175, 0.2, 0.225, 0.25])
    assert Axis(5, 60, 0, 1).ticks(6) == [10, 20, 30, 40, 50, 60]
    assert Axis(2, 64, 0, 1, is_log=True).ticks(9) == [2, 4, 8, 16, 32, 64]
    assert Axis(2, 64, 0, 1, is_log=True).ticks(3) == [2, 8, 32]


def test_a_single_value_has_room():
    axis = Axis(5, 5, 0, 100)
    assert 0 < axis.place(5) < 100
    assert math.isfinite(Axis(0, 0, 0, 1).place(0))
