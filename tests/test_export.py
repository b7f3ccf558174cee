from __future__ import annotations

import contextlib
import io
import math
import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces.export import FIT, as_python, export_model, iter_export, save_table
from napari_latent_faces.files import CONTENTS, check_folder
from napari_latent_faces.fitting import fit, iter_fit
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.params import METHODS, NMFParams, PCAParams
from napari_latent_faces.reading import read_faces
from napari_latent_faces.samples import read_lfw_subset, sample_faces
from napari_latent_faces.viewer.layers import faces_layer, layer_stack
from tests.helpers import consume, rows_in


def files(folder: Path) -> dict[str, bytes | None]:
    """Return everything below a folder, hidden files too; folders have no content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def with_components(model: LatentFaces, components: np.ndarray) -> LatentFaces:
    weights = np.ones((len(model.weights), len(components)))
    return replace(model, components=components, weights=weights)


def without_names(model: LatentFaces) -> LatentFaces:
    return replace(model, provenance=replace(model.provenance, names=(), subjects=None))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def smaller(stack):
    """Return another model of the same faces, with two components."""
    return fit(stack, n_components=2, max_iter=20, tol=0)


class TestFiles:
    def test_are_the_model_its_weights_and_its_components_in_8_bits(self, model, out):
        components = model.components.copy()
        components[1] = 0
        model = replace(model, components=components)
        assert export_model(model, out) == out
        pictures = [f"components/{i:02}.png" for i in range(3)]
        assert sorted(files(out)) == sorted(
            [CONTENTS, "components", "components.png", *pictures, "model.npz", "weights.csv"]
        )
        back = LatentFaces.load(out / "model.npz")
        np.testing.assert_array_equal(back.components, components)
        np.testing.assert_array_equal(back.weights, model.weights)
        for name, component in zip(pictures, components, strict=True):
            with Image.open(out / name) as picture:
                assert picture.mode == "L"
                pixels = np.asarray(picture)
            assert pixels.max() == 255 * component.max()
            assert np.abs(pixels - 255.0 * component).max() <= 0.5 + 1e-4

    @pytest.mark.parametrize(
        ("k", "first", "last"), [(1, "00", "00"), (100, "00", "99"), (101, "000", "100")]
    )
    def test_numbers_have_as_many_digits_as_needed(self, model, out, k, first, last):
        export_model(with_components(model, np.ones((k, 3, 2))), out)
        names = sorted(path.name for path in (out / "components").iterdir())
        assert len(names) == k
        assert (names[0], names[-1]) == (f"{first}.png", f"{last}.png")
        assert rows_in(out / "weights.csv")[0][-1] == f"component_{last}"

    @pytest.mark.parametrize(("k", "columns"), [(1, 1), (4, 2), (7, 3), (20, 5), (49, 7)])
    def test_contact_sheet_shows_all_in_order(self, model, out, k, columns):
        components = np.ones((k, 112, 92)) * (1 + np.arange(k)).reshape(-1, 1, 1) / k
        components[:, 0, 0] = 1
        export_model(with_components(model, components), out)
        sheet = np.asarray(Image.open(out / "components.png"))
        gap = 4
        rows = math.ceil(k / columns)
        assert sheet.shape == (rows * (112 + gap) - gap, columns * (92 + gap) - gap)
        middles = sheet[56 :: 112 + gap, 46 :: 92 + gap].ravel()[:k]
        assert (np.diff(middles.astype(int)) > 0).all()
        assert middles[-1] == 255

        for size in [(1, 200), (200, 1), (1, 1)]:
            export_model(with_components(model, np.ones((5, *size))), out, force=True)
            with Image.open(out / "components.png") as picture:
                assert min(picture.size) >= 1

    def test_weights_read_back_are_exactly_the_weights(self, model, out):
        assert model.weights.dtype == np.float32
        export_model(model, out)
        head, *rows = rows_in(out / "weights.csv")
        assert head == ["name", "subject", "component_00", "component_01", "component_02"]
        assert tuple(row[0] for row in rows) == model.provenance.names
        assert tuple(row[1] for row in rows) == model.provenance.subjects
        found = np.array([row[2:] for row in rows], float)
        np.testing.assert_array_equal(found, model.weights)
        export_model(without_names(model), out, force=True)
        head, first, *_ = rows_in(out / "weights.csv")
        assert head[:2] == ["name", "component_00"]
        assert (first[0], len(first)) == ("face 0", 4)


class TestPlace:
    def test_a_folder_with_files_is_refused_and_force_is_no_advice(self, model, out):
        out.mkdir()
        (out / "notes.txt").write_text("mine")
        for force in (False, True):
            with pytest.raises(FileExistsError, match="other files: choose another") as error:
                export_model(model, out, force=force)
            assert "--force" not in str(error.value)
        assert files(out) == {"notes.txt": b"mine"}

    def test_an_empty_folder_is_filled_also_behind_a_link(self, model, out):
        store = out.with_name("store")
        store.mkdir()
        out.symlink_to(store)
        umask = os.umask(0o022)
        try:
            export_model(model, out)
        finally:
            os.umask(umask)
        assert out.is_symlink()
        assert (store / "model.npz").is_file()
        for path in (store, *store.rglob("*")):  # others may read it
            assert path.stat().st_mode & 0o044 == 0o044

    def test_a_missing_parent_is_not_made_and_a_file_never_replaced(
        self, model, out, monkeypatch
    ):
        monkeypatch.chdir(out.parent)
        for name in ("here", "été 1", "." + 60 * "面", "here/in it/"):  # relative and unusual
            export_model(model, name)
            assert Path(name, "model.npz").is_file()
        with pytest.raises(FileNotFoundError, match=r"no folder .*out: make it first"):
            export_model(model, out / "deep")
        assert not out.exists()
        out.write_text("mine")
        with pytest.raises(FileExistsError, match="not a folder"):
            export_model(model, out, force=True)
        assert out.read_text() == "mine"

    @pytest.mark.parametrize("force", [False, True])
    def test_a_folder_that_cannot_be_written_to_is_found_before(self, out, monkeypatch, force):
        if force:
            out.mkdir()
        monkeypatch.setattr(os, "access", lambda *_: False)
        with pytest.raises(PermissionError, match="may not be written to"):
            check_folder(out, FIT, force=force)
        monkeypatch.undo()
        check_folder(out, FIT)
        assert out.exists() == force


class TestForce:
    def test_replaces_an_earlier_export_completely(self, model, smaller, out):
        export_model(model, out)
        with pytest.raises(FileExistsError, match=r"earlier results.*--force"):
            export_model(model, out)
        export_model(smaller, out, force=True)
        fresh = out.with_name("fresh")
        export_model(smaller, fresh)
        assert files(out) == files(fresh)

    @pytest.mark.parametrize(
        ("name", "contents", "words"),
        [
            ("notes.txt", b"mine", "holds notes.txt, which was not written"),
            ("components/.DS_Store", b"mine", "holds components/.DS_Store, which was not"),
            ("mine/weights.csv", b"mine", "holds mine/weights.csv, which was not written"),
            ("weights.csv", b"mine", "weights.csv, which .* or was changed"),
            ("components/00.png", b"mine", "components/00.png, which .* or was changed"),
            ("model.npz", b"mine", "model.npz, which .* or was changed"),
            ("weights.csv", None, "weights.csv, which .* or was changed"),
            *((CONTENTS, bad, "other files") for bad in (b"", b"{", b"[1]", b'{"a": 1}')),
            (CONTENTS, b"[" * 100_000, "other files"),
        ],
    )
    def test_refuses_whatever_is_not_ours(self, model, out, name, contents, words):
        export_model(model, out)
        (out / name).parent.mkdir(exist_ok=True)
        if contents is None:  # what was written, behind a link
            mine = (out / name).rename(out.with_name("mine"))
            (out / name).symlink_to(mine)
        else:
            (out / name).write_bytes(contents)
        before = files(out)
        with pytest.raises(FileExistsError, match=words):
            export_model(model, out, force=True)
        assert files(out) == before


@pytest.mark.parametrize("exists", [False, True])
class TestFailure:
    @pytest.mark.parametrize("after", [1, 2, 3])
    def test_closed_steps_leave_all_as_it_was(self, model, smaller, out, after, exists):
        if exists:
            export_model(model, out)
        before = files(out.parent)
        steps = iter_export(smaller, out, force=True)
        for _ in range(after):
            next(steps)
        steps.close()
        assert files(out.parent) == before

    @pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
    def test_while_writing_leaves_all_as_it_was(
        self, model, smaller, out, monkeypatch, error, exists
    ):
        if exists:
            export_model(smaller, out)
        before = files(out.parent)

        def fail(*_args, **_kwargs):
            raise error

        monkeypatch.setattr(Image.Image, "save", fail)
        with pytest.raises(type(error)):
            export_model(model, out, force=True)
        assert files(out.parent) == before

    def test_while_moving_leaves_all_as_it_was(self, model, smaller, out, monkeypatch, exists):
        """An interrupt strikes just before or, but for the last, after any of the moves."""
        if exists:
            export_model(smaller, out)
        before = files(out)
        rename = Path.rename
        for strike in range(1 + 2 * exists):
            calls = iter(range(1000))

            def striking(path, target, calls=calls, strike=strike):
                if next(calls) == strike // 2:
                    if strike % 2:
                        rename(path, target)
                    raise KeyboardInterrupt
                return rename(path, target)

            monkeypatch.setattr(Path, "rename", striking)
            with pytest.raises(KeyboardInterrupt):
                export_model(model, out, force=True)
            assert files(out) == before
            monkeypatch.undo()
        assert [path.name for path in out.parent.iterdir()] == ["out"] * exists


def test_zero_is_grey_and_the_mean_face_is_a_picture(stack, model, out):
    pca = fit(stack, PCAParams(n_components=3))
    export_model(pca, out)
    for i, component in enumerate(pca.components):
        pixels = np.asarray(Image.open(out / f"components/{i:02}.png")).astype(float)
        assert pixels.max() == 255
        np.testing.assert_allclose(pixels, 128 + 127.5 * component, atol=1.1)
    mean = np.asarray(Image.open(out / "mean.png"))
    np.testing.assert_allclose(mean, stack.images.mean(axis=0), atol=1)
    export_model(model, out, force=True)
    assert not (out / "mean.png").exists()


# -- Script ----------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return what runs the script of a model, in a folder of its own, and tells its names."""
    monkeypatch.chdir(tmp_path)

    def run(model):
        names, printed = {}, io.StringIO()
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            exec(compile(as_python(model), "script", "exec"), names)
        assert printed.getvalue().strip() == repr(names["model"].error)
        return names

    return run


