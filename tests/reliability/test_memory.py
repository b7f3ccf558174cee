"""No memory left, in the middle of work: it is told, and the window lives."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from superqt.utils import WorkerBase

from napari_latent_faces.fitting import fit
from napari_latent_faces.params import METHODS, NMFParams
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.fitting import EncodeJob, FitSession, ShowOptions
from napari_latent_faces.viewer.layers import MODEL_KEY, faces_layer
from napari_latent_faces.viewer.reader import open_path
from tests.jobs import end_all_work, layers_in, run

SHORT = NMFParams(n_components=3, max_iter=30, tol=0)


@pytest.fixture
def viewer(empty_viewer, stack):
    empty_viewer.add_layer(Layer.create(*faces_layer(stack, "orl")))
    return empty_viewer


def no_memory(*_args, **_kwargs):
    """Ask the system for more than any machine has: its own error, in its own words."""
    return np.empty(2**60, np.uint8)


def fitting(viewer, params=SHORT):
    return FitSession(viewer, viewer.layers["orl"], params, ShowOptions())


@pytest.mark.parametrize(
    ("params", "place"),
    [
        (SHORT, "napari_latent_faces.solvers.multilevel.initial_factors"),
        (METHODS["pca"](n_components=3), "napari_latent_faces.solvers.sklearn.as_matrix"),
        (METHODS["kmeans"](n_components=3), "napari_latent_faces.solvers.sklearn.batch_error"),
    ],
    ids=["nmf", "pca", "kmeans"],
)
def test_in_a_fit(viewer, params, place, notes, monkeypatch, qtbot):
    with monkeypatch.context() as patched:
        patched.setattr(place, no_memory)
        told = run(qtbot, fitting(viewer, params))
    assert told.startswith("The fit failed: Unable to allocate 1.00 EiB")
    assert notes == [f"error: {told.removeprefix('The fit failed: ')}"]
    assert [layer.name for layer in viewer.layers] == ["orl"]
    run(qtbot, fitting(viewer))  # the next one is as if nothing had been
    assert len(layers_in(viewer)) == 3


def test_in_the_encoding_of_new_faces(viewer, stack, model, notes, monkeypatch, qtbot):
    with monkeypatch.context() as patched:
        patched.setattr("napari_latent_faces.encoding.encoded_model", no_memory)
        told = run(qtbot, EncodeJob(viewer, viewer.layers["orl"], model))
    assert "Unable to allocate" in told
    assert len(notes) == len(layers_in(viewer)) == 1
    run(qtbot, EncodeJob(viewer, viewer.layers["orl"], model))
    assert len(layers_in(viewer)) == 3


@pytest.mark.parametrize("bare", [False, True], ids=["with words", "without"])
def test_in_a_read(viewer, faces_folder, notes, monkeypatch, bare):
    def fail(*_args, **_kwargs):
        if bare:
            raise MemoryError
        no_memory()

    with monkeypatch.context() as patched:
        patched.setattr("napari_latent_faces.reading.sources.list_sources", fail)
        open_path(viewer, str(faces_folder))
    [note] = notes
    assert note.startswith("error: ")
    assert "memory" in note or "allocate" in note
    assert len(layers_in(viewer)) == 1
    open_path(viewer, str(faces_folder))
    assert len(layers_in(viewer)) == 2


def test_two_fits_in_two_viewers_at_once_find_what_they_find_alone(qtbot):
    """Bit by bit, of two methods and of two stacks, while both run."""
    stacks = [sample_faces(n, 6, shape=(48, 40)) for n in (8, 9)]
    params = [NMFParams(n_components=k, max_iter=150, tol=0) for k in (5, 7)]
    alone = [fit(*each) for each in zip(stacks, params, strict=True)]
    viewers = [ViewerModel(), ViewerModel()]
    sessions, steps, ended = [], [], []
    for i, viewer in enumerate(viewers):
        faces = viewer.add_layer(Layer.create(*faces_layer(stacks[i], "drawn")))
        session = FitSession(viewer, faces, params[i], ShowOptions())
        session.stepped.connect(lambda _, i=i: steps.append(i))
        session.ended.connect(lambda _, i=i: ended.append(i))
        sessions.append(session)
    before = set(WorkerBase._worker_set)
    for session in sessions:
        session.start()
    assert len(WorkerBase._worker_set - before) == 2  # both at once
    qtbot.waitUntil(lambda: len(ended) == 2)
    for viewer, session, expected in zip(viewers, sessions, alone, strict=True):
        np.testing.assert_array_equal(session.model.components, expected.components)
        np.testing.assert_array_equal(session.model.weights, expected.weights)
        assert session.model.error == expected.error
        shown = [each.metadata.get(MODEL_KEY) for each in layers_in(viewer)]
        assert shown == [None, session.model, session.model]
    end_all_work()
