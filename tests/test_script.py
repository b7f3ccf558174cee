from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import replace

import numpy as np
import pytest

from napari_latent_faces.export import as_python
from napari_latent_faces.fitting import fit, iter_fit
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.params import METHODS, NMFParams, params_of
from napari_latent_faces.reading import read_faces
from napari_latent_faces.samples import read_lfw_subset, sample_faces
from napari_latent_faces.viewer.layers import faces_layer, layer_stack


def run(code, monkeypatch, folder):
    """Run a script in a folder; return its names and what it printed."""
    monkeypatch.chdir(folder)
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        exec(compile(code, "script", "exec"), names)
    return names, printed.getvalue()


def assert_same(one, other):
    np.testing.assert_array_equal(one.components, other.components)
    np.testing.assert_array_equal(one.weights, other.weights)
    assert one.error == other.error


@pytest.mark.parametrize("method", METHODS)
def test_running_it_gives_the_same_model(method, faces_folder, tmp_path, monkeypatch):
    changes = {} if method == "pca" else {"max_iter": 7, "tol": 0.01}
    params = params_of(method, n_components=4, random_state=3, **changes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model = fit(read_faces(faces_folder, size=(10, 9), channel="red"), params)
    names, printed = run(as_python(model), monkeypatch, tmp_path)
    assert_same(names["model"], model)
    assert printed.strip() == repr(model.error)
    assert_same(LatentFaces.load(tmp_path / "model.npz"), model)


def test_samples_are_read_again(tmp_path, monkeypatch):
    for faces in (sample_faces(3, 2, shape=(28, 23)), read_lfw_subset()):
        model = fit(faces, n_components=3, max_iter=5, tol=0)
        names, _ = run(as_python(model), monkeypatch, tmp_path)
        assert_same(names["model"], model)
    some = fit(sample_faces(3, 2)[1:], n_components=2, max_iter=5, tol=0)
    assert "faces = ..." in as_python(some)  # not all pictures of each


def test_a_model_from_its_file_gives_the_same_script(faces_folder, tmp_path):
    model = fit(read_faces(faces_folder, size=(10, 9)), n_components=3, max_iter=5, tol=0)
    model.save(tmp_path / "m.npz")
    assert as_python(LatentFaces.load(tmp_path / "m.npz")) == as_python(model)
    assert "size=(10, 9)" in as_python(model)


@pytest.mark.parametrize("solver", ["multilevel", "cd"])
def test_a_fit_that_was_stopped_stops_again(solver, faces_folder, tmp_path, monkeypatch):
    params = NMFParams(n_components=3, max_iter=500, tol=0, solver=solver)
    steps, answer, model = iter_fit(read_faces(faces_folder), params), None, None
    while model is None:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            model = end.value
        else:
            answer = "stop" if step.iteration >= 20 else None
    assert model.provenance.stop_reason == "stopped"
    names, _ = run(as_python(model), monkeypatch, tmp_path)
    if names["model"].provenance.n_iter == model.provenance.n_iter:
        assert_same(names["model"], model)
    else:  # scikit-learn's solvers take several iterations at a time, by the clock
        assert solver == "cd"


def masks(shape):
    """Return a mask for all faces, and one for each."""
    common, each = np.zeros(shape[1:], bool), np.zeros(shape, bool)
    common[:3] = True
    each[::4, 5:9, 2:6] = True
    return {"common": common, "each": each}


@pytest.mark.parametrize("which", ["common", "each"])
def test_a_fit_that_left_pixels_out_leaves_them_out_again(
    which, faces_folder, tmp_path, monkeypatch
):
    faces = read_faces(faces_folder)
    mask = masks(faces.shape)[which]
    model = fit(faces, n_components=3, mask=mask, max_iter=40, tol=0)
    names, _ = run(as_python(model), monkeypatch, tmp_path)
    np.testing.assert_array_equal(names["mask"], mask)
    assert_same(names["model"], model)
    assert model.error != fit(faces, n_components=3, max_iter=40, tol=0).error
    loaded = LatentFaces.load(tmp_path / "model.npz")
    assert as_python(loaded) == as_python(model)
    left_out = mask.sum() * (30 if which == "common" else 1)
    assert loaded.left_out == (left_out, faces.images.size)


def test_a_mask_without_end_is_asked_for(faces_folder, monkeypatch):
    monkeypatch.setattr("napari_latent_faces.model._LONGEST", 10)
    faces = read_faces(faces_folder)
    mask = masks(faces.shape)["each"]
    model = fit(faces, n_components=3, mask=mask, max_iter=9, tol=0)
    code = as_python(model)
    assert f"{mask.sum()} of {mask.size} pixels" in code
    assert f"a mask of shape {mask.shape} that has to be put in" in code
    assert "mask = ...\n" in code
    assert "fit(faces, params, mask=mask)" in code
    assert "mask_from_text" not in code


def test_the_text_of_a_mask_from_a_strange_file_stays_a_text(model):
    text = '"); import nothing\n("'
    code = as_python(
        replace(model, provenance=replace(model.provenance, missing=text, n_missing=1))
    )
    assert repr(text) in code
    assert not any(line.lstrip().startswith("import nothing") for line in code.splitlines())


def test_the_mask_of_a_fit_is_not_that_of_other_faces(stack):
    mask = masks(stack.shape)["each"]
    model = fit(stack, n_components=3, mask=mask, max_iter=9, tol=0)
    assert model.encoded(stack[:5]).left_out[0] == 0


def test_a_layer_remembers_how_it_was_read(faces_folder):
    stack = read_faces(faces_folder, size=8)
    data, kwargs, _ = faces_layer(stack, "faces")
    model = fit(layer_stack(data, kwargs["metadata"]), n_components=2, max_iter=3, tol=0)
    assert f"faces = read_faces({str(faces_folder)!r}, size=8)" in as_python(model)


def test_other_faces_are_asked_for(stack, faces_folder):
    for some in (stack, stack.images, read_faces(faces_folder)[3:20]):
        code = as_python(fit(some, n_components=2, max_iter=3, tol=0))
        assert "read_faces" not in code
        assert f"# {len(some)} grey pictures of 10 x 12 pixels" in code
        assert "type uint8" in code
        assert "faces = ..." in code


def test_odd_names_are_quoted(model):
    origin = replace(model.provenance, source="it's\n#\"", reading={"subjects": "(\\d)'\""})
    code = as_python(replace(model, provenance=origin))
    compile(code, "script", "exec")
    assert repr(origin.source) in code
    assert repr(origin.reading["subjects"]) in code


def test_a_source_with_a_line_break_stays_a_comment(model):
    origin = replace(model.provenance, source="a\nimport nothing")
    code = as_python(replace(model, provenance=origin))
    assert "import nothing" in code
    assert not any(line.startswith("import nothing") for line in code.splitlines())
