from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces.cli import main
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.reading import read_faces
from tests.pictures import encoded, make
from tests.pictures import face as drawn


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "m.npz"
    model.save(path)
    return path


@pytest.fixture
def mask(tmp_path):
    """Return a picture in which a box is white."""
    pixels = np.zeros((12, 10), np.uint8)
    pixels[3:6, 2:8] = 255
    path = tmp_path / "mask.png"
    Image.fromarray(pixels).save(path)
    return path


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pixels(path):
    return np.asarray(Image.open(path))


class TestEncode:
    def test_writes_weights_errors_and_reconstructions(
        self, run, saved, model, stack, faces_folder, out
    ):
        code, printed, errors = run("encode", saved, faces_folder, "-o", out)
        assert (code, errors.splitlines()[0]) == (0, f"reading {faces_folder} ...")
        expected = model.encoded(stack)
        faults = model.errors(stack)
        rows = table(out / "errors.csv")
        assert [row["name"] for row in rows] == list(stack.names)
        assert [row["subject"] for row in rows] == list(stack.subjects)
        np.testing.assert_allclose([float(row["error"]) for row in rows], faults)
        weights = [
            [float(row[f"component_{i:02}"]) for i in range(3)]
            for row in table(out / "weights.csv")
        ]
        np.testing.assert_array_equal(weights, expected.weights)
        for row, face in zip(rows, expected.reconstruct(), strict=True):
            seen = pixels(out / row["picture"])
            assert seen.dtype == np.uint8
            np.testing.assert_allclose(seen, face.clip(0, 255), atol=0.51)
        again = LatentFaces.load(out / "model.npz")
        np.testing.assert_array_equal(again.components, model.components)
        assert again.provenance.names == stack.names
        assert printed.splitlines() == [
            "30 faces read, 1 other file passed over",
            "components: 3",
            f"relative error: {expected.error:.6f}",
            f"mean error of a face: {faults.mean():.6f}",
            f"worst: {stack.names[faults.argmax()]} ({faults.max():.6f})",
            f"written to: {out}",
        ]

    def test_info_knows_what_encode_wrote(self, run, saved, faces_folder, out):
        run("encode", saved, faces_folder, "-o", out)
        code, printed, _ = run("info", out)
        assert code == 0
        assert "encoded with components of: made/faces\n" in printed

    def test_a_mask_is_left_out(self, run, saved, model, stack, faces_folder, out, mask):
        assert run("encode", saved, faces_folder, "-o", out, "--mask", mask)[0] == 0
        found = LatentFaces.load(out / "model.npz").weights
        np.testing.assert_array_equal(found, model.encode(stack, pixels(mask)))
        assert not np.allclose(found, model.encode(stack))

    def test_faces_of_another_size_are_scaled_and_it_says_so(
        self, run, saved, model, tmp_path, out
    ):
        folder = tmp_path / "large"
        folder.mkdir()
        rng = np.random.default_rng(0)
        for i in range(3):
            face = rng.integers(0, 256, (40, 30), np.uint8)
            Image.fromarray(face).save(folder / f"{i}.png")
        code, printed, _ = run("encode", saved, folder, "-o", out)
        assert code == 0
        assert "Scaled from 30 x 40 to 10 x 12 pixels." in printed
        read = read_faces(folder, size=(12, 10))
        found = LatentFaces.load(out / "model.npz").weights
        np.testing.assert_array_equal(found, model.encode(read))

    def test_floats_become_tiffs(self, run, saved, tmp_path, out):
        folder = tmp_path / "floats"
        folder.mkdir()
        Image.fromarray(np.full((12, 10), 0.5, np.float32)).save(folder / "a.tif")
        assert run("encode", saved, folder, "-o", out)[0] == 0
        assert pixels(out / "reconstructions/00.tif").dtype == np.float32

    def test_the_folder_that_fit_wrote_is_a_model_and_is_not_replaced(
        self, run, faces_folder, tmp_path, out
    ):
        fitted = tmp_path / "fitted"
        run("fit", faces_folder, "-o", fitted, "-k", 2, "--max-iter", 5, "--tol", 0)
        before = (fitted / "model.npz").read_bytes()
        code, _, errors = run("encode", fitted, faces_folder, "-o", fitted, "--force")
        assert code == 1
        assert "holds the results of a fit" in errors
        assert (fitted / "model.npz").read_bytes() == before
        assert run("encode", fitted, faces_folder, "-o", out)[0] == 0

    def test_the_size_is_the_models(self, run, saved, faces_folder, out):
        code, _, errors = run("encode", saved, faces_folder, "-o", out, "--size", "4,4")
        assert code == 2
        assert "--size" in errors

    def test_what_is_no_model_is_an_error(self, run, mask, faces_folder, out):
        code, _, errors = run("encode", mask, faces_folder, "-o", out)
        assert code == 1
        assert "is not a model file" in errors


