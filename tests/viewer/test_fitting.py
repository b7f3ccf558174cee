from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from superqt.utils import WorkerBase

from napari_latent_faces.export import as_python
from napari_latent_faces.fitting import fit
from napari_latent_faces.params import NMFParams
from napari_latent_faces.stack import FaceStack
from napari_latent_faces.viewer.fitting import (
    EncodeJob,
    FitSession,
    MendJob,
    ResultLayers,
    ShowOptions,
)
from napari_latent_faces.viewer.layers import LEFT_OUT_KEY, MODEL_KEY, ROLE_KEY, faces_layer
from napari_latent_faces.viewer.marks import add_mask
from napari_latent_faces.viewer.panels.mixer import MixerWidget
from napari_latent_faces.viewer.session import session_of
from tests.jobs import end_all_work, run
from tests.viewer.test_layout import overlaps

LONG = NMFParams(n_components=3, max_iter=1_000_000, tol=0)
SHORT = NMFParams(n_components=3, max_iter=30, tol=0)


def session(viewer, params, **options):
    return FitSession(viewer, viewer.layers["orl"], params, ShowOptions(**options))


def test_the_result_is_that_of_a_script(viewer, stack, qtbot):
    made = session(viewer, SHORT)
    steps = []
    made.stepped.connect(steps.append)
    told = run(qtbot, made)
    assert told.startswith("Not converged after 30 iterations")
    assert told.endswith(f"{made.model.error:.4f} over all 30 faces.")
    assert 0 < steps[0].iteration <= 30
    np.testing.assert_array_equal(made.model.components, fit(stack, SHORT).components)
    assert viewer.layers["reconstruction [orl]"].metadata[MODEL_KEY] is made.model
    assert not any(LEFT_OUT_KEY in layer.metadata for layer in viewer.layers)


def marked(viewer, *, each):
    """Return labels on some pixels of all faces, or of two faces."""
    labels = np.zeros((30, 12, 10), np.uint8)
    labels[[4, 9], 2:6, 3:8] = 1
    return viewer.add_labels(labels if each else labels[4], name="marks")


@pytest.mark.parametrize(
    ("each", "told"),
    [
        (False, "without the 20 pixels of each that were left out (16.7 % of all)."),
        (True, "without 40 pixels of single faces that were left out (1.11 % of all)."),
    ],
)
def test_what_is_marked_is_left_out(viewer, stack, qtbot, each, told):
    marks = marked(viewer, each=each)
    made = FitSession(viewer, viewer.layers["orl"], SHORT, ShowOptions(), marks)
    assert run(qtbot, made).endswith(f"over all 30 faces, {told}")
    alone = fit(stack, SHORT, mask=np.asarray(marks.data))
    np.testing.assert_array_equal(made.model.components, alone.components)
    np.testing.assert_array_equal(made.model.weights, alone.weights)
    assert made.model.error == alone.error
    assert as_python(made.model) == as_python(alone)
    count = 40 if each else 30 * 20
    for layer in viewer.layers:
        if MODEL_KEY in layer.metadata:
            assert layer.metadata[LEFT_OUT_KEY] == (count, 30 * 120)


def test_wrong_input_ends_it_with_a_message_and_without_layers(viewer, qtbot, notes):
    marks = viewer.add_labels(np.zeros((12, 10), int), name="empty")
    bad = viewer.add_image(np.full((5, 8, 8), np.nan), name="bad", contrast_limits=(0, 1))
    before = list(viewer.layers)
    for faces, ignored, words in (
        (viewer.layers["orl"], marks, "Ignore: empty marks nothing"),
        (bad, None, "'face 0' (and 4 other faces) has NaN or infinite pixels"),
    ):
        made = FitSession(viewer, faces, SHORT, ShowOptions(), ignored)
        assert "failed: " + words in run(qtbot, made)
        [note] = notes
        assert note.startswith(f"error: {words}")
        notes.clear()
    assert list(viewer.layers) == before


def test_it_says_whether_an_error_is_that_of_a_sample(viewer, monkeypatch, qtbot):
    for name, value in (("_SAMPLE_FACES", 10), ("_SAMPLE_VALUES", 10)):
        monkeypatch.setattr(f"napari_latent_faces.solvers.multilevel.{name}", value)
    made = session(viewer, NMFParams(n_components=2, max_iter=40, tol=0))
    words = []
    monkeypatch.setattr(made, "take_step", lambda step: words.append(made.words(step)))
    told = run(qtbot, made)
    assert "of a sample of 10 faces" in words[0]
    assert "sample" not in words[-1]
    assert "over all 30 faces" in told