def assert_same(one, other):
    np.testing.assert_array_equal(one.components, other.components)
    np.testing.assert_array_equal(one.weights, other.weights)
    assert one.error == other.error


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_running_it_gives_the_same_model(method, faces_folder, tmp_path, run):
    changes = {} if method == "pca" else {"max_iter": 7, "tol": 0.01}
    params = METHODS[method](n_components=4, random_state=3, **changes)
    model = fit(read_faces(faces_folder, size=(10, 9), channel="red"), params)
    assert_same(run(model)["model"], model)
    loaded = LatentFaces.load(tmp_path / "model.npz")
    assert_same(loaded, model)
    assert as_python(loaded) == as_python(model)
    assert "size=(10, 9)" in as_python(model)


def test_samples_are_read_again(run):
    for faces in (sample_faces(3, 2, shape=(28, 23)), read_lfw_subset()):
        model = fit(faces, n_components=3, max_iter=5, tol=0)
        assert_same(run(model)["model"], model)
    some = fit(sample_faces(3, 2)[1:], n_components=2, max_iter=5, tol=0)
    assert "faces = ..." in as_python(some)  # not all pictures of each


@pytest.mark.parametrize("solver", ["multilevel", "cd"])
def test_a_fit_that_was_stopped_stops_again(solver, faces_folder, run):
    params = NMFParams(n_components=3, max_iter=500, tol=0, solver=solver)
    steps = iter_fit(read_faces(faces_folder), params)
    _, model = consume(steps, lambda step: step.iteration >= 20)
    assert model.provenance.stop_reason == "stopped"
    again = run(model)["model"]
    if again.provenance.n_iter == model.provenance.n_iter:
        assert_same(again, model)
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
    which, faces_folder, tmp_path, run, monkeypatch
):
    faces = read_faces(faces_folder)
    mask = masks(faces.shape)[which]
    model = fit(faces, n_components=3, mask=mask, max_iter=40, tol=0)
    names = run(model)
    np.testing.assert_array_equal(names["mask"], mask)
    assert_same(names["model"], model)
    assert model.error != fit(faces, n_components=3, max_iter=40, tol=0).error
    loaded = LatentFaces.load(tmp_path / "model.npz")
    assert as_python(loaded) == as_python(model)
    left_out = mask.sum() * (30 if which == "common" else 1)
    assert loaded.left_out == (left_out, faces.images.size)
    assert (model.encoded(faces).left_out[0] == 0) == (which == "each")
    # as that of a mask without end is
    monkeypatch.setattr("napari_latent_faces.model.mask_to_text", lambda _mask: "x" * 2**21)
    mask = masks(faces.shape)["each"]
    code = as_python(fit(faces, n_components=3, mask=mask, max_iter=9, tol=0))
    assert f"{mask.sum()} of {mask.size} pixels" in code
    assert f"a mask of shape {mask.shape} that has to be put in" in code
    assert "mask = ...\n" in code
    assert "fit(faces, params, mask=mask)" in code
    assert "mask_from_text" not in code


