from __future__ import annotations

import csv
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces.export import check_export, export_model, iter_export
from napari_latent_faces.files import CONTENTS
from napari_latent_faces.fitting import fit
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.params import PCAParams


def files(folder: Path) -> dict[str, bytes]:
    """Return everything below a folder, hidden files too; empty folders end with a slash."""
    found = {}
    for root, folders, names in os.walk(folder):
        place = Path(root)
        for name in names:
            found[str((place / name).relative_to(folder))] = (place / name).read_bytes()
        if not names and not folders:
            found[f"{place.relative_to(folder)}/"] = b""
    return found


def table(folder: Path) -> list[list[str]]:
    with (folder / "weights.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def with_components(model: LatentFaces, components: np.ndarray) -> LatentFaces:
    return replace(
        model, components=components, weights=np.ones((len(model.weights), len(components)))
    )


def with_names(model: LatentFaces, names: tuple[str, ...], subjects=None) -> LatentFaces:
    return replace(model, provenance=replace(model.provenance, names=names, subjects=subjects))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def smaller(stack):
    """Return another model of the same faces, with two components."""
    return fit(stack, n_components=2, max_iter=20, tol=0)


class TestSteps:
    def test_tell_how_much_is_written(self, model, out):
        steps = list(iter_export(model, out))
        total = model.n_components + len(model.weights)
        assert {of for _, of in steps} == {total}
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)
        assert steps[0][0] == 0
        assert steps[-1][0] < total
        assert LatentFaces.load(out / "model.npz").error == model.error

    @pytest.mark.parametrize("after", [1, 2, 4])
    def test_closed_leave_nothing(self, model, out, after):
        steps = iter_export(model, out)
        for _ in range(after):
            next(steps)
        steps.close()
        assert list(out.parent.iterdir()) == []

    def test_closed_leave_an_earlier_export_as_it_was(self, model, smaller, out):
        export_model(model, out)
        before = files(out)
        steps = iter_export(smaller, out, force=True)
        for _ in range(3):
            next(steps)
        steps.close()
        assert files(out) == before


class TestFiles:
    def test_are_these(self, model, out):
        assert export_model(model, out) == out
        pictures = [f"components/{i:02}.png" for i in range(3)]
        assert sorted(files(out)) == sorted(
            [CONTENTS, "components.png", *pictures, "model.npz", "weights.csv"]
        )

    def test_model_is_the_model(self, model, out):
        export_model(model, out)
        back = LatentFaces.load(out / "model.npz")
        np.testing.assert_array_equal(back.components, model.components)
        np.testing.assert_array_equal(back.weights, model.weights)

    def test_pictures_are_the_components_in_8_bits(self, model, out):
        export_model(model, out)
        for i, component in enumerate(model.components):
            with Image.open(out / f"components/{i:02}.png") as picture:
                assert picture.mode == "L"
                pixels = np.asarray(picture)
            assert pixels.max() == 255
            assert np.abs(pixels - 255.0 * component).max() <= 0.5 + 1e-4

    def test_a_component_of_zeros_is_black(self, model, out):
        components = model.components.copy()
        components[1] = 0
        export_model(replace(model, components=components), out)
        assert not np.asarray(Image.open(out / "components/01.png")).any()

    @pytest.mark.parametrize(
        ("k", "first", "last"), [(1, "00", "00"), (100, "00", "99"), (101, "000", "100")]
    )
    def test_numbers_have_as_many_digits_as_needed(self, model, out, k, first, last):
        export_model(with_components(model, np.ones((k, 3, 2))), out)
        names = sorted(path.name for path in (out / "components").iterdir())
        assert len(names) == k
        assert (names[0], names[-1]) == (f"{first}.png", f"{last}.png")
        assert table(out)[0][-1] == f"component_{last}"

    @pytest.mark.parametrize(("k", "columns"), [(1, 1), (4, 2), (7, 4), (20, 5), (49, 7)])
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

    @pytest.mark.parametrize("size", [(1, 200), (200, 1), (1, 1)])
    def test_pictures_of_any_shape_make_a_sheet(self, model, out, size):
        export_model(with_components(model, np.ones((5, *size))), out)
        with Image.open(out / "components.png") as sheet:
            assert min(sheet.size) >= 1


class TestWeights:
    def test_read_back_are_exactly_the_weights(self, model, out):
        assert model.weights.dtype == np.float32
        export_model(model, out)
        head, *rows = table(out)
        assert head == ["name", "subject", "component_00", "component_01", "component_02"]
        assert tuple(row[0] for row in rows) == model.provenance.names
        assert tuple(row[1] for row in rows) == model.provenance.subjects
        np.testing.assert_array_equal(
            [list(map(float, row[2:])) for row in rows], model.weights
        )

    def test_without_subjects_have_no_such_column(self, model, out):
        export_model(with_names(model, model.provenance.names), out)
        head, first, *_ = table(out)
        assert head[:2] == ["name", "component_00"]
        assert len(first) == 4

    def test_without_names_number_the_faces(self, model, out):
        export_model(with_names(model, ()), out)
        assert [row[0] for row in table(out)[1:3]] == ["face 0", "face 1"]

    def test_names_of_any_kind_stay_in_their_cell(self, model, out):
        odd = ("a,b.png", 'the "one".png', "two\nlines", "back\rto", "é/面 1.jpg", "'", "")
        names = (*odd, *map(str, range(30 - len(odd))))
        export_model(with_names(model, names, names), out)
        rows = table(out)[1:]
        escaped = tuple(name.replace("\n", r"\n").replace("\r", r"\r") for name in names)
        assert tuple(row[0] for row in rows) == escaped
        assert tuple(row[1] for row in rows) == escaped

    def test_a_name_that_is_no_text_is_escaped(self, model, out):
        export_model(with_names(model, ("\udcff.png", *map(str, range(29)))), out)
        assert table(out)[1][0] == r"\udcff.png"