def test_the_parts_are_seen_while_they_form(viewer, qtbot):
    made = session(viewer, LONG)
    pictures = []
    gallery = "latent faces [orl]"
    made.stepped.connect(lambda _: pictures.append(viewer.layers[gallery].data.copy()))
    made.start()
    qtbot.waitUntil(
        lambda: any(not np.array_equal(pictures[0], each, equal_nan=True) for each in pictures)
    )
    made.cancel()


def test_stop_keeps_what_was_reached(viewer, qtbot):
    made = session(viewer, LONG)
    made.stepped.connect(lambda _: made.send("stop"))
    told = run(qtbot, made)
    assert told.startswith("Stopped and kept after")
    assert made.model.provenance.stop_reason == "stopped"
    assert [each for each in viewer.layers if MODEL_KEY in each.metadata][1:]


def test_cancel_drops_it(viewer, qtbot):
    made = session(viewer, LONG)
    made.stepped.connect(lambda _: made.cancel())
    assert run(qtbot, made) == "Cancelled; nothing was kept."
    assert [layer.name for layer in viewer.layers] == ["orl"]
    assert made.is_over
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)


def test_removing_the_faces_ends_their_fit(viewer, qtbot):
    made = session(viewer, LONG)
    made.stepped.connect(
        lambda _: viewer.layers.remove("orl") if "orl" in viewer.layers else None
    )
    assert "removed" in run(qtbot, made)
    assert not viewer.layers


def test_faces_that_change_under_the_fit_end_it_with_a_message(viewer, qtbot, notes):
    made = session(viewer, SHORT, residual=True)
    made.stepped.connect(lambda _: setattr(viewer.layers["orl"], "data", np.ones((5, 4, 4))))
    assert "failed" in run(qtbot, made)
    assert made.is_over
    assert "shape" in notes[0]


def test_two_viewers_fit_at_once_as_they_would_alone(viewer, stack, qtbot):
    other = ViewerModel()
    other.add_layer(Layer.create(*faces_layer(stack[:20], "orl")))
    sessions = [session(viewer, SHORT), session(other, SHORT)]
    for made in sessions:
        made.start()
    qtbot.waitUntil(lambda: all(made.model is not None for made in sessions))
    for made, faces in zip(sessions, (stack, stack[:20]), strict=True):
        np.testing.assert_array_equal(made.model.weights, fit(faces, SHORT).weights)


def test_an_abandoned_session_touches_nothing(viewer, qtbot):
    made = session(viewer, LONG)
    stepped = []
    made.stepped.connect(stepped.append)
    made.start()
    qtbot.waitUntil(lambda: bool(stepped))
    made.abandon()
    before = len(stepped), len(viewer.layers)
    end_all_work()
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)
    assert (len(stepped), len(viewer.layers)) == before
    made.send("stop")
    made.cancel()


def test_no_convergence_is_shown_with_what_to_do(viewer, qtbot, notes):
    run(qtbot, session(viewer, NMFParams(n_components=3, max_iter=3, tol=1e-9)))
    [note] = notes
    assert note.startswith("warning: Not converged after 3 iterations")
    assert "Raise max_iter" in note


def test_a_finished_session_is_let_go(viewer, qtbot):
    made = session(viewer, SHORT)
    run(qtbot, made)
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)
    gone = weakref.ref(made)
    del made
    gc.collect()
    assert gone() is None


def test_a_stack_in_colour_is_fitted_shown_mixed_encoded_and_mended(empty_viewer, stack, qtbot):
    tint = np.array([1.0, 0.8, 0.5])
    images = np.round(stack.images[..., None] * tint).astype(np.uint8)
    alpha = np.full((*images.shape[:3], 1), 255, np.uint8)
    viewer, faces = empty_viewer, FaceStack(images, stack.names)
    viewer.add_layer(Layer.create(*faces_layer(faces, "orl")))
    made = session(viewer, SHORT, residual=True)
    run(qtbot, made)
    np.testing.assert_array_equal(made.model.components, fit(faces, SHORT).components)
    rebuilt = viewer.layers["reconstruction [orl]"]
    assert (rebuilt.rgb, rebuilt.data.dtype) == (True, np.uint8)
    mixer = MixerWidget(viewer)
    qtbot.addWidget(mixer)
    mixer.start_from("face")
    np.testing.assert_array_equal(
        viewer.layers["mixed face [orl]"].data, rebuilt.data[mixer.session.face]
    )
    mixer.keep()
    session_of(viewer).follow_by("border")
    plain = viewer.layers["latent faces [orl]"].data.copy()
    session_of(viewer).select_component(1)
    assert (plain != viewer.layers["latent faces [orl]"].data).any()
    other = viewer.add_image(np.concatenate([images, alpha], -1), rgb=True, name="rgba")
    run(qtbot, EncodeJob(viewer, other, made.model))
    assert viewer.layers["encoded [rgba]"].rgb
    mask = add_mask(viewer, viewer.layers["orl"])
    mask.data[3:6, 4:8] = 1
    run(qtbot, MendJob(viewer, viewer.layers["orl"], made.model, mask))
    mended = np.asarray(viewer.layers["mended [orl]"].data)
    np.testing.assert_array_equal(mended[:, mask.data == 0], images[:, mask.data == 0])
    assert (mended[:, mask.data == 1] != images[:, mask.data == 1]).any()
    with pytest.raises(ValueError, match="colour=True"):
        EncodeJob(viewer, viewer.add_image(stack.images, name="grey"), made.model)
    assert overlaps(viewer) == []