class TestMend:
    def test_writes_mended_faces(self, run, saved, model, stack, faces_folder, out, mask):
        code, printed, _ = run("mend", saved, faces_folder, "-o", out, "--mask", mask)
        assert code == 0
        expected = model.mend(stack, pixels(mask))
        rows = table(out / "mended.csv")
        assert [row["name"] for row in rows] == list(stack.names)
        for row, face in zip(rows, expected, strict=True):
            np.testing.assert_array_equal(pixels(out / row["picture"]), face)
        np.testing.assert_allclose(
            [float(row["error of the rest"]) for row in rows],
            model.errors(stack, mask=pixels(mask)),
        )
        assert printed.splitlines() == [
            "30 faces read, 1 other file passed over",
            "pixels replaced: 18 of 120",
            f"written to: {out}",
        ]

    def test_sixteen_bits_stay_so(self, run, saved, tmp_path, out, mask):
        folder = tmp_path / "deep"
        folder.mkdir()
        face = np.random.default_rng(0).integers(0, 65536, (12, 10), np.uint16)
        Image.fromarray(face).save(folder / "a.png")
        assert run("mend", saved, folder, "-o", out, "--mask", mask)[0] == 0
        mended = pixels(out / "mended/00.png")
        kept = pixels(mask) == 0
        np.testing.assert_array_equal(mended[kept], face[kept])

    @pytest.mark.parametrize(
        ("shape", "value", "words"),
        [
            ((10, 12), 255, "has 12 x 10 pixels, the faces have 10 x 12"),
            ((12, 10), 0, "is black: white marks"),
            (None, 0, "cannot identify image file"),
        ],
    )
    def test_a_bad_mask_is_told_before_anything_is_read(
        self, run, saved, tmp_path, out, shape, value, words
    ):
        path = tmp_path / "bad.png"
        if shape is None:
            path.write_text("no picture")
        else:
            Image.fromarray(np.full(shape, value, np.uint8)).save(path)
        code, _, errors = run("mend", saved, tmp_path / "gone", "-o", out, "--mask", path)
        assert code == 1
        assert str(path) in errors
        assert words in errors

    def test_a_mask_is_needed(self, run, saved, faces_folder, out):
        code, _, errors = run("mend", saved, faces_folder, "-o", out)
        assert code == 2
        assert "--mask" in errors


def test_what_a_warning_advises_can_be_typed(tmp_path, capsys):
    folder = make(tmp_path / "faces", {"1.png": drawn(), "2.png": encoded(drawn(), "png")[:60]})
    assert (
        main(["fit", str(tmp_path), "-k", "1", "-o", str(tmp_path / "../out"), "--lazy"]) == 0
    )
    advice = capsys.readouterr().err
    assert "--no-lazy" in advice
    assert "lazy=" not in advice
    assert main(["info", str(folder), "--no-lazy"]) == 0
    assert "1 face read, 1 skipped" in capsys.readouterr().out