class TestPlace:
    def test_a_folder_with_files_is_refused_and_force_is_no_advice(self, model, out):
        out.mkdir()
        (out / "notes.txt").write_text("mine")
        for force in (False, True):
            with pytest.raises(FileExistsError, match="other files: choose another") as error:
                export_model(model, out, force=force)
            assert "--force" not in str(error.value)
        assert files(out) == {"notes.txt": b"mine"}

    def test_an_empty_folder_is_filled(self, model, out):
        out.mkdir()
        export_model(model, out)
        assert (out / "model.npz").is_file()

    def test_a_link_stays_and_its_folder_is_written(self, model, out):
        store = out.with_name("store")
        out.symlink_to(store)
        export_model(model, out)
        assert out.is_symlink()
        assert (store / "model.npz").is_file()

    def test_a_missing_parent_is_not_made(self, model, out):
        with pytest.raises(FileNotFoundError, match=r"no folder .*out to write deep into"):
            export_model(model, out / "deep")
        assert not out.exists()

    def test_a_file_is_never_replaced(self, model, out):
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
            check_export(out, force=force)

    def test_a_good_place_is_left_as_it_is(self, out):
        check_export(out)
        assert not list(out.parent.iterdir())

    def test_relative_and_unusual_names_work(self, model, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for name in ("here", "été 1", "." + 60 * "面", "here/in it/"):
            export_model(model, name)
            assert (tmp_path / name / "model.npz").is_file()

    def test_others_may_read_what_is_written(self, model, out):
        umask = os.umask(0o022)
        try:
            export_model(model, out)
        finally:
            os.umask(umask)
        for path in (out, *out.rglob("*")):
            assert path.stat().st_mode & 0o044 == 0o044


class TestForce:
    def test_makes_a_new_folder_too(self, model, out):
        export_model(model, out, force=True)
        assert (out / "weights.csv").is_file()

    def test_replaces_an_earlier_export_completely(self, model, smaller, out):
        export_model(model, out)
        export_model(smaller, out, force=True)
        fresh = out.with_name("fresh")
        export_model(smaller, fresh)
        assert files(out) == files(fresh)

    def test_is_needed_for_earlier_results(self, model, out):
        export_model(model, out)
        with pytest.raises(FileExistsError, match=r"earlier results.*--force"):
            export_model(model, out)

    @pytest.mark.parametrize(
        "name", ["notes.txt", "components/.DS_Store", "components/07.png", "mine/weights.csv"]
    )
    def test_refuses_what_lies_beside_the_results(self, model, out, name):
        export_model(model, out)
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(b"mine")
        before = files(out)
        with pytest.raises(FileExistsError, match=f"holds {name}, which was not written"):
            export_model(model, out, force=True)
        assert files(out) == before

    @pytest.mark.parametrize("name", ["weights.csv", "components/00.png", "model.npz"])
    def test_refuses_results_that_were_changed(self, model, out, name):
        export_model(model, out)
        (out / name).write_bytes(b"mine")
        before = files(out)
        with pytest.raises(FileExistsError, match=f"{name} was changed"):
            export_model(model, out, force=True)
        assert files(out) == before

    @pytest.mark.parametrize("contents", [b"", b"{", b"[1]", b"[" * 100_000, b'{"a": 1}'])
    def test_refuses_a_folder_whose_list_is_not_ours(self, model, out, contents):
        export_model(model, out)
        (out / CONTENTS).write_bytes(contents)
        before = files(out)
        with pytest.raises(FileExistsError, match="other files"):
            export_model(model, out, force=True)
        assert files(out) == before

    def test_refuses_links_among_the_results(self, model, out):
        export_model(model, out)
        mine = out.with_name("mine.csv")
        (out / "weights.csv").rename(mine)
        (out / "weights.csv").symlink_to(mine)
        with pytest.raises(FileExistsError, match=r"weights\.csv was changed"):
            export_model(model, out, force=True)
        assert mine.is_file()


class TestFailure:
    @pytest.mark.parametrize(
        "error", [OSError(28, "No space left on device"), KeyboardInterrupt()]
    )
    @pytest.mark.parametrize("exists", [False, True])
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

    @pytest.mark.parametrize("earlier", [True, False])
    def test_while_moving_leaves_all_as_it_was(self, model, smaller, out, monkeypatch, earlier):
        """An interrupt strikes just before or, but for the last, after any of the moves."""
        if earlier:
            export_model(smaller, out)
        before = files(out)
        rename = Path.rename
        for strike in range(1 + 2 * earlier):
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
        assert [path.name for path in out.parent.iterdir()] == ["out"] * earlier


class TestSignedModels:
    @pytest.fixture
    def pca(self, stack):
        return fit(stack, PCAParams(n_components=3))

    def test_zero_is_grey(self, pca, out):
        export_model(pca, out)
        for i, component in enumerate(pca.components):
            with Image.open(out / f"components/{i:02}.png") as picture:
                pixels = np.asarray(picture).astype(float)
            assert pixels.max() == 255
            np.testing.assert_allclose(pixels, 128 + 127.5 * component, atol=1.1)

    def test_the_mean_face_is_a_picture(self, pca, stack, out):
        export_model(pca, out)
        with Image.open(out / "mean.png") as picture:
            np.testing.assert_allclose(np.asarray(picture), stack.images.mean(axis=0), atol=1)

    def test_an_export_without_one_replaces_it(self, pca, model, out):
        export_model(pca, out)
        export_model(model, out, force=True)
        assert not (out / "mean.png").exists()