def test_all_layers_have_the_units_of_the_faces(empty_viewer, stack, qtbot, notes):
    viewer = empty_viewer
    viewer.add_layer(Layer.create(*faces_layer(stack, "orl")))
    viewer.layers["orl"].units = ("pixel", "um", "um")
    run(qtbot, session(viewer, SHORT, residual=True))
    qtbot.waitUntil(lambda: "captions" in viewer.layers)
    assert {tuple(map(str, layer.units[-2:])) for layer in viewer.layers} == {
        ("micrometer", "micrometer")
    }
    assert not any("units" in note for note in notes)


# -- Encode job ------------------------------------------------------------------------


def roles(viewer):
    found = [layer.metadata.get(ROLE_KEY) for layer in viewer.layers]
    return [role for role in found if role != "captions"]


def test_an_encoding_is_that_of_a_script(viewer, stack, model, qtbot):
    job = EncodeJob(viewer, viewer.layers["orl"], model)
    steps = []
    job.stepped.connect(steps.append)
    told = run(qtbot, job)
    errors = model.errors(stack)
    assert f"30 faces, mean relative error {errors.mean():.4f}" in told
    assert steps[-1] == (30, 30)
    assert roles(viewer) == [None, "encoded", "encoded residual"]
    shown = viewer.layers["encoded [orl]"]
    np.testing.assert_array_equal(shown.metadata[MODEL_KEY].weights, model.encode(stack))
    assert not isinstance(shown.data, np.ndarray)
    low, high = viewer.layers["encoded residual [orl]"].contrast_limits
    assert low == -high
    focus = session_of(viewer)  # other panels find the encoded faces
    assert focus.model.components is model.components
    assert focus.model.provenance.encoded_from == "made/faces"
    assert focus.faces is viewer.layers["orl"]
    focus.go_to_face(17)
    assert focus.face == 17
    np.testing.assert_allclose(focus.model.weights[17], model.encode(stack.images[17]))


def test_a_later_fit_leaves_encoded_faces_alone_and_they_leave_its_layers(
    viewer, stack, model, qtbot
):
    faces = viewer.layers["orl"]
    run(qtbot, EncodeJob(viewer, faces, model))
    ResultLayers(viewer, faces, ShowOptions(residual=True)).show_model(model)
    assert sorted(filter(None, roles(viewer))) == [
        "encoded", "encoded residual", "gallery", "reconstruction", "residual",
    ]  # fmt: skip
    run(qtbot, EncodeJob(viewer, faces, model))
    assert len(roles(viewer)) == 6


def test_pictures_of_another_size_are_resized_with_a_note(viewer, model, qtbot):
    large = np.random.default_rng(0).integers(0, 256, (4, 24, 26), np.uint8)
    layer = viewer.add_image(large, name="large")
    told = run(qtbot, EncodeJob(viewer, layer, model))
    assert "Scaled from 26 x 24 to the model's 10 x 12 pixels, cut at the middle" in told
    assert viewer.layers["encoded [large]"].data.shape == (4, 12, 10)


@pytest.mark.parametrize("rgb", [False, True])
def test_a_single_picture_is_seen_wherever_the_slider_is(viewer, model, qtbot, rgb):
    pixels = np.full((30, 20, 3) if rgb else (30, 20), 90, np.uint8)
    layer = viewer.add_image(pixels, rgb=rgb, name="me")
    told = run(qtbot, EncodeJob(viewer, layer, model))
    assert told.startswith("Relative error 0.")
    assert ("luminance" in told) == rgb
    shown = viewer.layers["encoded [me]"]
    assert shown.data.shape == (12, 10)
    viewer.dims.set_point(0, 22)
    focus = session_of(viewer)
    assert (focus.face, focus.model.provenance.names) == (0, ("me",))


def test_what_is_wrong_is_shown(viewer, model, qtbot, notes):
    bad = viewer.add_image(np.full((3, 12, 10), -1.0), name="bad", contrast_limits=(0, 1))
    assert "failed" in run(qtbot, EncodeJob(viewer, bad, model))
    assert len(notes) == 1
    assert "negative" in notes[0]
    with pytest.raises(ValueError, match="A picture"):
        EncodeJob(viewer, viewer.add_image(np.zeros((2, 3, 4, 4))), model)


