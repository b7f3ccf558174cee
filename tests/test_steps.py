from __future__ import annotations

import warnings

import numpy as np
import pytest

from napari_latent_faces import PictureNMF, fit, iter_fit
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


@pytest.mark.parametrize(
    ("options", "name"),
    [({"max_iter": 1}, "ConvergenceWarning"), ({"alpha_W": 1e3}, "PenaltyWarning")],
)
@pytest.mark.parametrize(
    "work",
    [
        lambda X, options: fit(X, shape=(4, 4), **options),
        lambda X, options: consume(iter_fit(X, shape=(4, 4), **options)),
        lambda X, options: [*iter_fit(X, shape=(4, 4), **options)],
        lambda X, options: PictureNMF(**options).fit(X),
        lambda X, options: PictureNMF(**options).fit_transform(X),
    ],
)
def test_a_warning_is_of_the_line_of_the_user(work, options, name):
    X = np.random.default_rng(0).random((6, 16))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work(X, {"n_components": 2, "random_state": 0, **options})
    assert [each.category.__name__ for each in caught] == [name]
    assert caught[0].filename == __file__
    assert caught[0].lineno == work.__code__.co_firstlineno