def test_a_layer_remembers_how_it_was_read_and_other_faces_are_asked_for(stack, faces_folder):
    data, kwargs, _ = faces_layer(read_faces(faces_folder, size=8), "faces")
    known = fit(layer_stack(data, kwargs["metadata"]), n_components=2, max_iter=3, tol=0)
    assert f"faces = read_faces({str(faces_folder)!r}, size=8)" in as_python(known)
    for some in (stack, stack.images, read_faces(faces_folder)[3:20]):
        code = as_python(fit(some, n_components=2, max_iter=3, tol=0))
        assert "read_faces" not in code
        assert f"# {len(some)} pictures of 10 x 12 pixels" in code
        assert "type uint8" in code
        assert "faces = ..." in code


def test_odd_names_are_quoted_and_line_breaks_stay_in_comments(model):
    origin = replace(
        model.provenance,
        source="it's\n#\"\nimport nothing",
        reading={"subjects": "(\\d)'\""},
        missing='"); import nothing\n("',
        n_missing=1,
    )
    code = as_python(replace(model, provenance=origin))
    for text in (origin.source, origin.reading["subjects"], origin.missing):
        assert repr(text) in code
    compile(code, "script", "exec")
    as_comment = as_python(replace(model, provenance=replace(origin, reading=None)))
    for each in (code, as_comment):
        assert "import nothing" in each
        assert not any(line.lstrip().startswith("import noth") for line in each.splitlines())


# -- Tables ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *(
            (formula, f"'{formula}")
            for formula in ("=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx")
        ),
        *(
            (text, text)
            for text in ("s1/1.pgm", "", "'=", 'the "one", b', "é/面.png", "two\nlines")
        ),
        ("\udcff.png", r"\udcff.png"),
    ],
)
def test_texts_of_any_kind_stay_in_their_cell_and_are_no_formulas(text, found, tmp_path):
    path = tmp_path / "table.csv"
    numbers = [[-0.5], [2], [3.0]]
    save_table(path, ["weight"], numbers, {"name": [text, "a", text], "none": None})
    assert rows_in(path) == [["name", "weight"], [found, "-0.5"], ["a", "2"], [found, "3.0"]]
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") == (not text.isascii())