# -- Mend job --------------------------------------------------------------------------


@pytest.fixture
def faces(viewer):
    return viewer.layers["orl"]


@pytest.fixture
def box():
    mask = np.zeros((12, 10), np.uint8)
    mask[3:6, 2:8] = 1
    return mask


def changed(viewer, stack):
    """Return which faces are shown mended."""
    mended = np.asarray(viewer.layers["mended [orl]"].data)
    return np.flatnonzero((mended != stack.images).any(axis=(1, 2))).tolist()


def test_a_mending_is_that_of_a_script(viewer, faces, stack, model, box, qtbot):
    labels = viewer.add_labels(box)
    told = run(qtbot, MendJob(viewer, faces, model, labels))
    assert told == "30 faces are mended. Ctrl+Z on the canvas takes that back."
    shown = viewer.layers["mended [orl]"]
    np.testing.assert_array_equal(np.asarray(shown.data), model.mend(stack, box))
    assert (shown.metadata[ROLE_KEY], shown.metadata["names"]) == ("mended", stack.names)
    assert tuple(shown.contrast_limits) == (0, 255)


def test_this_face_only_and_then_another(viewer, faces, stack, model, box, qtbot):
    labels = viewer.add_labels(box)
    for face, expected in ((7, [7]), (3, [3, 7]), (7, [3, 7]), (5, [3, 5, 7])):
        told = run(qtbot, MendJob(viewer, faces, model, labels, face))
        assert told.startswith("1 face is mended")
        assert changed(viewer, stack) == expected
    session_of(viewer).undo()
    assert changed(viewer, stack) == [3, 7]
    viewer.layers.remove("mended [orl]")
    run(qtbot, MendJob(viewer, faces, model, labels, 5))
    assert changed(viewer, stack) == [5]


def test_each_face_has_marks_of_its_own(viewer, faces, stack, model, box, qtbot):
    masks = np.zeros(stack.shape, np.uint8)
    masks[4], masks[20] = box, np.roll(box, 5, axis=0)
    labels = viewer.add_labels(masks)
    told = run(qtbot, MendJob(viewer, faces, model, labels))
    assert told.startswith("2 faces are mended")
    assert changed(viewer, stack) == [4, 20]
    np.testing.assert_array_equal(
        viewer.layers["mended [orl]"].data[20], model.mend(stack.images[20], masks[20])
    )


@pytest.mark.parametrize("face", [None, 2])
def test_an_empty_mask_is_told(viewer, faces, stack, model, box, qtbot, face, notes):
    masks = np.zeros(stack.shape, np.uint8)
    if face is not None:
        masks[9] = box  # of another face
    labels = viewer.add_labels(masks, name="my mask")
    assert "failed" in run(qtbot, MendJob(viewer, faces, model, labels, face))
    [note] = notes
    assert "my mask marks nothing of" in note
    assert ("these faces" if face is None else "s1/3.png") in note
    assert "mended [orl]" not in viewer.layers


def test_faces_of_another_size_are_refused(viewer, model, box):
    large = viewer.add_image(np.zeros((4, 24, 20)))
    with pytest.raises(ValueError, match=r"read them with size=\(12, 10\)"):
        MendJob(viewer, large, model, viewer.add_labels(box))


def test_a_mask_that_hides_a_component_is_told(viewer, faces, model, qtbot, notes):
    labels = viewer.add_labels(np.ones((12, 10), np.uint8))
    labels.data[0, :2] = 0
    run(qtbot, MendJob(viewer, faces, model, labels))
    assert "warning: The mask leaves 's1/1.png' and 29 other faces fewer visible" in notes[0]


def test_a_single_picture(viewer, stack, model, box, qtbot):
    picture = viewer.add_image(stack.images[3], name="me")
    run(qtbot, MendJob(viewer, picture, model, viewer.add_labels(box)))
    shown = viewer.layers["mended [me]"]
    np.testing.assert_array_equal(shown.data, model.mend(stack.images[3], box))


def test_mending_changes_neither_focus_nor_fit(viewer, faces, model, box, qtbot):
    results = ResultLayers(viewer, faces, ShowOptions())
    results.show_model(model)
    run(qtbot, MendJob(viewer, faces, model, viewer.add_labels(box)))
    assert session_of(viewer).model is model
    lefts = [each.data_to_world((0, 0, 0))[-1] for each in viewer.layers if each.ndim == 3]
    assert len(set(lefts)) == 3
    ResultLayers(viewer, faces, ShowOptions()).show_model(model)
    assert "mended [orl]" in viewer.layers
