"""Commands that read faces for a model: encode and mend."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_latent_faces.model import LatentFaces
from napari_latent_faces.reading import read_faces
from tests.cli.conftest import QUICK, pixels, table


def save(folder, *pictures, ending="png"):
    folder.mkdir()
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{i}.{ending}")
    return folder


class TestEncode:
    def test_writes_weights_errors_and_reconstructions(
        self, run, file, model, stack, faces_folder, out
    ):
        code, printed, errors = run("encode", file, faces_folder, "-o", out)
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

        assert "encoded with components of: made/faces\n" in run("info", out)[1]

    def test_a_mask_is_left_out(self, run, file, model, stack, faces_folder, out, mask):
        assert run("encode", file, faces_folder, "-o", out, "--mask", mask)[0] == 0
        found = LatentFaces.load(out / "model.npz").weights
        np.testing.assert_array_equal(found, model.encode(stack, pixels(mask)))
        assert not np.allclose(found, model.encode(stack))

    def test_faces_of_another_size_are_scaled_and_it_says_so(
        self, run, file, model, tmp_path, out
    ):
        large = np.random.default_rng(0).integers(0, 256, (3, 40, 30), np.uint8)
        folder = save(tmp_path / "large", *large)
        code, printed, _ = run("encode", file, folder, "-o", out)
        assert code == 0
        assert "Scaled from 30 x 40 to 10 x 12 pixels." in printed
        found = LatentFaces.load(out / "model.npz").weights
        np.testing.assert_array_equal(found, model.encode(read_faces(folder, size=(12, 10))))

    def test_floats_become_tiffs(self, run, file, tmp_path, out):
        folder = save(tmp_path / "floats", np.full((12, 10), 0.5, np.float32), ending="tif")
        assert run("encode", file, folder, "-o", out)[0] == 0
        assert pixels(out / "reconstructions/00.tif").dtype == np.float32

    def test_the_folder_that_fit_wrote_is_a_model_and_is_not_replaced(
        self, run, folder, tmp_path, out
    ):
        fitted = tmp_path / "fitted"
        run("fit", folder, "-o", fitted, *QUICK)
        before = (fitted / "model.npz").read_bytes()
        code, _, errors = run("encode", fitted, folder, "-o", fitted, "--force")
        assert code == 1
        assert "holds the results of a fit" in errors
        assert (fitted / "model.npz").read_bytes() == before
        assert run("encode", fitted, folder, "-o", out)[0] == 0


class TestMend:
    def test_writes_mended_faces(self, run, file, model, stack, folder, out, mask):
        code, printed, _ = run("mend", file, folder, "-o", out, "--mask", mask)
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
            "30 faces read",
            "pixels replaced: 18 of 120",
            f"written to: {out}",
        ]

    def test_sixteen_bits_stay_so(self, run, file, tmp_path, out, mask):
        face = np.random.default_rng(0).integers(0, 65536, (12, 10), np.uint16)
        folder = save(tmp_path / "deep", face)
        assert run("mend", file, folder, "-o", out, "--mask", mask)[0] == 0
        kept = pixels(mask) == 0
        np.testing.assert_array_equal(pixels(out / "mended/00.png")[kept], face[kept])

    @pytest.mark.parametrize(
        ("shape", "value", "words"),
        [
            ((10, 12), 255, "has 12 x 10 pixels, the faces 10 x 12"),
            ((12, 10), 0, "is black: white marks"),
            (None, 0, "cannot identify image file"),
        ],
    )
    def test_a_bad_mask_is_told_before_anything_is_read(
        self, run, file, tmp_path, out, shape, value, words
    ):
        path = tmp_path / "bad.png"
        if shape is None:
            path.write_text("no picture")
        else:
            Image.fromarray(np.full(shape, value, np.uint8)).save(path)
        code, _, errors = run("mend", file, tmp_path / "gone", "-o", out, "--mask", path)
        assert code == 1
        assert str(path) in errors
        assert words in errors


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["encode", "m.npz", "my faces", "--size", "4,4"], 2, "--size"),
        (["encode", "mask.png", "my faces"], 1, "is not a model file"),
        (["mend", "m.npz", "my faces"], 2, "--mask"),
        (["generate", "none.npz"], 1, "none.npz"),
    ],
)
@pytest.mark.usefixtures("file", "mask", "folder")
def test_what_is_wrong_is_told(run, tmp_path, monkeypatch, argv, code, words):
    monkeypatch.chdir(tmp_path)
    found, printed, errors = run(*argv, "-o", "out")
    assert (found, printed) == (code, "")
    assert words in errors
    assert not (tmp_path / "out").exists()
