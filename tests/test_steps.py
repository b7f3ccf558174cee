from __future__ import annotations

import pytest

from napari_latent_faces.steps import consume, relayed


def counting(n):
    yield from range(n)
    return "done"


@pytest.mark.parametrize("n", [0, 3])
def test_draining_shows_every_step_and_returns_the_value(n):
    seen = []
    assert consume(counting(n)) == consume(counting(n), seen.append) == "done"
    assert seen == list(range(n))


def test_relaying_changes_the_steps_and_keeps_the_value():
    seen = []
    assert consume(relayed(counting(3), lambda step: (step, 3)), seen.append) == "done"
    assert seen == [(0, 3), (1, 3), (2, 3)]


def test_an_error_while_showing_is_not_taken_for_the_end():
    def refuse(_step):
        raise StopIteration("from elsewhere")

    with pytest.raises(StopIteration, match="from elsewhere"):
        consume(counting(3), refuse)
